"""Tables, and the queries on them. Every query takes a Session; nothing here commits but `writing`."""

from __future__ import annotations

import hashlib
import re
import secrets
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TypeVar, cast

from alembic import command
from alembic.config import Config
from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    ColumnElement,
    CursorResult,
    Date,
    DateTime,
    Double,
    Engine,
    ForeignKey,
    Index,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    create_engine,
    event,
    false,
    func,
    literal_column,
    select,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, joinedload, mapped_column, relationship

from moderation.comments import ID_LIMIT, LABELS, Article
from moderation.settings import SCOPES

VERDICTS = ("approve", "reject", "defer", "undo")
REASONS = (*LABELS, "other")  #: why a comment is rejected; the labels, and what is none
SOURCES = ("flagged", "audit", "double", "contested", "reported")  #: why a comment is in the queue, see `ItemRow`
STATUSES = ("open", "deferred", "decided", "withdrawn")
ROLES = ("moderator", "lead", "admin")

_WORD = re.compile(r"[^\W_]+")


class Base(DeclarativeBase):
    pass


T = TypeVar("T", bound=Base)


class UtcTime(TypeDecorator):
    """A moment. SQLite keeps no time zone, so everything is stored in UTC and comes back aware."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value, dialect):
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value, dialect):
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def now() -> datetime:
    return datetime.now(UTC)


def _one_of(column: str, values: tuple[str, ...]) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(map(repr, values))})", name=f"{column}_known")


# ---------------------------------------------------------------------------------------- comments and scores


class ArticleRow(Base):
    """An article that was sent with an id, so that later comments can name it."""

    __tablename__ = "article"

    id: Mapped[str] = mapped_column(String(ID_LIMIT), primary_key=True)
    title: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)
    section: Mapped[str] = mapped_column(String(ID_LIMIT), default="")
    changed: Mapped[datetime] = mapped_column(UtcTime, default=now, onupdate=now)


class CommentRow(Base):
    """A stored comment. Its texts are revisions; what stands here is what they have in common.

    Attributes
    ----------
    author : str
        The comment system's key of the author, nothing that we look into; empty where none was sent.
    section : str
        The comment's own, or its article's.
    revision : int
        Number of the current revision, from 1.
    posted : datetime
        When the author wrote it, as the comment system says; `created` is when it came here.
    verdict, reason, decided
        What holds for the current revision: ``approve`` or ``reject``, or None where nobody has decided.
    erasure_id : int or None
        Of the erasure that removed the texts and the author.
    invented : bool
        Whether it is one of those that `moderation.demonstration` shows, and nobody wrote it.
    """

    __tablename__ = "comment"
    __table_args__ = (
        Index("ix_comment_author", "author", "posted"),
        Index("ix_comment_created", "created"),
        # In the very words of the queries, or it would not be used.
        Index(
            "ix_comment_invented",
            "invented",
            sqlite_where=sql("invented IS 1"),
            postgresql_where=sql("invented IS TRUE"),
        ),
    )

    id: Mapped[str] = mapped_column(String(ID_LIMIT), primary_key=True)
    article_id: Mapped[str | None] = mapped_column(ForeignKey("article.id"), index=True)
    parent_id: Mapped[str] = mapped_column(String(ID_LIMIT), default="", index=True)
    parent_text: Mapped[str] = mapped_column(Text, default="")
    author: Mapped[str] = mapped_column(String(ID_LIMIT), default="")
    section: Mapped[str] = mapped_column(String(ID_LIMIT), default="")
    revision: Mapped[int] = mapped_column(default=1)
    posted: Mapped[datetime] = mapped_column(UtcTime, default=now)
    created: Mapped[datetime] = mapped_column(UtcTime, default=now)
    verdict: Mapped[str | None] = mapped_column(String(10))
    reason: Mapped[str | None] = mapped_column(String(10))
    decided: Mapped[datetime | None] = mapped_column(UtcTime)
    erasure_id: Mapped[int | None] = mapped_column(ForeignKey("erasure.id"))
    invented: Mapped[bool] = mapped_column(default=False, server_default=false())
    article: Mapped[ArticleRow | None] = relationship()
    current: Mapped[RevisionRow] = relationship(
        primaryjoin="and_(CommentRow.id == foreign(RevisionRow.comment_id), CommentRow.revision == RevisionRow.number)",
        uselist=False,
        viewonly=True,
    )

    @property
    def text(self) -> str:
        """The current revision's."""
        return self.current.text


class RevisionRow(Base):
    """A text of a comment. Full-text search runs over this table, see `search`."""

    __tablename__ = "revision"
    __table_args__ = (UniqueConstraint("comment_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    comment_id: Mapped[str] = mapped_column(ForeignKey("comment.id"))
    number: Mapped[int]
    text: Mapped[str] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(UtcTime, default=now)


class ScoreRow(Base):
    """What a model said of a revision, and how likely that was to bring it before a person.

    Attributes
    ----------
    abusive, mocking, off_topic : float or None
        Calibrated probabilities.
    abusive_threshold, mocking_threshold, off_topic_threshold : float
        That held then, with the newsroom's own for the section.
    flagged : bool
        Whether any label reached its threshold.
    live : bool
        Whether it was given when the comment came in. Others are of a later model, for comparison and simulation
        (how the comment was drawn for the queue stands with the live one), or of an invented comment, which nobody
        sent.
    source : str or None
        Why the revision joined the queue on this score (one of `SOURCES`); None where it did not.
    sampling_probability : float
        With which it joined the queue: 1 for what is flagged, the audit share for everything else.
    week : date
        The Monday, for figures by week.
    """

    __tablename__ = "score"
    __table_args__ = (UniqueConstraint("revision_id", "model"), Index("ix_score_week", "live", "week", "model"))

    id: Mapped[int] = mapped_column(primary_key=True)
    revision_id: Mapped[int] = mapped_column(ForeignKey("revision.id"))
    comment_id: Mapped[str] = mapped_column(ForeignKey("comment.id"), index=True)
    model: Mapped[str] = mapped_column(String(100))
    section: Mapped[str] = mapped_column(String(ID_LIMIT), default="")
    flagged: Mapped[bool]
    live: Mapped[bool] = mapped_column(default=True)
    source: Mapped[str | None] = mapped_column(String(10))
    sampling_probability: Mapped[float]
    scored: Mapped[datetime] = mapped_column(UtcTime, default=now)
    week: Mapped[date] = mapped_column(Date)

    def probability(self, label: str) -> float | None:
        return getattr(self, label)

    def threshold(self, label: str) -> float:
        return getattr(self, f"{label}_threshold")

    def flags(self) -> list[str]:
        """The labels that reached their thresholds."""
        return [
            label
            for label in LABELS
            if (probability := self.probability(label)) is not None and probability >= self.threshold(label)
        ]


# ---------------------------------------------------------------------------------------- queue and decisions


class ItemRow(Base):
    """A place in the queue: a revision that a person is to look at.

    A comment may have several over time: of an edited text, of a second opinion. What the queue filters and orders by
    is copied here from comment and score, so that each order is one index.

    Attributes
    ----------
    source : str
        ``flagged`` by the model, or not to be scored by it; ``audit``, drawn from what was not flagged; ``double``, a
        second opinion on what `pair_id` decided; ``contested``, to settle two opinions that differ; ``reported``,
        decided through the interface without having been in the queue.
    status : str
        ``open``, ``deferred`` (a moderator put it off), ``decided``, or ``withdrawn`` (edited or erased before
        anybody decided).
    abusive, mocking, off_topic, probability : float
        The labels' probabilities, and the highest of them.
    rank, margin : float
        Order by probability and by uncertainty (distance from the threshold, in logits). For a drawn comment they are
        those of an open item taken at random, so that it turns up among the flagged ones and not after all of them.
    lease_id, lease_until
        The moderator who has the card, and until when.
    not_for : str
        Who gave the first opinion and must not give the second.
    verdict, reason, decided_by, decided, decision_id
        The decision that holds.
    """

    __tablename__ = "item"
    __table_args__ = (
        _one_of("source", SOURCES),
        _one_of("status", STATUSES),
        Index("ix_item_rank", "status", "rank", "id"),
        Index("ix_item_margin", "status", "margin", "id"),
        Index("ix_item_entered", "status", "entered", "id"),
        Index("ix_item_probability", "status", "probability", "source"),
        Index("ix_item_section", "status", "section", "rank", "id", "probability", "source"),
        Index("ix_item_article", "article_id", "status", "rank", "id"),
        Index("ix_item_author", "author", "status", "rank", "id"),
        Index("ix_item_lease", "lease_id", "status"),
        Index("ix_item_decided", "decided"),
        Index("ix_item_newest", "status", "decided", "id", "source"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    comment_id: Mapped[str] = mapped_column(ForeignKey("comment.id"), index=True)
    revision_id: Mapped[int] = mapped_column(ForeignKey("revision.id"), index=True)
    score_id: Mapped[int] = mapped_column(ForeignKey("score.id"), index=True)
    pair_id: Mapped[int | None] = mapped_column(ForeignKey("item.id"), index=True)
    source: Mapped[str] = mapped_column(String(10))
    status: Mapped[str] = mapped_column(String(10), default="open")
    model: Mapped[str] = mapped_column(String(100))
    article_id: Mapped[str | None] = mapped_column(String(ID_LIMIT))
    section: Mapped[str] = mapped_column(String(ID_LIMIT), default="")
    author: Mapped[str] = mapped_column(String(ID_LIMIT), default="")
    probability: Mapped[float]
    rank: Mapped[float]
    margin: Mapped[float]
    entered: Mapped[datetime] = mapped_column(UtcTime, default=now)
    lease_id: Mapped[int | None] = mapped_column(ForeignKey("moderator.id"))
    lease_until: Mapped[datetime | None] = mapped_column(UtcTime)
    not_for: Mapped[str] = mapped_column(String(200), default="")
    verdict: Mapped[str | None] = mapped_column(String(10))
    reason: Mapped[str | None] = mapped_column(String(10))
    decided_by: Mapped[str] = mapped_column(String(200), default="")
    decided: Mapped[datetime | None] = mapped_column(UtcTime)
    decision_id: Mapped[int | None]
    comment: Mapped[CommentRow] = relationship()
    revision: Mapped[RevisionRow] = relationship()
    score: Mapped[ScoreRow] = relationship()
    lease: Mapped[ModeratorRow | None] = relationship()


for _label in LABELS:
    setattr(ScoreRow, _label, mapped_column(Double, nullable=True))
    setattr(ScoreRow, f"{_label}_threshold", mapped_column(Double, nullable=False))
    setattr(ItemRow, _label, mapped_column(Double, nullable=True))
    setattr(ItemRow, f"flag_{_label}", mapped_column(Boolean, nullable=False))
    # With the source at the end counts and histograms need no look at the table.
    Index(
        f"ix_item_{_label}",
        ItemRow.status,
        getattr(ItemRow, f"flag_{_label}"),
        getattr(ItemRow, _label),
        ItemRow.id,
        ItemRow.source,
    )
# For what goes over all open items, by any of what it is filtered and grouped by.
Index(
    "ix_item_open",
    ItemRow.status,
    ItemRow.revision_id,
    ItemRow.id,
    ItemRow.source,
    ItemRow.not_for,
    ItemRow.section,
    ItemRow.probability,
    ItemRow.rank,
    ItemRow.margin,
    ItemRow.entered,
    *(getattr(ItemRow, f"flag_{label}") for label in LABELS),
    *(getattr(ItemRow, label) for label in LABELS),
    sqlite_where=ItemRow.status == "open",
    postgresql_where=ItemRow.status == "open",
)
Index("ix_item_flags", ItemRow.status, *(getattr(ItemRow, f"flag_{label}") for label in LABELS))


class DecisionRow(Base):
    """What somebody decided; never changed and never deleted, which the database itself refuses.

    Attributes
    ----------
    who : str
        The moderator's name, or what the comment system said.
    verdict : str
        One of `VERDICTS`.
    reason : str or None
        One of `REASONS`, with ``reject``.
    undoes : int or None
        With ``undo``: the decision that no longer holds. Each can be undone once.
    request : str or None
        The caller's idempotency key: the same request twice is one decision.
    seconds : float or None
        That the moderator spent.
    source : str
        The item's.
    """

    __tablename__ = "decision"
    __table_args__ = (
        _one_of("verdict", VERDICTS),
        CheckConstraint(f"reason IS NULL OR reason IN {REASONS}", name="reason_known"),
        CheckConstraint("(verdict = 'reject') = (reason IS NOT NULL)", name="reason_with_reject"),
        CheckConstraint("(verdict = 'undo') = (undoes IS NOT NULL)", name="undoes_with_undo"),
        Index("ix_decision_moderator", "moderator_id", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    item_id: Mapped[int] = mapped_column(ForeignKey("item.id"), index=True)
    comment_id: Mapped[str] = mapped_column(ForeignKey("comment.id"), index=True)
    revision_id: Mapped[int] = mapped_column(ForeignKey("revision.id"))
    moderator_id: Mapped[int | None] = mapped_column(ForeignKey("moderator.id"))
    who: Mapped[str] = mapped_column(String(200))
    verdict: Mapped[str] = mapped_column(String(10))
    reason: Mapped[str | None] = mapped_column(String(10))
    undoes: Mapped[int | None] = mapped_column(ForeignKey("decision.id"), unique=True)
    batch_id: Mapped[int | None] = mapped_column(ForeignKey("batch.id"), index=True)
    request: Mapped[str | None] = mapped_column(String(ID_LIMIT), unique=True)
    at: Mapped[datetime] = mapped_column(UtcTime, default=now, index=True)
    model: Mapped[str] = mapped_column(String(100))
    seconds: Mapped[float | None]
    source: Mapped[str] = mapped_column(String(10))
    item: Mapped[ItemRow] = relationship()
    comment: Mapped[CommentRow] = relationship()


class BatchRow(Base):
    """Many items decided at once: who, what, and the filter that chose them."""

    __tablename__ = "batch"

    id: Mapped[int] = mapped_column(primary_key=True)
    moderator_id: Mapped[int] = mapped_column(ForeignKey("moderator.id"), index=True)
    verdict: Mapped[str] = mapped_column(String(10))
    reason: Mapped[str | None] = mapped_column(String(10))
    chosen: Mapped[dict] = mapped_column(JSON)
    at: Mapped[datetime] = mapped_column(UtcTime, default=now)
    size: Mapped[int]
    undone: Mapped[datetime | None] = mapped_column(UtcTime)


class OutboxRow(Base):
    """An event for the comment system; written with the decision, sent until it is taken.

    Attributes
    ----------
    event : str
        Its idempotency id: a receiver that has seen it has had this event before.
    next_try : datetime or None
        None once it was delivered or given up.
    """

    __tablename__ = "outbox"
    __table_args__ = (Index("ix_outbox_next_try", "next_try", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    event: Mapped[str] = mapped_column(String(36), unique=True)
    comment_id: Mapped[str] = mapped_column(ForeignKey("comment.id"), index=True)
    payload: Mapped[str] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(UtcTime, default=now)
    attempts: Mapped[int] = mapped_column(default=0)
    next_try: Mapped[datetime | None] = mapped_column(UtcTime, default=now)
    delivered: Mapped[datetime | None] = mapped_column(UtcTime)
    problem: Mapped[str] = mapped_column(Text, default="")


class SuggestionRow(Base):
    """What a caller said a score should have been, of a stored comment.

    Attributes
    ----------
    label : str
        One of the labels, or the caller's own name for what it judged.
    value : float in 0..1
    who : str
        As the caller names itself.
    """

    __tablename__ = "suggestion"

    id: Mapped[int] = mapped_column(primary_key=True)
    comment_id: Mapped[str] = mapped_column(ForeignKey("comment.id"), index=True)
    revision_id: Mapped[int] = mapped_column(ForeignKey("revision.id"))
    label: Mapped[str] = mapped_column(String(100))
    value: Mapped[float]
    who: Mapped[str] = mapped_column(String(200), default="")
    at: Mapped[datetime] = mapped_column(UtcTime, default=now)


# ---------------------------------------------------------------------------------------- people


class ModeratorRow(Base):
    """Who works at the desk.

    Attributes
    ----------
    password : str or None
        Hashed; None until the person has followed the link of `setup`.
    role : str
        One of `ROLES`; each may do what those before it may.
    failed, locked_until
        Guesses since the last right password, and until when none is looked at.
    setup : str or None
        SHA-256 of the one-time link's token, valid until `setup_until`.
    sessions_from : datetime
        Sessions that began earlier have ended: a new password closes them all.
    disabled : datetime or None
        Since when the person may no longer log in.
    preferences : dict
        Such as ``{"blur": true}``.
    """

    __tablename__ = "moderator"
    __table_args__ = (_one_of("role", ROLES),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    password: Mapped[str | None] = mapped_column(String(300))
    role: Mapped[str] = mapped_column(String(10), default="moderator")
    failed: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[datetime | None] = mapped_column(UtcTime)
    setup: Mapped[str | None] = mapped_column(String(64), unique=True)
    setup_until: Mapped[datetime | None] = mapped_column(UtcTime)
    sessions_from: Mapped[datetime] = mapped_column(UtcTime, default=now)
    disabled: Mapped[datetime | None] = mapped_column(UtcTime)
    preferences: Mapped[dict] = mapped_column(JSON, default=dict)
    created: Mapped[datetime] = mapped_column(UtcTime, default=now)


class SecretRow(Base):
    """A secret that the service made for itself, such as the key that signs cookies; see `secret`."""

    __tablename__ = "secret"

    name: Mapped[str] = mapped_column(String(50), primary_key=True)
    value: Mapped[str] = mapped_column(String(200))


# ---------------------------------------------------------------------------------------- models and thresholds


class ActivationRow(Base):
    """A model was made the active one; append-only."""

    __tablename__ = "activation"

    id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(String(100))
    previous: Mapped[str] = mapped_column(String(100))
    action: Mapped[str] = mapped_column(String(10))  #: ``promote`` or ``roll back``
    who: Mapped[str] = mapped_column(String(200))
    at: Mapped[datetime] = mapped_column(UtcTime, default=now)


class ThresholdRow(Base):
    """A change of a label's threshold in a section; append-only, the newest holds.

    Attributes
    ----------
    section : str
        Empty for all sections that have none of their own.
    value : float or None
        None returns to the model's own.
    figures : dict
        What the simulator said of the old and the new one, for whoever asks why.
    """

    __tablename__ = "threshold"
    __table_args__ = (Index("ix_threshold_label", "label", "section", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column(String(20))
    section: Mapped[str] = mapped_column(String(ID_LIMIT), default="")
    value: Mapped[float | None]
    previous: Mapped[float | None]
    who: Mapped[str] = mapped_column(String(200))
    at: Mapped[datetime] = mapped_column(UtcTime, default=now)
    figures: Mapped[dict] = mapped_column(JSON, default=dict)


class TrainingRow(Base):
    """A training run on the newsroom's decisions, as a process of its own reports it.

    Attributes
    ----------
    status : str
        ``waiting``, ``running``, ``done`` or ``failed``.
    progress : float
        From 0 to 1, of `step`.
    seen : datetime
        When the process last reported: one that has been silent for long is dead.
    version : str
        The candidate, when done.
    preview : dict
        Old model against new, see `moderation.preview`.
    """

    __tablename__ = "training"

    id: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[str] = mapped_column(String(10), default="waiting")
    who: Mapped[str] = mapped_column(String(200))
    step: Mapped[str] = mapped_column(String(200), default="")
    progress: Mapped[float] = mapped_column(default=0.0)
    problem: Mapped[str] = mapped_column(Text, default="")
    version: Mapped[str] = mapped_column(String(100), default="")
    against: Mapped[str] = mapped_column(String(100), default="")
    preview: Mapped[dict] = mapped_column(JSON, default=dict)
    created: Mapped[datetime] = mapped_column(UtcTime, default=now)
    seen: Mapped[datetime] = mapped_column(UtcTime, default=now)
    finished: Mapped[datetime | None] = mapped_column(UtcTime)


# ---------------------------------------------------------------------------------------- erasure


class ErasureRow(Base):
    """Proof that texts were removed: of what, when, by whom, how many. Append-only, and holds no text.

    Attributes
    ----------
    kind : str
        ``comment``, ``author`` or ``retention``.
    subject : str
        SHA-256 of the comment's id or the author's key: whoever has it can find the proof, nobody can read it here.
    chain : str
        SHA-256 over this row and the chain of the row before: a proof that was changed or removed shows.
    """

    __tablename__ = "erasure"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(10))
    subject: Mapped[str] = mapped_column(String(64), index=True)
    comments: Mapped[int]
    revisions: Mapped[int]
    exports: Mapped[int]
    who: Mapped[str] = mapped_column(String(200))
    at: Mapped[datetime] = mapped_column(UtcTime)
    chain: Mapped[str] = mapped_column(String(64))


class ExportRow(Base):
    """A file of labelled comments that was written, so that an erasure can reach it."""

    __tablename__ = "export"

    id: Mapped[int] = mapped_column(primary_key=True)
    path: Mapped[str] = mapped_column(Text, unique=True)
    rows: Mapped[int]
    who: Mapped[str] = mapped_column(String(200))
    at: Mapped[datetime] = mapped_column(UtcTime, default=now)


# ---------------------------------------------------------------------------------------- keys


class ApiKey(Base):
    """Who may call the service. Only the key's hash is kept: a stolen database opens nothing."""

    __tablename__ = "api_key"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[str] = mapped_column(String(200))  # names from SCOPES, with spaces between them
    created: Mapped[datetime] = mapped_column(UtcTime, default=now)
    revoked: Mapped[datetime | None] = mapped_column(UtcTime)


# ---------------------------------------------------------------------------------------- database


def database(url: str) -> URL:
    """An address with the driver that is installed: ``postgresql://`` and ``postgres://`` mean psycopg 3."""
    # make_url knows no "postgres:", which hosting services hand out.
    found = make_url(f"postgresql:{url.removeprefix('postgres:')}" if url.startswith("postgres:") else url)
    return found.set(drivername="postgresql+psycopg") if found.drivername == "postgresql" else found


def connect(url: str, **options) -> Engine:
    """An engine for a database, ready for several threads and processes."""
    # What SQLAlchemy says of a failed statement must not quote a comment.
    engine = create_engine(database(url), pool_pre_ping=True, hide_parameters=True, **options)
    if engine.dialect.name == "sqlite":
        _prepare_sqlite(engine)

    @event.listens_for(engine, "handle_error")
    def on_error(context):
        if is_damage(context.original_exception):
            _damaged.add(engine)
            raise Damaged(None, None, context.original_exception)

    return engine


class Damaged(OperationalError):
    """What the database has on its disk is no longer what it wrote; a backup has to be restored."""


_damaged: weakref.WeakSet[Engine] = weakref.WeakSet()


def is_damage(error: BaseException | None) -> bool:
    """Whether a driver's error, or SQLAlchemy's of it, says that the database is damaged."""
    error = getattr(error, "orig", None) or error
    name, state = getattr(error, "sqlite_errorname", None) or "", getattr(error, "sqlstate", None)
    return name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")) or state in {"XX001", "XX002"}


def seen_damaged(engine: Engine) -> bool:
    """Whether this process has met damage in a database."""
    return engine in _damaged


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(connection, record):
        # The driver would begin transactions late and on its own; `on_begin` does it instead.
        connection.isolation_level = None
        for pragma in (
            "journal_mode = WAL",
            # A decision that was acknowledged survives a power cut too.
            "synchronous = FULL",
            "busy_timeout = 20000",
            "foreign_keys = ON",
            # What is erased is overwritten, not just unlinked.
            "secure_delete = ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def on_begin(connection):
        # A transaction that has read cannot become a writer when another wrote meanwhile: writers say so at once.
        immediate = connection.get_execution_options().get("writing")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """A session whose transaction may write, committed at the end; rolled back when something is raised."""
    with Session(engine.execution_options(writing=True), expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A session that sees one state of the database and writes nothing."""
    with Session(engine, expire_on_commit=False) as session:
        yield session


def migrate(database_url: str) -> None:
    """Bring the tables of a database to this version, making the database where there is none."""
    url = database(database_url)
    if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["url"] = url
    command.upgrade(config, "head")


def secret(session: Session, name: str) -> str:
    """The service's own secret of that name, made when it is first asked for. Needs a writing session then."""
    row = session.get(SecretRow, name)
    if row is None:
        # Of several processes that start at once one makes it, and all use that.
        insert_new(session, SecretRow, name=name, value=secrets.token_urlsafe(32))
        row = session.get_one(SecretRow, name)
    return row.value


# ---------------------------------------------------------------------------------------- articles


def save_article(session: Session, id: str, article: Article, section: str = "") -> None:
    """Keep an article under its id; the newest text stands, and the section unless none was sent."""
    insert_new(session, ArticleRow, id=id, title=article.title, body=article.body, section=section)
    row = session.get_one(ArticleRow, id)
    section = section or row.section
    if (row.title, row.body, row.section) != (article.title, article.body, section):
        row.title, row.body, row.section = article.title, article.body, section
    session.flush()


def find_article(session: Session, id: str) -> Article | None:
    row = session.get(ArticleRow, id)
    return Article(row.title, row.body) if row else None


def insert_new(session: Session, table: type[Base], **values) -> bool:
    """Insert a row unless its key is there already; whether it was. Of two that try at once, one does."""
    made = session.execute(_insert_new(session, table, values))
    return cast(CursorResult, made).rowcount == 1


def insert_returning(session: Session, table: type[T], **values) -> T | None:
    """As `insert_new`; gives the row, or None where one of that key was there."""
    return session.scalar(_insert_new(session, table, values).returning(table))


def _insert_new(session, table, values):
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    return insert(table).values(**values).on_conflict_do_nothing()


# ---------------------------------------------------------------------------------------- comments


def invented_comments(session: Session) -> list[CommentRow]:
    """Those of the demonstration, in their order."""
    query = select(CommentRow).where(CommentRow.invented.is_(True)).order_by(CommentRow.created, CommentRow.id)
    return list(session.scalars(query.options(joinedload(CommentRow.current), joinedload(CommentRow.article))))


def words(text: str) -> list[str]:
    """The distinct words of a text, lower case, in order."""
    return list(dict.fromkeys(_WORD.findall(text.casefold())))


def match(alternatives: Sequence[Sequence[str]], dialect: str, *, prefix: bool = False) -> ColumnElement[bool]:
    """A condition on `RevisionRow`: that it holds all words of one of the alternatives.

    Parameters
    ----------
    alternatives : sequence of sequences of str
        As `words` gives.
    dialect : str
        ``sqlite`` or ``postgresql``.
    prefix : bool
        Whether the beginning of a word is enough, from three letters on.
    """
    if dialect == "sqlite":
        return RevisionRow.id.in_(matching(alternatives, dialect, prefix=prefix))
    query = " | ".join(
        "(" + " & ".join(f"'{word}'" + ":*" * (prefix and _begins(word)) for word in each) + ")"
        for each in alternatives
    )
    vector = func.to_tsvector(literal_column("'simple'::regconfig"), RevisionRow.text)
    return vector.op("@@")(func.to_tsquery(literal_column("'simple'::regconfig"), query))


def matching(alternatives: Sequence[Sequence[str]], dialect: str, *, prefix: bool = False):
    """A query for the numbers of the revisions that `match`."""
    if dialect != "sqlite":
        return select(RevisionRow.id).where(match(alternatives, dialect, prefix=prefix))
    found = sql("SELECT rowid FROM revision_text WHERE revision_text MATCH :query")
    return found.bindparams(query=_sqlite_query(alternatives, prefix)).columns(RevisionRow.id).scalar_subquery()


def _sqlite_query(alternatives, prefix):
    # Words are letters and digits alone, so that nothing in them can be an operator of either query language.
    return " OR ".join(
        "(" + " AND ".join(f'"{word}"' + "*" * (prefix and _begins(word)) for word in each) + ")"
        for each in alternatives
    )


def _begins(word):
    """Whether a word is asked for by its beginning: not by one or two Latin letters, with which half of all words
    begin."""
    return len(word) > 2 or not word.isascii()


def matches(
    session: Session,
    alternatives: Sequence[Sequence[str]],
    *,
    prefix: bool = False,
    limit: int,
    newest: bool = True,
) -> list[int]:
    """Numbers of revisions that `match`, at most `limit` of them: the newest, unless any will do."""
    if session.get_bind().dialect.name == "sqlite":
        # Asked for in this order the index stops once it has enough.
        found = sql("SELECT rowid FROM revision_text WHERE revision_text MATCH :query ORDER BY rowid DESC LIMIT :limit")
        return list(session.scalars(found, {"query": _sqlite_query(alternatives, prefix), "limit": limit}))
    query = select(RevisionRow.id).where(match(alternatives, "postgresql", prefix=prefix))
    if newest:
        return list(session.scalars(query.order_by(RevisionRow.id.desc()).limit(limit)))
    # Found on their own, or PostgreSQL might look for the words in one text after the other.
    each = query.cte().prefix_with("MATERIALIZED")
    return list(session.scalars(select(each.c.id).limit(limit)))


# ---------------------------------------------------------------------------------------- API keys


def create_key(session: Session, name: str, scopes: Iterable[str] = ("score",)) -> str:
    """Make an API key and return it: the only time that it can be read.

    Parameters
    ----------
    name : str
        Of the client; it stands in the log beside what the client did.
    scopes : iterable of str
        Of `moderation.settings.SCOPES`.

    Raises
    ------
    ValueError
        When a key of that name exists.
    """
    if session.scalar(select(ApiKey).where(ApiKey.name == name)):
        raise ValueError(f"there is a key called {name!r} already; revoke it or choose another name")
    key = secrets.token_urlsafe(32)
    chosen = [scope for scope in SCOPES if scope in set(scopes)]
    session.add(ApiKey(name=name, sha256=key_digest(key), scopes=" ".join(chosen)))
    session.flush()
    return key


def revoke_key(session: Session, name: str) -> bool:
    """Make a key useless; False where there is none of that name."""
    row = session.scalar(select(ApiKey).where(ApiKey.name == name, ApiKey.revoked.is_(None)))
    if row is None:
        return False
    row.revoked = now()
    session.flush()
    return True


def list_keys(session: Session) -> list[ApiKey]:
    return list(session.scalars(select(ApiKey).order_by(ApiKey.id)))


def any_key(session: Session) -> bool:
    """Whether a key was ever made: revoking the last one must not open the service again."""
    return session.scalar(select(ApiKey.id).limit(1)) is not None


def key_digest(key: str) -> str:
    """What is stored of a key."""
    # A plain hash is enough for 256 random bits; slow hashes are for what people think up.
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
