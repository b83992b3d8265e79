"""Who may work at the desk: passwords, one-time links, lockout. No web in here."""

from __future__ import annotations

import functools
import hashlib
import secrets
from datetime import timedelta

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from moderation import store
from moderation.store import ROLES, ModeratorRow

PASSWORD_SHORTEST, PASSWORD_LONGEST = 12, 200  #: in characters; length protects, rules about digits do not
LINK_LASTS = timedelta(hours=48)
GUESSES = 5  #: wrong passwords before the account rests
REST_LONGEST = timedelta(hours=1)

_hasher = PasswordHasher()


class PeopleError(Exception):
    """Something about a person that cannot be done, and why."""


def may(person: ModeratorRow, role: str) -> bool:
    """Whether a person has a role, or one that includes it."""
    return ROLES.index(person.role) >= ROLES.index(role)


def everybody(session: Session) -> list[ModeratorRow]:
    return list(session.scalars(select(ModeratorRow).order_by(func.lower(ModeratorRow.name))))


def find(session: Session, name: str) -> ModeratorRow | None:
    """A person by name; capitals do not matter."""
    return session.scalar(select(ModeratorRow).where(func.lower(ModeratorRow.name) == name.strip().lower()))


# ---------------------------------------------------------------------------------------- links


def invite(session: Session, name: str, role: str | None = None) -> str:
    """Make a one-time link for a new person, or for one who lost the password.

    Parameters
    ----------
    name : str
    role : str, optional
        One of `ROLES`; an existing person keeps theirs without it, a new one becomes a moderator.

    Returns
    -------
    str
        The link's token: the only time that it can be read.

    Raises
    ------
    PeopleError
    """
    name = name.strip()
    if not name or len(name) > 100 or not name.isprintable():
        raise PeopleError("a name has 1 to 100 printable characters")
    if role is not None and role not in ROLES:
        raise PeopleError(f"{role!r} is not a role: {', '.join(ROLES)}")
    person = find(session, name)
    if person is None:
        person = ModeratorRow(name=name, role=role or ROLES[0])
        session.add(person)
    elif role and role != person.role:
        change(session, person, role=role)
    token = secrets.token_urlsafe(32)
    person.setup, person.setup_until = _digest(token), store.now() + LINK_LASTS
    person.disabled = None
    session.flush()
    return token


def first_link(session: Session) -> str | None:
    """The token with which the first administrator sets a password; None once there is one who has."""
    if session.scalar(select(ModeratorRow.id).where(ModeratorRow.role == "admin", ModeratorRow.password.is_not(None))):
        return None
    waiting = session.scalar(select(ModeratorRow).where(ModeratorRow.role == "admin").order_by(ModeratorRow.id))
    return invite(session, waiting.name if waiting else "admin", "admin")


def invited(session: Session, token: str) -> ModeratorRow | None:
    """Whom a link is for; None where it was used, replaced, or is too old."""
    person = session.scalar(select(ModeratorRow).where(ModeratorRow.setup == _digest(token)))
    if person is None or person.disabled or person.setup_until is None or person.setup_until <= store.now():
        return None
    return person


def accept(session: Session, token: str, password_hash: str) -> ModeratorRow:
    """Use up a link and set the password; every older session of the person ends.

    Raises
    ------
    PeopleError
        When the link was used meanwhile.
    """
    person = invited(session, token)
    if person is None:
        raise PeopleError("the link was used already, or is too old")
    person.setup = person.setup_until = None
    _set(person, password_hash)
    session.flush()
    return person


# ---------------------------------------------------------------------------------------- passwords


def password_problem(password: str, name: str) -> str:
    """What is wrong with a new password; empty when it can be used."""
    if len(password) < PASSWORD_SHORTEST:
        return f"has fewer than {PASSWORD_SHORTEST} characters"
    if len(password) > PASSWORD_LONGEST:
        return f"has more than {PASSWORD_LONGEST} characters"
    if name.lower() in password.lower() and len(password) - len(name) < PASSWORD_SHORTEST // 2:
        return "is little more than your name"
    if len(set(password)) < 5:
        return "repeats few characters"
    return ""


def hash_password(password: str) -> str:
    """Argon2id, with salt. Takes some 50 ms: not to be called while a transaction holds the database."""
    return _hasher.hash(password)


def set_password(session: Session, person: ModeratorRow, password_hash: str) -> None:
    """Change a password; every session of the person ends."""
    _set(person, password_hash)
    session.flush()


def _set(person, password_hash):
    person.password = password_hash
    person.failed, person.locked_until = 0, None
    person.sessions_from = store.now()


def authenticate(engine: Engine, name: str, password: str) -> int | None:
    """The id of the person with that name and password.

    None when either is wrong, and also while the account rests after too many wrong passwords: who guesses learns
    neither which names exist nor when an account rests. Each try is counted before the password is looked at, so that
    guesses sent at once do not share one count.
    """
    with store.writing(engine) as session:
        person = find(session, name)
        known = _count(person) if person else None
    # An unknown name takes as long as a wrong password.
    matches = _matches(known or _nobody(), password[: PASSWORD_LONGEST + 1])
    if person is None or not known or not matches:
        return None
    fresh = hash_password(password) if _hasher.check_needs_rehash(known) else known
    with store.writing(engine) as session:
        person = session.get(ModeratorRow, person.id)
        if person is None or person.disabled or person.password != known:
            return None
        person.password, person.failed, person.locked_until = fresh, 0, None
        return person.id


def _count(person):
    """Count a try; the hash to compare with, or None where nothing is to be looked at."""
    if person.disabled or not person.password:
        return None
    if person.locked_until and person.locked_until > store.now():
        return None
    person.failed += 1
    if person.failed >= GUESSES:
        rest = min(timedelta(minutes=2 ** min(person.failed - GUESSES, 10)), REST_LONGEST)
        person.locked_until = store.now() + rest
    return person.password


def _matches(known, password):
    try:
        return _hasher.verify(known, password)
    except VerifyMismatchError:
        return False


@functools.cache
def _nobody():
    return _hasher.hash(secrets.token_urlsafe(32))


def end_sessions(session: Session, person: ModeratorRow) -> None:
    """Log a person out everywhere."""
    person.sessions_from = store.now()
    session.flush()


# ---------------------------------------------------------------------------------------- roles


def change(session: Session, person: ModeratorRow, *, role: str | None = None, disabled: bool | None = None) -> None:
    """Give a person another role, close the account or open it again.

    Raises
    ------
    PeopleError
        When no administrator who can log in would be left.
    """
    if role is not None and role not in ROLES:
        raise PeopleError(f"{role!r} is not a role: {', '.join(ROLES)}")
    loses = (role is not None and role != "admin") or disabled
    if person.role == "admin" and person.password and loses:
        others = select(ModeratorRow.id).where(
            ModeratorRow.role == "admin",
            ModeratorRow.password.is_not(None),
            ModeratorRow.disabled.is_(None),
            ModeratorRow.id != person.id,
        )
        if session.scalar(others) is None:
            raise PeopleError(f"{person.name} is the only administrator; make another one first")
    if role is not None:
        person.role = role
    if disabled is not None:
        person.disabled = store.now() if disabled else None
        if disabled:
            person.setup = person.setup_until = None
            person.sessions_from = store.now()
    session.flush()


def _digest(token):
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
