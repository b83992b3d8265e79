"""Text normalisation that remembers where everything came from.

A comment is cut at white space and each piece is normalised alone, so that a piece's result can be kept and
reused, and so that the work grows linearly with the text. What the vectorisers see is the pieces joined by
one space; each piece knows its place in the comment as it was sent.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from dataclasses import dataclass

from moderation.lexicon import KNOWN_WORDS, MASKABLE

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
_REPEATED = re.compile(r"([^\W\d_])\1{2,}")
_URL = re.compile(
    r"[(\[<\"']*(?:https?://|www\.|[\w.+-]+@[\w-]+\.\w|[\w-]+(?:\.[\w-]+)*\.(?:com|net|org|info|biz|ru)(?![\w-]))",
    re.I,
)
_MENTION = re.compile(r"@\w+")
# Four or more single letters with one space between ("i d i o t") are one piece, else what has no white space.
_PIECE = re.compile(r"[^\w\s]*[^\W\d_](?: [^\W\d_]){3,}(?!\w)\S*|\S+")
_MASKED = re.compile(r"[a-z]+(?:[*#@$!%&\-_.]+[a-z]*)+|[a-z][*#$%&]{2,}[a-z]*")
_CORE = re.compile(r"[^\W_](?:.*[^\W_])?", re.S)

_LONGEST_WORD = 64  # characters; nothing longer hides a word, and nothing longer is kept for reuse
_LONGEST_MASKED = 16

URL, MENTION = "urlurl", "@name"


@dataclass(frozen=True, slots=True)
class Piece:
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
        normal = normal_piece(raw) if len(raw) <= _LONGEST_WORD else _normal_piece(raw)
        if normal:
            found.append(Piece(normal, *match.span()))
    return found


def normalise(text: str) -> str:
    """The comment as the vectorisers see it."""
    return " ".join(piece.text for piece in pieces(text))


def _normal_piece(raw: str) -> str:
    raw = "".join(raw.split())
    if raw.isascii():
        if raw.isalpha():
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
        if any("a" <= c <= "z" for c in text) or _core(latin) in KNOWN_WORDS:
            text = latin
    if MENTION not in text and len(text) <= _LONGEST_WORD and not text.isalpha():
        text = _reveal(text)
    return _squeeze(text)


normal_piece = functools.lru_cache(maxsize=65_536)(_normal_piece)


def _core(text):
    match = _CORE.search(text)
    return match.group() if match else ""


def _reveal(text):
    """Undo letters hidden behind digits, signs or separators, where a known word comes out."""
    if not any("a" <= c <= "z" for c in text):
        bare = text.strip("\"'().,;:?!*_-")
        plain = bare.translate(_LEET)
        return text.replace(bare, plain) if bare and plain in MASKABLE else text
    bare = text.strip("\"'().,;:?*_-")
    if not bare or bare.isalpha():
        return text
    for candidate in (bare.rstrip("!"), bare):
        plain = candidate.translate(_LEET)
        if plain != candidate and plain.isalpha() and _squeeze(plain) in KNOWN_WORDS and not candidate.isdigit():
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


@functools.lru_cache(maxsize=10_000)
def unmask(word: str) -> str:
    """The one insult or swear word that "f**k" or "id*ot" stands for, or nothing."""
    letters = sum(c.isalpha() for c in word)
    if not letters or not 3 <= len(word) <= _LONGEST_MASKED:
        return ""
    pattern = re.compile(re.sub(r"[^a-z]+", lambda run: f"[a-z]{{0,{len(run.group())}}}", word))
    # A mask usually keeps the length; where several words fit, the listed order (commonest first) decides.
    fits = [w for w in MASKABLE if pattern.fullmatch(w)]
    same = [w for w in fits if len(w) == len(word)]
    return (same or fits or [""])[0] if letters >= 2 or same else ""


def _squeeze(text):
    """Bring letters repeated three times or more down to the spelling that is a known word."""
    if not _REPEATED.search(text):
        return text
    once, twice = _REPEATED.sub(r"\1", text), _REPEATED.sub(r"\1\1", text)
    core = _core(once)
    return once if core in KNOWN_WORDS and _core(twice) not in KNOWN_WORDS else twice
