"""Telling the comment system: signed webhooks from the outbox, until each is taken.

An event is written in the transaction that changes a verdict, so none is lost and none invented. It is sent at least
once; a crash between sending and noting that can send it again, with the same id. Headers and signature are those of
Standard Webhooks, for which there are libraries in most languages.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import http.client
import logging
import random
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import CursorResult, Engine, delete, func, select, update
from sqlalchemy.orm import Session, aliased

from moderation import store
from moderation.store import OutboxRow, now

BATCH = 20  #: events claimed at a time
TIMEOUT = 10.0  #: seconds to wait for an answer
LONGEST_WAIT = 3600.0  #: seconds between tries at most

_log = logging.getLogger(__name__)


def secret_key(secret: str) -> bytes:
    """The signing key of a secret ``whsec_<base64>``.

    Raises
    ------
    ValueError
    """
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith("whsec_") or len(key) < 24:
        raise ValueError('is no webhook secret; make one: echo "whsec_$(openssl rand -base64 32)"')
    return key


def sign(key: bytes, event: str, at: datetime, body: bytes) -> dict[str, str]:
    """The headers by which a receiver knows an event, and that it comes from us."""
    seconds = str(int(at.timestamp()))
    digest = hmac.new(key, f"{event}.{seconds}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": event,
        "webhook-timestamp": seconds,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def wait(attempts: int, rng: random.Random | None = None) -> float:
    """Seconds until the next try after `attempts` failed ones: doubling, with some chance so that not all come at
    once."""
    return min(LONGEST_WAIT, 2.0 ** min(attempts, 20)) * (rng or random).uniform(0.75, 1.25)


# ---------------------------------------------------------------------------------------- the outbox


def claim(session: Session, at: datetime, limit: int = BATCH) -> list[OutboxRow]:
    """Events that are due, kept from other processes until they should have been sent.

    Events of one comment are sent in their order: while one is not delivered, those after it wait.
    """
    earlier = aliased(OutboxRow)
    blocked = (
        select(earlier.id)
        .where(earlier.comment_id == OutboxRow.comment_id, earlier.id < OutboxRow.id, earlier.next_try.is_not(None))
        .exists()
    )
    rows = list(
        session.scalars(
            select(OutboxRow)
            .where(OutboxRow.next_try <= at, ~blocked)
            .order_by(OutboxRow.next_try, OutboxRow.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
    )
    for row in rows:
        row.next_try = at + timedelta(seconds=(limit + 1) * TIMEOUT)
    session.flush()
    return rows


def deliver(engine: Engine, send: Callable[[str, bytes], None], at: datetime | None = None) -> tuple[int, bool]:
    """Send what is due, up to the first failure.

    Parameters
    ----------
    send : callable
        Takes an event's id and body; raises `DeliveryError` when it was not taken.
    at : datetime, optional
        By default now.

    Returns
    -------
    sent : int
    failed : bool
        Whether one was not taken; it and what was claimed after it are tried again later.
    """
    at = at or now()
    with store.reading(engine) as session:
        # Looking takes no lock that somebody who writes would wait for.
        if session.scalar(select(OutboxRow.id).where(OutboxRow.next_try <= at).limit(1)) is None:
            return 0, False
    with store.writing(engine) as session:
        claimed = claim(session, at)
        session.expunge_all()
    sent, problem = [], None
    for row in claimed:
        try:
            send(row.event, row.payload.encode())
        except DeliveryError as error:
            problem = str(error)
            break
        sent.append(row.id)
    if claimed:
        with store.writing(engine) as session:
            _note(session, claimed, sent, problem, at)
    return len(sent), problem is not None


def _note(session, claimed, sent, problem, at):
    session.execute(
        update(OutboxRow)
        .where(OutboxRow.id.in_(sent))
        .values(delivered=now(), next_try=None, attempts=OutboxRow.attempts + 1, problem="")
    )
    if problem is None:
        return
    failed, *rest = claimed[len(sent) :]
    _log.warning("event %s was not taken (%s), try %d", failed.event, problem, failed.attempts + 1)
    session.execute(
        update(OutboxRow)
        .where(OutboxRow.id == failed.id)
        .values(
            attempts=OutboxRow.attempts + 1,
            next_try=at + timedelta(seconds=wait(failed.attempts)),
            problem=problem[:500],
        )
    )
    session.execute(update(OutboxRow).where(OutboxRow.id.in_([row.id for row in rest])).values(next_try=at))


def waiting(session: Session) -> tuple[int, float]:
    """How many events wait to be delivered, and the age in seconds of the oldest."""
    number, oldest = session.execute(
        select(func.count(), func.min(OutboxRow.created)).where(OutboxRow.next_try.is_not(None))
    ).one()
    return number, (now() - oldest).total_seconds() if number else 0.0


def tidy(session: Session, before: datetime) -> int:
    """Forget events that were delivered before a moment; how many."""
    return cast(CursorResult, session.execute(delete(OutboxRow).where(OutboxRow.delivered < before))).rowcount


# ---------------------------------------------------------------------------------------- sending


class DeliveryError(Exception):
    """An event that the receiver did not take."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    # A redirect would repeat the request as GET, without its body.
    def redirect_request(self, *arguments):
        return None


class Receiver:
    """The comment system's address, and the key that it knows us by.

    Parameters
    ----------
    url : str
    secret : str
        See `secret_key`.
    """

    def __init__(self, url: str, secret: str):
        self.url, self._key = url, secret_key(secret)
        # No proxy from the environment: the address is the newsroom's own.
        self._opener = urllib.request.build_opener(_NoRedirects, urllib.request.ProxyHandler({}))

    def send(self, event: str, body: bytes) -> None:
        """Post an event.

        Raises
        ------
        DeliveryError
            When it was not answered with a status of 200 to 299.
        """
        headers = {"Content-Type": "application/json", **sign(self._key, event, now(), body)}
        request = urllib.request.Request(self.url, body, headers, method="POST")
        try:
            with self._opener.open(request, timeout=TIMEOUT) as reply:
                reply.read(1000)
        except urllib.error.HTTPError as error:
            error.close()
            raise DeliveryError(f"status {error.code}") from None
        except (OSError, http.client.HTTPException) as error:
            raise DeliveryError(f"{type(error).__name__}: {error}") from None


class Courier:
    """Delivers what is due, more slowly while the receiver does not take it; `moderation.background` calls it."""

    def __init__(self, engine: Engine, receiver: Receiver):
        self.engine, self.receiver = engine, receiver
        self._failures = 0

    def __call__(self) -> float:
        """Deliver; seconds until it should be called again."""
        sent, failed = deliver(self.engine, self.receiver.send)
        self._failures = self._failures + 1 if failed and not sent else 0
        if failed:
            return min(60.0, wait(self._failures))
        return 0.0 if sent else 0.5
