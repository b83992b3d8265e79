"""The queue, on each kind of database."""

import json
import random
import threading
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from moderation import queue, store
from moderation.comments import LABELS
from moderation.queue import Arrival, Decision, Filter, Policy
from moderation.scorer import LabelScore, Score
from moderation.store import CommentRow, DecisionRow, ItemRow, ModeratorRow, OutboxRow, RevisionRow, ScoreRow

NEVER = Policy(audit=0, double=0)


def scored(abusive=0.1, mocking=0.1, off_topic=None, *, threshold=0.5, model="m-1"):
    values = {"abusive": abusive, "mocking": mocking, "off_topic": off_topic}
    labels = {name: LabelScore(p, threshold, p is not None and p >= threshold) for name, p in values.items()}
    return Score(labels, model)


def arrive(session, id, text="You are a fool.", score=None, policy=NEVER, rng=None, **more):
    return queue.receive(session, Arrival(id, text, **more), score or scored(0.9), policy, rng=rng)


@pytest.fixture
def people(engine):
    with store.writing(engine) as session:
        rows = [ModeratorRow(name=name, role=role) for name, role in (("ann", "moderator"), ("bob", "moderator"))]
        session.add_all([*rows, ModeratorRow(name="lea", role="lead")])
    with store.reading(engine) as session:
        return {row.name: row for row in session.scalars(select(ModeratorRow))}


# ---------------------------------------------------------------------------------------- in


def test_a_flagged_comment_is_queued_with_what_the_queue_orders_by(engine):
    with store.writing(engine) as session:
        arrive(session, "a", score=scored(0.9, 0.6), author="x", section="sport")
    with store.reading(engine) as session:
        [item] = queue.items(session, Filter())
        assert (item.comment_id, item.author, item.section, item.source) == ("a", "x", "sport", "flagged")
        assert (item.flag_abusive, item.flag_mocking, item.flag_off_topic) == (True, True, False)
        assert item.probability == item.rank == 0.9
        assert item.margin == pytest.approx(0.405, abs=0.001)  # mocking is the nearest: log(0.6 / 0.4)
        assert item.score.sampling_probability == 1 and item.comment.text == "You are a fool."


def test_the_same_id_twice_is_one_comment(engine):
    with store.writing(engine) as session:
        first = arrive(session, "a")
        second = arrive(session, "a")
        assert first.new and not second.new
        assert (second.revision.id, second.item.id) == (first.revision.id, first.item.id)
        assert queue.count(session, Filter()) == 1


def test_one_id_sent_by_many_at_once_is_one_comment(engine):
    def send():
        with store.writing(engine) as session:
            arrive(session, "a")

    at_once([send] * 6)
    with store.reading(engine) as session:
        assert len(session.scalars(select(RevisionRow)).all()) == 1
        assert queue.count(session, Filter()) == 1


def test_what_cannot_be_scored_is_put_before_people(engine):
    labels = {name: LabelScore(None, 0.5, False, reason="unsupported_language") for name in LABELS}
    with store.writing(engine) as session:
        arrive(session, "a")
        kept = arrive(session, "b", "Was soll das denn bitte?", Score(labels, "m-1", "unsupported_language"))
        assert kept.item.source == "flagged" and not kept.score.flagged and kept.score.sampling_probability == 1
        assert kept.item.rank == 0.9  # among the others, not behind them


def test_an_edited_text_is_a_new_revision_with_its_own_score(engine):
    with store.writing(engine) as session:
        arrive(session, "a")
        queue.decide_comment(session, "a", Decision("approve", "ann"), NEVER)
        edited = arrive(session, "a", "You are a complete fool.", scored(0.95))
        assert edited.new and edited.revision.number == 2
        assert edited.comment.verdict is None  # what was said of the old text does not speak for the new one
    with store.reading(engine) as session:
        [item] = queue.items(session, Filter())
        assert item.revision.text == "You are a complete fool." and item.score.abusive == 0.95
        assert [row.number for row in session.scalars(select(RevisionRow).order_by(RevisionRow.id))] == [1, 2]


def test_an_edit_takes_the_undecided_old_text_out_of_the_queue(engine):
    with store.writing(engine) as session:
        old = arrive(session, "a").item
        arrive(session, "a", "I am sorry.", scored(0.1))
        assert queue.count(session, Filter()) == 0
        with pytest.raises(queue.Changed):
            queue.decide(session, old.id, Decision("reject", "ann", reason="abusive"), NEVER)


def test_the_audit_draws_its_share_and_keeps_the_probability(engine):
    policy = Policy(audit=0.2, double=0)
    rng = random.Random(3)
    with store.writing(engine) as session:
        arrive(session, "flagged", policy=policy)
        for number in range(300):
            arrive(session, f"c{number}", f"Number {number}", scored(0.1), policy, rng)
        scores = session.scalars(select(ScoreRow).where(~ScoreRow.flagged)).all()
        assert {row.sampling_probability for row in scores} == {0.2}
        drawn = [row for row in scores if row.source == "audit"]
        assert 40 <= len(drawn) <= 80
        assert queue.count(session, Filter()) == 1 + len(drawn)
        # Unmarked: they stand among the flagged ones, not behind them.
        assert {row.rank for row in session.scalars(select(ItemRow).where(ItemRow.source == "audit"))} == {0.9}


# ---------------------------------------------------------------------------------------- looking


def fill(session, n=30):
    rng = random.Random(1)
    for number in range(n):
        p = rng.uniform(0.5, 1)
        label = {"abusive": p, "mocking": 0.1} if number % 3 else {"abusive": 0.1, "mocking": p}
        arrive(
            session,
            f"c{number:02}",
            f"Comment {number} about the {'harbour' if number % 2 else 'Bürgermeister'}",
            scored(**label),
            author=f"author-{number % 4}",
            section="sport" if number % 5 else "local",
        )


def test_orders_and_filters(engine):
    with store.writing(engine) as session:
        fill(session)
    with store.reading(engine) as session:
        ranks = [item.probability for item in queue.items(session, Filter(), limit=30)]
        assert ranks == sorted(ranks, reverse=True) and len(ranks) == 30
        ages = [item.comment_id for item in queue.items(session, Filter(), "age", limit=30)]
        assert ages == sorted(ages)
        margins = [item.margin for item in queue.items(session, Filter(), "uncertain", limit=30)]
        assert margins == sorted(margins)
        mocking = queue.items(session, Filter(label="mocking"), limit=30)
        assert len(mocking) == 10 and all(item.flag_mocking for item in mocking)
        assert queue.count(session, Filter(section="local")) == 6
        assert queue.count(session, Filter(author="author-1", section="sport")) == 6
        assert queue.count(session, Filter(text="bürger")) == 15  # the beginning of a word
        assert queue.count(session, Filter(text="bü")) == 15
        assert queue.count(session, Filter(text="co")) == 0  # too short to begin half of all words
        assert queue.count(session, Filter(text="HARBOUR comment", label="mocking")) == 5
        assert queue.count(session, Filter(text="' OR \"x* NEAR(")) == 0
        assert queue.count(session, Filter(low=0.75)) == sum(p >= 0.75 for p in ranks)
        assert queue.count(session, Filter(status="deferred")) == 0
        two = queue.items(session, Filter(), limit=2, offset=2)
        assert [item.probability for item in two] == ranks[2:4]
        with pytest.raises(ValueError, match="no label"):
            Filter(label="rude")


def test_the_histogram_counts_every_item_once(engine):
    with store.writing(engine) as session:
        fill(session)
        arrive(session, "one", score=scored(1.0))
    with store.reading(engine) as session:
        found = queue.histogram(session, Filter(), 10)
        assert sum(found) == 31 and sum(found[:5]) == 0 and found[9] >= 1
        for place, number in enumerate(found):
            assert queue.count(session, Filter(low=place / 10, high=(place + 1) / 10)) == number


def test_an_authors_history_and_similar_comments(engine):
    with store.writing(engine) as session:
        arrive(session, "a", "Only a total flumpet would close the harbour bridge", author="x")
        arrive(session, "b", "The harbour bridge was closed by a total flumpet", author="x")
        arrive(session, "c", "Nothing in common here", author="x")
        arrive(session, "d", "Total flumpet, close that bridge!", author="y")
        queue.decide_comment(session, "a", Decision("reject", "ann", reason="abusive"), NEVER)
        queue.decide_comment(session, "c", Decision("approve", "ann"), NEVER)
    with store.reading(engine) as session:
        found = queue.author_history(session, "x", but="b")
        assert (found.comments, found.approved, found.rejected) == (2, 1, 1)
        assert {row.text[:4] for row in found.recent} == {"Only", "Noth"}
        [similar] = queue.similar(session, session.get_one(CommentRow, "d"))  # b is as similar, but undecided
        assert similar.comment.id == "a" and similar.comment.reason == "abusive" and similar.overlap > 0.3
        assert queue.author_history(session, "").comments == 0


def test_counts(engine, people):
    with store.writing(engine) as session:
        fill(session)
        for place, item in enumerate(queue.lease(session, people["ann"], NEVER, size=4)):
            verdict = "defer" if place == 0 else "approve"
            queue.decide(session, item.id, Decision(verdict, "ann", people["ann"].id), NEVER)
        found = queue.counts(session, people["ann"])
        assert (found["open"], found["deferred"], found["mine"]) == (26, 1, 3)
        assert found["abusive"] + found["mocking"] == 26 and found["off_topic"] == 0
        assert queue.counts(session, people["bob"])["mine"] == 0


# ---------------------------------------------------------------------------------------- leases


def test_two_moderators_never_get_the_same_card(engine, people):
    with store.writing(engine) as session:
        fill(session, 40)
    got = {name: [] for name in people}

    def work(name):
        while True:
            with store.writing(engine) as session:
                cards = queue.lease(session, people[name], NEVER, size=3)
                for card in cards:
                    queue.decide(session, card.id, Decision("approve", name, people[name].id), NEVER)
                    got[name].append(card.id)
            if not cards:
                return

    at_once([lambda name=name: work(name) for name in got])
    everything = [id for ids in got.values() for id in ids]
    assert len(everything) == len(set(everything)) == 40


def test_a_lease_keeps_others_away_until_it_ends(engine, people):
    with store.writing(engine) as session:
        fill(session, 3)
        first = queue.lease(session, people["ann"], NEVER, size=2)
        assert [item.id for item in queue.lease(session, people["ann"], NEVER, size=2)] == [item.id for item in first]
        [third] = queue.lease(session, people["bob"], NEVER, size=2)
        assert third.id not in {item.id for item in first}
        with pytest.raises(queue.Taken, match="ann is looking at this"):
            queue.decide(session, first[0].id, Decision("approve", "bob", people["bob"].id), NEVER)
        session.execute(update(ItemRow).values(lease_until=store.now() - timedelta(seconds=1)))
        assert len(queue.lease(session, people["bob"], NEVER, size=3)) == 3
        assert queue.release(session, people["bob"]) == 3


def test_another_filter_gives_back_what_it_leaves_out(engine, people):
    with store.writing(engine) as session:
        fill(session)
        queue.lease(session, people["ann"], NEVER, size=10)
        local = queue.lease(session, people["ann"], NEVER, Filter(section="local"), size=10)
        assert {item.section for item in local} == {"local"}
        assert len(session.scalars(select(ItemRow).where(ItemRow.lease_id == people["ann"].id)).all()) == len(local)


# ---------------------------------------------------------------------------------------- decisions


def test_a_decision_on_what_somebody_else_decided_says_so(engine, people):
    with store.writing(engine) as session:
        item = arrive(session, "a").item
        first = queue.decide(session, item.id, Decision("reject", "ann", people["ann"].id, "mocking", 3.5), NEVER)
        again = queue.decide(session, item.id, Decision("reject", "ann", people["ann"].id, "mocking"), NEVER)
        assert again.id == first.id
        with pytest.raises(queue.Decided, match="ann has decided this already") as caught:
            queue.decide(session, item.id, Decision("approve", "bob", people["bob"].id), NEVER)
        assert caught.value.decision.id == first.id
        with pytest.raises(queue.Unknown):
            queue.decide(session, 999, Decision("approve", "bob"), NEVER)
    with store.reading(engine) as session:
        [row] = session.scalars(select(DecisionRow))
        assert (row.who, row.verdict, row.reason, row.seconds, row.model) == ("ann", "reject", "mocking", 3.5, "m-1")
        assert session.get_one(CommentRow, "a").verdict == "reject"


def test_of_two_decisions_at_once_one_counts(engine, people):
    with store.writing(engine) as session:
        ids = [arrive(session, f"c{number}").item.id for number in range(10)]
    outcomes = []

    def work(name):
        for id in ids:
            with store.writing(engine) as session:
                try:
                    queue.decide(session, id, Decision("approve", name), NEVER)
                    outcomes.append((id, name))
                except queue.Decided:
                    pass

    at_once([lambda name=name: work(name) for name in ("ann", "bob", "lea")])
    with store.reading(engine) as session:
        rows = [(row.item_id, row.who) for row in session.scalars(select(DecisionRow))]
    assert sorted(rows) == sorted(outcomes) and [id for id, _ in sorted(rows)] == ids


def test_the_same_request_is_one_decision_also_after_an_undo(engine):
    with store.writing(engine) as session:
        item = arrive(session, "a").item
        decision = Decision("approve", "ann", request="r-1")
        first = queue.decide(session, item.id, decision, NEVER)
        undone = queue.undo(session, first.id, NEVER, who="ann")
        assert queue.decide(session, item.id, decision, NEVER).id == first.id
        assert queue.undo(session, first.id, NEVER, who="ann").id == undone.id
        assert len(queue.decisions(session, "a")) == 2 and item.status == "open"


def test_undo_opens_the_item_again_for_the_moderator_also_days_later(engine, people):
    with store.writing(engine) as session:
        item = arrive(session, "a").item
        decision = queue.decide(session, item.id, Decision("reject", "ann", people["ann"].id, "other"), NEVER)
        assert queue.last_decision(session, people["ann"]).id == decision.id
        session.execute(update(ItemRow).values(decided=store.now() - timedelta(days=9)))
        session.expire_all()
        undone = queue.undo(session, decision.id, NEVER, who="ann", moderator_id=people["ann"].id)
        assert undone.undoes == decision.id
        assert session.get_one(CommentRow, "a").verdict is None
        assert queue.last_decision(session, people["ann"]) is None
        assert [card.id for card in queue.lease(session, people["ann"], NEVER)] == [item.id]
        again = queue.decide(session, item.id, Decision("approve", "ann", people["ann"].id), NEVER)
        assert session.get_one(CommentRow, "a").verdict == "approve"
        # The old decision stays undone; the new one is another.
        assert queue.undo(session, decision.id, NEVER, who="ann").id == undone.id and again.id != decision.id


def test_a_deferred_card_waits_and_can_be_taken_up(engine, people):
    with store.writing(engine) as session:
        item = arrive(session, "a").item
        queue.decide(session, item.id, Decision("defer", "ann", people["ann"].id), NEVER)
        assert queue.lease(session, people["ann"], NEVER) == []
        assert session.get_one(CommentRow, "a").verdict is None
        [card] = queue.lease(session, people["bob"], NEVER, Filter(status="deferred"))
        queue.decide(session, card.id, Decision("approve", "bob", people["bob"].id), NEVER)
        assert session.get_one(CommentRow, "a").verdict == "approve"


def test_decisions_that_make_no_sense_are_refused():
    for arguments in (("accept",), ("reject",), ("approve", None, "abusive"), ("reject", None, "rude")):
        verdict, moderator_id, reason = (*arguments, None, None)[:3]
        with pytest.raises(ValueError):
            Decision(verdict, "ann", moderator_id, reason)


@pytest.mark.parametrize("statement", ["UPDATE decision SET verdict = 'approve'", "DELETE FROM decision"])
def test_the_database_itself_refuses_to_change_a_decision(engine, statement):
    with store.writing(engine) as session:
        arrive(session, "a")
        queue.decide_comment(session, "a", Decision("approve", "ann"), NEVER)
    with pytest.raises(Exception, match="decision is append-only"), store.writing(engine) as session:
        session.execute(store.sql(statement))


def test_what_changes_a_verdict_goes_to_the_outbox_with_it(engine):
    policy = Policy(audit=0, double=0, notify=True)
    with store.writing(engine) as session:
        arrive(session, "a")
        decision = queue.decide_comment(session, "a", Decision("reject", "ann", reason="other"), policy)
        queue.undo(session, decision.id, policy, who="ann")
        queue.decide_comment(session, "a", Decision("defer", "ann"), policy)  # no verdict, no event
    with pytest.raises(RuntimeError), store.writing(engine) as session:
        queue.decide_comment(session, "a", Decision("approve", "ann"), policy)
        raise RuntimeError("the transaction fails")
    with store.reading(engine) as session:
        rows = session.scalars(select(OutboxRow).order_by(OutboxRow.id)).all()
        assert ['"reject"' in row.payload for row in rows] == [True, False]
        assert len({row.event for row in rows}) == 2


# ---------------------------------------------------------------------------------------- second opinions


ALWAYS = Policy(audit=0, double=1)


def test_a_second_opinion_goes_to_somebody_else(engine, people):
    with store.writing(engine) as session:
        item = arrive(session, "a").item
        queue.decide(session, item.id, Decision("approve", "ann", people["ann"].id), ALWAYS)
        assert queue.lease(session, people["ann"], ALWAYS) == []
        [card] = queue.lease(session, people["bob"], ALWAYS)
        assert card.source == "double" and card.pair_id == item.id
        queue.decide(session, card.id, Decision("approve", "bob", people["bob"].id), ALWAYS)
        assert queue.count(session, Filter()) == queue.count(session, Filter(contested=True)) == 0


def test_two_opinions_that_differ_are_settled_by_a_third(engine, people):
    policy = Policy(audit=0, double=1, notify=True)
    with store.writing(engine) as session:
        item = arrive(session, "a").item
        queue.decide(session, item.id, Decision("approve", "ann", people["ann"].id), policy)
        [card] = queue.lease(session, people["bob"], policy)
        second = queue.decide(session, card.id, Decision("reject", "bob", people["bob"].id, "abusive"), policy)
        comment = session.get_one(CommentRow, "a")
        assert comment.verdict == "approve"  # the first holds until it is settled
        assert queue.lease(session, people["ann"], policy) == []
        [contested] = queue.lease(session, people["lea"], policy, Filter(contested=True))
        settled = queue.decide(session, contested.id, Decision("reject", "lea", people["lea"].id, "mocking"), policy)
        assert (comment.verdict, comment.reason) == ("reject", "mocking")
        queue.undo(session, settled.id, policy, who="lea", moderator_id=people["lea"].id)
        assert comment.verdict == "approve"
        # Without its second opinion there is nothing to settle.
        queue.undo(session, second.id, policy, who="bob", moderator_id=people["bob"].id)
        assert queue.count(session, Filter(contested=True)) == 0
        assert len(session.scalars(select(OutboxRow)).all()) == 3


def test_undoing_the_first_opinion_withdraws_the_second(engine, people):
    with store.writing(engine) as session:
        item = arrive(session, "a").item
        first = queue.decide(session, item.id, Decision("approve", "ann", people["ann"].id), ALWAYS)
        assert queue.count(session, Filter()) == 1
        queue.undo(session, first.id, ALWAYS, who="ann")
        [card] = queue.items(session, Filter())
        assert card.id == item.id


# ---------------------------------------------------------------------------------------- batches


def test_a_batch_decides_a_range_and_is_undone_whole(engine, people):
    policy = Policy(audit=0, double=0, notify=True)
    with store.writing(engine) as session:
        fill(session, 40)
        wanted = Filter(low=0.6, high=0.9)
        size = queue.count(session, wanted)
        assert len(queue.sample(session, wanted, 5)) == 5
        taken = queue.lease(session, people["bob"], policy, wanted)[0].id
        batch, left = queue.decide_batch(session, people["ann"], wanted, "reject", policy, reason="other")
        assert (batch.size, left) == (size - 1, 1)
        assert queue.count(session, wanted) == 1
    with store.writing(engine) as session:
        rejected = session.scalars(select(CommentRow).where(CommentRow.verdict == "reject")).all()
        assert len(rejected) == size - 1 == len(session.scalars(select(OutboxRow)).all())
        assert queue.last_decision(session, people["ann"]).batch_id == batch.id
        one = session.scalars(select(DecisionRow).where(DecisionRow.batch_id == batch.id)).first()
        queue.undo(session, one.id, policy, who="ann")
        queue.decide(session, one.item_id, Decision("approve", "bob"), policy)
        assert queue.undo_batch(session, batch.id, policy, who="ann", moderator_id=people["ann"].id) == (size - 2, 1)
        assert queue.count(session, wanted) == size - 1
        assert queue.undo_batch(session, batch.id, policy, who="ann") == (0, size - 1)
        assert session.get_one(ItemRow, one.item_id).verdict == "approve"
        assert session.get_one(ItemRow, taken).verdict is None


def test_a_batch_draws_second_opinions_too(engine, people):
    with store.writing(engine) as session:
        fill(session, 10)
        queue.decide_batch(session, people["ann"], Filter(), "approve", ALWAYS)
        assert queue.count(session, Filter()) == 10
        assert queue.lease(session, people["ann"], ALWAYS) == []
        assert len(queue.lease(session, people["bob"], ALWAYS, size=20)) == 10


def test_a_batch_does_not_overrule_the_lead(engine, people):
    """Two opinions differed, the lead settled it, and the first opinion was undone: a batch that decides it anew is an
    opinion like another."""
    policy = Policy(audit=0, double=1, notify=True)
    with store.writing(engine) as session:
        item = arrive(session, "a").item
        first = queue.decide(session, item.id, Decision("approve", "ann"), policy)
        [second] = queue.items(session, Filter())
        queue.decide(session, second.id, Decision("reject", "bob", reason="abusive"), policy)
        [contested] = queue.items(session, Filter(contested=True))
        queue.decide(session, contested.id, Decision("reject", "lea", reason="abusive"), policy)
        queue.undo(session, first.id, policy, who="ann")
        queue.decide_batch(session, people["ann"], Filter(), "approve", policy)
        assert session.get_one(CommentRow, "a").verdict == "reject"
        assert [json.loads(row.payload)["verdict"] for row in session.scalars(select(OutboxRow))] == [
            "approve",
            "reject",
        ]
        assert session.get_one(ItemRow, item.id).verdict == "approve"
        assert queue.count(session, Filter()) == 0  # and nobody is asked for a second opinion twice


def test_a_batch_draws_as_single_decisions_do(engine, people):
    """What the comment system reported is not drawn: only what the model or the audit brought is measured."""
    with store.writing(engine) as session:
        arrive(session, "a", score=scored(0.1))
        made = queue.decide_comment(session, "a", Decision("approve", "system"), ALWAYS)
        queue.undo(session, made.id, ALWAYS, who="system")
        batch, _ = queue.decide_batch(session, people["ann"], Filter(), "approve", ALWAYS)
        assert batch.size == 1 and queue.count(session, Filter()) == 0


def test_undoing_what_was_put_off_before_a_decision_that_was_undone(engine):
    with store.writing(engine) as session:
        item = arrive(session, "a").item
        put_off = queue.decide(session, item.id, Decision("defer", "ann"), NEVER)
        made = queue.decide(session, item.id, Decision("approve", "bob"), NEVER)
        with pytest.raises(queue.Decided):
            queue.undo(session, put_off.id, NEVER, who="ann")
        queue.undo(session, made.id, NEVER, who="bob")
        with pytest.raises(queue.Changed):
            queue.undo(session, put_off.id, NEVER, who="ann")


def at_once(functions):
    """Run functions in threads that begin together; raise what any of them raised."""
    barrier, problems = threading.Barrier(len(functions)), []

    def run(function):
        barrier.wait()
        try:
            function()
        except Exception as error:  # noqa: BLE001 — it is raised below, in the test's own thread
            problems.append(error)

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]


def test_the_picture_of_a_batch_is_the_same_with_words_and_without(engine):
    with store.writing(engine) as session:
        for number in range(30):
            arrive(session, f"c{number}", f"A bridge, number {number}.", scored(0.51 + number / 100))
        for low, high in ((0.0, 1.0), (0.6, 0.75), (0.9, 1.0)):
            plain, worded = (
                queue.picture(session, Filter(low=low, high=high, text=text), 20, 5) for text in ("", "bridg")
            )
            assert plain[:2] == worded[:2] and sum(plain[0]) == 30
            for number, sample in (plain[1:], worded[1:]):
                assert len(sample) == min(5, number) and all(low <= item.probability <= high for item in sample)
        assert queue.picture(session, Filter(text="nothing"), 20, 5) == ([0] * 20, 0, [])
        assert queue.picture(session, Filter(label="mocking", text="bridge"), 20, 5)[:2] == ([0] * 20, 0)


def test_the_newest_decision_comes_first(engine):
    with store.writing(engine) as session:
        for number in range(4):
            arrive(session, f"c{number}", f"Text {number}.", scored(0.9))
        for number in (2, 0, 3):
            queue.decide_comment(session, f"c{number}", Decision("approve", "ann"), NEVER)
        found = [item.comment_id for item in queue.newest_decided(session, Filter(status="decided"))]
        assert found == ["c3", "c0", "c2"]
        assert [i.comment_id for i in queue.newest_decided(session, Filter(status="decided"), offset=2)] == ["c2"]
