"""The labels, a line for each: what there is to know of a label is known from here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Label:
    """One label.

    Attributes
    ----------
    name : str
        As data, answers, tables and columns call it.
    attribute : str
        As it is called in Perspective's protocol.
    base_rate : float
        Share of comments that it is assumed to apply to in a newsroom's stream.
    requirement : str
        Chooses the threshold on the label's curve. What a moderator's time is worth: mockery is told less surely, so
        more has to be read to find it.
    strength : float
        scikit-learn's C.
    adapts : float
        Prior variance of the coefficients that a newsroom's comments change; found on corpora that were left out.
    """

    name: str
    attribute: str
    base_rate: float
    requirement: str
    strength: float = 0.7
    adapts: float = 1.0


# Of the 4,427 annotated Globe and Mail comments 4 % are hostile or antagonising and 8 % sarcastic or condescending.
ALL = (
    Label("abusive", "TOXICITY", 0.05, "maximum recall @ precision >= 0.25", strength=0.5),
    Label("mocking", "MOCKING", 0.08, "maximum recall @ precision >= 0.2", strength=0.5),
    # The last one compares with the article; the others look at the text alone.
    Label("off_topic", "OFF_TOPIC", 0.05, "maximum recall @ precision >= 0.33", adapts=0.05),
)
NAMES = tuple(label.name for label in ALL)
OFF_TOPIC = NAMES[-1]
TEXT = NAMES[:-1]
