"""Comments and articles: what they are, what makes one unusable, and reading them row by row.

The format is described in ``data/README.md``. Sets of labelled comments are in `moderation.dataset`.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from moderation import labels

LABELS = labels.NAMES
TEXT_LIMIT = 20_480  #: bytes of UTF-8, the limit that comment systems know from Perspective
ARTICLE_LIMIT = 200_000  #: bytes of UTF-8, title and body together
ID_LIMIT = 200  #: characters

# A field may hold a whole article; the csv module's own limit is 131,072 characters.
_FIELD_LIMIT = 4 * ARTICLE_LIMIT


class DataError(ValueError):
    """Labelled data that cannot be used, with the place and the mend.

    Attributes
    ----------
    file, column : str
    line : int, str or None
        Line of the file where the row begins, counted from 1; ``row 7`` in a file that has no lines.
    """

    def __init__(self, problem, *, file="", line=None, column="", mend=""):
        self.file, self.line, self.column, self.problem, self.mend = file, line, column, problem, mend
        where = f"line {line}" if isinstance(line, int) else line
        place = ", ".join(part for part in (file, where, column and f"column {column}") if part)
        super().__init__(". ".join(part for part in (f"{place}: {problem}" if place else problem, mend) if part))


class DataErrors(DataError):
    """Several bad rows, reported together.

    Attributes
    ----------
    errors : list of DataError
    """

    def __init__(self, errors):
        self.errors = list(errors)
        ValueError.__init__(self, "\n".join(str(error) for error in self.errors))


@dataclass(frozen=True, slots=True)
class Article:
    """An article as readers see it."""

    title: str = ""
    body: str = ""

    @property
    def text(self) -> str:
        return f"{self.title}\n{self.body}".strip()


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment to be scored, with what it stands under.

    ``thread`` holds the texts of earlier, accepted comments under the same article.
    """

    text: str
    id: str = ""
    article: Article | None = None
    parent: str = ""
    thread: tuple[str, ...] = ()


def text_problem(text) -> str | None:
    """Why `text` cannot be scored or trained on, or None."""
    if not isinstance(text, str):
        return "is not a string"
    if not text.strip():
        return "is empty"
    return string_problem(text, TEXT_LIMIT)


def string_problem(text: str, limit: int) -> str | None:
    """Why no text field may hold `text` (it may be empty), or None."""
    if "\0" in text:
        return "holds a NUL character"
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        return "holds a lone surrogate, which is no character"
    if size > limit:
        return f"has {size:,} bytes of UTF-8; the limit is {limit:,}"
    return None


# ---------------------------------------------------------------------------------------- reading


def read_rows(path: Path | str, stream: Iterable[str] | None = None) -> Iterator[tuple[int, dict | DataError]]:
    """Rows of a CSV or JSON Lines file, one at a time.

    Parameters
    ----------
    path : path
        ``.jsonl`` and ``.ndjson`` are JSON Lines; anything else is CSV with a header line.
    stream : iterable of str, optional
        Lines to read instead of the file's; `path` then only names them.

    Yields
    ------
    (line, row) : (int, dict or DataError)
        The line on which the row begins and its fields, or what is wrong with it.

    Raises
    ------
    DataError
        When the file as a whole cannot be read: not there, not UTF-8, no header.
    """
    path = Path(path)
    name = str(path)
    try:
        if stream is not None:
            yield from _parse(name, stream, path.suffix)
            return
        # newline="" keeps line breaks inside quoted fields; utf-8-sig drops the mark that Excel writes.
        with open(path, encoding="utf-8-sig", newline="") as file:
            yield from _parse(name, file, path.suffix)
    except FileNotFoundError:
        raise DataError("there is no such file", file=name, mend="Check the path") from None
    except IsADirectoryError:
        raise DataError("is a folder", file=name, mend="Name a file in it") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"is not UTF-8 (byte {error.object[error.start]:#04x})", file=name, mend="Save it as UTF-8"
        ) from None


def _parse(name, lines, suffix):
    yield from (_parse_jsonl if suffix in {".jsonl", ".ndjson"} else _parse_csv)(name, lines)


def _parse_jsonl(name, lines):
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            yield (
                number,
                DataError(f"is not JSON ({error})", file=name, line=number, mend="Write one object a line"),
            )
            continue
        if not isinstance(row, dict):
            yield (
                number,
                DataError("is not a JSON object", file=name, line=number, mend="Write one object a line"),
            )
            continue
        yield number, {key: "" if value is None else value for key, value in row.items()}


def _parse_csv(name, lines):
    csv.field_size_limit(_FIELD_LIMIT)
    reader = csv.reader(lines, strict=True)
    try:
        header = next(reader, None)
    except csv.Error as error:
        raise DataError(f"the header cannot be read ({error})", file=name, line=1) from None
    if not header:
        raise DataError("is empty", file=name, mend="The first line names the columns")
    header = [column.strip() for column in header]
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise DataError(f"names the column {twice[0]!r} twice", file=name, line=1, mend="Rename one of them")
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader, None)
        except csv.Error as error:
            # After a quoting error the reader has lost its place: what follows would be guesswork.
            raise DataError(
                f"cannot be read as CSV ({error})",
                file=name,
                line=line,
                mend='Quote as in RFC 4180: " becomes ""',
            ) from None
        if fields is None:
            return
        if not fields:
            continue
        if len(fields) != len(header):
            yield (
                line,
                DataError(
                    f"has {len(fields)} fields where the header has {len(header)}",
                    file=name,
                    line=line,
                    mend="Put quotes around fields that hold commas or line breaks",
                ),
            )
            continue
        yield line, dict(zip(header, fields, strict=True))


def need_columns(name, row, needed, line=1):
    missing = [column for column in needed if column not in row]
    if missing:
        raise DataError(
            f"has no column {missing[0]!r}",
            file=name,
            line=line,
            mend=f"It needs the columns {', '.join(needed)}; it has {', '.join(map(str, row)) or 'none'}",
        )


def string_field(row, column, limit, *, file, line, required=False):
    value = row.get(column, "")
    if isinstance(value, (int, float)) and not isinstance(value, bool) and column in {"id", "article_id"}:
        value = str(value)  # JSON Lines may number its rows
    if not isinstance(value, str):
        problem: str | None = "is not a string"
    elif required and not value.strip():
        problem = "is empty"
    else:
        problem = string_problem(value, limit)
    if problem:
        mend = "Give it a value" if problem == "is empty" else "Correct or remove the row"
        raise DataError(problem, file=file, line=line, column=column, mend=mend)
    return value


def read_articles(
    path: Path | str,
    problems: list[DataError] | None = None,
    rows: Iterable[tuple[int | str, dict | DataError]] | None = None,
) -> dict[str, Article]:
    """Articles by id.

    Parameters
    ----------
    path : path
        CSV or JSON Lines with the columns ``id, title, body``.
    problems : list, optional
        Where bad rows are put; without it the first bad row raises.
    rows : iterable, optional
        As `read_rows` gives, to be read instead of the file's; `path` then only names them.

    Raises
    ------
    DataError
    """
    name, articles = str(path), {}
    for line, row in read_rows(path) if rows is None else rows:
        try:
            if isinstance(row, DataError):
                raise row
            need_columns(name, row, ("id", "title", "body"))
            key = string_field(row, "id", ID_LIMIT, file=name, line=line, required=True)
            article = Article(
                string_field(row, "title", ARTICLE_LIMIT, file=name, line=line),
                string_field(row, "body", ARTICLE_LIMIT, file=name, line=line),
            )
            if not article.text:
                raise DataError(
                    "title and body are both empty",
                    file=name,
                    line=line,
                    column="title",
                    mend="Give it a title",
                )
            if key in articles:
                raise DataError(f"{key!r} is there twice", file=name, line=line, column="id", mend="Remove one")
        except DataError as error:
            if problems is None or error.line == 1:
                raise
            problems.append(error)
            continue
        articles[key] = article
    return articles


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
