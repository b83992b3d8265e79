"""The moderators' queue: comments enter, are leased to one moderator at a time, decided, and any decision undone.

Every function takes a Session of `moderation.store.writing` (those that only read: of `reading`) and commits nothing.
A decision, what it changes and what is told to the comment system are one transaction.
"""

from __future__ import annotations

import json
import math
import random
import typing
import uuid
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    Integer,
    Select,
    String,
    and_,
    bindparam,
    case,
    cast,
    func,
    insert,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session, joinedload

from moderation import store
from moderation.comments import LABELS
from moderation.store import (
    REASONS,
    BatchRow,
    CommentRow,
    DecisionRow,
    ItemRow,
    ModeratorRow,
    OutboxRow,
    RevisionRow,
    ScoreRow,
    now,
)

if TYPE_CHECKING:
    from moderation.scorer import Score

Order = Literal["probability", "age", "uncertain"]


@dataclass(frozen=True)
class Policy:
    """How a newsroom runs its queue.

    Attributes
    ----------
    audit : float
        Share of the comments that were not flagged which joins the queue all the same.
    double : float
        Share of the decided which a second moderator sees.
    lease : float
        Seconds for which a card belongs to the moderator who was given it.
    notify : bool
        Whether decisions go to the outbox, for the comment system to be told.
    """

    audit: float = 0.01
    double: float = 0.03
    lease: float = 600.0
    notify: bool = False


class QueueError(Exception):
    """A step that the state of the queue does not allow."""


class Unknown(QueueError):
    """There is no such item, comment, decision or batch."""


class Decided(QueueError):
    """Somebody has decided already.

    Attributes
    ----------
    decision : DecisionRow
        The one that holds.
    """

    def __init__(self, decision: DecisionRow):
        self.decision = decision
        super().__init__(f"{decision.who} has decided this already: {decision.verdict}")


class Taken(QueueError):
    """Another moderator has the card.

    Attributes
    ----------
    who : str
    until : datetime
    """

    def __init__(self, who: str, until: datetime):
        self.who, self.until = who, until
        super().__init__(f"{who} is looking at this")


class Changed(QueueError):
    """The comment was edited or erased since the moderator saw it."""


class Erased(QueueError):
    """The comment was erased; its id stays taken."""


# ---------------------------------------------------------------------------------------- comments in


@dataclass(frozen=True)
class Arrival:
    """A comment as the comment system sent it.

    ``article_id`` names a stored article or is None; ``posted`` is when it was written, by default now.
    """

    id: str
    text: str
    article_id: str | None = None
    parent_id: str = ""
    parent_text: str = ""
    author: str = ""
    section: str = ""
    posted: datetime | None = None


@dataclass(frozen=True)
class Received:
    """What became of an `Arrival`.

    ``new`` says whether this text had not been stored before; ``item`` is its place in the queue, if it has one.
    """

    comment: CommentRow
    revision: RevisionRow
    score: ScoreRow
    item: ItemRow | None
    new: bool


def receive(
    session: Session, arrival: Arrival, scored: Score, policy: Policy, *, rng: random.Random | None = None
) -> Received:
    """Store a comment with its score, and put it into the queue if it was flagged, could not be scored, or was
    drawn for the audit.

    The same id is the same comment: with the same text nothing happens twice; with another text it gets a new
    revision, an undecided place in the queue goes with the old one, and what was decided about the old text no longer
    speaks for the comment.

    Raises
    ------
    Erased
    """
    rng = rng or random.SystemRandom()
    at = now()
    fresh = store.insert_returning(
        session,
        CommentRow,
        id=arrival.id,
        article_id=arrival.article_id,
        parent_id=arrival.parent_id,
        parent_text=arrival.parent_text,
        author=arrival.author,
        section=arrival.section,
        revision=0,
        posted=arrival.posted or at,
        created=at,
    )
    created = fresh is not None
    comment = fresh or session.get_one(CommentRow, arrival.id, with_for_update=True)
    if comment.erasure_id is not None:
        raise Erased(f"{arrival.id!r} was erased")
    revision = None if created else _revision(session, comment)
    if revision is not None and revision.text == arrival.text:
        score = session.scalars(
            select(ScoreRow).where(ScoreRow.revision_id == revision.id).order_by(ScoreRow.id.desc()).limit(1)
        ).one()
        return Received(comment, revision, score, _item_of(session, revision), False)
    if not created:
        _supersede(session, comment, arrival)
    comment.revision += 1
    revision = RevisionRow(comment_id=comment.id, number=comment.revision, text=arrival.text, created=at)
    session.add(revision)
    session.flush()
    # What the model cannot judge is for people to judge.
    certain = scored.flagged or scored.status != "scored"
    source = "flagged" if certain else "audit" if rng.random() < policy.audit else None
    score = add_score(session, comment, revision, scored, source=source, probability=1.0 if certain else policy.audit)
    item = enqueue(session, comment, revision, score, source, rng=rng) if source else None
    return Received(comment, revision, score, item, True)


def _revision(session, comment):
    return session.scalar(
        select(RevisionRow).where(RevisionRow.comment_id == comment.id, RevisionRow.number == comment.revision)
    )


def _item_of(session, revision):
    query = select(ItemRow).where(ItemRow.revision_id == revision.id, ItemRow.pair_id.is_(None))
    return session.scalar(query.order_by(ItemRow.id.desc()).limit(1))


def item_of(session: Session, comment: CommentRow) -> ItemRow | None:
    """The place in the queue of a comment's current text; not that of a second opinion."""
    return _item_of(session, _revision(session, comment))


def _supersede(session, comment, arrival):
    """The comment was edited: what is undecided about the old text is withdrawn."""
    _withdraw(session, ItemRow.comment_id == comment.id)
    comment.verdict = comment.reason = comment.decided = None
    comment.invented = False
    comment.parent_text = arrival.parent_text or comment.parent_text
    comment.section = arrival.section or comment.section
    comment.article_id = arrival.article_id or comment.article_id


def _withdraw(session, condition):
    session.execute(
        update(ItemRow)
        .where(condition, ItemRow.status.in_(("open", "deferred")))
        .values(status="withdrawn", lease_id=None, lease_until=None)
        .execution_options(synchronize_session="fetch")
    )


def add_score(
    session: Session,
    comment: CommentRow,
    revision: RevisionRow,
    scored: Score,
    *,
    source: str | None,
    probability: float,
) -> ScoreRow:
    """Keep what a model said of a revision, and the probability with which that brings it before a person."""
    at = now()
    row = ScoreRow(
        revision_id=revision.id,
        comment_id=comment.id,
        model=scored.model,
        section=comment.section,
        flagged=scored.flagged,
        source=source,
        sampling_probability=probability,
        scored=at,
        week=(at - timedelta(days=at.weekday())).date(),
        **{label: scored.labels[label].score for label in LABELS},
        **{f"{label}_threshold": scored.labels[label].threshold for label in LABELS},
    )
    session.add(row)
    session.flush()
    return row


def enqueue(
    session: Session,
    comment: CommentRow,
    revision: RevisionRow,
    score: ScoreRow,
    source: str,
    *,
    pair: ItemRow | None = None,
    not_for: str = "",
    rng: random.Random | None = None,
) -> ItemRow:
    """Give a revision a place in the queue.

    Parameters
    ----------
    source : str
        One of `moderation.store.SOURCES`.
    pair : ItemRow, optional
        The item whose decision this one looks at again.
    not_for : str
        Name of the moderator who must not be given it.
    """
    flags = score.flags()
    item = ItemRow(
        comment_id=comment.id,
        revision_id=revision.id,
        score_id=score.id,
        pair_id=pair.id if pair else None,
        source=source,
        model=score.model,
        article_id=comment.article_id,
        section=comment.section,
        author=comment.author,
        probability=max((p for p in map(score.probability, LABELS) if p is not None), default=0.0),
        not_for=not_for,
        **{label: score.probability(label) for label in LABELS},
        **{f"flag_{label}": label in flags for label in LABELS},
    )
    item.rank, item.margin = item.probability, _margin(score)
    if source != "flagged" or not flags:
        item.rank, item.margin = _place_of_another(session, rng or random.SystemRandom()) or (item.rank, item.margin)
    session.add(item)
    session.flush()
    return item


def _margin(score):
    """Distance from the nearest threshold, in logits."""

    def logit(p):
        p = min(max(p, 1e-9), 1 - 1e-9)
        return math.log(p / (1 - p))

    return min(
        (
            abs(logit(score.probability(label)) - logit(score.threshold(label)))
            for label in LABELS
            if score.probability(label) is not None
        ),
        default=0.0,
    )


def _place_of_another(session, rng):
    """Rank and margin of an open, flagged item taken at random (evenly enough: by its number)."""
    bounds = session.execute(select(func.min(ItemRow.id), func.max(ItemRow.id)).where(ItemRow.status == "open")).one()
    if bounds[0] is None:
        return None
    query = select(ItemRow.rank, ItemRow.margin).where(ItemRow.status == "open", ItemRow.source == "flagged")
    start = rng.randint(*bounds)
    found = (
        session.execute(query.where(ItemRow.id >= start).order_by(ItemRow.id).limit(1)).first()
        or session.execute(query.where(ItemRow.id < start).order_by(ItemRow.id.desc()).limit(1)).first()
    )
    return tuple(found) if found else None


# ---------------------------------------------------------------------------------------- looking at the queue


_FEW = 2000  # comments with the words asked for
_AHEAD = 300  # items in whose texts the words are looked for before all are gone over


@dataclass(frozen=True)
class Filter:
    """Which items; everything left empty does not matter.

    Attributes
    ----------
    label : str
        Items flagged for this label; order, range and histogram then go by its probability.
    section, article, author : str
    status : str
        One of `moderation.store.STATUSES`.
    text : str
        Words that the comment holds, in any order; each in full, or its beginning of at least three letters.
    low, high : float
        Range of the probability; `high` itself is left out unless it is 1.
    contested : bool
        The items that only a lead settles, instead of all others.
    """

    label: str = ""
    section: str = ""
    article: str = ""
    author: str = ""
    status: str = "open"
    text: str = ""
    low: float = 0.0
    high: float = 1.0
    contested: bool = False

    def __post_init__(self):
        if self.label and self.label not in LABELS:
            raise ValueError(f"{self.label!r} is no label; use {', '.join(LABELS)}")
        if self.status not in store.STATUSES:
            raise ValueError(f"{self.status!r} is no status; use {', '.join(store.STATUSES)}")

    @property
    def probability(self):
        """The column that holds the probability meant."""
        return getattr(ItemRow, self.label) if self.label else ItemRow.probability

    def conditions(self, session: Session, order: Order | None = None) -> list[ColumnElement[bool]]:
        """What items must meet. Looks at the search index first, if words are asked for.

        Parameters
        ----------
        order : str, optional
            In which the first few are wanted; by default everything is, in none.
        """
        found = self._words_and_status(session, order)
        if self.label:
            flag = getattr(ItemRow, f"flag_{self.label}")
            # In disguise: SQLite takes the half of a queue that has a label for as few as one author's comments.
            few = (self.article or self.author) and _dialect(session) == "sqlite"
            found.append(func.coalesce(flag, False).is_(True) if few else flag.is_(True))
        for column, value in (
            (ItemRow.section, self.section),
            (ItemRow.article_id, self.article),
            (ItemRow.author, self.author),
        ):
            if value:
                found.append(column == value)
        if self.low > 0:
            found.append(self.probability >= self.low)
        if self.high < 1:
            found.append(self.probability < self.high)
        found.append(ItemRow.source == "contested" if self.contested else ItemRow.source != "contested")
        return found

    def _words_and_status(self, session, order):
        if order and self.in_order(order):
            return [ItemRow.status == self.status]
        # As a literal, or SQLite would not see that an index of the open ones alone will do.
        status = bindparam("of", self.status, String, unique=True, literal_execute=True)
        words = store.words(self.text)
        if not words:
            return [ItemRow.status == status]
        if order:
            few = store.matches(session, [words], prefix=True, limit=_FEW + 1, newest=False)
            if len(few) <= _FEW:
                ids = list(session.scalars(select(ItemRow.id).where(ItemRow.revision_id.in_(few)))) if few else []
                # A status in disguise: going by it SQLite would read the whole queue to find these few.
                return [ItemRow.id.in_(ids), func.coalesce(ItemRow.status, "") == self.status]
        dialect = _dialect(session)
        matching = store.matching([words], dialect, prefix=True)
        # In disguise: SQLite would look into an index for each of the comments with the words, also of an author who
        # has few. Looking for each item among them takes less.
        revision = func.coalesce(ItemRow.revision_id, 0) if dialect == "sqlite" else ItemRow.revision_id
        return [ItemRow.status == status, revision.in_(matching)]

    def in_order(self, order: Order) -> bool:
        """Whether an index has just these items, and in this order: then the first few are found at once. All others
        are gone over whole, by the index of the open ones, and sorted: none or few may be what is looked for."""
        asked = sum(map(bool, (self.label, self.section, self.article, self.author)))
        nothing_else = not (self.text or self.contested or self.low > 0 or self.high < 1)
        return nothing_else and (asked == 0 or asked == 1 and order == "probability")


def _ordered(query: Select, chosen: Filter, order: Order, dialect: str) -> Select:
    if order not in ("probability", "age", "uncertain"):
        raise ValueError(f"{order!r} is no order; use probability, age or uncertain")
    column = {
        "probability": chosen.probability if chosen.label else ItemRow.rank,
        "age": ItemRow.entered,
        "uncertain": ItemRow.margin,
    }[order]
    if dialect == "sqlite" and not chosen.in_order(order):
        # In disguise: SQLite would go through the queue in this order, looking at every item in the table.
        column = func.coalesce(column, column)
    if order == "probability":
        return query.order_by(column.desc(), ItemRow.id.desc())
    return query.order_by(column, ItemRow.id)


def _dialect(session):
    return session.get_bind().dialect.name


@contextmanager
def _words_by_index(session, chosen):
    """For a query by words that goes over everything: PostgreSQL takes looking for them in a text to be cheap, and
    would do that in a hundred thousand, one after the other."""
    needed = _dialect(session) != "sqlite" and store.words(chosen.text)
    if needed:
        session.execute(store.sql("SET LOCAL enable_nestloop = off"))
    yield
    if needed:
        session.execute(store.sql("SET LOCAL enable_nestloop = on"))


def _loaded(query):
    return query.options(
        joinedload(ItemRow.revision),
        joinedload(ItemRow.score),
        joinedload(ItemRow.lease),
        joinedload(ItemRow.comment).joinedload(CommentRow.article),
    )


def newest_decided(session: Session, chosen: Filter, *, limit: int = 20, offset: int = 0) -> list[ItemRow]:
    """Items of a filter that were decided (or put off), the last one first; loaded as by `items`."""
    order = (ItemRow.decided.desc(), ItemRow.id.desc())
    query = select(ItemRow.id).where(*chosen.conditions(session, "probability")).order_by(*order)
    # By number first: those that are passed over need no look at the tables.
    with _words_by_index(session, chosen):
        ids = list(session.scalars(query.limit(limit).offset(offset)))
    return list(session.scalars(_loaded(select(ItemRow)).where(ItemRow.id.in_(ids)).order_by(*order)))


def items(
    session: Session, chosen: Filter, order: Order = "probability", *, limit: int = 20, offset: int = 0
) -> list[ItemRow]:
    """Items to look at, with comment, article, revision, score and lease loaded. Takes no lease."""
    dialect = _dialect(session)
    query = _ordered(select(ItemRow.id).where(*chosen.conditions(session, order)), chosen, order, dialect)
    # By number first: an index has all that is asked for, without a look at the tables.
    with _words_by_index(session, chosen):
        ids = list(session.scalars(query.limit(limit).offset(offset)))
    return list(session.scalars(_loaded(_ordered(select(ItemRow).where(ItemRow.id.in_(ids)), chosen, order, dialect))))


def item(session: Session, item_id: int) -> ItemRow:
    """One item, loaded as by `items`.

    Raises
    ------
    Unknown
    """
    found = session.scalar(_loaded(select(ItemRow)).where(ItemRow.id == item_id))
    if found is None:
        raise Unknown(f"there is no item {item_id}")
    return found


def count(session: Session, chosen: Filter) -> int:
    """How many items a filter leaves."""
    conditions = chosen.conditions(session)
    with _words_by_index(session, chosen):
        return _number(session, select(func.count()).select_from(ItemRow).where(*conditions))


def _number(session, query):
    return session.scalar(query) or 0


def counts(session: Session, moderator: ModeratorRow | None = None) -> dict[str, int]:
    """What the desk shows at all times: ``open``, ``deferred``, ``contested``, ``decided`` (today, UTC), ``mine``
    (decided today by this moderator) and the open items of each label."""
    today = now().replace(hour=0, minute=0, second=0, microsecond=0)
    flags = [getattr(ItemRow, f"flag_{label}") for label in LABELS]
    found = dict.fromkeys(("open", "deferred", *LABELS), 0)
    # All numbers in one pass over one index, in whose order they are grouped.
    for status, *flagged, number in session.execute(
        select(ItemRow.status, *flags, func.count())
        .where(ItemRow.status.in_(("open", "deferred")))
        .group_by(ItemRow.status, *flags)
    ):
        found[status] += number
        for label in LABELS if status == "open" else ():
            found[label] += number * flagged[LABELS.index(label)]
    found["contested"] = _number(
        session,
        # Few items have a pair: their index is the one to use, not that of the status, of which most are open.
        select(func.count()).where(
            ItemRow.pair_id > 0,
            ItemRow.source == "contested",
            func.coalesce(ItemRow.status, "").in_(("open", "deferred")),
        ),
    )
    found["decided"] = _number(session, select(func.count()).where(ItemRow.decided >= today))
    found["mine"] = 0
    if moderator is not None:
        found["mine"] = _number(
            session,
            select(func.count())
            .select_from(ItemRow)
            .where(
                ItemRow.decided >= today,
                ItemRow.decided_by == moderator.name,
                # In disguise: most items are decided, few today.
                func.coalesce(ItemRow.status, "") == "decided",
            ),
        )
    return found


def _place(session, chosen, bins):
    """Of `bins` equal ranges of the probability the one that an item lies in."""
    scaled = chosen.probability * bins
    # PostgreSQL rounds where SQLite cuts off.
    cut = cast(scaled if _dialect(session) == "sqlite" else func.floor(scaled), Integer)
    return case((cut >= bins, bins - 1), else_=cut).label("place")


def histogram(session: Session, chosen: Filter, bins: int = 20) -> list[int]:
    """How many items of a filter lie in each of `bins` equal ranges of the probability."""
    place = _place(session, chosen, bins)
    conditions = chosen.conditions(session)
    query = select(place, func.count()).where(*conditions, chosen.probability.is_not(None)).group_by(place)
    with _words_by_index(session, chosen):
        rows = session.execute(query).all()
    found = [0] * bins
    for index, number in rows:
        found[index] = number
    return found


def picture(session: Session, chosen: Filter, bins: int, size: int) -> tuple[list[int], int, list[ItemRow]]:
    """What a batch is chosen by: the histogram of a filter without its range, and of the range how many items there
    are and a sample of at most `size` of them; as `histogram`, `count` and `sample` give, in one pass."""
    everything = replace(chosen, low=0.0, high=1.0)
    column, place = chosen.probability, _place(session, chosen, bins)
    inside = and_(column >= chosen.low, *([column < chosen.high] if chosen.high < 1 else []))
    # As one text: a hundred thousand rows would take longer to come than to be found.
    numbers = func.aggregate_strings(case((inside, cast(ItemRow.id, String))), ",") if size else null()
    conditions = everything.conditions(session)
    query = select(place, func.count(), func.count(case((inside, 1))), numbers)
    with _words_by_index(session, chosen):
        rows = session.execute(query.where(*conditions, column.is_not(None)).group_by(place)).all()
    heights, number = [0] * bins, 0
    found: list[str] = []
    for index, height, within, text in rows:
        heights[index] = height
        number += within
        found += text.split(",") if text else []
    ids = [int(each) for each in random.sample(found, min(size, len(found)))]  # nosec B311: a sample to look at
    shown = _loaded(select(ItemRow)).where(ItemRow.id.in_(ids)).order_by(ItemRow.id)
    return heights, number, list(session.scalars(shown)) if ids else []


def standing(session: Session, items: list[ItemRow]) -> dict[int, DecisionRow]:
    """The decisions that hold for items, by item."""
    rows = session.scalars(select(DecisionRow).where(DecisionRow.id.in_([each.decision_id for each in items])))
    return {row.item_id: row for row in rows}


def texts(session: Session, revision_ids: list[int]) -> dict[int, str]:
    """Texts of revisions that are still there and not erased, by revision."""
    rows = session.execute(
        select(RevisionRow.id, RevisionRow.text)
        .join(CommentRow, CommentRow.id == RevisionRow.comment_id)
        .where(RevisionRow.id.in_(revision_ids), CommentRow.erasure_id.is_(None))
    )
    return dict(rows.all())


def sections(session: Session) -> list[str]:
    """The sections that items are in."""
    found = set()
    for status in store.STATUSES:
        # From one section to the next in the index, over all items between them.
        last: str | None = ""
        while last is not None:
            found.add(last)
            last = session.scalar(
                select(func.min(ItemRow.section)).where(ItemRow.status == status, ItemRow.section > last)
            )
    return sorted(found - {""})


def sample(session: Session, chosen: Filter, size: int = 10) -> list[ItemRow]:
    """Some items of a filter at random, loaded as by `items`, to look at before all are decided."""
    conditions = chosen.conditions(session)
    query = select(ItemRow.id).where(*conditions).order_by(func.random()).limit(size)
    with _words_by_index(session, chosen):
        ids = list(session.scalars(query))
    return list(session.scalars(_loaded(select(ItemRow)).where(ItemRow.id.in_(ids)).order_by(ItemRow.id)))


@dataclass(frozen=True)
class History:
    """An author's comments: how many, what was decided of them, and the newest."""

    comments: int
    approved: int
    rejected: int
    recent: list[CommentRow]


def author_history(session: Session, author: str, *, but: str = "", limit: int = 5) -> History:
    """What is known of an author's other comments.

    Parameters
    ----------
    but : str
        Id of the comment to leave out.
    """
    if not author:
        return History(0, 0, 0, [])
    mine = and_(CommentRow.author == author, CommentRow.id != but)
    rows = session.execute(select(CommentRow.verdict, func.count()).where(mine).group_by(CommentRow.verdict))
    found = dict(rows.all())
    recent = session.scalars(
        select(CommentRow)
        .where(mine)
        .order_by(CommentRow.posted.desc(), CommentRow.id)
        .limit(limit)
        .options(joinedload(CommentRow.current))
    )
    return History(sum(found.values()), found.get("approve", 0), found.get("reject", 0), list(recent))


@dataclass(frozen=True)
class Similar:
    """An earlier comment in much the same words; ``overlap`` is the share of words that the two have in common."""

    comment: CommentRow
    overlap: float


_KEYWORDS, _CANDIDATES = 6, 500


def similar(session: Session, comment: CommentRow, *, limit: int = 5, least: float = 0.15) -> list[Similar]:
    """Decided comments that share the most words with this one, the most similar first.

    Candidates hold two of the comment's six longest words (a long word is a rare one, by and large); of the newest 500
    of them the decided ones with the highest Jaccard similarity of all words are told.
    """
    mine = set(store.words(comment.text))
    keys = sorted((word for word in mine if len(word) > 3), key=lambda word: (-len(word), word))[:_KEYWORDS]
    if not keys:
        return []
    pairs = [[a, b] for i, a in enumerate(keys) for b in keys[i + 1 :]] or [keys[:1]]
    rows = session.execute(
        select(CommentRow.id, RevisionRow.text)
        .join(RevisionRow, and_(RevisionRow.comment_id == CommentRow.id, RevisionRow.number == CommentRow.revision))
        .where(
            RevisionRow.id.in_(store.matches(session, pairs, limit=_CANDIDATES)),
            CommentRow.verdict.is_not(None),
            CommentRow.id != comment.id,
            CommentRow.invented.is_(comment.invented),
        )
    )
    overlaps = {}
    for id, text in rows:
        theirs = set(store.words(text))
        overlaps[id] = len(mine & theirs) / len(mine | theirs)
    best = sorted((id for id, overlap in overlaps.items() if overlap >= least), key=lambda id: (-overlaps[id], id))
    query = select(CommentRow).where(CommentRow.id.in_(best[:limit])).options(joinedload(CommentRow.current))
    found = [Similar(row, overlaps[row.id]) for row in session.scalars(query)]
    return sorted(found, key=lambda each: -each.overlap)


# ---------------------------------------------------------------------------------------- leases


def lease(
    session: Session,
    moderator: ModeratorRow,
    policy: Policy,
    chosen: Filter | None = None,
    order: Order = "probability",
    *,
    size: int = 1,
) -> list[ItemRow]:
    """Give a moderator cards that nobody else has, and keep them from others for `Policy.lease` seconds.

    Cards that the moderator has already count and come first if the filter includes them; others that the moderator
    has go back into the queue.

    Returns
    -------
    list of ItemRow
        At most `size`, in the order asked for, loaded as by `items`.
    """
    chosen = chosen or Filter()
    at, dialect, words = now(), _dialect(session), store.words(chosen.text)
    # The queue without regard to words: what they are is asked of the first comments in it.
    wanted = replace(chosen, text="") if words else chosen
    conditions = wanted.conditions(session, order)
    mine = and_(ItemRow.lease_id == moderator.id, ItemRow.lease_until > at)
    # The few that a moderator has are found by their lease alone, not by going through the queue in its order.
    held = list(session.scalars(select(ItemRow.id).where(mine)))
    held = list(session.scalars(select(ItemRow.id).where(ItemRow.id.in_(held), *conditions))) if held else []
    free = and_(or_(ItemRow.lease_id.is_(None), ItemRow.lease_until <= at), ItemRow.not_for != moderator.name)
    if dialect == "sqlite":
        # Nobody else writes meanwhile, and who has which card is found by the few leases alone.
        leased = select(ItemRow.id).where(ItemRow.lease_id > 0, ItemRow.lease_until > at)
        free = and_(ItemRow.id.not_in(leased), ItemRow.not_for != moderator.name)
    ahead: list[int] = []
    holding: set[int] = set()
    if words:
        query = _ordered(select(ItemRow.id).where(*conditions, free), wanted, order, dialect)
        ahead = list(session.scalars(query.limit(_AHEAD)))
        holding = _holding(session, words, held + ahead)
        held = [each for each in held if each in holding]
    if len(held) > size:
        held = list(
            session.scalars(
                _ordered(select(ItemRow.id).where(ItemRow.id.in_(held)), chosen, order, dialect).limit(size)
            )
        )
    session.execute(
        update(ItemRow)
        .where(ItemRow.lease_id == moderator.id, ItemRow.id.not_in(held))
        .values(lease_id=None, lease_until=None)
        .execution_options(synchronize_session="fetch")
    )
    missing = size - len(held)
    first = [each for each in ahead if each in holding][:missing]
    if first:
        query = select(ItemRow.id).where(ItemRow.id.in_(first), free).with_for_update(skip_locked=True)
        held += session.scalars(query)
    # Where fewer are free than were looked at, those were all.
    if len(held) < size and not (words and len(ahead) < _AHEAD):
        query = select(ItemRow.id).where(*chosen.conditions(session, order), free, ItemRow.id.not_in(held))
        query = _ordered(query, chosen, order, dialect).limit(size - len(held)).with_for_update(skip_locked=True)
        with _words_by_index(session, chosen):
            held += session.scalars(query)
    session.execute(
        update(ItemRow)
        .where(ItemRow.id.in_(held))
        .values(lease_id=moderator.id, lease_until=at + timedelta(seconds=policy.lease))
        .execution_options(synchronize_session="fetch")
    )
    query = _ordered(select(ItemRow).where(ItemRow.id.in_(held)), chosen, order, dialect)
    return list(session.scalars(_loaded(query).execution_options(populate_existing=True)))


def _holding(session, words, ids):
    """Those of some items whose comments hold all of the words."""
    dialect = _dialect(session)
    matching = store.matching([words], dialect, prefix=True)
    # In disguise, as in the filter's conditions: the items are few, the comments with the words may be many.
    revision = func.coalesce(ItemRow.revision_id, 0) if dialect == "sqlite" else ItemRow.revision_id
    return set(session.scalars(select(ItemRow.id).where(ItemRow.id.in_(ids), revision.in_(matching))))


def release(session: Session, moderator: ModeratorRow) -> int:
    """Put a moderator's cards back into the queue, as at the end of the day; how many."""
    freed = session.execute(
        update(ItemRow).where(ItemRow.lease_id == moderator.id).values(lease_id=None, lease_until=None)
    )
    return typing.cast(CursorResult, freed).rowcount


# ---------------------------------------------------------------------------------------- decisions


@dataclass(frozen=True)
class Decision:
    """What somebody decides.

    Attributes
    ----------
    verdict : str
        ``approve``, ``reject`` or ``defer``.
    who : str
        Name of the moderator, or of whoever the comment system says.
    moderator_id : int or None
        None for decisions that come through the interface.
    reason : str or None
        One of `moderation.store.REASONS`, with ``reject`` and only then.
    seconds : float or None
        That it took.
    request : str or None
        Idempotency key.
    """

    verdict: str
    who: str
    moderator_id: int | None = None
    reason: str | None = None
    seconds: float | None = None
    request: str | None = None
    batch_id: int | None = field(default=None, repr=False)

    def __post_init__(self):
        if self.verdict not in ("approve", "reject", "defer"):
            raise ValueError(f"{self.verdict!r} is no verdict; use approve, reject or defer")
        if (self.verdict == "reject") != (self.reason is not None):
            raise ValueError("a reason goes with reject, and reject needs one")
        if self.reason is not None and self.reason not in REASONS:
            raise ValueError(f"{self.reason!r} is no reason; use {', '.join(REASONS)}")


def decide(
    session: Session,
    item_id: int,
    decision: Decision,
    policy: Policy,
    *,
    revision_id: int | None = None,
    rng: random.Random | None = None,
) -> DecisionRow:
    """Decide an item. The same request, or the same decision by the same person, twice is one.

    Parameters
    ----------
    revision_id : int, optional
        Of the text that the moderator saw.

    Raises
    ------
    Unknown
    Decided
        When somebody else has decided, or the same person otherwise (undo that first).
    Taken
        When another moderator has the card now.
    Changed
        When the comment was edited or erased meanwhile.
    """
    earlier = find_request(session, decision.request)
    if earlier is not None:
        return earlier
    item = _locked_item(session, item_id)
    if revision_id is not None and item.revision_id != revision_id or item.status == "withdrawn":
        raise Changed("the comment was edited or erased meanwhile")
    if item.status == "decided":
        standing = session.get_one(DecisionRow, item.decision_id)
        same = (standing.who, standing.verdict, standing.reason)
        if same == (decision.who, decision.verdict, decision.reason):
            return standing
        raise Decided(standing)
    at = now()
    if decision.moderator_id is not None and _taken(item, decision.moderator_id, at):
        raise Taken(item.lease.name, item.lease_until)
    row = _append(session, item, decision, at)
    if decision.verdict != "defer":
        _look_again(session, item, decision.who, policy, rng or random.SystemRandom())
    settle(session, item.comment, policy)
    return row


def find_request(session: Session, request: str | None) -> DecisionRow | None:
    """The decision that a request with this idempotency key made."""
    return session.scalar(select(DecisionRow).where(DecisionRow.request == request)) if request else None


def _locked_item(session, item_id):
    comment_id = session.scalar(select(ItemRow.comment_id).where(ItemRow.id == item_id))
    if comment_id is None:
        raise Unknown(f"there is no item {item_id}")
    # The comment is always locked before its items, so that no two transactions wait for each other.
    session.get_one(CommentRow, comment_id, with_for_update=True, populate_existing=True)
    return session.get_one(ItemRow, item_id, with_for_update=True, populate_existing=True)


def _taken(item, moderator_id, at):
    return item.lease_id not in (None, moderator_id) and item.lease_until > at


def _append(session, item, decision, at):
    row = DecisionRow(at=at, **_decision_values(item, decision))
    session.add(row)
    session.flush()
    item.status = "deferred" if decision.verdict == "defer" else "decided"
    item.decision_id, item.verdict, item.reason = row.id, decision.verdict, decision.reason
    item.decided_by, item.decided = decision.who, at
    item.lease_id = item.lease_until = None
    session.flush()
    return row


def _decision_values(item, decision):
    return {
        "item_id": item.id,
        "comment_id": item.comment_id,
        "revision_id": item.revision_id,
        "moderator_id": decision.moderator_id,
        "who": decision.who,
        "verdict": decision.verdict,
        "reason": decision.reason,
        "request": decision.request,
        "batch_id": decision.batch_id,
        "model": item.model,
        "seconds": decision.seconds,
        "source": item.source,
    }


def _look_again(session, item, who, policy, rng):
    """Draw a decided item for a second opinion; put two opinions that differ before a lead."""
    first = session.get_one(ItemRow, item.pair_id) if item.source == "double" else item
    if item.source == "contested" or item.comment.invented:
        return
    second = session.scalar(
        select(ItemRow).where(ItemRow.pair_id == first.id, ItemRow.source == "double", ItemRow.status != "withdrawn")
    )
    if second is None:
        if _drawn(item, policy, rng):
            enqueue(session, item.comment, item.revision, item.score, "double", pair=item, not_for=who, rng=rng)
    elif (
        first.status == second.status == "decided"
        and (first.verdict, first.reason) != (second.verdict, second.reason)
        and not session.scalar(
            select(ItemRow.id).where(
                ItemRow.pair_id == first.id, ItemRow.source == "contested", ItemRow.status != "withdrawn"
            )
        )
    ):
        enqueue(session, item.comment, item.revision, item.score, "contested", pair=first, rng=rng)


def _drawn(item, policy, rng):
    """Whether a second moderator is to see a decided item."""
    return item.source in ("flagged", "audit") and rng.random() < policy.double


def settle(session: Session, comment: CommentRow, policy: Policy) -> None:
    """Make the comment's verdict what its items say, and tell the comment system if that changed.

    Of the items of the current revision the settling of a contested one counts before the first opinion; a second
    opinion alone changes nothing.
    """
    standing = _standing(session, comment)
    verdict, reason = (standing.verdict, standing.reason) if standing else (None, None)
    if (verdict, reason) == (comment.verdict, comment.reason):
        return
    comment.verdict, comment.reason = verdict, reason
    comment.decided = standing.decided if standing else None
    if policy.notify and not comment.invented:
        values = _event(comment.id, comment.revision, verdict, reason, standing.decided_by if standing else "")
        session.add(OutboxRow(**values))
    session.flush()


def _standing(session, comment):
    """The decided item that speaks for a comment."""
    return session.scalar(
        select(ItemRow)
        .join(RevisionRow, RevisionRow.id == ItemRow.revision_id)
        .where(
            ItemRow.comment_id == comment.id,
            ItemRow.status == "decided",
            ItemRow.source != "double",
            RevisionRow.number == comment.revision,
        )
        .order_by((ItemRow.source == "contested").desc(), ItemRow.id.desc())
        .limit(1)
    )


def _event(comment_id, revision, verdict, reason, who):
    event, at = str(uuid.uuid4()), now()
    payload = {
        "event": event,
        "type": "decision",
        "comment": comment_id,
        "revision": revision,
        "verdict": verdict,  # null: an earlier verdict was undone
        "reason": reason,
        "by": who,
        "at": at.isoformat(),
    }
    return {
        "event": event,
        "comment_id": comment_id,
        "payload": json.dumps(payload),
        "created": at,
        "next_try": at,
        "attempts": 0,
        "problem": "",
    }


def decide_comment(
    session: Session, comment_id: str, decision: Decision, policy: Policy, *, rng: random.Random | None = None
) -> DecisionRow:
    """Decide a comment from outside the desk, whether it is in the queue or not.

    Raises
    ------
    Unknown, Decided, Erased
    """
    earlier = find_request(session, decision.request)
    if earlier is not None:
        return earlier
    comment = _locked_comment(session, comment_id)
    revision = _revision(session, comment)
    item = _item_of(session, revision)
    if item is None:
        score = session.scalar(
            select(ScoreRow).where(ScoreRow.revision_id == revision.id).order_by(ScoreRow.id.desc()).limit(1)
        )
        if score is None:
            raise Unknown(f"{comment_id!r} was never scored")
        item = enqueue(session, comment, revision, score, "reported", rng=rng)
    return decide(session, item.id, decision, policy, rng=rng)


def _locked_comment(session, comment_id):
    comment = session.get(CommentRow, comment_id, with_for_update=True, populate_existing=True)
    if comment is None:
        raise Unknown(f"there is no comment {comment_id!r}")
    if comment.erasure_id is not None:
        raise Erased(f"{comment_id!r} was erased")
    return comment


def undo(
    session: Session,
    decision_id: int,
    policy: Policy,
    *,
    who: str,
    moderator_id: int | None = None,
    request: str | None = None,
) -> DecisionRow:
    """Undo a decision that still holds, at any time; the item is open again, and the moderator has its card.

    Returns
    -------
    DecisionRow
        The ``undo``; the same one when it was undone before.

    Raises
    ------
    Unknown
    Decided
        When somebody has decided the item anew since.
    Changed
        When somebody has, and that was undone.
    """
    earlier = find_request(session, request)
    if earlier is not None:
        return earlier
    decision = session.get(DecisionRow, decision_id)
    if decision is None or decision.verdict == "undo":
        raise Unknown(f"there is no decision {decision_id} to undo")
    item = _locked_item(session, decision.item_id)
    undone = session.scalar(select(DecisionRow).where(DecisionRow.undoes == decision_id))
    if undone is not None:
        return undone
    if item.decision_id is None:
        raise Changed("nothing of this decision holds any more")  # deferred, then decided, and that was undone
    if item.decision_id != decision_id:
        raise Decided(session.get_one(DecisionRow, item.decision_id))
    at = now()
    row = DecisionRow(
        item_id=item.id,
        comment_id=item.comment_id,
        revision_id=item.revision_id,
        moderator_id=moderator_id,
        who=who,
        verdict="undo",
        undoes=decision_id,
        request=request,
        at=at,
        model=item.model,
        source=item.source,
    )
    session.add(row)
    current = item.comment.erasure_id is None and item.revision.number == item.comment.revision
    item.status = "open" if current else "withdrawn"
    item.decision_id = item.verdict = item.reason = item.decided = None
    item.decided_by = ""
    if moderator_id is not None and current:
        item.lease_id, item.lease_until = moderator_id, at + timedelta(seconds=policy.lease)
    session.flush()
    # What was to look again at the decision has nothing to look at any more.
    if item.source == "double":
        _withdraw(session, and_(ItemRow.pair_id == item.pair_id, ItemRow.source == "contested"))
    elif item.source != "contested":
        _withdraw(session, ItemRow.pair_id == item.id)
    settle(session, item.comment, policy)
    return row


def undo_comment(
    session: Session, comment_id: str, policy: Policy, *, who: str, request: str | None = None
) -> DecisionRow:
    """Undo what holds of a comment's current text, or what was deferred.

    Raises
    ------
    Unknown, Erased
    Changed
        When nothing holds.
    """
    earlier = find_request(session, request)
    if earlier is not None:
        return earlier
    comment = _locked_comment(session, comment_id)
    standing = _standing(session, comment) or item_of(session, comment)
    if standing is None or standing.decision_id is None:
        raise Changed("nothing is decided that could be undone")
    return undo(session, standing.decision_id, policy, who=who, request=request)


def last_decision(session: Session, moderator: ModeratorRow) -> DecisionRow | None:
    """The newest decision of a moderator that still holds: what the undo key undoes. One of a batch has a
    ``batch_id``; `undo_batch` undoes it whole."""
    return session.scalar(
        select(DecisionRow)
        .join(ItemRow, and_(ItemRow.id == DecisionRow.item_id, ItemRow.decision_id == DecisionRow.id))
        .where(DecisionRow.moderator_id == moderator.id)
        .order_by(DecisionRow.id.desc())
        .limit(1)
    )


def decisions(session: Session, comment_id: str) -> list[DecisionRow]:
    """Everything that was ever decided about a comment, oldest first."""
    query = select(DecisionRow).where(DecisionRow.comment_id == comment_id)
    return list(session.scalars(query.order_by(DecisionRow.id)))


# ---------------------------------------------------------------------------------------- batches


def decide_batch(
    session: Session,
    moderator: ModeratorRow,
    chosen: Filter,
    verdict: str,
    policy: Policy,
    *,
    reason: str | None = None,
    rng: random.Random | None = None,
) -> tuple[BatchRow, int]:
    """Decide every open item of a filter at once.

    Left in the queue are cards that another moderator has, second opinions (which are for looking at one by one) and
    contested comments.

    Returns
    -------
    batch : BatchRow
        With the number of decided items as ``size``.
    left : int
        Items of the filter that were left.
    """
    if verdict not in ("approve", "reject"):
        raise ValueError("a batch approves or rejects")
    rng = rng or random.SystemRandom()
    at = now()
    total = count(session, chosen)
    query = (
        select(ItemRow)
        .join(ItemRow.comment)
        .where(
            *chosen.conditions(session),
            ItemRow.source.in_(("flagged", "audit", "reported")),
            or_(ItemRow.lease_id.is_(None), ItemRow.lease_until <= at, ItemRow.lease_id == moderator.id),
        )
        .order_by(ItemRow.id)
        .with_for_update(of=[ItemRow, CommentRow], skip_locked=True)
    )
    with _words_by_index(session, chosen):
        found = list(session.scalars(query.execution_options(populate_existing=True)))
    batch = BatchRow(
        moderator_id=moderator.id, verdict=verdict, reason=reason, chosen=asdict(chosen), at=at, size=len(found)
    )
    session.add(batch)
    session.flush()
    decision = Decision(verdict, moderator.name, moderator.id, reason, batch_id=batch.id)
    if found:
        rows = [{"at": at, **_decision_values(each, decision)} for each in found]
        numbers = dict(session.execute(insert(DecisionRow).returning(DecisionRow.item_id, DecisionRow.id), rows).all())
        state = {
            "status": "decided",
            "verdict": verdict,
            "reason": reason,
            "decided_by": moderator.name,
            "decided": at,
            "lease_id": None,
            "lease_until": None,
        }
        session.execute(update(ItemRow), [{"id": each.id, "decision_id": numbers[each.id], **state} for each in found])
        # Few have opinions left from an earlier decision: these are looked at one by one.
        paired = set(
            session.scalars(
                select(ItemRow.pair_id)
                .join(DecisionRow, DecisionRow.item_id == ItemRow.pair_id)
                .where(DecisionRow.batch_id == batch.id, ItemRow.status != "withdrawn")
            )
        )
        again = [each for each in found if each.id in paired]
        alone = [each for each in found if each.id not in paired]
        drawn = [each for each in alone if not each.comment.invented and _drawn(each, policy, rng)]
        _tell(session, [each.comment_id for each in alone], verdict, reason, moderator.name, at, policy)
        # What the statements above changed behind the session's back is read anew when it is needed.
        session.expire_all()
        for each in drawn:
            enqueue(session, each.comment, each.revision, each.score, "double", pair=each, not_for=moderator.name)
        for each in again:
            _look_again(session, each, moderator.name, policy, rng)
            settle(session, each.comment, policy)
        session.refresh(batch)
    return batch, total - len(found)


def batches(session: Session, limit: int = 10) -> list[BatchRow]:
    """The newest batches."""
    return list(session.scalars(select(BatchRow).order_by(BatchRow.id.desc()).limit(limit)))


_CHUNK = 500  # SQLite takes a limited number of values in one statement


def _tell(session, comment_ids, verdict, reason, who, at, policy):
    """Set the verdict of many comments at once, and put what changed into the outbox."""
    for begin in range(0, len(comment_ids), _CHUNK):
        chunk = comment_ids[begin : begin + _CHUNK]
        if policy.notify:
            revisions = session.execute(
                select(CommentRow.id, CommentRow.revision).where(
                    CommentRow.id.in_(chunk), CommentRow.invented.is_(False)
                )
            ).all()
            if revisions:
                session.execute(
                    insert(OutboxRow), [_event(id, revision, verdict, reason, who) for id, revision in revisions]
                )
        session.execute(
            update(CommentRow)
            .where(CommentRow.id.in_(chunk))
            .values(verdict=verdict, reason=reason, decided=at if verdict else None)
            .execution_options(synchronize_session=False)
        )


def undo_batch(
    session: Session, batch_id: int, policy: Policy, *, who: str, moderator_id: int | None = None
) -> tuple[int, int]:
    """Undo every decision of a batch that still holds.

    Returns
    -------
    undone, left : int
        ``left`` were undone before, or decided anew since.

    Raises
    ------
    Unknown
    """
    batch = session.get(BatchRow, batch_id)
    if batch is None:
        raise Unknown(f"there is no batch {batch_id}")
    standing = session.scalars(
        select(DecisionRow.id)
        .join(ItemRow, and_(ItemRow.id == DecisionRow.item_id, ItemRow.decision_id == DecisionRow.id))
        .where(DecisionRow.batch_id == batch_id)
        .order_by(DecisionRow.id)
    ).all()
    for decision_id in standing:
        undo(session, decision_id, policy, who=who, moderator_id=moderator_id)
    if batch.undone is None:
        batch.undone = now()
    if moderator_id is not None:
        # All cards of a batch at once would be too many for one person.
        session.execute(
            update(ItemRow)
            .where(ItemRow.lease_id == moderator_id)
            .values(lease_id=None, lease_until=None)
            .execution_options(synchronize_session="fetch")
        )
    session.flush()
    return len(standing), batch.size - len(standing)
