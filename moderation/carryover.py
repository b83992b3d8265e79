"""Carrying a threshold over from another scorer to ours, from comments that both have scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from moderation import attributes
from moderation.comments import (
    ID_LIMIT,
    Article,
    Comment,
    DataError,
    need_columns,
    read_rows,
    string_field,
    text_problem,
)
from moderation.language import SCORED
from moderation.scorer import Scorer

BATCH = 1_000
RESAMPLES = 1_000
FEWEST = 10  #: comments that the old threshold must flag, below which nothing can be said


@dataclass
class Scored:
    """Comments with their old score and ours.

    Attributes
    ----------
    old, new : ndarray of float, shape (n,)
    truth : ndarray of float, shape (n,)
        1 for a comment that was rightly flagged or would have been, 0 for one that was not, NaN where nobody says.
    problems : list of DataError
        Rows that were left out.
    """

    old: np.ndarray
    new: np.ndarray
    truth: np.ndarray
    problems: list[DataError] = field(default_factory=list)


@dataclass(frozen=True)
class Point:
    """What a threshold does, with 95 % intervals (bootstrap).

    Attributes
    ----------
    threshold : float
    flagged : int
    flag_rate : float
    precision, recall : float or None
        Over the comments whose truth is known; None where nothing is.
    threshold_interval, precision_interval, recall_interval : (float, float) or None
    agreement : float or None
        Of the comments that the old threshold flags, the share that this one flags.
    """

    threshold: float
    flagged: int
    flag_rate: float
    precision: float | None
    recall: float | None
    threshold_interval: tuple[float, float] | None = None
    precision_interval: tuple[float, float] | None = None
    recall_interval: tuple[float, float] | None = None
    agreement: float | None = None


def read(
    scorer: Scorer,
    path: Path | str,
    *,
    attribute: str,
    score: str,
    truth: str = "",
    articles: dict[str, Article] | None = None,
) -> Scored:
    """Read comments with their old scores, and score them.

    Parameters
    ----------
    path : path
        CSV or JSON Lines with ``text`` and the columns named by `score` and `truth`; ``article_id`` and
        ``parent_text`` count where they are there.
    attribute : str
        One of `moderation.attributes.NAMES`.

    Raises
    ------
    DataError
        When the file or a column is not there, or no row can be used.
    """
    name, problems, first = str(path), [], True
    old, new, known = [], [], []
    rows = read_rows(path)
    while batch := list(islice(rows, BATCH)):
        comments, lines = [], []
        for line, row in batch:
            try:
                if isinstance(row, DataError):
                    raise row
                if first:
                    need_columns(name, row, ("text", score, *([truth] if truth else [])))
                    first = False
                comment = _comment(row, name, line, articles or {})
                before = _share(row, score, name, line)
                said = _share(row, truth, name, line, required=False) if truth else np.nan
                if attribute == "OFF_TOPIC" and comment.article is None:
                    raise DataError("names no known article", file=name, line=line, column="article_id")
            except DataError as error:
                if error.line == 1:
                    raise
                problems.append(error)
                continue
            comments.append(comment)
            lines.append((line, before, said))
        probabilities, statuses = scorer.probabilities_and_statuses(comments)
        values = attributes.values(attribute, probabilities, scorer.model.any_label)
        for (line, before, said), value, status in zip(lines, values, statuses, strict=True):
            if status != SCORED:
                problems.append(DataError(f"has no score of ours: {status}", file=name, line=line, column="text"))
                continue
            old.append(before)
            new.append(value)
            known.append(said)
    if not old:
        raise DataError("has no comment that can be used", file=name, mend=str(problems[0]) if problems else "")
    return Scored(np.array(old), np.array(new), np.array(known), problems)


def _comment(row, name, line, articles):
    problem = text_problem(row.get("text"))
    if problem:
        raise DataError(problem, file=name, line=line, column="text", mend="It was left out")
    parent = row.get("parent_text", "")
    if parent and text_problem(parent):
        raise DataError(text_problem(parent), file=name, line=line, column="parent_text", mend="It was left out")
    article = articles.get(string_field(row, "article_id", ID_LIMIT, file=name, line=line).strip())
    return Comment(row["text"], "", article, parent)


def _share(row, column, name, line, required=True):
    value = row.get(column, "")
    if value == "" and not required:
        return np.nan
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not 0 <= number <= 1:
        raise DataError(
            f"{value!r} is not a number from 0 to 1", file=name, line=line, column=column, mend="It was left out"
        )
    return number


def old_point(scored: Scored, at: float, *, seed: int = 0) -> Point:
    """What the old threshold does.

    Raises
    ------
    DataError
        When it flags too few comments to say anything.
    """
    flagged = int((scored.old >= at).sum())
    if flagged < FEWEST:
        raise DataError(
            f"only {flagged} comments have an old score of {at:g} or more",
            mend=f"At least {FEWEST} are needed: give more comments, or a lower threshold",
        )
    return _point(scored.old, at, scored, at, None, seed)


def same_flag_rate(scored: Scored, at: float, *, seed: int = 0) -> Point:
    """Our threshold that flags as many comments as the old one does."""

    def choose(rows):
        return _kth_highest(scored.new[rows], int((scored.old[rows] >= at).sum()))

    return _point(scored.new, choose(slice(None)), scored, at, choose, seed)


def same_precision(scored: Scored, at: float, *, seed: int = 0) -> Point | None:
    """Our lowest threshold at which at least the same share of what is flagged is right.

    Returns
    -------
    Point or None
        None where no truth is known or our scores reach that precision nowhere with `FEWEST` comments.
    """
    known = np.flatnonzero(np.isfinite(scored.truth))
    right = scored.truth >= 0.5
    old = known[scored.old[known] >= at]
    if not len(old):
        return None
    order = known[np.argsort(-scored.new[known], kind="stable")]
    precision = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    # Equal scores are flagged together or not at all.
    last = np.append(scored.new[order][1:] < scored.new[order][:-1], True)
    good = np.flatnonzero((precision >= right[old].mean()) & last & (np.arange(1, len(order) + 1) >= FEWEST))
    if not len(good):
        return None
    return _point(scored.new, _kth_highest(scored.new[known], int(good[-1]) + 1), scored, at, None, seed)


def _kth_highest(scores, k):
    """A threshold that k of the scores reach (more where scores are equal), half way to the next lower one."""
    if k == 0:
        return float(np.nextafter(scores.max(), 2))
    ordered = np.sort(scores)[::-1]
    lower = ordered[k:][ordered[k:] < ordered[k - 1]]
    return float((ordered[k - 1] + lower[0]) / 2) if len(lower) else float(ordered[k - 1])


def _point(scores, threshold, scored: Scored, at: float, choose: Callable | None, seed: int) -> Point:
    flags = scores >= threshold
    before = scored.old >= at
    rng = np.random.default_rng(seed)
    n = len(scores)
    thresholds, precisions, recalls = [], [], []
    for _ in range(RESAMPLES):
        rows = rng.integers(n, size=n)
        if choose is not None:
            thresholds.append(choose(rows))
        precision, recall = _right(flags[rows], scored.truth[rows])
        precisions.append(precision)
        recalls.append(recall)
    precision, recall = _right(flags, scored.truth)
    return Point(
        threshold,
        int(flags.sum()),
        float(flags.mean()),
        precision,
        recall,
        _interval(thresholds) if choose is not None else None,
        _interval(precisions) if precision is not None else None,
        _interval(recalls) if recall is not None else None,
        float(flags[before].mean()) if before.any() else None,
    )


def _right(flags, truth):
    known = np.isfinite(truth)
    right = truth[known] >= 0.5
    flags = flags[known]
    hits = (flags & right).sum()
    return (hits / flags.sum() if flags.any() else None), (hits / right.sum() if right.any() else None)


def _interval(values):
    low, high = np.quantile([value for value in values if value is not None], [0.025, 0.975])
    return float(low), float(high)
