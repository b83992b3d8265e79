"""Scores: equal to scikit-learn's, exactly explained, the same alone and in a batch, for any text."""

import gc
import math
import weakref

import numpy as np
import pytest
from conftest import SHARED, needs_corpora, needs_seed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moderation import registry
from moderation.comments import LABELS, TEXT_LIMIT, Article, Comment, text_problem
from moderation.language import SCORED
from moderation.model import TEXT_LABELS
from moderation.scorer import Scorer
from moderation.transformer import fitted_union, pipeline

ARTICLE = Article("Council plans to close the harbour bridge", "The bridge across the old harbour needs repair.")
TEXTS = [
    "You are an idiot, and so is your brother.",
    "Oh brilliant. Another bridge closed. Just what we need!!!",
    "I d i o t s everywhere, f**k them",
    "Fools",
    "Why???",
    "Ünïcode 😀 ﷺ text with\nlines and https://links.example",
    "one two three " * 500,
]


def logit(probability):
    return np.log(probability) - np.log1p(-probability)


def test_scores_are_those_of_the_scikit_learn_pipeline(scorer):
    found = scorer.probabilities([Comment(text) for text in TEXTS])
    for column, label in enumerate(TEXT_LABELS):
        decision = pipeline(scorer.model, label).decision_function(TEXTS)
        expected = scorer.model.calibrations[label].probability(decision)
        assert np.abs(found[:, column] - expected).max() < 1e-6


def test_a_model_is_gone_with_its_last_user(models):
    """A service that takes up a new version has no search for garbage to wait for, nor one that finds the old."""
    scorer = Scorer(registry.load(models, registry.DEFAULT))
    scorer.score([Comment(text, article=ARTICLE, parent="Is the bridge old?") for text in TEXTS])
    gone = [weakref.ref(each) for each in (scorer, scorer.model, scorer.model.space, scorer.model.topic)]
    gc.collect()
    gc.disable()
    try:
        del scorer
        assert [each() for each in gone] == [None] * len(gone)
    finally:
        gc.enable()


@needs_corpora
@pytest.mark.parametrize(
    "corpus", [p.name for p in sorted((SHARED / "corpora").glob("*/"))] if SHARED.exists() else [""]
)
def test_scores_are_those_of_the_pipeline_on_every_corpus(scorer, corpus):
    import pandas as pd

    texts = pd.read_csv(SHARED / "corpora" / corpus / "comments.csv", usecols=["text"])["text"].dropna()
    texts = list(texts.sample(min(300, len(texts)), random_state=0))
    statuses = scorer.probabilities_and_statuses([Comment(text) for text in texts])[1]
    texts = [text for text, status in zip(texts, statuses, strict=True) if status == SCORED]
    assert len(texts) >= 0.95 * len(statuses)
    found = scorer.probabilities([Comment(text) for text in texts])
    for column, label in enumerate(TEXT_LABELS):
        decision = pipeline(scorer.model, label).decision_function(texts)
        expected = scorer.model.calibrations[label].probability(decision)
        assert np.abs(found[:, column] - expected).max() < 1e-6


@pytest.mark.parametrize("text", TEXTS)
def test_terms_and_rest_add_up_to_the_score(scorer, text):
    [score] = scorer.score([Comment(text, article=ARTICLE, parent="The bridge is old.")], terms=100_000)
    for label in LABELS:
        found = score.labels[label]
        total = sum(term.weight for term in found.terms) + found.rest
        assert logit(found.score) == pytest.approx(total, abs=1e-6)


def test_a_term_is_its_ngrams_weights_times_their_coefficients(scorer):
    """Recomputed from scikit-learn's own matrix, without the scorer's arrays."""
    model, text = scorer.model, "What a pathetic liar"
    union = fitted_union(model.space)
    row = union.transform([text]).tocsr()
    names = union.get_feature_names_out()
    coefficients = model.weighers["abusive"].coefficients * model.calibrations["abusive"].slope
    of_word = 0.0
    for index in row.indices:
        name = names[index]
        if name.startswith("words__"):
            belongs = name == "words__pathetic"
        elif name.startswith("characters__"):
            gram = name.removeprefix("characters__")
            belongs = gram in " pathetic " and not any(gram in f" {word} " for word in ("what", "a", "liar"))
        else:
            belongs = False
        of_word += row[0, index] * coefficients[index] * belongs
    shared = 0.0
    for index in row.indices:
        gram = names[index].removeprefix("characters__")
        if names[index].startswith("characters__") and gram in " pathetic ":
            places = {word: sum(f" {word} "[i:].startswith(gram) for i in range(12)) for word in text.lower().split()}
            if sum(places.values()) > places["pathetic"]:
                shared += row[0, index] * coefficients[index] * places["pathetic"] / sum(places.values())
    values, where = scorer._vectors.cue_row(text, scorer._vectors.read(text))
    cues = scorer._coefficients[0][scorer._vectors.n_ngrams :] * values
    of_cues = sum(cues[cue] / len(at) for cue, at in where.items() if 2 in at)
    [score] = scorer.score([Comment(text)], terms=1000)
    [term] = [t for t in score.labels["abusive"].terms if t.text == "pathetic"]
    assert term.weight == pytest.approx(of_word + shared + of_cues, abs=1e-6)


def test_a_score_does_not_depend_on_the_batch(scorer):
    comments = [Comment(text, article=ARTICLE if i % 2 else None) for i, text in enumerate(TEXTS)]
    together = scorer.probabilities(comments)
    alone = np.concatenate([scorer.probabilities([comment]) for comment in comments])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-12)
    explained = scorer.score(comments)
    for row, score in zip(together, explained, strict=True):
        for column, label in enumerate(LABELS):
            if np.isnan(row[column]):
                assert score.labels[label].score is None and score.labels[label].reason == "no_article"
            else:
                assert score.labels[label].score == pytest.approx(row[column], abs=1e-9)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(min_size=1, max_size=400), parent=st.text(max_size=80), body=st.text(max_size=200))
def test_any_text_is_scored_or_refused(scorer, text, parent, body):
    if text_problem(text):
        return
    article = Article("Title", body) if body.strip() else None
    [score] = scorer.score([Comment(text, article=article, parent=parent)])
    assert set(score.labels) == set(LABELS)
    for label in score.labels.values():
        if label.score is not None:
            assert 0 <= label.score <= 1
            assert label.flagged == (label.score >= label.threshold)
        for term in label.terms:
            assert text[term.begin : term.end] == term.text


@pytest.mark.parametrize("unit", ["a", "a ", "a b c d  ", "a.", "*", "idiot ", "\u0301", "😀", "A!", "ﷺ"])
def test_the_longest_comments_are_scored_or_told_why_not(scorer, unit):
    text = (unit * TEXT_LIMIT).encode()[:TEXT_LIMIT].decode("utf-8", "ignore")
    [score] = scorer.score([Comment(text, article=ARTICLE)])
    if score.status == SCORED:
        assert all(0 <= label.score <= 1 for label in score.labels.values())
    else:
        assert all(label.score is None and label.reason == score.status for label in score.labels.values())


def test_a_longest_comment_of_words_is_scored(scorer):
    [score] = scorer.score([Comment(("idiot " * TEXT_LIMIT)[:TEXT_LIMIT], article=ARTICLE)])
    assert score.status == SCORED and score.labels["abusive"].flagged


@needs_seed
def test_the_seed_comments_are_judged_as_a_moderator_would(scorer):
    [path] = (SHARED / "seed").glob("*.txt")
    lines = path.read_text(encoding="utf-8").splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("Full story at"))
    article = Article(lines[0], "\n".join(lines[1:at]))
    comments = [line for line in lines[at + 1 :] if line.strip()]
    assert len(comments) == 3
    first, second, third = scorer.score([Comment(text, article=article) for text in comments])
    assert first.labels["mocking"].flagged
    assert not second.flagged
    assert third.labels["abusive"].flagged or third.labels["mocking"].flagged
    assert not any(score.labels["off_topic"].flagged for score in (first, second, third))


def test_without_terms_the_scores_are_the_same(scorer):
    article = Article("Council plans to close the harbour bridge", "The bridge needs repair.")
    comments = [
        Comment("You are an idiot and a liar.", article=article),
        Comment("Close it, they said."),
        Comment("https://links.example"),
        Comment("x" * 10_000),
        Comment("idiot " * 3_000, article=article),
    ]
    for told, bare in zip(scorer.score(comments), scorer.score(comments, terms=0), strict=True):
        assert (bare.flagged, bare.model, bare.status) == (told.flagged, told.model, told.status)
        for label, verdict in bare.labels.items():
            assert verdict.terms == () and verdict.reason == told.labels[label].reason
            assert verdict.score == pytest.approx(told.labels[label].score, abs=1e-9)
            if verdict.score is not None:
                assert 1 / (1 + math.exp(-verdict.rest)) == pytest.approx(verdict.score)
