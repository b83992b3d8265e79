"""Scoring a file of comments: any size, in bounded memory."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from moderation.comments import (
    ID_LIMIT,
    LABELS,
    Article,
    Comment,
    DataError,
    need_columns,
    read_rows,
    string_field,
    text_problem,
)
from moderation.language import SCORED
from moderation.scorer import Scorer

COLUMNS = ("id", *LABELS, "flagged")
BATCH = 1_000
REMEMBERED = 20  #: problems that are kept in full; the others are counted


@dataclass
class Summary:
    """What became of the rows of a file."""

    scored: int = 0
    flagged: int = 0
    not_scored: int = 0
    not_written: int = 0
    unknown_articles: int = 0
    refused: Counter = field(default_factory=Counter)  #: by `moderation.language.status`
    problems: list[DataError] = field(default_factory=list)

    def note(self, problem: DataError) -> None:
        if len(self.problems) < REMEMBERED:
            self.problems.append(problem)


def score_file(
    scorer: Scorer,
    source: Path | str,
    target: Path | str,
    articles: dict[str, Article] | None = None,
    lines: Iterable[str] | None = None,
) -> Summary:
    """Score the comments of a file into a CSV file with the columns `COLUMNS`.

    A comment that cannot be scored keeps its row, with empty scores, and is told in the summary.

    Parameters
    ----------
    scorer : Scorer
    source : path
        CSV or JSON Lines, see `moderation.comments.read_rows`; ``thread`` may hold a JSON list of texts.
    target : path
        Written whole or not at all; "-" is standard output.
    articles : dict of str to Article, optional
    lines : iterable of str, optional
        The lines of `source`, where the caller has opened it.

    Raises
    ------
    DataError
        When the file cannot be read any further. Nothing is written then.
    """
    summary = Summary()
    with _writer(target) as writer:
        writer.writerow(COLUMNS)
        rows = _comments(source, articles or {}, summary, lines)
        while batch := list(islice(rows, BATCH)):
            good = [index for index, (_, comment) in enumerate(batch) if comment is not None]
            found, statuses = scorer.probabilities_and_statuses([batch[index][1] for index in good])
            summary.refused.update(status for status in statuses if status != SCORED)
            flags = scorer.flags(found)
            values = {
                index: (scores, flagged)
                for index, scores, flagged, status in zip(good, found, flags, statuses, strict=True)
                if status == SCORED
            }
            for index, (id_, _) in enumerate(batch):
                if index not in values:
                    writer.writerow([id_, *[""] * (len(COLUMNS) - 1)])
                    continue
                scores, flagged = values[index]
                written = ["" if np.isnan(score) else f"{score:.6g}" for score in scores]
                writer.writerow([id_, *written, int(flagged.any())])
                summary.flagged += int(flagged.any())
            summary.scored += len(values)
            summary.not_scored += len(batch) - len(values)
    return summary


def _comments(source, articles, summary, lines) -> Iterator[tuple[str, Comment | None]]:
    name, checked = str(source), False
    for line, row in read_rows(source, lines):
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


@contextmanager
def _writer(target):
    if str(target) == "-":
        yield csv.writer(sys.stdout, lineterminator="\n")
        return
    target = Path(target)
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with open(draft, "w", encoding="utf-8", newline="") as file:
            yield csv.writer(file, lineterminator="\n")
        draft.replace(target)
    except OSError as error:
        raise DataError(f"cannot be written ({error.strerror})", file=str(target), mend="Check the folder") from None
    finally:
        draft.unlink(missing_ok=True)
