"""The probability that any label applies, where labels go together."""

import numpy as np
import pytest

from moderation import anylabel, training
from moderation.anylabel import ARTICLE, TEXT, Rows
from moderation.model import Calibration

RATES = (0.05, 0.08, 0.05)
ANY = {2: 0.1, 3: 0.13}


def made(n=20_000, labels=2, seed=0):
    """Comments whose labels have a cause in common that the scores see dimly; each label is calibrated on its own."""
    rng = np.random.default_rng(seed)
    cause = rng.normal(size=n)
    probabilities, truth = [], []
    for rate in RATES[:labels]:
        own = 0.9 * cause + 0.5 * rng.normal(size=n)
        truth.append((own > 1).astype(float))
        logits = own + rng.normal(size=n)
        probabilities.append(training.calibrate(logits, truth[-1], rate).probability(logits))
    return Rows(np.stack(probabilities, axis=1), np.stack(truth, axis=1), np.ones(n), np.arange(n) % 5)


@pytest.mark.parametrize("labels", [2, 3])
def test_labels_that_go_together_are_no_longer_too_high(labels):
    rows, rates = made(labels=labels), (RATES[:labels], ANY[labels])
    told = anylabel.measure(rows, *rates)
    assert told["ece"] < 0.7 * told["independent"]
    assert told["ece"] < 0.012
    # Measured as it is, on other comments.
    fresh = anylabel.measure(made(labels=labels, seed=1), *rates, anylabel.fit(rows, *rates))
    assert fresh["ece"] < 0.7 * fresh["independent"]


def test_rows_are_weighted_to_the_base_rates():
    rows = made(labels=3)
    cells = anylabel._cells(rows, RATES, ANY[3])
    shares = [cells.weights[rows.truth[cells.row, label] == 1].sum() for label in range(3)]
    assert shares == pytest.approx(RATES, abs=1e-6)
    assert cells.weights[cells.any].sum() == pytest.approx(ANY[3], abs=1e-6)
    assert cells.weights.sum() == pytest.approx(1)
    assert anylabel.measure(rows, RATES, ANY[3])["base_rate"] == pytest.approx(ANY[3], abs=1e-6)


def test_labels_that_never_go_together_are_weighted_as_far_as_they_can_be():
    rows = made(labels=2)
    apart = rows.part(~rows.truth.all(axis=1))
    cells = anylabel._cells(apart, RATES[:2], ANY[2])
    assert cells.weights[cells.any].sum() == pytest.approx(sum(RATES[:2]), abs=1e-6)
    assert np.isfinite(anylabel.fit(apart, RATES[:2], ANY[2])).all()


def test_a_soft_label_is_that_share_of_a_comment():
    hard = made(400)
    soft = Rows(hard.probabilities, np.where(hard.truth == 1, 0.5, 0), hard.weights, hard.folds)
    twice = Rows(
        np.tile(hard.probabilities, (4, 1)),
        np.concatenate([hard.truth * pattern for pattern in ((0, 0), (0, 1), (1, 0), (1, 1))]),
        np.tile(hard.weights, 4),
        np.tile(hard.folds, 4),
    )
    first, second = (anylabel.fit(rows, RATES[:2], ANY[2]) for rows in (soft, twice))
    assert first == pytest.approx(second, abs=1e-4)


def test_without_a_calibration_labels_count_as_independent():
    probabilities = np.array([[0.5, 0.2, np.nan], [0.5, 0.2, 0.5], [np.nan] * 3])
    np.testing.assert_allclose(anylabel.probability(probabilities, {}), [0.6, 0.8, np.nan])
    changed = anylabel.probability(probabilities, {TEXT: Calibration(1.0, -0.2)})
    assert changed[0] == pytest.approx(1 / (1 + np.exp(-(np.log(0.6 / 0.4) - 0.2)))) and changed[1] == 0.8
    assert np.isnan(changed[2])


def test_it_is_never_below_a_label():
    rng = np.random.default_rng(0)
    probabilities = rng.random((1000, 3)) ** 3
    probabilities[::2, 2] = np.nan
    probabilities[:2] = [[0, 0, 0], [1, 1, 1]]
    for calibration in (Calibration(0.5, -3.0), Calibration(2.0, 3.0), Calibration(1.0, 0.0)):
        found = anylabel.probability(probabilities, {TEXT: calibration, ARTICLE: calibration})
        assert (found >= np.nanmax(probabilities, axis=1) - 1e-12).all() and (found <= 1).all()


def test_few_comments_give_no_calibration():
    assert anylabel.enough(made(2000))
    assert not anylabel.enough(made(60))
    rows = made(2000)
    assert not anylabel.enough(Rows(rows.probabilities, rows.truth * (1, 0), rows.weights, rows.folds))
    assert not anylabel.enough(Rows(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0), np.zeros(0)))
