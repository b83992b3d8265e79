"""The probability that any label applies, from the probabilities of each.

Labels go together: abuse often mocks. Taking them for independent makes the probability that one of them applies too
high, so it is calibrated on comments whose labels are all known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np

from moderation.evaluation import reliability
from moderation.model import Calibration

#: What a calibration is for: comments without an article, which have no score for off_topic, and with one.
TEXT, ARTICLE = "text", "article"
ENOUGH = 40  #: comments to which a label applies, and to which none does, below which there is no calibration
FEWEST = 8  #: comments with, and without, each label


def independent(probabilities: np.ndarray) -> np.ndarray:
    """The probability that any label applies, if labels were independent given the comment.

    Parameters
    ----------
    probabilities : ndarray of float, shape (n, labels)
        Calibrated; NaN where a label has none, which then counts for nothing.

    Returns
    -------
    ndarray of float, shape (n,)
        NaN where no label has a probability.
    """
    found = 1 - np.prod(1 - np.nan_to_num(probabilities, nan=0.0), axis=1)
    return np.where(np.isnan(probabilities).all(axis=1), np.nan, found)


def probability(probabilities: np.ndarray, calibrations: Mapping[str, Calibration]) -> np.ndarray:
    """The probability that any label applies.

    Parameters
    ----------
    probabilities : ndarray of float, shape (n, 3)
        Calibrated, in the order of `moderation.comments.LABELS`; NaN where a label has none.
    calibrations : mapping of str to Calibration
        By `TEXT` and `ARTICLE`, of the log odds of `independent`, which is the answer where one is missing.

    Returns
    -------
    ndarray of float, shape (n,)
        Never below the highest of the labels; NaN where no label has a probability.
    """
    found = independent(probabilities)
    with_article = ~np.isnan(probabilities[:, -1])
    for kind, rows in ((TEXT, ~with_article), (ARTICLE, with_article)):
        if kind in calibrations and rows.any():
            found[rows] = _calibrated(found[rows], probabilities[rows], calibrations[kind])
    return found


def _calibrated(found, probabilities, calibration):
    highest = np.nanmax(np.where(np.isnan(probabilities), -1.0, probabilities), axis=1)
    value = np.maximum(calibration.probability(_log_odds(found)), highest)
    return np.where(np.isnan(found), np.nan, value)


def _log_odds(probabilities):
    clipped = np.clip(probabilities, 1e-12, 1 - 1e-12)
    return np.log(clipped) - np.log1p(-clipped)


@dataclass(frozen=True)
class Rows:
    """Held-out comments whose labels are all known.

    Attributes
    ----------
    probabilities : ndarray of float, shape (n, labels)
        From models that were not trained on the comment.
    truth : ndarray of float in 0..1, shape (n, labels)
    weights : ndarray of float, shape (n,)
    folds : ndarray of int, shape (n,)
        Comments of different folds have nothing in common.
    """

    probabilities: np.ndarray
    truth: np.ndarray
    weights: np.ndarray
    folds: np.ndarray

    def part(self, chosen: np.ndarray) -> Rows:
        return Rows(self.probabilities[chosen], self.truth[chosen], self.weights[chosen], self.folds[chosen])


@dataclass(frozen=True)
class _Cells:
    """Rows cut up by which labels apply: a soft label is that share of a row with it."""

    row: np.ndarray
    any: np.ndarray
    weights: np.ndarray


def _cells(rows: Rows, rates, any_rate: float) -> _Cells:
    """Rows weighted so that each label, and any of them, has its base rate.

    The weights are the nearest to the given ones that do so (raking; Deville & Särndal, 1992).
    """
    patterns = np.array(list(product((0, 1), repeat=rows.truth.shape[1])))
    # People who differ about two labels of a comment are taken to differ about each on its own.
    shares = np.prod(np.where(patterns[None], rows.truth[:, None], 1 - rows.truth[:, None]), axis=2)
    shares = shares * rows.weights[:, None]
    row, pattern = np.nonzero(shares)
    weights, labels = shares[row, pattern], patterns[pattern].astype(float)
    weights /= weights.sum()
    columns = np.column_stack([labels, labels.any(axis=1)])
    wanted = np.array([*rates, any_rate])
    now = weights @ columns
    there = (now > 0) & (now < 1)  # a label that all or none have keeps its rate
    if not (labels.sum(axis=1) > 1).any():
        there[-1] = False  # without comments that have two labels, any is their sum
    columns, wanted = columns[:, there], wanted[there]
    from scipy import optimize  # serving, which fits nothing, does without

    def tilted(tilt):
        return weights * np.exp(np.clip(columns @ tilt, -30, 30))

    def objective(tilt):
        found = tilted(tilt)
        return np.log(found.sum()) - tilt @ wanted, found @ columns / found.sum() - wanted

    weights = tilted(optimize.minimize(objective, np.zeros(len(wanted)), jac=True, method="BFGS", tol=1e-10).x)
    return _Cells(row, np.asarray(labels.any(axis=1)), weights / weights.sum())


def enough(rows: Rows) -> bool:
    """Whether there are comments enough to calibrate."""
    if not len(rows.truth):
        return False
    hard = rows.truth >= 0.5
    either = hard.any(axis=1).sum()
    return bool(
        min(either, len(hard) - either) >= ENOUGH and np.minimum(hard.sum(axis=0), (~hard).sum(axis=0)).min() >= FEWEST
    )


def fit(rows: Rows, rates, any_rate: float) -> Calibration:
    """Fit the calibration of the log odds of `independent` (Platt, 1999), as it is at the labels' base rates.

    Parameters
    ----------
    rows : Rows
        `enough` of them.
    rates : sequence of float
        Base rate of each label.
    any_rate : float
        Of any of them.
    """
    from sklearn.linear_model import LogisticRegression  # serving, which fits nothing, does without

    cells = _cells(rows, rates, any_rate)
    log_odds = _log_odds(independent(rows.probabilities))[cells.row]
    fitted = LogisticRegression(C=np.inf, max_iter=1000).fit(
        log_odds[:, None], cells.any, sample_weight=cells.weights * len(cells.row)
    )
    return Calibration(float(fitted.coef_[0, 0]), float(fitted.intercept_[0]))


def measure(rows: Rows, rates, any_rate: float, calibration: Calibration | None = None) -> dict:
    """How far the probability that any label applies is from the observed share, at the labels' base rates.

    Parameters
    ----------
    rows : Rows
    rates : sequence of float
    any_rate : float
    calibration : Calibration, optional
        Measured as it is; without one each fold is measured with the calibration that the other folds give.

    Returns
    -------
    dict
        ``rows, positives, base_rate`` (of any label), ``independent`` (the expected calibration error if labels were
        taken for independent) and `moderation.evaluation.reliability`'s.
    """
    cells = _cells(rows, rates, any_rate)
    plain = independent(rows.probabilities)
    found = np.full(len(plain), np.nan)
    for fold in np.unique(rows.folds):
        inside = rows.folds == fold
        used = calibration or fit(rows.part(~inside), rates, any_rate)
        found[inside] = _calibrated(plain[inside], rows.probabilities[inside], used)
    rate = float(cells.weights[cells.any].sum())

    def told(probabilities):
        return reliability(cells.any, probabilities[cells.row], rate, cells.weights)

    return {
        "rows": len(plain),
        "positives": int((rows.truth >= 0.5).any(axis=1).sum()),
        "base_rate": rate,
        "independent": told(plain)["ece"],
        **told(found),
    }
