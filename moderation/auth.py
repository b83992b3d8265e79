"""Who may call: API keys, and the demonstration mode before the first key is made."""

from __future__ import annotations

import functools
import ipaddress

from flask import current_app, request
from sqlalchemy.orm import Session

from moderation import store
from moderation.problems import ApiProblem


def needs_key(view):
    """Answer only callers with a valid key, sent as ``X-API-Key`` or ``Authorization: Bearer``.

    As long as no key was ever made, callers on the same machine are answered without one
    (demonstration mode). A request that a proxy passed on does not count as from the same machine.
    """

    @functools.wraps(view)
    def guarded(*args, **kwargs):
        key = request.headers.get("X-API-Key") or _bearer()
        with Session(current_app.extensions["engine"]) as session:
            if key:
                allowed = store.valid_key(session, key)
                detail = "The API key is not valid"
            else:
                allowed = demonstration_mode(session)
                detail = "Send an API key as X-API-Key; 'python -m moderation keys create NAME' makes one"
        if not allowed:
            raise ApiProblem(401, "No valid API key", detail, headers={"WWW-Authenticate": "Bearer"})
        return view(*args, **kwargs)

    guarded.keyed = True  # no cookie opens it, so no other site can misuse one
    return guarded


def demonstration_mode(session: Session) -> bool:
    """Whether this request is answered without a key."""
    return not store.any_key(session) and _same_machine()


def _bearer() -> str:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""


def _same_machine() -> bool:
    forwarded = any(name in request.headers for name in ("X-Forwarded-For", "Forwarded", "X-Real-Ip"))
    return not forwarded and is_loopback(request.remote_addr or "") and is_loopback(request.host.rsplit(":", 1)[0])


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own. Other names count as foreign: a web page
    could point its own name at this address to reach the service through a visitor's browser."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
