"""Comment against article: evidence for words that are related but not the same, and its exact shares of the logit."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from moderation import stopwords
from moderation import topic as topics
from moderation.comments import Article, Comment
from moderation.normal import reused
from moderation.registry import ModelError
from moderation.scorer import Scorer
from moderation.topic import _slopes, _with_products

HOSPITAL = Article(
    "Town hospital closes its maternity ward",
    "The hospital says that it cannot find enough midwives. From May, patients will be sent to the clinic in the city, "
    "forty minutes away by ambulance.",
)
FOOTBALL = Article(
    "Late goal sends City out of the cup",
    "A goal in the last minute ended the season for City. The coach defended his goalkeeper, and fans stayed in the "
    "stadium to applaud the players.",
)


@pytest.fixture(scope="module")
def topic(scorer):
    return scorer.model.topic


def logit(topic, text, article, **around):
    return topic.logits([Comment(text, "c", article, **around)])[0]


def test_words_that_are_related_but_not_shared_speak_for_the_article(topic):
    about_health = "Doctors and nurses were warning of this for years, my surgery lost two as well"
    about_sport = "The referee and the defenders had a poor match, they lost the league long ago"
    assert not {*about_health.lower().split()} & {"hospital", "maternity", "ward", "midwives", "patients", "clinic"}
    assert logit(topic, about_health, HOSPITAL) < logit(topic, about_health, FOOTBALL)
    assert logit(topic, about_sport, FOOTBALL) < logit(topic, about_sport, HOSPITAL)


def test_a_thread_on_the_same_subject_speaks_for_a_comment(topic):
    text = "Our surgery sent two nurses away as well"
    alike = ("The nurses told them years ago", "My surgery has no doctor on Fridays", "Nurses are paid too little")
    other = ("That referee again", "Best match of the season", "Sell the striker")
    assert logit(topic, text, HOSPITAL, thread=alike) < logit(topic, text, HOSPITAL, thread=other)


def test_words_side_by_side_in_both_texts_are_evidence(topic):
    named = [topics.FEATURES.index(name) for name in ("article_adjacent", "article_adjacent_mass")]
    together, apart = "The maternity ward was good", "The ward was good for maternity"
    with_pair, without = (topic.features(Comment(text, "c", HOSPITAL))[named] for text in (together, apart))
    assert (with_pair > 0).all() and (without == 0).all()
    # Words that the space does not know stand side by side too; the title's last and first do not.
    strange = Article("Xyzzyx qwortl", "Nothing else is known.")
    assert (topic.features(Comment("qwortl xyzzyx", "c", strange))[named] == 0).all()
    assert (topic.features(Comment("so xyzzyx qwortl", "c", strange))[named] > 0).all()


def test_the_words_at_the_end_of_a_very_long_comment_are_not_compared_with_all_others(topic):
    words = list(topic.space.index_)[:600]
    named = [topics.FEATURES.index(f"article_{name}") for name in ("translation", "match")]
    found = [
        topic.features(Comment(" ".join(words[:count]), "c", HOSPITAL))[named]
        for count in (topics._MOST_WORDS // 2, topics._MOST_WORDS * 2, len(words))
    ]
    assert (found[1] == found[2]).all() and (found[0] != found[1]).all()


def test_who_is_spoken_of_is_evidence(topic):
    named = [topics.FEATURES.index(name) for name in ("he", "she")]
    queen = Article("Mrs Hill opens the bridge", "She cut the ribbon, and her daughter held the scissors.")
    evidence = {
        text: topic.features(Comment(text, "c", queen))[named]
        for text in ("Did she pay for it?", "Did he pay for it?", "Did they pay for it?")
    }
    he, she = evidence["Did she pay for it?"]
    assert he == 0 and she > 0
    he, she = evidence["Did he pay for it?"]
    assert he < 0 and she == 0
    assert (evidence["Did they pay for it?"] == 0).all()
    thread = ("Mr Hill did", "He always does")
    he, she = topic.features(Comment("Did he pay for it?", "c", queen, thread=thread))[named]
    assert he > 0 and she == 0


def test_each_comment_of_the_thread_is_compared(topic):
    text, other, alike = "The midwives will leave", "That referee again", "No midwives will stay"
    named = [topics.FEATURES.index(f"thread_{which}_cosine") for which in ("best", "top", "mean")]
    best, top, mean = topic.features(Comment(text, "c", HOSPITAL, thread=(other, other, alike, other)))[named]
    assert best > 0 and top == pytest.approx(best / 3) and mean == pytest.approx(best / 4)


@pytest.mark.parametrize("thread", [(), ("The clinic is full already", "Who pays for the ambulance?")])
def test_the_evidence_shares_out_the_logit_exactly(topic, thread):
    comment = Comment("The clinic in the city has no midwives either!", "c", HOSPITAL, "Send them to the city", thread)
    scaled = topic.scaled(topic.features(comment))
    weigher = topic.weighers_[bool(thread)]
    total = float(_slopes(weigher.coefficients, scaled) @ scaled + weigher.intercept)
    classifier = weigher.classifier()
    assert total == pytest.approx(float(classifier.decision_function(_with_products(scaled[None]))[0]), abs=1e-9)
    assert total == pytest.approx(topic.logits([comment])[0], abs=1e-9)
    assert topic.explain(comment)[0] == pytest.approx(total, abs=1e-9)


def test_a_shared_word_has_a_part_of_the_logit(topic):
    _, parts = topic.explain(Comment("The midwives will leave", "c", HOSPITAL))
    assert [(begin, end) for begin, end, _ in parts] == [(4, 12)]
    assert np.isfinite(parts[0][2])


def test_a_model_of_an_earlier_version_is_refused(stored):
    model = copy.deepcopy(stored.model)
    for kind, weigher in model.topic.weighers_.items():
        model.topic.weighers_[kind] = weigher._replace(coefficients=weigher.coefficients[:-1])
    with pytest.raises(ModelError, match="earlier release; train it anew"):
        Scorer(dataclasses.replace(stored, model=model))


def test_results_for_long_texts_are_not_kept():
    asked = []

    @reused(10, longest=5)
    def size(text):
        asked.append(text)
        return len(text)

    assert [size("abc"), size("abc"), size("abcdef"), size("abcdef")] == [3, 3, 6, 6]
    assert asked == ["abc", "abcdef", "abcdef"]


def test_the_evidence_without_the_thread_is_that_of_a_comment_without_one(topic):
    thread = ("The clinic is full already", "Who pays for the ambulance?", "")
    comments = [
        Comment("The clinic in the city has no midwives either!", "a", HOSPITAL, "Send them to the city", thread),
        Comment("Hm", "b", FOOTBALL, "", thread),
        Comment("xyzzy", "c", HOSPITAL, "", ()),
    ]
    bare, threaded = topic.evidence(comments)
    for comment, without, with_thread in zip(comments, bare, threaded, strict=True):
        np.testing.assert_array_equal(topic.features(dataclasses.replace(comment, thread=())), without)
        np.testing.assert_array_equal(topic.features(comment), with_thread)
    assert (bare[:2] != threaded[:2]).any(axis=1).all() and (bare[2] == threaded[2]).all()


def test_the_common_words_are_those_of_scikit_learn():
    assert stopwords.COMMON == ENGLISH_STOP_WORDS


def test_threads_of_all_lengths_are_trained_on_and_leave_the_wrong_articles_as_they_are():
    rows = [(f"comment number {i} about the {place}", place) for place in ("harbour", "school") for i in range(40)]
    rows = [(text, place, "", "starter", np.nan) for text, place in rows]
    comments = pd.DataFrame(rows, columns=["text", "article_id", "parent_text", "corpus", "off_topic"])
    comments["id"] = [str(i) for i in range(len(comments))]
    articles = {
        place: Article(f"News of the {place}", f"The {place} is to be rebuilt.") for place in ("harbour", "school")
    }
    made, labels, _, kinds, *_ = topics.pair(comments, articles, thread=(2, 30))
    sizes = np.array([len(comment.thread) for comment in made])
    assert sizes.min() == 2 and 25 <= sizes.max() <= 30
    assert 0.35 < (sizes <= 7).mean() < 0.65  # half of them by the doubling: 2 to 7 as often as 8 to 30
    assert all(comment.text not in comment.thread for comment in made)
    longest, same, _, again, *_ = topics.pair(comments, articles, thread=(50, 50))
    assert {len(comment.thread) for comment in longest} == {39, 40}  # no more than the article's others
    assert [c.article for c in longest] == [c.article for c in made] and kinds == again
    np.testing.assert_array_equal(labels, same)


def test_long_articles_are_cut_to_their_beginning():
    body = "The council has agreed. " + "Each of the old piers is to be replaced by a new one. " * 8
    articles = {"long": Article("The harbour is rebuilt", body), "brief": Article("School opens", "It is new. Come!")}
    rows = [(f"comment {i}", key, "", "starter", np.nan) for key in articles for i in range(60)]
    comments = pd.DataFrame(rows, columns=["text", "article_id", "parent_text", "corpus", "off_topic"])
    comments["id"] = [str(i) for i in range(len(comments))]
    whole, cut, some = (topics.pair(comments, articles, wrong=("random",), short=short) for short in (0.0, 1.0, 0.25))
    assert {comment.article for comment in whole.comments} == {*articles.values()}
    beginnings = {Article("The harbour is rebuilt", ""), Article("The harbour is rebuilt", "The council has agreed.")}
    assert {comment.article for comment in cut.comments} == {articles["brief"], *beginnings}
    of_long = [comment.article in beginnings for comment in some.comments if comment.article != articles["brief"]]
    assert 0.15 < np.mean(of_long) < 0.35
    for one, other in zip(whole.comments, cut.comments, strict=True):  # all else is drawn as it was
        assert (one.text, one.thread, one.article.title) == (other.text, other.thread, other.article.title)
    assert whole.kinds == cut.kinds


TITLE_ALONE = [
    ("Town hospital closes its maternity ward", "Where are mothers supposed to go now?", "They play like schoolboys."),
    ("Council votes for cycle lanes on Station Road", "Who asked for these lanes?", "Her latest novel is boring."),
    ("Schools bring back handwriting lessons", "My teacher was strict about handwriting.", "Petrol is too dear."),
]


@pytest.mark.parametrize(("title", "about", "elsewhere"), TITLE_ALONE)
def test_an_article_of_which_only_the_title_came_is_no_reason_to_flag(scorer, topic, title, about, elsewhere):
    article = Article(title)
    assert logit(topic, about, article) < logit(topic, elsewhere, article)
    [[*_, off_topic]] = scorer.probabilities([Comment(about, "c", article)])
    assert off_topic < scorer.model.thresholds["off_topic"]


def test_a_wrong_article_is_of_the_same_fold_or_of_all():
    places = {"harbour-1": 0, "school-1": 0, "harbour-2": 1, "school-2": 1}  # and their folds
    rows = [
        (f"comment {i}", key, "", "starter", judged) for key in places for i, judged in enumerate((np.nan, 0.0, 1.0))
    ]
    comments = pd.DataFrame(rows, columns=["text", "article_id", "parent_text", "corpus", "off_topic"])
    comments["id"] = [str(i) for i in range(len(comments))]
    articles = {key: Article(key, f"The {key.split('-')[0]} is to be rebuilt.") for key in places}
    found = topics.pair(comments, articles, wrong=("random", "similar", "nearest"), folds=places)
    pairs = list(zip(found.own, found.kinds, found.paired, strict=True))
    assert all(articles[paired] == each.article for each, paired in zip(found.comments, found.paired, strict=True))
    # What was judged off topic has its own article alone.
    assert [pair for pair in pairs if pair[0] == "harbour-1"] == 2 * [
        ("harbour-1", "own", "harbour-1"),
        ("harbour-1", "random", "school-1"),
        ("harbour-1", "similar", "school-1"),
        ("harbour-1", "nearest", "harbour-2"),
    ] + [("harbour-1", "own", "harbour-1")]
    assert found.labels[:9].tolist() == [0, 1, 1, 1, 0, 1, 1, 1, 1]
    assert found.weights[:9].tolist() == [1, 0.5, 0.5, 1, 2, 0.5, 0.5, 1, 2]
    other = topics.pair(pd.concat([comments] * 20), articles, wrong=("any",), folds=places)
    drawn = {paired for own, paired in zip(other.own, other.paired, strict=True) if own == "harbour-1" != paired}
    assert drawn == places.keys() - {"harbour-1"}
