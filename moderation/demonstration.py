"""The few invented comments that a new service shows, also in the moderators' queue, until there are real ones.

They are put into an empty database as long as nobody made an API key, and marked as invented wherever they are shown.
What is decided of them teaches no model, counts in no figure, and is told to nobody. The first comment of one's own, or
the first key, takes those that are undecided out of the queue; they never come back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from moderation import queue, store
from moderation.comments import Comment, DataError, read_articles, read_rows
from moderation.queue import Arrival, Policy
from moderation.settings import SHIPPED
from moderation.store import CommentRow, ItemRow

if TYPE_CHECKING:
    from moderation.scorer import Scorer

FILE = SHIPPED / "data" / "demonstration.csv"

#: All of them are to be seen, and each once.
_POLICY = Policy(audit=1.0, double=0.0)


def begin(session: Session, scorer: Scorer) -> int:
    """Put the invented comments into an empty database; how many.

    Parameters
    ----------
    session : Session
        Of `moderation.store.writing`.
    """
    if not wanted(session):
        return 0
    articles = read_articles(FILE.with_name("articles.csv"))
    rows = []
    for _, row in read_rows(FILE):
        if isinstance(row, DataError):
            raise row
        rows.append(row)
    comments = [Comment(row["text"], row["id"], articles[row["article_id"]], row["parent_text"]) for row in rows]
    for row, scored in zip(rows, scorer.score(comments, terms=0), strict=True):
        article_id = f"demonstration-{row['article_id']}"
        store.save_article(session, article_id, articles[row["article_id"]], row["section"])
        arrival = Arrival(
            f"demonstration-{row['id']}",
            row["text"],
            article_id,
            parent_text=row["parent_text"],
            author=row["author"] and f"demonstration-{row['author']}",
            section=row["section"],
        )
        received = queue.receive(session, arrival, scored, _POLICY)
        received.comment.invented = True
        # No comment that came in: it is in no week's figures.
        received.score.live = False
    session.flush()
    return len(rows)


def wanted(session: Session) -> bool:
    """Whether a database is new: without any comment, and without a key."""
    return session.scalar(select(CommentRow.id).limit(1)) is None and not store.any_key(session)


def running(session: Session) -> bool:
    """Whether invented comments wait in the queue."""
    return session.scalar(select(ItemRow.id).where(*_waiting()).limit(1)) is not None


def end(session: Session) -> None:
    """Take the invented comments that nobody has decided out of the queue."""
    session.execute(
        update(ItemRow)
        .where(*_waiting())
        .values(status="withdrawn", lease_id=None, lease_until=None)
        .execution_options(synchronize_session=False)
    )


def _waiting():
    invented = select(CommentRow.id).where(CommentRow.invented.is_(True))
    return ItemRow.comment_id.in_(invented), ItemRow.status.in_(("open", "deferred"))
