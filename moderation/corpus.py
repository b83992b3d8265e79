"""N-grams of many comments, counted once and weighed as any part of the comments would have them.

Cross-validation needs a vocabulary and document frequencies of the training rows alone; from the counts of all rows
these are a matter of choosing columns.
"""

from __future__ import annotations

import mmap
import tempfile
from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
from scipy import sparse

from moderation import processes
from moderation.cues import NAMES as CUE_NAMES
from moderation.cues import Scaling, cues
from moderation.features import CHARACTERS, CUES, LENGTHS, NAMELESS, WORDS, FeatureSpace, piece_tokens
from moderation.ngrams import character_ngrams
from moderation.normal import pieces

_BLOCKS = (WORDS, CHARACTERS)
_ROWS = 1_000  #: comments that are transformed at a time
_READ = 4_000  #: comments that are read at a time: the more, the fewer n-grams are told twice


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
    listed : ndarray of bool, shape (words,)
        The words that are chosen however rare they are.
    """

    def __init__(self, blocks: dict[str, sparse.csr_matrix], cue_values: np.ndarray, listed: np.ndarray):
        self.blocks, self.cue_values, self.listed = blocks, cue_values, listed

    def choose(self, rows: np.ndarray, *, min_df=3, max_words=None, max_characters=None, cue_weight=0.1) -> Features:
        """What `moderation.transformer.make_union` keeps when fitted on the comments at `rows`.

        Ties in frequency, where a maximum cuts, are settled by the alphabet. Listed words are kept before any others,
        and if none of the comments holds them: what is known of such a word does not come from its comments.
        """
        columns, idf = {}, {}
        for name, limit in ((WORDS, max_words), (CHARACTERS, max_characters)):
            counts = self.blocks[name]
            frequency, total = np.zeros(counts.shape[1], dtype=np.int64), np.zeros(counts.shape[1])
            for begin in range(0, len(rows), _ROWS):
                part = counts[rows[begin : begin + _ROWS]]
                frequency += np.bincount(part.indices, minlength=len(frequency))
                total += np.bincount(part.indices, part.data, minlength=len(total))
            _let_go(counts)
            listed = self.listed if name == WORDS else np.zeros(len(frequency), dtype=bool)
            kept = np.flatnonzero(listed | (frequency >= min_df))
            if limit is not None and len(kept) > limit:
                kept = np.sort(kept[np.lexsort((kept, -total[kept], ~listed[kept]))[:limit]])
            columns[name] = kept
            idf[name] = np.log((len(rows) + 1) / (frequency[kept] + 1.0)) + 1.0
        values = self.cue_values[rows]
        return Features(columns, idf, Scaling(values.mean(axis=0), values.std(axis=0) + 1e-3), cue_weight)

    def transform(self, features: Features, rows: np.ndarray, dtype=np.float64) -> sparse.csr_matrix:
        """What the transformer of `features` gives for the comments at `rows`; shape (rows, features)."""
        rows = np.asarray(rows)
        weighers = [_Weigher(self.blocks[name], features.columns[name], features.idf[name]) for name in _BLOCKS]
        # Piece by piece into the result, of which there would otherwise be several copies on the way.
        most = sum(int(np.diff(each.counts.indptr)[rows].sum()) for each in weighers)
        most += len(rows) * self.cue_values.shape[1]
        data, indices = np.empty(most, dtype=dtype), np.empty(most, dtype=np.int32)
        ends, end = [np.zeros(1, dtype=np.int64)], 0
        for begin in range(0, len(rows), _ROWS):
            some = rows[begin : begin + _ROWS]
            dense = sparse.csr_matrix(features.scaling(self.cue_values[some]) * features.cue_weight)
            piece = sparse.hstack([*(each(some) for each in weighers), dense], format="csr")
            data[end : end + piece.nnz], indices[end : end + piece.nnz] = piece.data, piece.indices
            ends.append(end + piece.indptr[1:].astype(np.int64))
            end += piece.nnz
            for each in weighers:
                _let_go(each.counts)
        indptr = np.concatenate(ends).astype(np.int32 if end < 2**31 else np.int64)
        width = features.blocks()[CUES].stop
        return sparse.csr_matrix((data[:end], indices[:end], indptr), shape=(len(rows), width))


def _let_go(matrix: sparse.csr_matrix) -> None:
    """Take what was read of a matrix that is mapped from a file out of the memory; it is read again when asked for."""
    if not hasattr(mmap, "MADV_DONTNEED"):
        return
    for array in (matrix.data, matrix.indices):
        while array is not None and not isinstance(array, mmap.mmap):
            array = getattr(array, "base", None)
        if array is not None:
            array.madvise(mmap.MADV_DONTNEED)


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
    listed : collection of str
        Words, and pairs of words, that are kept however rare they are.
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

    def __init__(
        self,
        texts: Sequence[str],
        *,
        characters=LENGTHS,
        min_df: int = 1,
        listed: Collection[str] = (),
        progress=iter,
        jobs: int = 1,
    ):
        self.characters = characters
        parts = [texts[begin : begin + _READ] for begin in range(0, len(texts), _READ)]
        pieces_of, words_of = _Columns(), _Columns()
        cue_values = [np.zeros((0, len(CUE_NAMES)))]
        for some_pieces, some_words, values in processes.each(_read, [(part,) for part in parts], jobs, progress):
            pieces_of.add(*some_pieces)
            words_of.add(*some_words)
            cue_values.append(values)
        self.names, blocks = {}, {}
        words_of.add(sorted(listed), sparse.csr_matrix((0, len(listed)), dtype=np.uint8))
        self.names[WORDS], blocks[WORDS] = _kept(words_of.places, words_of.counts(), min_df, listed=listed)
        grams, of_piece = _characters(pieces_of.places, characters)
        # A character n-gram stands in a comment as often as in its pieces.
        self.names[CHARACTERS], blocks[CHARACTERS] = _kept(grams, pieces_of.counts(), min_df, of_piece)
        known = frozenset(listed)
        of_listed = np.array([name in known for name in self.names[WORDS]], dtype=bool)
        self.counts = Counts(blocks, np.concatenate(cue_values), of_listed)
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
    places: dict[str, int],
    counts: sparse.csr_matrix,
    min_df: int,
    of_piece: sparse.csr_matrix | None = None,
    listed: Collection[str] = (),
) -> tuple[list[str], sparse.csr_matrix]:
    """The n-grams that stand in `min_df` comments, and those listed, in the order of the alphabet, and their counts.

    Parameters
    ----------
    places : dict of str to int
        Columns of the n-grams.
    counts : csr_matrix
        Of the n-grams; or of pieces, and then `of_piece` says what n-grams these hold.
    listed : collection of str
        Are among `places`, and are kept as if they stood in `min_df` comments.
    """
    # What stands in too few comments is gone before the counts are taken apart, as far as the pieces tell: an n-gram
    # stands in no more comments than its pieces do together.
    most = np.bincount(counts.indices, minlength=counts.shape[1])
    if of_piece is not None:
        most = np.bincount(of_piece.indices, np.repeat(most, np.diff(of_piece.indptr)), minlength=len(places))
    most[[places[name] for name in listed]] = min_df
    names = sorted(name for name, index in places.items() if most[index] >= min_df)
    columns = np.fromiter((places[name] for name in names), dtype=np.int64, count=len(names))
    if of_piece is not None:
        of_piece = of_piece[:, columns]
    found, frequency = [], np.zeros(len(names), dtype=np.int64)
    # Some comments at a time: of all at once the rare n-grams would take much of the memory.
    for begin in range(0, counts.shape[0], _ROWS):
        some = counts[begin : begin + _ROWS]
        matrix = some[:, columns] if of_piece is None else some.astype(np.int32) @ of_piece
        frequency += np.bincount(matrix.indices, minlength=len(names))
        found.append(_small(matrix))
    frequency[[bisect_left(names, name) for name in listed]] = min_df
    kept = np.flatnonzero(frequency >= min_df)
    if len(kept) < len(names):
        names, found = [names[index] for index in kept], [matrix[:, kept] for matrix in found]
    for matrix in found:
        matrix.sort_indices()
    if not found:
        return names, sparse.csr_matrix((0, len(names)), dtype=np.uint8)
    return names, _small(sparse.vstack(found, format="csr"))
