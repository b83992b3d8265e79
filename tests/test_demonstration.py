"""The invented comments of a new service: in the queue, marked, without consequence, gone once there are real ones."""

import random
import re

import pytest
from conftest import run, until
from desk import first_admin
from sqlalchemy import func, select

from moderation import demonstration, learning, preview, queue, simulation, store
from moderation.comments import Comment, DataError
from moderation.queue import Arrival, Decision, Filter, Policy
from moderation.store import CommentRow, ItemRow, OutboxRow, ScoreRow

POLICY = Policy(double=1.0, notify=True)


def count(session, *conditions):
    return session.scalar(select(func.count()).select_from(ItemRow).where(*conditions))


@pytest.fixture
def shown(engine, scorer):
    with store.writing(engine) as session:
        assert demonstration.begin(session, scorer) == 12
    return engine


def test_an_empty_database_is_given_them_once(shown, scorer):
    with store.writing(shown) as session:
        assert demonstration.begin(session, scorer) == 0
        assert demonstration.running(session)
        items = queue.items(session, Filter())
        assert len(items) == 12 and all(item.comment.invented for item in items)
        assert {item.section for item in items} == {"Local", "Money", "Culture"}
        # Some are flagged, others as if drawn for the audit.
        assert {item.source for item in items} == {"flagged", "audit"}


def test_a_database_with_a_key_is_given_none(engine, scorer):
    with store.writing(engine) as session:
        store.create_key(session, "coral")
        assert demonstration.begin(session, scorer) == 0


def test_what_is_decided_of_them_has_no_consequence(shown):
    with store.writing(shown) as session:
        ann = store.ModeratorRow(name="ann", role="moderator")
        session.add(ann)
        session.flush()
        first, *others = queue.items(session, Filter())
        queue.decide(session, first.id, Decision("reject", "ann", ann.id, "abusive", 4.0), POLICY)
        made, left = queue.decide_batch(session, ann, Filter(), "approve", POLICY, rng=random.Random(0))
        assert (made.size, left) == (len(others), 0)
        # Nobody is told, and there is no second opinion.
        assert session.scalar(select(func.count()).select_from(OutboxRow)) == 0
        assert count(session, ItemRow.source == "double") == 0
        with pytest.raises(DataError, match="nothing in the queue was decided"):
            learning.labelled(session)
        assert preview.recent(session) == [] and simulation.weekly(session) == []
        model = session.scalar(select(ScoreRow.model).limit(1))
        found = simulation.stream(session, "abusive", model)
        assert not len(found.probabilities) and not len(found.decided.probabilities) and not len(found.seconds)
        # Undone, it is there again.
        queue.undo_batch(session, made.id, POLICY, who="ann")
        assert count(session, ItemRow.status == "open") == len(others)


def test_they_are_similar_to_no_real_comment(shown, scorer):
    with store.writing(shown) as session:
        item = queue.items(session, Filter())[0]
        queue.decide(session, item.id, Decision("approve", "ann"), POLICY)
        text = item.comment.text
        [scored] = scorer.score([Comment(text)], terms=0)
        real = queue.receive(session, Arrival("mine", text), scored, Policy(audit=1)).comment
        assert queue.similar(session, real) == []


def test_a_real_comment_of_the_same_id_is_a_real_comment(shown, scorer):
    with store.writing(shown) as session:
        [scored] = scorer.score([Comment("Not invented at all.")], terms=0)
        received = queue.receive(session, Arrival("demonstration-1", "Not invented at all."), scored, Policy(audit=1))
        assert not received.comment.invented and received.score.live and received.new


def test_make_run_and_what_comes_after(start):
    server = start()
    assert "crossword" in server.get("/").text
    admin = first_admin(server)
    page = admin.get("/desk").text
    assert len(re.findall(r'class="card open', page)) == 10
    assert page.count("invented, for demonstration") == 10 and "These comments are invented" in page
    assert 'data-count="open">12<' in page
    server.stop()
    # A second start has nothing to add.
    server = start()
    admin.server = server
    admin.log_in("admin")
    assert 'data-count="open">12<' in admin.get("/desk/counts").text
    # What is only scored changes nothing; what is to be kept does.
    server.score(text="You idiot.")
    assert 'data-count="open">12<' in admin.get("/desk/counts").text
    server.score(id="mine", text="You idiot.", queue=True)
    page = admin.get("/desk").text
    assert 'data-count="open">1<' in page and "invented" not in page
    assert "invented, for demonstration" in admin.get("/desk?status=withdrawn").text


def test_the_first_key_ends_it(start):
    server = start()
    admin = first_admin(server)
    assert 'data-count="open">12<' in admin.get("/desk/counts").text
    assert run("-m", "moderation", "keys", "create", "coral", env=server.env).returncode == 0
    until(lambda: server.get("/model").status_code == 401)
    assert 'data-count="open">0<' in admin.get("/desk/counts").text
    page = admin.get("/desk").text
    assert "invented" not in page and "Nothing left here" in page


def test_without_the_setting_there_are_none_and_those_there_were_leave(start):
    server = start()
    server.stop()
    server = start(env={"MODERATION_DEMONSTRATION": "false"})
    admin = first_admin(server)
    assert 'data-count="open">0<' in admin.get("/desk/counts").text
    with store.reading(store.connect(server.env["MODERATION_DATABASE_URL"])) as session:
        assert session.scalar(select(func.count()).where(CommentRow.invented)) == 12
