"""How far this family of models comes on a corpus with labels of its own: ``python -m benchmarks.ceilings``.

What falls short of a target when a corpus is left out of training may fall short for want of its labels, or because
n-grams and cues do not tell. Here a model that never saw the corpus is adapted to four fifths of it, and measured on
the rest; the strength is the best of several **by the measured comments themselves**, so that each figure is rather an
upper bound than what a newsroom can expect.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold

from benchmarks.__main__ import HERE, table
from moderation import dataset as datasets
from moderation import grades, registry, shipped
from moderation.corpus import Corpus
from moderation.evaluation import auc_with_interval
from moderation.settings import ROOT
from moderation.topic import _with_products
from moderation.training import Recipe, TextTrainer, TopicTrainer, fit_around

CORPORA = (("fox_news", "abusive"), ("nyt_room_for_debate", "mocking"), ("wikipedia_talk", "abusive"))
READINGS, PAIRINGS = HERE / "readings.csv", HERE / "pairings.csv"
STRENGTHS = (0.03, 0.3, 3.0)
WEAK = (0.0003, 0.003, 0.03)  #: for the few pieces of evidence of off_topic
THREAD = "with thread of up to 200"
FOLDS = 5


def out_of_fold(matrix, base, truth, folds, strength) -> np.ndarray:
    """Logits of every row from what was adapted without its fold."""
    logits = np.full(len(truth), np.nan)
    for train, test in folds:
        factor, change, shift = fit_around(matrix[train], base[train], truth[train], np.ones(len(train)), strength)
        logits[test] = factor * base[test] + matrix[test] @ change + shift
    return logits


def best(matrix, base, truth, folds, strengths=STRENGTHS) -> str:
    """The highest ROC AUC over the strengths, with its interval."""
    found = [auc_with_interval(truth, out_of_fold(matrix, base, truth, folds, each)) for each in strengths]
    return _figure(max(found, key=lambda figure: figure["auc"]))


def _figure(found):
    return "{:.3f} ({:.3f} to {:.3f})".format(found["auc"], *found["interval"])


def own_matrix(texts):
    """The corpus's comments by its own n-grams."""
    corpus, everything = Corpus(texts), np.arange(len(texts))
    return corpus.transform(corpus.choose(everything, min_df=3), everything)


def measure(corpora: Path) -> list[dict]:
    data, _ = shipped.read(corpora)
    trainer = TextTrainer(data.comments, Recipe(), ngrams=data.ngrams)
    comments = trainer.comments
    titles = {key: article.title for key, article in data.articles.items()}
    found = []
    for corpus, label in CORPORA:
        known = np.isfinite(comments[label].to_numpy(dtype=float))
        rows = np.flatnonzero((comments["corpus"] == corpus).to_numpy() & known)
        rest = np.flatnonzero((comments["corpus"] != corpus).to_numpy())
        features, classifiers = trainer.fit(rest, [label])
        base = trainer.logits(features, classifiers, rows)[label]
        part = comments.iloc[rows].reset_index(drop=True)
        truth = (part[label].to_numpy(dtype=float) >= 0.5).astype(float)
        splits = [("by comment", datasets.folds(part.assign(article_id=""), n_splits=FOLDS))]
        if part["article_id"].any():
            splits.insert(0, ("by article", datasets.folds(part, n_splits=FOLDS)))
        matrix = trainer.corpus.transform(features, rows)
        found += _rows(f"{corpus}, {label}", part["text"], matrix, base, truth, splits, read(part, label))
        if corpus == "fox_news":
            text = [f"{titles[a]} {t}" for a, t in zip(part["article_id"], part["text"], strict=True)]
            found += _rows(f"{corpus}, {label}, comment and title", text, None, base, truth, splits)
        print(pd.DataFrame(found[-2:]).to_string(), flush=True)
    return found + off_topic(data)


def off_topic(data, corpus: str = "fox_news") -> list[dict]:
    """What the evidence of the shipped model tells of a corpus, weighed by what others teach and by its own pairs."""
    stored = registry.load(ROOT / "models", registry.DEFAULT)
    left_out, topic = stored.card["measured"]["left_out"]["off_topic"], stored.model.topic
    part = data.part(np.flatnonzero(data.comments["corpus"] == corpus))
    pairs = TopicTrainer(topic, part, n_splits=FOLDS, seed=0, thread=shipped.THREADS[THREAD], wrong=("any",))
    comments = np.array([comment.id for comment in pairs.comments])
    own = dict(zip(part.comments["id"], part.comments["article_id"], strict=True))
    groups = {"by article": np.array([own[comment] for comment in comments]), "by comment": comments}
    found = []
    for what, evidence, threaded in (("article only", pairs.bare, 0), (THREAD, pairs.threaded, 1)):
        base = topic.evidence_logits(evidence.astype(float), np.full(len(evidence), bool(threaded)))
        matrix = _with_products(topic.scaled(evidence.astype(float)))
        said = _read_pairs(part.comments, corpus, threaded)
        for how, group in groups.items():
            folds = list(GroupKFold(FOLDS, shuffle=True, random_state=0).split(matrix, groups=group))
            found.append(
                {
                    "measured": f"{corpus}, off_topic, {what}",
                    "folds": how,
                    "rows": len(base),
                    "positive": int(pairs.labels.sum()),
                    "left_out": _figure(left_out[f"{corpus}, {what}, random wrong article"]),
                    "adapted": best(matrix, base, pairs.labels, folds, WEAK),
                    "around": "–",
                    "scratch": best(matrix, np.zeros(len(base)), pairs.labels, folds, WEAK),
                    "reader": said,
                }
            )
    return found


def _read_pairs(comments, corpus, threaded):
    """How well a reader told comments under their own article from those under another, by `PAIRINGS`."""
    pairings = pd.read_csv(PAIRINGS, dtype={"corpus": str, "text_blake2b": str, "article": str})
    part = pairings[(pairings["corpus"] == corpus) & (pairings["thread"] == threaded)]
    own = dict(zip(map(grades.digest, comments["text"]), comments["article_id"], strict=True))
    wrong = [own[key] != article for key, article in zip(part["text_blake2b"], part["article"], strict=True)]
    return reader(np.array(wrong, dtype=float), 10 - part["said"].to_numpy())


def read(comments: pd.DataFrame, label: str) -> np.ndarray:
    """What a reader said of comments, by `READINGS`; NaN where it was not read, shape (n,)."""
    readings = pd.read_csv(READINGS, dtype={"corpus": str, "text_blake2b": str})
    # What was read a third time was not drawn by lot.
    readings = readings[readings["reading"] == 2]
    said = readings["abusive"] if label == "abusive" else readings["sarcastic"] + readings["condescending"] / 2
    known = dict(zip(zip(readings["corpus"], readings["text_blake2b"], strict=True), said, strict=True))
    keys = zip(comments["corpus"], map(grades.digest, comments["text"]), strict=True)
    return np.array([known.get(key, np.nan) for key in keys], dtype=float)


def reader(truth, said) -> str:
    """How well a reader ranks the comments that were read, and how many they are."""
    known = np.isfinite(said)
    return f"{_figure(auc_with_interval(truth[known], said[known]))}, {int(known.sum()):,} rows"


def _rows(name, texts, matrix, base, truth, splits, said=None):
    own = own_matrix(list(texts))
    return [
        {
            "measured": name,
            "folds": how,
            "rows": len(truth),
            "positive": int(truth.sum()),
            "left_out": _figure(auc_with_interval(truth, base)),
            "adapted": "–" if matrix is None else best(matrix, base, truth, folds),
            "around": best(own, base, truth, folds),
            "scratch": best(own, np.zeros(len(truth)), truth, folds),
            "reader": "–" if said is None else reader(truth, said),
        }
        for how, folds in splits
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ceilings", description=__doc__)
    parser.add_argument("--corpora", type=Path, default=ROOT.parent / "shared" / "corpora")
    rows = measure(parser.parse_args().corpora)
    names = {
        "measured": "measured on",
        "folds": "folds",
        "rows": "rows",
        "positive": "positive",
        "left_out": "never seen",
        "adapted": "adapted, the model's n-grams",
        "around": "adapted, the corpus's n-grams",
        "scratch": "from scratch",
        "reader": "a reader",
    }
    (HERE / "ceilings.md").write_text(TEXT.format(table=table(rows, names)), encoding="utf-8")


TEXT = """## With labels of their own

ROC AUC with 95 % interval on corpora that fall short of their targets. *Never seen*: the shipped recipe with the corpus
left out. The others learned from four fifths of the corpus and are measured on the rest, by folds; the strength of
regularisation is the best of three by the measured comments themselves: upper bounds of what such labels can give, not
expectations. Folds by comment let a comment be learned from its neighbours under the same article; published figures
often do. *A reader* is a language model that read comments, drawn by lot, without labels or context, and said from 0 to
10 how abusive, sarcastic and condescending each is, by the definitions of `data/README.md` (`readings.csv`): what is in
the text for somebody who understands it. Of off-topic it was shown each of some comments once, half of them with their
own article and half with another of the corpus, without other comments or with twelve, and said how likely it was
written there (`pairings.csv`); it saw which articles there are. There *adapted* weighs the evidence of the shipped
model, which has met the corpus, once more. Written by `python -m benchmarks.ceilings`.

{table}
"""

if __name__ == "__main__":
    main()
