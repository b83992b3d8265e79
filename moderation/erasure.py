"""Erasing comments: the text goes everywhere, a proof stays.

Gone are the texts of all revisions, the author's key, what replies quote as their parent, copies that came with a
suggested score, what such suggestions say, the words or the author by which a batch was chosen, the search index's
words, and the rows in exported files. What stays says nothing of what was said: that there was a comment of that id,
its scores and decisions, and the proof.
"""

from __future__ import annotations

import csv
import hashlib
import logging
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine, delete, func, select, update
from sqlalchemy.orm import Session

from moderation import learning, outbox, store, suggestions
from moderation.store import BatchRow, CommentRow, ErasureRow, ExportRow, ItemRow, RevisionRow, SuggestionRow, now

_CHUNK = 500  # comments in one statement, and of the retention in one transaction
_log = logging.getLogger(__name__)


class NothingToErase(Exception):
    """No comment of that id or author is here, and none was."""


def subject(kind: str, key: str) -> str:
    """What a proof calls a comment or an author."""
    return hashlib.sha256(f"{kind}:{key}".encode()).hexdigest()


def erase_comment(session: Session, id: str, who: str) -> ErasureRow:
    """Erase a comment; the proof, or that of its erasure before.

    Raises
    ------
    NothingToErase
    """
    row = session.get(CommentRow, id, with_for_update=True)
    if row is None:
        raise NothingToErase(f"there is no comment {id!r}")
    if row.erasure_id is not None:
        return session.get_one(ErasureRow, row.erasure_id)
    return _erase(session, [id], "comment", id, who)


def erase_author(session: Session, author: str, who: str) -> ErasureRow:
    """Erase every comment of an author; the proof, or the last one where none is left.

    Raises
    ------
    NothingToErase
    """
    if not author:
        raise NothingToErase("an author has a key")
    ids = session.scalars(
        select(CommentRow.id).where(CommentRow.author == author).order_by(CommentRow.id).with_for_update()
    ).all()
    if ids:
        return _erase(session, ids, "author", author, who)
    before = proofs(session, "author", author)
    if not before:
        raise NothingToErase("no comment of that author is here")
    return before[-1]


def retain(session: Session, days: int, *, who: str = "retention") -> ErasureRow | None:
    """Erase the oldest comments that came in more than `days` days ago, a few hundred at a time; None once there are
    none."""
    before = now() - timedelta(days=days)
    ids = session.scalars(
        select(CommentRow.id)
        .where(CommentRow.created < before, CommentRow.erasure_id.is_(None))
        .order_by(CommentRow.created, CommentRow.id)
        .limit(_CHUNK)
        .with_for_update(skip_locked=True)
    ).all()
    return _erase(session, ids, "retention", before.date().isoformat(), who) if ids else None


def proofs(session: Session, kind: str, key: str) -> list[ErasureRow]:
    """The proofs that a comment (``comment``) or the comments of an author (``author``) were erased."""
    query = select(ErasureRow).where(ErasureRow.subject == subject(kind, key))
    return list(session.scalars(query.order_by(ErasureRow.id)))


def broken(session: Session) -> ErasureRow | None:
    """The first proof that is not what was written, or follows one that is missing; None when all hold."""
    chain = ""
    for row in session.scalars(select(ErasureRow).order_by(ErasureRow.id)):
        chain = _link(chain, row)
        if chain != row.chain:
            return row
    return None


def _link(chain, row):
    values = (row.kind, row.subject, row.comments, row.revisions, row.exports, row.who, row.at.isoformat())
    return hashlib.sha256("\0".join([chain, *map(str, values)]).encode()).hexdigest()


def _erase(session, ids, kind, key, who):
    # No file may be written meanwhile with what was read before.
    learning.lock_exports(session)
    texts = _texts(session, ids)
    if kind != "retention":
        # These are erased on their own day otherwise.
        copies = suggestions.copies(session, texts)
        ids = sorted({*ids, *copies})
        texts += _texts(session, copies)
    revisions = len(texts)
    authors = _authors(session, ids)
    texts = {form for text in texts for form in (text, suggestions.bare(text))} - {""}
    # Files first: if one of them cannot be changed, nothing counts as erased.
    exports = sum(_erase_from(Path(path), set(ids), texts) for path in session.scalars(select(ExportRow.path)))
    proof = _prove(session, kind, key, len(ids), revisions, exports, who)
    for chunk in _chunks(ids):
        mine = CommentRow.id.in_(chunk)
        for statement in (
            update(RevisionRow).where(RevisionRow.comment_id.in_(chunk)).values(text=""),
            update(CommentRow).where(mine).values(parent_text="", author="", erasure_id=proof.id),
            update(CommentRow).where(CommentRow.parent_id.in_(chunk)).values(parent_text=""),
            update(ItemRow).where(ItemRow.comment_id.in_(chunk)).values(author="", lease_id=None, lease_until=None),
            update(ItemRow)
            .where(ItemRow.comment_id.in_(chunk), ItemRow.status.in_(("open", "deferred")))
            .values(status="withdrawn"),
            delete(SuggestionRow).where(SuggestionRow.comment_id.in_(chunk)),
        ):
            session.execute(statement.execution_options(synchronize_session=False))
    for chunk in _chunks(sorted(texts)):
        # Replies that quote it without naming it.
        quoting = update(CommentRow).where(CommentRow.parent_text.in_(chunk)).values(parent_text="")
        session.execute(quoting.execution_options(synchronize_session=False))
    _erase_from_batches(session, authors - _authors_left(session, authors), texts)
    session.flush()
    session.expire_all()
    return session.get_one(ErasureRow, proof.id)


def _texts(session, ids):
    found = []
    for chunk in _chunks(ids):
        found += session.scalars(select(RevisionRow.text).where(RevisionRow.comment_id.in_(chunk)))
    return found


def _authors(session, ids):
    found = set()
    for chunk in _chunks(ids):
        found.update(session.scalars(select(CommentRow.author).where(CommentRow.id.in_(chunk)).distinct()))
    return found - {""}


def _authors_left(session, authors):
    """Those of whom other comments are still here."""
    found = set()
    for chunk in _chunks(sorted(authors)):
        found.update(session.scalars(select(CommentRow.author).where(CommentRow.author.in_(chunk)).distinct()))
    return found


def _erase_from_batches(session, authors, texts):
    """Forget the authors by whom batches were chosen, and words that all stand in one of the texts."""
    held = None
    for batch in session.scalars(select(BatchRow)):
        gone = {}
        if batch.chosen.get("author") in authors:
            gone["author"] = ""
        if asked := store.words(batch.chosen.get("text", "")):
            held = held if held is not None else [store.words(text) for text in texts]
            if any(all(any(word.startswith(part) for word in words) for part in asked) for words in held):
                gone["text"] = ""
        if gone:
            batch.chosen = {**batch.chosen, **gone}


def _prove(session, kind, key, comments, revisions, exports, who):
    if session.get_bind().dialect.name == "postgresql":
        # The chain has one end; two erasures at once would both take it.
        session.execute(store.sql("LOCK TABLE erasure IN EXCLUSIVE MODE"))
    last = session.scalar(select(ErasureRow.chain).order_by(ErasureRow.id.desc()).limit(1))
    row = ErasureRow(
        kind=kind,
        subject=subject(kind, key),
        comments=comments,
        revisions=revisions,
        exports=exports,
        who=who,
        at=now().replace(microsecond=0),
    )
    row.chain = _link(last or "", row)
    session.add(row)
    session.flush()
    return row


def _erase_from(folder, ids, texts):
    """Take comments out of an exported file; how many rows went. A folder that is gone holds nothing."""
    path = folder / learning.COMMENTS_FILE
    # What a process left behind that was killed while it wrote.
    for left in folder.glob(f"{learning.DRAFT}*"):
        left.unlink()
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            columns, rows = list(reader.fieldnames or []), list(reader)
    except FileNotFoundError:
        return 0
    kept = [row for row in rows if row["comment_id"] not in ids]
    quoting = [row for row in kept if row["parent_text"] in texts]
    for row in quoting:
        row["parent_text"] = ""
    if len(kept) < len(rows) or quoting:
        learning.write_rows(path, columns, kept)
    return len(rows) - len(kept)


def _chunks(values):
    values = list(values)
    return [values[begin : begin + _CHUNK] for begin in range(0, len(values), _CHUNK)]


# ---------------------------------------------------------------------------------------- the disk


def scrub(engine: Engine) -> None:
    """Take what was erased out of the database's files as well.

    SQLite overwrites what it frees (`secure_delete`), but its search index and its write-ahead log keep old words until
    they are merged and emptied. PostgreSQL leaves old rows in place until a table is written anew; it is locked
    meanwhile, for about a second per 100,000 comments.
    """
    if engine.dialect.name == "sqlite":
        raw = engine.raw_connection()  # without a transaction, in which the log cannot be emptied
        try:
            raw.execute("INSERT INTO revision_text (revision_text) VALUES ('optimize')")
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            raw.close()
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM FULL revision, comment, item, suggestion, batch")


class Janitor:
    """Erases what is past its time and scrubs the disk; `moderation.background` calls it.

    Parameters
    ----------
    engine : Engine
    days : int
        For which comments are kept; 0 for ever.
    """

    every = timedelta(hours=1)  #: between two looks for what is past its time
    events_kept = timedelta(days=30)  #: for which delivered events stay in the outbox

    def __init__(self, engine: Engine, days: int):
        self.engine, self.days = engine, days
        self._next: datetime | None = None
        self._scrubbed, self._scrub_next = -1, now()
        # PostgreSQL's tables are locked meanwhile.
        self._scrub_every = timedelta(days=1) if engine.dialect.name == "postgresql" else timedelta(0)

    def __call__(self) -> float:
        """Do what is due; seconds until it should be called again."""
        at = now()
        if self._next is None or at >= self._next:
            self._retain()
            with store.writing(self.engine) as session:
                outbox.tidy(session, at - self.events_kept)
            self._next = at + self.every
        with store.reading(self.engine) as session:
            newest = session.scalar(select(func.max(ErasureRow.id)))
        if newest is not None and newest > self._scrubbed and at >= self._scrub_next:
            scrub(self.engine)
            self._scrubbed, self._scrub_next = newest, at + self._scrub_every
        return 30.0

    def _retain(self):
        while self.days:
            with store.writing(self.engine) as session:
                proof = retain(session, self.days)
                if proof is None:
                    return
                _log.info("%d comments older than %d days were erased", proof.comments, self.days)
