"""Decisions become labelled comments, on each kind of database."""

import random

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from sqlalchemy import select
from test_queue import ALWAYS, NEVER, arrive, people, scored  # noqa: F401 — a fixture

from moderation import dataset, learning, queue, store
from moderation.comments import Article, DataError
from moderation.queue import Decision, Filter, Policy
from moderation.store import ItemRow


def decide(session, id, verdict, reason=None, who="ann", policy=NEVER):
    return queue.decide_comment(session, id, Decision(verdict, who, reason=reason), policy)


def test_what_each_decision_says_of_each_label():
    nan = float("nan")
    assert learning.labels("approve", None, True) == {"abusive": 0, "mocking": 0, "off_topic": 0}
    np.testing.assert_equal(learning.labels("approve", None, False), {"abusive": 0, "mocking": 0, "off_topic": nan})
    rejected = learning.labels("reject", "mocking", True)
    np.testing.assert_equal(rejected, {"abusive": nan, "mocking": 1, "off_topic": nan})
    np.testing.assert_equal(
        learning.labels("reject", "other", True), {"abusive": nan, "mocking": nan, "off_topic": nan}
    )


def test_decisions_as_labelled_comments(engine):
    audit = Policy(audit=0.25, double=0)
    with store.writing(engine) as session:
        store.save_article(session, "bridge", Article("A bridge", "It stands."), "local")
        arrive(session, "approved", "A fine bridge.", article_id="bridge", parent_text="Is it?", section="local")
        arrive(session, "rejected", "You fool.", article_id="bridge")
        arrive(session, "other", "Buy my pills.")
        arrive(session, "undone", "Hm.")
        arrive(session, "deferred", "Well.")
        arrive(session, "open", "So.")
        drawn = arrive(session, "drawn", "Nothing bad.", scored(0.1), audit, random.Random(1))
        assert drawn.item.source == "audit"
        arrive(session, "reported", "Sly contempt.", scored(0.1))
        decide(session, "approved", "approve")
        decide(session, "rejected", "reject", "abusive")
        decide(session, "other", "reject", "other")
        queue.undo(session, decide(session, "undone", "approve").id, NEVER, who="ann")
        decide(session, "deferred", "defer")
        decide(session, "drawn", "approve")
        decide(session, "reported", "reject", "mocking")
    with store.reading(engine) as session:
        data = learning.labelled(session)
    rows = data.comments.set_index("comment_id")
    assert set(rows.index) == {"approved", "rejected", "drawn", "reported"}
    assert dict(rows["weight"]) == {"approved": 1, "rejected": 1, "drawn": 4, "reported": 1}
    assert rows.loc["approved", ["abusive", "mocking", "off_topic"]].tolist() == [0, 0, 0]
    assert rows.loc["approved", "article_id"] == "queue/bridge" and rows.loc["approved", "parent_text"] == "Is it?"
    np.testing.assert_equal(rows.loc["rejected", ["abusive", "mocking", "off_topic"]].tolist(), [1, np.nan, np.nan])
    assert data.articles == {"queue/bridge": Article("A bridge", "It stands.")}
    assert data.sources[0]["rows"] == 4
    # As the training part takes it: joined with sets that have no weights.
    other = dataset.Dataset(rows.reset_index().drop(columns="weight").assign(corpus="other"))
    assert set(dataset.join([data, other]).comments["weight"]) == {1.0, 4.0}


def test_an_edited_comment_teaches_each_text_as_it_was_judged(engine):
    with store.writing(engine) as session:
        arrive(session, "a", "You fool.")
        decide(session, "a", "reject", "abusive")
        arrive(session, "a", "You are mistaken.", scored(0.6))
        decide(session, "a", "approve")
    with store.reading(engine) as session:
        rows = learning.labelled(session).comments
        assert list(zip(rows["text"], rows["abusive"], strict=True)) == [("You fool.", 1.0), ("You are mistaken.", 0.0)]
        assert rows["id"].is_unique


def test_contested_comments_do_not_train_until_they_are_settled(engine, people):  # noqa: F811
    with store.writing(engine) as session:
        for id, first, second in (
            ("agreed", ("approve", None), ("approve", None)),
            ("contested", ("approve", None), ("reject", "abusive")),
            ("settled", ("approve", None), ("reject", "abusive")),
            ("single", ("approve", None), None),
        ):
            item = arrive(session, id).item
            queue.decide(session, item.id, Decision(first[0], "ann", people["ann"].id, first[1]), ALWAYS)
            if second:
                [double] = session.scalars(select(ItemRow).where(ItemRow.pair_id == item.id))
                queue.decide(session, double.id, Decision(second[0], "bob", people["bob"].id, second[1]), ALWAYS)
        for card in queue.items(session, Filter(contested=True)):
            if card.comment_id == "settled":
                queue.decide(session, card.id, Decision("reject", "lea", people["lea"].id, "mocking"), ALWAYS)
    with store.reading(engine) as session:
        rows = learning.labelled(session).comments.set_index("comment_id")
        assert set(rows.index) == {"agreed", "settled", "single"}
        assert rows.loc["settled", "mocking"] == 1 and np.isnan(rows.loc["settled", "abusive"])
        found = learning.agreement(session)
        assert (found.pairs, found.agreed) == (3, pytest.approx(1 / 3))
        assert found.table == {("approve", "abusive"): 2, ("approve", "approve"): 1}


def test_kappa_is_cohens():
    rng = np.random.default_rng(2)
    one = rng.integers(0, 3, 200)
    two = np.where(rng.random(200) < 0.7, one, rng.integers(0, 3, 200))
    counts = np.zeros((3, 3))
    np.add.at(counts, (one, two), 1)
    assert learning.cohen_kappa(counts) == pytest.approx(cohen_kappa_score(one, two))
    assert np.isnan(learning.cohen_kappa(np.array([[5.0]])))


def test_agreement_has_an_interval(engine):
    policy = ALWAYS
    rng = random.Random(5)
    with store.writing(engine) as session:
        for number in range(60):
            item = arrive(session, f"c{number}").item
            first = ("reject", "abusive") if rng.random() < 0.5 else ("approve", None)
            queue.decide(session, item.id, Decision(first[0], "ann", reason=first[1]), policy)
            [double] = session.scalars(select(ItemRow).where(ItemRow.pair_id == item.id))
            second = first if rng.random() < 0.8 else ("approve", None)
            queue.decide(session, double.id, Decision(second[0], "bob", reason=second[1]), policy)
    with store.reading(engine) as session:
        found = learning.agreement(session)
        assert found.pairs == 60 and found.interval[0] < found.kappa < found.interval[1]
        assert 0.5 < found.kappa < 0.95
        assert learning.agreement(session, store.now()).pairs == 0


def test_an_export_reads_back_as_the_same_labels(engine, tmp_path):
    with store.writing(engine) as session:
        store.save_article(session, "bridge", Article("A bridge", 'It\nstands, "still".'))
        arrive(session, "a", 'A "fine"\nbridge, indeed.', article_id="bridge")
        arrive(session, "b", "You fool.", scored(0.1), Policy(audit=1.0))
        decide(session, "a", "approve")
        decide(session, "b", "reject", "abusive")
        row = learning.export(session, tmp_path / "out", "ann")
        assert row.rows == 2
    data = dataset.read_dataset(tmp_path / "out")
    rows = data.comments.set_index("text")
    assert rows.loc['A "fine"\nbridge, indeed.', ["abusive", "mocking", "off_topic"]].tolist() == [0, 0, 0]
    assert rows.loc["You fool.", "abusive"] == 1 and np.isnan(rows.loc["You fool.", "mocking"])
    assert list(data.comments["weight"]) == [1.0, 1.0]
    assert data.articles["out/bridge"].body == 'It\nstands, "still".'
    with store.writing(engine) as session:
        assert learning.export(session, tmp_path / "out", "bob").id == row.id  # again, in its place
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("precious")
    with pytest.raises(DataError, match="not empty"), store.writing(engine) as session:
        learning.export(session, tmp_path / "full", "ann")


def test_an_empty_queue_teaches_nothing(engine):
    with store.reading(engine) as session, pytest.raises(DataError, match="nothing in the queue was decided"):
        learning.labelled(session)
        assert learning.agreement(session).kappa is None


def test_weights_in_a_file_are_read_and_checked(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("id,text,abusive,weight\n1,a,0,2.5\n2,b,1,\n")
    assert list(dataset.read_dataset(path).comments["weight"]) == [2.5, 1.0]
    path.write_text("id,text,abusive,weight\n1,a,0,-1\n")
    with pytest.raises(DataError, match="column weight: '-1' is not a number above 0"):
        dataset.read_dataset(path)
