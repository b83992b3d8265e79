"""The model artefact: what training makes, the registry keeps and the scorer uses."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, Pipeline

from moderation import labels
from moderation.cues import NAMES as CUE_NAMES
from moderation.features import CUES
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


def _sharing_vocabularies(union):
    """A memo for `copy.deepcopy` with which the copy keeps the vocabularies themselves."""
    found = (getattr(part, "vocabulary_", None) for _, part in union.transformer_list)
    return {id(vocabulary): vocabulary for vocabulary in found if vocabulary is not None}


@dataclass
class Model:
    """All that is needed to score a comment.

    Attributes
    ----------
    union : FeatureUnion
        Fitted, as `moderation.features.make_union` gives; shared by the labels.
    classifiers : dict of str to LogisticRegression
        For each label of `TEXT_LABELS`.
    topic : TopicModel
        Compares a comment with what it stands under.
    calibrations : dict of str to Calibration
        For each label.
    thresholds : dict of str to float
        Probability from which a comment is flagged.
    version : str
    any_label : dict of str to Calibration
        See `moderation.anylabel.probability`; empty for a model that was made before there was one.
    """

    union: FeatureUnion
    classifiers: dict[str, LogisticRegression]
    topic: TopicModel
    calibrations: dict[str, Calibration]
    thresholds: dict[str, float]
    version: str = ""
    any_label: dict[str, Calibration] = field(default_factory=dict)

    def __getstate__(self):
        # joblib reads a pickled dictionary entry by entry in Python; one long string is read at once.
        state = dict(self.__dict__)
        state["union"] = copy.deepcopy(self.union, _sharing_vocabularies(self.union))
        state["vocabularies"] = {}
        for name, part in state["union"].transformer_list:
            if hasattr(part, "vocabulary_"):
                state["vocabularies"][name] = "\n".join(sorted(part.vocabulary_, key=part.vocabulary_.get))
                part.vocabulary = part.vocabulary_ = None
        return state

    def __setstate__(self, state):
        vocabularies = state.pop("vocabularies")
        self.__dict__.update({"any_label": {}} | state)
        for name, part in self.union.transformer_list:
            if name in vocabularies:
                grams = vocabularies[name].split("\n")
                part.vocabulary = part.vocabulary_ = dict(zip(grams, range(len(grams)), strict=True))

    def current(self) -> bool:
        """Whether the code still computes the numbers that the model was trained to weigh."""
        cues = dict(self.union.transformer_list)[CUES]
        return len(cues.mean_) == len(CUE_NAMES) and self.topic.current()

    def pipeline(self, label: str) -> Pipeline:
        """The label's model as scikit-learn runs it; its decision function is the scorer's logit."""
        return Pipeline([("features", self.union), ("classifier", self.classifiers[label])])
