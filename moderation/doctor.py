"""``python -m moderation doctor``: looks at all that the service needs, and says what to mend."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import urllib.request
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from pydantic import ValidationError
from sqlalchemy import Engine, func, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from moderation import logs, registry, retraining, store
from moderation.comments import Comment
from moderation.registry import ModelError
from moderation.scorer import Scorer
from moderation.settings import Settings, wrong_settings

GOOD, WARNING, BAD = "good", "warning", "bad"

LOW_SPACE = 500_000_000  #: bytes that should be free
SKEW = 5  #: seconds that two clocks may differ


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one thing.

    ``mend`` says what to do; empty where there is nothing to do.
    """

    what: str
    state: str
    found: str
    mend: str = ""


def examine(environment: Callable[[], Settings] = Settings) -> Iterator[Finding]:
    """Look at configuration, database, model, disk and clock; each whatever became of the others.

    Parameters
    ----------
    environment : callable
        Gives the settings; it may raise.

    Yields
    ------
    Finding
    """
    try:
        settings = environment()
    except ValidationError as error:
        for wrong in wrong_settings(error):
            yield Finding("configuration", BAD, wrong, "Correct it; the README has the table of settings")
        return
    yield from _configuration(settings)
    yield from _database(settings)
    yield from _model(settings)
    yield from _disk(settings)


def _configuration(settings: Settings) -> Iterator[Finding]:
    unknown = sorted(
        name
        for name in os.environ
        if name.startswith("MODERATION_") and name.removeprefix("MODERATION_").lower() not in Settings.model_fields
    )
    for name in unknown:
        yield Finding("configuration", WARNING, f"{name} is no setting", "Remove it, or correct its name")
    if settings.rate_limit:
        from limits import parse_many

        try:
            parse_many(settings.rate_limit)
        except ValueError:
            yield Finding(
                "configuration", BAD, "MODERATION_RATE_LIMIT cannot be read", 'Write it like "100 per second"'
            )
    if not unknown:
        yield Finding("configuration", GOOD, f"to be served on {settings.host}:{settings.port}")
    if settings.rate_limit_storage.startswith("redis"):
        from limits.errors import ConfigurationError
        from limits.storage import storage_from_string

        try:
            reached = storage_from_string(settings.rate_limit_storage).check()
        except ConfigurationError as error:
            yield Finding("rate limits", BAD, str(error), "Install the extra newsroom-moderation[redis]")
        else:
            if reached:
                yield Finding("rate limits", GOOD, "Redis answers")
            else:
                yield Finding(
                    "rate limits",
                    BAD,
                    "Redis does not answer; each process counts alone",
                    "Start it or correct MODERATION_RATE_LIMIT_STORAGE",
                )


def _database(settings: Settings) -> Iterator[Finding]:
    try:
        url = make_url(settings.database_url)
        shown = url.render_as_string(hide_password=True)
    except SQLAlchemyError:
        yield Finding(
            "database", BAD, "MODERATION_DATABASE_URL cannot be read", "Write it like sqlite:////srv/moderation.sqlite"
        )
        return
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).exists():
        yield Finding("database", WARNING, f"{shown} does not exist yet", "The first start makes it")
        return
    try:
        engine = store.connect(settings.database_url)
        with engine.connect() as connection:
            current = yield from _schema(connection, shown)
            if engine.dialect.name == "sqlite":
                [verdict] = connection.execute(text("PRAGMA quick_check(1)")).scalars()
                if verdict != "ok":
                    yield Finding("database", BAD, f"{shown} is damaged", _RESTORE)
            else:
                yield from _clock(connection)
        if current:
            yield from _activation(engine, settings)
            yield from _keys(engine, settings)
    except store.Damaged as error:
        yield Finding("database", BAD, f"{shown} is damaged ({logs.describe(error)})", _RESTORE)
    except (SQLAlchemyError, ImportError) as error:
        yield Finding(
            "database",
            BAD,
            f"{shown} cannot be used ({logs.describe(error)})",
            "Start it, or correct MODERATION_DATABASE_URL; is it this service's, and may this user write to it?",
        )


_RESTORE = "Restore a backup; docs/operate.md says how"


def _schema(connection, shown) -> Generator[Finding, None, bool]:
    """What is to be said of the version; whether it is this program's."""
    found = MigrationContext.configure(connection).get_current_revision()
    script = ScriptDirectory(str(Path(store.__file__).parent / "migrations"))
    wanted = script.get_current_head()
    known = {revision.revision for revision in script.walk_revisions()}
    if found == wanted:
        yield Finding("database", GOOD, f"{shown} is of this version ({wanted})")
    elif found is None or found in known:
        yield Finding(
            "database", WARNING, f"{shown} is of an older version ({found})", "The next start brings it up to date"
        )
    else:
        yield Finding(
            "database",
            BAD,
            f"{shown} is of a version ({found}) that this program does not know",
            "Start the newer program that made it, or restore a backup from before",
        )
    return found == wanted


def _activation(engine: Engine, settings: Settings) -> Iterator[Finding]:
    with Session(engine) as session:
        version = retraining.unlogged(session, settings.models)
    if version is not None:
        yield Finding(
            "model",
            WARNING,
            f"{version} is active, and the log of activations does not say so: whoever promoted it was cut off",
            "The next start logs it; to go back: python -m moderation models activate VERSION",
        )


def _keys(engine: Engine, settings: Settings) -> Iterator[Finding]:
    from moderation.auth import is_loopback

    with Session(engine) as session:
        rows = store.list_keys(session)
        newest = session.scalar(select(func.max(store.CommentRow.created)))
    valid = [row for row in rows if not row.revoked]
    if valid:
        yield Finding("keys", GOOD, f"{len(valid)} valid")
    elif rows:
        yield Finding("keys", WARNING, "all were revoked: nobody can call", "python -m moderation keys create NAME")
    elif is_loopback(settings.host):
        yield Finding(
            "keys",
            WARNING,
            "none yet: whoever uses this machine may do everything",
            "python -m moderation keys create NAME",
        )
    else:
        yield Finding(
            "keys",
            BAD,
            f"none yet, and {settings.host} is served only with one",
            "python -m moderation keys create NAME",
        )
    written = [moment for moment in (newest, *(row.created for row in rows)) if moment is not None]
    if written:
        ahead = (max(written) - datetime.now(UTC)).total_seconds()
        if ahead > SKEW:
            yield Finding(
                "clock",
                BAD,
                f"what is in the database is {ahead:,.0f} s newer than this machine's clock",
                "Set the clock (chrony or systemd-timesyncd keep it right)",
            )


def _clock(connection) -> Iterator[Finding]:
    before = time.time()
    there = connection.execute(text("SELECT EXTRACT(EPOCH FROM clock_timestamp())")).scalar()
    here = (before + time.time()) / 2
    if abs(float(there) - here) > SKEW:
        yield Finding(
            "clock",
            BAD,
            f"this machine's clock and the database's differ by {abs(float(there) - here):,.0f} s",
            "Set both from the same source (chrony or systemd-timesyncd keep them right)",
        )
    else:
        yield Finding("clock", GOOD, "agrees with the database's")


def _model(settings: Settings) -> Iterator[Finding]:
    try:
        wanted = settings.model or registry.active(settings.models)
        begun = time.monotonic()
        scorer = Scorer(registry.load(settings.models, wanted))
        taken = time.monotonic() - begun
        scorer.score([Comment("A comment to see that it can be scored.")])
    except ModelError as error:
        yield Finding("model", BAD, str(error), "python -m moderation models list; then models activate VERSION")
        return
    yield Finding("model", GOOD, f"{scorer.version} loads in {taken:.1f} s and scores")


def _disk(settings: Settings) -> Iterator[Finding]:
    folders = {"models": settings.models}
    url = make_url(settings.database_url) if "://" in settings.database_url else None
    if url is not None and url.get_backend_name() == "sqlite" and url.database:
        folders["database"] = Path(url.database).absolute().parent
    for what, folder in folders.items():
        while not folder.exists():
            folder = folder.parent
        free = shutil.disk_usage(folder).free
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(b"x")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            state = WARNING if what == "models" else BAD
            yield Finding("disk", state, f"{folder} ({what}) cannot be written: {error.strerror}", _MAY_WRITE[what])
            continue
        if free < LOW_SPACE:
            yield Finding(
                "disk", BAD, f"{folder} ({what}) has {free / 1e6:,.0f} MB left", "Make room, or use another disk"
            )
        else:
            yield Finding("disk", GOOD, f"{folder} ({what}) can be written and has {free / 1e9:,.0f} GB left")


_MAY_WRITE = {
    "models": "Only retraining writes there; give this user the folder, or set MODERATION_MODELS",
    "database": "Give this user the folder, or set MODERATION_DATABASE_URL",
}


def running(url: str) -> Iterator[Finding]:
    """Look at a service that runs.

    Parameters
    ----------
    url : str
        Its address.
    """
    try:
        # The operator's own address.
        with urllib.request.urlopen(f"{url.rstrip('/')}/ready", timeout=10) as reply:  # nosec B310
            date = parsedate_to_datetime(reply.headers["Date"])
    except (OSError, ValueError) as error:
        yield Finding("service", BAD, f"{url} does not answer as it should ({error})", "Start it; its log says more")
        return
    yield Finding("service", GOOD, f"{url} is ready")
    ahead = (date - datetime.now(UTC)).total_seconds()
    if abs(ahead) > SKEW:
        yield Finding("clock", BAD, f"its clock differs from this machine's by {abs(ahead):,.0f} s", "Set the clocks")
