"""Sets of labelled comments: read, checked, joined and split so that nothing leaks.

A data set is a folder with ``comments.csv`` (or ``.jsonl``) and, where there are articles,
``articles.csv`` (or ``.jsonl``), or a single comments file. ``data/README.md`` describes the columns.
A label is a number from 0 to 1 (the share of annotators who said yes); empty means *unknown*, which
is never the same as 0.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
import zlib
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from moderation.comments import (
    ARTICLE_LIMIT,
    ID_LIMIT,
    LABELS,
    TEXT_LIMIT,
    Article,
    DataError,
    DataErrors,
    need_columns,
    read_articles,
    read_rows,
    sha256,
    string_field,
)


@dataclass
class Dataset:
    """Labelled comments with the articles they stand under.

    Attributes
    ----------
    comments : pandas.DataFrame
        Columns ``corpus, id, article_id, parent_text, text`` (str) and ``abusive, mocking,
        off_topic`` (float, NaN where unknown). ``article_id`` is ``corpus/id``, or empty. There may be
        ``weight`` (float): how many comments a row stands for.
    articles : dict of str to Article
        By ``corpus/id``.
    sources : list of dict
        ``corpus, file, sha256, rows`` of each file read.
    problems : list of DataError
        The rows left out, where the caller asked for that.
    ngrams : dict of str to tuple of float
        Grades of words and pairs of words, see `moderation.grades.read_ngrams`; empty where none are used.
    subjects : dict of str to tuple of str
        Of words, see `moderation.subjects.read`; empty where none are used.
    neighbours : dict of str to tuple of str
        Of words, see `moderation.subjects.read_neighbours`; empty where none are used.
    """

    comments: pd.DataFrame
    articles: dict[str, Article] = field(default_factory=dict)
    sources: list[dict] = field(default_factory=list)
    problems: list[DataError] = field(default_factory=list)
    ngrams: dict[str, tuple[float, ...]] = field(default_factory=dict)
    subjects: dict[str, tuple[str, ...]] = field(default_factory=dict)
    neighbours: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def part(self, rows: np.ndarray) -> Dataset:
        """The comments at `rows`, with all articles."""
        comments = self.comments.iloc[rows].reset_index(drop=True)
        return replace(self, comments=comments)


def find_files(path: Path | str) -> tuple[Path, Path | None]:
    """The comments file and, where there is one, the articles file of a data set.

    Raises
    ------
    DataError
    """
    path = Path(path)
    if path.is_dir():
        for suffix in (".csv", ".jsonl"):
            if (path / f"comments{suffix}").exists():
                comments = path / f"comments{suffix}"
                break
        else:
            raise DataError(
                "holds neither comments.csv nor comments.jsonl", file=str(path), mend="Name the file itself"
            )
        folder = path
    else:
        comments, folder = path, path.parent
    for suffix in (".csv", ".jsonl"):
        if (folder / f"articles{suffix}").exists():
            return comments, folder / f"articles{suffix}"
    return comments, None


def read_dataset(path: Path | str, *, corpus: str | None = None, skip_bad_rows: bool = False) -> Dataset:
    """Read and check one folder or file of labelled comments.

    Parameters
    ----------
    path : path
        A folder with ``comments.csv``/``.jsonl`` (and ``articles.*``), or a comments file.
    corpus : str, optional
        Name of the data set; the folder's name by default.
    skip_bad_rows : bool
        Leave bad rows out and list them in ``problems``. Otherwise they raise, all together.

    Raises
    ------
    DataErrors
        Naming file, line, column and mend of every bad row.
    DataError
        When a file as a whole cannot be read.
    """
    comments_path, articles_path = find_files(path)
    corpus = corpus or (comments_path.parent.resolve().name or "data")
    problems: list[DataError] = []
    articles = read_articles(articles_path, problems) if articles_path else {}
    name, rows = str(comments_path), []
    seen: dict[str, int] = {}
    checked_header = False
    for line, row in read_rows(comments_path):
        try:
            if isinstance(row, DataError):
                raise row
            if not checked_header:
                need_columns(name, row, ("id", "text"))
                if not set(LABELS) & set(row) and comments_path.suffix == ".csv":
                    need_columns(name, row, ("id", "text", *LABELS))
                checked_header = True
            record = _labelled_row(row, name, line, articles if articles_path else None)
            if record["id"] in seen:
                raise DataError(
                    f"{record['id']!r} stands already on line {seen[record['id']]}",
                    file=name,
                    line=line,
                    column="id",
                    mend="Give every comment its own id",
                )
        except DataError as error:
            if error.line is None or error.line == 1 and comments_path.suffix == ".csv":
                raise
            problems.append(error)
            continue
        seen[record["id"]] = line
        rows.append(record)
    if problems and not skip_bad_rows:
        raise DataErrors(problems)
    if not rows:
        raise DataError("holds no usable row", file=name, mend="Add labelled comments")
    frame = pd.DataFrame(rows)
    frame.insert(0, "corpus", corpus)
    if "weight" in frame:
        frame["weight"] = frame["weight"].fillna(1.0)
    known = frame["article_id"] != ""
    frame.loc[known, "article_id"] = corpus + "/" + frame.loc[known, "article_id"]
    sources = [
        {"corpus": corpus, "file": file.name, "sha256": sha256(file), "rows": count}
        for file, count in ((comments_path, len(rows)), (articles_path, len(articles)))
        if file
    ]
    return Dataset(frame, {f"{corpus}/{key}": value for key, value in articles.items()}, sources, problems)


def _label(row, column, *, file, line):
    value = row.get(column, "")
    if value == "" or (isinstance(value, str) and not value.strip()):
        return float("nan")
    try:
        number = float(value) if not isinstance(value, bool) else float("nan")
    except (TypeError, ValueError):
        number = float("nan")
    if not 0 <= number <= 1:
        shown = str(value)
        raise DataError(
            f"{shown[:40]!r} is not a number from 0 to 1",
            file=file,
            line=line,
            column=column,
            mend="Write 0, 1 or a share between them; leave it empty if nobody judged it",
        )
    return number


def _weight(value, *, file, line):
    try:
        number = float(value) if value != "" and not isinstance(value, bool) else 1.0
    except (TypeError, ValueError):
        number = 0.0
    if not 0 < number < float("inf"):
        raise DataError(
            f"{str(value)[:40]!r} is not a number above 0",
            file=file,
            line=line,
            column="weight",
            mend="Write how many comments the row stands for; leave it empty for one",
        )
    return number


def _labelled_row(row, name, line, articles):
    record = {
        "id": string_field(row, "id", ID_LIMIT, file=name, line=line, required=True),
        "article_id": string_field(row, "article_id", ID_LIMIT, file=name, line=line).strip(),
        "parent_text": string_field(row, "parent_text", ARTICLE_LIMIT, file=name, line=line),
        "text": string_field(row, "text", TEXT_LIMIT, file=name, line=line, required=True),
    }
    for label in LABELS:
        record[label] = _label(row, label, file=name, line=line)
    if "weight" in row:
        record["weight"] = _weight(row["weight"], file=name, line=line)
    if articles is not None and record["article_id"] and record["article_id"] not in articles:
        raise DataError(
            f"{record['article_id']!r} is not in the articles file",
            file=name,
            line=line,
            column="article_id",
            mend="Add the article, or leave the field empty",
        )
    return record


def join(datasets: Iterable[Dataset]) -> Dataset:
    """One data set of several.

    Raises
    ------
    DataError
        When two of them have the same name.
    """
    datasets = list(datasets)
    names = [name for dataset in datasets for name in dataset.comments["corpus"].unique()]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"two data sets are called {twice[0]!r}", mend="Rename one of the folders")
    comments = pd.concat([dataset.comments for dataset in datasets], ignore_index=True)
    if "weight" in comments:
        # Sets without weights count each comment once.
        comments["weight"] = comments["weight"].fillna(1.0)
    return Dataset(
        comments,
        {key: article for dataset in datasets for key, article in dataset.articles.items()},
        [source for dataset in datasets for source in dataset.sources],
        [problem for dataset in datasets for problem in dataset.problems],
    )


# -------------------------------------------------------------------------------------- splitting

_WORD = re.compile(r"\w+")


def near_duplicates(texts: Iterable[str], *, overlap: float = 0.6) -> np.ndarray:
    """Cluster identical and near-identical texts.

    Texts are compared as sets of word triples, case and punctuation aside. Candidates are texts that
    share one of their eight smallest triple hashes (a bottom-k sketch [1]_); two of them join when the
    Jaccard similarity of their triples is at least `overlap`.

    Parameters
    ----------
    texts : iterable of n str
    overlap : float in 0..1

    Returns
    -------
    ndarray of int64, shape (n,)
        Texts with the same number belong together.

    References
    ----------
    .. [1] A. Z. Broder, "On the resemblance and containment of documents", SEQUENCES 1997.
    """
    # As arrays, since sets of a whole corpus would be most of the memory that reading it takes.
    triples: list[array] = []
    parent: list[int] = []
    first: dict[int, list[int]] = {}

    def root(i):
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for index, text in enumerate(texts):
        hashes = _triple_hashes(text)
        ordered = array("I", sorted(hashes))
        triples.append(ordered)
        parent.append(index)
        for value in ordered[:8]:
            # At most 20 candidates a hash keeps stock phrases from making this quadratic.
            others = first.setdefault(value, [])
            for other in others:
                if root(other) != root(index):
                    shared = len(hashes.intersection(triples[other]))
                    if shared >= overlap * (len(ordered) + len(triples[other]) - shared):
                        parent[root(index)] = root(other)
            if len(others) < 20:
                others.append(index)
    return np.array([root(i) for i in range(len(parent))], dtype=np.int64)


def _triple_hashes(text: str) -> set[int]:
    # Compatibility forms change nothing in ASCII, and take a third of the time.
    plain = text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()
    words = " ".join(_WORD.findall(plain)).encode("utf-8", "replace").split()
    if not words:
        return {zlib.crc32(text.encode("utf-8", "replace"))}
    # CRC is a poor hash for one triple, but two texts must share most of theirs to be joined.
    return {zlib.crc32(b" ".join(words[i : i + 3])) for i in range(max(1, len(words) - 2))}


def _groups(comments: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The unit that a split must not cut (the article where there is one, else the near-duplicates),
    and the near-duplicates themselves; two arrays of shape (n,)."""
    clusters = near_duplicates(comments["text"])
    digests = [
        hashlib.blake2b(text.encode(), digest_size=12).hexdigest() for text in comments["text"].to_numpy()[clusters]
    ]
    return np.where(comments["article_id"] != "", comments["article_id"], digests).astype(str), clusters


def _separate(clusters, in_test):
    """Row positions for training and testing; near-duplicates of a test row may not train."""
    repeats = np.isin(clusters, np.unique(clusters[in_test]))
    return np.flatnonzero(~in_test & ~repeats), np.flatnonzero(in_test)


def held_out(comments: pd.DataFrame, *, share: float = 0.2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Split off test rows so that the choice never changes as data is added.

    A group (an article, or a cluster of near-identical texts without one) is held out when the hash of
    its name says so: today's candidate and last year's model have then been kept from the same rows and
    can be compared on them.

    Parameters
    ----------
    comments : DataFrame, n rows
    share : float
        Of the groups, about.
    seed : int

    Returns
    -------
    train, test : ndarray of int64
        Row positions. Rows that nearly repeat a test row are in neither.
    """
    groups, clusters = _groups(comments)
    chosen = {
        group: int.from_bytes(hashlib.blake2b(f"{seed}:{group}".encode(), digest_size=8).digest(), "big")
        < share * 2**64
        for group in np.unique(groups)
    }
    return _separate(clusters, np.array([chosen[group] for group in groups], dtype=bool))


def folds(comments: pd.DataFrame, *, n_splits: int = 5, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cross-validation folds by group (see `held_out`), about equal in rows.

    Returns
    -------
    list of (train, test)
        As `held_out` returns.

    Raises
    ------
    DataError
        When there are fewer groups than folds.
    """
    groups, clusters = _groups(comments)
    names, sizes = np.unique(groups, return_counts=True)
    if len(names) < n_splits:
        raise DataError(f"{len(names)} articles or distinct texts cannot be cut into {n_splits} folds")
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of, load = {}, np.zeros(n_splits)
    for index in sorted(order, key=lambda i: -sizes[i]):
        fold = int(load.argmin())
        fold_of[names[index]] = fold
        load[fold] += sizes[index]
    assigned = np.array([fold_of[group] for group in groups])
    return [_separate(clusters, assigned == fold) for fold in range(n_splits)]
