"""Perspective's attributes in terms of our labels."""

from __future__ import annotations

import numpy as np

from moderation.comments import LABELS

LIKELY_TO_REJECT = "LIKELY_TO_REJECT"
#: The label that answers for an attribute; `LIKELY_TO_REJECT` is answered from all of them.
LABEL_OF = {"TOXICITY": "abusive", "MOCKING": "mocking", "OFF_TOPIC": "off_topic"}
NAMES = (*LABEL_OF, LIKELY_TO_REJECT)


def any_label(probabilities: np.ndarray) -> np.ndarray:
    """The probability that at least one label applies.

    It takes the labels for independent given the comment. Where they go together (abuse that mocks) it is too high,
    by at most the difference to the highest single probability, which is the answer if one label implied the others.

    Parameters
    ----------
    probabilities : ndarray of float, shape (n, 3)
        Calibrated, in the order of `moderation.comments.LABELS`; NaN where a label has none, which then counts for
        nothing.

    Returns
    -------
    ndarray of float, shape (n,)
        NaN where no label has a probability.
    """
    found = 1 - np.prod(1 - np.nan_to_num(probabilities, nan=0.0), axis=1)
    return np.where(np.isnan(probabilities).all(axis=1), np.nan, found)


def values(name: str, probabilities: np.ndarray) -> np.ndarray:
    """An attribute's scores.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    probabilities : ndarray of float, shape (n, 3)
        As in `any_label`.

    Returns
    -------
    ndarray of float, shape (n,)
        NaN where there is no score: `OFF_TOPIC` without an article, all of them for a comment without words.
    """
    if name == LIKELY_TO_REJECT:
        return any_label(probabilities)
    return probabilities[:, LABELS.index(LABEL_OF[name])]
