"""Who may call: API keys with scopes, permissions declared on views, and the demonstration mode.

Every view says who may call it, with `permit`; one that does not say is answered to nobody.
"""

from __future__ import annotations

import functools
import hmac
import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass

from flask import Flask, current_app, g, request
from sqlalchemy import Engine

from moderation import store
from moderation.problems import ApiProblem
from moderation.recent import Recent
from moderation.settings import SCOPES

PUBLIC = "public"  #: permission of a view that everybody may call
ANY = "any"  #: permission of a view that every key may call, whatever its scopes, and whoever is logged in


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request: the name of the key, and what it was made for."""

    name: str
    scopes: frozenset[str]

    def may(self, permission: str) -> bool:
        return permission == ANY or permission in self.scopes or "admin" in self.scopes


#: Somebody with a session of the desk; the desk's own views ask for a role.
PERSON = Caller("a person", frozenset())
#: Who calls from the same machine before the first key is made.
DEMONSTRATION = Caller("demonstration", frozenset(SCOPES))


def permit(permission: str):
    """Declare who may call a view: `PUBLIC`, `ANY`, or callers with a scope of `moderation.settings.SCOPES`.

    Views of the desk declare the role of a person instead, with `moderation.login.needs`.
    """

    def declare(view):
        view.permission = permission
        return view

    return declare


class Keyring:
    """The valid keys, read again after a second: a revoked key works for at most that much longer.

    When the database cannot be reached the keys that were read last stay valid. Nobody can revoke one then.

    Parameters
    ----------
    engine : Engine
    clock : callable
        Seconds.
    """

    def __init__(self, engine: Engine, clock=time.monotonic):
        self._rows = Recent("keys", engine, store.list_keys, clock)

    def find(self, key: str) -> Caller | None:
        """Whose key it is, or None.

        Raises
        ------
        SQLAlchemyError
            When the keys could never be read.
        """
        digest, found = store.key_digest(key), None
        # Every key is compared, each in constant time: how long it takes tells nothing about the keys.
        for row in self._rows.get():
            if hmac.compare_digest(row.sha256, digest) and row.revoked is None:
                found = Caller(row.name, frozenset(row.scopes.split()))
        return found

    def ever(self) -> bool:
        """Whether a key was ever made."""
        return bool(self._rows.get())


def init_app(app: Flask, engine: Engine, person: Callable[[], object]) -> None:
    """Guard the views of an application.

    Parameters
    ----------
    engine : Engine
        Where the keys are.
    person : callable
        Who is logged in, or None.
    """
    app.extensions["keyring"] = Keyring(engine)
    app.extensions["person"] = person
    app.view_functions["static"] = permit(PUBLIC)(app.view_functions["static"])
    app.before_request(_check)
    app.context_processor(lambda: {"demonstration": is_demonstration()})


def caller() -> Caller | None:
    """Who sent this request: the owner of its key, or the demonstration where it counts."""
    if "caller" not in g:
        key = _sent_key()
        if key:
            g.caller = current_app.extensions["keyring"].find(key)
        else:
            demonstration = _same_machine() and not current_app.extensions["keyring"].ever()
            g.caller = DEMONSTRATION if demonstration else PERSON if current_app.extensions["person"]() else None
    return g.caller


def is_demonstration() -> bool:
    """Whether this request is answered without a key."""
    return g.get("caller") is DEMONSTRATION


def _check() -> None:
    """Refuse what the caller may not do, also on paths that do not exist.

    Raises
    ------
    ApiProblem
        401 without a valid key, 403 with one that was made for something else.
    """
    view = current_app.view_functions.get(request.endpoint or "")
    permission = getattr(view, "permission", None)
    if permission == PUBLIC or hasattr(view, "needs"):  # see moderation.login: people, not keys
        return
    who = caller()
    if who is None:
        detail = (
            "The API key is not valid"
            if _sent_key()
            else "Send an API key as X-API-Key; 'python -m moderation keys create NAME' makes one"
        )
        raise ApiProblem(401, "No valid API key", detail, headers={"WWW-Authenticate": "Bearer"})
    if view is None:
        return  # there is no such path: that is answered next
    if permission is None or not who.may(permission):
        raise ApiProblem(403, "The key was made for something else", f"This needs a key with the scope {permission!r}")


def _sent_key() -> str:
    key = request.headers.get("X-API-Key")
    if key:
        return key
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""


def _same_machine() -> bool:
    forwarded = any(name in request.headers for name in ("X-Forwarded-For", "Forwarded", "X-Real-Ip"))
    return not forwarded and is_loopback(request.remote_addr or "") and is_loopback(request.host.rsplit(":", 1)[0])


@functools.lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own. Other names count as foreign: a web page
    could point its own name at this address to reach the service through a visitor's browser."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
