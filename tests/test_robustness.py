"""What the shipped model must do beside ranking: be fair, see through disguises, and know what words are used for."""

import csv
import random
import sys

import pytest
from conftest import ROOT, SHARED, needs_corpora

from moderation.comments import Comment

sys.path.insert(0, str(ROOT))
from benchmarks import robustness  # noqa: E402


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


@pytest.fixture(scope="module")
def identity(scorer):
    return robustness.identity(scorer, SHARED / "corpora")


@needs_corpora
def test_abuse_is_told_from_mention_for_every_identity_term(identity):
    assert len(identity) > 30
    assert min(row["auc"] for row in identity) >= 0.92


@needs_corpora
def test_no_identity_term_is_flagged_more_often_than_the_whole(identity):
    whole = identity[0]["false_positives"]
    assert max(abs(row["false_positives"] - whole) for row in identity) <= 0.05


@needs_corpora
def test_abuse_in_a_long_comment_is_still_found(scorer):
    alone, *mixed = robustness.dilution(scorer, SHARED / "corpora")
    assert alone["recall"] > 0.4 and len(mixed) == 3
    assert min(row["kept"] for row in mixed) >= 0.85


def test_a_sentence_scores_the_same_whichever_group_it_names(scorer):
    for sentence in ("My neighbour is {} and sings in the choir.", "All {} people are stupid filth", "a {} teacher"):
        texts = [sentence.format(term) for term in ("gay", "black", "muslim", "jewish", "white", "blind", "mexican")]
        scores = [score.labels["abusive"].score for score in scorer.score([Comment(text) for text in texts])]
        assert max(scores) - min(scores) < 1e-12


def test_phrases_are_found_where_a_plain_search_finds_them(scorer):
    import re

    from moderation import cues

    with open(ROOT / "data" / "comments.csv", newline="", encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file)][:1500]
    plain = {n: re.compile(rf"(?<![^\W_])(?:{pattern})(?![^\W_])") for n, pattern in cues._PHRASES.items()}
    hits = 0
    for text in texts:
        found = cues.pieces(text)
        values = cues.cues(text, found)
        normal = " ".join(piece.text for piece in found)
        for name, pattern in plain.items():
            count = len(pattern.findall(normal))
            assert values[cues.NAMES.index(name)] == pytest.approx(min(count, 3) / 1.5), (name, normal)
            hits += count
    assert hits > 200
