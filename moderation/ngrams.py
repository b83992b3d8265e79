"""Character n-grams of pieces of text: what they are, and the numbers of those that the model knows."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from moderation.normal import without_identity

PLACE = np.dtype(np.int32)
_MANY = 12  # pieces from which it is quicker to look all of them up at once


def nameless(piece: str) -> str:
    """A normalised piece without the names of identity groups in it."""
    return piece if without_identity(piece) == piece else without_identity(piece, "", "")


def character_ngrams(piece: str, shortest: int, longest: int) -> list[str]:
    """The n-grams that scikit-learn's ``char_wb`` finds in one piece without names of identity groups."""
    piece = nameless(piece)
    if not piece:
        return []
    padded = f" {piece} "
    size = len(padded)
    found = []
    for n in range(shortest, longest + 1):
        if n >= size:
            found.append(padded)
            break  # a piece shorter than n is counted once, whole
        found += [padded[begin : begin + n] for begin in range(size - n + 1)]
    return found


class KnownCharacters:
    """Looks the character n-grams of pieces up.

    Parameters
    ----------
    places : dict of str to int
        The n-grams that are known, each with its number.
    lengths : (int, int)
        Shortest and longest n-gram.
    """

    def __init__(self, places: dict[str, int], lengths: tuple[int, int]):
        self.places, self.lengths = places, lengths
        self._bits = 63 // lengths[1]  # for a character of an n-gram that is one number

    def find(self, pieces: Sequence[str]) -> list[bytes]:
        """Numbers of the known n-grams of each piece.

        Parameters
        ----------
        pieces : sequence of n str
            Normalised.

        Returns
        -------
        list of n bytes
            In order, as int32 (`PLACE`), an n-gram that comes twice twice.
        """
        if len(pieces) < _MANY or self._table[0].max() >> self._bits:
            return [self._one(piece) for piece in pieces]
        return self._together([f" {bare} " if bare else "" for bare in map(nameless, pieces)])

    def _one(self, piece):
        found = [self.places.get(gram) for gram in character_ngrams(piece, *self.lengths)]
        return array("i", sorted([place for place in found if place is not None])).tobytes()

    def _together(self, padded):
        sizes = np.array([len(each) for each in padded])
        piece, size = np.repeat(np.arange(len(sizes)), sizes), np.repeat(sizes, sizes)
        left = np.repeat(np.cumsum(sizes), sizes) - np.arange(len(piece))  # characters of the piece from here on
        alphabet, by_length = self._table
        letters = alphabet[np.minimum(_codes("".join(padded)), len(alphabet) - 1)]
        keys, found = letters, [np.zeros(0, dtype=np.int64)]
        for n in range(1, self.lengths[1] + 1):
            if n > 1:
                keys = keys[:-1] << self._bits | letters[n - 1 :]
            if n not in by_length:
                continue
            known, places = by_length[n]
            # What is shorter than the shortest n-gram is one, whole.
            begins = np.flatnonzero((left if n >= self.lengths[0] else np.where(size == n, left, 0))[: len(keys)] >= n)
            asked = keys[begins]
            at = np.minimum(np.searchsorted(known, asked), len(known) - 1)
            hit = known[at] == asked
            found.append((piece[begins[hit]] << 32) + places[at[hit]])
        numbers = np.sort(np.concatenate(found))
        counts = np.bincount(numbers >> 32, minlength=len(sizes))
        data = numbers.astype(PLACE).tobytes()  # the lower half of each
        ends = (np.cumsum(counts) * PLACE.itemsize).tolist()
        return [data[begin:end] for begin, end in itertools.pairwise([0, *ends])]

    @cached_property
    def _table(self) -> tuple[np.ndarray, dict[int, tuple[np.ndarray, np.ndarray]]]:
        """Numbers of characters by code point, one more for all that come after; and by their length the known n-grams
        as numbers, in order, with their places."""
        codes = _codes("".join([f"{gram}\n" for gram in self.places]))  # none has a line break in it
        seen = np.bincount(codes) > 0
        alphabet = np.append(np.cumsum(seen) * seen, 0)
        letters, ends = alphabet[codes], np.flatnonzero(codes == ord("\n"))
        sizes = np.diff(ends, prepend=-1) - 1
        places = np.fromiter(self.places.values(), np.int64, len(self.places))
        found = {}
        for n in np.flatnonzero(np.bincount(sizes)).tolist():
            of_length = np.flatnonzero(sizes == n)
            keys = np.zeros(len(of_length), dtype=np.int64)
            for before in range(n, 0, -1):
                keys = keys << self._bits | letters[ends[of_length] - before]
            order = np.argsort(keys)
            found[n] = keys[order], places[of_length[order]]
        return alphabet, found


def _codes(text):
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.int64)
