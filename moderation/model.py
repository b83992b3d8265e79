"""The model artefact: what training makes, the registry keeps and the scorer uses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from moderation import labels
from moderation.cues import NAMES as CUE_NAMES
from moderation.features import FeatureSpace
from moderation.linear import Linear
from moderation.topic import TopicModel

TEXT_LABELS = labels.TEXT
OFF_TOPIC = labels.OFF_TOPIC


class Calibration(NamedTuple):
    """Turns a logit into a probability at a realistic base rate (Platt, 1999).

    Probability = 1 / (1 + exp(-(slope * logit + intercept))).
    """

    slope: float
    intercept: float

    def logit(self, logits):
        return self.slope * np.asarray(logits) + self.intercept

    def probability(self, logits):
        return 1 / (1 + np.exp(-np.clip(self.logit(logits), -40, 40)))


@dataclass
class Model:
    """All that is needed to score a comment.

    Attributes
    ----------
    space : FeatureSpace
        Shared by the labels.
    weighers : dict of str to Linear
        For each label of `TEXT_LABELS`.
    topic : TopicModel
        Compares a comment with what it stands under.
    calibrations : dict of str to Calibration
        For each label.
    thresholds : dict of str to float
        Probability from which a comment is flagged.
    version : str
    any_label : dict of str to Calibration
        See `moderation.anylabel.probability`; a kind that there were too few comments to calibrate is missing.
    """

    space: FeatureSpace
    weighers: dict[str, Linear]
    topic: TopicModel
    calibrations: dict[str, Calibration]
    thresholds: dict[str, float]
    version: str = ""
    any_label: dict[str, Calibration] = field(default_factory=dict)

    def current(self) -> bool:
        """Whether the code still computes the numbers that the model was trained to weigh."""
        return len(self.space.scaling.mean) == len(CUE_NAMES) and self.topic.current()
