"""The comments of the last weeks in memory, as numbers: what came in, how it was scored, what was decided of it.

The simulator looks at all of them for each of its pages. Reading them takes seconds where there are hundreds of
thousands; reading what is new since the last look does not.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session, aliased

from moderation.comments import LABELS
from moderation.learning import final
from moderation.store import REASONS, CommentRow, DecisionRow, ItemRow, ScoreRow, now

STEP = 0.001  #: to which probabilities of comments are told apart
LONGEST = 300.0  #: seconds that one decision counts at most; somebody went for a coffee
DAYS = 28
_OVERLAP = 600.0  # seconds that are read again each time: what was written then may have been committed since
_MANY = 20_000  # changed items from which reading all anew is no slower
_CONTESTED, _APPROVED = -1, 0  # outcomes; those after are the reasons of a rejection


@dataclass(frozen=True)
class Stream:
    """The comments of a period as one label sees them: all of them as counts, the decided ones one by one.

    Attributes
    ----------
    label, section, model : str
    days : float
    probabilities : ndarray of float, shape (n,)
        By `model`, cut to `STEP`.
    certain : ndarray of bool, shape (n,)
        Whether the comments were sure to join the queue (they were flagged), and not only with the audit's probability.
    day : ndarray of int, shape (n,)
        Number of the day.
    numbers : ndarray of int, shape (n,)
        How many comments of that day have this probability.
    decided : Decisions
    seconds : ndarray of float, shape (m,)
        That decisions took.
    """

    label: str
    section: str
    model: str
    days: float
    probabilities: np.ndarray
    certain: np.ndarray
    day: np.ndarray
    numbers: np.ndarray
    decided: Decisions
    seconds: np.ndarray


@dataclass(frozen=True)
class Decisions:
    """The decided comments of a stream.

    Attributes
    ----------
    probabilities : ndarray of float, shape (n,)
    certain : ndarray of bool, shape (n,)
        As of `Stream`.
    wrong, right : ndarray of bool, shape (n,)
        Whether no label applies, and whether this one does.
    weights : ndarray of float, shape (n,)
        One over the probability with which the comment joined the queue.
    """

    probabilities: np.ndarray
    certain: np.ndarray
    wrong: np.ndarray
    right: np.ndarray
    weights: np.ndarray


class _Verdicts(NamedTuple):
    """What `final` looks at."""

    first_verdict: str
    first_reason: str | None
    second_verdict: str | None = None
    second_reason: str | None = None
    settling: str | None = None
    settled_verdict: str | None = None
    settled_reason: str | None = None


class Ledger:
    """The comments of the last `DAYS` days, as far as `refresh` has read them. May be used by several threads."""

    def __init__(self):
        self._lock = threading.Lock()
        self._codes: dict[str, int] = {}  # of models and sections
        self._scores, self._items, self._times = np.zeros(0, _SCORE), np.zeros(0, _ITEM), np.zeros(0, _TIME)
        self._known = 0  # number of the score up to which nothing changes any more
        self._read = float("-inf")  # when decisions were last read

    def refresh(self, session: Session) -> None:
        """Read what is new, or what changed."""
        with self._lock:
            at = now().timestamp()
            since = at - DAYS * 86400
            self._read_scores(session, since, at)
            self._read_items(session, since)
            self._read_times(session, since)
            self._read = at

    def _code(self, name):
        return self._codes.setdefault(name, len(self._codes))

    def _read_scores(self, session, since, at):
        if self._known:
            wanted = [ScoreRow.id > self._known]
        else:
            # In words that its index understands: each moment in the period is in one of these weeks.
            week = (datetime.fromtimestamp(since, UTC) - timedelta(days=7)).date()
            wanted = [ScoreRow.live.in_((True, False)), ScoreRow.week > week]
        query = select(
            *(ScoreRow.id, ScoreRow.revision_id, ScoreRow.model, ScoreRow.section, ScoreRow.live),
            *(ScoreRow.sampling_probability, _seconds_of(session, ScoreRow.scored)),
            *(getattr(ScoreRow, label) for label in LABELS),
        ).where(*wanted)
        code = self._code
        new = _rows(session, query, _SCORE, lambda row: (*row[:2], code(row[2]), code(row[3]), *row[4:]))
        kept = (self._scores["id"] <= self._known) & (self._scores["scored"] >= since)
        if len(new) or not kept.all():
            self._scores = np.concatenate([self._scores[kept], np.sort(new, order="id")])
        old = self._scores["id"][self._scores["scored"] < at - _OVERLAP]
        self._known = max(self._known, int(old.max(initial=0)))

    def _read_items(self, session, since):
        changed = None
        if self._read > float("-inf"):
            first = select(func.coalesce(ItemRow.pair_id, ItemRow.id))
            first = first.join(DecisionRow, DecisionRow.item_id == ItemRow.id).where(
                DecisionRow.at > datetime.fromtimestamp(self._read - _OVERLAP, UTC)
            )
            changed = sorted(set(session.scalars(first)))
        if changed is None or len(changed) > _MANY:
            self._items = self._decided(session, since)
            return
        kept = self._items[~np.isin(self._items["id"], changed) & (self._items["entered"] >= since)]
        parts = [self._decided(session, since, changed[begin : begin + 500]) for begin in range(0, len(changed), 500)]
        self._items = np.concatenate([kept, *parts])

    def _decided(self, session, since, ids=None):
        """The decided ones among some first opinions, with what their second opinions and settlings say."""
        pair = aliased(ItemRow)
        query = select(pair.pair_id, pair.source, pair.status, pair.verdict, pair.reason).where(
            # Few items have a pair at all.
            pair.pair_id > 0 if ids is None else pair.pair_id.in_(ids),
            or_(
                and_(pair.source == "double", pair.status == "decided"),
                and_(pair.source == "contested", pair.status != "withdrawn"),
            ),
        )
        seconds, settlings = {}, {}
        for number, source, status, verdict, reason in session.execute(query):
            if source == "double":
                seconds[number] = (verdict, reason)
            else:
                settlings[number] = (status, verdict, reason)
        firsts = select(
            ItemRow.id, ItemRow.revision_id, _seconds_of(session, ItemRow.entered), ItemRow.verdict, ItemRow.reason
        ).where(
            ItemRow.decided >= datetime.fromtimestamp(since, UTC) if ids is None else ItemRow.id.in_(ids),
            ItemRow.status == "decided",
            ItemRow.source.in_(("flagged", "audit")),
        )

        def row(found):
            number, revision, entered, verdict, reason = found
            if number in seconds or number in settlings:
                two, three = seconds.get(number, (None, None)), settlings.get(number, (None, None, None))
                return number, revision, entered, _outcome(final(_Verdicts(verdict, reason, *two, *three)))
            return number, revision, entered, _OUTCOMES[verdict, reason]

        found = _rows(session, firsts, _ITEM, row)
        return found[found["entered"] >= since]

    def _read_times(self, session, since):
        after = max(since, self._read - _OVERLAP)
        query = select(_seconds_of(session, DecisionRow.at), DecisionRow.seconds).where(
            DecisionRow.at > datetime.fromtimestamp(after, UTC),
            DecisionRow.seconds.is_not(None),
            # In disguise: that there is no batch is true of nearly all, and nothing to begin with.
            func.coalesce(DecisionRow.batch_id, 0) == 0,
            DecisionRow.comment_id.not_in(select(CommentRow.id).where(CommentRow.invented.is_(True))),
        )
        kept = self._times[(self._times["at"] <= after) & (self._times["at"] >= since)]
        self._times = np.concatenate([kept, _rows(session, query, _TIME, tuple)])

    def stream(self, label: str, model: str, *, section: str = "") -> Stream:
        """The comments that a model has scored.

        Parameters
        ----------
        model : str
            Version, as scores name it.
        section : str
            Empty for all.
        """
        if label not in LABELS:
            raise ValueError(f"{label!r} is no label; use {', '.join(LABELS)}")
        with self._lock:  # the arrays themselves never change
            scores, items, times = self._scores, self._items, self._times
            model_code, section_code = (self._codes.get(name, -1) for name in (model, section))
        end = now().timestamp()
        since = end - DAYS * 86400
        chosen = np.flatnonzero((scores["model"] == model_code) & np.isfinite(scores[label]))
        live = _live_of(scores, chosen)
        # Column by column: whole rows would be copied for the sake of a few numbers.
        kept = scores["live"][live] & (scores["scored"][live] >= since)
        if section:
            kept &= scores["section"][live] == section_code
        chosen, live = chosen[kept], live[kept]
        probabilities, sampling, scored = scores[label][chosen], scores["sampling"][live], scores["scored"][live]
        place = (probabilities / STEP).astype(np.int64)
        certain = sampling >= 1
        day = (scored // 86400).astype(np.int64) - int(scored.min(initial=end) // 86400)
        width = int(1 / STEP) + 1
        counts = np.bincount((day * width + place) * 2 + certain, minlength=1)
        cells = np.flatnonzero(counts)
        return Stream(
            label,
            section,
            model,
            # A service that is a week old has one week's comments, not four.
            max(1.0, min(float(DAYS), (end - scored.min()) / 86400 if len(scored) else DAYS)),
            (cells // 2 % width) * STEP,
            (cells % 2).astype(bool),
            np.unique(cells // 2 // width, return_inverse=True)[1],
            counts[cells],
            _decisions(items[items["entered"] >= since], scores["revision"][chosen], probabilities, sampling, label),
            np.minimum(times["seconds"], LONGEST),
        )


_SCORE = np.dtype(
    [("id", np.int64), ("revision", np.int64), ("model", np.int32), ("section", np.int32), ("live", bool)]
    + [("sampling", float), ("scored", float)]
    + [(label, float) for label in LABELS]
)
_ITEM = np.dtype([("id", np.int64), ("revision", np.int64), ("entered", float), ("outcome", np.int8)])
_TIME = np.dtype([("at", float), ("seconds", float)])
_OUTCOMES: dict[tuple[str, str | None], int] = {("reject", reason): 1 + n for n, reason in enumerate(REASONS)}
_OUTCOMES["approve", None] = _APPROVED


def _outcome(verdict):
    return _CONTESTED if verdict is None else _OUTCOMES[verdict]


def _seconds_of(session, column):
    """A moment as seconds since 1970, told by the database."""
    if session.get_bind().dialect.name == "sqlite":
        return (func.julianday(column) - 2440587.5) * 86400.0
    return func.extract("epoch", column).cast(DecisionRow.seconds.type)


def _rows(session, query, dtype, row) -> np.ndarray:
    """The rows of a query past the mapper, which would take longer over them than the database."""
    parts = [
        np.array([row(each) for each in part], dtype=dtype)
        for part in session.connection().execute(query).partitions(5000)
    ]
    return np.concatenate([np.zeros(0, dtype), *parts])


def _live_of(scores, chosen):
    """Places of the live scores of the same revisions; where there is none, the place itself."""
    found = chosen.copy()
    others = np.flatnonzero(~scores["live"][chosen])
    if len(others):
        live = np.flatnonzero(scores["live"])
        live = live[np.argsort(scores["revision"][live], kind="stable")]
        revisions = scores["revision"][live]
        wanted = scores["revision"][chosen[others]]
        at = np.minimum(np.searchsorted(revisions, wanted), max(0, len(revisions) - 1))
        same = revisions[at] == wanted if len(revisions) else np.zeros(len(wanted), bool)
        found[others[same]] = live[at[same]]
    return found


def _decisions(items, revisions, probabilities, sampling, label):
    items = items[items["outcome"] != _CONTESTED]  # these wait
    order = np.argsort(revisions, kind="stable")
    revisions = revisions[order]
    at = np.searchsorted(revisions, items["revision"])
    same = at < len(revisions)
    same[same] = revisions[at[same]] == items["revision"][same]
    places, outcome = order[at[same]], items["outcome"][same]
    return Decisions(
        probabilities[places],
        sampling[places] >= 1,
        outcome == _APPROVED,
        outcome == _OUTCOMES["reject", label],
        1 / np.maximum(sampling[places], 1e-6),
    )


def read(session: Session) -> Ledger:
    """A ledger of all that there is now."""
    found = Ledger()
    found.refresh(session)
    return found
