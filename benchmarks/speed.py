"""Speed beside the plain scikit-learn pipeline with the same weights, and beside word-list and small-model libraries.

Everything is timed in one process on one core, the contestants taking turns, so that ratios mean something on a shared
machine.
"""

from __future__ import annotations

import statistics
import time

import numpy as np

from moderation.comments import Comment
from moderation.model import TEXT_LABELS


def _seconds(call):
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def against_plain(scorer, texts, *, singles: int = 200, batch: int = 1_000, rounds: int = 3) -> dict:
    """Seconds a comment and ratios, one comment and in batches; the plain pipeline scores both text labels."""
    pipelines = [scorer.model.pipeline(label) for label in TEXT_LABELS]

    def plain(some):
        return [pipeline.decision_function(some) for pipeline in pipelines]

    comments = [Comment(text) for text in texts]
    scorer.probabilities(comments[-batch:])  # words that every comment holds are known in a running service
    ours = [_seconds(lambda c=c: scorer.probabilities([c])) for c in comments[:singles]]
    theirs = [_seconds(lambda t=t: plain([t])) for t in texts[:singles]]
    single = {"ours": statistics.median(ours), "plain": statistics.median(theirs)}
    ours, theirs = [], []
    for turn in range(rounds):
        part = slice(turn * batch, (turn + 1) * batch)
        ours.append(_seconds(lambda p=part: scorer.probabilities(comments[p])) / batch)
        theirs.append(_seconds(lambda p=part: plain(texts[p])) / batch)
    many = {"ours": statistics.median(ours), "plain": statistics.median(theirs)}
    return {
        "single": {**single, "ratio": single["plain"] / single["ours"]},
        "batch": {**many, "ratio": many["plain"] / many["ours"]},
        "characters": float(np.median([len(text) for text in texts])),
    }


def largest_difference(scorer, texts) -> float:
    """Largest distance between our probabilities and those of the plain pipeline."""
    values, statuses = scorer.probabilities_and_statuses([Comment(text) for text in texts])
    kept = np.array([status == "scored" for status in statuses])
    worst = 0.0
    for column, label in enumerate(TEXT_LABELS):
        logits = scorer.model.pipeline(label).decision_function(
            [t for t, keep in zip(texts, kept, strict=True) if keep]
        )
        expected = scorer.model.calibrations[label].probability(logits)
        worst = max(worst, float(np.abs(values[kept, column] - expected).max()))
    return worst


def against_libraries(scorer, texts, labels) -> list[dict]:
    """ROC AUC and comments a second of libraries that newsrooms use today, on the same comments."""
    from moderation.evaluation import auc

    statuses = scorer.probabilities_and_statuses([Comment(text) for text in texts])[1]
    labels = [label for label, status in zip(labels, statuses, strict=True) if status == "scored"]
    texts = [text for text, status in zip(texts, statuses, strict=True) if status == "scored"]
    found = []

    def measure(name, call):
        scores = []
        seconds = _seconds(lambda: scores.extend(call(texts)))
        found.append(
            {
                "name": name,
                "auc": auc(np.array(labels), np.array(scores, dtype=float)),
                "per_second": len(texts) / seconds,
            }
        )

    measure("this project", lambda some: scorer.probabilities([Comment(text) for text in some])[:, 0])
    try:
        from profanity_check import predict_prob

        measure("alt-profanity-check", predict_prob)
    except ImportError:
        found.append({"name": "alt-profanity-check", "auc": None, "per_second": None})
    try:
        from better_profanity import profanity

        profanity.load_censor_words()
        measure("better-profanity", lambda some: [profanity.contains_profanity(text) for text in some])
    except ImportError:
        found.append({"name": "better-profanity", "auc": None, "per_second": None})
    return found


def growth(scorer) -> list[dict]:
    """Seconds for longer and longer comments, the longest allowed one last."""
    sentence = "The council will discuss the bridge again on Monday, and nobody knows who pays for it this time. "
    found = []
    for size in (1_000, 2_000, 5_000, 10_000, 20_000):
        text = (sentence * (size // len(sentence) + 1))[:size]
        varied = " ".join(f"{word}{i % 97}" for i, word in enumerate(text.split()))[:size]
        times = [_seconds(lambda v=varied: scorer.probabilities([Comment(v)])) for _ in range(9)]
        found.append({"characters": size, "seconds": statistics.median(times)})
    return found
