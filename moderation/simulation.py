"""What a threshold would do, measured on the newsroom's own decisions; and how scores drift by week and model.

Every comment that came in was scored, so how many a threshold flags is counted. How many of these are wrong, and how
many others are missed, is estimated: of what was flagged most was decided, of the rest the random audit sample.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
from sqlalchemy import Integer, and_, case, cast, func, select
from sqlalchemy.orm import Session

from moderation import ledger
from moderation.comments import LABELS
from moderation.ledger import STEP, Stream
from moderation.store import CommentRow, ItemRow, ScoreRow, now

DRAWS = 1000

# ---------------------------------------------------------------------------------------- thresholds


def stream(session: Session, label: str, model: str, *, section: str = "") -> Stream:
    """The comments of the last weeks, all read now; `moderation.ledger.Ledger.stream` with a new ledger."""
    return ledger.read(session).stream(label, model, section=section)


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
    parts = _Parts(found, rng)
    minutes = _minutes(found.seconds, rng)
    steps = [_step(float(each)) for each in thresholds]
    days = _per_day(found, steps, rng)
    return [_at(found, float(each), parts, flags, minutes) for each, flags in zip(thresholds, days, strict=True)]


def _quantiles(values, numbers, shares):
    if not len(values):
        return np.zeros(0)
    order = np.argsort(values)
    below = np.cumsum(numbers[order]) / numbers.sum()
    return values[order][np.searchsorted(below, shares)]


def _step(values):
    # To the step, all alike: what was counted as 0.300 reaches a threshold of 0.3.
    return np.floor(np.asarray(values) / STEP + 1e-6).astype(np.int64)


def _at(found, threshold, parts, flags, minutes):
    step = _step(threshold)
    wrong, right, unseen = parts.counts(step, above=True)
    _, missed, unseen_below = parts.counts(step, above=False)
    number = found.numbers[_step(found.probabilities) >= step].sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = 1 - wrong / number
        recall = right / (right + missed)
    return {
        "threshold": threshold,
        **_told(
            {
                "flags": flags,
                "wrong": wrong / found.days,
                "missed": missed / found.days,
                "precision": precision,
                "recall": recall,
                "minutes": flags * minutes,
            }
        ),
        "decided": len(found.decided.weights),
        "unseen": (unseen + unseen_below) / max(1, int(found.numbers.sum())),
    }


# Each figure is an array: the estimate first, then `DRAWS` values that its uncertainty allows.


class _Parts:
    """The parts of a stream: how many comments and decisions each has from and below any step of the probability."""

    def __init__(self, found, rng):
        self.rng = rng
        self._drawn = {}
        flagged, decided = found.certain, found.decided
        edges = _quantiles(found.probabilities[flagged], found.numbers[flagged], [0.2, 0.4, 0.6, 0.8])

        def table(certain, probabilities, weights):
            """Sums of weights by part, from each step on; the first column holds everything."""
            part = np.where(certain, 1 + np.searchsorted(edges, probabilities, side="right"), 0)
            width = round(1 / STEP) + 2
            cell = part * width + np.minimum(_step(probabilities), width - 1)
            sums = np.bincount(cell, weights, minlength=6 * width).reshape(6, width)
            return np.cumsum(sums[:, ::-1], axis=1)[:, ::-1]

        self.sizes = table(flagged, found.probabilities, found.numbers)
        self.sums = [
            table(decided.certain, decided.probabilities, weights.astype(float))
            for weights in (
                np.ones(len(decided.weights)),
                decided.weights,
                decided.weights**2,
                decided.weights * decided.wrong,
                decided.weights * decided.right,
            )
        ]

    def counts(self, step, *, above):
        """Numbers of wrong and right comments from a step on, or below it; and how many are in parts without any
        decision."""
        found, unseen = [np.zeros(DRAWS + 1), np.zeros(DRAWS + 1)], 0
        step = min(max(int(step), 0), self.sizes.shape[1] - 1)
        for part in range(len(self.sizes)):
            size, n, *weights = (
                round(each, 6)  # what is left of a sum when all is taken from it again
                for each in (
                    float(sums[part, step] if above else sums[part, 0] - sums[part, step])
                    for sums in (self.sizes, *self.sums)
                )
            )
            if size and not n:
                unseen += int(size)
            if size:
                for sums, drawn in zip(found, self._draws(size, n, *weights), strict=True):
                    sums += drawn
        return *found, unseen

    def _draws(self, size, n, total, squares, wrong, right):
        # Most thresholds cut one part in two and leave the others whole: these are drawn once.
        key = (size, n, total, squares, wrong, right)
        if key not in self._drawn:
            # Audit shares may have changed within the period; that many equal weights would tell as much.
            effective = total**2 / squares if n else 0.0
            self._drawn[key] = []
            for share in (min(1.0, outcome / total) if n else 0.0 for outcome in (wrong, right)):
                # Jeffreys' interval: nothing found in twenty does not mean that there is nothing. With every comment
                # decided there is nothing left to guess.
                draws = self.rng.beta(share * effective + 0.5, (1 - share) * effective + 0.5, DRAWS)
                if n >= size:
                    draws = np.full(DRAWS, share)
                self._drawn[key].append(size * np.concatenate([[share], draws]))
        return self._drawn[key]


def _per_day(found, steps, rng):
    """Comments a day from each step on, with the spread of days; arrays in the order of `steps`."""
    length = int(max(np.ceil(found.days), found.day.max(initial=0) + 1))
    width = round(1 / STEP) + 2
    cells = found.day * width + np.minimum(_step(found.probabilities), width - 1)
    days = np.bincount(cells, found.numbers, minlength=length * width).reshape(-1, width)
    days = np.cumsum(days[:, ::-1], axis=1)[:, ::-1][:, np.clip(steps, 0, width - 1)]
    # The same days are drawn for every threshold: between two of them nothing differs but the threshold.
    means = rng.multinomial(len(days), np.full(len(days), 1 / len(days)), DRAWS) @ days / len(days)
    told = []
    for place, total in enumerate(days.sum(axis=0)):
        value = total / found.days
        if length < 5 or total < 30:  # too few to see how days differ: chance alone
            draws = rng.gamma(total + 0.5, 1 / found.days, DRAWS)
        else:
            draws = means[:, place] * value / days[:, place].mean()
        told.append(np.concatenate([[value], draws]))
    return told


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


def _told(figures):
    """The estimate of each figure with its interval; None where nothing tells."""
    known = {name: values for name, values in figures.items() if np.isfinite(values[0])}
    # At once: the percentiles of each alone would take longer than everything else.
    lows, highs = np.percentile(np.stack(list(known.values()))[:, 1:], [2.5, 97.5], axis=1)
    told: dict[str, dict] = {name: {"value": None, "interval": None} for name in figures}
    for (name, values), low, high in zip(known.items(), lows, highs, strict=True):
        if not np.isfinite([low, high]).all():
            low, high = np.nanpercentile(values[1:], [2.5, 97.5])
        # The estimate need not lie between the percentiles where nothing was found; the interval then reaches to it.
        value = float(values[0])
        told[name] = {"value": value, "interval": [float(min(low, value)), float(max(high, value))]}
    return told


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


def _cut(session, value):
    # PostgreSQL rounds where SQLite cuts off.
    return cast(value if session.get_bind().dialect.name == "sqlite" else func.floor(value), Integer)


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
