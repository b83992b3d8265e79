"""Comments that the model has nothing to say about: too little text, or not in English.

A score for them would pretend: the model was trained and measured on English alone.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

from moderation.cues import Reading
from moderation.normal import words as listed_words

SCORED, TOO_SHORT, UNSUPPORTED_LANGUAGE = "scored", "too_short", "unsupported_language"

# With these, 1 of 10,000 comments of the training corpora that are in English is refused, and of those in other
# languages only some of four words or fewer get through.
_COMMON = 0.3  # share of common English words from which nothing else is asked
_KNOWN = 0.5  # share of words that the model has met
_FEWEST_WORDS = 5  # less says too little about its language
# Names, addresses and disguised words hold these among their letters: where they are not known, that says nothing.
_SIGNS = frozenset("0123456789@$*_./")
_AROUND = "\"'().,;:?!*_-"


def status(found: Sequence[Reading], vocabulary: Container[str]) -> str:
    """Whether a comment can be scored.

    Parameters
    ----------
    found : sequence of Reading
        Of its pieces.
    vocabulary : container of str
        The words that the model has met in training.

    Returns
    -------
    str
        `SCORED`; `TOO_SHORT` where no word is left beside links, names and signs; `UNSUPPORTED_LANGUAGE`.
    """
    words: list[str] = []
    common = 0
    for piece in found:
        words += piece.spoken
        common += piece.common
        # A long comment need not be read to its end.
        if common >= 20 and common >= _COMMON * len(words):
            return SCORED
    if sum(map(len, words)) < 4 and not any(len(word) > 1 for word in words):
        return TOO_SHORT
    if common >= _COMMON * len(words):
        return SCORED
    text = "".join(words)
    if sum(not c.isascii() for c in text) > len(text) / 3:  # another script; accents are gone by now
        return UNSUPPORTED_LANGUAGE
    listed = listed_words()
    known = unknown = 0
    for piece in found:
        of_piece = sum(word in vocabulary or word in listed for word in piece.spoken)
        known += of_piece
        if _SIGNS.isdisjoint(piece.text.strip(_AROUND)):
            unknown += len(piece.spoken) - of_piece
    enough = known + unknown >= _FEWEST_WORDS
    return UNSUPPORTED_LANGUAGE if enough and known < _KNOWN * (known + unknown) else SCORED
