"""A candidate before it is promoted: its figures against the active model's, by slice, and whose verdict would flip."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from moderation import dataset as datasets
from moderation import lexicon, overrides
from moderation.comments import LABELS, Article, Comment
from moderation.dataset import Dataset
from moderation.evaluation import compare, interval
from moderation.learning import CORPUS
from moderation.overrides import Overrides
from moderation.scorer import Scorer
from moderation.store import ArticleRow, CommentRow, RevisionRow, ScoreRow, now

SECTIONS = 8  #: the sections with the most decisions are told apart
SHORT, LONG = 80, 400  #: characters
RESAMPLES = 1000
FLIPS = 200  #: comments named for each label and direction

_IDENTITY = re.compile(rf"\b(?:{'|'.join(map(re.escape, lexicon.IDENTITY))})\b", re.IGNORECASE)


# ---------------------------------------------------------------------------------------- figures


def figures(data: Dataset, old: Scorer, new: Scorer, own: Overrides) -> list[dict]:
    """Both models on the newsroom's decisions that neither was trained on.

    Parameters
    ----------
    data : Dataset
        All that the candidate was made from; the held-out rows of the queue are measured.
    own : Overrides
        The newsroom's thresholds, which hold for both models.

    Returns
    -------
    list of dict
        For each label and slice ``label, slice, value, rows, positives``; ``auc`` as `moderation.evaluation.compare`
        gives (only for all comments); and for each of ``precision, recall, fpr`` and ``flagged`` a dict of ``old, new,
        difference`` and the 95 % ``interval`` of the difference, None where it cannot be told. Comments count with
        their weights.
    """
    _, test = datasets.held_out(data.comments)
    held = data.comments.iloc[test]
    held = held[held["corpus"] == CORPUS].reset_index(drop=True)
    comments = [
        Comment(row.text, row.id, data.articles.get(row.article_id), row.parent_text) for row in held.itertuples()
    ]
    sections = held["section"].fillna("").to_numpy(dtype=object)
    probabilities = [model.probabilities(comments) for model in (old, new)]
    flagged = [flags(model, values, sections, own) for model, values in zip((old, new), probabilities, strict=True)]
    weights = held["weight"].to_numpy(dtype=float) if len(held) else np.zeros(0)
    found = []
    for column, label in enumerate(LABELS):
        truth = held[label].to_numpy(dtype=float)
        for name, value, chosen in slices(list(held["text"]), sections):
            rows = np.flatnonzero(chosen & np.isfinite(truth) & ~np.isnan(probabilities[0][:, column]))
            if not len(rows) and name != "all":
                continue
            entry = {
                "label": label,
                "slice": name,
                "value": value,
                "rows": len(rows),
                "positives": int(truth[rows].sum()),
                **_figures(truth[rows] > 0, weights[rows], *(flags[rows, column] for flags in flagged)),
            }
            if name == "all":
                entry["auc"] = compare(truth[rows], *(values[rows, column] for values in probabilities))
            found.append(entry)
    return found


def flags(model: Scorer, probabilities: np.ndarray, sections: Iterable[str], own: Overrides) -> np.ndarray:
    """Which labels are flagged at the newsroom's thresholds; bool, of the shape of `probabilities`."""
    names = list(sections)
    table = {
        section: [overrides.threshold(own, label, section, model.model.thresholds[label]) for label in LABELS]
        for section in set(names)
    }
    limits = np.array([table[section] for section in names]).reshape(-1, len(LABELS))
    return probabilities >= limits


def slices(texts: list[str], sections: np.ndarray) -> list[tuple[str, str, np.ndarray]]:
    """The kinds of comments that are measured apart: name, value, and which comments."""
    n = len(texts)
    found = [("all", "", np.ones(n, dtype=bool))]
    names, sizes = np.unique(sections[sections != ""].astype(str), return_counts=True)
    for section in names[np.argsort(-sizes, kind="stable")][:SECTIONS]:
        found.append(("section", str(section), sections == section))
    length = np.array([len(text) for text in texts])
    identity = np.array([bool(_IDENTITY.search(text)) for text in texts], dtype=bool)
    found += [
        ("length", f"under {SHORT} characters", length < SHORT),
        ("length", f"{SHORT} to {LONG}", (length >= SHORT) & (length <= LONG)),
        ("length", f"over {LONG}", length > LONG),
        ("identity terms", "mentioned", identity),
        ("identity terms", "not mentioned", ~identity),
    ]
    return found


def _figures(truth, weights, old, new, seed=0):
    """Weighted rates of two sets of flags on the same rows, with the interval of their difference."""
    rng = np.random.default_rng(seed)
    # Row 0 is the rows as they are, the others are resamples of them: how often each row was drawn.
    counts = np.ones((1, len(truth)))
    if len(truth):
        draws = rng.multinomial(len(truth), np.full(len(truth), 1 / len(truth)), size=RESAMPLES)
        counts = np.concatenate([counts, draws])
    mass = counts * weights
    found = {}
    rates = [_rates(truth, flagged, mass) for flagged in (old, new)]
    for name in ("precision", "recall", "fpr", "flagged"):
        before, after = (rate[name] for rate in rates)
        difference = after - before
        known = np.isfinite(difference[0])
        found[name] = {
            "old": _number(before[0]),
            "new": _number(after[0]),
            "difference": _number(difference[0]),
            "interval": interval(difference[1:]) if known and np.isfinite(difference[1:]).any() else None,
        }
    return found


def _rates(truth, flagged, mass):
    def share(part, whole):
        below = mass @ whole.astype(float)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(below > 0, mass @ (part & whole).astype(float) / below, np.nan)

    everything = np.ones(len(truth), dtype=bool)
    return {
        "precision": share(truth, flagged),
        "recall": share(flagged, truth),
        "fpr": share(flagged, ~truth),
        "flagged": share(flagged, everything),
    }


def _number(value):
    return float(value) if np.isfinite(value) else None


# ---------------------------------------------------------------------------------------- recent comments


@dataclass(frozen=True)
class Recent:
    """A comment that came in lately.

    ``verdict`` is what was decided of it, or None.
    """

    comment: Comment
    comment_id: str
    revision_id: int
    section: str
    verdict: str | None


def recent(session: Session, *, days: float = 28, limit: int = 20_000) -> list[Recent]:
    """The current texts of the newest comments, at most `limit`, without those that were erased or
    invented."""
    since = now() - timedelta(days=days)
    rows = session.execute(
        select(
            CommentRow.id,
            CommentRow.article_id,
            CommentRow.parent_text,
            CommentRow.section,
            CommentRow.verdict,
            RevisionRow.id,
            RevisionRow.text,
        )
        .join(RevisionRow, (RevisionRow.comment_id == CommentRow.id) & (RevisionRow.number == CommentRow.revision))
        .where(CommentRow.created >= since, CommentRow.erasure_id.is_(None), CommentRow.invented.is_(False))
        .order_by(CommentRow.created.desc(), CommentRow.id)
        .limit(limit)
    ).all()
    articles = _articles(session, since)
    return [
        Recent(Comment(text, id, articles.get(article_id or ""), parent_text), id, revision_id, section, verdict)
        for id, article_id, parent_text, section, verdict, revision_id, text in rows
    ]


def _articles(session, since: datetime) -> dict[str, Article]:
    used = select(CommentRow.article_id).where(CommentRow.created >= since)
    return {
        row.id: Article(row.title, row.body)
        for row in session.scalars(select(ArticleRow).where(ArticleRow.id.in_(used)))
    }


def scores(model: Scorer, rows: list[Recent], track: Callable[[list], Iterable] = iter) -> np.ndarray:
    """Probabilities of comments, shape (n, 3), in parts so that progress shows."""
    parts = [
        model.probabilities([row.comment for row in rows[begin : begin + 500]])
        for begin in track(list(range(0, len(rows), 500)))
    ]
    return np.concatenate(parts) if parts else np.zeros((0, len(LABELS)))


def flips(
    rows: list[Recent], old: Scorer, new: Scorer, before: np.ndarray, after: np.ndarray, own: Overrides
) -> dict[str, dict]:
    """The comments whose verdict differs between two models.

    Returns
    -------
    dict of str to dict
        For each label ``up`` (newly flagged) and ``down`` (no longer): ``count``, and ``comments``, the `FLIPS` whose
        probability changed most, as ``comment, revision, section, old, new, verdict``. No text: that stays where an
        erasure finds it.
    """
    sections = [row.section for row in rows]
    was, is_now = flags(old, before, sections, own), flags(new, after, sections, own)
    found: dict[str, dict] = {}
    for column, label in enumerate(LABELS):
        found[label] = {}
        for name, changed in (("up", ~was & is_now), ("down", was & ~is_now)):
            places = np.flatnonzero(changed[:, column])
            order = places[np.argsort(-np.abs(after[places, column] - before[places, column]), kind="stable")]
            found[label][name] = {
                "count": len(places),
                "comments": [
                    {
                        "comment": rows[place].comment_id,
                        "revision": rows[place].revision_id,
                        "section": rows[place].section,
                        "old": float(before[place, column]),
                        "new": float(after[place, column]),
                        "verdict": rows[place].verdict,
                    }
                    for place in order[:FLIPS]
                ],
            }
    return found


def keep_scores(session: Session, model: Scorer, rows: list[Recent], values: np.ndarray, own: Overrides) -> int:
    """Keep what a model says of recent comments, so that the simulator can work with it; how many were new.

    How a comment was drawn for the queue stays with its live score.
    """
    ids = [row.revision_id for row in rows]
    known: set[int] = set()
    for begin in range(0, len(ids), 500):
        known.update(
            session.scalars(
                select(ScoreRow.revision_id).where(
                    ScoreRow.model == model.version, ScoreRow.revision_id.in_(ids[begin : begin + 500])
                )
            )
        )
    at = now()
    flagged = flags(model, values, [row.section for row in rows], own)
    new = [
        {
            "revision_id": row.revision_id,
            "comment_id": row.comment_id,
            "model": model.version,
            "section": row.section,
            "flagged": bool(flagged[place].any()),
            "live": False,
            "source": None,
            "sampling_probability": 1.0,
            "scored": at,
            "week": (at - timedelta(days=at.weekday())).date(),
            **{label: _number(values[place, column]) for column, label in enumerate(LABELS)},
            **{
                f"{label}_threshold": overrides.threshold(own, label, row.section, model.model.thresholds[label])
                for label in LABELS
            },
        }
        for place, row in enumerate(rows)
        if row.revision_id not in known
    ]
    if new:
        session.execute(insert(ScoreRow), new)
    return len(new)
