"""N-grams of many comments, counted once and weighed as any part of the comments would have them.

Cross-validation needs a vocabulary and document frequencies of the training rows alone; from the counts of all rows
these are a matter of choosing columns.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
from scipy import sparse

from moderation import processes
from moderation.cues import NAMES as CUE_NAMES
from moderation.cues import Scaling, cues
from moderation.features import CHARACTERS, CUES, NAMELESS, WORDS, FeatureSpace, character_ngrams, piece_tokens
from moderation.normal import pieces

_BLOCKS = (WORDS, CHARACTERS)
_ROWS = 1_000  #: comments that are read, or transformed, at a time


@dataclass(frozen=True)
class Features:
    """What is fitted to some of a `Corpus`, by its columns.

    Attributes
    ----------
    columns : dict of str to ndarray of int
        The n-grams kept of each block, in the order of the features.
    idf : dict of str to ndarray of float
    scaling : Scaling
        Of the cues.
    cue_weight : float
    """

    columns: dict[str, np.ndarray]
    idf: dict[str, np.ndarray]
    scaling: Scaling
    cue_weight: float

    def blocks(self) -> dict[str, slice]:
        """Which features belong to the words, the characters and the cues."""
        ends = np.cumsum([0, *(len(self.columns[name]) for name in _BLOCKS), len(self.scaling.mean)]).tolist()
        return {name: slice(*ends[place : place + 2]) for place, name in enumerate((*_BLOCKS, CUES))}


class Counts:
    """The numbers of a `Corpus`, without the n-grams themselves: what other processes need of it.

    Attributes
    ----------
    blocks : dict of str to csr_matrix of int
        How often an n-gram stands in a comment; columns in the order of the alphabet.
    cue_values : ndarray of float64, shape (comments, cues)
    """

    def __init__(self, blocks: dict[str, sparse.csr_matrix], cue_values: np.ndarray):
        self.blocks, self.cue_values = blocks, cue_values

    def choose(self, rows: np.ndarray, *, min_df=3, max_words=None, max_characters=None, cue_weight=0.1) -> Features:
        """What `moderation.transformer.make_union` keeps when fitted on the comments at `rows`.

        Ties in frequency, where a maximum cuts, are settled by the alphabet.
        """
        columns, idf = {}, {}
        for name, limit in ((WORDS, max_words), (CHARACTERS, max_characters)):
            counts = self.blocks[name]
            frequency, total = np.zeros(counts.shape[1], dtype=np.int64), np.zeros(counts.shape[1])
            for begin in range(0, len(rows), _ROWS):
                part = counts[rows[begin : begin + _ROWS]]
                frequency += np.bincount(part.indices, minlength=len(frequency))
                total += np.bincount(part.indices, part.data, minlength=len(total))
            kept = np.flatnonzero(frequency >= min_df)
            if limit is not None and len(kept) > limit:
                kept = np.sort(kept[np.lexsort((kept, -total[kept]))[:limit]])
            columns[name] = kept
            idf[name] = np.log((len(rows) + 1) / (frequency[kept] + 1.0)) + 1.0
        values = self.cue_values[rows]
        return Features(columns, idf, Scaling(values.mean(axis=0), values.std(axis=0) + 1e-3), cue_weight)

    def transform(self, features: Features, rows: np.ndarray) -> sparse.csr_matrix:
        """What the transformer of `features` gives for the comments at `rows`; float64, shape (rows, features)."""
        rows = np.asarray(rows)
        weighers = [_Weigher(self.blocks[name], features.columns[name], features.idf[name]) for name in _BLOCKS]
        # Piece by piece into the result, of which there would otherwise be several copies on the way.
        most = sum(int(np.diff(each.counts.indptr)[rows].sum()) for each in weighers)
        most += len(rows) * self.cue_values.shape[1]
        data, indices = np.empty(most), np.empty(most, dtype=np.int32)
        ends, end = [np.zeros(1, dtype=np.int64)], 0
        for begin in range(0, len(rows), _ROWS):
            some = rows[begin : begin + _ROWS]
            dense = sparse.csr_matrix(features.scaling(self.cue_values[some]) * features.cue_weight)
            piece = sparse.hstack([*(each(some) for each in weighers), dense], format="csr")
            data[end : end + piece.nnz], indices[end : end + piece.nnz] = piece.data, piece.indices
            ends.append(end + piece.indptr[1:].astype(np.int64))
            end += piece.nnz
        indptr = np.concatenate(ends).astype(np.int32 if end < 2**31 else np.int64)
        width = features.blocks()[CUES].stop
        return sparse.csr_matrix((data[:end], indices[:end], indptr), shape=(len(rows), width))


class _Weigher:
    """TF-IDF weights, of unit length in a row, of the columns kept."""

    def __init__(self, counts, columns, idf):
        self.counts, self.idf = counts, idf
        self.place = np.full(counts.shape[1], -1, dtype=np.int32)
        self.place[columns] = np.arange(len(columns))
        self.frequency = np.log(np.arange(int(counts.data.max(initial=0)) + 1).clip(1)) + 1.0

    def __call__(self, rows) -> sparse.csr_matrix:
        part = self.counts[rows]
        place, numbers, ends = self.place[part.indices], part.data, part.indptr
        known = place >= 0
        if not known.all():
            ends = np.concatenate([[0], np.cumsum(known)])[ends]
            place, numbers = place[known], numbers[known]
        weights = self.frequency[numbers] * self.idf[place]
        sizes = np.diff(ends)
        lengths = np.sqrt(np.bincount(np.repeat(np.arange(len(rows)), sizes), weights * weights, minlength=len(rows)))
        weights /= np.repeat(lengths, sizes)
        return sparse.csr_matrix((weights, place, ends.astype(np.int32)), shape=(len(rows), len(self.idf)))


class Corpus:
    """N-gram counts and cues of many comments.

    Parameters
    ----------
    texts : sequence of n str
    characters : (int, int)
        Shortest and longest character n-gram.
    min_df : int
        Fewest comments that an n-gram is kept of; the least that `choose` may be asked for.
    progress : callable, optional
        Wraps an iterable to show how far it is.
    jobs : int
        Processes.

    Attributes
    ----------
    names : dict of str to list of str
        The n-grams of each block's columns.
    counts : Counts
    """

    def __init__(self, texts: Sequence[str], *, characters=(2, 5), min_df: int = 1, progress=iter, jobs: int = 1):
        self.characters = characters
        parts = [texts[begin : begin + _ROWS] for begin in range(0, len(texts), _ROWS)]
        pieces_of, words_of = _Columns(), _Columns()
        cue_values = [np.zeros((0, len(CUE_NAMES)))]
        for some_pieces, some_words, values in processes.each(_read, [(part,) for part in parts], jobs, progress):
            pieces_of.add(*some_pieces)
            words_of.add(*some_words)
            cue_values.append(values)
        self.names, blocks = {}, {}
        self.names[WORDS], blocks[WORDS] = _kept(words_of.places, words_of.counts(), min_df)
        grams, of_piece = _characters(pieces_of.places, characters)
        # A character n-gram stands in a comment as often as in its pieces.
        self.names[CHARACTERS], blocks[CHARACTERS] = _kept(grams, pieces_of.counts(), min_df, of_piece)
        self.counts = Counts(blocks, np.concatenate(cue_values))
        if jobs > 1:
            # Mapped from files, the numbers are in memory once for all processes.
            self._folder = tempfile.TemporaryDirectory(prefix="counts-", ignore_cleanup_errors=True)
            path = Path(self._folder.name) / "counts"
            joblib.dump(self.counts, path)
            self.counts = joblib.load(path, mmap_mode="r")

    def choose(self, rows: np.ndarray, **limits) -> Features:
        """As `Counts.choose`."""
        return self.counts.choose(rows, **limits)

    def transform(self, features: Features, rows: np.ndarray) -> sparse.csr_matrix:
        """As `Counts.transform`."""
        return self.counts.transform(features, rows)

    def space(self, features: Features) -> FeatureSpace:
        """What serving needs to know of the features that were chosen."""
        names = [(self.names[name], features.columns[name].tolist()) for name in _BLOCKS]
        words, characters = ({found[column]: place for place, column in enumerate(kept)} for found, kept in names)
        return FeatureSpace(
            words,
            characters,
            features.idf[WORDS],
            features.idf[CHARACTERS],
            self.characters,
            features.scaling,
            features.cue_weight,
        )


class _Columns:
    """Counts of parts of a corpus, brought to the same columns."""

    def __init__(self):
        self.places: dict[str, int] = {}
        self._parts: list[sparse.csr_matrix] = []

    def add(self, names: list[str], counts: sparse.csr_matrix) -> None:
        places = self.places
        column = np.array([places.setdefault(name, len(places)) for name in names], dtype=np.int32)
        self._parts.append((counts.data, column[counts.indices], counts.indptr))

    def counts(self) -> sparse.csr_matrix:
        found = [sparse.csr_matrix(part, shape=(len(part[2]) - 1, len(self.places))) for part in self._parts]
        self._parts = []
        return sparse.vstack(found, format="csr") if found else sparse.csr_matrix((0, len(self.places)), dtype=np.uint8)


def _read(texts):
    """The pieces and the words of some texts, each as names and their counts, and the cues."""
    piece_ids: dict[str, int] = {}
    word_ids: dict[str, int] = {}
    all_pieces, all_words, cue_values = [], [], np.zeros((len(texts), len(CUE_NAMES)))
    for row, text in enumerate(texts):
        found = pieces(text)
        cue_values[row] = cues(text, found)
        tokens = [token for piece in found for token in piece_tokens(piece.text)]
        tokens += [f"{first} {second}" for first, second in zip(tokens, tokens[1:], strict=False)]
        all_words.append([word_ids.setdefault(token, len(word_ids)) for token in tokens if token not in NAMELESS])
        all_pieces.append([piece_ids.setdefault(piece.text, len(piece_ids)) for piece in found])
    return (
        (list(piece_ids), _counts(all_pieces, len(piece_ids))),
        (list(word_ids), _counts(all_words, len(word_ids))),
        cue_values,
    )


def _counts(rows: list[list[int]], width: int) -> sparse.csr_matrix:
    indptr = np.cumsum([0, *map(len, rows)])
    indices = np.fromiter((index for row in rows for index in row), dtype=np.int32, count=indptr[-1])
    matrix = sparse.csr_matrix((np.ones(len(indices), dtype=np.int32), indices, indptr), shape=(len(rows), width))
    matrix.sum_duplicates()
    return _small(matrix)


def _small(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """With as few bytes a number as do: most counts are small, and there are many millions of them."""
    return matrix.astype(np.min_scalar_type(int(matrix.data.max(initial=0))))


def _characters(pieces: dict[str, int], characters: tuple[int, int]) -> tuple[dict[str, int], sparse.csr_matrix]:
    """The character n-grams, and how often each stands in each piece."""
    places: dict[str, int] = {}
    rows = []
    for piece in pieces:
        grams = character_ngrams(piece, *characters)
        rows.append(np.array([places.setdefault(gram, len(places)) for gram in grams], dtype=np.int32))
    indices = np.concatenate(rows) if rows else np.zeros(0, dtype=np.int32)
    indptr = np.cumsum([0, *map(len, rows)])
    matrix = sparse.csr_matrix((np.ones(len(indices), dtype=np.int32), indices, indptr), shape=(len(rows), len(places)))
    matrix.sum_duplicates()
    return places, matrix


def _kept(
    places: dict[str, int], counts: sparse.csr_matrix, min_df: int, of_piece: sparse.csr_matrix | None = None
) -> tuple[list[str], sparse.csr_matrix]:
    """The n-grams that stand in `min_df` comments, in the order of the alphabet, and their counts.

    Parameters
    ----------
    places : dict of str to int
        Columns of the n-grams.
    counts : csr_matrix
        Of the n-grams; or of pieces, and then `of_piece` says what n-grams these hold.
    """
    frequency = np.zeros(len(places), dtype=np.int64)
    # Some comments at a time: of all at once the rare n-grams would take much of the memory.
    steps = [slice(begin, begin + _ROWS) for begin in range(0, counts.shape[0], _ROWS)]

    def part(step):
        return counts[step] if of_piece is None else counts[step].astype(np.int32) @ of_piece

    for step in steps:
        frequency += np.bincount(part(step).indices, minlength=len(places))
    names = sorted(name for name, index in places.items() if frequency[index] >= min_df)
    columns = np.fromiter((places[name] for name in names), dtype=np.int64, count=len(names))
    if of_piece is not None:
        of_piece = of_piece[:, columns]
        found = [part(step) for step in steps]
    else:
        found = [counts[step][:, columns] for step in steps]
    for matrix in found:
        matrix.sort_indices()
    if not found:
        return names, sparse.csr_matrix((0, len(names)), dtype=np.uint8)
    return names, _small(sparse.vstack([_small(matrix) for matrix in found], format="csr"))
