"""The log: one JSON object a line, and never a comment's text.

What an exception says may quote what it failed on, so of exceptions the log tells their types and where they were
raised, not what they say; except for those whose words are this program's own.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime

from moderation.registry import ModelError

request_id: ContextVar[str] = ContextVar("request_id", default="")

_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Time, level, logger, message, the request's id, what was given as ``extra``, and the exception."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id.get():
            line["request_id"] = request_id.get()
        line.update((name, value) for name, value in vars(record).items() if name not in _STANDARD)
        if record.exc_info and record.exc_info[1]:
            line["exception"] = describe(record.exc_info[1])
            line["at"] = frames(record.exc_info[1])
        return json.dumps(line, default=str)


class _NoPaths(logging.Filter):
    """waitress names the path that it was serving, which may quote a comment."""

    def filter(self, record):
        if record.name.startswith("waitress"):
            record.msg, record.args = record.getMessage().split(" serving ")[0], ()
        return True


class TextFormatter(logging.Formatter):
    """The same for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        told = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        line = " ".join([record.getMessage(), *(f"{name}={value}" for name, value in told.items())])
        if record.levelno >= logging.WARNING:
            line = f"{record.levelname}: {line}"
        if record.exc_info and record.exc_info[1]:
            line += "".join(f"\n  {frame}" for frame in frames(record.exc_info[1]))
            line += f"\n{describe(record.exc_info[1])}"
        return line


def describe(error: BaseException) -> str:
    """An exception's type, and what is known about it without quoting it."""
    name = type(error).__name__
    if isinstance(error, ModelError):
        return f"{name}: {error}"
    if isinstance(error, OSError) and error.strerror:
        return f"{name}: {error.strerror}"
    # A database's error: SQLite's name for it, or the SQLSTATE.
    code = getattr(error, "sqlite_errorname", None) or getattr(error, "sqlstate", None)
    if code:
        return f"{name}: {code}"
    cause = getattr(error, "orig", None) or error.__cause__
    return f"{name}, from {describe(cause)}" if cause is not None and cause is not error else name


def frames(error: BaseException) -> list[str]:
    """Where an exception was raised, innermost last."""
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]


def setup(level: str = "INFO", stream=None) -> None:
    """Send the log to standard error: as JSON, or as plain lines where that is a terminal.

    Below INFO only this program's own messages are told: libraries would tell the rows that they read.
    """
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter() if stream.isatty() else JsonFormatter())
    handler.addFilter(_NoPaths())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.INFO, logging.getLevelName(level)))
    logging.getLogger("moderation").setLevel(level)
    # Where it serves is told at every level.
    logging.getLogger("moderation.start").setLevel(logging.INFO)
    logging.getLogger("sqlalchemy").setLevel(logging.WARNING)
    # waitress tells every queued request here; how many wait is a metric.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    logging.captureWarnings(True)
    log = logging.getLogger("moderation")
    sys.excepthook = lambda kind, error, trace: log.critical("the program failed", exc_info=(kind, error, trace))
    threading.excepthook = lambda args: log.critical("a thread failed", exc_info=args.exc_value)
