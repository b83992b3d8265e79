"""Model cards: what a model was made from, how it was measured, and where it fails."""

from __future__ import annotations

import platform
from datetime import UTC, datetime

import numpy as np

from moderation import anylabel
from moderation.comments import LABELS
from moderation.evaluation import at_threshold_with_intervals, auc_with_interval, reliability
from moderation.registry import library_versions
from moderation.training import Recipe

_ENVIRONMENT = ("scikit-learn", "numpy", "scipy", "joblib")
INTENDED_USE = (
    "Sorting English reader comments under news articles for human moderators, and telling which words made the score. "
    "Not for deciding alone what is removed, not for judging people, not for other languages."
)
KNOWN_FAILURES = [
    "Sarcasm without any marker, and sarcasm that only general knowledge reveals, is mostly missed.",
    "Contempt in polite words is found less often than insults; insults that are quoted in order to object are "
    "sometimes flagged.",
    "Mocking is learnt from few annotated sources that draw its line differently; treat its score as a hint.",
    "A short comment under an article gives little to compare: off_topic is then near its base rate.",
    "A comment about another side of the same story, in words that the article does not use, can look off topic.",
    "Probabilities hold for the base rates in this card; a newsroom with other rates should adapt the model.",
    "Only English was trained or measured.",
]


def measured(held: dict, thresholds: dict[str, float], recipe: Recipe, all_known: dict | None = None) -> dict:
    """Figures and curves of held-out rows.

    Parameters
    ----------
    held : dict of str to Held
    all_known : dict of str to moderation.anylabel.Rows, optional

    Returns
    -------
    dict
        ``curves``, ``reliability`` and ``at_threshold``, each by label; ``any_label`` as `moderation.anylabel.measure`
        gives, for comments without an article's score and with one.
    """
    found: dict[str, dict] = {"curves": {}, "reliability": {}, "at_threshold": {}, "any_label": {}}
    for kind, known in (all_known or {}).items():
        if anylabel.enough(known):
            found["any_label"][kind] = anylabel.measure(known, *recipe.rates(kind))
    for label in LABELS:
        if label not in held:
            continue
        rows, rate = held[label], recipe.base_rates[label]
        used = rows.weights > 0
        labels, scores, weights = rows.labels[used], rows.scores[used], rows.weights[used]
        found["curves"][label] = rows.curve(rate)
        found["reliability"][label] = reliability(labels, scores, rate, weights)
        found["at_threshold"][label] = {
            "threshold": thresholds[label],
            "base_rate": rate,
            "corpora": sorted({str(corpus) for corpus in rows.corpora[used]}),
            **at_threshold_with_intervals(labels, scores, thresholds[label], rate, weights),
        }
    return found


def by_corpus(corpora, articles, labels, scores) -> dict:
    """ROC AUC with interval of held-out rows, by corpus.

    Parameters
    ----------
    corpora, articles, labels, scores : ndarray, shape (n,)
        Labels NaN where unknown.
    """
    known = np.isfinite(labels) & np.isfinite(scores)
    found = {}
    for corpus in sorted(set(corpora[known])):
        rows = known & (corpora == corpus)
        found[str(corpus)] = auc_with_interval(labels[rows], scores[rows], groups=articles[rows])
    return found


def make(version: str, *, kind: str, data: list[dict], recipe: Recipe, thresholds, figures: dict, **more) -> dict:
    """A card: what JSON can hold, the same for the same model but for ``made``."""
    return {
        "version": version,
        "kind": kind,
        "made": datetime.now(UTC).strftime("%Y-%m-%d"),
        "labels": list(LABELS),
        "intended_use": INTENDED_USE,
        "known_failures": KNOWN_FAILURES,
        "data": data,
        "recipe": _plain(recipe),
        "seed": recipe.seed,
        "libraries": {"python": platform.python_version(), **library_versions(_ENVIRONMENT)},
        "base_rates": recipe.base_rates,
        "thresholds": thresholds,
        **figures,
        **more,
    }


def _plain(recipe):
    from dataclasses import asdict

    return asdict(recipe)
