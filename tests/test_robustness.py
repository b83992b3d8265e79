"""What the shipped model must do beside ranking: be fair, see through disguises, and know what words are used for."""

import csv
import random
import sys

import numpy as np
import pytest
from conftest import ROOT, SHARED, needs_corpora

from moderation.comments import LABELS, Comment

sys.path.insert(0, str(ROOT))
from benchmarks import robustness  # noqa: E402

ABUSIVE = LABELS.index("abusive")


@pytest.fixture(scope="module")
def kinds(scorer):
    return {row["kind"]: row for row in robustness.functions(scorer)}


@pytest.mark.parametrize("kind", sorted({row["kind"] for row in robustness.behaviour()}))
def test_most_cases_of_every_kind_are_judged_rightly(kinds, kind):
    assert kinds[kind]["rate"] >= 0.6, kinds[kind]


def test_the_cases_are_a_few_hundred_and_not_in_the_starter_set():
    cases = robustness.behaviour()
    assert len(cases) >= 300 and len({row["text"].casefold() for row in cases}) == len(cases)
    with open(ROOT / "data" / "comments.csv", newline="", encoding="utf-8") as file:
        trained = {row["text"].casefold() for row in csv.DictReader(file)}
    assert not trained & {row["text"].casefold() for row in cases}


@pytest.mark.parametrize("name", sorted(robustness.DISGUISES))
def test_disguised_insults_are_found_as_often(scorer, name):
    insults = [row["text"] for row in robustness.behaviour() if int(row["expected"]) and row["label"] == "abusive"]
    rng = random.Random(0)
    disguised = [robustness.disguise(name, text, rng) for text in insults]
    assert disguised != insults
    before, after = (robustness.flagged(scorer, texts)[0] for texts in (insults, disguised))
    assert after.mean() >= 0.9 * before.mean()


def test_places_of_terms_stay_right_in_disguised_text(scorer):
    rng = random.Random(0)
    for name in robustness.DISGUISES:
        text = robustness.disguise(name, "You are a stupid idiot and everybody knows it", rng)
        [score] = scorer.score([Comment(text)])
        terms = score.labels["abusive"].terms
        assert terms and all(text[term.begin : term.end] == term.text for term in terms)
        assert max(terms, key=lambda term: term.weight).begin > text.index("a")


@needs_corpora
def test_naming_a_group_is_not_abuse(scorer):
    found = robustness.identity(scorer, SHARED / "corpora")
    whole = found[0]
    assert len(found) > 30
    for row in found:
        assert row["auc"] >= 0.92, row
        assert abs(row["false_positives"] - whole["false_positives"]) <= 0.05, row


@needs_corpora
def test_abuse_in_a_long_comment_is_still_found(scorer):
    alone, *mixed = robustness.dilution(scorer, SHARED / "corpora")
    print(mixed)
    assert all(row["recall"] <= 1 for row in mixed) and np.isfinite(alone["recall"])
