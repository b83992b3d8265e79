"""Parquet files of comments, articles and scores: the only module that needs pyarrow, an optional dependency."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from moderation.comments import LABELS, DataError, need_columns

SUFFIX = ".parquet"
BATCH = 1_000  #: rows that are read at once
GROUP = 100_000  #: rows of a row group that is written

MISSING = "Parquet needs pyarrow; install it: pip install 'newsroom-moderation[dask]'"


def is_parquet(path: Path | str) -> bool:
    return Path(path).suffix.lower() == SUFFIX


def _pyarrow(name: str) -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise DataError(MISSING, file=name) from None
    return pyarrow


def _open(path: Path | str) -> tuple[Any, Any]:
    pyarrow = _pyarrow(str(path))
    try:
        # Without pre_buffer and with a buffer, pages are read as they are needed, not whole row groups at once.
        return pyarrow, pyarrow.parquet.ParquetFile(str(path), pre_buffer=False, buffer_size=1 << 20)
    except FileNotFoundError:
        raise DataError("there is no such file", file=str(path), mend="Check the path") from None
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read as Parquet ({type(error).__name__})", file=str(path)) from None


def count_rows(path: Path | str) -> int:
    """How many rows a file has, from its footer.

    Raises
    ------
    DataError
    """
    _, file = _open(path)
    with file:
        return file.metadata.num_rows


def read_rows(path: Path | str, needed: Sequence[str], more: Sequence[str] = ()) -> Iterator[tuple[str, dict]]:
    """Rows of a Parquet file, one at a time, as `moderation.comments.read_rows` gives those of other files.

    Parameters
    ----------
    path : path
    needed, more : sequence of str
        Columns that must be there, and those that are read where they are there.

    Yields
    ------
    (place, row) : (str, dict)
        ``row 7``, counted from 1, and the row's fields; null is an empty string.

    Raises
    ------
    DataError
        When the file cannot be read, or a column is missing.
    """
    pyarrow, file = _open(path)
    with file:
        names = file.schema_arrow.names
        need_columns(str(path), dict.fromkeys(names), needed, line=None)
        columns = [name for name in (*needed, *more) if name in names]
        number = 0
        try:
            for batch in file.iter_batches(BATCH, columns=columns):
                for row in batch.to_pylist():
                    number += 1
                    yield f"row {number}", {name: "" if value is None else value for name, value in row.items()}
        except (OSError, pyarrow.ArrowException, UnicodeDecodeError) as error:
            raise DataError(
                f"cannot be read as Parquet ({type(error).__name__})", file=str(path), line=f"row {number + 1}"
            ) from None


class Writer:
    """Writes lines of scores, as CSV has them, to a Parquet file.

    The file depends on the lines alone, not on how many come at once.

    Parameters
    ----------
    path : path
        A draft; the caller gives it its name when it is whole.
    target : path
        What errors name.
    """

    def __init__(self, path: Path, target: Path):
        pyarrow = _pyarrow(str(target))
        fields = [("id", pyarrow.string()), *((label, pyarrow.float64()) for label in LABELS)]
        self._schema = pyarrow.schema([*fields, ("flagged", pyarrow.bool_())])
        self._file = pyarrow.parquet.ParquetWriter(str(path), self._schema, compression="zstd")
        self._table, self._rows = pyarrow.table, []  # type: ignore[var-annotated]

    def write(self, lines: str) -> None:
        for row in csv.reader(io.StringIO(lines, newline="")):
            self._rows.append(row)
            if len(self._rows) == GROUP:
                self._flush()

    def _flush(self):
        ids, *scores, flagged = zip(*self._rows, strict=True)
        columns = [
            ids,
            *([float(value) if value else None for value in column] for column in scores),
            [value == "1" if value else None for value in flagged],
        ]
        self._file.write_table(self._table([list(column) for column in columns], schema=self._schema))
        self._rows = []

    def close(self) -> None:
        if self._rows:
            self._flush()
        self._file.close()
