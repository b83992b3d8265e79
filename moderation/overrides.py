"""The newsroom's own thresholds: for a label, everywhere or in one section, in place of the model's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from moderation.comments import LABELS
from moderation.store import ThresholdRow

if TYPE_CHECKING:
    from moderation.scorer import Score

#: Thresholds by label and section; the section is empty for all that have none of their own.
Overrides = Mapping[tuple[str, str], float]


def current(session: Session) -> dict[tuple[str, str], float]:
    """The thresholds that hold now."""
    newest = select(func.max(ThresholdRow.id)).group_by(ThresholdRow.label, ThresholdRow.section)
    rows = session.scalars(select(ThresholdRow).where(ThresholdRow.id.in_(newest)))
    return {(row.label, row.section): row.value for row in rows if row.value is not None}


def threshold(overrides: Overrides, label: str, section: str, default: float) -> float:
    """What holds for a label in a section: its own, the newsroom's, or the model's `default`."""
    return overrides.get((label, section), overrides.get((label, ""), default))


def apply(scored: Score, section: str, overrides: Overrides) -> Score:
    """A verdict with the newsroom's thresholds in place of the model's."""
    if not overrides:
        return scored
    labels = {}
    for name, label in scored.labels.items():
        value = threshold(overrides, name, section, label.threshold)
        labels[name] = replace(label, threshold=value, flagged=label.score is not None and label.score >= value)
    return replace(scored, labels=labels)


def change(
    session: Session, label: str, section: str, value: float | None, *, who: str, figures: dict | None = None
) -> ThresholdRow:
    """Set a threshold, or with None return to what holds without it; every change stays in the log.

    Parameters
    ----------
    section : str
        Empty for all sections that have none of their own.
    figures : dict, optional
        What the simulator said, to be kept with the change.

    Raises
    ------
    ValueError
    """
    if label not in LABELS:
        raise ValueError(f"{label!r} is no label; use {', '.join(LABELS)}")
    if value is not None and not 0 < value < 1:
        raise ValueError(f"{value} is no threshold; it lies between 0 and 1")
    row = ThresholdRow(
        label=label,
        section=section,
        value=value,
        previous=current(session).get((label, section)),
        who=who,
        figures=figures or {},
    )
    session.add(row)
    session.flush()
    return row


def changes(session: Session, limit: int = 100) -> list[ThresholdRow]:
    """The log of changes, newest first."""
    return list(session.scalars(select(ThresholdRow).order_by(ThresholdRow.id.desc()).limit(limit)))
