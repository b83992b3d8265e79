"""What a comment system says that scores should have been: kept as decisions, from which the models learn."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.orm import Session

from moderation import queue, store
from moderation.attributes import LABEL_OF
from moderation.comments import LABELS, Comment
from moderation.markup import strip_html
from moderation.store import CommentRow, DecisionRow, RevisionRow, ScoreRow, SuggestionRow

if TYPE_CHECKING:
    from moderation.scorer import Score

NAMED = "suggested-"  #: begins the id of what came without one


@dataclass(frozen=True)
class Suggestion:
    """What was said of a comment.

    Attributes
    ----------
    comment : Comment
        Its `id` is the comment system's, or empty.
    values : mapping of str to float
        By our attributes (`moderation.attributes.NAMES`), from 0 (approve) to 1 (reject).
    who : str
        As the caller names itself.
    """

    comment: Comment
    values: Mapping[str, float]
    who: str
    parent_id: str = ""

    def decision(self) -> queue.Decision | None:
        """The decision that follows: any 1 rejects, for the first label that has one; else any 0 approves.

        What lies between says neither and is kept only as it is.
        """
        rejected = [name for name, value in self.values.items() if value == 1]
        if rejected:
            labels = [LABEL_OF[name] for name in rejected if name in LABEL_OF]
            return queue.Decision("reject", self.who, reason=min(labels, key=LABELS.index, default="other"))
        return queue.Decision("approve", self.who) if 0 in self.values.values() else None


def record(session: Session, suggestion: Suggestion, scored: Score, policy: queue.Policy) -> DecisionRow | None:
    """Keep a suggestion with its comment and decide the comment accordingly.

    A comment that is here already keeps its text if only markup or white space differ. The last word holds: a
    decision to the contrary is undone, one to the same effect stays as it is. The same suggestion twice is one. While
    two opinions are being settled at the desk the suggestion is kept, and decides nothing.

    Parameters
    ----------
    session : Session
        Of `moderation.store.writing`.
    scored : Score
        Of the suggestion's comment.

    Returns
    -------
    DecisionRow or None
        The decision that holds now; None where the values decide nothing and nobody had decided.

    Raises
    ------
    moderation.queue.Erased
    """
    comment = suggestion.comment
    secret = store.secret(session, "suggestions")
    id = comment.id or _name(secret, f"{suggestion.who}\0{comment.text}")
    row = session.get(CommentRow, id, with_for_update=True)
    if row is not None and row.erasure_id is not None:
        raise queue.Erased(f"{id!r} was erased")
    if row is not None and bare(row.text) == bare(comment.text):
        revision = row.current
        if not _scored(session, revision):
            queue.add_score(session, row, revision, scored, source=None, probability=0.0)
    else:
        article_id = None
        if comment.article is not None:
            article_id = _name(secret, comment.article.text)
            store.save_article(session, article_id, comment.article)
        arrival = queue.Arrival(id, comment.text, article_id, suggestion.parent_id, comment.parent)
        # It comes because somebody decided it: it is no part of the random sample.
        received = queue.receive(session, arrival, scored, replace(policy, audit=0.0))
        row, revision = received.comment, received.revision
    _remember(session, revision, suggestion)
    decision = suggestion.decision()
    standing = _standing(session, row, revision)
    if decision is None or (standing is not None and _says_the_same(standing, decision)):
        return standing
    if standing is not None:
        queue.undo_comment(session, row.id, policy, who=suggestion.who)
    try:
        return queue.decide_comment(session, row.id, decision, policy)
    except queue.Decided as error:
        return error.decision  # two opinions differ, and the desk is about to settle it


def _scored(session, revision):
    return session.scalar(select(ScoreRow.id).where(ScoreRow.revision_id == revision.id).limit(1)) is not None


def _remember(session, revision, suggestion):
    known = {
        (each.label, each.value, each.who)
        for each in session.scalars(select(SuggestionRow).where(SuggestionRow.revision_id == revision.id))
    }
    for name, value in suggestion.values.items():
        label = LABEL_OF.get(name, name)
        if (label, value, suggestion.who) not in known:
            session.add(
                SuggestionRow(
                    comment_id=revision.comment_id,
                    revision_id=revision.id,
                    label=label,
                    value=value,
                    who=suggestion.who,
                )
            )
    session.flush()


def _standing(session, row, revision):
    """The decision that holds of the current text."""
    if row.verdict is None:
        return None
    undone = set()
    for each in reversed(queue.decisions(session, row.id)):
        if each.verdict == "undo":
            undone.add(each.undoes)
        elif each.id not in undone and each.verdict == row.verdict and each.revision_id == revision.id:
            return each
    return None


def _says_the_same(standing, decision):
    # "Rejected", without a label, adds nothing to a rejection; a label adds to one without.
    return standing.verdict == decision.verdict and decision.reason in (standing.reason, "other")


def bare(text: str) -> str:
    """A text without markup, and with single spaces between its words."""
    return " ".join(strip_html(text).text.split())


def _name(secret, text):
    # Keyed, so that nobody can find out from the name which text it was once that is erased.
    return NAMED + hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()[:32]


# ---------------------------------------------------------------------------------------- copies

# Between spaces, so that every search index takes them for one word.
_PLAIN = re.compile(r"(?<!\S)[a-z]+(?=[.,;:!?]*(?:\s|$))", re.IGNORECASE)


def copies(session: Session, texts: Iterable[str]) -> list[str]:
    """Ids of comments that came with a suggestion, without an id of their own, in the words of one of the texts;
    without those that were erased."""
    named = select(SuggestionRow.comment_id).where(SuggestionRow.comment_id.startswith(NAMED, autoescape=True))
    if session.scalar(named.limit(1)) is None:
        return []
    query = (
        select(CommentRow.id, RevisionRow.text)
        .join(RevisionRow, RevisionRow.comment_id == CommentRow.id)
        .where(CommentRow.id.in_(named), CommentRow.erasure_id.is_(None))
    )
    found: set[str] = set()
    for wanted in {bare(text) for text in texts} - {""}:
        words = sorted({word.lower() for word in _PLAIN.findall(wanted)}, key=lambda word: (-len(word), word))[:8]
        holding = [store.match([words], session.get_bind().dialect.name)] if words else []
        found.update(id for id, text in session.execute(query.where(*holding)) if bare(text) == wanted)
    return sorted(found)
