"""Scoring a file of comments: any size, in bounded memory.

Everything here runs in one process; `moderation.cluster` scores the same rows, in the same batches, on many.
"""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from moderation import parquet
from moderation.comments import (
    ID_LIMIT,
    LABELS,
    Article,
    Comment,
    DataError,
    need_columns,
    string_field,
    text_problem,
)
from moderation.comments import read_articles as read_text_articles
from moderation.comments import read_rows as read_text_rows
from moderation.language import SCORED
from moderation.scorer import Scorer

COLUMNS = ("id", *LABELS, "flagged")
BATCH = 1_000  #: comments that are scored together; the same for every engine, so that the last digits are too
REMEMBERED = 20  #: problems that are kept in full; the others are counted

_HEADER = ",".join(COLUMNS) + "\n"
_OTHER_COLUMNS = ("article_id", "parent_text", "thread")

#: A comment's id, and the comment where it can be scored.
Row = tuple[str, Comment | None]


@dataclass
class Lines:
    """Scores of some rows, as lines of CSV, and what became of the rows."""

    text: str = ""
    scored: int = 0
    flagged: int = 0
    not_scored: int = 0
    refused: Counter = field(default_factory=Counter)  #: by `moderation.language.status`


@dataclass
class Summary:
    """What became of the rows of a file."""

    scored: int = 0
    flagged: int = 0
    not_scored: int = 0
    not_written: int = 0
    unknown_articles: int = 0
    reused: int = 0  #: rows whose scores an interrupted run had left
    refused: Counter = field(default_factory=Counter)  #: by `moderation.language.status`
    problems: list[DataError] = field(default_factory=list)

    def note(self, problem: DataError) -> None:
        if len(self.problems) < REMEMBERED:
            self.problems.append(problem)

    def add(self, lines: Lines) -> None:
        self.scored += lines.scored
        self.flagged += lines.flagged
        self.not_scored += lines.not_scored
        self.refused.update(lines.refused)


def score_file(
    scorer: Scorer,
    source: Path | str,
    target: Path | str,
    articles: dict[str, Article] | None = None,
    rows: Iterable[tuple[int | str, dict | DataError]] | None = None,
) -> Summary:
    """Score the comments of a file into a file with the columns `COLUMNS`.

    A comment that cannot be scored keeps its row, with empty scores, and is told in the summary.

    Parameters
    ----------
    scorer : Scorer
    source : path
        CSV, JSON Lines or Parquet, see `read_rows`; ``thread`` may hold a JSON list of texts.
    target : path
        Written whole or not at all; Parquet where its name says so, otherwise CSV; "-" is standard output.
    articles : dict of str to Article, optional
    rows : iterable, optional
        As `read_rows` gives, where the caller has opened the source.

    Raises
    ------
    DataError
        When the file cannot be read any further. Nothing is written then.
    """
    summary = Summary()
    with writer(target) as write:
        for batch in batches(comments(source, articles or {}, summary, rows)):
            lines = score_rows(scorer, batch)
            summary.add(lines)
            write(lines.text)
    return summary


def score_rows(scorer: Scorer, rows: Sequence[Row]) -> Lines:
    """Scores of at most `BATCH` rows."""
    good = {index: comment for index, (_, comment) in enumerate(rows) if comment is not None}
    found, statuses = scorer.probabilities_and_statuses(list(good.values()))
    flags = scorer.flags(found)
    values = {
        index: (scores, flagged)
        for index, scores, flagged, status in zip(good, found, flags, statuses, strict=True)
        if status == SCORED
    }
    text = io.StringIO()
    csv_writer = csv.writer(text, lineterminator="\n")
    lines = Lines(scored=len(values), not_scored=len(rows) - len(values))
    lines.refused.update(status for status in statuses if status != SCORED)
    for index, (id_, _) in enumerate(rows):
        if index not in values:
            csv_writer.writerow([id_, *[""] * (len(COLUMNS) - 1)])
            continue
        scores, flagged = values[index]
        written = ["" if np.isnan(score) else f"{score:.6g}" for score in scores]
        csv_writer.writerow([id_, *written, int(flagged.any())])
        lines.flagged += int(flagged.any())
    lines.text = text.getvalue()
    return lines


def one_thread() -> threadpool_limits:
    """Let linear algebra use one thread, as a context; to be entered before a model is loaded.

    With several, long sums are cut at other places and the last digit can be another, which would depend on how many
    cores a machine has. These sums are too short for several threads to be faster.
    """
    return threadpool_limits(limits=1, user_api="blas")


# ---------------------------------------------------------------------------------------- in


def read_rows(source: Path | str) -> Iterator[tuple[int | str, dict | DataError]]:
    """Rows of a file of comments: Parquet where its name says so, otherwise see `moderation.comments.read_rows`."""
    if parquet.is_parquet(source):
        return parquet.read_rows(source, ("id", "text"), _OTHER_COLUMNS)
    return read_text_rows(source)


def read_articles(path: Path | str) -> dict[str, Article]:
    """Articles by id, from any of the formats that comments come in."""
    columns = ("id", "title", "body")
    rows = parquet.read_rows(path, columns) if parquet.is_parquet(path) else None
    return read_text_articles(path, rows=rows)


def batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """The rows in lists of `BATCH`."""
    while batch := list(islice(rows, BATCH)):
        yield batch


def comments(
    source: Path | str,
    articles: dict[str, Article],
    summary: Summary,
    rows: Iterable[tuple[int | str, dict | DataError]] | None = None,
) -> Iterator[Row]:
    """The comments of a file, in order; the summary tells what was wrong with rows.

    Parameters
    ----------
    source, articles, rows
        As for `score_file`.
    summary : Summary
        Gets the problems, the rows without a place in the output and the unknown articles.

    Yields
    ------
    Row

    Raises
    ------
    DataError
    """
    name, checked = str(source), False
    for line, row in read_rows(source) if rows is None else rows:
        if isinstance(row, DataError):
            summary.not_written += 1
            summary.note(row)
            continue
        if not checked:
            need_columns(name, row, ("id", "text"))
            checked = True
        id_ = ""
        try:
            id_ = string_field(row, "id", ID_LIMIT, file=name, line=line)
            problem = text_problem(row.get("text"))
            if problem:
                raise DataError(problem, file=name, line=line, column="text", mend="It was not scored")
            article_id = string_field(row, "article_id", ID_LIMIT, file=name, line=line).strip()
            parent = row.get("parent_text", "")
            if parent and text_problem(parent):
                raise DataError(
                    text_problem(parent), file=name, line=line, column="parent_text", mend="It was not scored"
                )
            thread = _thread(row.get("thread", ""), name, line)
        except DataError as error:
            summary.note(error)
            yield id_, None
            continue
        article = articles.get(article_id)
        if article_id and article is None:
            summary.unknown_articles += 1
        yield id_, Comment(row["text"], id_, article, parent, thread)


def _thread(value, name, line):
    if not value:
        return ()
    try:
        texts = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        texts = None
    if not isinstance(texts, list) or any(text_problem(text) for text in texts):
        raise DataError("is not a JSON list of texts", file=name, line=line, column="thread", mend="It was not scored")
    return tuple(texts)


# ---------------------------------------------------------------------------------------- out


@contextmanager
def writer(target: Path | str) -> Iterator[Callable[[str], object]]:
    """Write lines of scores to a file that is there whole or not at all; gives what takes the lines."""
    if str(target) == "-":
        sys.stdout.write(_HEADER)
        yield sys.stdout.write
        return
    target = Path(target)
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        if parquet.is_parquet(target):
            with closing(parquet.Writer(draft, target)) as file:
                yield file.write
        else:
            with open(draft, "w", encoding="utf-8", newline="") as file:
                file.write(_HEADER)
                yield file.write
        draft.replace(target)
    except OSError as error:
        raise DataError(
            f"cannot be written ({error.strerror or type(error).__name__})", file=str(target), mend="Check the folder"
        ) from None
    finally:
        draft.unlink(missing_ok=True)
