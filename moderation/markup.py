"""Markup removed from a text, with the way back: where each character stood in what was sent.

Tags are found as the HTML standard's tokeniser finds them, so that what is left is what a browser shows. The standard
library's parser would do, but needs quadratic time for unfinished tags: ten seconds for a comment of 20 kB.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape

#: Elements that begin a new line; between others, "id<b>iot</b>" is one word, as it looks to a reader.
_BREAKING = re.compile(
    "address|article|aside|blockquote|br|dd|details|div|dl|dt|figcaption|figure|footer|h[1-6]|header|hr|li|main|nav|"
    "ol|p|pre|section|summary|table|td|th|tr|ul"
)
#: Elements whose content no reader sees.
_HIDDEN = {name: re.compile(rf"</{name}(?=[\s/>])", re.I) for name in ("script", "style", "template", "title")}
_MARK = re.compile("[<&]")
_TAG = re.compile(r"</?([a-zA-Z][^\s/>]*+)(?:=\s*+(?:\"[^\"]*+\"|'[^']*+')|[^>=]|=(?!\s*+[\"']))*+>")
_COMMENT = re.compile(r"<!--(?:-?>|.*?--!?>)", re.S)
_BOGUS_COMMENT = re.compile(r"<(?:[!?]|/(?![a-zA-Z]|\Z))[^>]*+>")
_OPENS = re.compile(r"<(?:[!?]|/?[a-zA-Z]|/[^a-zA-Z])")
_REFERENCE = re.compile(r"&(?:#[xX][0-9a-fA-F]++|#[0-9]++|[0-9A-Za-z]{1,32});?")
_LONGEST_NUMBER = 10  # characters of "&#1114111;"; Python would refuse to read a number of thousands of digits


@dataclass(frozen=True, slots=True)
class Plain:
    """What a reader sees of a text, and where it stood.

    Attributes
    ----------
    text : str
    begins, ends : sequence of int
        For each code point of `text`: the code points of the source that it stands for, end exclusive.
    """

    text: str
    begins: list[int] | range
    ends: list[int] | range

    def place(self, begin: int, end: int) -> tuple[int, int]:
        """Where ``text[begin:end]``, which must not be empty, stood in the source."""
        return self.begins[begin], self.ends[end - 1]


def as_is(source: str) -> Plain:
    """A text that holds no markup."""
    return Plain(source, range(len(source)), range(1, len(source) + 1))


def strip_html(source: str) -> Plain:
    """Remove tags, comments and what is never shown; resolve character references.

    Parameters
    ----------
    source : str
        HTML, however broken. What an unfinished tag or comment swallows in a browser is swallowed here.

    Returns
    -------
    Plain
        Begins and ends never decrease.
    """
    kept = _Kept()
    place = 0
    while place < len(source):
        mark = _MARK.search(source, place)
        stop = mark.start() if mark else len(source)
        kept.text(source, place, stop)
        if mark is None:
            break
        if mark.group() == "&":
            place = _reference(kept, source, stop)
            continue
        if not _OPENS.match(source, stop):
            kept.text(source, stop, stop + 1)  # a sign, as in "3 < 4"
            place = stop + 1
            continue
        found = (_COMMENT if source.startswith("<!--", stop) else _BOGUS_COMMENT).match(source, stop)
        tag = None if found else _TAG.match(source, stop)
        if tag:
            found, name = tag, tag[1].lower()
            if _BREAKING.fullmatch(name):
                kept.break_line(tag.start(), tag.end())
            if name in _HIDDEN and source[stop + 1] != "/":
                found = _HIDDEN[name].search(source, tag.end())
        if found is None:
            break  # unfinished: the rest is not shown
        # Of a hidden element the end tag is read next.
        place = found.end() if found is tag or tag is None else found.start()
    return kept.result()


def _reference(kept, source, begin):
    found = _REFERENCE.match(source, begin)
    if found is None:
        kept.text(source, begin, begin + 1)
        return begin + 1
    raw = found.group()
    number = raw.startswith("&#") and len(raw) > _LONGEST_NUMBER
    kept.replaced("\ufffd" if number else unescape(raw), begin, found.end())
    return found.end()


class _Kept:
    """The characters that stay, with their places."""

    def __init__(self):
        self._characters, self._begins, self._ends = [], [], []
        self._break = None

    def text(self, source, begin, end):
        self._add(source[begin:end], range(begin, end), range(begin + 1, end + 1))

    def replaced(self, text, begin, end):
        self._add(text, [begin] * len(text), [end] * len(text))

    def break_line(self, begin, end):
        self._break = self._break or (begin, end)

    def _add(self, text, begins, ends):
        if not text:
            return
        if self._break and self._characters and self._characters[-1] != "\n":
            self._characters.append("\n")
            self._begins.append(self._break[0])
            self._ends.append(self._break[1])
        self._break = None
        self._characters += text
        self._begins += begins
        self._ends += ends

    def result(self):
        return Plain("".join(self._characters), self._begins, self._ends)
