"""Passwords, one-time links, roles, lockout, sessions and forged forms, against a running server."""

import re
import sqlite3
import time
from datetime import timedelta

import pytest
from conftest import Server, new_database, run
from desk import PASSWORD, Person, first_admin

from moderation import people, store
from moderation.app import create_app
from moderation.settings import Settings


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def desk(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("desk")
    server = Server(folder, env={"MODERATION_DATABASE_URL": new_database(request, request.param, folder)})
    server.admin = first_admin(server)
    yield server
    server.stop()


def link_in(server):
    found = re.search(r"/setup/[\w-]+", server.log.read_text())
    return found and found[0]


def test_the_first_link_makes_the_admin_once(start, tmp_path):
    server = start()
    unused = link_in(server)
    server.stop()
    # As long as nobody has followed it each start prints another.
    server = start()
    link = link_in(server)
    assert Person(server).get(unused).status_code == 404
    assert Person(server).set_up(link, "short").status_code == 422
    admin = Person(server)
    assert admin.set_up(link).status_code == 200
    assert admin.get("/people").status_code == 200
    assert Person(server).get(link).status_code == 404
    admin.post("/logout", page="/account")
    assert Person(server).log_in("admin", "a wrong password, mistyped").status_code == 403
    server.stop()
    # Nothing that opens the desk can be read anywhere.
    log = server.log.read_text()
    kept = "\n".join(sqlite3.connect(tmp_path / "test.sqlite").iterdump())
    assert "$argon2id$" in kept and "a login was refused" in log
    for secret in (PASSWORD, "mistyped"):
        assert secret not in kept and secret not in log
    assert link.removeprefix("/setup/") not in kept
    server = start()
    assert link_in(server) is None
    assert Person(server).log_in("admin").status_code == 200


def test_roles(desk):
    moderator = desk.admin.invite("Mo", "moderator")
    lead = desk.admin.invite("Lea", "lead")
    for person, page, status in (
        (moderator, "/account", 200),
        (moderator, "/people", 403),
        (lead, "/people", 403),
        (desk.admin, "/people", 200),
    ):
        assert person.get(page).status_code == status, page
    stranger = Person(desk).get("/people", allow_redirects=False)
    assert stranger.status_code == 302 and stranger.headers["Location"].startswith("/login?next=")
    forged = moderator.post("/people", {"name": "Mo", "role": "admin"}, page="/account")
    assert forged.status_code == 403


def test_every_view_says_who_may_see_it(tmp_path):
    app = create_app(Settings(database_url=f"sqlite:///{tmp_path / 'a.sqlite'}"))
    open_to_all = {"static", "pages.home", "pages.docs", "login.form", "login.log_in", "login.log_out", "login.setup"}
    open_to_all |= {"api.health", "api.ready", "api.openapi"}
    undeclared = {
        name
        for name, view in app.view_functions.items()
        if name not in open_to_all and not hasattr(view, "needs") and not hasattr(view, "permission")
    }
    assert not undeclared


def test_a_form_from_another_site_is_refused(desk):
    name = desk.admin.invite("Cara", "admin")
    for data in ({}, {"csrf_token": "made up"}):
        reply = name.http.post(f"{desk.url}/people", data={"name": "Eve", "role": "admin", **data})
        assert reply.status_code == 400 and "CSRF" in reply.text
    # A token of somebody else's session is none.
    other = desk.admin.token("/account")
    reply = name.http.post(f"{desk.url}/people", data={"name": "Eve", "role": "admin", "csrf_token": other})
    assert reply.status_code == 400
    assert "Eve" not in desk.admin.get("/people").text


def test_after_five_wrong_passwords_the_right_one_does_not_help(desk):
    desk.admin.invite("Gus", "moderator")
    guesser = Person(desk)
    replies = [guesser.log_in("gus", f"guess number {n}") for n in range(5)]
    assert {reply.status_code for reply in replies} == {403}
    assert guesser.log_in("Gus").status_code == 403
    # Nobody learns from the answers whether there is such a name.
    unknown = guesser.log_in("nobody of that name")
    strip = lambda text: re.sub(r'(csrf_token|name)" value="[^"]*"|value="[^"]*"', "", text)  # noqa: E731
    assert strip(unknown.text) == strip(replies[0].text)
    assert "rests until" in desk.admin.get("/people").text
    # A new link ends the rest.
    reply = desk.admin.post("/people", {"name": "Gus"})
    assert Person(desk).set_up(re.search(r'id="link">([^<]+)<', reply.text)[1]).status_code == 200
    assert Person(desk).log_in("Gus").status_code == 200


def test_sessions_end(desk):
    mia = desk.admin.invite("Mia", "moderator")
    elsewhere = Person(desk)
    elsewhere.log_in("Mia")
    stolen = dict(elsewhere.http.cookies)
    assert elsewhere.get("/account", allow_redirects=False).status_code == 200
    mia.post("/logout", page="/account")
    thief = Person(desk)
    thief.http.cookies.update(stolen)
    assert thief.get("/account", allow_redirects=False).status_code == 302
    mia.log_in("Mia")
    changed = mia.post(
        "/account", {"old": PASSWORD, "password": "quite another sentence", "again": "quite another sentence"}
    )
    assert changed.status_code == 200 and "is changed" in changed.text
    assert Person(desk).log_in("Mia").status_code == 403
    assert Person(desk).log_in("Mia", "quite another sentence").status_code == 200
    [row] = [row for row in re.findall(r"<tr>.*?</tr>", desk.admin.get("/people").text, re.S) if "Mia" in row]
    number = re.search(r"/people/(\d+)", row)[1]
    desk.admin.post(f"/people/{number}", {"disabled": "yes"}, page="/people")
    assert mia.get("/account", allow_redirects=False).status_code == 302
    assert Person(desk).log_in("Mia", "quite another sentence").status_code == 403


def test_sessions_expire(tmp_path, monkeypatch):
    app = create_app(Settings(database_url=f"sqlite:///{tmp_path / 'a.sqlite'}", demonstration=False))
    with store.writing(app.extensions["engine"]) as session:
        token = people.invite(session, "Ada", "moderator")
        people.accept(session, token, people.hash_password(PASSWORD))
    clock = [time.time() + 1]
    monkeypatch.setattr("moderation.login.time.time", lambda: clock[0])
    browser = app.test_client()

    def log_in():
        token = re.search(r'name="csrf_token" value="([^"]+)"', browser.get("/login").text)[1]
        browser.post("/login", data={"csrf_token": token, "name": "ada", "password": PASSWORD})

    def after(minutes, path="/account"):
        clock[0] += 60 * minutes
        return browser.get(path).status_code == 200

    log_in()
    assert after(50) and after(50)
    # What the page asks for by itself does not keep a session open.
    assert after(40, "/desk/counts?live=1")
    assert not after(40, "/desk/counts?live=1")
    log_in()
    assert all(after(50) for _ in range(14))
    assert not after(50), "twelve hours are over"


def test_the_cookie(desk):
    person = Person(desk)
    reply = person.post("/login", {"name": "admin", "password": PASSWORD}, allow_redirects=False)
    cookie = reply.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"]
)
def test_logging_in_leads_to_no_other_site(desk, elsewhere):
    person = Person(desk)
    reply = person.post("/login", {"name": "admin", "password": PASSWORD, "next": elsewhere}, allow_redirects=False)
    assert reply.status_code == 302 and "evil" not in reply.headers["Location"]
    assert reply.headers["Location"].startswith("/")


def test_the_last_admin_stays(tmp_path):
    url = f"sqlite:///{tmp_path / 'a.sqlite'}"
    store.migrate(url)
    engine = store.connect(url)
    with store.writing(engine) as session:
        ada = people.accept(session, people.invite(session, "Ada", "admin"), "hash")
        with pytest.raises(people.PeopleError, match="only administrator"):
            people.change(session, ada, role="lead")
        with pytest.raises(people.PeopleError, match="only administrator"):
            people.change(session, ada, disabled=True)
        people.accept(session, people.invite(session, "Bo", "admin"), "hash")
        people.change(session, ada, role="lead")
        assert people.may(ada, "moderator") and not people.may(ada, "admin")


def test_a_link_grows_too_old(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path / 'a.sqlite'}"
    store.migrate(url)
    engine = store.connect(url)
    with store.writing(engine) as session:
        token = people.invite(session, "Ada", "admin")
        assert people.invited(session, token).name == "Ada"
        later = store.now() + people.LINK_LASTS + timedelta(seconds=1)
        monkeypatch.setattr(store, "now", lambda: later)
        assert people.invited(session, token) is None
        with pytest.raises(people.PeopleError):
            people.accept(session, token, "hash")


def test_the_command_line_invites(tmp_path):
    env = {"MODERATION_DATABASE_URL": f"sqlite:///{tmp_path / 'a.sqlite'}"}
    done = run(
        "-m", "moderation", "people", "invite", "Ada", "--role", "lead", "--url", "https://desk.example/", env=env
    )
    assert done.stdout.startswith("https://desk.example/setup/"), done.stderr
    assert run("-m", "moderation", "people", "list", env=env).stdout == "Ada\tlead\tinvited\n"
