"""What words are about: politics, schools, a country; and which others stand near them.

Words that stand near each other in a few thousand comments say little of the rarer ones, and nothing of names that
were not among them. ``data/word_subjects.csv`` says from general knowledge what a word makes one think of, out of the
subjects of ``data/subjects.csv``, and ``data/word_neighbours.csv`` beside which words it is likely to stand.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from moderation.comments import DataError, need_columns

#: What the first subject of a word weighs, the second, and so on; of unit length together in each word.
_WEIGHTS = (1.0, 0.8, 0.6, 0.5, 0.4)
_RARE = 1e-3  #: share of texts, added to each subject's


def read(words: Path, subjects: Path) -> dict[str, tuple[str, ...]]:
    """The subjects of words.

    Parameters
    ----------
    words : path
        CSV with the columns ``word``, as `moderation.topic.stems` gives it, and ``subjects``, the most fitting first,
        with spaces between them.
    subjects : path
        CSV with the column ``subject``: all that there are.

    Returns
    -------
    dict of str to tuple of str

    Raises
    ------
    DataError
        When a column is missing, a word stands there twice, has no subject or too many, or one that is not among the
        others.
    """
    known = {row["subject"] for row in _rows(subjects, ("subject",))}
    result = _by_word(words, "subjects")
    for word, of_word in result.items():
        if not 0 < len(of_word) <= len(_WEIGHTS) or not known.issuperset(of_word):
            raise DataError(
                f"{word!r} has the subjects {' '.join(of_word)!r}",
                file=str(words),
                mend=f"Give it one to {len(_WEIGHTS)} of those in {subjects.name}",
            )
    return result


def read_neighbours(path: Path) -> dict[str, tuple[str, ...]]:
    """Words that are likely to stand near a word.

    Parameters
    ----------
    path : path
        CSV with the columns ``word`` and ``neighbours``, all as `moderation.topic.stems` gives them, the likeliest
        first, with spaces between them.

    Returns
    -------
    dict of str to tuple of str

    Raises
    ------
    DataError
        When a column is missing, or a word stands there twice, or has no neighbour or itself for one.
    """
    result = _by_word(path, "neighbours")
    for word, near in result.items():
        if not near or word in near:
            raise DataError(f"{word!r} has the neighbours {' '.join(near)!r}", file=str(path), mend="Give it others")
    return result


def _by_word(path, column):
    result: dict[str, tuple[str, ...]] = {}
    for row in _rows(path, ("word", column)):
        if row["word"] in result:
            raise DataError(f"{row['word']!r} stands there twice", file=str(path), mend="Take one of its lines out")
        result[row["word"]] = tuple(row[column].split())
    return result


def _rows(path, needed):
    with open(path, encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, restval="")
        need_columns(str(path), rows.fieldnames or (), needed)
        return list(rows)


class Subjects:
    """The subjects of words, as numbers.

    Parameters
    ----------
    of_words : dict of str to sequence of str
        As `read` gives.

    Attributes
    ----------
    names : list of str
    rows : dict of str to int
        Where a word stands in the arrays.
    places : ndarray of int16, shape (words, 5)
        Places in `names`, filled up with their number.
    weights : ndarray of float32, shape (words, 5)
    idf_ : ndarray of float32, shape (subjects,)
        The rarer a subject among texts, the more it says.
    """

    def __init__(self, of_words: dict[str, tuple[str, ...]]):
        self.names = sorted({name for names in of_words.values() for name in names})
        place = {name: number for number, name in enumerate(self.names)}
        self.rows = {word: row for row, word in enumerate(sorted(of_words))}
        self.places = np.full((len(self.rows), len(_WEIGHTS)), len(self.names), dtype=np.int16)
        self.weights = np.zeros((len(self.rows), len(_WEIGHTS)), dtype=np.float32)
        for word, row in self.rows.items():
            names = of_words[word]
            self.places[row, : len(names)] = [place[name] for name in names]
            self.weights[row, : len(names)] = _WEIGHTS[: len(names)]
        self.weights /= np.linalg.norm(self.weights, axis=1, keepdims=True)

    def __getstate__(self):
        # One string: joblib would read a dictionary entry by entry.
        return {**self.__dict__, "rows": "\n".join(self.rows)}

    def __setstate__(self, state):
        words = state["rows"].split("\n") if state["rows"] else []
        self.__dict__.update(state | {"rows": {word: row for row, word in enumerate(words)}})

    def fit(self, texts: Iterable[np.ndarray]) -> Subjects:
        """Learn from texts, each as `sums` gives it, how rare the subjects are."""
        count, those = 0, np.zeros(len(self.names))
        for sums in texts:
            count += bool(sums.any())
            those += sums > 0
        self.idf_ = np.log(1 / (those / max(count, 1) + _RARE)).astype(np.float32)
        return self

    def sums(self, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """How much words touch each subject; float64, shape (subjects,).

        Parameters
        ----------
        rows : ndarray of int, shape (words,)
            Of `places`.
        weights : ndarray of float, shape (words,)
        """
        values = (weights[:, None] * self.weights[rows]).ravel()
        return np.bincount(self.places[rows].ravel(), values, minlength=len(self.names) + 1)[: len(self.names)]
