"""Long comments put together from short ones, for training.

Labelled comments are mostly short. One that is long says several things, and is abusive when one of them is; a model
that has seen only short ones either overlooks that one, or adds up what is harmless in all of them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd

_HARMLESS = {"abusive": 0.15, "mocking": 0.25}  #: most that a comment may have of a label to stand for harmless text
_SHORTEST, _LONGEST, _LONGEST_INSERTED = 3, 100, 40  # words of a part
_FEWEST = 50  # harmless parts; of fewer the same sentences would come again and again


@dataclass(frozen=True)
class Composed:
    """Comments that were put together.

    Attributes
    ----------
    texts : list of n str
    parts : list of n ndarray of int64
        Rows that each was made from.
    labels : dict of str to ndarray of float, shape (n,)
        The mean of harmless parts, the label of the one that is not; NaN where one of the parts has no label.
    """

    texts: list[str]
    parts: list[np.ndarray]
    labels: dict[str, np.ndarray]


def compose(comments: pd.DataFrame, labels: dict[str, np.ndarray], deal: np.ndarray, recipe) -> Composed:
    """Put comments together until they have a wanted number of words; some get one that is abusive or mocking.

    Parameters
    ----------
    comments : DataFrame
        As `moderation.dataset.Dataset.comments`.
    labels : dict of str to ndarray of float, shape (rows,)
        As they train.
    deal : ndarray of int, shape (rows,)
        Parts come from the same corpus and the same number, so that no split is straddled.
    recipe : moderation.training.Recipe
    """
    rng = np.random.default_rng(recipe.seed)
    texts = comments["text"].to_numpy()
    words = comments["text"].str.split().str.len().to_numpy()
    fits = (words >= _SHORTEST) & (words <= _LONGEST)
    # Unknown is not "no", but where abuse is ruled out, mockery is rare enough to stand around other text.
    harmless = fits & (labels["abusive"] <= _HARMLESS["abusive"])
    harmless &= np.isnan(labels["mocking"]) | (labels["mocking"] <= _HARMLESS["mocking"])
    insertable = fits & (words <= _LONGEST_INSERTED)
    corpora = comments["corpus"].to_numpy()
    groups = []
    for corpus in sorted(set(corpora)):
        for number in sorted(set(deal[corpora == corpus])):
            here = (corpora == corpus) & (deal == number)
            hosts = np.flatnonzero(here & harmless)
            if len(hosts) >= _FEWEST:
                inserted = [np.flatnonzero(here & insertable & (labels[label] >= 0.5)) for label in labels]
                groups.append((hosts, [rows for rows in inserted if len(rows)]))
    found = []
    # As many of each corpus, however many rows it has: what is learnt here is length, not style.
    siblings = Counter(corpora[hosts[0]] for hosts, _ in groups)
    for hosts, inserted in groups:
        for _ in range(round(recipe.composed / len(siblings) / siblings[corpora[hosts[0]]])):
            wanted, size, parts = rng.integers(*recipe.composed_words), 0, []
            while size < wanted:
                parts.append(int(hosts[rng.integers(len(hosts))]))
                size += words[parts[-1]]
            if inserted and rng.random() < recipe.composed_share:
                rows = inserted[rng.integers(len(inserted))]
                parts.insert(rng.integers(len(parts) + 1), int(rows[rng.integers(len(rows))]))
            found.append(np.array(parts))
    return Composed(
        [" ".join(texts[parts]) for parts in found],
        found,
        {label: np.array([_label(values[parts]) for parts in found]) for label, values in labels.items()},
    )


def _label(values):
    return values.max() if values.max() >= 0.5 else values.mean()
