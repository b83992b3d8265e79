"""How good a model is: ranking, curves, calibration, and how sure one can be of each figure."""

from __future__ import annotations

import numpy as np

from moderation.thresholds import METRICS

RESAMPLES = 300


def harden(labels: np.ndarray) -> np.ndarray:
    """Soft labels as yes or no: yes from a half up."""
    return np.asarray(labels) >= 0.5


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve; NaN where only one class is there."""
    from sklearn.metrics import roc_auc_score  # serving, which measures nothing, does without

    truth = harden(labels)
    return float(roc_auc_score(truth, scores)) if 0 < truth.sum() < len(truth) else float("nan")


def resamples(labels: np.ndarray, *, n: int = RESAMPLES, seed: int = 0):
    """Bootstrap row positions, both classes keeping their size.

    Yields
    ------
    ndarray of int64
    """
    truth = harden(labels)
    rng = np.random.default_rng(seed)
    classes = [np.flatnonzero(truth), np.flatnonzero(~truth)]
    for _ in range(n):
        yield np.concatenate([rng.choice(rows, len(rows)) for rows in classes if len(rows)])


def interval(values) -> list[float]:
    """The 95 % percentile interval of bootstrap values."""
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return [float(low), float(high)]


class _Ranked:
    """Scores in order, so that the ROC AUC of a resample is two sums.

    Parameters
    ----------
    labels, scores : ndarray of float, shape (n,)
    """

    def __init__(self, labels, scores):
        levels, self.place = np.unique(scores, return_inverse=True)
        self.size, self.truth = len(levels), harden(labels)

    def auc(self, rows) -> float:
        """ROC AUC of the rows at these positions: the share of pairs ranked rightly, ties counting a half."""
        place, truth = self.place[rows], self.truth[rows]
        positive = np.bincount(place[truth], minlength=self.size)
        negative = np.bincount(place[~truth], minlength=self.size)
        below = np.cumsum(negative) - negative
        return float((positive * (below + negative / 2)).sum() / (positive.sum() * negative.sum()))


def group_resamples(groups: np.ndarray, *, n: int = RESAMPLES, seed: int = 0):
    """Bootstrap row positions, whole groups at a time.

    Yields
    ------
    ndarray of int64
    """
    rng = np.random.default_rng(seed)
    _, place = np.unique(groups, return_inverse=True)
    order = np.argsort(place, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(place))[:-1])
    for _ in range(n):
        yield np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])


def auc_with_interval(labels: np.ndarray, scores: np.ndarray, *, groups=None, seed: int = 0) -> dict:
    """ROC AUC with its 95 % bootstrap interval.

    Parameters
    ----------
    labels, scores : ndarray of float, shape (n,)
    groups : ndarray of str, shape (n,), optional
        The articles that the rows stand under, where there are several: they are then drawn whole, since comments
        under one article are like each other, and other comments would stand under others.
    seed : int

    Returns
    -------
    dict
        ``auc, interval, rows, positives``; the first two None where only one class is there.
    """
    labels, scores = np.asarray(labels), np.asarray(scores)
    point = auc(labels, scores)
    found = {"rows": len(labels), "positives": int(harden(labels).sum())}
    if np.isnan(point):
        return {"auc": None, "interval": None, **found}
    ranked = _Ranked(labels, scores)
    grouped = groups is not None and len(set(groups)) > 1
    draws = group_resamples(np.asarray(groups), seed=seed) if grouped else resamples(labels, seed=seed)
    # A draw of few articles may hold no positive at all.
    values = [ranked.auc(rows) for rows in draws if 0 < ranked.truth[rows].sum() < len(rows)]
    return {"auc": point, "interval": interval(values), **found}


def compare(labels: np.ndarray, old: np.ndarray, new: np.ndarray, *, seed: int = 0) -> dict:
    """ROC AUC of two models on the same rows, and their difference with its 95 % interval.

    Returns
    -------
    dict
        ``old, new, difference, interval, rows, positives``; the first four None where only one class is there.
    """
    labels, old, new = np.asarray(labels), np.asarray(old), np.asarray(new)
    found = {"rows": len(labels), "positives": int(harden(labels).sum())}
    before, after = auc(labels, old), auc(labels, new)
    if np.isnan(before):
        return {"old": None, "new": None, "difference": None, "interval": None, **found}
    # The same resample for both: what makes a row hard is common to the two models and cancels out.
    first, second = _Ranked(labels, old), _Ranked(labels, new)
    draws = [second.auc(rows) - first.auc(rows) for rows in resamples(labels, seed=seed)]
    return {"old": before, "new": after, "difference": after - before, "interval": interval(draws), **found}


def rate_weights(labels: np.ndarray, base_rate: float, weights: np.ndarray | None = None) -> np.ndarray:
    """Row weights (soft labels counted as shares) that make the positives `base_rate` of the whole.

    Parameters
    ----------
    labels : ndarray of float, shape (n,)
    base_rate : float in 0..1
    weights : ndarray of float, shape (n,), optional
        How much each row counts among its like.

    Returns
    -------
    ndarray of float64, shape (2, n)
        Weight of each row as a negative and as a positive.
    """
    labels = np.asarray(labels, dtype=float)
    weights = np.ones(len(labels)) if weights is None else np.asarray(weights, dtype=float)
    negative, positive = (1 - labels) * weights, labels * weights
    return np.stack(
        [
            negative * (1 - base_rate) / max(negative.sum(), 1e-9),
            positive * base_rate / max(positive.sum(), 1e-9),
        ]
    )


def curve(
    labels: np.ndarray, probabilities: np.ndarray, base_rate: float, *, weights=None, points: int = 200
) -> dict[str, list[float]]:
    """Precision, recall and more over the thresholds, as they would be at `base_rate`.

    Corpora hold far more abuse than a newsroom sees; precision is only meaningful at a realistic rate.

    Parameters
    ----------
    labels : ndarray of float, shape (n,)
        0..1; a soft label counts as that share of a positive.
    probabilities : ndarray of float, shape (n,)
    base_rate : float
        Share of positives to assume.
    weights : ndarray of float, shape (n,), optional
    points : int

    Returns
    -------
    dict of str to list of float
        The metrics of `moderation.thresholds.METRICS` at rising thresholds.
    """
    probabilities = np.asarray(probabilities, dtype=float)
    negative, positive = rate_weights(labels, base_rate, weights)
    order = np.argsort(probabilities, kind="stable")
    ranked = probabilities[order]
    # What is flagged at a threshold is everything from its place on.
    hits = np.concatenate([np.cumsum(positive[order][::-1])[::-1], [0.0]])
    alarms = np.concatenate([np.cumsum(negative[order][::-1])[::-1], [0.0]])
    wanted = np.unique(
        np.round(np.concatenate([np.quantile(ranked, np.linspace(0, 1, points)), np.linspace(0.02, 0.98, 49)]), 6)
    )
    places = np.searchsorted(ranked, wanted, side="left")
    true, false = hits[places], alarms[places]
    flagged = true + false
    keep = flagged > 0
    true, false, flagged, wanted = true[keep], false[keep], flagged[keep], wanted[keep]
    precision, recall = true / flagged, true / base_rate
    values = {
        "threshold": wanted,
        "precision": precision,
        "recall": recall,
        "fpr": false / (1 - base_rate),
        "flag_rate": flagged,
        "f1": 2 * precision * recall / np.maximum(precision + recall, 1e-12),
    }
    return {name: [round(float(value), 6) for value in values[name]] for name in METRICS}


def at_threshold(labels, probabilities, threshold: float, base_rate: float, weights=None) -> dict[str, float]:
    """Precision, recall, false-positive rate and flag rate at one threshold and base rate."""
    negative, positive = rate_weights(labels, base_rate, weights)
    flagged = np.asarray(probabilities) >= threshold
    true, false = positive[flagged].sum(), negative[flagged].sum()
    return {
        "precision": float(true / (true + false)) if true + false else float("nan"),
        "recall": float(true / base_rate),
        "fpr": float(false / (1 - base_rate)),
        "flag_rate": float(true + false),
    }


def at_threshold_with_intervals(
    labels, probabilities, threshold, base_rate, weights=None, *, seed=0
) -> dict[str, dict]:
    """As `at_threshold`, each figure with its 95 % bootstrap interval: ``{metric: {value, interval}}``."""
    labels, probabilities = np.asarray(labels), np.asarray(probabilities)
    weights = np.ones(len(labels)) if weights is None else weights
    point = at_threshold(labels, probabilities, threshold, base_rate, weights)
    draws = [
        at_threshold(labels[rows], probabilities[rows], threshold, base_rate, weights[rows])
        for rows in resamples(labels, n=200, seed=seed)
    ]
    return {name: {"value": point[name], "interval": interval([draw[name] for draw in draws])} for name in point}


def reliability(labels, probabilities, base_rate: float, weights=None, *, bins: int = 10) -> dict:
    """How far probabilities are from observed shares, at `base_rate`.

    Bins hold equal weight. The expected calibration error is the weighted mean distance between a bin's mean
    probability and its observed share (Naeini et al., AAAI 2015).

    Returns
    -------
    dict
        ``predicted, observed, weight`` (lists of `bins` floats) and ``ece``.
    """
    negative, positive = rate_weights(labels, base_rate, weights)
    weight = negative + positive
    order = np.argsort(probabilities, kind="stable")
    place = np.minimum((np.cumsum(weight[order]) * bins / weight.sum()).astype(int), bins - 1)
    share = np.bincount(place, weight[order], minlength=bins)
    predicted = np.bincount(place, (weight * np.asarray(probabilities))[order], minlength=bins) / np.maximum(
        share, 1e-12
    )
    observed = np.bincount(place, positive[order], minlength=bins) / np.maximum(share, 1e-12)
    return {
        "predicted": [float(v) for v in predicted],
        "observed": [float(v) for v in observed],
        "weight": [float(v) for v in share / share.sum()],
        "ece": float((share * np.abs(predicted - observed)).sum() / share.sum()),
    }
