"""Grades that this project gave to comments of the training corpora, beside the labels that these came with, and to
words.

``data/grades.csv`` holds no text: a row names a comment by its corpus and the BLAKE2b hash of its text, and grades how
abusive, sarcastic and condescending it is, by the guide in ``data/README.md``. The corpora's own labels draw their
lines differently from each other; the grades draw one line through all of them.

``data/sentences.csv`` says the same of the sentences of such comments, by their places: which of them it is that makes
a comment what it is.

``data/ngrams.csv`` says of words and pairs of words, without any comment, how much they sound like hostility, a sneer
or courtesy: what speakers of the language know of the many n-grams that stand in too few comments to be learned.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from moderation.comments import need_columns

COLUMNS = ("corpus", "text_blake2b", "abusive", "sarcastic", "condescending")
SENTENCE_COLUMNS = ("corpus", "text_blake2b", "begin", "end", "abusive", "sarcastic", "condescending")
NGRAM_COLUMNS = ("ngram", "hostile", "sneering", "courteous")
_HIGHEST = 9  #: grade of an n-gram


def digest(text: str) -> str:
    """What names a text in the file of grades: 16 hexadecimal digits."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def attach(comments: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Comments with their grades.

    Parameters
    ----------
    comments : DataFrame, n rows
        As `Dataset.comments`.
    path : path
        CSV with the columns `COLUMNS`; grades are numbers from 0 to 1, or empty.

    Returns
    -------
    DataFrame, n rows
        With the columns ``graded_abusive`` and ``graded_mocking`` (float in 0..1, NaN where not graded), the latter
        as `mocking` has it.

    Raises
    ------
    DataError
        When the file lacks a column.
    """
    grades = _read(path, COLUMNS)
    known = {
        (row.corpus, row.text_blake2b): (row.abusive, mocking(row.sarcastic, row.condescending))
        for row in grades.itertuples()
    }
    unknown = (np.nan, np.nan)
    found = [known.get(key, unknown) for key in _keys(comments)]
    values = np.array(found, dtype=float).reshape(-1, 2)
    return comments.assign(graded_abusive=values[:, 0], graded_mocking=values[:, 1])


def mocking(sarcastic: float, condescending: float) -> float:
    """Sarcasm is mocking; condescension alone counts half."""
    return min(1.0, sarcastic + condescending / 2)


def attach_sentences(comments: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Comments with the grades of their sentences.

    Parameters
    ----------
    comments : DataFrame, n rows
        As `Dataset.comments`.
    path : path
        CSV with the columns `SENTENCE_COLUMNS`: code points, end exclusive, and grades from 0 to 1.

    Returns
    -------
    DataFrame, n rows
        With the column ``graded_sentences``: for each sentence its begin and end, and how abusive and how mocking it
        is; empty where none are graded.

    Raises
    ------
    DataError
        When the file lacks a column.
    """
    known: dict[tuple[str, str], list[tuple[int, int, float, float]]] = {}
    for row in _read(path, SENTENCE_COLUMNS).itertuples():
        values = (row.begin, row.end, row.abusive, mocking(row.sarcastic, row.condescending))
        known.setdefault((row.corpus, row.text_blake2b), []).append(values)
    return comments.assign(graded_sentences=[known.get(key, []) for key in _keys(comments)])


def _read(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    found = pd.read_csv(path, dtype={"corpus": str, "text_blake2b": str})
    need_columns(str(path), found, columns)
    return found


def _keys(comments: pd.DataFrame) -> list[tuple[str, str]]:
    """By which grades name the comments."""
    return [(row.corpus, digest(row.text)) for row in comments.itertuples()]


def read_ngrams(path: Path) -> dict[str, tuple[float, ...]]:
    """Grades of words and pairs of words.

    Parameters
    ----------
    path : path
        CSV with the columns `NGRAM_COLUMNS`; grades are numbers from 0 to 9.

    Returns
    -------
    dict of str to tuple of float
        Hostile, sneering and courteous, from 0 to 1.

    Raises
    ------
    DataError
        When the file lacks a column.
    """
    # "null" and "nan" are words here.
    found = pd.read_csv(path, dtype={"ngram": str}, keep_default_na=False)
    need_columns(str(path), found, NGRAM_COLUMNS)
    values = found[list(NGRAM_COLUMNS[1:])].to_numpy(dtype=float) / _HIGHEST
    return dict(zip(found["ngram"], map(tuple, values.tolist()), strict=True))


def hints(names: Sequence[str], ngrams: dict[str, tuple[float, ...]]) -> sparse.csr_matrix:
    """The directions in which coefficients of n-grams may move together: one for each grade of words, and one for each
    grade of pairs of words.

    A grade counts squared: a grave insult says far more of a comment than several words that are faintly hostile.

    Parameters
    ----------
    names : sequence of n str
        Words and pairs.
    ngrams : dict of str to tuple of float
        As `read_ngrams` gives them; n-grams that are not there have no grade.

    Returns
    -------
    csr_matrix of float, shape (n, 6)
    """
    grades = len(NGRAM_COLUMNS) - 1
    rows = [row for row, name in enumerate(names) if name in ngrams]
    values = np.square([ngrams[names[row]] for row in rows], dtype=float).reshape(-1, grades)
    first = np.array([grades if " " in names[row] else 0 for row in rows], dtype=np.int64)
    columns = first[:, None] + np.arange(grades)
    places = np.repeat(rows, grades).astype(np.int64), columns.ravel()
    matrix = sparse.csr_matrix((values.ravel(), places), shape=(len(names), 2 * grades))
    matrix.eliminate_zeros()
    return matrix


def scales(word: float, pair: float) -> np.ndarray:
    """What the directions of `hints` are multiplied by."""
    return np.repeat([word, pair], len(NGRAM_COLUMNS) - 1).astype(float)
