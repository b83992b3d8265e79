"""Text normalisation that remembers where everything came from.

A comment is cut at white space and each piece is normalised alone, so that a piece's result can be kept and
reused, and so that the work grows linearly with the text. What the vectorisers see is the pieces joined by
one space; each piece knows its place in the comment as it was sent.
"""

from __future__ import annotations

import functools
import math
import re
import unicodedata
from importlib import resources
from typing import NamedTuple

from moderation.lexicon import IDENTITY, INSULT, MASKABLE, PROFANITY

# Look-alikes of Latin letters, used only inside words that also hold Latin letters or look-alikes alone.
# A selection of Unicode's confusables (UTS #39): lower-case letters that people really substitute.
_LOOKALIKES = str.maketrans(
    "авекмнортухсіјѕԁԛԝоіαβεικνορτυχγηωհոսցօᴀʙᴄᴅᴇɢʜɪᴊᴋʟᴍɴᴏᴘʀᴛᴜᴠᴡʏᴢɑɡıłøđ",
    "abekmhoptyxcijsdqwoiabeikvoptuxynwhnugoabcdeghijklmnoprtuvwyzagilod",
)
_PUNCTUATION = str.maketrans(
    {
        "‘": "'",
        "’": "'",
        "‚": "'",
        "‛": "'",
        "`": "'",
        "´": "'",
        "“": '"',
        "”": '"',
        "„": '"',
        "«": '"',
        "»": '"',
    }
    | {"–": "-", "—": "-", "‐": "-", "‑": "-", "…": "..."}
)
_DROPPED = {"Mn", "Me", "Cf", "Cc", "Co", "Cn", "Cs"}
_LEET = str.maketrans("0134578@$!|€+", "oieastbasiiet")
_LEET_L = str.maketrans("0134578@$!|€+", "oleastbasllet")
_QUANTITY = re.compile(r"\d[\d.,]*(?:am|pm|st|nd|rd|th|s|k|m|b|bn|mm|cm|km|kg|g|x|yrs?|hrs?)")
_REPEATED = re.compile(r"([^\W\d_])\1{2,}")
_URL = re.compile(
    r"[(\[<\"']*(?:https?://|www\.|[\w.+-]+@[\w-]+\.\w|[\w-]+(?:\.[\w-]+)*\.(?:com|net|org|info|biz|ru)(?![\w-]))",
    re.I,
)
_MENTION = re.compile(r"@\w+")
# Four or more single letters with one space between ("i d i o t") are one piece, else what has no white space.
_PIECE = re.compile(r"[^\w\s]*[^\W\d_](?: [^\W\d_]){3,}(?!\S*\w)\S*|\S+")
# Letters on both sides, or a run of signs that ends the word ("f***"): "as-" hides nothing.
_MASKED = re.compile(
    r"[a-z]+(?:[*#@$!%&\-_.]+[a-z]+)+[*#$%&]*|[a-z]+[*#$%&]{2,}|(?<![*#$%&_a-z])[a-z]{3,}[*#$%&](?!\w)"
)
_CORE = re.compile(r"[^\W_](?:.*[^\W_])?", re.S)

LONGEST_WORD = 64  # characters; nothing longer hides a word, and nothing longer is kept for reuse
_LONGEST_MASKED = 16

URL, MENTION = "urlurl", "@name"


def reused(maxsize: int, longest: int = LONGEST_WORD):
    """As `functools.lru_cache`, for functions of a text; of texts longer than `longest` nothing is kept, since they
    hardly come again and would fill the memory.

    Parameters
    ----------
    maxsize : int
        Results kept.
    longest : int
        Characters.
    """

    def decorate(function):
        kept = functools.lru_cache(maxsize)(function)

        @functools.wraps(function)
        def call(text, *rest):
            return (kept if len(text) <= longest else function)(text, *rest)

        return call

    return decorate


class Piece(NamedTuple):
    """A run of characters without white space, normalised, and its place in the original comment."""

    text: str
    begin: int
    end: int


def pieces(text: str) -> list[Piece]:
    """Cut and normalise a comment.

    Parameters
    ----------
    text : str

    Returns
    -------
    list of Piece
        Places are code points of `text`; a piece that normalises to nothing is left out.
    """
    found = []
    for match in _PIECE.finditer(text):
        raw = match.group()
        if " " in raw:
            found += _spaced(raw, match.start())
            continue
        normal = normal_piece(raw)
        if normal:
            found.append(Piece(normal, *match.span()))
    return found


def cut(text: str) -> list[str]:
    """A comment cut into what `pieces` normalises, each alone."""
    return _PIECE.findall(text)


def normal_pieces(raw: str) -> tuple[str, ...]:
    """The texts of the pieces that come of one cut."""
    if " " in raw:
        return tuple(piece.text for piece in _spaced(raw, 0))
    normal = normal_piece(raw)
    return (normal,) if normal else ()


def normalise(text: str) -> str:
    """The comment as the vectorisers see it."""
    return " ".join(piece.text for piece in pieces(text))


_AROUND = "\"'().,;:?!_-"  # a word between these hides no letters


@reused(8_192)
def normal_piece(raw: str) -> str:
    """One piece normalised; what was spaced out is closed up."""
    raw = "".join(raw.split())
    if raw.isascii():
        if raw.isalpha() or raw.strip(_AROUND).isalpha() and not _URL.match(raw):
            return _squeeze(raw.lower())
        text = "".join(c for c in raw if c >= " " and c != "\x7f")
    else:
        text = unicodedata.normalize("NFKD", raw.translate(_PUNCTUATION)).translate(_PUNCTUATION)
        # Accents, invisible and control characters go; so does white space that the decomposition made.
        text = "".join(c for c in text if unicodedata.category(c) not in _DROPPED and not c.isspace())
    if _URL.match(text) or "://" in text:
        return URL
    text = _MENTION.sub(MENTION, text) if text.startswith("@") else text
    text = text.lower()
    if not text.isascii():
        latin = text.translate(_LOOKALIKES)
        if any("a" <= c <= "z" for c in text) or _core(latin) in words():
            text = latin
    if MENTION not in text and len(text) <= LONGEST_WORD and not text.isalpha():
        text = _reveal(text)
    return _squeeze(text)


@functools.cache
def words() -> dict[str, float]:
    """Words that hidden letters may stand for, with the cost of taking letters for one of them.

    Those of the word lists and those that stand in at least 8 of the training comments, the commonest first.
    The cost is minus the logarithm of the frequency that Zipf's law gives the rank.
    """
    listed = resources.files("moderation").joinpath("words.txt").read_text(encoding="ascii").split()
    scale = math.log(len(listed))
    return {word: math.log(rank * scale) for rank, word in enumerate(listed, 1)}


_LONGEST_LISTED = 20
_UNLISTED, _UNLISTED_LETTER = 9.0, 2.0  # cost of a word that is not listed: dearer than two listed ones


def split_words(letters: str) -> list[str]:
    """The likeliest words that a run of lower-case letters without white space is made of.

    By dynamic programming over words of at most 20 letters (Norvig, "Natural Language Corpus Data", 2009), in time
    that grows linearly with the run.
    """
    costs, back, listed = [0.0], [0], words()
    for end in range(1, len(letters) + 1):
        best, cut = math.inf, end - 1
        for begin in range(max(0, end - _LONGEST_LISTED), end):
            cost = listed.get(letters[begin:end])
            cost = costs[begin] + (_UNLISTED + _UNLISTED_LETTER * (end - begin) if cost is None else cost)
            if cost < best:
                best, cut = cost, begin
        costs.append(best)
        back.append(cut)
    found, end = [], len(letters)
    while end:
        found.append(letters[back[end] : end])
        end = back[end]
    return found[::-1]


def _spaced(raw, begin):
    """The pieces of single letters with a space after each: "y o u f o o l" is two words."""
    letters = [(index, letter) for index, letter in enumerate(raw) if letter != " "]
    normal = [normal_piece(letter) for _, letter in letters]
    first = next(index for index, letter in enumerate(normal) if letter.isalpha())
    last = first
    while last + 1 < len(normal) and normal[last + 1].isalpha() and letters[last + 1][0] == letters[last][0] + 2:
        last += 1
    run = "".join(normal[first : last + 1])
    if len(run) != last + 1 - first:  # a letter that normalises to several
        return [Piece(normal_piece(raw), begin, begin + len(raw))]
    found, place = [], first
    for word in split_words(run):
        stop = place + len(word)
        start = 0 if place == first else letters[place][0]
        end = len(raw) if stop > last else letters[stop - 1][0] + 1
        text = word
        if start == 0:
            text = "".join(normal[:first]) + text
        if end == len(raw):
            text += "".join(normal[last + 1 :])
        found.append(Piece(_squeeze(text), begin + start, begin + end))
        place = stop
    return found


def _core(text):
    match = _CORE.search(text)
    return match.group() if match else ""


def _reveal(text):
    """Undo letters hidden behind digits, signs or separators, where a known word comes out."""
    if not any("a" <= c <= "z" for c in text):
        bare = text.strip("\"'().,;:?!*_-")
        plain = bare.translate(_LEET)
        return text.replace(bare, plain) if plain in MASKABLE and not bare.isdigit() else text
    if text.strip(_AROUND).isalpha():
        return text
    bare = text.strip("\"'().,;:?*_-")
    for candidate in (bare.rstrip("!"), bare):
        if not candidate or _QUANTITY.fullmatch(candidate):
            continue
        for table in (_LEET, _LEET_L):
            plain = candidate.translate(table)
            if plain != candidate and plain.isalpha() and _squeeze(plain) in words():
                return text.replace(candidate, _squeeze(plain))
    for separator in ".-_*":
        parts = bare.split(separator)
        if len(parts) > 2 and all(len(part) == 1 for part in parts):
            plain = "".join(parts).translate(_LEET)
            if plain.isalpha():
                return text.replace(bare, plain)
    match = _MASKED.search(text)
    if match:
        word = unmask(match.group())
        if word:
            return text.replace(match.group(), word)
    return text


@functools.lru_cache(maxsize=4_096)
def unmask(word: str) -> str:
    """The one insult or swear word that "f**k" or "id*ot" stands for, or nothing."""
    letters = sum(c.isalpha() for c in word)
    if not letters or not 3 <= len(word) <= _LONGEST_MASKED:
        return ""
    # Nearly every hyphenated word looks like a mask and is none: the ends tell at once.
    runs = re.split("[^a-z]+", word)
    listed = _maskable_by_first_letter().get(runs[0][:1], ())
    likely = [w for w in listed if w.startswith(runs[0]) and w.endswith(runs[-1]) and len(w) <= len(word)]
    if not likely:
        return ""
    pattern = re.compile(re.sub(r"[^a-z]+", lambda run: f"[a-z]{{0,{len(run.group())}}}", word))
    # A mask usually keeps the length; where several words fit, the listed order (commonest first) decides.
    fits = [w for w in likely if pattern.fullmatch(w)]
    same = [w for w in fits if len(w) == len(word)]
    return (same or fits or [""])[0] if letters >= 2 or same else ""


_IDENTITY = frozenset(IDENTITY)
_EDGES = "\"'().,;:?!*-_[]"
_IDENTITY_TERM = re.compile(rf"(?<![^\W_])(?:{'|'.join(sorted(IDENTITY))})(?![^\W_])")

#: What stands for a name of an identity group, for one and for many.
SOMEGROUP, SOMEGROUPS = "somegroup", "somegroups"


@reused(8_192)
def without_identity(piece: str, one: str = SOMEGROUP, many: str = SOMEGROUPS) -> str:
    """A normalised piece with every name of an identity group exchanged for one and the same.

    What is abusive of one group is of another, and naming one is not: a model that cannot tell them apart cannot
    treat them differently (as counterfactual token fairness asks; Garg et al., AIES 2019).
    """
    word = piece.strip(_EDGES)
    if word.isalpha():  # nearly always, and then there is nothing to search
        return piece.replace(word, many if _many(word) else one) if word in _IDENTITY else piece
    return _IDENTITY_TERM.sub(lambda match: many if _many(match.group()) else one, piece)


def _many(term):
    return term.endswith("s") and term[:-1] in _IDENTITY


@functools.cache
def _maskable():
    listed = words()
    return (*MASKABLE, *sorted({*INSULT, *PROFANITY} - {*MASKABLE}, key=lambda word: listed.get(word, math.inf)))


@functools.cache
def _maskable_by_first_letter():
    found: dict[str, list[str]] = {"": [*_maskable()]}
    for word in _maskable():
        found.setdefault(word[0], []).append(word)
    return found


def _squeeze(text):
    """Bring letters repeated three times or more down to the spelling that is a known word."""
    if not _REPEATED.search(text):
        return text
    once, twice = _REPEATED.sub(r"\1", text), _REPEATED.sub(r"\1\1", text)
    return once if _core(once) in words() and _core(twice) not in words() else twice
