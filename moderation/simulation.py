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


STEP = 0.001  #: to which probabilities of comments are told apart


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


def stream(session: Session, label: str, model: str, *, section: str = "", days: int = 28) -> Stream:
    """Read the comments of the last `days` days that a model has scored.

    Parameters
    ----------
    model : str
        Version, as scores name it.
    section : str
        Empty for all.
    """
    if label not in LABELS:
        raise ValueError(f"{label!r} is no label; use {', '.join(LABELS)}")
    end = now()
    since = end - timedelta(days=days)
    live = aliased(ScoreRow)
    column = getattr(ScoreRow, label)
    wanted = [ScoreRow.model == model, live.live, live.scored >= since, column.is_not(None)]
    if section:
        wanted.append(live.section == section)
    place = _cut(session, column / STEP)
    certain = case((live.sampling_probability >= 1, 1), else_=0)
    day = func.date(live.scored)
    counted = session.execute(
        select(day, place, certain, func.count(), func.min(live.scored))
        .select_from(ScoreRow)
        .join(live, live.revision_id == ScoreRow.revision_id)
        .where(*wanted)
        .group_by(day, place, certain)
    ).all()
    first = min((row[4] for row in counted), default=since)
    dates = {date: number for number, date in enumerate(sorted({row[0] for row in counted}))}
    return Stream(
        label,
        section,
        model,
        # A service that is a week old has one week's comments, not four.
        max(1.0, min(float(days), (end - first) / timedelta(days=1))),
        np.array([row[1] for row in counted], dtype=float) * STEP,
        np.array([row[2] for row in counted], dtype=bool),
        np.array([dates[row[0]] for row in counted], dtype=np.int64),
        np.array([row[3] for row in counted], dtype=np.int64),
        _decisions(session, label, live, wanted, since),
        _seconds(session, since),
    )


def _cut(session, value):
    # PostgreSQL rounds where SQLite cuts off.
    return cast(value if session.get_bind().dialect.name == "sqlite" else func.floor(value), Integer)


def _decisions(session, label, live, wanted, since):
    second, settling = aliased(ItemRow), aliased(ItemRow)
    query = (
        select(
            getattr(ScoreRow, label).label("probability"),
            live.sampling_probability,
            ItemRow.verdict.label("first_verdict"),
            ItemRow.reason.label("first_reason"),
            second.verdict.label("second_verdict"),
            second.reason.label("second_reason"),
            settling.status.label("settling"),
            settling.verdict.label("settled_verdict"),
            settling.reason.label("settled_reason"),
        )
        .select_from(ItemRow)
        .join(live, live.id == ItemRow.score_id)
        .join(ScoreRow, ScoreRow.revision_id == ItemRow.revision_id)
        .outerjoin(second, and_(second.pair_id == ItemRow.id, second.source == "double", second.status == "decided"))
        .outerjoin(
            settling,
            and_(settling.pair_id == ItemRow.id, settling.source == "contested", settling.status != "withdrawn"),
        )
        .where(
            ItemRow.status == "decided",
            ItemRow.entered >= since,
            ItemRow.source.in_(("flagged", "audit")),
            *wanted,
        )
    )
    rows = [(row, final(row)) for row in session.execute(query)]
    rows = [(row, verdict) for row, verdict in rows if verdict is not None]  # contested ones wait
    sampling = np.array([row.sampling_probability for row, _ in rows], dtype=float)
    return Decisions(
        np.array([row.probability for row, _ in rows], dtype=float),
        sampling >= 1,
        np.array([verdict == ("approve", None) for _, verdict in rows], dtype=bool),
        np.array([verdict == ("reject", label) for _, verdict in rows], dtype=bool),
        1 / np.maximum(sampling, 1e-6),
    )


def _seconds(session, since):
    query = select(DecisionRow.seconds).where(
        DecisionRow.at >= since,
        DecisionRow.seconds.is_not(None),
        # In disguise: that there is no batch is true of nearly all, and nothing to begin with.
        func.coalesce(DecisionRow.batch_id, 0) == 0,
        DecisionRow.comment_id.not_in(select(CommentRow.id).where(CommentRow.invented.is_(True))),
    )
    return np.minimum(np.array(session.scalars(query).all(), dtype=float), LONGEST)


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
    flagged = found.certain
    edges = _quantiles(found.probabilities[flagged], found.numbers[flagged], [0.2, 0.4, 0.6, 0.8])
    minutes = _minutes(found.seconds, rng)
    return [_at(found, float(threshold), edges, minutes, rng) for threshold in thresholds]


def _quantiles(values, numbers, shares):
    if not len(values):
        return np.zeros(0)
    order = np.argsort(values)
    below = np.cumsum(numbers[order]) / numbers.sum()
    return values[order][np.searchsorted(below, shares)]


def _reach(probabilities, threshold):
    # To the step, all alike: what was counted as 0.300 reaches a threshold of 0.3.
    return np.floor(probabilities / STEP + 1e-6) >= np.floor(threshold / STEP + 1e-6)


def _at(found, threshold, edges, minutes, rng):
    flagged, decided_flagged = (_reach(each, threshold) for each in (found.probabilities, found.decided.probabilities))
    flags = _per_day(found, flagged, rng)
    wrong, right, unseen = _counts(found, flagged, decided_flagged, edges, rng)
    _, missed, unseen_below = _counts(found, ~flagged, ~decided_flagged, edges, rng)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = 1 - wrong / found.numbers[flagged].sum()
        recall = right / (right + missed)
    return {
        "threshold": threshold,
        "flags": _told(flags),
        "wrong": _told(wrong / found.days),
        "missed": _told(missed / found.days),
        "precision": _told(precision),
        "recall": _told(recall),
        "minutes": _told(flags * minutes),
        "decided": len(found.decided.weights),
        "unseen": (unseen + unseen_below) / max(1, int(found.numbers.sum())),
    }


# Each figure is an array: the estimate first, then `DRAWS` values that its uncertainty allows.


def _counts(found, chosen, chosen_decided, edges, rng):
    """Numbers of wrong and right comments among the chosen; and how many are in parts without any decision."""
    sums, unseen = [np.zeros(DRAWS + 1), np.zeros(DRAWS + 1)], 0
    parts = np.where(found.certain, 1 + np.searchsorted(edges, found.probabilities, side="right"), 0)
    decided = found.decided
    decided_parts = np.where(decided.certain, 1 + np.searchsorted(edges, decided.probabilities, side="right"), 0)
    for part in np.unique(parts[chosen]):
        size = int(found.numbers[chosen & (parts == part)].sum())
        inside = chosen_decided & (decided_parts == part)
        n, weights = int(inside.sum()), decided.weights[inside]
        if n == 0:
            unseen += size
        # Audit shares may have changed within the period; that many equal weights would tell as much.
        effective = weights.sum() ** 2 / (weights**2).sum() if n else 0.0
        for place, outcome in enumerate((decided.wrong, decided.right)):
            share = float((weights * outcome[inside]).sum() / weights.sum()) if n else 0.0
            # Jeffreys' interval: nothing found in twenty does not mean that there is nothing. With every comment
            # decided there is nothing left to guess.
            draws = rng.beta(share * effective + 0.5, (1 - share) * effective + 0.5, DRAWS)
            if n >= size:
                draws = np.full(DRAWS, share)
            sums[place] += size * np.concatenate([[share], draws])
    return *sums, unseen


def _per_day(found, chosen, rng):
    """Comments a day, with the spread of days."""
    total = found.numbers[chosen].sum()
    value = total / found.days
    length = int(np.ceil(found.days))
    if length < 5 or total < 30:  # too few to see how days differ: chance alone
        return np.concatenate([[value], rng.gamma(total + 0.5, 1 / found.days, DRAWS)])
    days = np.bincount(found.day[chosen], found.numbers[chosen], minlength=length)
    means = rng.choice(days, size=(DRAWS, len(days))).mean(axis=1)
    return np.concatenate([[value], means * value / days.mean()])


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
    found: dict = {}
    for row in _grouped(session, recent, key):
        entry = found.get((row.week, row.model))
        if entry is None:
            entry = found[row.week, row.model] = {
                "week": row.week,
                "model": row.model,
                "comments": 0,
                "flagged": 0,
                "labels": {label: {"mean": 0.0, "histogram": [0] * BINS, "flagged": 0} for label in LABELS},
            }
        entry["comments"] += row.number
        entry["flagged"] += int(row.flagged)
        for label in LABELS:
            place = getattr(row, label)
            if place is not None:
                told = entry["labels"][label]
                told["histogram"][min(place, BINS - 1)] += row.number
                told["flagged"] += int(getattr(row, f"{label}_flagged"))
                told["mean"] += getattr(row, f"{label}_sum")
    for entry in found.values():
        entry["flag_rate"] = entry["flagged"] / entry["comments"]
        for told in entry["labels"].values():
            number = sum(told["histogram"])
            told["mean"] = told["mean"] / number if number else None
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


def _grouped(session, recent, key):
    """Counts and sums by week, model and the three labels' bins: most comments share a few of these, so that one pass
    over the scores answers all."""
    bins = [_cut(session, getattr(ScoreRow, label) * BINS).label(label) for label in LABELS]
    sums = [func.sum(getattr(ScoreRow, label)).label(f"{label}_sum") for label in LABELS]
    flagged = [
        func.sum(case((getattr(ScoreRow, label) >= getattr(ScoreRow, f"{label}_threshold"), 1), else_=0)).label(
            f"{label}_flagged"
        )
        for label in LABELS
    ]
    any_flagged = func.sum(case((ScoreRow.flagged, 1), else_=0)).label("flagged")
    return session.execute(
        select(*key, *bins, func.count().label("number"), any_flagged, *sums, *flagged)
        .where(recent)
        .group_by(*key, *bins)
    )


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
