"""What each part of the recipe is worth, on a paper that is never trained on: ``python -m benchmarks.ablation``.

Every variant is trained as the shipped model is, less one thing, and ranks the Globe and Mail's comments. The interval
is of the difference from the whole recipe, by resampling the comments in pairs.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from benchmarks.__main__ import HERE, table
from moderation import shipped, training
from moderation.corpus import Counts
from moderation.evaluation import auc
from moderation.features import CHARACTERS, CUES, WORDS, Vectors
from moderation.model import TEXT_LABELS
from moderation.settings import ROOT

MEASURED = [(label, column, name) for corpus, label, column, name in shipped.MEASURED if corpus.startswith("globe")]


class Without(Counts):
    """Counts whose transformed features of some blocks are nothing."""

    def __init__(self, counts, without):
        super().__init__(counts.blocks, counts.cue_values, counts.listed)
        self.without = without

    def transform(self, features, rows, dtype=np.float64):
        matrix = super().transform(features, rows, dtype)
        kept = np.ones(matrix.shape[1], dtype=dtype)
        for name in self.without:
            kept[features.blocks()[name]] = 0
        return matrix @ sparse.diags_array(kept, format="csr")


def scores(trainer, rows, texts) -> dict[str, np.ndarray]:
    """Logits of `texts` from what is trained on `rows`; a feature that had no part in training has no weight."""
    features, classifiers = trainer.fit(rows)
    vectors = Vectors(trainer.corpus.space(features))
    coefficients = np.stack([classifiers[label].coef_[0].astype(float) for label in TEXT_LABELS])
    return dict(zip(TEXT_LABELS, vectors.linear(texts, coefficients).T, strict=True))


def variants(data, recipe):
    """Names and trainers with the rows they train on; features are counted once."""
    comments = data.comments.reset_index(drop=True)
    whole = training.TextTrainer(comments, recipe, ngrams=data.ngrams)
    everything = np.arange(len(comments))
    yield "the whole recipe", whole, everything
    for name, blocks in (
        ("without words and word pairs", [WORDS]),
        ("without character n-grams", [CHARACTERS]),
        ("without cues", [CUES]),
    ):
        less = training.TextTrainer.__new__(training.TextTrainer)
        corpus = copy.copy(whole.corpus)
        corpus.counts = Without(whole.corpus.counts, blocks)
        less.__dict__ = whole.__dict__ | {"corpus": corpus}
        yield name, less, everything
    size = len(comments)
    for name, change in (
        ("without composed comments", {"added": frozenset([training.SENTENCE])}),
        ("without sentences", {"added": frozenset([training.COMPOSED])}),
        (
            "labels rounded to 0 and 1",
            {"labels": {k: np.where(np.isnan(v), v, v >= 0.5) for k, v in whole.labels.items()}},
        ),
        (
            "without grades of comments and of sentences",
            {"labels": _without_grades(whole, size), "added": frozenset([training.COMPOSED])},
        ),
        ("n-grams of one class expected to weigh no more", {"recipe": dataclasses.replace(recipe, ratio_power=0.0)}),
        (
            "graded n-grams expected to weigh no more",
            {"recipe": dataclasses.replace(recipe, graded_spread={}, ungraded_spread={})},
        ),
        ("without grades of n-grams", {"hints": whole.hints * 0}),
        ("without grades of n-grams too rare to be learned", {"hints": _of_common(whole)}),
        ("every corpus weighing the same a row", {"weights": {k: np.ones(len(v)) for k, v in whole.weights.items()}}),
    ):
        less = training.TextTrainer.__new__(training.TextTrainer)
        less.__dict__ = whole.__dict__ | change
        yield name, less, everything
    order = np.random.default_rng(0).permutation(size)
    for share in (0.5, 0.25):
        yield f"{share:.0%} of the comments", whole, np.sort(order[: int(share * size)])


def _of_common(trainer):
    """The grades of the n-grams that stand in `Recipe.min_df` texts and more."""
    counts = trainer.corpus.counts.blocks[WORDS]
    common = np.bincount(counts.indices, minlength=counts.shape[1]) >= trainer.recipe.min_df
    return trainer.hints.multiply(common[:, None]).tocsr()


def _without_grades(trainer, size):
    """The corpora's own labels; composed comments keep theirs, which hardly differ, and sentences have no others."""
    return {
        label: np.concatenate([trainer.comments[label].to_numpy(dtype=float), labels[size:]])
        for label, labels in trainer.labels.items()
    }


def measure(corpora: Path, resamples: int = 400) -> list[dict]:
    frame = pd.read_csv(corpora / "globe_and_mail_eval_only" / "comments.csv")
    data, _ = shipped.read(corpora)
    texts = list(frame["text"])
    found, base = [], None
    for name, trainer, rows in variants(data, training.Recipe()):
        logits = scores(trainer, rows, texts)
        base = base or logits
        row = {"variant": name}
        for label, column, _ in MEASURED:
            known = frame[column].notna().to_numpy()
            truth = frame[column].to_numpy(dtype=float)[known]
            mine, whole = logits[label][known], base[label][known]
            row[column] = f"{auc(truth, mine):.3f}"
            if logits is not base:
                rng = np.random.default_rng(0)
                draws = rng.integers(len(truth), size=(resamples, len(truth)))
                differences = [auc(truth[d], mine[d]) - auc(truth[d], whole[d]) for d in draws]
                row[column] += " ({:+.3f} to {:+.3f})".format(*np.quantile(differences, [0.025, 0.975]))
        found.append(row)
        print(row, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablation", description=__doc__)
    parser.add_argument("--corpora", type=Path, default=ROOT.parent / "shared" / "corpora")
    rows = measure(parser.parse_args().corpora)
    names = {"variant": "trained"} | {column: name.removeprefix("Globe and Mail, ") for _, column, name in MEASURED}
    (HERE / "ablation.md").write_text(TEXT.format(table=table(rows, names)), encoding="utf-8")


TEXT = """## What each part is worth

ROC AUC on the Globe and Mail's comments, which are never trained on; in brackets the 95 % interval of the difference
from the whole recipe. Written by `python -m benchmarks.ablation`.

{table}
"""

if __name__ == "__main__":
    main()
