"""Sessions of people: logging in and out, one-time links, roles, and the page that looks after people."""

from __future__ import annotations

import functools
import time
from urllib.parse import urlsplit

from flask import Blueprint, Flask, current_app, flash, g, redirect, render_template, request, session, url_for
from flask_wtf.csrf import CSRFProtect
from werkzeug.exceptions import Forbidden, HTTPException, Unauthorized

from moderation import auth, people, queue, store
from moderation.store import ROLES, ModeratorRow

PREFERENCES = ("blur", "no_keys")

blueprint = Blueprint("login", __name__)
csrf = CSRFProtect()


def init_app(app: Flask) -> None:
    """Sign cookies with the service's own secret, and check every form for where it comes from."""
    settings = app.config["SETTINGS"]
    with store.writing(app.extensions["engine"]) as database:
        app.secret_key = store.secret(database, "cookies")
    app.config.update(
        SESSION_COOKIE_NAME="desk",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.secure_cookies,
        # A form lives as long as the session that it belongs to.
        WTF_CSRF_TIME_LIMIT=None,
        WTF_CSRF_CHECK_DEFAULT=False,
        WTF_CSRF_SSL_STRICT=False,
    )
    csrf.init_app(app)
    app.before_request(_check_origin)
    app.context_processor(lambda: {"me": current(), "may": people.may, "roles": ROLES})


def _check_origin():
    """Refuse a form that another site sent. Views that answer only callers with a key look at no cookie."""
    view = current_app.view_functions.get(request.endpoint or "")
    of_people = hasattr(view, "needs") or request.blueprint == blueprint.name
    if request.method in {"POST", "PUT", "PATCH", "DELETE"} and of_people:
        csrf.protect()


# ---------------------------------------------------------------------------------------- who is it


def current() -> ModeratorRow | None:
    """The person whose session this request belongs to, or None."""
    if "person" not in g:
        g.person = _from_cookie()
    return g.person


def person() -> ModeratorRow:
    """The person whose session this request belongs to.

    Raises
    ------
    Unauthorized
        When nobody is logged in.
    """
    found = current()
    if found is None:
        raise Unauthorized("Log in first.")
    return found


def name() -> str:
    """The name of the `person`."""
    return person().name


def _from_cookie():
    if "id" not in session:
        return None
    settings, now = current_app.config["SETTINGS"], time.time()
    began, seen = session.get("began", 0), session.get("seen", 0)
    if now - began > 3600 * settings.session_hours or now - seen > 60 * settings.session_idle_minutes:
        return None
    with store.reading(current_app.extensions["engine"]) as database:
        person = database.get(ModeratorRow, session["id"])
    if person is None or person.disabled or began < person.sessions_from.timestamp():
        return None
    # What the page asks for by itself is no sign of life. Writing the time seldom keeps the cookie from changing with
    # every answer, which two answers at once would do to each other.
    if now - seen > 30 and "live" not in request.args:
        session["seen"] = now
    return person


def needs(role: str):
    """Answer only people who are logged in and have `role`, or one that includes it."""

    def declare(view):
        @functools.wraps(view)
        def guarded(*args, **kwargs):
            me = person()
            if not people.may(me, role):
                raise Forbidden(f"This needs the role of {role}; yours is {me.role}.")
            return view(*args, **kwargs)

        vars(guarded)["needs"] = role
        return guarded

    return declare


def show_errors(pages: Blueprint) -> None:
    """Give the errors of a blueprint as pages, not as problem details."""

    @pages.errorhandler(HTTPException)
    def on_error(error):
        if error.code is None or error.code < 400:
            return error
        htmx = "HX-Request" in request.headers
        if error.code == 401:
            wanted = request.full_path.rstrip("?") if request.method == "GET" and not htmx else None
            address = url_for("login.form", next=wanted)
            if htmx:
                return "", 401, {"HX-Redirect": address}
            return redirect(address)
        if error.code >= 500:
            current_app.logger.error("%s %s failed", request.method, request.url_rule)
        detail = error.description if error.code < 500 else "The service failed; its log says more."
        return render_template("error.html", title=error.name, detail=detail), error.code


show_errors(blueprint)


# ---------------------------------------------------------------------------------------- logging in


@blueprint.get("/login")
@auth.permit(auth.PUBLIC)
def form():
    """The page to log in."""
    if current():
        return redirect(_next())
    return render_template("login.html", next=request.args.get("next", ""))


@blueprint.post("/login")
@auth.permit(auth.PUBLIC)
def log_in():
    """Begin a session."""
    name, password = request.form.get("name", ""), request.form.get("password", "")
    found = people.authenticate(current_app.extensions["engine"], name, password)
    if found is None:
        current_app.logger.warning("a login was refused, from %s", request.remote_addr)
        return render_template("login.html", next=request.form.get("next", ""), name=name, refused=True), 403
    _begin(found)
    return redirect(_next())


@blueprint.post("/logout")
@auth.permit(auth.PUBLIC)
def log_out():
    """End the person's sessions, here and in other browsers: a copied cookie is worth nothing afterwards."""
    person = current()
    session.clear()
    if person:
        with store.writing(current_app.extensions["engine"]) as database:
            row = database.get_one(ModeratorRow, person.id)
            people.end_sessions(database, row)
            queue.release(database, row)
    return redirect(url_for("login.form"))


def _begin(id):
    session.clear()
    # Not rounded down: a session that begins in the same second as its password must not look older.
    session.update(id=id, began=time.time(), seen=time.time())


def _next():
    """Where the person wanted to go; never to another site."""
    wanted = request.values.get("next", "")
    parts = urlsplit(wanted.replace("\\", "/"))
    if wanted.startswith("/") and not wanted.startswith("//") and not parts.scheme and not parts.netloc:
        return wanted
    return url_for("desk.hand")


# ---------------------------------------------------------------------------------------- links and passwords


@blueprint.route("/setup/<token>", methods=["GET", "POST"])
@auth.permit(auth.PUBLIC)
def setup(token):
    """Where a one-time link leads: choose a password."""
    engine = current_app.extensions["engine"]
    with store.reading(engine) as database:
        person = people.invited(database, token)
    if person is None:
        return render_template(
            "error.html",
            title="This link cannot be used",
            detail="It was used already, replaced by a newer one, or is too old. Ask an administrator for another.",
        ), 404
    problem = ""
    if request.method == "POST":
        problem = _new_password_problem(person)
        if not problem:
            hashed = people.hash_password(request.form["password"])
            with store.writing(engine) as database:
                person = people.accept(database, token, hashed)
            _begin(person.id)
            return redirect(_next())
    return render_template("setup.html", person=person, problem=problem, shortest=people.PASSWORD_SHORTEST), (
        422 if problem else 200
    )


def _new_password_problem(person):
    password = request.form.get("password", "")
    problem = people.password_problem(password, person.name)
    if problem:
        return f"The password {problem}."
    if password != request.form.get("again", ""):
        return "The two passwords are not the same."
    return ""


@blueprint.route("/account", methods=["GET", "POST"])
@needs("moderator")
def account():
    """One's own password and preferences."""
    engine, me, problem = current_app.extensions["engine"], person(), ""
    if request.method == "POST" and request.form.get("what") == "preferences":
        with store.writing(engine) as database:
            row = database.get_one(ModeratorRow, me.id)
            row.preferences = {**row.preferences, **{name: name in request.form for name in PREFERENCES}}
        flash("Saved.")
        return redirect(url_for("login.account"))
    if request.method == "POST":
        if people.authenticate(engine, me.name, request.form.get("old", "")) is None:
            problem = "The present password is not right."
        else:
            problem = _new_password_problem(me)
        if not problem:
            hashed = people.hash_password(request.form["password"])
            with store.writing(engine) as database:
                people.set_password(database, database.get_one(ModeratorRow, me.id), hashed)
            _begin(me.id)
            flash("Your password is changed. Your sessions in other browsers have ended.")
            return redirect(url_for("login.account"))
    return render_template("account.html", problem=problem, shortest=people.PASSWORD_SHORTEST), (
        422 if problem else 200
    )


# ---------------------------------------------------------------------------------------- people


@blueprint.get("/people")
@needs("admin")
def everybody():
    """Who works here, with which role."""
    return _people()


def _people(link="", invited="", problem="", status=200):
    with store.reading(current_app.extensions["engine"]) as database:
        rows = people.everybody(database)
    shown = render_template("people.html", people=rows, link=link, invited=invited, problem=problem, now=store.now())
    return shown, status


@blueprint.post("/people")
@needs("admin")
def invite():
    """Make a one-time link for a new person, or for one who lost the password."""
    name = request.form.get("name", "")
    try:
        with store.writing(current_app.extensions["engine"]) as database:
            if request.form.get("new") and people.find(database, name):
                raise people.PeopleError(f"there is somebody called {name.strip()} already")
            token = people.invite(database, name, request.form.get("role"))
    except people.PeopleError as error:
        return _people(problem=f"Not done: {error}.", status=422)
    return _people(link=url_for("login.setup", token=token, _external=True), invited=name.strip())


@blueprint.post("/people/<int:id>")
@needs("admin")
def change(id):
    """Change a person's role, close or open the account."""
    try:
        with store.writing(current_app.extensions["engine"]) as database:
            person = database.get(ModeratorRow, id)
            if person is None:
                raise people.PeopleError("there is no such person")
            if "role" in request.form:
                people.change(database, person, role=request.form["role"])
            if "disabled" in request.form:
                people.change(database, person, disabled=request.form["disabled"] == "yes")
    except people.PeopleError as error:
        return _people(problem=f"Not done: {error}.", status=422)
    flash(f"{person.name} is changed.")
    return redirect(url_for("login.everybody"))
