"""Tables, and the queries on them. Every query takes a Session; nothing here commits."""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import DateTime, Engine, ForeignKey, String, Text, event, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from moderation.comments import Article


class Base(DeclarativeBase):
    pass


def now() -> datetime:
    return datetime.now(UTC)


class ArticleRow(Base):
    """An article that was sent with an id, so that later comments can name it."""

    __tablename__ = "article"

    id: Mapped[str] = mapped_column(String(200), primary_key=True)
    title: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)
    changed: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=now, onupdate=now)


class CommentRow(Base):
    """A stored comment; for now those that demonstrate the service."""

    __tablename__ = "comment"

    id: Mapped[str] = mapped_column(String(200), primary_key=True)
    article_id: Mapped[str | None] = mapped_column(ForeignKey("article.id"), index=True)
    parent_text: Mapped[str] = mapped_column(Text, default="")
    text: Mapped[str] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=now)
    article: Mapped[ArticleRow | None] = relationship()


class ApiKey(Base):
    """Who may call the service. Only the key's hash is kept: a stolen database opens nothing."""

    __tablename__ = "api_key"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    created: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=now)
    revoked: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


# ---------------------------------------------------------------------------------------- database


def prepare_engine(engine: Engine) -> None:
    """Set what SQLite needs to serve several threads: a write-ahead log, waiting and foreign keys."""
    if engine.dialect.name != "sqlite":
        return

    @event.listens_for(engine, "connect")
    def on_connect(connection, record):
        for pragma in (
            "journal_mode = WAL",
            "synchronous = NORMAL",
            "busy_timeout = 10000",
            "foreign_keys = ON",
        ):
            connection.execute(f"PRAGMA {pragma}")


def migrate(database_url: str) -> None:
    """Bring the tables of a database to this version, making the database where there is none."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["url"] = database_url
    command.upgrade(config, "head")


# ---------------------------------------------------------------------------------------- articles


def save_article(session: Session, id: str, article: Article) -> None:
    """Keep an article under its id; the newest text stands."""
    row = session.get(ArticleRow, id)
    if row is None:
        session.add(ArticleRow(id=id, title=article.title, body=article.body))
    elif (row.title, row.body) != (article.title, article.body):
        row.title, row.body = article.title, article.body
    session.flush()


def find_article(session: Session, id: str) -> Article | None:
    row = session.get(ArticleRow, id)
    return Article(row.title, row.body) if row else None


# ---------------------------------------------------------------------------------------- comments


def count_comments(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(CommentRow))


def newest_comments(session: Session, limit: int = 50) -> list[CommentRow]:
    return list(session.scalars(select(CommentRow).order_by(CommentRow.created.desc(), CommentRow.id).limit(limit)))


# ---------------------------------------------------------------------------------------- API keys


def create_key(session: Session, name: str) -> str:
    """Make an API key and return it: the only time that it can be read.

    Raises
    ------
    ValueError
        When a key of that name exists.
    """
    if session.scalar(select(ApiKey).where(ApiKey.name == name)):
        raise ValueError(f"there is a key called {name!r} already; revoke it or choose another name")
    key = secrets.token_urlsafe(32)
    session.add(ApiKey(name=name, sha256=_digest(key)))
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


def valid_key(session: Session, key: str) -> bool:
    # Looking up the hash leaks nothing useful through timing: an attacker cannot steer SHA-256's output.
    return session.scalar(select(ApiKey.id).where(ApiKey.sha256 == _digest(key), ApiKey.revoked.is_(None))) is not None


def _digest(key: str) -> str:
    # A plain hash is enough for 256 random bits; slow hashes are for what people think up.
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
