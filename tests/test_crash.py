"""The server killed in the middle of decisions, on each kind of database."""

import signal
import threading
import time

from conftest import Server
from sqlalchemy import func, select

from moderation import store
from moderation.store import CommentRow, DecisionRow, ItemRow, OutboxRow

NUMBER, KILLS = 500, (100, 250, 400)


class Caller:
    """A comment system that sends each decision until it is acknowledged, whatever happens to the server."""

    def __init__(self):
        self.server = None
        self.acknowledged = {}
        self.repeated = 0

    def work(self, ids):
        for id in ids:
            tries = 0
            while id not in self.acknowledged:
                tries += 1
                try:
                    reply = self.server.post(
                        f"/comments/{id}/decision",
                        {"verdict": "reject", "reason": "abusive", "by": "ann"},
                        headers={"Idempotency-Key": f"key-{id}"},
                    )
                except OSError:
                    time.sleep(0.2)
                    continue
                if reply.status_code == 200:
                    self.acknowledged[id] = reply.json()["id"]
                else:
                    assert reply.status_code in (429, 503), reply.text
                    time.sleep(0.2)
            self.repeated += tries > 1


def test_no_acknowledged_decision_is_lost_and_none_counts_twice(database, tmp_path):
    env = {
        "MODERATION_DATABASE_URL": database,
        "MODERATION_DEMONSTRATION": "false",
        "MODERATION_DOUBLE_REVIEW": "0",
        # Nobody listens there: the events stay in the outbox, to be counted.
        "MODERATION_WEBHOOK_URL": "http://127.0.0.1:9/",
        "MODERATION_WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    }
    caller = Caller()
    caller.server = Server(tmp_path, env=env)
    body = {"comments": [{"id": f"c{n}", "text": "You are an idiot.", "queue": True} for n in range(NUMBER)]}
    assert caller.server.post("/score", body).status_code == 200
    threads = [
        threading.Thread(target=caller.work, args=([f"c{n}" for n in range(start, NUMBER, 4)],)) for start in range(4)
    ]
    for thread in threads:
        thread.start()
    engine = store.connect(database)
    for place in KILLS:
        while len(caller.acknowledged) < place:
            assert any(thread.is_alive() for thread in threads)
            time.sleep(0.01)
        caller.server.process.send_signal(signal.SIGKILL)
        caller.server.process.wait(30)
        before = dict(caller.acknowledged)
        with store.reading(engine) as session:
            stored = dict(session.execute(select(DecisionRow.comment_id, DecisionRow.id)).all())
        assert before.items() <= stored.items()
        caller.server = Server(tmp_path, env=env)
    for thread in threads:
        thread.join(300)
    caller.server.stop()
    with store.reading(engine) as session:
        rows = session.execute(select(DecisionRow.comment_id, DecisionRow.id)).all()
        assert len(rows) == NUMBER and dict(rows) == caller.acknowledged
        assert session.scalar(select(func.count()).where(CommentRow.verdict == "reject")) == NUMBER
        assert session.scalar(select(func.count()).where(ItemRow.status == "decided")) == NUMBER
        events = session.scalars(select(OutboxRow.comment_id)).all()
        assert sorted(events) == sorted(caller.acknowledged)
        # What one transaction did belongs together, whenever the server was killed.
        loose = select(func.count()).select_from(ItemRow).join(DecisionRow, DecisionRow.id == ItemRow.decision_id)
        assert session.scalar(loose) == NUMBER
    engine.dispose()
    assert caller.repeated > 0  # the kills did hit requests under way
