"""What a threshold would do, measured on the newsroom's own decisions; and how scores drift by week and model.

Every comment that came in was scored, so how many a threshold flags is counted. How many of these are wrong, and how
many others are missed, is estimated: of what was flagged most was decided, of the rest the random audit sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
from sqlalchemy import Integer, and_, case, cast, func, select
from sqlalchemy.orm import Session, aliased

from moderation.comments import LABELS
from moderation.learning import final
from moderation.store import CommentRow, DecisionRow, ItemRow, ScoreRow, now

DRAWS = 1000
LONGEST = 300.0  #: seconds that one decision counts at most; somebody went for a coffee

# ---------------------------------------------------------------------------------------- the newsroom's stream


@dataclass(frozen=True)
class Stream:
    """The comments of a period as one label sees them.

    Attributes
    ----------
    label, section, model : str
    days : float
    probabilities : ndarray of float, shape (n,)
        By `model`; NaN where there is none.
    certain : ndarray of bool, shape (n,)
        Whether the comment was sure to join the queue (it was flagged), and not only with the audit's probability.
    decided : ndarray of bool, shape (n,)
        Whether a decision of a comment that joined by that chance says something of this label or of all.
    wrong : ndarray of bool, shape (n,)
        Decided, and no label applies.
    right : ndarray of bool, shape (n,)
        Decided, and this label applies.
    weights : ndarray of float, shape (n,)
        One over the probability with which the comment joined the queue.
    day : ndarray of int, shape (n,)
        Number of the day, from the period's beginning.
    seconds : ndarray of float, shape (m,)
        That decisions took.
    """

    label: str
    section: str
    model: str
    days: float
    probabilities: np.ndarray
    certain: np.ndarray
    decided: np.ndarray
    wrong: np.ndarray
    right: np.ndarray
    weights: np.ndarray
    day: np.ndarray
    seconds: np.ndarray


def stream(session: Session, label: str, model: str, *, section: str = "", days: int = 28) -> Stream:
    """Read the comments of the last `days` days that a model has scored.

    Parameters
    ----------
    section : str
        Empty for all.
    """
    if label not in LABELS:
        raise ValueError(f"{label!r} is no label; use {', '.join(LABELS)}")
    end = now()
    since = end - timedelta(days=days)
    live, second, settling = aliased(ScoreRow), aliased(ItemRow), aliased(ItemRow)
    query = (
        select(
            getattr(ScoreRow, label),
            live.sampling_probability,
            live.scored,
            ItemRow.source,
            ItemRow.status,
            ItemRow.verdict.label("first_verdict"),
            ItemRow.reason.label("first_reason"),
            second.verdict.label("second_verdict"),
            second.reason.label("second_reason"),
            settling.status.label("settling"),
            settling.verdict.label("settled_verdict"),
            settling.reason.label("settled_reason"),
        )
        .select_from(ScoreRow)
        .join(live, and_(live.revision_id == ScoreRow.revision_id, live.live))
        .outerjoin(ItemRow, and_(ItemRow.score_id == live.id, ItemRow.source.in_(("flagged", "audit"))))
        .outerjoin(second, and_(second.pair_id == ItemRow.id, second.source == "double", second.status == "decided"))
        .outerjoin(
            settling,
            and_(settling.pair_id == ItemRow.id, settling.source == "contested", settling.status != "withdrawn"),
        )
        .where(ScoreRow.model == model, live.scored >= since)
    )
    if section:
        query = query.where(live.section == section)
    rows = session.execute(query).all()
    verdicts = [final(row) if row.status == "decided" else None for row in rows]
    approved = np.array([verdict == ("approve", None) for verdict in verdicts], dtype=bool)
    right = np.array([verdict == ("reject", label) for verdict in verdicts], dtype=bool)
    sampling = np.array([row.sampling_probability for row in rows], dtype=float)
    seconds = session.scalars(
        select(DecisionRow.seconds).where(
            DecisionRow.at >= since, DecisionRow.seconds.is_not(None), DecisionRow.batch_id.is_(None)
        )
    ).all()
    first = min((row.scored for row in rows), default=since)
    return Stream(
        label,
        section,
        model,
        # A service that is a week old has one week's comments, not four.
        max(1.0, min(float(days), (end - first) / timedelta(days=1))),
        np.array([row[0] if row[0] is not None else np.nan for row in rows], dtype=float),
        sampling >= 1,
        np.array([verdict is not None for verdict in verdicts], dtype=bool),
        approved,
        right,
        1 / np.maximum(sampling, 1e-6),
        np.array([(row.scored - since).days for row in rows], dtype=np.int64),
        np.minimum(np.array(seconds, dtype=float), LONGEST),
    )


# ---------------------------------------------------------------------------------------- thresholds


def simulate(found: Stream, thresholds, *, seed: int = 0) -> list[dict]:
    """What each threshold would do.

    Comments are divided by whether the threshold would flag them and by how they came before people: all of those that
    were flagged (cut once more into fifths by their score, since moderators may not have come to the lower ones), or
    the audit's share. Within each part the decided speak for the undecided.

    Parameters
    ----------
    thresholds : sequence of float

    Returns
    -------
    list of dict
        For each threshold: ``threshold``; ``flags`` (a day), ``wrong`` (flagged, but approved; a day), ``missed``
        (rejected for this label, but not flagged; a day), ``precision``, ``recall`` and ``minutes`` (of work a day),
        each a dict of ``value`` and 95 % ``interval``, None where nothing tells; ``decided``, how many decisions that
        rests on; and ``unseen``, the share of the comments in parts of which nothing was decided.
    """
    rng = np.random.default_rng(seed)
    known = np.isfinite(found.probabilities)
    edges = (
        np.quantile(found.probabilities[known & found.certain], [0.2, 0.4, 0.6, 0.8])
        if (known & found.certain).any()
        else np.zeros(4)
    )
    part = np.where(found.certain, 1 + np.searchsorted(edges, found.probabilities, side="right"), 0)
    minutes = _minutes(found.seconds, rng)
    return [_at(found, float(threshold), known, part, minutes, rng) for threshold in thresholds]


def _at(found, threshold, known, part, minutes, rng):
    flagged = known & (found.probabilities >= threshold)
    flags = _per_day(found, flagged, rng)
    wrong, right, unseen = _counts(found, flagged, part, found.wrong, found.right, rng)
    _, missed, unseen_below = _counts(found, known & ~flagged, part, found.wrong, found.right, rng)
    total = max(1, int(known.sum()))
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = _ratio(flags, flagged, wrong, right)
        recall = right / (right + missed)
    return {
        "threshold": threshold,
        "flags": _told(flags),
        "wrong": _told(wrong / found.days),
        "missed": _told(missed / found.days),
        "precision": _told(precision),
        "recall": _told(recall),
        "minutes": _told(flags * minutes),
        "decided": int((found.decided & known).sum()),
        "unseen": (unseen + unseen_below) / total,
    }


def _ratio(flags, flagged, wrong, right):
    """Share of the flagged that is not wrong; NaN where nothing is flagged."""
    number = int(flagged.sum())
    return 1 - wrong / number if number else np.full(len(wrong), np.nan)


# Each figure is an array: the estimate first, then `DRAWS` values that its uncertainty allows.


def _counts(found, chosen, part, wrong, right, rng):
    """Numbers of wrong and right comments among the chosen; and how many are in parts without any decision."""
    sums, unseen = [np.zeros(DRAWS + 1), np.zeros(DRAWS + 1)], 0
    for number in np.unique(part[chosen]):
        inside = chosen & (part == number)
        size, decided = int(inside.sum()), inside & found.decided
        n = int(decided.sum())
        if n == 0:
            unseen += size
        weights = found.weights[decided]
        # Audit shares may have changed within the period; that many equal weights would tell as much.
        effective = weights.sum() ** 2 / (weights**2).sum() if n else 0.0
        for place, outcome in enumerate((wrong, right)):
            share = float((weights * outcome[decided]).sum() / weights.sum()) if n else 0.0
            # Jeffreys' interval: nothing found in twenty does not mean that there is nothing. With every comment
            # decided there is nothing left to guess.
            draws = rng.beta(share * effective + 0.5, (1 - share) * effective + 0.5, DRAWS)
            if n == size:
                draws = np.full(DRAWS, share)
            sums[place] += size * np.concatenate([[share], draws])
    return *sums, unseen


def _per_day(found, chosen, rng):
    """Comments a day, with the spread of days."""
    number = max(1, int(np.ceil(found.days)))
    by_day = np.bincount(found.day[chosen] - (found.day.min() if len(found.day) else 0), minlength=number)
    days = by_day[:number] if len(by_day) > number else by_day
    draws = rng.choice(days, size=(DRAWS, len(days))).mean(axis=1)
    value = chosen.sum() / found.days
    scale = value / days.mean() if days.mean() > 0 else 0.0
    if len(days) < 5 or chosen.sum() < 30:  # too few to see how days differ: chance alone
        draws, scale = rng.gamma(chosen.sum() + 0.5, 1 / found.days, DRAWS), 1.0
    return np.concatenate([[value], draws * scale])


def _minutes(seconds, rng):
    """Minutes that a decision takes."""
    if len(seconds) == 0:
        return np.full(DRAWS + 1, np.nan)
    draws = (
        rng.choice(seconds, size=(DRAWS, len(seconds))).mean(axis=1)
        if len(seconds) <= 2000
        else (rng.normal(seconds.mean(), seconds.std() / np.sqrt(len(seconds)), DRAWS))
    )
    return np.concatenate([[seconds.mean()], draws]) / 60


def _told(values):
    if not np.isfinite(values[0]):
        return {"value": None, "interval": None}
    low, high = np.nanpercentile(values[1:], [2.5, 97.5])
    # The estimate need not lie between the percentiles where nothing was found; the interval then reaches to it.
    return {"value": float(values[0]), "interval": [float(min(low, values[0])), float(max(high, values[0]))]}


# ---------------------------------------------------------------------------------------- drift

BINS = 20


def weekly(session: Session, *, weeks: int = 26, until: date | None = None) -> list[dict]:
    """Scores, flags and precision by week and model version, oldest first.

    Returns
    -------
    list of dict
        ``week`` (a Monday, as a date), ``model``, ``comments``, ``flagged`` and ``flag_rate``; ``labels``, for each
        the ``mean`` probability, its ``histogram`` (counts in `BINS` equal parts of 0 to 1) and ``flagged``;
        ``decided`` (of the flagged), ``rejected`` of these, and ``precision`` with its 95 % ``interval`` (Wilson),
        None where nothing was decided.
    """
    first = (until or now().date()) - timedelta(weeks=weeks)
    recent = and_(ScoreRow.live, ScoreRow.week > first)
    key = (ScoreRow.week, ScoreRow.model)
    found = {}
    for week, model, comments, flagged in session.execute(
        select(*key, func.count(), func.sum(cast(ScoreRow.flagged, Integer))).where(recent).group_by(*key)
    ):
        found[week, model] = {
            "week": week,
            "model": model,
            "comments": comments,
            "flagged": int(flagged),
            "flag_rate": flagged / comments,
            "labels": {},
        }
    for label in LABELS:
        _label(session, label, recent, key, found)
    decided = session.execute(
        select(*key, func.count(), func.sum(cast(ItemRow.verdict == "reject", Integer)))
        .join(ItemRow, ItemRow.score_id == ScoreRow.id)
        .where(recent, ScoreRow.flagged, ItemRow.source == "flagged", ItemRow.status == "decided")
        .group_by(*key)
    )
    counts = {(week, model): (number, int(rejected)) for week, model, number, rejected in decided}
    for place, entry in found.items():
        number, rejected = counts.get(place, (0, 0))
        entry["decided"], entry["rejected"] = number, rejected
        entry["precision"] = rejected / number if number else None
        entry["interval"] = wilson(rejected, number) if number else None
    return [found[place] for place in sorted(found)]


def _label(session, label, recent, key, found):
    column, threshold = getattr(ScoreRow, label), getattr(ScoreRow, f"{label}_threshold")
    scaled = column * BINS
    place = cast(scaled if session.get_bind().dialect.name == "sqlite" else func.floor(scaled), Integer)
    place = case((place >= BINS, BINS - 1), else_=place).label("place")
    for entry in found.values():
        entry["labels"][label] = {"mean": None, "histogram": [0] * BINS, "flagged": 0}
    sums: dict = {}
    for week, model, bin, number, total, flagged in session.execute(
        select(*key, place, func.count(), func.sum(column), func.sum(cast(column >= threshold, Integer)))
        .where(recent, column.is_not(None))
        .group_by(*key, place)
    ):
        entry = found[week, model]["labels"][label]
        entry["histogram"][bin] = number
        entry["flagged"] += int(flagged)
        sums[week, model] = sums.get((week, model), 0.0) + total
    for place, total in sums.items():
        entry = found[place]["labels"][label]
        entry["mean"] = total / sum(entry["histogram"])


def wilson(hits: int, n: int) -> list[float]:
    """95 % interval of a share (Wilson, 1927)."""
    z = 1.959964
    share, square = hits / n, z * z / n
    middle = (share + square / 2) / (1 + square)
    half = z * np.sqrt(share * (1 - share) / n + square / (4 * n)) / (1 + square)
    return [float(max(0.0, middle - half)), float(min(1.0, middle + half))]


def sections(session: Session, since: datetime | None = None) -> list[str]:
    """The sections of the stored comments, the one with most comments first."""
    query = select(CommentRow.section).where(CommentRow.section != "")
    if since is not None:
        query = query.where(CommentRow.created >= since)
    return list(session.scalars(query.group_by(CommentRow.section).order_by(func.count().desc(), CommentRow.section)))
