"""The log is JSON, names the request, and never quotes a comment, whatever goes wrong."""

import hashlib
import hmac
import io
import json
import logging
import shutil

import pytest
import requests
from conftest import ROOT, Server, until
from desk import first_admin

from moderation import logs
from moderation.app import create_app
from moderation.settings import Settings

MARK = "xyzzyplugh"


def lines(server):
    return [json.loads(line) for line in logged(server)]


def logged(server):
    """The log's lines. What the first start tells its administrator goes to standard output: it holds a secret."""
    return [line for line in server.log.read_text().splitlines() if not line.startswith("No administrator yet. ")]


def test_each_request_is_one_json_line_with_its_id(server):
    reply = server.post("/score", {"text": "A comment."}, headers={"X-Request-Id": "abc-123.def"})
    assert reply.headers["X-Request-Id"] == "abc-123.def"
    made = server.get("/health").headers["X-Request-Id"]
    assert len(made) == 32 and made != server.get("/health").headers["X-Request-Id"]
    until(lambda: made in server.log.read_text())
    [line] = [line for line in lines(server) if line.get("request_id") == "abc-123.def"]
    assert (line["method"], line["rule"], line["status"], line["key"]) == ("POST", "/score", 200, "demonstration")
    assert line["level"] == "INFO" and line["ms"] > 0 and line["time"].endswith("+00:00")


@pytest.mark.parametrize("sent", ["short", "with space in it", "x" * 65, '"quote"-quote', "ümlaut-ümlaut"])
def test_a_request_id_that_is_not_one_is_replaced(server, sent):
    reply = server.get("/health", headers={"X-Request-Id": sent.encode()})
    assert reply.headers["X-Request-Id"] != sent and len(reply.headers["X-Request-Id"]) == 32


def provoke(server):
    """Send the marker along every path, good and bad."""
    article = {"title": f"{MARK} title", "body": f"{MARK} body", "id": f"{MARK}-article"}
    good = {"id": MARK, "text": f"{MARK} is an idiot", "article": article, "thread": [MARK], "parent": {"text": MARK}}
    server.post("/score", good)
    server.post("/score", {"comments": [good, {"text": ""}, {"text": [MARK]}, MARK, {MARK: MARK}]})
    for bad in (
        {"text": MARK, f"{MARK}field": 1},
        {"text": [MARK]},
        {"text": f"{MARK}\0"},
        {"text": MARK * 5000},
        {"text": f"{MARK}\ud800"},
        {"text": MARK, "article": {"id": f"{MARK}-unknown"}},
        {"text": MARK, "thread": [MARK, 7]},
        {"comments": MARK},
        [MARK],
    ):
        server.post("/score", data=json.dumps(bad), headers={"Content-Type": "application/json"})
    raw = {"Content-Type": "application/json"}
    server.post("/score", data=f'{{"text": "{MARK}'.encode(), headers=raw)
    server.post("/score", data=f'{{"text": "{MARK} '.encode() + b'\xff"}', headers=raw)
    server.post("/score", data=MARK.encode(), headers={"Content-Type": f"text/{MARK}"})
    server.post("/score", data=f'"{MARK}'.encode() * 1_500_000, headers=raw)
    server.get(f"/{MARK}")
    server.get(f"/model?threshold={MARK}")
    server.post(f"/model/{MARK}", good)
    server.get("/health", headers={"X-Request-Id": f"{MARK} and more", "X-Api-Key": MARK, MARK: MARK})
    server.raw(f"GET /{MARK} HTTP/9.9\r\n\r\n".encode())
    server.raw(f"{MARK}\r\n\r\n".encode())
    server.raw(f"POST /score HTTP/1.1\r\nContent-Length: {MARK}\r\n\r\n{MARK}".encode())
    server.raw(f"POST /score HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{MARK}\r\n\r\n".encode())


def provoke_the_rest(server, person=None):
    """The marker in what is stored, decided, erased, asked by other protocols and looked for at the desk."""
    text = f"{MARK} is an idiot"
    kept = {"id": f"{MARK}-kept", "text": text, "queue": True, "author": MARK, "section": MARK}
    server.post("/score", {**kept, "parent": {"id": MARK, "text": text}})
    server.post("/score", {**kept, "text": f"{text} and a liar"})
    server.post("/score", {**kept, "time": MARK})
    for body in ({"verdict": "reject", "reason": "abusive", "by": MARK}, {"verdict": MARK}, {MARK: MARK}, [MARK]):
        server.post(f"/comments/{MARK}-kept/decision", body, headers={"Idempotency-Key": f"{MARK}-{len(str(body))}"})
    server.post(f"/comments/{MARK}-none/decision", {"verdict": "approve"})
    for path in (f"/comments/{MARK}-kept", f"/comments/{MARK}-none", f"/$discovery/rest?version={MARK}"):
        server.get(path)
    analyze, suggest = "/v1alpha1/comments:analyze", "/v1alpha1/comments:suggestscore"
    wanted = {"comment": {"text": text}, "requestedAttributes": {"TOXICITY": {}}, "clientToken": MARK}
    server.post(analyze, {**wanted, "spanAnnotations": True, "context": {"entries": [{"text": MARK}]}})
    server.post(analyze, {**wanted, "comment": {"text": f"<b>{text}", "type": "HTML"}})
    scores = {"attributeScores": {"TOXICITY": {"summaryScore": {"value": 1}}}, "communityId": MARK}
    server.post(suggest, {"comment": {"text": text}, **scores, "clientToken": f"comment:{MARK}-kept"})
    server.post(suggest, {"comment": {"text": text}, **scores})
    for bad in (
        {"languages": [MARK]},
        {"requestedAttributes": {MARK: {}}},
        {"requestedAttributes": {"TOXICITY": {"scoreType": MARK}}},
        {"comment": {"text": f"{MARK}\0"}},
        {"comment": {"text": MARK, "type": MARK}},
        {MARK: MARK},
    ):
        server.post(analyze, {**wanted, **bad})
    server.post(f"{analyze}?key={MARK}", wanted)
    server.post(suggest, {**wanted, "attributeScores": {MARK: {"summaryScore": {"value": 7}}}})
    for path in ("/integrations/coral/phase", "/integrations/coral/phase?format=html"):
        for sent in ({"comment": {"body": text}, "story": {"id": MARK}}, {"comment": MARK}, [MARK]):
            body = json.dumps(sent)
            signed = hmac.new(CORAL.encode(), body.encode(), hashlib.sha256).hexdigest()
            for signature in (f"sha256={signed}", MARK):
                server.post(path, data=body, headers={"X-Coral-Signature": signature})
    server.get(f"/login?next=/{MARK}")
    server.get(f"/setup/{MARK}")
    if person:
        for path in (f"/desk?text={MARK}&author={MARK}&section={MARK}&label={MARK}", f"/desk?text={MARK}", "/desk"):
            person.get(path)
        person.get(f"/desk/batch?text={MARK}")
        person.get(f"/desk/models/runs/{MARK}")
        person.get(f"/desk/models/versions/{MARK}/report")
        person.post("/desk/erasure/look", {"kind": "author", "key": MARK}, page="/desk/erasure")
        person.post("/desk/erasure/look", {"kind": MARK, "key": MARK}, page="/desk/erasure")
        person.post("/desk/items/1/decision", {"choice": MARK, "revision": MARK, "request": MARK}, page="/account")
        person.post("/people", {"name": MARK, "role": MARK}, page="/account")
        person.post("/login", {"name": MARK, "password": MARK}, page="/account")
    requests.delete(f"{server.url}/comments/{MARK}-kept?by={MARK}", timeout=30)
    requests.delete(f"{server.url}/authors/{MARK}-none/comments", timeout=30)


CORAL = "whs_0123456789abcdef"


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING", "ERROR"])
def test_no_comment_text_in_the_log_on_any_path(tmp_path, level):
    env = {
        "MODERATION_LOG_LEVEL": level,
        "MODERATION_MAX_BODY": "5000000",
        "MODERATION_AUDIT": "1",
        "MODERATION_CORAL_SECRET": CORAL,
        "MODERATION_CORS_ORIGINS": "https://www.example.org",
        # Nobody listens there: that is told of each decision.
        "MODERATION_WEBHOOK_URL": "http://127.0.0.1:9/",
        "MODERATION_WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    }
    server = Server(tmp_path, env=env)
    try:
        admin = first_admin(server)
        provoke(server)
        provoke_the_rest(server, admin)
        assert server.score(text="A comment.", id="alive", queue=True)["queue"]["stored"]
        if level != "ERROR":  # once the database is gone nobody is told of decisions any more
            until(lambda: "was not taken" in server.log.read_text())
        # Now with a database whose tables are gone, and with a damaged model.
        for path in tmp_path.glob("test.sqlite*"):
            path.write_bytes(MARK.encode() * 1000)
        replies = [server.post("/score", {"text": MARK, "article": {"id": MARK}}) for _ in range(2)]
        assert {reply.status_code for reply in replies} <= {500, 503}
        provoke(server)
        provoke_the_rest(server)
    finally:
        server.stop()
    assert MARK not in server.log.read_text().lower()
    told = [json.loads(line)["message"] for line in logged(server)]
    # What was to be told of was told of.
    assert "the database did not do what was asked" in told
    assert level == "ERROR" or any("was not taken" in line for line in told)


@pytest.mark.parametrize("failure", [ValueError(f"{MARK} cannot be scored"), KeyError(MARK), RecursionError(MARK)])
def test_no_comment_text_in_the_traceback_of_a_fault(tmp_path, failure):
    """A fault inside the scorer, whose message quotes the comment."""
    app = create_app(Settings(database_url=f"sqlite:///{tmp_path / 'test.sqlite'}"))

    def fail(comments, **more):
        try:
            raise failure
        except type(failure) as error:
            raise RuntimeError(f"while scoring {comments[0].text}") from error

    log = io.StringIO()
    app.extensions["serving"].get().score = fail
    before = logging.getLogger().handlers[:], logging.getLogger().level
    logs.setup("DEBUG", log)
    try:
        reply = app.test_client().post("/score", json={"text": f"{MARK} text"})
    finally:
        logging.getLogger().handlers[:], level = before
        logging.getLogger().setLevel(level)
    assert reply.status_code == 500 and MARK not in reply.text
    assert MARK not in log.getvalue()
    [failed] = [line for line in map(json.loads, log.getvalue().splitlines()) if "exception" in line]
    assert failed["exception"].startswith("RuntimeError, from ") and failed["request_id"]
    assert any("_score_all" in frame for frame in failed["at"])


def test_the_servers_own_words_do_not_name_a_path():
    log = io.StringIO()
    before = logging.getLogger().handlers[:], logging.getLogger().level
    logs.setup("DEBUG", log)
    try:
        logging.getLogger("waitress").info(f"Client disconnected while serving /{MARK}")
    finally:
        logging.getLogger().handlers[:], level = before
        logging.getLogger().setLevel(level)
    assert json.loads(log.getvalue())["message"] == "Client disconnected while"


def test_a_failure_outside_a_request_is_told_without_quoting(tmp_path):
    from conftest import run

    code = "from moderation import logs; logs.setup(); raise ValueError('xyzzyplugh')"
    done = run("-c", code)
    assert done.returncode == 1 and MARK not in done.stderr
    assert json.loads(done.stderr)["exception"] == "ValueError"


def test_the_folder_of_models_is_told_when_it_cannot_be_read(tmp_path):
    shutil.copytree(ROOT / "models" / "default", tmp_path / "models" / "default")
    (tmp_path / "models" / "default" / "card.json").write_text("{}")
    with pytest.raises(RuntimeError, match="not the file that was saved"):
        Server(tmp_path, env={"MODERATION_MODELS": str(tmp_path / "models")})
