"""Grades that this project gave to comments of the training corpora, beside the labels that these came with.

``data/grades.csv`` holds no text: a row names a comment by its corpus and the BLAKE2b hash of its text, and grades how
abusive, sarcastic and condescending it is, by the guide in ``data/README.md``. The corpora's own labels draw their
lines differently from each other; the grades draw one line through all of them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from moderation.comments import DataError

COLUMNS = ("corpus", "text_blake2b", "abusive", "sarcastic", "condescending")


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
        CSV with the columns `COLUMNS`; grades are numbers from 0 to 1.

    Returns
    -------
    DataFrame, n rows
        With the columns ``graded_abusive`` and ``graded_mocking`` (float in 0..1, NaN where not graded). Sarcasm is
        mocking; condescension alone counts half.

    Raises
    ------
    DataError
        When the file lacks a column.
    """
    grades = pd.read_csv(path, dtype={"corpus": str, "text_blake2b": str})
    missing = [column for column in COLUMNS if column not in grades]
    if missing:
        raise DataError(f"has no column {missing[0]!r}", file=str(path), line=1, mend=f"It needs {', '.join(COLUMNS)}")
    known = {
        (row.corpus, row.text_blake2b): (row.abusive, min(1.0, row.sarcastic + row.condescending / 2))
        for row in grades.itertuples()
    }
    unknown = (np.nan, np.nan)
    found = [known.get((row.corpus, digest(row.text)), unknown) for row in comments.itertuples()]
    values = np.array(found, dtype=float).reshape(-1, 2)
    return comments.assign(graded_abusive=values[:, 0], graded_mocking=values[:, 1])
