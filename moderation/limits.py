"""How much one caller may ask, and how long an answer may take."""

from __future__ import annotations

import logging
import math
import time

from flask import Flask, current_app, g, request
from flask_limiter import Limiter, RateLimitExceeded

from moderation import auth
from moderation.problems import ApiProblem, FieldError, Problem, respond_problem
from moderation.settings import Settings

HEADER = "X-Request-Timeout-Ms"
LONGEST = 600_000  #: milliseconds


def init_app(app: Flask, settings: Settings) -> None:
    """Call after `auth.init_app`: the limits are each caller's own."""
    app.before_request(_set_deadline)
    if settings.rate_limit:
        limiter = Limiter(
            _whose,
            application_limits=[settings.rate_limit],
            storage_uri=settings.rate_limit_storage,
            strategy="sliding-window-counter",
            key_prefix="moderation",
            # With Redis gone each process counts alone: still a limit, and nobody is shut out.
            in_memory_fallback=[settings.rate_limit],
            in_memory_fallback_enabled=not settings.rate_limit_storage.startswith("memory:"),
        )
        limiter.request_filter(_public)
        limiter.init_app(app)

        @app.errorhandler(RateLimitExceeded)
        def on_limit(error):
            detail = f"The limit is {error.description}; nothing of this request was scored"
            broken = limiter.current_limit
            wait = max(1, math.ceil(broken.reset_at - time.time())) if broken else 1
            problem = Problem(status=429, title="Too many requests", detail=detail)
            return respond_problem(problem, {"Retry-After": str(wait)})

        logging.getLogger("flask-limiter").setLevel(logging.ERROR)


def deadline_passed() -> bool:
    """Whether this request's time is over."""
    return time.monotonic() > g.deadline


def _set_deadline():
    sent = request.headers.get(HEADER)
    limit = current_app.config["SETTINGS"].timeout_ms
    if sent is not None:
        if not (sent.isascii() and sent.isdigit() and 0 < int(sent[:10]) <= LONGEST):
            detail = f"is not a whole number of milliseconds from 1 to {LONGEST:,}"
            raise ApiProblem(400, "Deadline unclear", f"{HEADER} {detail}", [FieldError(field=HEADER, detail=detail)])
        limit = min(limit, int(sent))
    g.deadline = g.begun + limit / 1000


def _whose() -> str:
    who = auth.caller()
    return who.name if who else request.remote_addr or ""


def _public() -> bool:
    view = current_app.view_functions.get(request.endpoint or "")
    return getattr(view, "permission", None) == auth.PUBLIC
