"""Speed beside the plain scikit-learn pipeline with the same weights, and beside word-list and small-model libraries.

Everything is timed in one process on one core, the contestants taking turns, so that ratios mean something on a shared
machine.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np

from moderation import registry
from moderation.comments import Comment
from moderation.model import TEXT_LABELS
from moderation.scorer import Scorer
from moderation.settings import ROOT
from moderation.transformer import pipeline


def _seconds(call):
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def against_plain(scorer, texts, seen, *, singles: int = 300, batch: int = 1_000, rounds: int = 3) -> list[dict]:
    """Seconds a comment and ratios: one by one and in batches, where the service has scored `seen` before, and in the
    first batch after a start. The plain pipeline scores both text labels, as ours does."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        first = pool.submit(_first_batch, texts[:batch]).result()
    pipelines = [pipeline(scorer.model, label) for label in TEXT_LABELS]

    def plain(some):
        return [each.decision_function(some) for each in pipelines]

    comments = [Comment(text) for text in texts]
    scorer.probabilities([Comment(text) for text in seen])
    pairs = []
    for begin in range(0, singles, 50):  # by turns, but not one by one: each would empty the processor's caches
        part = slice(begin, begin + 50)
        ours = [_seconds(lambda c=c: scorer.probabilities([c])) for c in comments[part]]
        pairs += zip(ours, [_seconds(lambda t=t: plain([t])) for t in texts[part]], strict=True)
    batches = []
    for turn in range(rounds):
        part = slice(singles + turn * batch, singles + (turn + 1) * batch)
        some, same = comments[part], texts[part]
        batches.append(
            (
                _seconds(lambda s=some: scorer.probabilities(s)) / len(some),
                _seconds(lambda s=same: plain(s)) / len(some),
            )
        )
    return [
        _row("one comment", pairs),
        _row(f"batches of {batch:,}, a comment", batches),
        _row(f"the first {batch:,} after a start, a comment", [first]),
    ]


def _row(what, pairs):
    ours, plain = (statistics.median(each) for each in zip(*pairs, strict=True))
    return {"what": what, "ours": 1000 * ours, "plain": 1000 * plain, "ratio": plain / ours}


def _first_batch(texts):
    """Seconds a comment of ours and of the plain pipeline, in a process that has scored nothing yet."""
    stored = registry.load(ROOT / "models", registry.DEFAULT)
    scorer, pipelines = Scorer(stored), [pipeline(stored.model, label) for label in TEXT_LABELS]
    comments = [Comment(text) for text in texts]
    ours = _seconds(lambda: scorer.probabilities(comments))
    plain = _seconds(lambda: [each.decision_function(texts) for each in pipelines])
    return ours / len(texts), plain / len(texts)


_START = """
import time

begin = time.perf_counter()
import moderation.app, moderation.cli, moderation.server
from moderation import registry
from moderation.scorer import Scorer
from moderation.settings import SHIPPED

imported = time.perf_counter()
Scorer(registry.load(SHIPPED / "models", registry.DEFAULT))
print(imported - begin, time.perf_counter() - imported)
"""


def starting(rounds: int = 5) -> dict[str, float]:
    """Seconds, each the median of new processes, that the service's code and its model take to load."""
    runs = [
        subprocess.run([sys.executable, "-c", _START], cwd=ROOT, capture_output=True, text=True, check=True)
        for _ in range(rounds)
    ]
    imports, model = zip(*([float(number) for number in run.stdout.split()] for run in runs), strict=True)
    return {"imports": statistics.median(imports), "model": statistics.median(model)}


def largest_difference(scorer, texts) -> float:
    """Largest distance between our probabilities and those of the plain pipeline."""
    values, statuses = scorer.probabilities_and_statuses([Comment(text) for text in texts])
    kept = np.array([status == "scored" for status in statuses])
    worst = 0.0
    for column, label in enumerate(TEXT_LABELS):
        logits = pipeline(scorer.model, label).decision_function(
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
