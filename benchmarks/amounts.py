"""What would more comments to learn from give? ``python -m benchmarks.amounts``.

The shipped recipe with the measured corpus left out, trained on a share of what remains: whole articles, so that no
share is helped by knowing an article from other comments under it. What a doubling adds says what the next one would.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np

from benchmarks.__main__ import HERE, table
from benchmarks.ceilings import CORPORA, THREAD
from moderation import dataset as datasets
from moderation import processes, shipped
from moderation.evaluation import auc
from moderation.settings import ROOT
from moderation.training import Recipe, TextTrainer, TopicTrainer, topic_reader

SHARES = {1 / 8: "an eighth", 1 / 4: "a quarter", 1 / 2: "half", 1.0: "all"}
TIMES = 3  #: that each share but the whole is drawn
DRAWS = [(share, seed) for share in SHARES for seed in range(TIMES if share < 1 else 1)]
TOPIC = "fox_news"


def measure(corpora: Path) -> list[dict]:
    """ROC AUC on corpora left out, by share of the rest that was trained on."""
    data, _ = shipped.read(corpora)
    return _text(data) + _topic(data)


def drawn(groups: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Whether a row's group is among a share of all groups, drawn by lot; bool, shape (rows,)."""
    names, group = np.unique(groups, return_inverse=True)
    count = max(1, round(share * len(names)))
    return np.isin(group, np.random.default_rng(seed).permutation(len(names))[:count])


def _text(data):
    trainer = TextTrainer(data.comments, Recipe(), jobs=processes.available(), ngrams=data.ngrams)
    corpora = trainer.comments["corpus"].to_numpy()
    groups, _ = datasets._groups(trainer.comments)
    rows = []
    for corpus, label in CORPORA:
        truth, rest = trainer.comments[label].to_numpy(dtype=float), corpora != corpus
        measured = np.flatnonzero(~rest & np.isfinite(truth))
        splits = [(np.flatnonzero(rest & drawn(groups, *draw)), measured, [label]) for draw in DRAWS]
        found = [auc(truth[measured], logits[label]) for _, _, logits in trainer.unseen(splits)]
        rows.append(_row(f"{corpus}, {label}", f"{rest.sum():,} comments", found))
    return rows


def _topic(data):
    recipe, jobs = Recipe(), processes.available()
    reader = topic_reader(data, recipe, jobs=jobs)
    how = {"n_splits": recipe.n_splits, "seed": recipe.seed, "jobs": jobs}
    pairs = TopicTrainer(reader, data, short=recipe.short_articles, **how)
    part = data.part(np.flatnonzero(data.comments["corpus"] == TOPIC))
    measured = TopicTrainer(reader, part, thread=shipped.THREADS[THREAD], wrong=("any",), **how)
    rest, everything = pairs.corpora != TOPIC, np.arange(len(measured.labels))
    found = [
        [auc(measured.labels, logits) for logits in measured.logits(pairs.fit(np.flatnonzero(train)), everything)]
        for train in (rest & drawn(pairs.articles, *draw) for draw in DRAWS)
    ]
    return [
        _row(f"{TOPIC}, off_topic, {what}", f"{rest.sum():,} pairs", each)
        for what, each in zip(("article only", THREAD), zip(*found, strict=True), strict=True)
    ]


def _row(name, everything, found):
    means = {
        share: float(
            np.mean([each for (drawn_share, _), each in zip(DRAWS, found, strict=True) if drawn_share == share])
        )
        for share in SHARES
    }
    # The slope of the least-squares line over the binary logarithm of the share.
    doubling = np.polyfit([math.log2(share) for share in SHARES], list(means.values()), 1)[0]
    by_name = {name: means[share] for share, name in SHARES.items()}
    return {"measured": name, "rows": everything, **by_name, "doubling": f"{doubling:+.4f}"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.amounts", description=__doc__)
    parser.add_argument("--corpora", type=Path, default=ROOT.parent / "shared" / "corpora")
    rows = measure(parser.parse_args().corpora)
    names = {
        "measured": "measured on, left out of training",
        "rows": "all that others have",
        **{name: name for name in SHARES.values()},
        "doubling": "by doubling",
    }
    (HERE / "amounts.md").write_text(PAGE.format(times=TIMES, table=table(rows, names)), encoding="utf-8")


PAGE = """## With less to learn from

ROC AUC of the shipped recipe on corpora that are left out of training, by what share of all other articles and comments
it learns from; the mean of {times} draws where it is not all of them. The grades of words, their subjects and their
neighbours stay whole, as does the word space. *By doubling*: what each doubling added, by the line through the four.
Written by `python -m benchmarks.amounts`.

{table}
"""

if __name__ == "__main__":
    main()
