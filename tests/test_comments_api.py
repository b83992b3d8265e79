"""Comments kept for the queue, and decided over HTTP, on a real server with each kind of database."""

import threading
from urllib.parse import quote

import pytest
import requests
from conftest import Server, until

from moderation import overrides, store

ARTICLE = {"id": "bridge", "title": "Harbour bridge to stay open", "body": "The council keeps the harbour bridge open."}
INSULT = "You are an idiot and a liar."


@pytest.fixture
def desk(database, tmp_path):
    server = Server(
        tmp_path,
        env={"MODERATION_DATABASE_URL": database, "MODERATION_AUDIT": "0", "MODERATION_DOUBLE_REVIEW": "0"},
    )
    yield server
    server.stop()


def decide(server, id, key=None, **body):
    headers = {"Idempotency-Key": key} if key else {}
    return server.post(f"/comments/{id}/decision", body, headers=headers)


def test_from_score_to_decision_and_back(desk):
    first = desk.score(
        id="c/1",
        text=INSULT,
        queue=True,
        author="u-7",
        time="2026-11-24T18:30:00+01:00",
        article={**ARTICLE, "section": "local"},
        parent={"id": "c-0", "text": "It will hold."},
    )
    assert first["queue"] == {"stored": True, "revision": 1, "queued": True, "verdict": None}
    assert desk.score(id="c/1", text=INSULT, queue=True)["queue"]["revision"] == 1
    stored = desk.get("/comments/c/1").json()
    assert (stored["text"], stored["author"], stored["section"], stored["article"]) == (
        INSULT,
        "u-7",
        "local",
        "bridge",
    )
    assert stored["posted"] == "2026-11-24T17:30:00+00:00" and stored["parent"] == "c-0"
    assert stored["status"] == "open" and stored["decisions"] == []
    [score] = stored["scores"]
    assert score["probabilities"] == {label: first["labels"][label]["score"] for label in first["labels"]}
    assert score["model"] == first["model"] and score["flagged"] is True

    made = decide(desk, "c/1", verdict="reject", reason="abusive", by="ann", seconds=4).json()
    assert (made["verdict"], made["reason"], made["by"], made["model"]) == ("reject", "abusive", "ann", first["model"])
    assert desk.score(id="c/1", text=INSULT, queue=True)["queue"]["verdict"] == "reject"
    late = decide(desk, "c/1", verdict="approve", by="bob")
    assert late.status_code == 409 and late.json()["detail"] == "ann has decided this already: reject"
    undone = decide(desk, "c/1", verdict="undo", by="ann").json()
    assert undone["undoes"] == made["id"]
    assert decide(desk, "c/1", verdict="undo").status_code == 409  # nothing holds any more
    assert decide(desk, "c/1", verdict="approve", by="bob").status_code == 200
    stored = desk.get("/comments/c/1").json()
    assert [each["verdict"] for each in stored["decisions"]] == ["reject", "undo", "approve"]
    assert stored["verdict"] == "approve" and stored["status"] == "decided"

    edited = desk.score(id="c/1", text="You are an utter idiot and a liar.", queue=True, article={"id": "bridge"})
    assert edited["queue"] == {"stored": True, "revision": 2, "queued": True, "verdict": None}
    stored = desk.get("/comments/c/1").json()
    assert stored["status"] == "open" and [each["revision"] for each in stored["scores"]] == [1, 2]


def test_an_unflagged_comment_is_kept_and_can_be_decided(desk):
    reply = desk.score(id="c-2", text="The bridge opened in 1932.", queue=True, article={**ARTICLE, "id": "other"})
    assert reply["flagged"] is False
    assert reply["queue"] == {"stored": True, "revision": 1, "queued": False, "verdict": None}
    assert desk.get("/comments/c-2").json()["status"] is None
    assert decide(desk, "c-2", verdict="reject", reason="other", by="editor").status_code == 200
    assert desk.get("/comments/c-2").json()["reason"] == "other"


def test_without_queue_nothing_is_kept(desk):
    assert "queue" not in desk.score(id="c-3", text=INSULT)
    assert desk.get("/comments/c-3").status_code == 404
    assert decide(desk, "c-3", verdict="approve").status_code == 404


def test_the_same_key_is_one_decision(desk):
    desk.score(id="c-4", text=INSULT, queue=True)
    replies = []
    threads = [
        threading.Thread(target=lambda: replies.append(decide(desk, "c-4", "key-1", verdict="approve", by="ann")))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {reply.status_code for reply in replies} == {200}
    assert len({reply.json()["id"] for reply in replies}) == 1
    undone = decide(desk, "c-4", "key-2", verdict="undo").json()
    assert decide(desk, "c-4", "key-2", verdict="undo").json() == undone
    assert decide(desk, "c-4", "key-1", verdict="approve", by="ann").json()["id"] == replies[0].json()["id"]
    other = decide(desk, "c-4", "key-1", verdict="reject", reason="other", by="ann")
    assert other.status_code == 422 and "another decision" in other.json()["detail"]
    assert desk.get("/comments/c-4").json()["verdict"] is None


def test_one_article_sent_by_many_at_once(desk):
    replies = []

    def send(number):
        article = {**ARTICLE, "id": "new", "section": "local"}
        replies.append(desk.score(id=f"c-{number}", text=INSULT, queue=True, article=article))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(replies) == 8 and all(reply["queue"]["queued"] for reply in replies)
    assert desk.get("/comments/c-3").json()["section"] == "local"


def test_a_batch_keeps_what_is_valid(desk):
    body = {
        "comments": [
            {"id": "b-1", "text": INSULT, "queue": True, "article": ARTICLE},
            {"text": INSULT, "queue": True},
            {"id": "b-2", "text": INSULT, "queue": True, "article": {"id": "bridge"}},
            {"id": "b-3", "text": "", "queue": True},
        ]
    }
    replies = desk.post("/score", body).json()["comments"]
    assert [reply["status"] for reply in replies] == ["scored", "invalid", "scored", "invalid"]
    assert replies[1]["problem"]["detail"] == "body needs id when queue is true"
    assert desk.get("/comments/b-2").json()["article"] == "bridge"
    assert desk.get("/comments/b-3").status_code == 404


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"verdict": "accept"}, "verdict"),
        ({"verdict": "reject"}, "needs a reason with reject"),
        ({"verdict": "approve", "reason": "abusive"}, "needs a reason with reject"),
        ({"verdict": "reject", "reason": "rude"}, "reason"),
        ({"verdict": "approve", "seconds": -1}, "seconds"),
        ({"verdict": "approve", "note": "x"}, "note is not a field"),
        ({}, "verdict is missing"),
    ],
)
def test_bad_decisions_are_refused(server, body, said):
    reply = server.post("/comments/any/decision", body)
    assert reply.status_code == 422 and said in reply.json()["detail"]


def test_a_number_without_bound_is_refused(server):
    body = '{"verdict": "approve", "seconds": 1e999}'
    reply = server.post("/comments/any/decision", data=body, headers={"Content-Type": "application/json"})
    assert reply.status_code == 422 and "seconds" in reply.json()["detail"]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("time", "yesterday", "ISO 8601"),
        ("time", "2026-11-24T18:30:00", "time zone"),
        ("time", 5, "string"),
        ("time", "0001-01-01T00:00:00+14:00", "year 1"),
        ("time", "9999-12-31T23:59:59-14:00", "year 9999"),
        ("terms", 2.5, "whole number"),
        ("author", "x" * 201, "200"),
        ("queue", "yes", "boolean"),
    ],
)
def test_bad_fields_are_named(server, field, value, said):
    reply = server.post("/score", {"id": "x", "text": "A comment.", field: value})
    assert reply.status_code == 422 and field in reply.json()["detail"] and said in reply.json()["detail"]


def test_any_id_has_an_address_of_its_own(desk):
    """An id that begins with a slash must not lead to the comment that is called the same without it.

    "." and ".." alone are left out: clients take them for steps in a path before anything is sent.
    """
    ids = ["x", "/x", "x/", "x//y", "https://blog.example/?p=1#comment-2", "..x", "%2F", "ä b+c😀", "x\ny", "decision"]
    for id in ids:
        desk.score(id=id, text=f"{INSULT} {id}", queue=True, terms=12.0)
    for id in ids:
        reply = desk.get(f"/comments/{quote(id, safe='')}", allow_redirects=False)
        assert (reply.status_code, reply.json().get("id")) == (200, id)
    assert decide(desk, quote("/x", safe=""), verdict="approve").json()["comment"] == "/x"
    erased = requests.delete(f"{desk.url}/comments/%2Fx", timeout=30)
    assert erased.status_code == 200 and desk.get("/comments/x").json()["erased"] is False
    for nothing in ("%00", "x%00", "y" * 201, "%ED%A0%80"):
        assert desk.get(f"/comments/{nothing}").status_code == 404
        assert requests.delete(f"{desk.url}/authors/{nothing}/comments", timeout=30).status_code == 404
    options = requests.options(f"{desk.url}/comments/x/decision", timeout=30)
    assert set(options.headers["Allow"].split(", ")) == {"OPTIONS", "POST"}
    assert requests.delete(f"{desk.url}/comments/x/decision", timeout=30).status_code == 405


def test_the_newsrooms_own_threshold_holds_by_section(desk, database):
    assert desk.score(text=INSULT)["labels"]["abusive"]["flagged"] is True
    engine = store.connect(database)
    with store.writing(engine) as session:
        overrides.change(session, "abusive", "satire", 0.999, who="lea")
    engine.dispose()
    # The service reads the thresholds once a second.
    until(lambda: desk.score(text=INSULT, section="satire")["labels"]["abusive"]["threshold"] == 0.999)
    lenient = desk.score(id="s-1", text=INSULT, section="satire", queue=True)["labels"]["abusive"]
    assert lenient["threshold"] == 0.999 and lenient["flagged"] is False
    assert desk.get("/comments/s-1").json()["scores"][0]["thresholds"]["abusive"] == 0.999
    assert desk.score(text=INSULT, section="local")["labels"]["abusive"]["flagged"] is True
    named = desk.score(text=INSULT, article={**ARTICLE, "id": "joke", "section": "satire"})
    assert named["labels"]["abusive"]["threshold"] == 0.999
