"""Figures in the documentation: each benchmark writes between two marks of its own."""

from __future__ import annotations

from pathlib import Path


def put(document: Path, begin: str, end: str, figures: str) -> None:
    """Put a benchmark's figures into a document, in place of those that stand between two marks.

    Raises
    ------
    ValueError
        When the marks are not there.
    """
    text = document.read_text(encoding="utf-8")
    before, rest = text.split(begin)
    document.write_text(f"{before}{begin}\n{figures}\n\n{rest[rest.index(end) :]}", encoding="utf-8")
