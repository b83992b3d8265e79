"""From text to numbers: TF-IDF of word and character n-grams, and cues.

A name of an identity group is no n-gram of its own; it counts in word pairs, where all such names are the same one.

`Vectors` computes exactly the numbers of the scikit-learn transformer in `moderation.transformer`, several times
faster: a character n-gram never crosses white space, so the n-grams of a piece of text are looked up once and reused
wherever the piece comes again.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np

from moderation.cues import Reading, Scaling, cue_values, reading
from moderation.ngrams import PLACE, KnownCharacters
from moderation.normal import (
    LONGEST_WORD,
    SOMEGROUP,
    SOMEGROUPS,
    cut,
    normal_pieces,
    reused,
    without_identity,
)

WORDS, CHARACTERS, CUES = "words", "characters", "cues"

_TOKEN = re.compile(r"[^\W_]+(?:'[^\W_]+)*|!+|\?+|\.{2,}|\"|[^\x00-\x7f\w\s]")
_NUMBER = re.compile(r"\d+")
NAMELESS = frozenset([SOMEGROUP, SOMEGROUPS])
LENGTHS = (3, 5)  #: of the shortest and longest character n-gram, where nothing else is asked for


@reused(8_192)
def piece_tokens(piece: str) -> tuple[str, ...]:
    """The words, and the punctuation that carries tone, of one normalised piece."""
    piece = without_identity(piece)
    if piece.isalpha():
        return (piece,)
    found = _TOKEN.findall(piece)
    return tuple([token[:2] if token[0] in "!?." else _NUMBER.sub("0", token) for token in found])


@dataclass(frozen=True)
class FeatureSpace:
    """What training found of the features; they are numbered words, then characters, then cues.

    Attributes
    ----------
    words, characters : dict of str to int
        The word and character n-grams that are known, each numbered from 0.
    word_idf, character_idf : ndarray of float64
        Inverse document frequencies of these.
    lengths : (int, int)
        Shortest and longest character n-gram.
    scaling : Scaling
        Of the cues.
    cue_weight : float
        Of the scaled cues, against 1 for the n-grams.
    """

    words: dict[str, int]
    characters: dict[str, int]
    word_idf: np.ndarray
    character_idf: np.ndarray
    lengths: tuple[int, int]
    scaling: Scaling
    cue_weight: float

    def __getstate__(self):
        # joblib reads a pickled dictionary entry by entry in Python; one long string is read at once.
        joined = {name: "\n".join(getattr(self, name)) for name in ("words", "characters")}
        return self.__dict__ | joined

    def __setstate__(self, state):
        for name in ("words", "characters"):
            grams = state[name].split("\n")
            state[name] = dict(zip(grams, range(len(grams)), strict=True))
        self.__dict__.update(state)


@dataclass(slots=True)
class Known(Reading):
    """A normalised piece with everything that is looked up for it, once.

    Attributes
    ----------
    first : str
        The first of its tokens, as `piece_tokens` gives them; empty where it has none.
    after : dict of str to int or None
        The tokens that make a known pair with its last one, with the pairs' feature numbers.
    ids : tuple of int
        Feature numbers of the tokens and pairs of tokens that are known.
    letters : bytes or None
        Places in their vocabulary of the known character n-grams, in order, as int32; joined, they are one array.
        None until `Vectors` has looked them up, those of all the comments that it is given at once.
    """

    first: str
    after: dict[str, int] | None
    ids: tuple[int, ...]
    letters: bytes | None = None


def _lookups(
    space: FeatureSpace,
) -> tuple[Callable[[str], Known], Callable[[str], Known | tuple[Known, ...]]]:
    """What looks a piece up, normalised or as it was sent, and keeps what it found.

    Neither holds the object that they serve, which is then gone with its last user and not when garbage is collected.
    """
    words = space.words
    followers: dict[str, dict[str, int]] = {}
    for gram, place in words.items():
        first, _, second = gram.partition(" ")
        if second:
            followers.setdefault(first, {})[second] = place

    @reused(65_536)
    def known(piece: str) -> Known:
        read, tokens = reading(piece), piece_tokens(piece)
        of_words = [words.get(token) for token in tokens if token not in NAMELESS]
        of_words += [words.get(f"{first} {second}") for first, second in itertools.pairwise(tokens)]
        return Known(
            read.text,
            read.words,
            read.classes,
            read.phrases,
            read.link,
            read.number,
            read.spoken,
            read.common,
            tokens[0] if tokens else "",
            followers.get(tokens[-1]) if tokens else None,
            tuple([place for place in of_words if place is not None]),
        )

    # Once more by the letters as they were sent, so that a word seen before costs one look.
    @functools.lru_cache(65_536)
    def sent(raw: str) -> Known | tuple[Known, ...]:
        found = tuple(map(known, normal_pieces(raw)))
        return found[0] if len(found) == 1 else found

    return known, sent


class Vectors:
    """What the transformer of a feature space computes, from arrays.

    Parameters
    ----------
    space : FeatureSpace

    Attributes
    ----------
    n_words, n_ngrams, n_features : int
        How many features are words, n-grams of either sort, and all.
    """

    def __init__(self, space: FeatureSpace):
        self._words = space.words
        self.n_words = len(self._words)
        self.n_ngrams = self.n_words + len(space.characters)
        self.n_features = self.n_ngrams + len(space.scaling.mean)
        self._idf = np.concatenate([space.word_idf, space.character_idf])
        self._scaling, self._cue_weight = space.scaling, space.cue_weight
        self._characters = KnownCharacters(space.characters, space.lengths)
        self.known, self._sent = _lookups(space)

    def read(self, text: str) -> list[Known]:
        """The pieces of a comment, normalised, with everything that is looked up for them."""
        found: list[Known] = []
        for raw in cut(text):
            if len(raw) > LONGEST_WORD:
                found += map(self.known, normal_pieces(raw))
                continue
            some = self._sent(raw)
            if isinstance(some, Known):
                found.append(some)
            else:
                found += some
        return found

    def ngrams(self, found: list[Known]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The known n-grams of a comment, one entry an occurrence.

        Returns
        -------
        ids, first, last : ndarray of int64, shape (occurrences,)
            Feature number, and the first and last piece that the n-gram touches.
        """
        letters = self._letters([found])
        pieces_of = np.repeat(np.arange(len(found)), [len(part) // PLACE.itemsize for part in letters])
        words: list[int] = []
        first: list[int] = []
        last: list[int] = []
        after: dict[str, int] | None = None
        before = 0
        for index, piece in enumerate(found):
            words += piece.ids
            first += [index] * len(piece.ids)
            last += [index] * len(piece.ids)
            if piece.first:
                if after and piece.first in after:
                    words.append(after[piece.first])
                    first.append(before)
                    last.append(index)
                after, before = piece.after, index
        return (
            self._numbers(words, letters),
            np.concatenate([np.array(first, dtype=np.int64), pieces_of]),
            np.concatenate([np.array(last, dtype=np.int64), pieces_of]),
        )

    def _numbers(self, words: list[int], letters: list[bytes]) -> np.ndarray:
        """Feature numbers of n-grams: of the words, then of the characters."""
        return np.concatenate(
            [np.array(words, dtype=np.int64), np.frombuffer(b"".join(letters), PLACE) + self.n_words], dtype=np.int64
        )

    def _letters(self, read: list[list[Known]]) -> list[bytes]:
        """What `Known.letters` is of the pieces of some comments."""
        found = [piece for each in read for piece in each]
        letters = [piece.letters for piece in found]
        if None in letters:
            new = [piece for piece in found if piece.letters is None]
            texts = list(dict.fromkeys([piece.text for piece in new]))
            of_text = dict(zip(texts, self._characters.find(texts), strict=True))
            for piece in new:
                piece.letters = of_text[piece.text]
            letters = [piece.letters for piece in found]
        return cast("list[bytes]", letters)

    def _word_ids(self, found: list[Known]) -> list[int]:
        """As `ngrams`, the feature numbers of the words and word pairs alone."""
        words: list[int] = []
        after: dict[str, int] | None = None
        for piece in found:
            words += piece.ids
            if first := piece.first:
                if after and first in after:
                    words.append(after[first])
                after = piece.after
        return words

    def weigh(self, ids: np.ndarray, rows: np.ndarray | None, n_rows: int):
        """TF-IDF weights of n-gram occurrences.

        Parameters
        ----------
        ids, rows : ndarray of int64, shape (occurrences,)
            Feature number and comment of each occurrence; no comments (None) where there is only one.
        n_rows : int

        Returns
        -------
        rows, ids, counts, weights : ndarray, shape (distinct n-grams of all comments,)
        """
        # What numpy.unique does, without its overhead, which counts where comments come one by one. Half the bytes are
        # sorted in half the time; of many comments a stable sorting makes use of the order in each piece.
        keys = ids if rows is None else rows * self.n_ngrams + ids
        if n_rows * self.n_ngrams < 2**31:
            keys = keys.astype(np.int32)
        keys = np.sort(keys, kind=None if rows is None else "stable")
        new = np.ones(len(keys) + 1, dtype=bool)  # one more, where the last n-gram ends
        np.not_equal(keys[1:], keys[:-1], out=new[1:-1])
        starts = np.flatnonzero(new)
        counts = starts[1:] - starts[:-1]
        keys = keys[starts[:-1]]
        if rows is None:
            ids = keys
            weights = (np.log(counts) + 1.0) * self._idf[ids]
            middle = np.searchsorted(ids, self.n_words)
            for part in (weights[:middle], weights[middle:]):
                part /= np.sqrt(part @ part) or 1.0
            return np.zeros_like(ids), ids, counts, weights
        rows, ids = np.divmod(keys, self.n_ngrams)
        weights = (np.log(counts) + 1.0) * self._idf[ids]
        block = 2 * rows + (ids >= self.n_words)
        norms = np.sqrt(np.bincount(block, weights * weights, minlength=2 * n_rows))
        return rows, ids, counts, weights / norms[block]

    def cue_row(self, text: str, found: list[Known]) -> tuple[np.ndarray, dict[int, list[int]]]:
        """The scaled and weighted cues of a comment, and the places of the pieces they come from."""
        places: dict[int, list[int]] = {}
        values = cue_values(text, found, places)
        return self._scaling(np.array(values)) * self._cue_weight, places

    @property
    def vocabulary(self) -> dict[str, int]:
        """Numbers of the known words and word pairs."""
        return self._words

    def linear(self, texts: list[str], coefficients: np.ndarray, read: list[list[Known]] | None = None) -> np.ndarray:
        """Products of comments and coefficients.

        Parameters
        ----------
        texts : list of n str
        coefficients : ndarray of float64, shape (n_outputs, n_features)
            Quickest in Fortran's order, where the outputs of a feature lie side by side.
        read : list of n lists of Known, optional
            What `read` gives of the texts, where it is known already.

        Returns
        -------
        ndarray of float64, shape (n, n_outputs)
        """
        if not texts:
            return np.zeros((0, len(coefficients)))
        read = read or [self.read(text) for text in texts]
        letters = self._letters(read)
        words: list[int] = []
        sizes, cue_rows = [], []
        for text, found in zip(texts, read, strict=True):
            of_words = self._word_ids(found)
            words += of_words
            sizes.append(len(of_words))
            cue_rows.append(cue_values(text, found))
        ids = self._numbers(words, letters)
        dense = self._scaling(np.array(cue_rows)) * self._cue_weight
        of_cues = dense @ coefficients[:, self.n_ngrams :].T
        if len(texts) == 1:
            _, ids, _, weights = self.weigh(ids, None, 1)
            return of_cues + weights @ coefficients.T[ids]
        row = np.arange(len(texts))
        of_pieces = np.repeat(np.repeat(row, list(map(len, read))), [len(part) // PLACE.itemsize for part in letters])
        rows = np.concatenate([np.repeat(row, sizes), of_pieces])
        rows, ids, _, weights = self.weigh(ids, rows, len(texts))
        parts = [np.bincount(rows, weights * line[ids], minlength=len(texts)) for line in coefficients]
        return of_cues + np.stack(parts, axis=1)
