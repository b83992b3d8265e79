"""Suggested scores become decisions, on each kind of database."""

import numpy as np
import pytest
from scipy import sparse
from sqlalchemy import func, select

from moderation import dataset, learning, queue, simulation, store, training
from moderation.comments import Article, Comment
from moderation.queue import Arrival, Decision, Policy
from moderation.scorer import LabelScore, Score
from moderation.store import ArticleRow, CommentRow, DecisionRow, ItemRow, RevisionRow, ScoreRow, SuggestionRow
from moderation.suggestions import Suggestion, record

POLICY = Policy(audit=1, double=0)


def scored(abusive=0.1):
    values = {"abusive": abusive, "mocking": 0.1, "off_topic": None}
    return Score({name: LabelScore(p, 0.5, p is not None and p >= 0.5) for name, p in values.items()}, "m-1")


def suggest(engine, text="You are a fool.", id="c-1", *, who="Coral", parent_id="", article=None, score=None, **values):
    with store.writing(engine) as session:
        comment = Comment(text, id, article)
        made = record(session, Suggestion(comment, values, who, parent_id), score or scored(), POLICY)
        return made and (made.comment_id, made.verdict, made.reason, made.who, made.source)


def holds(engine, id="c-1"):
    with store.reading(engine) as session:
        row = session.get_one(CommentRow, id)
        return row.verdict, row.reason


def count(engine, table):
    with store.reading(engine) as session:
        return session.scalar(select(func.count()).select_from(table))


def test_one_rejects_and_zero_approves(engine):
    assert suggest(engine, id="a", TOXICITY=1) == ("a", "reject", "abusive", "Coral", "reported")
    assert suggest(engine, id="b", OFF_TOPIC=1, MOCKING=1, TOXICITY=0) == (
        "b",
        "reject",
        "mocking",
        "Coral",
        "reported",
    )
    assert suggest(engine, id="c", LIKELY_TO_REJECT=1) == ("c", "reject", "other", "Coral", "reported")
    assert suggest(engine, id="d", TOXICITY=0) == ("d", "approve", None, "Coral", "reported")
    assert holds(engine, "a") == ("reject", "abusive") and holds(engine, "d") == ("approve", None)


def test_what_lies_between_is_kept_and_decides_nothing(engine):
    assert suggest(engine, TOXICITY=0.4, MOCKING=0.7) is None
    assert holds(engine) == (None, None)
    with store.reading(engine) as session:
        kept = {(row.label, row.value, row.who) for row in session.scalars(select(SuggestionRow))}
    assert kept == {("abusive", 0.4, "Coral"), ("mocking", 0.7, "Coral")}


def test_the_same_suggestion_twice_is_one(engine):
    assert suggest(engine, TOXICITY=1) == suggest(engine, TOXICITY=1)
    tables = (CommentRow, RevisionRow, DecisionRow, SuggestionRow, ItemRow)
    assert [count(engine, table) for table in tables] == [1] * 5


def test_a_text_without_an_id_is_known_again_by_its_callers_words(engine):
    first = suggest(engine, id="", TOXICITY=1)
    assert suggest(engine, id="", TOXICITY=1) == first
    assert suggest(engine, id="", who="another newsroom", TOXICITY=1) != first
    assert count(engine, CommentRow) == 2


def test_the_last_word_holds_and_every_one_stays_in_the_log(engine):
    suggest(engine, TOXICITY=1)
    suggest(engine, LIKELY_TO_REJECT=0)
    assert holds(engine) == ("approve", None)
    suggest(engine, LIKELY_TO_REJECT=1)
    suggest(engine, TOXICITY=1)
    suggest(engine, LIKELY_TO_REJECT=1)
    assert holds(engine) == ("reject", "abusive")
    with store.reading(engine) as session:
        verdicts = [row.verdict for row in queue.decisions(session, "c-1")]
    assert verdicts == ["reject", "undo", "approve", "undo", "reject", "undo", "reject"]


def test_it_is_linked_to_the_comment_that_is_here_already(engine):
    with store.writing(engine) as session:
        queue.receive(session, Arrival("c-1", "<p>You are\n a <b>fool</b>.</p>"), scored(0.9), POLICY)
    assert suggest(engine, "You are a fool.", LIKELY_TO_REJECT=1) == ("c-1", "reject", "other", "Coral", "flagged")
    assert count(engine, RevisionRow) == count(engine, ItemRow) == 1
    assert suggest(engine, "You are a fool, edited.", LIKELY_TO_REJECT=0)[1] == "approve"
    assert count(engine, RevisionRow) == 2 and holds(engine) == ("approve", None)


def test_the_desks_reason_stays_when_the_comment_system_repeats_the_verdict(engine):
    with store.writing(engine) as session:
        queue.receive(session, Arrival("c-1", "You are a fool."), scored(0.9), POLICY)
        queue.decide_comment(session, "c-1", Decision("reject", "ann", reason="mocking"), POLICY)
    assert suggest(engine, LIKELY_TO_REJECT=1)[2:4] == ("mocking", "ann")
    assert count(engine, DecisionRow) == 1
    assert suggest(engine, LIKELY_TO_REJECT=0)[1:4] == ("approve", None, "Coral")


def test_nothing_more_is_kept_of_an_erased_comment(engine):
    suggest(engine, TOXICITY=1)
    with store.writing(engine) as session:
        erasure = store.ErasureRow(
            kind="comment", subject="", comments=1, revisions=1, exports=0, who="test", at=store.now(), chain=""
        )
        session.add(erasure)
        session.flush()
        session.get_one(CommentRow, "c-1").erasure_id = erasure.id
    with pytest.raises(queue.Erased):
        suggest(engine, TOXICITY=0)
    assert count(engine, DecisionRow) == 1


def test_article_and_parent_are_kept_for_training(engine):
    suggest(engine, OFF_TOPIC=1, parent_id="c-0", article=Article("Bridge", "The bridge stays open."))
    with store.reading(engine) as session:
        row = session.get_one(CommentRow, "c-1")
        assert row.parent_id == "c-0" and row.article.body == "The bridge stays open."
    suggest(engine, id="c-2", OFF_TOPIC=1, article=Article("Bridge", "The bridge stays open."))
    assert count(engine, ArticleRow) == 1


def test_what_somebody_else_decided_is_no_part_of_the_random_sample(engine):
    suggest(engine, TOXICITY=1)
    with store.reading(engine) as session:
        [score] = session.scalars(select(ScoreRow))
    assert score.source is None and score.sampling_probability == 0


@pytest.mark.filterwarnings("error")  # numpy only warns where something is divided by nought
def test_what_is_known_from_suggestions_alone_trains_as_one_comment_each(engine, tmp_path):
    for number in range(12):
        suggest(engine, f"You are a fool, number {number}.", id=f"r-{number}", TOXICITY=1)
        suggest(engine, f"A fine bridge, number {number}.", id=f"a-{number}", LIKELY_TO_REJECT=0)
    suggest(engine, "You are a liar.", id="flagged", score=scored(0.9), TOXICITY=1)
    suggest(engine, "Somewhat rude.", id="between", TOXICITY=0.4)
    with store.reading(engine) as session:
        assert set(session.scalars(select(ScoreRow.sampling_probability))) == {0.0, 1.0}
        data = learning.labelled(session)
        weights = data.comments.set_index("comment_id")["weight"]
        assert len(weights) == 25 and "between" not in weights
        assert set(weights) == {1.0}  # as a comment that was flagged: it stands for itself
        [told] = simulation.simulate(simulation.stream(session, "abusive", "m-1"), [0.5])
        assert all(np.isfinite(each["value"]) for each in (told["flags"], told["wrong"], told["missed"]))
    with store.writing(engine) as session:
        learning.export(session, tmp_path / "out", "ann")
    read = dataset.read_dataset(tmp_path / "out").comments
    assert len(read) == 25 and set(read["weight"]) == {1.0}
    rows = training.row_weights(data.comments, "abusive", training.Recipe(corpus_weights={}))
    assert (rows == 1).all()
    classifier = training.fit_classifier(
        sparse.csr_matrix(np.eye(len(rows))), data.comments["abusive"].to_numpy(dtype=float), rows, 1.0
    )
    assert np.isfinite(classifier.coef_).all()
