"""What would more comments to learn from give? ``python -m benchmarks.amounts``.

The shipped recipe with the measured corpus left out, trained on a share of what remains: whole articles, so that no
share is helped by knowing an article from other comments under it. What a doubling adds says what the next one would.
"""

from __future__ import annotations

import argparse
import itertools
import math
from pathlib import Path

import numpy as np

from benchmarks.__main__ import HERE, table
from moderation import processes, shipped
from moderation.evaluation import auc_with_interval
from moderation.settings import ROOT
from moderation.training import Recipe, TextTrainer, TopicTrainer, topic_reader

SHARES = (1 / 8, 1 / 4, 1 / 2, 1.0)
DRAWS = 3  #: of each share but the whole
TEXT = (("fox_news", "abusive"), ("wikipedia_talk", "abusive"), ("nyt_room_for_debate", "mocking"))
TOPIC, THREAD = "fox_news", "with thread of up to 200"


def measure(corpora: Path) -> list[dict]:
    """ROC AUC on corpora left out, by share of the rest that was trained on."""
    data, _ = shipped.read(corpora)
    return _text(data) + _topic(data)


def drawn(groups: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Whether a row's group is among a share of all groups, drawn by lot; bool, shape (rows,)."""
    names, group = np.unique(groups, return_inverse=True)
    count = max(1, round(share * len(names)))
    return np.isin(group, np.random.default_rng(seed).permutation(len(names))[:count])


def _draws():
    return [(share, seed) for share in SHARES for seed in range(DRAWS if share < 1 else 1)]


def _text(data):
    trainer = TextTrainer(data.comments, Recipe(), jobs=processes.available(), ngrams=data.ngrams)
    comments = trainer.comments
    corpus = comments["corpus"].to_numpy()
    # A comment without an article is a group by itself.
    own = np.arange(len(comments)).astype(str).astype(object)
    groups = np.where(comments["article_id"] != "", comments["article_id"], own).astype(str)
    splits = [
        (np.flatnonzero((corpus != name) & drawn(groups, share, seed)), np.flatnonzero(corpus == name), [label])
        for (name, label), (share, seed) in itertools.product(TEXT, _draws())
    ]
    found = iter(zip(splits, trainer.unseen(splits), strict=True))
    rows = []
    for name, label in TEXT:
        by_share: dict[float, list] = {share: [] for share in SHARES}
        for share, _ in _draws():
            (train, test, _), (_, _, logits) = next(found)
            truth = comments[label].to_numpy(dtype=float)[test]
            known = np.isfinite(truth)
            by_share[share].append((len(train), auc_with_interval(truth[known], logits[label][known])["auc"]))
        rows.append(_row(f"{name}, {label}", "comments", by_share))
    return rows


def _topic(data):
    recipe, jobs = Recipe(), processes.available()
    reader = topic_reader(data, recipe, jobs=jobs)
    how = {"n_splits": recipe.n_splits, "seed": recipe.seed, "jobs": jobs}
    pairs = TopicTrainer(reader, data, short=recipe.short_articles, **how)
    part = data.part(np.flatnonzero((data.comments["corpus"] == TOPIC).to_numpy()))
    measured = TopicTrainer(reader, part, thread=shipped.THREADS[THREAD], wrong=("any",), **how)
    everything = np.arange(len(measured.labels))
    places = {"article only": 0, THREAD: 1}
    by_share: dict[str, dict[float, list]] = {what: {share: [] for share in SHARES} for what in places}
    for share, seed in _draws():
        train = np.flatnonzero((pairs.corpora != TOPIC) & drawn(pairs.articles, share, seed))
        logits = measured.logits(pairs.fit(train), everything)
        for what, place in places.items():
            by_share[what][share].append((len(train), auc_with_interval(measured.labels, logits[place])["auc"]))
    return [_row(f"{TOPIC}, off_topic, {what}", "pairs", found) for what, found in by_share.items()]


def _row(name, unit, by_share):
    means = {share: float(np.mean([auc for _, auc in found])) for share, found in by_share.items()}
    all_rows = by_share[1.0][0][0]
    # The slope of the least-squares line over the binary logarithm of the share.
    doubling = float(np.polyfit([math.log2(share) for share in SHARES], [means[share] for share in SHARES], 1)[0])
    return {
        "measured": name,
        "rows": f"{all_rows:,} {unit}",
        **{f"{share:g}": means[share] for share in SHARES},
        "doubling": f"{doubling:+.4f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.amounts", description=__doc__)
    parser.add_argument("--corpora", type=Path, default=ROOT.parent / "shared" / "corpora")
    rows = measure(parser.parse_args().corpora)
    names = {
        "measured": "measured on, left out of training",
        "rows": "all that others have",
        **{f"{share:g}": name for share, name in zip(SHARES, ("an eighth", "a quarter", "half", "all"), strict=True)},
        "doubling": "by doubling",
    }
    (HERE / "amounts.md").write_text(PAGE.format(draws=DRAWS, table=table(rows, names)), encoding="utf-8")


PAGE = """## With less to learn from

ROC AUC of the shipped recipe on corpora that are left out of training, by what share of all other articles and comments
it learns from; the mean of {draws} draws where it is not all of them. The grades of words, their subjects and their
neighbours stay whole, as does the word space. *By doubling*: what each doubling added, by the line through the four.
Written by `python -m benchmarks.amounts`.

{table}
"""

if __name__ == "__main__":
    main()
