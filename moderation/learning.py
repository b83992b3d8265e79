"""Decisions as labelled comments: what trains, with which weight, and how far moderators agree."""

from __future__ import annotations

import csv
import hashlib
import os
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import and_, select
from sqlalchemy.orm import Session, aliased

from moderation import store
from moderation.comments import LABELS, Article, DataError
from moderation.store import ArticleRow, CommentRow, ExportRow, ItemRow, RevisionRow, ScoreRow

if TYPE_CHECKING:
    from moderation.dataset import Dataset

CORPUS = "queue"
OFF_TOPIC = "off_topic"
COMMENTS_FILE = "comments.csv"  #: in the folder of an export
DRAFT = ".writing-"  #: begins the name of a file that is not whole yet

_COLUMNS = ["corpus", "id", "article_id", "parent_text", "text", *LABELS, "weight", "comment_id", "section", "at"]


# ---------------------------------------------------------------------------------------- labelled comments


def verdicts(*columns):
    """A query for the decided revisions that may teach: ``item, verdict, reason`` and `columns`.

    Left out are comments that were erased or invented, and contested ones until they are settled; then the settling
    counts.
    """
    second, settling = aliased(ItemRow), aliased(ItemRow)
    return (
        select(
            ItemRow.id.label("item"),
            ItemRow.verdict.label("first_verdict"),
            ItemRow.reason.label("first_reason"),
            second.verdict.label("second_verdict"),
            second.reason.label("second_reason"),
            settling.status.label("settling"),
            settling.verdict.label("settled_verdict"),
            settling.reason.label("settled_reason"),
            *columns,
        )
        .join(CommentRow, CommentRow.id == ItemRow.comment_id)
        .join(RevisionRow, RevisionRow.id == ItemRow.revision_id)
        .join(ScoreRow, ScoreRow.id == ItemRow.score_id)
        .outerjoin(second, and_(second.pair_id == ItemRow.id, second.source == "double", second.status == "decided"))
        .outerjoin(
            settling,
            and_(settling.pair_id == ItemRow.id, settling.source == "contested", settling.status != "withdrawn"),
        )
        .where(
            ItemRow.source.in_(("flagged", "audit", "reported")),
            ItemRow.status == "decided",
            CommentRow.erasure_id.is_(None),
            CommentRow.invented.is_(False),
        )
        .order_by(ItemRow.id)
    )


def final(row) -> tuple[str, str | None] | None:
    """Verdict and reason of a row of `verdicts`; None while the comment is contested."""
    if row.settling == "decided":
        return row.settled_verdict, row.settled_reason
    first, second = (row.first_verdict, row.first_reason), (row.second_verdict, row.second_reason)
    if row.settling is not None or (row.second_verdict is not None and first != second):
        return None
    return first


def labels(verdict: str, reason: str | None, with_article: bool) -> dict[str, float]:
    """What a decision says of each label; NaN where it says nothing.

    Approving says that no label applies (off_topic only where there was an article to be off); rejecting for a reason
    says that this one applies and nothing of the others, which nobody asked about.
    """
    if verdict == "approve":
        return {label: 0.0 if with_article or label != OFF_TOPIC else float("nan") for label in LABELS}
    return {label: 1.0 if label == reason else float("nan") for label in LABELS}


def labelled(session: Session) -> Dataset:
    """The newsroom's decisions as labelled comments.

    A comment from the audit stands for those that were not drawn: its weight is one over the probability with which
    it was. Comments rejected for another reason than a label say nothing and are left out.

    Returns
    -------
    Dataset
        With the further columns ``weight`` (float), ``comment_id``, ``section`` (str) and ``at`` (datetime).

    Raises
    ------
    DataError
        When nothing was decided.
    """
    import pandas as pd  # serving does without

    from moderation.dataset import Dataset

    query = verdicts(
        RevisionRow.id.label("id"),
        RevisionRow.text,
        CommentRow.article_id,
        CommentRow.parent_text,
        CommentRow.id.label("comment_id"),
        ItemRow.section,
        ItemRow.source,
        ItemRow.decided,
        ScoreRow.sampling_probability,
        getattr(ScoreRow, LABELS[0]).label("first_probability"),
    )
    rows = []
    for row in session.execute(query):
        # What the model could not read would teach it nothing.
        decided = final(row) if row.first_probability is not None else None
        known = labels(*decided, row.article_id is not None) if decided else {}
        if any(value == value for value in known.values()):
            drawn = row.source in ("flagged", "audit")
            rows.append(
                {
                    "corpus": CORPUS,
                    "id": str(row.id),
                    "article_id": f"{CORPUS}/{row.article_id}" if row.article_id is not None else "",
                    "parent_text": row.parent_text,
                    "text": row.text,
                    **known,
                    "weight": 1 / row.sampling_probability if drawn else 1.0,
                    "comment_id": row.comment_id,
                    "section": row.section,
                    "at": row.decided,
                }
            )
    if not rows:
        raise DataError("nothing in the queue was decided yet that could train")
    frame = pd.DataFrame(rows, columns=_COLUMNS)
    articles = {
        f"{CORPUS}/{row.id}": Article(row.title, row.body)
        for row in session.scalars(select(ArticleRow).where(ArticleRow.id.in_(select(CommentRow.article_id))))
    }
    digest = hashlib.sha256(frame[["id", *LABELS, "weight"]].to_csv(index=False).encode()).hexdigest()
    return Dataset(frame, articles, [{"corpus": CORPUS, "file": "decisions", "sha256": digest, "rows": len(frame)}])


# ---------------------------------------------------------------------------------------- files


def export(session: Session, folder: Path, who: str) -> ExportRow:
    """Write the decisions as labelled comments, in the format of ``data/README.md``, and note where.

    Raises
    ------
    DataError
        When nothing was decided, or the folder holds something else.
    """
    folder = Path(folder).resolve()
    lock_exports(session)
    known = session.scalar(select(ExportRow).where(ExportRow.path == str(folder)))
    if known is None and folder.exists() and any(folder.iterdir()):
        raise DataError("is not empty", file=str(folder), mend="Name a new folder")
    data = labelled(session)
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {column: "" if row[column] != row[column] else row[column] for column in _FILE}
        for row in data.comments.assign(article_id=data.comments["article_id"].str.removeprefix(f"{CORPUS}/")).to_dict(
            "records"
        )
    ]
    write_rows(folder / COMMENTS_FILE, _FILE, rows)
    articles = [
        {"id": key.removeprefix(f"{CORPUS}/"), "title": article.title, "body": article.body}
        for key, article in data.articles.items()
    ]
    if articles:
        write_rows(folder / "articles.csv", ["id", "title", "body"], articles)
    row = known or ExportRow(path=str(folder))
    row.rows, row.who = len(rows), who
    session.add(row)
    session.flush()
    return row


def lock_exports(session: Session) -> None:
    """Keep exports and erasures apart until the transaction ends: neither sees half of the other."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(store.sql("LOCK TABLE export IN EXCLUSIVE MODE"))


_FILE = ["id", "comment_id", "article_id", "parent_text", "text", *LABELS, "weight", "section"]


def write_rows(path: Path, columns: list[str], rows: list[dict]) -> None:
    """Write a CSV file that is there whole or not at all."""
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=DRAFT, encoding="utf-8", newline="", delete=False
    ) as file:
        try:
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


# ---------------------------------------------------------------------------------------- agreement


@dataclass(frozen=True)
class Agreement:
    """How far second opinions agree with first ones.

    Attributes
    ----------
    pairs : int
    agreed : float or None
        Share of the pairs; None where there is none.
    kappa : float or None
        Cohen's: the agreement beyond what chance would give. None where it cannot be told, as when everything was
        approved.
    interval : (float, float) or None
        95 %, of kappa.
    table : dict of (str, str) to int
        Pairs by first and second opinion, each ``approve`` or the reason.
    """

    pairs: int
    agreed: float | None
    kappa: float | None
    interval: tuple[float, float] | None
    table: dict[tuple[str, str], int]


def agreement(session: Session, since: datetime | None = None, *, seed: int = 0) -> Agreement:
    """Agreement of the comments that two moderators decided, whatever was settled afterwards."""
    second = aliased(ItemRow)
    query = (
        select(ItemRow.verdict, ItemRow.reason, second.verdict, second.reason)
        .join(second, and_(second.pair_id == ItemRow.id, second.source == "double"))
        .where(ItemRow.status == "decided", second.status == "decided")
    )
    if since is not None:
        query = query.where(second.decided >= since)
    opinions = [(str(first[1] or first[0]), str(first[3] or first[2])) for first in session.execute(query)]
    if not opinions:
        return Agreement(0, None, None, None, {})
    names = sorted({name for pair in opinions for name in pair})
    counts = np.zeros((len(names), len(names)))
    for one, two in opinions:
        counts[names.index(one), names.index(two)] += 1
    kappa = float(cohen_kappa(counts))
    interval = None
    if np.isfinite(kappa):
        rng = np.random.default_rng(seed)
        draws = rng.multinomial(len(opinions), counts.ravel() / counts.sum(), size=2000)
        values = cohen_kappa(draws.reshape(-1, *counts.shape))
        low, high = np.nanpercentile(values, [2.5, 97.5])
        interval = (float(low), float(high))
    return Agreement(
        len(opinions),
        float(np.trace(counts) / counts.sum()),
        kappa if np.isfinite(kappa) else None,
        interval,
        {(one, two): int(counts[i, j]) for i, one in enumerate(names) for j, two in enumerate(names) if counts[i, j]},
    )


def cohen_kappa(counts: np.ndarray) -> np.ndarray:
    """Cohen's kappa of contingency tables.

    Parameters
    ----------
    counts : ndarray, shape (..., k, k)

    Returns
    -------
    ndarray, shape (...)
        NaN where both opinions are always the same one.
    """
    share = counts / counts.sum(axis=(-2, -1), keepdims=True)
    observed = np.trace(share, axis1=-2, axis2=-1)
    expected = (share.sum(axis=-1) * share.sum(axis=-2)).sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.isclose(expected, 1), np.nan, (observed - expected) / (1 - expected))
