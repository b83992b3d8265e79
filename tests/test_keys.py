"""API keys, what they may do, and the demonstration mode."""

import hmac

import pytest
from conftest import Server, run, until
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from moderation import auth, store
from moderation.app import create_app
from moderation.settings import SCOPES, Settings


def keys(server, *arguments):
    return run("-m", "moderation", "keys", *arguments, env=server.env)


def test_keys_close_the_service_and_are_checked(start):
    server = start()
    comment = {"text": "A comment."}
    assert server.post("/score", comment).status_code == 200
    made = keys(server, "create", "comments")
    assert made.returncode == 0
    key = made.stdout.strip()
    until(lambda: server.post("/score", comment).status_code == 401)
    refused = server.post("/score", comment)
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.headers["WWW-Authenticate"] == "Bearer"
    for path in ("/", "/model", "/model/report", "/docs", "/openapi.json", "/nowhere"):
        assert server.get(path).status_code == 401
    page = server.get("/", headers={"Accept": "text/html"})
    assert page.status_code == 401 and page.headers["Content-Type"].startswith("text/html")
    assert "crossword" not in page.text and "keys create" in page.text
    assert server.get("/health").json()["status"] == "ok"
    assert server.get("/ready").json() == {"status": "ready"}
    assert server.get("/ready", headers={"X-API-Key": key}).json()["model"]
    assert server.post("/score", comment, headers={"X-API-Key": key}).status_code == 200
    assert server.post("/score", comment, headers={"Authorization": f"Bearer {key}"}).status_code == 200
    assert server.post("/score", comment, headers={"X-API-Key": key + "x"}).status_code == 401
    assert keys(server, "revoke", "comments").returncode == 0
    until(lambda: server.post("/score", comment, headers={"X-API-Key": key}).status_code == 401)
    # Revoking the last key must not open the service again.
    assert server.post("/score", comment).status_code == 401
    listed = keys(server, "list").stdout
    assert "comments" in listed and "revoked" in listed and key not in listed


def test_the_key_itself_is_not_stored(start, tmp_path):
    server = start()
    key = keys(server, "create", "comments").stdout.strip()
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("test.sqlite*"))
    assert key.encode() not in stored


def test_a_name_can_be_used_once(start):
    server = start()
    keys(server, "create", "one")
    again = keys(server, "create", "one")
    assert again.returncode == 1 and "already" in again.stderr


def test_requests_passed_on_by_a_proxy_or_under_another_name_need_a_key(start):
    server = start()
    comment = {"text": "A comment."}
    assert server.post("/score", comment, headers={"X-Forwarded-For": "203.0.113.5"}).status_code == 401
    assert server.post("/score", comment, headers={"Host": "rebound.example"}).status_code == 401


def test_other_addresses_are_not_served_without_a_key(tmp_path):
    try:
        Server(tmp_path, arguments=["--host", "0.0.0.0"]).stop()
    except RuntimeError as error:
        assert "keys create" in str(error)
    else:
        raise AssertionError("it served without a key")


def test_a_key_does_what_it_was_made_for_and_no_more(start):
    server = start()
    made = {
        scope: keys(server, "create", scope, "--scope", scope).stdout.strip() for scope in ("score", "decide", "admin")
    }
    until(lambda: server.post("/score", {"text": "x"}).status_code == 401)

    def status(scope):
        return server.post("/score", {"text": "A comment."}, headers={"X-API-Key": made[scope]}).status_code

    assert [status(scope) for scope in ("score", "decide", "admin")] == [200, 403, 200]
    assert server.get("/model", headers={"X-API-Key": made["decide"]}).status_code == 200
    assert keys(server, "create", "x", "--scope", "everything").returncode == 2
    lines = [line.split("\t")[:2] for line in keys(server, "list").stdout.splitlines()]
    assert lines == [["score", "score"], ["decide", "decide"], ["admin", "admin"]]


def test_keys_do_not_reach_the_log(start):
    server = start(env={"MODERATION_LOG_LEVEL": "DEBUG"})
    key = keys(server, "create", "comments").stdout.strip()
    for sent in (key, key + "x"):
        server.post("/score", {"text": "x"}, headers={"X-API-Key": sent})
        server.post("/score", {"text": "x"}, headers={"Authorization": f"Bearer {sent}"})
        server.get(f"/model?key={sent}", headers={"X-API-Key": sent})
    log = server.log.read_text()
    assert key not in log and store.key_digest(key) not in log


def test_every_view_says_who_may_call_it(tmp_path):
    app = create_app(Settings(database_url=f"sqlite:///{tmp_path / 'test.sqlite'}"))
    declared = {
        name: getattr(view, "permission", None) or getattr(view, "needs", None)
        for name, view in app.view_functions.items()
    }
    known = {auth.PUBLIC, auth.ANY, *SCOPES, *store.ROLES}
    assert {name: said for name, said in declared.items() if said not in known} == {}
    public = {name for name, said in declared.items() if said == auth.PUBLIC}
    assert public == {
        *("static", "api.health", "api.ready", "perspective.discover", "coral.phase"),
        *("login.form", "login.log_in", "login.log_out", "login.setup"),
    }


def test_a_view_that_does_not_say_is_answered_to_nobody(tmp_path):
    app = create_app(Settings(database_url=f"sqlite:///{tmp_path / 'test.sqlite'}"))
    app.add_url_rule("/forgotten", view_func=lambda: "secret", endpoint="forgotten")
    assert app.test_client().get("/forgotten").status_code == 403


def test_every_page_says_that_it_demonstrates(server):
    for path in ("/", "/docs", "/model/report"):
        assert "Demonstration:" in server.get(path).text
    missing = server.get("/nowhere", headers={"Accept": "text/html"})
    assert missing.status_code == 404 and "Demonstration:" in missing.text


def test_keys_read_once_stay_valid_while_the_database_is_gone(tmp_path):
    url = f"sqlite:///{tmp_path / 'test.sqlite'}"
    store.migrate(url)
    engine, times = create_engine(url), iter([0.0, 0.0, 9.0, 9.0, 18.0, 18.0])
    with Session(engine) as session:
        key = store.create_key(session, "one")
        session.commit()
    ring = auth.Keyring(engine, clock=lambda: next(times))
    assert ring.find(key).name == "one"
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE api_key RENAME TO gone"))
    assert ring.find(key).name == "one"
    with pytest.raises(OperationalError):
        auth.Keyring(engine).find(key)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE gone RENAME TO api_key"))
        connection.execute(text("UPDATE api_key SET revoked = created"))
    assert ring.find(key) is None


def test_keys_made_before_there_were_scopes_still_score(tmp_path):
    from alembic import command
    from alembic.config import Config

    url = f"sqlite:///{tmp_path / 'test.sqlite'}"
    config = Config()
    config.set_main_option("script_location", "moderation/migrations")
    config.attributes["url"] = url
    command.upgrade(config, "0002")
    with create_engine(url).begin() as connection:
        connection.execute(
            text("INSERT INTO api_key (name, sha256, created) VALUES ('old', :digest, '2026-01-01 00:00:00')"),
            {"digest": store.key_digest("before")},
        )
    store.migrate(url)
    assert auth.Keyring(create_engine(url)).find("before").scopes == {"score"}


def test_every_key_is_compared_whichever_is_sent(tmp_path, monkeypatch):
    """How long it takes must not tell how near a guess was, nor which key it is."""
    url = f"sqlite:///{tmp_path / 'keys.sqlite'}"
    store.migrate(url)
    engine = store.connect(url)
    with store.writing(engine) as session:
        made = [store.create_key(session, f"key-{number}", ["score"]) for number in range(5)]
        store.revoke_key(session, "key-3")
    compared = []
    real = hmac.compare_digest
    monkeypatch.setattr(auth.hmac, "compare_digest", lambda a, b: compared.append((a, b)) or real(a, b))
    ring = auth.Keyring(engine)
    for key, name in (*((key, f"key-{number}") for number, key in enumerate(made)), ("guess", None), ("", None)):
        compared.clear()
        found = ring.find(key)
        assert (found and found.name) == (None if name == "key-3" else name)
        assert len(compared) == 5 and {len(part) for pair in compared for part in pair} == {len(compared[0][0])}
    engine.dispose()
