"""Is a comment about its article? Compared with the article, the comment it answers, and the thread.

Shared words say most, weighted by how rare they are; for words that are related but not the same there is a space
of word vectors, found by latent semantic analysis of which words stand near each other. Every similarity is set
against what it would be for an arbitrary comment or article, since a long article shares words with anything.
What neither tells of rarer words and of names, a table of the subjects that words make one think of does
(`moderation.subjects`). Words that stand side by side in both texts say more than each alone, and a comment that speaks
of "her" belongs where a woman is spoken of.
A logistic regression, trained on comments paired with their own and with wrong articles, weighs the evidence, and its
products with the lengths: the same likeness means less where a comment is short or an article long.
"""

from __future__ import annotations

import copy
import functools
import itertools
import math
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import snowballstemmer

from moderation.comments import Article, Comment
from moderation.cues import piece_words
from moderation.linear import Linear
from moderation.normal import URL, Piece, pieces, reused
from moderation.stopwords import STOP
from moderation.subjects import Subjects

_NAME = re.compile(r"(?<=[\w,;:)] )[A-Z][^\W\d_]{2,}")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_MET = 4  #: texts in which a word stands for it to be known
_TOLD = 3  #: words among whose neighbours it is for that, where it has none of its own
_TIMES = 40.0  #: for which a word counts as met near its first neighbour
_LESS = 0.06  #: by what share of that fewer near each further one
_AMONG = 0.5  #: and near each other the neighbours of one word
_SHARPNESS = 4.0  #: how much likelier a word is than an unrelated one to stand for another whose vector is the same
_PASSAGE = 45  #: words of an article that are compared as one passage
_MOST_PASSAGES = 60
_MOST_WORDS = 250  #: of a comment, each counted once, that are compared with all words of a text
_RARE = 5.0  #: inverse document frequency from which a word that two texts share is remarkable
_stemmer = snowballstemmer.stemmer("english")
# A word stands in many pieces: with a comma, in quotation marks, at the end of a sentence.
_stem = reused(32_768)(_stemmer.stemWord)


@reused(65_536)
def _piece_stems(piece: str) -> tuple[str, ...]:
    if piece == URL:
        return ()
    words = (word.removesuffix("'s") for word in piece_words(piece))
    return tuple(_stem(word) for word in words if word not in STOP and len(word) > 1)


def _stem_all(words):
    return frozenset(_stemmer.stemWord(word) for word in words.split())


# A comment on the site itself, or one that sells, is off topic under almost any article.
_SITE = _stem_all(
    """moderator moderators moderation moderated website site page app login logged password account subscription
    subscribe subscribed unsubscribe paywall subscriber newsletter notification notifications browser reload refresh
    deleted removed censored censor censorship comments commenting posting thread upvote downvote button click link
    popup ads advert adverts cookies banner font mobile username editor typo headline"""
)
_SELLING = _stem_all(
    """bitcoin crypto forex trading trader invest investment investor profit profits earn earning earned income weekly
    monthly hourly loan loans credit debt whatsapp telegram contact email inbox dm click join free discount shop sale
    offer guaranteed cash payout casino betting bonus followers channel recovered recover hacker spell doctor cure
    pills supplement weight seo cheap promo code"""
)


def stems(text: str) -> list[str]:
    """Stemmed content words of a text, in order."""
    return [stem for piece in pieces(text) for stem in _piece_stems(piece.text)]


# Who is spoken of: a man and a woman by pronouns, and by nouns.
_NOBODY, _HE, _SHE, _MAN, _WOMAN = range(5)
_PERSONS = {
    word: kind
    for kind, words in (
        (_HE, "he him his himself he's he'd he'll"),
        (_SHE, "she her hers herself she's she'd she'll"),
        (_MAN, "man guy boy husband father dad son sir mr brother king"),
        (_WOMAN, "woman women girl girls lady ladies wife mother mom daughter sister queen mrs ms"),
    )
    for word in words.split()
}
#: What share of all words speaks of a man, and of a woman, in comments.
_SPOKEN = np.array([0.0096, 0.0071])
_STEADY = 100.0  #: words of such comments that a text's shares are smoothed with


@reused(32_768)
def _piece_person(piece: str) -> int:
    return next((_PERSONS[word] for word in piece_words(piece) if word in _PERSONS), _NOBODY)


def names(text: str) -> set[str]:
    """Stems of capitalised words that do not open a sentence."""
    return {_stem(name.lower()) for name in _NAME.findall(text)}


class WordSpace:
    """Word weights and word vectors, learnt from unlabelled text.

    The vectors are the truncated singular value decomposition of a positive pointwise mutual information matrix
    [1]_ [2]_; a text's vector is the weighted sum of its words', whitened with the background's covariance.

    Parameters
    ----------
    max_words : int
    dimensions : int
    window : int
        Words to each side that count as near.
    seed : int
    subjects : dict of str to tuple of str, optional
        Of words, as `moderation.subjects.read` gives them; those of a word need not be in any text.
    neighbours : dict of str to tuple of str, optional
        Of words, as `moderation.subjects.read_neighbours` gives them: as if they had stood near each other.

    Attributes
    ----------
    subjects_ : Subjects
    index_ : dict of str to int
    idf_, share_ : ndarray of float32, shape (words,)
        Inverse document frequency, and share of all word occurrences.
    vectors_ : ndarray of float32, shape (words, dimensions)
    mean_ : ndarray of float32, shape (dimensions,)
        Of the vectors of texts.
    whitener_ : ndarray of float32, shape (dimensions, dimensions)
    kinship_ : ndarray of float32, shape (words,)
        How near a word is to all others, as `_related` measures it.

    References
    ----------
    .. [1] O. Levy, Y. Goldberg, I. Dagan, "Improving distributional similarity with lessons learned from word
       embeddings", TACL 2015.
    .. [2] S. Arora, Y. Liang, T. Ma, "A simple but tough-to-beat baseline for sentence embeddings", ICLR 2017.
    """

    def __init__(self, max_words=20_000, dimensions=150, window=15, seed=0, subjects=None, neighbours=None):
        self.max_words, self.dimensions, self.window, self.seed = max_words, dimensions, window, seed
        self.subjects, self.neighbours = subjects, neighbours

    def fit(self, documents: Iterable[list[str]]) -> WordSpace:
        """Learn from texts, each as `stems` gives it."""
        documents = list(documents)
        frequency: Counter[str] = Counter()
        total: Counter[str] = Counter()
        for document in documents:
            frequency.update(set(document))
            total.update(document)
        met = {word for word, n in frequency.items() if n >= _MET}
        words = sorted(met | self._told(), key=lambda w: (-frequency[w], w))[: self.max_words]
        self.index_ = {word: index for index, word in enumerate(words)}
        count = len(documents)
        self.idf_ = np.array([math.log((count + 1) / (max(frequency[w], 1) + 0.5)) for w in words], dtype=np.float32)
        self.unseen_idf_ = math.log((count + 1) / 1.5)
        everything = max(sum(total.values()), 1)
        self.share_ = np.array([max(total[w], 0.5) / everything for w in words], dtype=np.float32)
        self.unseen_share_ = 0.5 / everything
        grams: Counter[str] = Counter()
        for word in met.intersection(words):
            for gram in _letter_grams(word):
                grams[gram] += frequency[word]
        self.gram_idf_ = {
            gram: float(np.float32(math.log((count + 1) / (min(n, count) + 0.5))))
            for gram, n in sorted(grams.items())
            if n >= 8
        }
        self._fit_vectors([[self.index_[w] for w in d if w in self.index_] for d in documents])
        self.subjects_ = Subjects(self.subjects or {})
        self._prepare()
        self.subjects_.fit(self._touched(document) for document in documents)
        sample = [self.raw(Counter(d)) for d in documents[:: max(1, count // 3000)] if len(d) > 5]
        background = np.array([v for v in sample if v.any()]).reshape(-1, self.vectors_.shape[1])
        if len(background) > 1:
            self.mean_ = background.mean(axis=0)
            values, basis = np.linalg.eigh(np.cov(background.T))
        else:
            self.mean_ = np.zeros(self.vectors_.shape[1])
            values, basis = np.ones(len(self.mean_)), np.eye(len(self.mean_))
        # Shrinking towards a sphere keeps directions that the background hardly used from taking over.
        values = np.maximum(values, 0) + values.mean()
        self.whitener_ = ((basis * values**-0.5) @ basis.T).astype(np.float32)
        self.covariance_ = ((basis * (values - values.mean() / 2)) @ basis.T).astype(np.float32)
        self.mean_ = self.mean_.astype(np.float32)
        share = self.share_ / max(float(self.share_.sum()), 1e-12)
        blocks = [_related(self._units[i : i + 1000], self._units) @ share for i in range(0, len(words), 1000)]
        self.kinship_ = np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.float32)
        return self

    def _told(self) -> set[str]:
        """The words of which the neighbours tell enough."""
        told: Counter[str] = Counter()
        for word, near in (self.neighbours or {}).items():
            told.update(near)
            told[word] += _TOLD
        return {word for word, n in told.items() if n >= _TOLD}

    def _near(self, documents):
        """How often words stand near each other, in texts and by what their neighbours are; sparse, shape
        (words, words)."""
        from scipy import sparse

        size = len(self.index_)
        gap = [-1] * self.window
        flat = np.array([index for document in documents for index in (*document, *gap)], dtype=np.int64)
        near = sparse.csr_matrix((size, size), dtype=np.float32)
        for offset in range(1, self.window + 1):
            left, right = flat[:-offset], flat[offset:]
            both = (left >= 0) & (right >= 0)
            ones = np.ones(int(both.sum()), dtype=np.float32)
            near = near + sparse.csr_matrix((ones, (left[both], right[both])), shape=(size, size))
        told = []
        for word, neighbours in (self.neighbours or {}).items():
            known = [self.index_[each] for each in neighbours if each in self.index_]
            if word in self.index_:
                place = self.index_[word]
                told += [(place, each, _TIMES * (1 - _LESS * rank)) for rank, each in enumerate(known)]
            told += [(*pair, _TIMES * _AMONG) for pair in itertools.combinations(known, 2)]
        if told:
            left, right, times = (np.array(each) for each in zip(*told, strict=True))
            near = near + sparse.csr_matrix((times.astype(np.float32), (left, right)), shape=(size, size))
        return (near + near.T).tocoo()

    def _fit_vectors(self, documents):
        # Serving does without both of them.
        from scipy import sparse
        from sklearn.utils.extmath import randomized_svd

        size, near = len(self.index_), self._near(documents)
        rows = np.bincount(near.row, near.data, minlength=size)
        columns = rows**0.75
        columns /= max(columns.sum(), 1e-12)
        value = np.log(np.maximum(near.data / np.maximum(rows[near.row] * columns[near.col], 1e-12), 1e-12))
        # Rare pairs have large but unreliable information.
        least = np.minimum(rows[near.row], rows[near.col])
        value *= near.data / (near.data + 1) * least / (least + 1)
        keep = (value > 0) & (near.row != near.col)
        matrix = sparse.csr_matrix((value[keep], (near.row[keep], near.col[keep])), shape=(size, size))
        k = max(1, min(self.dimensions, size - 1))
        left, singular, _ = randomized_svd(matrix, k, n_iter=3, random_state=self.seed)
        vectors = left * singular**0.25
        vectors /= max(np.median(np.linalg.norm(vectors, axis=1)), 1e-12)
        # A byte a number is enough for a cosine, and a quarter of the size.
        self._scale = np.maximum(np.quantile(np.abs(vectors), 0.999, axis=0) / 127, 1e-9).astype(np.float32)
        self._bytes = np.clip(np.round(vectors / self._scale), -127, 127).astype(np.int8)
        self.vectors_ = self._bytes * self._scale

    def _prepare(self):
        lengths = np.maximum(np.linalg.norm(self.vectors_, axis=1, keepdims=True), 1e-6)
        self._units = self.vectors_ / lengths
        weight = self.share_ * self.idf_
        self._mass_share = weight / max(float(weight.sum()), 1e-12)
        # Python's numbers are quicker to look up one by one, and numpy's all at once.
        self._idf, self._share = self.idf_.astype(float), self.share_.tolist()
        self._idf_of = self._idf.tolist()
        self._gram_idf = np.array(list(self.gram_idf_.values()))
        self._grams = {gram: place for place, gram in enumerate(self.gram_idf_)}
        rows = self.subjects_.rows
        self._subject_rows = np.array([rows.get(word, -1) for word in self.index_], dtype=np.int64)
        # Of the dictionary, not of self, as in `TopicModel._remember`.
        self._grams_of = reused(32_768)(functools.partial(_known_grams, self._grams))

    @functools.cached_property
    def _grams_by_word(self) -> tuple[np.ndarray, np.ndarray]:
        """The letter groups of all known words, one word after the other, and where each word's begin. Not made before
        they are needed: loading a model would take a fifth longer."""
        found = [_known_grams(self._grams, word) for word in self.index_]
        groups = np.array([place for places in found for place in places], dtype=np.int32)
        return groups, np.cumsum([0, *map(len, found)])

    def __getstate__(self):
        # Dictionaries go as one string and one array: joblib would read them entry by entry.
        derived = {"vectors_", "_units", "_mass_share", "index_", "gram_idf_"}
        derived |= {"_idf", "_share", "_idf_of", "_grams", "_gram_idf", "_grams_of", "_grams_by_word"}
        derived |= {"subjects", "neighbours", "_subject_rows"}
        state = {name: value for name, value in self.__dict__.items() if name not in derived}
        state["words"] = "\n".join(self.index_)
        state["grams"] = "\n".join(self.gram_idf_)
        state["gram_weights"] = np.array(list(self.gram_idf_.values()), dtype=np.float32)
        return state

    def __setstate__(self, state):
        words, grams, weights = state.pop("words"), state.pop("grams"), state.pop("gram_weights")
        self.__dict__.update(state)
        self.subjects = self.neighbours = None
        self.index_ = {word: index for index, word in enumerate(words.split("\n"))}
        self.gram_idf_ = dict(zip(grams.split("\n"), weights.tolist(), strict=True))
        self.vectors_ = self._bytes * self._scale
        self._prepare()

    def _touched(self, document):
        ids = np.array([self.index_.get(word, -1) for word in document], dtype=np.int64)
        rows = self._subject_rows[ids[ids >= 0]]
        rows = rows[rows >= 0]
        return self.subjects_.sums(rows, np.ones(len(rows)))

    def raw(self, counts: Counter) -> np.ndarray:
        """The unit vector of a text, before whitening; zeros where no word is known."""
        known = [(self.index_[word], count) for word, count in counts.items() if word in self.index_]
        ids = np.array([index for index, _ in known], dtype=np.int64)
        return self.vector(ids, (1 + np.log([count for _, count in known])) * self._idf[ids])

    def vector(self, ids: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The unit vector of weighted words; zeros where there are none."""
        if not len(ids):
            return np.zeros(self.vectors_.shape[1], dtype=np.float32)
        return _unit(weights.astype(np.float32) @ self.vectors_[ids])

    def idf(self, word: str) -> float:
        index = self.index_.get(word)
        return self.unseen_idf_ if index is None else self._idf_of[index]

    def share(self, word: str) -> float:
        index = self.index_.get(word)
        return self.unseen_share_ if index is None else self._share[index]

    def adjacent(self, words: list[str]) -> np.ndarray:
        """The pairs of words that stand side by side, each once, as numbers that are the same wherever they stand."""
        known = self.index_.get
        places = (_unseen(word) if (place := known(word)) is None else place for word in words)
        numbers = np.fromiter(places, dtype=np.int64, count=len(words))
        return np.unique(numbers[:-1] << 32 | numbers[1:])

    def adjacent_idf(self, adjacent: np.ndarray) -> np.ndarray:
        """The inverse document frequencies of both words of each pair that `adjacent` gives, added."""
        both = np.stack([adjacent >> 32, adjacent & 0xFFFFFFFF])
        seen = both < _UNSEEN
        return np.where(seen, self._idf[np.where(seen, both, 0)], self.unseen_idf_).sum(axis=0)

    def letters(self, ids: np.ndarray, unseen: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
        """The letter groups that are known, in order, of known words and of others; and their weights, of unit length
        together."""
        groups, starts = self._grams_by_word
        begins = starts[ids]
        sizes = starts[ids + 1] - begins
        within = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        found = groups[np.repeat(begins, sizes) + within]
        if rest := [place for word in unseen for place in self._grams_of(word)]:
            found = np.concatenate([found, np.array(rest, dtype=np.int32)])
        counts = np.bincount(found, minlength=len(self._gram_idf))
        places = np.flatnonzero(counts)
        weights = (1 + np.log(counts[places])) * self._gram_idf[places]
        return places, weights / (math.sqrt(weights @ weights) or 1.0)


_UNSEEN = 1 << 30  #: where the numbers of words begin that the space does not know


def _unseen(word: str) -> int:
    return _UNSEEN | zlib.crc32(word.encode("utf-8", "surrogatepass")) & (_UNSEEN - 1)


def _letter_grams(word: str) -> list[str]:
    """Groups of four letters within a word, its ends marked."""
    padded = f" {word} "
    return [padded[i : i + 4] for i in range(len(padded) - 3)] or [padded]


def _known_grams(places: dict[str, int], word: str) -> list[int]:
    return [places[gram] for gram in _letter_grams(word) if gram in places]


def _related(units, others):
    """How readily a word stands for another: what a translation model takes for the odds (see `_compare`)."""
    return np.exp(_SHARPNESS * (units @ others.T))


def _unit(vector):
    length = np.linalg.norm(vector)
    return vector / length if length > 1e-9 else vector * 0


class _Text:
    """What is known of one text: its words, vector, expected overlap.

    Attributes
    ----------
    counts : Counter
        Of its words.
    n : int
        All its words.
    length, mass : float
        Of the weights of its words, as a vector; the sum of their inverse document frequencies.
    ids, shares : ndarray, shape (known words,)
    unseen : list of str
        The other words.
    about : ndarray of float, shape (subjects,)
        How much it touches each subject, of unit length; zeros where it touches none.
    subject_mass : float
        How much it touches any.
    adjacent : ndarray of int64
        Its words that stand side by side, as `WordSpace.adjacent` gives them; of several texts, those of each.
    persons : ndarray of int, shape (5,)
        How many of its words speak of nobody, and of a man or a woman, in the order of `_PERSONS`.
    """

    __slots__ = (
        *("_letters", "about", "adjacent", "counts", "expected", "ids", "length", "mass", "n"),
        *("persons", "shares", "spread", "subject_mass", "unit", "unseen", "white"),
    )

    def __init__(self, space: WordSpace, counts: Counter, n: int, adjacent: np.ndarray, persons: np.ndarray):
        self.adjacent, self.persons = adjacent, persons
        self._letters: tuple[np.ndarray, np.ndarray] | None = None
        self.counts, self.n = counts, n
        lookup = space.index_.get
        places = [lookup(word, -1) for word in counts]
        self.ids, numbers = np.array(places, dtype=np.int64), np.array(list(counts.values()), dtype=float)
        self.unseen, unseen = [], _NO_NUMBERS
        if -1 in places:
            known = self.ids >= 0
            self.unseen = [word for word, place in zip(counts, places, strict=True) if place < 0]
            self.ids, numbers, unseen = self.ids[known], numbers[known], numbers[~known]
        idf = space._idf[self.ids]
        weights = (1 + np.log(numbers)) * idf
        rest = (1 + np.log(unseen)) * space.unseen_idf_
        self.length = math.sqrt(weights @ weights + rest @ rest) or 1.0
        self.mass = float(idf.sum()) + len(unseen) * space.unseen_idf_
        shares = numbers.astype(np.float32)
        self.shares = shares / max(float(shares.sum()), 1.0)
        self.expected = float(space._mass_share[self.ids].sum())
        self.unit = space.vector(self.ids, weights)
        self.white = _unit((self.unit - space.mean_) @ space.whitener_) if self.unit.any() else self.unit
        self.spread = math.sqrt(max(float(self.unit @ space.covariance_ @ self.unit), 1e-6))
        subjects = space.subjects_
        rows = space._subject_rows[self.ids]
        if self.unseen:
            lookup = subjects.rows.get
            rows = np.concatenate([rows, [lookup(word, -1) for word in self.unseen]])
            weights = np.concatenate([weights, rest])
        of_known = rows >= 0
        touched = subjects.sums(rows[of_known], weights[of_known])
        self.subject_mass = float(touched.sum())
        self.about = _unit(touched * subjects.idf_)

    def letters(self, space: WordSpace) -> tuple[np.ndarray, np.ndarray]:
        """As `WordSpace.letters`; most texts never need them."""
        if self._letters is None:
            self._letters = space.letters(self.ids, self.unseen)
        return self._letters

    def weight(self, space: WordSpace, word: str) -> float:
        """Of one of its words."""
        count = self.counts[word]
        return space.idf(word) if count == 1 else (1 + math.log(count)) * space.idf(word)


_NO_NUMBERS = np.zeros(0)


def _text(space: WordSpace, *texts: str) -> _Text:
    found = [[piece.text for piece in pieces(text)] for text in texts]
    words = [[stem for piece in those for stem in _piece_stems(piece)] for those in found]
    counts, adjacent = Counter(itertools.chain(*words)), np.concatenate([space.adjacent(those) for those in words])
    persons = np.array([_piece_person(piece) for those in found for piece in those], dtype=np.int64)
    return _Text(space, counts, counts.total(), adjacent, np.bincount(persons, minlength=5))


class _ArticleTexts:
    """An article seen whole, by its title, by passages and by names."""

    __slots__ = ("names", "passages", "title", "whole")

    def __init__(self, space, article: Article):
        self.whole = _text(space, article.title, article.title, article.body)
        self.title = _text(space, article.title)
        self.passages = [_text(space, passage) for passage in _passages(article.text)]
        self.names = names(article.text) | set(self.whole.counts)


def _passages(text):
    found: list[str] = []
    words: list[str] = []
    for sentence in _SENTENCE.split(text):
        words += sentence.split()
        if len(words) >= _PASSAGE:
            found.append(" ".join(words))
            words = []
    if words or not found:
        found.append(" ".join(words))
    return found[:_MOST_PASSAGES]


_PAIR = (
    *("cosine", "letters", "coverage", "overlap", "likelihood", "meaning", "nearness", "translation", "match"),
    "subjects",
)
# Evidence that is a sum over the words that both texts share, so that it can be told word by word.
_SUMS = ("cosine", "coverage", "likelihood")
_IN_COMMON = ("adjacent", "adjacent_mass", "rarest", "rare")
#: Evidence that is also multiplied with `_FACTORS`.
_MULTIPLIED = (
    *(f"article_{name}" for name in _PAIR),
    *(f"title_{name}" for name in _PAIR),
    "passage_cosine",
    "passage_meaning",
    "passage_translation",
    "new_names",
    "shared_names",
    *(f"parent_{name}" for name in _PAIR),
    *(f"thread_{name}" for name in _PAIR),
    *(f"around_{name}" for name in _PAIR),
    *(f"article_{name}" for name in _IN_COMMON),
    *(f"around_{name}" for name in _IN_COMMON),
    "he",
    "she",
    "any_cosine",
    "any_meaning",
    "context_meaning",
    "length",
    "mass",
    "article_length",
    "thread_length",
    "short",
    "has_parent",
    "link",
    "site_words",
    "selling_words",
    "subject_mass",
)
#: How like the comment is to each other one of the thread: to the nearest, to the three nearest, and on average.
_EACH = tuple(f"thread_{which}_{name}" for which in ("best", "top", "mean") for name in _PAIR)
FEATURES = _MULTIPLIED + _EACH
_INDEX = {name: index for index, name in enumerate(FEATURES)}
#: What `_MULTIPLIED` is multiplied with, beside itself.
_FACTORS = [_INDEX[name] for name in ("length", "mass", "article_length", "thread_length", "short", "has_parent")]
#: What a subject that comment and surroundings share weighs, of those of which each has its own coefficient: some
#: subjects say more than others of whether a comment belongs somewhere. Of 5 to 60 the best for the corpora left out.
_SHARED = 15.0
_PRODUCT = 0.5  #: weight of a product against 1 for the evidence itself: the smaller, the more it is regularised


def _shared(first: _Text, second: _Text) -> list[str]:
    """Words of both, in the order of the one that has fewer."""
    if len(first.counts) > len(second.counts):
        first, second = second, first
    counts = second.counts
    return [word for word in first.counts if word in counts]


def _cosine(space: WordSpace, first: _Text, second: _Text, shared: list[str]) -> float:
    product = sum(first.weight(space, word) * second.weight(space, word) for word in shared)
    return product / (first.length * second.length)


def _letter_cosine(space: WordSpace, first: _Text, second: _Text) -> float:
    fewer, more = first.letters(space), second.letters(space)
    if len(fewer[0]) > len(more[0]):
        fewer, more = more, fewer
    if not len(fewer[0]):
        return 0.0
    place = more[0].searchsorted(fewer[0])
    place[place == len(more[0])] = 0
    both = more[0][place] == fewer[0]
    return float(fewer[1][both] @ more[1][place[both]])


def _compare(space: WordSpace, comment: _Text, other: _Text) -> list[float]:
    """The features of `_PAIR`."""
    if not comment.n or not other.n:
        return _NO_PAIR
    shared = _shared(comment, other)
    mass = sum(space.idf(word) for word in shared)
    # How much likelier the comment's words are in this text than anywhere (Ponte & Croft, SIGIR 1998).
    likelihood = sum(
        comment.counts[word] * math.log1p(other.counts[word] / other.n / space.share(word)) for word in shared
    )
    nearness = 0.0
    if len(comment.ids) and len(other.ids):
        nearness = float(comment.unit @ (other.unit - space.mean_)) / comment.spread
    translation, match = _translation(space, comment, other)
    return [
        _cosine(space, comment, other, shared),
        _letter_cosine(space, comment, other),
        mass / comment.mass - other.expected,
        math.log1p(mass) - math.log1p(comment.mass * other.expected),
        likelihood / comment.n,
        float(comment.white @ other.white),
        nearness,
        translation,
        match,
        float(comment.about @ other.about),
    ]


def _translation(space: WordSpace, comment: _Text, other: _Text) -> tuple[float, float]:
    """How much likelier the comment's words are to stand for words of this text than for any (a translation language
    model after Berger & Lafferty, SIGIR 1999, with the word vectors for a dictionary), and how near the nearest is."""
    if not len(comment.ids) or not len(other.ids):
        return 0.0, 0.0
    ids = comment.ids[:_MOST_WORDS]
    near = space._units[ids] @ space._units[other.ids].T
    likelier = np.log(np.exp(_SHARPNESS * near) @ other.shares / space.kinship_[ids])
    idf = space.idf_[ids]
    mass = float(idf.sum())
    return float(likelier @ idf) / mass, float(np.maximum(near.max(axis=1), 0) @ idf) / mass


def _in_common(space: WordSpace, comment: _Text, other: _Text) -> list[float]:
    """The features of `_IN_COMMON`: how much words weigh that stand side by side in both, and rare words of both."""
    both = comment.adjacent[np.isin(comment.adjacent, other.adjacent)]
    mass = float(space.adjacent_idf(both).sum())
    idf = [space.idf(word) for word in _shared(comment, other)]
    return [
        mass / math.sqrt(len(comment.adjacent) + 1),
        math.log1p(mass),
        max(idf, default=0.0),
        sum(each for each in idf if each > _RARE) / math.sqrt(len(comment.counts) + 1),
    ]


def _persons(comment: _Text, other: _Text) -> list[float]:
    """How much more than comments do this text speaks of a man, where the comment says "he", and of a woman, where it
    says "she"."""
    said = comment.persons[[_HE, _SHE]] / math.sqrt(comment.persons.sum() + 1)
    spoken = other.persons[[_HE, _SHE]] + other.persons[[_MAN, _WOMAN]]
    share = (spoken + _STEADY * _SPOKEN) / (other.persons.sum() + _STEADY)
    return (said * np.log(share / _SPOKEN)).tolist()


def _translations(space: WordSpace, comment: _Text, others: list[_Text]) -> list[float]:
    """The first number of `_translation` for each of some texts."""
    if not len(comment.ids):
        return [0.0] * len(others)
    # The comment's part is the same for all. The texts' vectors could be one matrix, but single precision would then
    # round otherwise than where a text is compared alone.
    ids = comment.ids[:_MOST_WORDS]
    units, kinship, idf = space._units[ids], space.kinship_[ids], space.idf_[ids]
    mass = float(idf.sum())
    return [
        float(np.log(np.exp(_SHARPNESS * (units @ space._units[other.ids].T)) @ other.shares / kinship) @ idf) / mass
        if len(other.ids)
        else 0.0
        for other in others
    ]


_NO_PAIR = [0.0] * len(_PAIR)
_NO_THREAD = [0.0] * len(_EACH)


def _joined(space: WordSpace, texts: list[_Text]) -> _Text:
    """Several texts as one; a single one is that already."""
    if len(texts) == 1:
        return texts[0]
    counts = Counter(texts[0].counts)
    for text in texts[1:]:
        counts.update(text.counts.elements())  # counted faster than counts are added
    adjacent = np.concatenate([text.adjacent for text in texts])
    persons = np.sum([text.persons for text in texts], axis=0)
    return _Text(space, counts, sum(text.n for text in texts), adjacent, persons)


def _likest(compared: list[list[float]]) -> list[float]:
    """The features of `_EACH`: of each likeness the highest, the mean of the three highest, and of all."""
    falling = -np.sort(-np.array(compared), axis=0)
    return [*falling[0], *falling[:3].mean(axis=0), *falling.mean(axis=0)]


def _with_products(values: np.ndarray) -> np.ndarray:
    """Scaled evidence, and of that in `_MULTIPLIED` the squares and the products with `_FACTORS`; shape
    (n, features + subjects + multiplied * (1 + factors))."""
    named = values[:, : len(_MULTIPLIED)]
    return np.hstack([values, _PRODUCT * named**2, *(_PRODUCT * named * named[:, [i]] for i in _FACTORS)])


def _slopes(coefficients: np.ndarray, scaled: np.ndarray) -> np.ndarray:
    """What each piece of evidence adds to the logit, by unit, for one comment.

    Of a product each side is given a half, which is its Shapley value; the sum over ``slope * evidence`` is the logit
    less the intercept.
    """
    linear, named = coefficients[: len(scaled)], scaled[: len(_MULTIPLIED)]
    square, *products = coefficients[len(scaled) :].reshape(-1, len(named))
    slopes = linear.copy()
    slopes[: len(named)] += _PRODUCT * square * named
    for factor, product in zip(_FACTORS, products, strict=True):
        slopes[: len(named)] += _PRODUCT / 2 * product * named[factor]
        slopes[factor] += _PRODUCT / 2 * float(product @ named)
    return slopes


class _Gathered:
    """A comment and the texts around it, compared; what the evidence without and with the thread share is compared
    once."""

    def __init__(self, space: WordSpace, comment: Comment, own: _Text, article: _ArticleTexts, parent, thread):
        self.space, self.comment, self.own, self.article, self.parent = space, comment, own, article, parent
        self.each = thread
        self._merged: _Text | None = None
        self._of_article, self._of_parent = _compare(space, own, article.whole), _NO_PAIR
        head = self._of_article + _compare(space, own, article.title)
        head += [
            max(_cosine(space, own, passage, _shared(own, passage)) for passage in article.passages),
            max(float(own.white @ passage.white) for passage in article.passages),
            max(_translations(space, own, article.passages)),
        ]
        mentioned = names(comment.text)
        head += [math.log1p(len(mentioned - article.names)), math.log1p(len(mentioned & article.names))]
        if parent:
            self._of_parent = _compare(space, own, parent)
        self._head = head + self._of_parent
        self._in_common = _in_common(space, own, article.whole)

    def around(self, threaded: bool) -> dict[str, _Text]:
        """The texts that the comment stands under, by what they are."""
        found = {"article": self.article.whole}
        if self.parent:
            found["parent"] = self.parent
        if threaded:
            if self._merged is None:
                self._merged = _joined(self.space, self.each)
            found["thread"] = self._merged
        return found

    def evidence(self, threaded: bool) -> np.ndarray:
        """The evidence with or without the thread: `FEATURES`, and how much the comment and what it stands under share
        of each subject; float64, shape (features + subjects,)."""
        space, own, texts = self.space, self.own, self.around(threaded)
        compared = [self._of_article, *([self._of_parent] if self.parent else [])]
        of_thread, among, length = _NO_PAIR, _NO_THREAD, 0.0
        if threaded:
            of_thread = _compare(space, own, texts["thread"])
            compared.append(of_thread)
            among = _likest([_compare(space, own, text) for text in self.each])
            length = math.log1p(texts["thread"].n)
        around, of_around, in_common = self.article.whole, self._of_article, self._in_common
        if len(texts) > 1:
            around = _joined(space, list(texts.values()))
            of_around, in_common = _compare(space, own, around), _in_common(space, own, around)
        together = _unit(np.sum([text.white for text in texts.values()], axis=0))
        context = [
            *(max(values[_PAIR.index(name)] for values in compared) for name in ("cosine", "meaning")),
            float(own.white @ together),
        ]
        lengths = [math.log1p(own.n), math.log1p(own.mass), math.log1p(self.article.whole.n), length]
        text = self.comment.text
        tail = [float(own.n <= 3), float(self.parent is not None), float("://" in text or "www." in text)]
        tail += [math.log1p(sum(own.counts[word] for word in kind if word in own.counts)) for kind in (_SITE, _SELLING)]
        tail.append(math.log1p(own.subject_mass))
        shared = [*self._in_common, *in_common, *_persons(own, around)]
        named = [*self._head, *of_thread, *of_around, *shared, *context, *lengths, *tail, *among]
        return np.concatenate([named, own.about * around.about])


@dataclass
class TopicModel:
    """Weighs the evidence that a comment is off topic.

    Parameters
    ----------
    space : WordSpace
        Fitted.
    strength : float
        scikit-learn's C.

    Attributes
    ----------
    mean_, scale_ : ndarray, shape (features + subjects,)
    weighers_ : dict of bool to Linear
        For comments with a thread and without one.
    """

    space: WordSpace
    strength: float = 0.0015

    def __post_init__(self):
        self._remember()

    def _remember(self):
        space = self.space  # not self: the model is then gone with its last user and not when garbage is collected
        self._article = functools.lru_cache(maxsize=1024)(lambda article: _ArticleTexts(space, article))
        self._text = reused(4096, longest=4000)(lambda text: _text(space, text))

    def __getstate__(self):
        return {name: value for name, value in self.__dict__.items() if name not in {"_article", "_text"}}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._remember()

    def current(self) -> bool:
        """Whether the model weighs the evidence that is gathered, which a model of an earlier version may not."""
        expected = self._width + len(_MULTIPLIED) * (1 + len(_FACTORS))
        return all(len(weigher.coefficients) == expected for weigher in self.weighers_.values())

    def features(self, comment: Comment) -> np.ndarray:
        """The evidence on one comment, which must have an article; float64, shape (features + subjects,)."""
        return self._gathered(comment).evidence(bool(comment.thread))

    def _gathered(self, comment):
        return _Gathered(
            self.space,
            comment,
            self._text(comment.text),
            self._article(comment.article),
            self._text(comment.parent) if comment.parent else None,
            [self._text(text) for text in comment.thread],
        )

    def evidence(self, comments: Iterable[Comment]) -> tuple[np.ndarray, np.ndarray]:
        """The evidence on n comments without and with their threads; two arrays of shape (n, features + subjects)."""
        pairs = []
        for comment in comments:
            gathered = self._gathered(comment)
            bare = gathered.evidence(False)
            pairs.append((bare, gathered.evidence(True) if comment.thread else bare))
        bare, threaded = (np.array(side).reshape(-1, self._width) for side in zip(*pairs, strict=True))
        return bare, threaded

    @property
    def _width(self):
        return len(FEATURES) + len(self.space.subjects_.names)

    def fit(self, bare: np.ndarray, threaded: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> TopicModel:
        """Fit on the evidence on n comments, both without and with their threads.

        Parameters
        ----------
        bare, threaded : ndarray of float, shape (n, features + subjects)
            As `evidence` gives.
        labels : ndarray of float in 0..1, shape (n,)
            1 for off topic.
        weights : ndarray of float, shape (n,)
        """
        named, subjects = threaded[:, : len(FEATURES)], threaded.shape[1] - len(FEATURES)
        self.mean_ = np.concatenate([named.mean(axis=0, dtype=float), np.zeros(subjects)])
        self.scale_ = np.concatenate([named.std(axis=0, dtype=float) + 1e-3, np.full(subjects, 1 / _SHARED)])
        self.weighers_ = {
            with_thread: self._fit_weigher(values, np.asarray(labels, dtype=float), np.asarray(weights, dtype=float))
            for with_thread, values in ((True, threaded), (False, bare))
        }
        return self

    def changed(self, slope: float, intercept: float, change: np.ndarray) -> TopicModel:
        """A model whose logits are ``slope * logit + scaled evidence @ change + intercept``."""
        change = np.concatenate([change, np.zeros(len(_MULTIPLIED) * (1 + len(_FACTORS)))])
        new = copy.copy(self)
        new._remember()
        new.weighers_ = {
            with_thread: Linear(slope * weigher.coefficients + change, slope * weigher.intercept + intercept)
            for with_thread, weigher in self.weighers_.items()
        }
        return new

    def _fit_weigher(self, values, labels, weights):
        from sklearn.linear_model import LogisticRegression

        from moderation import soft

        terms = _with_products(self.scaled(values))
        return Linear.of(soft.fit(LogisticRegression(C=self.strength, max_iter=1000), terms, labels, weights))

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """Standardised evidence, without outliers."""
        scaled = (values - self.mean_) / self.scale_
        named = scaled[..., : len(FEATURES)]
        np.clip(named, -5, 5, out=named)
        return scaled

    def logits(self, comments: Iterable[Comment]) -> np.ndarray:
        """Logits of being off topic.

        Parameters
        ----------
        comments : iterable of n Comment
            Each with an article.

        Returns
        -------
        ndarray of float64, shape (n,)
        """
        values = np.array([self.features(comment) for comment in comments]).reshape(-1, self._width)
        return self.evidence_logits(values, np.array([bool(comment.thread) for comment in comments], dtype=bool))

    def evidence_logits(self, values: np.ndarray, threaded: np.ndarray) -> np.ndarray:
        """As `logits`, of evidence; `threaded` tells which rows have a thread."""
        result = np.zeros(len(values))
        values = self.scaled(values)
        for with_thread, weigher in self.weighers_.items():
            rows = threaded == with_thread
            if rows.any():
                result[rows] = weigher.logits(_with_products(values[rows]))
        return result

    def explain(self, comment: Comment) -> tuple[float, list[tuple[int, int, float]]]:
        """The logit, and what the words shared with the article, parent and thread add to it.

        Returns
        -------
        logit : float
        parts : list of (begin, end, weight)
            For each word of the comment that is shared, its place and its exact part of the logit (mostly below
            zero: it speaks for being on topic).
        """
        gathered = self._gathered(comment)
        scaled = self.scaled(gathered.evidence(bool(comment.thread)))
        weigher = self.weighers_[bool(comment.thread)]
        logit = float(weigher.logits(_with_products(scaled[None]))[0])
        slopes = _slopes(weigher.coefficients, scaled) / self.scale_
        # A clipped feature no longer depends on its words.
        slopes = np.where(np.abs(scaled) < 5, slopes, 0)
        found = pieces(comment.text)
        space, own = self.space, gathered.own
        others = gathered.around(bool(comment.thread))
        around = _joined(space, list(others.values()))
        others |= {"title": gathered.article.title, "around": around}
        parts: Counter[str] = Counter()
        for side, other in others.items():
            cosine, coverage, likelihood = (slopes[_INDEX[f"{side}_{name}"]] for name in _SUMS)
            if not own.n or not other.n:
                continue
            for word in own.counts:
                if word in other.counts:
                    parts[word] += (
                        cosine * own.weight(space, word) * other.weight(space, word) / (own.length * other.length)
                        + coverage * space.idf(word) / own.mass
                        + likelihood
                        * own.counts[word]
                        * math.log1p(other.counts[word] / other.n / space.share(word))
                        / own.n
                    )
        return logit, _places(found, parts, own.counts)


def _places(found: list[Piece], parts, counts) -> list[tuple[int, int, float]]:
    """Each word's part, shared out over the places where it stands."""
    placed = []
    for piece in found:
        weight = sum(parts[stem] / counts[stem] for stem in _piece_stems(piece.text) if stem in parts)
        if weight:
            placed.append((piece.begin, piece.end, float(weight)))
    return placed


# ---------------------------------------------------------------------------------------- training pairs

#: Fewest and most comments of the threads that are trained on.
THREAD = (3, 50)
LONG = 60  #: words from which an article can be cut short
_TITLE_ALONE = 0.4  #: of those that are
#: What a pair with a wrong article weighs, against 1 for one with the comment's own that nobody judged.
_WRONG = {"random": 0.5, "similar": 0.5, "any": 0.5, "nearest": 1.0}
_OF_ALL = ("any", "nearest")  #: kinds of wrong articles that are chosen from all, not from the fold


class Pairs(NamedTuple):
    """Comments, each with an article.

    Attributes
    ----------
    comments : list of n Comment
    labels, weights : ndarray of float, shape (n,)
    kinds : list of n str
        ``own``, or a kind of wrong article, see `pair`.
    corpora : list of n str
    own, paired : list of n str
        The keys of the article that the comment stands under, and of the one it is paired with.
    """

    comments: list[Comment]
    labels: np.ndarray
    weights: np.ndarray
    kinds: list[str]
    corpora: list[str]
    own: list[str]
    paired: list[str]


def pair(
    comments,
    articles: dict[str, Article],
    *,
    seed: int = 0,
    thread: tuple[int, int] = THREAD,
    wrong: Sequence[str] = ("random", "similar"),
    folds: dict[str, int] | None = None,
    short: float = 0.0,
) -> Pairs:
    """Comments with their own article and with wrong ones, for training or measuring.

    Each comment under an article gives a pair with it and with one wrong article of each kind. A comment that was
    judged off topic gives only the pair with its own article.

    Parameters
    ----------
    comments : DataFrame
        As `Dataset.comments`; rows without an article are left out.
    articles : dict of str to Article
    thread : (int, int)
        Fewest and most other comments of the article to take as its thread; twice as many are as likely as half as
        many, since a thread is read at all lengths.
    wrong : sequence of str
        Kinds of wrong articles: of the corpus's other ones in the same fold ``random`` and ``similar``, the most
        similar; of all of the corpus's other ones ``any``, at random, and ``nearest``, the most similar.
    folds : dict of str to int, optional
        The articles' folds; by default all are in one.
    short : float in 0..1
        Share of the pairs with an article of more than `LONG` words of which the article is cut to its title, or to
        that and its first sentence: some comment systems send no more.
    """
    rng, drawing, cutting = (np.random.default_rng(key) for key in (seed, [seed, 1], [seed, 2]))
    rows: list[tuple] = []
    under = comments[comments["article_id"] != ""]
    for corpus, group in under.groupby("corpus", sort=True):
        by_article = dict(iter(group.groupby("article_id", sort=True)))
        keys = list(by_article)
        texts = {key: part["text"].to_list() for key, part in by_article.items()}
        fold = np.array([folds[key] if folds else 0 for key in keys])
        other = ~np.eye(len(keys), dtype=bool)
        beside = other & (fold[:, None] == fold)
        likeness = _likeness(keys, articles) if len(keys) > 1 else np.zeros((1, 1))
        for place, (key, part) in enumerate(by_article.items()):
            among = {kind: np.flatnonzero((other if kind in _OF_ALL else beside)[place]) for kind in wrong}
            for row in part.itertuples():
                judged = row.off_topic
                off = 0.0 if np.isnan(judged) else judged
                own = _placed(row, key, texts, articles, drawing, thread, row.parent_text)
                rows.append((own, off, 1.0 if np.isnan(judged) else 2.0, "own", corpus, key, key))
                if off > 0.3:
                    continue
                for kind, places in among.items():
                    if not len(places):
                        continue
                    drawn = kind in ("random", "any")
                    best = rng.integers(len(places)) if drawn else likeness[place, places].argmax()
                    paired = keys[places[best]]
                    parent = ""
                    if row.parent_text:
                        parent = texts[paired][rng.integers(len(texts[paired]))]
                    made = _placed(row, paired, texts, articles, drawing, thread, parent)
                    rows.append((made, 1.0, _WRONG[kind], kind, corpus, key, paired))
    if not rows:
        return Pairs([], np.zeros(0), np.zeros(0), [], [], [], [])
    made, labels, weights, *names = map(list, zip(*rows, strict=True))
    made = [_shortened(comment, cutting) if cutting.random() < short else comment for comment in made]
    return Pairs(made, np.array(labels), np.array(weights), *names)


def _shortened(comment, rng):
    article = comment.article
    if len(article.text.split()) <= LONG:
        return comment
    body = "" if rng.random() < _TITLE_ALONE else _SENTENCE.split(article.body)[0]
    return replace(comment, article=Article(article.title, body))


def _placed(row, key, texts, articles, rng, thread, parent):
    others = [text for text in texts[key] if text != row.text]
    fewest, most = thread
    size = min(len(others), int(fewest * ((most + 1) / fewest) ** rng.random()))
    chosen = tuple(others[i] for i in rng.choice(len(others), size, replace=False)) if size else ()
    return Comment(row.text, row.id, articles[key], parent, chosen)


def _likeness(keys, articles):
    """Of each article to each other: the cosine of their stems' TF-IDF weights; shape (keys, keys)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    matrix = TfidfVectorizer(analyzer=stems, sublinear_tf=True).fit_transform([articles[key].text for key in keys])
    return (matrix @ matrix.T).toarray()
