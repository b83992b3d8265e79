"""N-grams of many comments, counted once and weighed as any part of the comments would have them.

Cross-validation needs a vocabulary and document frequencies of the training rows alone; from the counts of all rows
these are a matter of choosing columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.pipeline import FeatureUnion

from moderation import processes
from moderation.cues import NAMES as CUE_NAMES
from moderation.cues import Cues, cues
from moderation.features import CHARACTERS, CUES, NAMELESS, WORDS, character_ngrams, make_union, piece_tokens
from moderation.normal import pieces

_BLOCKS = (WORDS, CHARACTERS)
_ROWS = 2_000  #: comments that are read, or transformed, at a time


@dataclass(frozen=True)
class Features:
    """What a union is fitted to, by the columns of a `Corpus`.

    Attributes
    ----------
    columns : dict of str to ndarray of int
        The n-grams kept of each block, in the order of the features.
    idf : dict of str to ndarray of float
    cue_mean, cue_scale : ndarray of float64, shape (cues,)
    cue_weight : float
    """

    columns: dict[str, np.ndarray]
    idf: dict[str, np.ndarray]
    cue_mean: np.ndarray
    cue_scale: np.ndarray
    cue_weight: float

    def blocks(self) -> dict[str, slice]:
        """Which features belong to the words, the characters and the cues."""
        ends = np.cumsum([0, *(len(self.columns[name]) for name in _BLOCKS), len(self.cue_mean)]).tolist()
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
        """What `moderation.features.make_union` keeps when fitted on the comments at `rows`.

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
        return Features(columns, idf, values.mean(axis=0), values.std(axis=0) + 1e-3, cue_weight)

    def transform(self, features: Features, rows: np.ndarray) -> sparse.csr_matrix:
        """What the union of `features` gives for the comments at `rows`; float64, shape (rows, features)."""
        rows = np.asarray(rows)
        weighers = [
            _Weigher(self.blocks[name], features.columns[name], features.idf[name], place.start)
            for name, place in features.blocks().items()
            if name in self.blocks
        ]
        cues = Cues()
        cues.mean_, cues.scale_ = features.cue_mean, features.cue_scale
        cue_columns = np.arange(features.blocks()[CUES].start, features.blocks()[CUES].stop, dtype=np.int32)
        # Piece by piece into the result, of which there would otherwise be several copies on the way.
        most = sum(int(np.diff(each.counts.indptr)[rows].sum()) for each in weighers)
        most += len(rows) * len(cue_columns)
        data, indices = np.empty(most), np.empty(most, dtype=np.int32)
        sizes, end = [], 0
        for begin in range(0, len(rows), _ROWS):
            some = rows[begin : begin + _ROWS]
            dense = cues.scaled(self.cue_values[some]) * features.cue_weight
            row, cue = np.nonzero(dense)
            parts = [*(each(some) for each in weighers), (row, cue_columns[cue], dense[row, cue])]
            counts = [np.bincount(row, minlength=len(some)) for row, _, _ in parts]
            size = np.sum(counts, axis=0)
            starts = end + np.cumsum(size) - size
            for (row, column, weight), count in zip(parts, counts, strict=True):
                # An entry's place: where its row starts, and how many of its row come before it.
                place = np.arange(len(row)) + (starts - np.cumsum(count) + count)[row]
                data[place], indices[place] = weight, column
                starts = starts + count
            sizes.append(size)
            end += int(size.sum())
        indptr = np.concatenate([[0], np.cumsum(np.concatenate(sizes))]) if sizes else np.zeros(1, dtype=np.int64)
        width = features.blocks()[CUES].stop
        kind = np.int32 if end < 2**31 else np.int64
        return sparse.csr_matrix((data[:end], indices[:end], indptr.astype(kind)), shape=(len(rows), width))


class _Weigher:
    """TF-IDF weights, of unit length in a row, of the columns kept."""

    def __init__(self, counts, columns, idf, first):
        self.counts, self.idf, self.first = counts, idf, first
        self.place = np.full(counts.shape[1], -1, dtype=np.int32)
        self.place[columns] = np.arange(len(columns))
        self.frequency = np.log(np.arange(int(counts.data.max(initial=0)) + 1).clip(1)) + 1.0

    def __call__(self, rows):
        part = self.counts[rows]
        place = self.place[part.indices]
        known = np.flatnonzero(place >= 0)
        row = np.repeat(np.arange(len(rows)), np.diff(part.indptr))[known]
        place = place[known]
        weights = self.frequency[part.data[known]] * self.idf[place]
        lengths = np.sqrt(np.bincount(row, weights * weights, minlength=len(rows)))
        return row, place + np.int32(self.first), weights / lengths[row]


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
        found = processes.each(_read, [(part, characters) for part in parts], jobs, progress)
        ids: dict[str, dict[str, int]] = {name: {} for name in _BLOCKS}
        read: dict[str, list[sparse.csr_matrix]] = {name: [] for name in _BLOCKS}
        cue_values = []
        for blocks, values in found:
            for name, (names, counts) in blocks.items():
                known = ids[name]
                column = np.array([known.setdefault(gram, len(known)) for gram in names], dtype=np.int32)
                counts.indices = column[counts.indices]
                read[name].append(counts)
            cue_values.append(values)
        self.names, joined = {}, {}
        for name in _BLOCKS:
            self.names[name], joined[name] = _joined(ids.pop(name), read.pop(name), min_df)
        self.counts = Counts(joined, np.concatenate(cue_values) if cue_values else np.zeros((0, len(CUE_NAMES))))

    def choose(self, rows: np.ndarray, **limits) -> Features:
        """As `Counts.choose`."""
        return self.counts.choose(rows, **limits)

    def transform(self, features: Features, rows: np.ndarray) -> sparse.csr_matrix:
        """As `Counts.transform`."""
        return self.counts.transform(features, rows)

    def union(self, features: Features, *, min_df=3, max_words=None, max_characters=None) -> FeatureUnion:
        """The fitted transformer of what was chosen, as `moderation.features.make_union` gives it."""
        union = make_union(
            min_df=min_df,
            characters=self.characters,
            max_words=max_words,
            max_characters=max_characters,
            cue_weight=features.cue_weight,
        )
        parts = dict(union.transformer_list)
        for name in _BLOCKS:
            names = self.names[name]
            kept = [names[column] for column in features.columns[name].tolist()]
            parts[name].set_params(vocabulary={gram: place for place, gram in enumerate(kept)})
            parts[name].idf_ = features.idf[name]
        parts[CUES].mean_, parts[CUES].scale_ = features.cue_mean, features.cue_scale
        return union


def _read(texts, characters):
    """N-grams and their counts, by block, and the cues of some texts."""
    ids: dict[str, dict[str, int]] = {name: {} for name in _BLOCKS}
    word_ids, character_ids = ids[WORDS], ids[CHARACTERS]
    piece_ids: dict[str, np.ndarray] = {}
    words, letters, cue_values = [], [], np.zeros((len(texts), len(CUE_NAMES)))
    for row, text in enumerate(texts):
        found = pieces(text)
        cue_values[row] = cues(text, found)[0]
        tokens = [token for piece in found for token in piece_tokens(piece.text)]
        tokens += [f"{first} {second}" for first, second in zip(tokens, tokens[1:], strict=False)]
        tokens = [token for token in tokens if token not in NAMELESS]
        words.append(np.array([word_ids.setdefault(token, len(word_ids)) for token in tokens], dtype=np.int32))
        parts = []
        for piece in found:
            known = piece_ids.get(piece.text)
            if known is None:
                grams = character_ngrams(piece.text, *characters)
                known = np.array([character_ids.setdefault(g, len(character_ids)) for g in grams], dtype=np.int32)
                if len(piece.text) <= 40:
                    piece_ids[piece.text] = known
            parts.append(known)
        letters.append(np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32))
    counted = {name: _counts(rows, len(ids[name])) for name, rows in ((WORDS, words), (CHARACTERS, letters))}
    return {name: (list(ids[name]), counted[name]) for name in _BLOCKS}, cue_values


def _counts(rows: list[np.ndarray], width: int) -> sparse.csr_matrix:
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    indices = np.concatenate(rows) if rows else np.zeros(0, dtype=np.int32)
    matrix = sparse.csr_matrix((np.ones(len(indices), dtype=np.int32), indices, indptr), shape=(len(rows), width))
    matrix.sum_duplicates()
    # Most counts are small, and there are many millions of them.
    return matrix.astype(np.min_scalar_type(int(matrix.data.max(initial=0))))


def _joined(ids: dict[str, int], parts: list[sparse.csr_matrix], min_df: int) -> tuple[list[str], sparse.csr_matrix]:
    """The n-grams that stand in `min_df` comments, in the order of the alphabet, and their counts."""
    frequency = np.zeros(len(ids), dtype=np.int64)
    for part in parts:
        frequency += np.bincount(part.indices, minlength=len(ids))
    names = sorted(name for name, index in ids.items() if frequency[index] >= min_df)
    place = np.full(len(ids), -1, dtype=np.int32)
    place[np.fromiter((ids[name] for name in names), dtype=np.int64, count=len(names))] = np.arange(len(names))
    for number, part in enumerate(parts):
        column = place[part.indices]
        known = column >= 0
        ends = np.concatenate([[0], np.cumsum(known)])[part.indptr]
        parts[number] = sparse.csr_matrix((part.data[known], column[known], ends), shape=(part.shape[0], len(names)))
        parts[number].sort_indices()
    if not parts:
        return names, sparse.csr_matrix((0, len(names)), dtype=np.uint8)
    return names, sparse.vstack(parts, format="csr")
