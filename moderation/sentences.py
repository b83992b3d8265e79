"""Where the sentences of a comment are."""

from __future__ import annotations

import re

_END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s)|\n")
_WORD = re.compile(r"\w")


def sentences(text: str, limit: int) -> list[tuple[int, int]]:
    """Places of the sentences, without the white space around them.

    Parameters
    ----------
    text : str
    limit : int
        How many at most; the last one then takes the rest.

    Returns
    -------
    list of (int, int)
        Code points, end exclusive, in order. What holds no letter or digit belongs to the sentence before it.
    """
    found: list[tuple[int, int]] = []
    begin = 0
    for end in [*(match.end() for match in _END.finditer(text)), len(text)]:
        part = text[begin:end]
        if not part.strip():
            continue
        first, last = begin + len(part) - len(part.lstrip()), begin + len(part.rstrip())
        begin = end
        if found and (len(found) == limit or not _WORD.search(part)):
            found[-1] = (found[-1][0], last)
        else:
            found.append((first, last))
    return found
