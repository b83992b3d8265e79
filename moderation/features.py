"""From text to numbers: TF-IDF of word and character n-grams, and cues.

A name of an identity group is no n-gram of its own; it counts in word pairs, where all such names are the same one.

`make_union` gives the scikit-learn transformer that training fits. `Vectors` computes exactly the same numbers
from the fitted transformer, several times faster: a character n-gram never crosses white space, so the n-grams of
a piece of text are looked up once and reused wherever the piece comes again.
"""

from __future__ import annotations

import re

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import FeatureUnion

from moderation.cues import Cues, cues
from moderation.normal import SOMEGROUP, SOMEGROUPS, Piece, normalise, pieces, reused, without_identity

WORDS, CHARACTERS, CUES = "words", "characters", "cues"

_TOKEN = re.compile(r"[^\W_]+(?:'[^\W_]+)*|!+|\?+|\.{2,}|\"|[^\x00-\x7f\w\s]")
_NUMBER = re.compile(r"\d+")
NAMELESS = frozenset([SOMEGROUP, SOMEGROUPS])


@reused(65_536)
def piece_tokens(piece: str) -> tuple[str, ...]:
    """The words, and the punctuation that carries tone, of one normalised piece."""
    found = _TOKEN.findall(without_identity(piece))
    return tuple(token[:2] if token[0] in "!?." else _NUMBER.sub("0", token) for token in found)


def word_ngrams(text: str) -> list[str]:
    """Words and word pairs of a comment; names of identity groups in pairs alone."""
    tokens = [token for piece in normalise(text).split() for token in piece_tokens(piece)]
    return [token for token in tokens if token not in NAMELESS] + [
        f"{first} {second}" for first, second in zip(tokens, tokens[1:], strict=False)
    ]


def nameless(text: str) -> str:
    """The normalised comment without the names of identity groups."""
    return " ".join(without_identity(piece, "", "") for piece in normalise(text).split())


def character_ngrams(piece: str, shortest: int, longest: int) -> list[str]:
    """The n-grams that scikit-learn's ``char_wb`` finds in one piece without names of identity groups."""
    piece = without_identity(piece, "", "")
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


def make_union(*, min_df=3, characters=(2, 5), max_words=None, max_characters=None, cue_weight=0.1) -> FeatureUnion:
    """The transformer that training fits; its parts are named `WORDS`, `CHARACTERS` and `CUES`.

    Parameters
    ----------
    min_df : int
        Comments in which an n-gram must occur.
    characters : (int, int)
        Shortest and longest character n-gram.
    max_words, max_characters : int, optional
        Keep only the most frequent.
    cue_weight : float
        Of the scaled cues, against 1 for the n-grams: the smaller, the more they are regularised.
    """
    shared = {"sublinear_tf": True, "min_df": min_df}
    return FeatureUnion(
        [
            (WORDS, TfidfVectorizer(analyzer=word_ngrams, max_features=max_words, **shared)),
            (
                CHARACTERS,
                TfidfVectorizer(
                    analyzer="char_wb",
                    preprocessor=nameless,
                    ngram_range=characters,
                    max_features=max_characters,
                    **shared,
                ),
            ),
            (CUES, Cues()),
        ],
        transformer_weights={CUES: cue_weight},
    )


_ROWS = 4_000  #: comments that are transformed at a time
_FIRST = np.ones(1, dtype=bool)


class Vectors:
    """What a fitted union computes, from arrays.

    Parameters
    ----------
    union : FeatureUnion
        Fitted, as `make_union` gives.

    Attributes
    ----------
    n_words, n_ngrams, n_features : int
        Features are numbered as the union numbers them: words, then characters, then cues.
    """

    def __init__(self, union: FeatureUnion):
        parts = dict(union.transformer_list)
        words, characters, self.cues = parts[WORDS], parts[CHARACTERS], parts[CUES]
        self._words = words.vocabulary_
        self.n_words = len(self._words)
        self.n_ngrams = self.n_words + len(characters.vocabulary_)
        self.n_features = self.n_ngrams + len(self.cues.mean_)
        self._idf = np.concatenate([words.idf_, characters.idf_])
        self._cue_weight = (union.transformer_weights or {}).get(CUES, 1.0)
        shortest, longest = characters.ngram_range
        vocabulary, offset = characters.vocabulary_, self.n_words

        @reused(32_768)
        def piece_ids(piece: str) -> np.ndarray:
            found = [vocabulary.get(gram) for gram in character_ngrams(piece, shortest, longest)]
            return np.array([index + offset for index in found if index is not None], dtype=np.int64)

        self._piece_ids = piece_ids

    def ngrams(self, found: list[Piece]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The known n-grams of a comment, one entry an occurrence.

        Returns
        -------
        ids, first, last : ndarray of int64, shape (occurrences,)
            Feature number, and the first and last piece that the n-gram touches.
        """
        letters = [self._piece_ids(piece.text) for piece in found]
        pieces_of = np.repeat(np.arange(len(found)), [len(part) for part in letters])
        words, first, last = [], [], []
        previous, before = None, 0
        lookup = self._words.get
        for index, piece in enumerate(found):
            for token in piece_tokens(piece.text):
                word = None if token in NAMELESS else lookup(token)
                if word is not None:
                    words.append(word)
                    first.append(index)
                    last.append(index)
                if previous is not None:
                    pair = lookup(f"{previous} {token}")
                    if pair is not None:
                        words.append(pair)
                        first.append(before)
                        last.append(index)
                previous, before = token, index
        return (
            np.concatenate([np.array(words, dtype=np.int64), *letters]),
            np.concatenate([np.array(first, dtype=np.int64), pieces_of]),
            np.concatenate([np.array(last, dtype=np.int64), pieces_of]),
        )

    def ids(self, found: list[Piece]) -> list[np.ndarray]:
        """As `ngrams`, the feature numbers alone: arrays to be concatenated."""
        words, previous = [], None
        lookup = self._words.get
        for piece in found:
            for token in piece_tokens(piece.text):
                word = None if token in NAMELESS else lookup(token)
                if word is not None:
                    words.append(word)
                if previous is not None:
                    pair = lookup(f"{previous} {token}")
                    if pair is not None:
                        words.append(pair)
                previous = token
        return [np.array(words, dtype=np.int64), *(self._piece_ids(piece.text) for piece in found)]

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
        # What numpy.unique does, without its overhead, which counts where comments come one by one.
        keys = np.sort(ids if rows is None else rows * self.n_ngrams + ids)
        starts = np.flatnonzero(np.concatenate([_FIRST, keys[1:] != keys[:-1]])) if len(keys) else keys
        counts = np.append(starts[1:], len(keys)) - starts if len(keys) else keys
        keys = keys[starts]
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

    def cue_row(self, text: str, found: list[Piece]):
        """The scaled and weighted cues of a comment, and the pieces they come from."""
        values, places = cues(text, found)
        return self.cues.scaled(values) * self._cue_weight, places

    @property
    def vocabulary(self) -> dict[str, int]:
        """Numbers of the known words and word pairs."""
        return self._words

    def linear(self, texts: list[str], coefficients: np.ndarray, cut: list[list[Piece]] | None = None) -> np.ndarray:
        """Products of comments and coefficients.

        Parameters
        ----------
        texts : list of n str
        coefficients : ndarray of float64, shape (n_outputs, n_features)
            Quickest in Fortran's order, where the outputs of a feature lie side by side.
        cut : list of n lists of Piece, optional
            The pieces of the texts, where they are known already.

        Returns
        -------
        ndarray of float64, shape (n, n_outputs)
        """
        if not texts:
            return np.zeros((0, len(coefficients)))
        if len(texts) == 1:
            found = cut[0] if cut else pieces(texts[0])
            _, ids, _, weights = self.weigh(np.concatenate(self.ids(found)), None, 1)
            dense, _ = self.cue_row(texts[0], found)
            return (dense @ coefficients[:, self.n_ngrams :].T + weights @ coefficients.T[ids])[None, :]
        parts, sizes, cue_rows = [], [], []
        for text, found in zip(texts, cut or map(pieces, texts), strict=True):
            arrays = self.ids(found)
            sizes.append(sum(map(len, arrays)))
            parts.extend(arrays)
            cue_rows.append(cues(text, found)[0])
        rows = np.repeat(np.arange(len(texts)), sizes)
        rows, ids, _, weights = self.weigh(np.concatenate(parts), rows, len(texts))
        dense = self.cues.scaled(np.array(cue_rows)) * self._cue_weight
        of_cues = dense @ coefficients[:, self.n_ngrams :].T
        parts = [np.bincount(rows, weights * line[ids], minlength=len(texts)) for line in coefficients]
        return of_cues + np.stack(parts, axis=1)
