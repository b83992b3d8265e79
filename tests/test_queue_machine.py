"""Random moderation, step by step against a simple model of the queue, with a clock that the test sets."""

import itertools
import json
import shutil
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import admin
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select

from moderation import erasure, queue, store
from moderation.queue import Arrival, Decision, Filter, Policy
from moderation.scorer import LabelScore, Score
from moderation.store import BatchRow, CommentRow, DecisionRow, ItemRow, ModeratorRow, OutboxRow, RevisionRow

IDS = ("a", "b", "c")
TEXTS = ("fool alpha", "fool beta", "gamma")
PEOPLE = ("ann", "bob", "lea")
LEASE = 600
VERDICTS = (("approve", None), ("reject", "abusive"), ("reject", "other"), ("defer", None))


class Clock(datetime):
    """The time that `moderation.store.now` tells."""

    at = datetime(2026, 3, 2, 12, tzinfo=UTC)

    @classmethod
    def now(cls, tz=None):
        return cls.at


class Draw:
    """Random numbers below every share (`True`), or above all."""

    def __init__(self, drawn):
        self.drawn = drawn

    def random(self):
        return 0.0 if self.drawn else 1.0

    def randint(self, low, high):
        return low


# ---------------------------------------------------------------------------------------- the model


@dataclass
class Item:
    comment: str
    revision: int
    source: str
    pair: int | None = None
    not_for: str = ""
    status: str = "open"
    held: tuple = (None, None, "")  # verdict, reason, by
    decision: int | None = None
    lease: tuple | None = None  # who, until


@dataclass
class Comment:
    author: str
    created: datetime
    texts: list[str] = field(default_factory=list)
    verdict: tuple = (None, None)
    erased: bool = False

    @property
    def revision(self):
        return len(self.texts)


@dataclass
class Made:
    """A decision; `undone` is the number of the one that undid it."""

    item: int
    who: str
    verdict: str
    reason: str | None
    undone: int | None = None
    batch: int | None = None


class Machine(RuleBasedStateMachine):
    engine = None  # set by the test

    @initialize()
    def begin(self):
        self.clock = Clock.at = datetime(2026, 3, 2, 12, tzinfo=UTC)
        self.comments: dict[str, Comment] = {}
        self.items: dict[int, Item] = {}
        self.made: dict[int, Made] = {}
        self.requests: dict[str, int] = {}
        self.batches: list[int] = []
        self.seen: dict[int, tuple] = {}
        self.fresh()
        with store.writing(self.engine) as session:
            session.add_all(ModeratorRow(name=name, role="lead" if name == "lea" else "moderator") for name in PEOPLE)

    def fresh(self):
        """An empty database as `self.engine`."""
        raise NotImplementedError

    # what the model does

    def model_live(self, number):
        """The lease of an item that counts now."""
        lease = self.items[number].lease
        return lease and lease[1] > Clock.at and lease

    def model_settle(self, id):
        comment = self.comments[id]
        decided = [
            (each.source == "contested", number)
            for number, each in self.items.items()
            if (each.comment, each.revision, each.status) == (id, comment.revision, "decided")
            and each.source != "double"
        ]
        comment.verdict = self.items[max(decided)[1]].held[:2] if decided else (None, None)

    def model_withdraw(self, of):
        for number, each in self.items.items():
            if of(number, each) and each.status in ("open", "deferred"):
                each.status, each.lease = "withdrawn", None

    def model_enqueued(self, session, item):
        """Take in the item that the queue must have made, and no other."""
        new = set(session.scalars(select(ItemRow.id))) - set(self.items)
        assert len(new) == 1, (new, item)
        self.items[new.pop()] = item

    def model_decide(self, session, number, made_id, who, verdict, reason, draw):
        item = self.items[number]
        self.made[made_id] = Made(number, who, verdict, reason)
        item.status, item.decision = "deferred" if verdict == "defer" else "decided", made_id
        item.held, item.lease = (verdict, reason, who), None
        if verdict != "defer":
            self.model_look_again(session, number, who, draw)
        self.model_settle(item.comment)

    def model_look_again(self, session, number, who, draw):
        item = self.items[number]
        if item.source == "contested":
            return
        first_number = item.pair if item.source == "double" else number
        first = self.items[first_number]
        pairs = [each for each in self.items.values() if each.pair == first_number and each.status != "withdrawn"]
        seconds = [each for each in pairs if each.source == "double"]
        if not seconds:
            if item.source in ("flagged", "audit") and draw:
                self.model_enqueued(session, Item(item.comment, item.revision, "double", number, who))
        elif (
            first.status == seconds[0].status == "decided"
            and first.held[:2] != seconds[0].held[:2]
            and not any(each.source == "contested" for each in pairs)
        ):
            self.model_enqueued(session, Item(item.comment, item.revision, "contested", first_number))

    def model_undo(self, made_id, undo_id, moderator):
        made = self.made[made_id]
        item, number = self.items[made.item], made.item
        made.undone = undo_id
        comment = self.comments[item.comment]
        current = not comment.erased and item.revision == comment.revision
        item.status, item.decision, item.held = "open" if current else "withdrawn", None, (None, None, "")
        if moderator and current:
            item.lease = (moderator, Clock.at + timedelta(seconds=LEASE))
        if item.source == "double":
            self.model_withdraw(lambda n, each: each.pair == item.pair and each.source == "contested")
        elif item.source != "contested":
            self.model_withdraw(lambda n, each: each.pair == number)
        self.model_settle(item.comment)

    def model_erase(self, ids):
        for id in ids:
            comment = self.comments[id]
            comment.erased, comment.author, comment.texts = True, "", [""] * comment.revision
            self.model_withdraw(lambda n, each, id=id: each.comment == id)
            for each in self.items.values():
                if each.comment == id:
                    each.lease = None

    # what is done

    def policy(self):
        return Policy(audit=0.5, double=0.5, lease=LEASE, notify=True)

    def moderator(self, session, name):
        return session.scalar(select(ModeratorRow).where(ModeratorRow.name == name))

    def does(self, session, expected, function):
        """Call, and expect an error of the queue (a class) or none (None)."""
        try:
            found = function()
        except queue.QueueError as error:
            assert type(error) is expected, f"{error!r} where {expected} was expected"
            return None
        assert expected is None, f"{expected} was expected"
        session.flush()
        return found

    @rule(id=st.sampled_from(IDS), text=st.sampled_from(TEXTS), author=st.sampled_from("xy"), drawn=st.booleans())
    def arrive(self, id, text, author, drawn):
        flagged = "fool" in text
        labels = {name: LabelScore(0.9 if flagged else 0.1, 0.5, flagged) for name in ("abusive", "mocking")}
        scored = Score({**labels, "off_topic": LabelScore(None, 0.5, False)}, "m-1")
        comment = self.comments.get(id)
        with store.writing(self.engine) as session:
            kept = self.does(
                session,
                queue.Erased if comment and comment.erased else None,
                lambda: queue.receive(
                    session, Arrival(id, text, author=author), scored, self.policy(), rng=Draw(drawn)
                ),
            )
            if kept is None:
                return
            new = comment is None or comment.texts[-1] != text
            assert kept.new is new
            if not new:
                return
            if comment is None:
                comment = self.comments[id] = Comment(author, Clock.at)
            else:
                self.model_withdraw(lambda n, each: each.comment == id)
                comment.verdict = (None, None)
            comment.texts.append(text)
            if flagged or drawn:
                self.model_enqueued(session, Item(id, comment.revision, "flagged" if flagged else "audit"))
            assert (kept.item is not None) is (flagged or drawn)

    @rule(who=st.sampled_from(PEOPLE), size=st.integers(1, 3), contested=st.booleans())
    def lease(self, who, size, contested):
        with store.writing(self.engine) as session:
            ranks = dict(session.execute(select(ItemRow.id, ItemRow.rank)).all())
            given = queue.lease(
                session, self.moderator(session, who), self.policy(), Filter(contested=contested), size=size
            )
            wanted = [
                number
                for number, each in self.items.items()
                if each.status == "open" and (each.source == "contested") is contested
            ]
            wanted.sort(key=lambda number: (ranks[number], number), reverse=True)
            mine = [number for number in wanted if (self.model_live(number) or ("",))[0] == who][:size]
            free = [number for number in wanted if not self.model_live(number) and self.items[number].not_for != who]
            expected = mine + free[: size - len(mine)]
            assert {each.id for each in given} == set(expected)
            assert [each.id for each in given] == [number for number in wanted if number in expected]
            for each in self.items.values():
                if each.lease and each.lease[0] == who:
                    each.lease = None
            for number in expected:
                self.items[number].lease = (who, Clock.at + timedelta(seconds=LEASE))

    @rule(who=st.sampled_from(PEOPLE))
    def release(self, who):
        with store.writing(self.engine) as session:
            queue.release(session, self.moderator(session, who))
        for each in self.items.values():
            if each.lease and each.lease[0] == who:
                each.lease = None

    @precondition(lambda self: self.items)
    @rule(
        n=st.integers(0, 99),
        who=st.sampled_from(PEOPLE),
        verdict=st.sampled_from(VERDICTS),
        at_desk=st.booleans(),
        key=st.sampled_from([None, None, "k1", "k2"]),
        draw=st.booleans(),
        stale=st.sampled_from([False, False, False, True]),
    )
    def decide(self, n, who, verdict, at_desk, key, draw, stale):
        number = sorted(self.items)[n % len(self.items)]
        item = self.items[number]
        expected = None
        live = self.model_live(number)
        if key in self.requests:
            pass
        elif item.status == "withdrawn" or stale:
            expected = queue.Changed
        elif item.status == "decided":
            expected = None if item.held == (*verdict, who) else queue.Decided
        elif at_desk and live and live[0] != who:
            expected = queue.Taken
        with store.writing(self.engine) as session:
            moderator = self.moderator(session, who).id if at_desk else None
            seen = -1 if stale else session.get_one(ItemRow, number).revision_id
            wanted = Decision(verdict[0], who, moderator, verdict[1], request=key)
            row = self.does(
                session,
                expected,
                lambda: queue.decide(session, number, wanted, self.policy(), revision_id=seen, rng=Draw(draw)),
            )
            if row is None:
                return
            if key in self.requests:
                assert row.id == self.requests[key]
            elif item.status == "decided":
                assert row.id == item.decision
            else:
                self.model_decide(session, number, row.id, who, *verdict, draw)
                if key:
                    self.requests[key] = row.id

    @rule(id=st.sampled_from(IDS), who=st.sampled_from(["system", "ann"]), verdict=st.sampled_from(VERDICTS))
    def decide_comment(self, id, who, verdict):
        comment = self.comments.get(id)
        number, item = self.of_current_text(id)
        expected = None
        if comment is None:
            expected = queue.Unknown
        elif comment.erased:
            expected = queue.Erased
        elif item and item.status == "decided" and item.held != (*verdict, who):
            expected = queue.Decided
        with store.writing(self.engine) as session:
            row = self.does(
                session,
                expected,
                lambda: queue.decide_comment(
                    session, id, Decision(verdict[0], who, None, verdict[1]), self.policy(), rng=Draw(False)
                ),
            )
            if row is None:
                return
            if item is None:
                number = row.item_id
                item = self.items[number] = Item(id, comment.revision, "reported")
            if item.status == "decided":
                assert row.id == item.decision
            else:
                self.model_decide(session, number, row.id, who, *verdict, False)

    def of_current_text(self, id):
        """Number and item of a comment's place in the queue, second opinions aside."""
        comment = self.comments.get(id)
        found = [
            number
            for number, each in self.items.items()
            if comment and each.comment == id and each.revision == comment.revision and each.pair is None
        ]
        return (max(found), self.items[max(found)]) if found else (None, None)

    @precondition(lambda self: self.made)
    @rule(n=st.integers(0, 99), who=st.sampled_from(PEOPLE), at_desk=st.booleans())
    def undo(self, n, who, at_desk):
        made_id = sorted(self.made)[n % len(self.made)]
        made = self.made[made_id]
        undone = made.undone
        expected = queue.Decided if undone is None and self.items[made.item].decision not in (made_id, None) else None
        if undone is None and self.items[made.item].decision is None:
            expected = queue.Changed  # deferred, then decided, and that was undone: nothing of it holds
        with store.writing(self.engine) as session:
            moderator = self.moderator(session, who).id if at_desk else None
            row = self.does(
                session,
                expected,
                lambda: queue.undo(session, made_id, self.policy(), who=who, moderator_id=moderator),
            )
            if row is None:
                return
            if undone is not None:
                assert row.id == undone
            else:
                self.model_undo(made_id, row.id, who if at_desk else None)

    @rule(id=st.sampled_from(IDS))
    def undo_comment(self, id):
        comment = self.comments.get(id)
        expected, made_id = None, None
        if comment is None:
            expected = queue.Unknown
        elif comment.erased:
            expected = queue.Erased
        else:
            _, item = self.of_current_text(id)
            contested = [
                (number, each)
                for number, each in self.items.items()
                if (each.comment, each.revision, each.source, each.status)
                == (id, comment.revision, "contested", "decided")
            ]
            speaks = max(contested)[1] if contested else item
            made_id = speaks and speaks.decision
            expected = None if made_id else queue.Changed
        with store.writing(self.engine) as session:
            row = self.does(session, expected, lambda: queue.undo_comment(session, id, self.policy(), who="system"))
            if row is not None:
                assert row.undoes == made_id
                self.model_undo(made_id, row.id, None)

    @rule(who=st.sampled_from(PEOPLE), verdict=st.sampled_from(VERDICTS[:2]), draw=st.booleans())
    def decide_batch(self, who, verdict, draw):
        wanted = [
            number
            for number, each in sorted(self.items.items())
            if each.status == "open"
            and each.source in ("flagged", "audit", "reported")
            and (self.model_live(number) or (who,))[0] == who
        ]
        with store.writing(self.engine) as session:
            batch, left = queue.decide_batch(
                session,
                self.moderator(session, who),
                Filter(),
                verdict[0],
                self.policy(),
                reason=verdict[1],
                rng=Draw(draw),
            )
            assert batch.size == len(wanted)
            rows = {
                row.item_id: row for row in session.scalars(select(DecisionRow).where(DecisionRow.batch_id == batch.id))
            }
            assert sorted(rows) == wanted
            open_items = [each for each in self.items.values() if each.status == "open" and each.source != "contested"]
            assert left == len(open_items) - len(wanted)
            self.batches.append(batch.id)
            new = {row.id: row for row in session.scalars(select(ItemRow)) if row.id not in self.items}
            for number in wanted:
                self.decide_in_batch(number, rows[number].id, batch.id, who, verdict, draw, new)
            assert not new

    def decide_in_batch(self, number, made_id, batch, who, verdict, draw, new):
        """As `model_decide`; several items may have come into the queue at once."""
        item = self.items[number]

        class Found:
            def scalars(found, _):
                mine = [row.id for row in new.values() if row.pair_id == number]
                return [*self.items, *mine[:1]]

        before = set(self.items)
        self.model_decide(Found(), number, made_id, who, *verdict, draw)
        self.made[made_id].batch = batch
        for added in set(self.items) - before:
            assert new.pop(added).source == self.items[added].source
        assert item.status == "decided"

    @precondition(lambda self: self.batches)
    @rule(n=st.integers(0, 99), who=st.sampled_from(PEOPLE), at_desk=st.booleans())
    def undo_batch(self, n, who, at_desk):
        batch = self.batches[n % len(self.batches)]
        holding = sorted(
            made_id
            for made_id, made in self.made.items()
            if made.batch == batch and self.items[made.item].decision == made_id
        )
        with store.writing(self.engine) as session:
            moderator = self.moderator(session, who).id if at_desk else None
            undone, left = queue.undo_batch(session, batch, self.policy(), who=who, moderator_id=moderator)
            assert (undone, left) == (len(holding), session.get_one(BatchRow, batch).size - len(holding))
            for made_id in holding:
                [undo_id] = session.scalars(select(DecisionRow.id).where(DecisionRow.undoes == made_id))
                self.model_undo(made_id, undo_id, None)
            if at_desk:
                for each in self.items.values():
                    if each.lease and each.lease[0] == who:
                        each.lease = None

    @rule(id=st.sampled_from(IDS))
    def erase_comment(self, id):
        with store.writing(self.engine) as session:
            if id not in self.comments:
                with pytest.raises(erasure.NothingToErase):
                    erasure.erase_comment(session, id, "lea")
                return
            proof = erasure.erase_comment(session, id, "lea")
            assert proof.id == session.get_one(CommentRow, id).erasure_id
            if not self.comments[id].erased:
                assert (proof.comments, proof.revisions) == (1, self.comments[id].revision)
                self.model_erase([id])

    @rule(author=st.sampled_from("xy"))
    def erase_author(self, author):
        ids = [id for id, comment in self.comments.items() if comment.author == author]
        with store.writing(self.engine) as session:
            try:
                proof = erasure.erase_author(session, author, "lea")
            except erasure.NothingToErase:
                assert not ids
                return
            if ids:
                assert proof.comments == len(ids)
                self.model_erase(ids)

    @rule()
    def retain(self):
        old = [
            id
            for id, comment in self.comments.items()
            if not comment.erased and comment.created < Clock.at - timedelta(days=1)
        ]
        with store.writing(self.engine) as session:
            proof = erasure.retain(session, 1)
            assert (proof.comments if proof else 0) == len(old)
        self.model_erase(old)

    @rule(seconds=st.sampled_from([1, LEASE - 1, LEASE + 1, 40_000, -3_600]))
    def time_goes_on(self, seconds):
        Clock.at += timedelta(seconds=seconds)

    # what holds at all times

    @invariant()
    def the_queue_is_as_the_model(self):
        if self.engine is None or not hasattr(self, "items"):
            return
        with store.reading(self.engine) as session:
            names = dict(session.execute(select(ModeratorRow.id, ModeratorRow.name)).all())
            rows = session.scalars(select(ItemRow)).all()
            found = {
                row.id: Item(
                    row.comment_id,
                    row.revision.number,
                    row.source,
                    row.pair_id,
                    row.not_for,
                    row.status,
                    (row.verdict, row.reason, row.decided_by) if row.status in ("open", "decided") else None,
                    row.decision_id,
                    (names[row.lease_id], row.lease_until) if row.lease_id else None,
                )
                for row in rows
            }
            for number, each in self.items.items():
                assert found[number] == Item(
                    **{**vars(each), "held": each.held if each.status in ("open", "decided") else None}
                ), number
            assert found.keys() == self.items.keys()
            counted = queue.counts(session)
            for status in ("open", "deferred"):
                assert counted[status] == sum(each.status == status for each in self.items.values())
            assert counted["contested"] == sum(
                each.source == "contested" and each.status in ("open", "deferred") for each in self.items.values()
            )
            self.comments_are_as_the_model(session)
            self.nothing_decided_is_changed(session)
            assert erasure.broken(session) is None

    def comments_are_as_the_model(self, session):
        rows = {row.id: row for row in session.scalars(select(CommentRow))}
        assert rows.keys() == self.comments.keys()
        told = {}
        for event in session.scalars(select(OutboxRow).order_by(OutboxRow.id)):
            payload = json.loads(event.payload)
            told[payload["comment"], payload["revision"]] = (payload["verdict"], payload["reason"])
        for id, comment in self.comments.items():
            row = rows[id]
            texts = session.scalars(
                select(RevisionRow.text).where(RevisionRow.comment_id == id).order_by(RevisionRow.number)
            ).all()
            assert texts == comment.texts
            assert (row.revision, row.author) == (comment.revision, comment.author)
            assert (row.erasure_id is not None) is comment.erased
            assert (row.verdict, row.reason) == comment.verdict
            # The comment system knows what holds of the text that it sent last.
            assert told.get((id, comment.revision), (None, None)) == comment.verdict
        for word in ("fool", "gamma"):
            found = session.scalars(
                select(RevisionRow.comment_id).where(RevisionRow.id.in_(store.matches(session, [[word]], limit=99)))
            )
            assert set(found) == {
                id for id, comment in self.comments.items() if any(word in text for text in comment.texts)
            }

    def nothing_decided_is_changed(self, session):
        now = {
            row.id: (row.item_id, row.who, row.verdict, row.reason, row.undoes, row.at)
            for row in session.scalars(select(DecisionRow))
        }
        assert {number: now.get(number) for number in self.seen} == self.seen
        self.seen = now
        assert {number for number, row in now.items() if row[2] != "undo"} == self.made.keys()


class OnSqlite(Machine):
    template: Path

    def fresh(self):
        self.folder = tempfile.mkdtemp()
        shutil.copy(self.template, Path(self.folder) / "queue.sqlite")
        self.engine = store.connect(f"sqlite:///{self.folder}/queue.sqlite")

    def teardown(self):
        if self.engine:
            self.engine.dispose()
            shutil.rmtree(self.folder)


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(store, "datetime", Clock)


def settled(examples, steps):
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )


def test_the_queue_does_as_its_model(sqlite_template, clock):
    OnSqlite.template = sqlite_template
    run_state_machine_as_test(OnSqlite, settings=settled(25, 40))


def test_the_queue_does_as_its_model_on_postgresql(postgresql, clock):
    numbers = itertools.count()

    class OnPostgresql(Machine):
        def fresh(self):
            name = f"machine{next(numbers)}"
            admin(postgresql, f"CREATE DATABASE {name} TEMPLATE empty")
            self.engine = store.connect(f"postgresql://moderation@/{name}?host={postgresql}")

        def teardown(self):
            if self.engine:
                self.engine.dispose()

    run_state_machine_as_test(OnPostgresql, settings=settled(6, 40))
