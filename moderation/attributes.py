"""Perspective's attributes in terms of our labels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from moderation import anylabel, labels
from moderation.comments import LABELS
from moderation.model import Calibration

LIKELY_TO_REJECT = "LIKELY_TO_REJECT"
#: The label that answers for an attribute; `LIKELY_TO_REJECT` is answered from all of them.
LABEL_OF = {label.attribute: label.name for label in labels.ALL}
NAMES = (*LABEL_OF, LIKELY_TO_REJECT)


def values(name: str, probabilities: np.ndarray, calibrations: Mapping[str, Calibration]) -> np.ndarray:
    """An attribute's scores.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    probabilities : ndarray of float, shape (n, 3)
        Calibrated, in the order of `moderation.comments.LABELS`; NaN where a label has none.
    calibrations : mapping of str to Calibration
        The model's `any_label`.

    Returns
    -------
    ndarray of float, shape (n,)
        NaN where there is no score: `OFF_TOPIC` without an article, all of them for a comment without words.
    """
    if name == LIKELY_TO_REJECT:
        return anylabel.probability(probabilities, calibrations)
    return probabilities[:, LABELS.index(LABEL_OF[name])]
