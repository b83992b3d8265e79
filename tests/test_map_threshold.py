"""A threshold is carried over from other scores to ours."""

import csv
import re

import numpy as np
import pytest
from conftest import ROOT, run

from moderation import carryover
from moderation.carryover import Scored
from moderation.comments import DataError


def made(n=4000, seed=0, truth=True):
    """Old and new scores that share what they see, and the truth that both see dimly."""
    rng = np.random.default_rng(seed)
    severity = rng.normal(size=n)
    right = severity + rng.normal(size=n) > 1.5
    old = 1 / (1 + np.exp(-(severity + 0.5 * rng.normal(size=n))))
    new = 0.3 / (1 + np.exp(-2 * (severity + 0.5 * rng.normal(size=n))))
    return Scored(old, new, right.astype(float) if truth else np.full(n, np.nan))


def test_the_same_flag_rate_is_the_same_number_of_comments():
    scored = made()
    old, ours = carryover.old_point(scored, 0.8), carryover.same_flag_rate(scored, 0.8)
    assert ours.flagged == old.flagged == (scored.new >= ours.threshold).sum()
    assert ours.threshold_interval[0] < ours.threshold < ours.threshold_interval[1]
    # What the formula that made the scores says: the same severity.
    assert ours.threshold == pytest.approx(0.3 / (1 + (1 / 0.8 - 1) ** 2), abs=0.02)
    both = (scored.old >= 0.8) & (scored.new >= ours.threshold)
    assert ours.agreement == pytest.approx(both.sum() / old.flagged)


def test_the_same_precision_flags_as_many_as_it_may():
    scored = made()
    old, ours = carryover.old_point(scored, 0.8), carryover.same_precision(scored, 0.8)
    flags = scored.new >= ours.threshold
    assert ours.precision == pytest.approx(scored.truth[flags].mean())
    assert ours.precision >= old.precision
    assert ours.recall == pytest.approx(scored.truth[flags].sum() / scored.truth.sum())
    for lower in np.linspace(0, ours.threshold, 50)[:-1]:
        more = scored.new >= lower
        assert scored.truth[more].mean() < old.precision or (more == flags).all()


def test_intervals_hold_the_value_and_narrow_with_more_comments():
    few, many = (carryover.old_point(made(n), 0.8) for n in (400, 6400))
    for point in (few, many):
        low, high = point.precision_interval
        assert low < point.precision < high
    assert np.ptp(many.precision_interval) < np.ptp(few.precision_interval) / 2


def test_without_truth_the_flag_rate_is_all_there_is():
    scored = made(truth=False)
    assert carryover.same_precision(scored, 0.8) is None
    point = carryover.same_flag_rate(scored, 0.8)
    assert point.precision is None and point.recall_interval is None


def test_equal_scores_are_flagged_together():
    scored = Scored(np.linspace(0, 1, 100), np.repeat([0.1, 0.2], 50), np.zeros(100))
    assert carryover.same_flag_rate(scored, 0.9).flagged == 50


def test_too_few_flagged_comments_say_nothing():
    with pytest.raises(DataError, match="only 0 comments"):
        carryover.old_point(made(100), 1.0)


@pytest.fixture
def export(tmp_path):
    """Scores as somebody may have kept them: those of the starter set's comments, with some noise."""
    rng = np.random.default_rng(1)
    with open(ROOT / "data" / "comments.csv", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["abusive"]][:400]
    path = tmp_path / "scores.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "toxicity", "rejected"])
        for row in rows:
            writer.writerow([row["text"], round(0.3 * float(row["abusive"]) + 0.7 * rng.random(), 4), row["abusive"]])
        writer.writerow(["", 0.5, 0])
        writer.writerow(["Fine.", "high", 0])
    return path


def map_threshold(export, *options):
    return run("-m", "moderation", "map-threshold", "--old", export, "--score", "toxicity", *options)


def test_the_command_tells_thresholds_with_intervals(export):
    done = map_threshold(export, "--at", "0.6", "--truth", "rejected")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("400 comments; TOXICITY of ")
    [rate] = re.findall(r"ours, same flag rate +(0\.\d+) \((0\.\d+)–(0\.\d+)\) +(\d+) = ", done.stdout)
    [old] = re.findall(r"old scores +0\.600 +(\d+) = ", done.stdout)
    assert rate[3] == old and float(rate[1]) <= float(rate[0]) <= float(rate[2])
    assert re.search(r"ours, same precision +0\.\d+ ", done.stdout)
    assert "column text: is empty" in done.stderr
    assert "'high' is not a number from 0 to 1" in done.stderr


def test_without_decisions_it_says_what_is_missing(export):
    done = map_threshold(export, "--at", "0.6")
    assert "--truth COLUMN says what people decided" in done.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--at", "0.6", "--truth", "nothing"], "has no column 'nothing'"),
        (["--at", "1.0"], "only 0 comments have an old score of 1 or more"),
        (["--at", "7"], "0<=x<=1"),
        (["--at", "0.6", "--attribute", "INSULT"], "'INSULT' is not one of our attributes"),
        (["--at", "0.6", "--attribute", "OFF_TOPIC"], "has no comment that can be used"),
    ],
)
def test_what_cannot_be_done_is_said(export, options, said):
    done = map_threshold(export, *options)
    assert done.returncode != 0 and said in done.stderr and "Traceback" not in done.stderr
