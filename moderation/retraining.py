"""Training on the newsroom's decisions: as a process of its own that reports its progress, and what comes after."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from moderation import overrides, registry, store
from moderation.comments import DataError
from moderation.settings import ROOT
from moderation.store import ActivationRow, TrainingRow, now

if TYPE_CHECKING:
    from moderation.dataset import Dataset

SILENT = timedelta(minutes=10)  #: after which a process that does not report is taken for dead
UNKNOWN = "unknown"  #: stands in the log for whoever made a version active that was found so


class Busy(Exception):
    """A training run is under way already."""


# ---------------------------------------------------------------------------------------- runs


def begin(session: Session, who: str) -> TrainingRow:
    """Note that a training run begins.

    Raises
    ------
    Busy
    """
    # Two people who press the button at once: on PostgreSQL the second waits here, on SQLite since it began to write.
    if session.get_bind().dialect.name == "postgresql":
        session.execute(store.sql("LOCK TABLE training IN EXCLUSIVE MODE"))
    _bury(session)
    busy = session.scalar(select(TrainingRow).where(TrainingRow.status.in_(("waiting", "running"))))
    if busy is not None:
        raise Busy(f"{busy.who} began a training run that is still under way")
    row = TrainingRow(who=who)
    session.add(row)
    session.flush()
    return row


def _bury(session):
    session.execute(
        update(TrainingRow)
        .where(TrainingRow.status.in_(("waiting", "running")), TrainingRow.seen < now() - SILENT)
        .values(status="failed", problem="the process ended without a word", finished=now())
        .execution_options(synchronize_session=False)
    )


def runs(session: Session, limit: int = 20) -> list[TrainingRow]:
    """Training runs, the newest first. One whose process has been silent for long is shown as failed."""
    rows = list(session.scalars(select(TrainingRow).order_by(TrainingRow.id.desc()).limit(limit)))
    for row in rows:
        if row.status in ("waiting", "running") and row.seen < now() - SILENT:
            session.expunge(row)
            row.status, row.problem = "failed", "the process ended without a word"
    return rows


def start(engine: Engine, who: str, *, environment: dict[str, str]) -> int:
    """Begin a training run in a process of its own; the run's number.

    Parameters
    ----------
    environment : dict
        The process's, with the settings of this service in it.

    Raises
    ------
    Busy
    """
    with store.writing(engine) as session:
        run = begin(session, who).id
    command = [sys.executable, "-m", "moderation", "train", "--from-queue", "--run", str(run)]
    # Of its own session, so that a server that ends does not end it.
    subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    return run


#: What is done in a run, in this order, and the share of its time that it takes, about.
SHARES = {
    "Reading comments": 0.05,
    "Learning abusive": 0.25,
    "Learning mocking": 0.25,
    "Comparing with articles": 0.06,
    "Measuring on held-out comments": 0.05,
    "Measuring under articles": 0.06,
    "Scoring recent comments with the active model": 0.14,
    "Scoring recent comments with the candidate": 0.14,
}


class Reporter:
    """Reports a run's progress, as `rich.progress.Progress` shows it.

    Parameters
    ----------
    engine : Engine
    run : int
        Number of the run.
    """

    every = timedelta(seconds=1)  #: between two reports of a step

    def __init__(self, engine: Engine, run: int):
        self.engine, self.run = engine, run
        self._at, self._told = 0.0, now()

    def track(self, items: Iterable, description: str = "") -> Iterator:
        """Yield the items, and report how far it is."""
        items = list(items)
        begin, end = self._part(description)
        self.tell(step=description, progress=begin)
        for place, item in enumerate(items):
            self._at = begin + (end - begin) * place / len(items)
            if now() - self._told >= self.every:
                self.tell(progress=self._at)
            yield item
        self._at = end

    def _part(self, description):
        """From where to where a step goes. It never goes back, also when a step comes twice; one that is not known
        takes a third of what is left."""
        names = list(SHARES)
        if description in SHARES:
            before = sum(SHARES[name] for name in names[: names.index(description)])
            return max(self._at, before), max(self._at, before + SHARES[description])
        return self._at, self._at + (sum(SHARES.values()) - self._at) / 3

    def tell(self, **values) -> None:
        """Write to the run's row."""
        self._told = now()
        with store.writing(self.engine) as session:
            session.execute(update(TrainingRow).where(TrainingRow.id == self.run).values(seen=self._told, **values))


@contextmanager
def recorded(engine: Engine, run: int | None = None, who: str = "command line") -> Iterator[Reporter]:
    """Record a training run; however it ends, that is noted.

    Parameters
    ----------
    run : int, optional
        Number of a run that `start` began; by default one begins now.

    Raises
    ------
    Busy
    """
    if run is None:
        with store.writing(engine) as session:
            run = begin(session, who).id
    reporter = Reporter(engine, run)
    reporter.tell(status="running")
    try:
        yield reporter
    except BaseException as error:
        # What people can mend is told in its own words; the words of a fault could quote a comment.
        said = str(error) if isinstance(error, (DataError, registry.ModelError)) else type(error).__name__
        reporter.tell(status="failed", problem=said, finished=now())
        raise
    reporter.tell(status="done", progress=1.0, finished=now())


def preview(reporter: Reporter, models: Path, data: Dataset, version: str, against: str, progress) -> dict:
    """Compare a candidate with the model that it would replace, and keep that with the run.

    Parameters
    ----------
    data : Dataset
        All that the candidate was made from.
    progress
        With a method ``track``, as `rich.progress.Progress` has.

    Returns
    -------
    dict
        ``figures`` as `moderation.preview.figures` gives, ``flips`` as `moderation.preview.flips`, and ``recent``, the
        number of comments looked at.
    """
    # Comparing needs the scorer, which a page that only shows a run does not.
    from moderation import preview as previews
    from moderation.scorer import Scorer

    old, new = (Scorer(registry.load(models, name)) for name in (against, version))
    with store.reading(reporter.engine) as session:
        own = overrides.current(session)
        rows = previews.recent(session)

    def track(description):
        return lambda items: progress.track(items, description=description)

    before = previews.scores(old, rows, track("Scoring recent comments with the active model"))
    after = previews.scores(new, rows, track("Scoring recent comments with the candidate"))
    found = {
        "figures": previews.figures(data, old, new, own),
        "flips": previews.flips(rows, old, new, before, after, own),
        "recent": len(rows),
    }
    with store.writing(reporter.engine) as session:
        for model, values in ((old, before), (new, after)):
            previews.keep_scores(session, model, rows, values, own)
    reporter.tell(version=version, against=old.version, preview=found)
    return found


# ---------------------------------------------------------------------------------------- activation


def promote(session: Session, models: Path, version: str, who: str) -> ActivationRow:
    """Make a version the active one, and log who did. Running services take it up within a second.

    Raises
    ------
    ModelError
    """
    return _activate(session, models, version, who, "promote")


def roll_back(session: Session, models: Path, who: str) -> ActivationRow:
    """Make the version before the active one active again.

    Raises
    ------
    ModelError
        Also when there is none.
    """
    _serialise(session)
    reconcile(session, models)
    before = previous(session, models)
    if before is None:
        raise registry.ModelError("no version was active before this one")
    return _activate(session, models, before, who, "roll back")


def previous(session: Session, models: Path) -> str | None:
    """The version that rolling back would make active."""
    active = registry.active(models)
    row = session.scalar(
        select(ActivationRow)
        .where(ActivationRow.version == active, ActivationRow.action == "promote")
        .order_by(ActivationRow.id.desc())
        .limit(1)
    )
    return row.previous if row else None


def _activate(session, models, version, who, action):
    _serialise(session)
    reconcile(session, models)
    row = ActivationRow(version=version, previous=_logged(session), action=action, who=who)
    session.add(row)
    session.flush()
    # Last, so that a version that cannot be made active is not logged. A process that is killed before it has
    # committed leaves one active that is not: see `reconcile`.
    registry.activate(models, version)
    return row


def _serialise(session):
    """One after the other, or the log would say another version than the one that is active."""
    session.connection()  # where SQLite locks
    if session.get_bind().dialect.name == "postgresql":
        session.execute(store.sql("LOCK TABLE activation IN EXCLUSIVE MODE"))


def _logged(session):
    """The version that is active as the log has it."""
    newest = select(ActivationRow.version).order_by(ActivationRow.id.desc()).limit(1)
    return session.scalar(newest) or registry.DEFAULT


def unlogged(session: Session, models: Path) -> str | None:
    """The active version where the log says another; None where they agree, or none can be made out.

    That is what a process leaves that was killed while it promoted, and ``models activate`` without the database.
    """
    try:
        active = registry.active(models)
    except registry.ModelError:
        return None  # damaged or gone: said wherever models are looked at
    return active if active != _logged(session) else None


def reconcile(session: Session, models: Path, who: str = UNKNOWN) -> ActivationRow | None:
    """Log the active version where the log says another, so that it tells what is served and can be rolled back.

    Needs a writing session. Whoever is promoting at the same time is waited for.
    """
    _serialise(session)
    active = unlogged(session, models)
    if active is None:
        return None
    row = ActivationRow(version=active, previous=_logged(session), action="promote", who=who)
    session.add(row)
    session.flush()
    return row


def activations(session: Session, limit: int = 50) -> list[ActivationRow]:
    """The log of activations, newest first."""
    return list(session.scalars(select(ActivationRow).order_by(ActivationRow.id.desc()).limit(limit)))
