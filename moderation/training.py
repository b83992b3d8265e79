"""Fitting, calibrating and adapting models, and choosing thresholds."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import optimize, sparse
from sklearn.linear_model import LogisticRegression

from moderation import anylabel, grades, labels, processes, soft
from moderation import dataset as datasets
from moderation.comments import LABELS, Comment, DataError
from moderation.composition import compose
from moderation.corpus import Corpus, Counts, Features
from moderation.dataset import Dataset
from moderation.evaluation import curve, rate_weights
from moderation.features import CUES, LENGTHS, WORDS
from moderation.linear import Linear
from moderation.model import OFF_TOPIC, TEXT_LABELS, Calibration, Model
from moderation.thresholds import best_threshold
from moderation.topic import THREAD, TopicModel, WordSpace, pair, stems
from moderation.transformer import fitted_union

BASE_RATES = {label.name: label.base_rate for label in labels.ALL}
#: Share of comments that any label of the text applies to, of the comments that gave the labels' rates. Whether one is
#: off-topic as well is taken for independent.
_ANY = 0.10
ANY_RATES = {anylabel.TEXT: _ANY, anylabel.ARTICLE: 1 - (1 - _ANY) * (1 - BASE_RATES[OFF_TOPIC])}


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a model becomes, beside its data.

    Attributes
    ----------
    characters : (int, int)
        Shortest and longest character n-gram.
    min_df : int
        Comments in which an n-gram must occur.
    max_words, max_characters : int
        Most n-grams kept of each sort.
    cue_weight : float
        See `moderation.transformer.make_union`.
    strength : dict of str to float
        scikit-learn's C for each label.
    ratio_power : float
        How much further from zero the coefficient of an n-gram may be that stands more often where the label applies,
        or where it does not, than one that stands as often in both; see `ratio_spread`. 0 for no further.
    word_hint, pair_hint : float
        How far the coefficients of graded words, and of graded pairs of words, may move together in the direction of
        their grades; see `moderation.grades.hints`.
    graded_spread : dict of str to float
        For a label, how much further from zero the coefficients of graded words and pairs may each be, where not 0;
        see `graded_spread`.
    ungraded_spread : dict of str to float
        For a label, how far those of all other features may be where n-grams have grades, where not 1.
    calibrated_on : dict of str to tuple of str
        For a label, the corpora whose held-out rows give probabilities, curves and thresholds;
        all where none is named or none of the named is there. A corpus of comments that were selected as
        likely abusive says nothing about how likely abuse is.
    corpus_weights : dict of str to dict of str to float
        For a label, weights of the rows of a corpus, where not 1.
    composed : int
        Long comments put together from others for training, see `moderation.composition`; about.
    composed_share : float
        Of these, how many get a part that is abusive or mocking.
    composed_words : (int, int)
        Fewest and most words of them.
    composed_weight : float
        Of each, against 1 for a comment: there are few of them, and by length the others say what they will.
    composed_weights : dict of str to float
        For a label, this weight where another.
    sentence_weight : float
        Weight of a graded sentence (see `moderation.grades.attach_sentences`) that trains beside its comment, against
        that of the comment.
    sentence_weights : dict of str to dict of str to float
        For a label, this weight for the sentences of a corpus, where another.
    sentence_words : int
        Fewest words of it.
    graded_share : dict of str to float
        For a corpus, how much a grade (see `moderation.grades`) counts against the corpus's own label where a row
        has both.
    base_rates : dict of str to float
    thresholds : dict of str to str
        For each label the requirement that chooses its threshold.
    any_rates : dict of str to float
        Share of comments to which any label applies, without an article and under one.
    short_articles : float
        Share of the pairs with a long article of which `off_topic` learns with no more than its beginning, see
        `moderation.topic.pair`.
    n_splits, seed : int
    """

    characters: tuple[int, int] = LENGTHS
    min_df: int = 3
    max_words: int = 80_000
    max_characters: int = 160_000
    cue_weight: float = 0.06
    strength: dict[str, float] = field(
        default_factory=lambda: {label.name: label.strength for label in labels.ALL if label.name != OFF_TOPIC}
    )
    corpus_weights: dict[str, dict[str, float]] = field(
        default_factory=lambda: {
            "abusive": {
                "data": 1.5,
                "civil_comments": 2.0,
                "changemyview": 1.5,
                "fox_news": 2.0,
                "nyt_room_for_debate": 2.0,
            },
            "mocking": {
                "data": 0.5,
                "civil_comments": 2.0,
                "fox_news": 2.0,
                "nyt_room_for_debate": 4.0,
                "wikipedia_talk": 0.5,
            },
        }
    )
    ratio_power: float = 0.1
    word_hint: float = 0.15
    pair_hint: float = 3.0
    graded_spread: dict[str, float] = field(default_factory=lambda: {"mocking": 6.0})
    ungraded_spread: dict[str, float] = field(default_factory=lambda: {"mocking": 0.55})
    calibrated_on: dict[str, tuple[str, ...]] = field(
        default_factory=lambda: dict.fromkeys(
            TEXT_LABELS, ("data", "fox_news", "nyt_room_for_debate", "wikipedia_talk")
        )
    )
    composed: int = 3_000
    composed_share: float = 0.05
    composed_words: tuple[int, int] = (20, 300)
    composed_weight: float = 4.0
    composed_weights: dict[str, float] = field(default_factory=lambda: {"mocking": 0.4})
    sentence_weight: float = 0.5
    sentence_weights: dict[str, dict[str, float]] = field(default_factory=lambda: {"mocking": {"data": 0.1}})
    sentence_words: int = 3
    graded_share: dict[str, float] = field(
        default_factory=lambda: {
            "civil_comments": 0.7,
            "fox_news": 0.4,
            "nyt_room_for_debate": 0.5,
            "wikipedia_talk": 0.5,
        }
    )
    base_rates: dict[str, float] = field(default_factory=lambda: dict(BASE_RATES))
    thresholds: dict[str, str] = field(default_factory=lambda: {label.name: label.requirement for label in labels.ALL})
    any_rates: dict[str, float] = field(default_factory=lambda: dict(ANY_RATES))
    short_articles: float = 0.25
    n_splits: int = 5
    seed: int = 0

    def rates(self, kind: str) -> tuple[list[float], float]:
        """Base rates of the labels that comments have without an article (`moderation.anylabel.TEXT`) or under one
        (`ARTICLE`), and of any of them."""
        labels = TEXT_LABELS if kind == anylabel.TEXT else LABELS
        return [self.base_rates[label] for label in labels], self.any_rates[kind]


def fit_classifier(
    matrix: sparse.csr_matrix,
    labels: np.ndarray,
    weights: np.ndarray,
    strength: float,
    spread: np.ndarray | None = None,
    shared: sparse.csr_matrix | None = None,
) -> LogisticRegression:
    """Logistic regression on soft labels.

    A row with label p trains as a positive of weight p and a negative of weight 1 - p, which is the cross-entropy
    to p.

    Parameters
    ----------
    matrix : sparse, shape (n, features)
    labels : ndarray of float in 0..1, shape (n,)
    weights : ndarray of float, shape (n,)
    strength : float
        C.
    spread : ndarray of float, shape (features,), optional
    shared : sparse, shape (features, directions), optional
        As for `moderation.soft.fit`.

    Raises
    ------
    DataError
        When only one class is there.
    """
    return soft.fit(LogisticRegression(C=strength, max_iter=300, tol=2e-5), matrix, labels, weights, spread, shared)


_LEAST_RATIO = 0.02
_UNSEEN = 20  #: comments that every n-gram is taken to have stood in with the label, and without: few say little
_ROWS = 2_000  #: rows that are counted at a time


def ratio_spread(
    matrix: sparse.csr_matrix, labels: np.ndarray, weights: np.ndarray, ngrams: int, power: float
) -> np.ndarray:
    """How far from zero each coefficient is expected, by how unevenly its n-gram stands with and without the label.

    A power of the logarithm of the ratio of the n-gram's shares in both classes [1]_; between ridge regression on
    plain TF-IDF (power 0) and on features weighted by the ratio (power 1). A small power helps with comments of
    corpora that were left out of training; a large one leaves less to the n-grams that are rare.

    Parameters
    ----------
    matrix : sparse, shape (n, features)
        N-grams first.
    labels : ndarray of float in 0..1, shape (n,)
    weights : ndarray of float, shape (n,)
    ngrams : int
        How many of the features are n-grams; the coefficients of others are expected at 1.
    power : float

    Returns
    -------
    ndarray of float, shape (features,)
        That of the n-grams has a mean square of 1, so that C means the same whatever the power.

    References
    ----------
    .. [1] S. Wang, C. D. Manning, "Baselines and bigrams: simple, good sentiment and topic classification", ACL 2012.
    """
    with_label = np.full(matrix.shape[1], _UNSEEN, dtype=float)
    without = with_label.copy()
    for begin in range(0, matrix.shape[0], _ROWS):
        part = matrix[begin : begin + _ROWS]
        part.data = np.ones_like(part.data)
        truth, weight = labels[begin : begin + _ROWS], weights[begin : begin + _ROWS]
        with_label += part.T @ (weight * truth)
        without += part.T @ (weight * (1 - truth))
    ratio = np.abs(np.log(with_label / with_label.sum()) - np.log(without / without.sum()))
    spread = np.ones(matrix.shape[1])
    spread[:ngrams] = np.maximum(ratio[:ngrams], _LEAST_RATIO) ** power
    spread[:ngrams] /= np.sqrt((spread[:ngrams] ** 2).mean()) if ngrams else 1.0
    return spread


def graded_spread(hints: sparse.csr_matrix, features: int, factor: float, others: float = 1.0) -> np.ndarray:
    """How much further from zero each coefficient is expected where its n-gram has a grade, and nearer where not.

    Few of the many n-grams say anything by themselves. One that was read and given no grade, as the name of a place, is
    more likely to stand beside a label by chance: in the comments under one article, say.

    Parameters
    ----------
    hints : sparse, shape (words, directions)
        As `moderation.grades.hints` gives them, of the first features.
    features : int
    factor : float
        What the highest grade adds, as a multiple of `others`.
    others : float
        Where there is no grade; of no n-gram any, it is 1.

    Returns
    -------
    ndarray of float, shape (features,)
    """
    spread = np.ones(features)
    if not hints.count_nonzero():
        return spread
    # The hints are squares of grades.
    spread[: hints.shape[0]] += factor * np.sqrt(hints.max(axis=1).toarray().ravel())
    return others * spread


def row_weights(comments: pd.DataFrame, label: str, recipe: Recipe) -> np.ndarray:
    """Weight of each row in training `label`."""
    weights = _by_corpus(comments, recipe.corpus_weights.get(label, {}), 1.0)
    return weights * comments["weight"].to_numpy() if "weight" in comments else weights


def _by_corpus(comments: pd.DataFrame, values: dict[str, float], otherwise: float) -> np.ndarray:
    return np.array([values.get(corpus, otherwise) for corpus in comments["corpus"]])


def training_labels(comments: pd.DataFrame, label: str, recipe: Recipe) -> np.ndarray:
    """The labels as they train: where a row was graded too, the mixture of both."""
    own = comments[label].to_numpy(dtype=float)
    graded = _graded(comments, label)
    share = _by_corpus(comments, recipe.graded_share, 1.0)
    mixed = np.where(np.isnan(own), graded, share * graded + (1 - share) * own)
    return np.where(np.isnan(graded), own, mixed)


def reference_labels(comments: pd.DataFrame, label: str) -> np.ndarray:
    """The labels that probabilities and thresholds are fitted to: one line through all corpora where there are
    grades, the corpus's own label elsewhere."""
    graded = _graded(comments, label)
    return np.where(np.isnan(graded), comments[label].to_numpy(dtype=float), graded)


def _graded(comments, label):
    column = f"graded_{label}"
    return comments[column].to_numpy(dtype=float) if column in comments else np.full(len(comments), np.nan)


@dataclass(frozen=True)
class _Sentences:
    """Graded sentences that train beside the comments they are from: which row that is, and their labels."""

    texts: list[str]
    rows: np.ndarray
    labels: dict[str, np.ndarray]


def _sentences(comments: pd.DataFrame, fewest_words: int) -> _Sentences:
    graded = comments["graded_sentences"] if "graded_sentences" in comments else [()] * len(comments)
    found = [
        (text[begin:end], row, abusive, mocking)
        for row, (text, sentences) in enumerate(zip(comments["text"], graded, strict=True))
        for begin, end, abusive, mocking in sentences
        if len(text[begin:end].split()) >= fewest_words
    ]
    texts, rows, abusive, mocking = zip(*found, strict=True) if found else ((),) * 4
    values = {label: np.full(len(found), np.nan) for label in TEXT_LABELS}
    values |= {"abusive": np.array(abusive, dtype=float), "mocking": np.array(mocking, dtype=float)}
    return _Sentences(list(texts), np.array(rows, dtype=np.int64), values)


#: What trains beside the comments.
COMPOSED, SENTENCE = "composed", "sentence"


class TextTrainer:
    """Fits the text labels on any rows of a data set whose n-grams are counted once.

    Parameters
    ----------
    comments : DataFrame
        As `Dataset.comments`.
    recipe : Recipe
    progress : callable, optional
        Wraps an iterable to show how far it is.
    jobs : int
        Processes.
    ngrams : dict of str to tuple of float, optional
        Grades of words and pairs of words, as `Dataset.ngrams`.

    Attributes
    ----------
    folds : list of (ndarray, ndarray)
        Training and test rows.
    parts : list of ndarray of int
        For each row that trains beside the comments, the comments it is made of: it trains with all of these.
    kinds : ndarray of str, shape (added rows,)
        What these are: composed comments, or sentences.
    added : frozenset of str
        The kinds that train.
    """

    def __init__(
        self,
        comments: pd.DataFrame,
        recipe: Recipe,
        progress=iter,
        *,
        jobs: int = 1,
        ngrams: dict[str, tuple[float, ...]] | None = None,
    ):
        self.comments, self.recipe, self.jobs = comments.reset_index(drop=True), recipe, jobs
        self.labels = {label: training_labels(self.comments, label, recipe) for label in TEXT_LABELS}
        self.weights = {label: row_weights(self.comments, label, recipe) for label in TEXT_LABELS}
        self.folds = datasets.folds(self.comments, n_splits=recipe.n_splits, seed=recipe.seed)
        deal = np.zeros(len(comments), dtype=np.int64)
        for number, (_, test) in enumerate(self.folds):
            deal[test] = number
        composed = compose(self.comments, self.labels, deal, recipe)
        graded = _sentences(self.comments, recipe.sentence_words)
        self.parts = [*composed.parts, *graded.rows[:, None]]
        self.added = frozenset([COMPOSED, SENTENCE])
        self.kinds = np.repeat([COMPOSED, SENTENCE], [len(composed.parts), len(graded.rows)])
        for label in TEXT_LABELS:
            share = _by_corpus(self.comments, recipe.sentence_weights.get(label, {}), recipe.sentence_weight)
            of_sentences = (share * self.weights[label])[graded.rows]
            self.labels[label] = np.concatenate([self.labels[label], composed.labels[label], graded.labels[label]])
            weight = recipe.composed_weights.get(label, recipe.composed_weight)
            of_composed = np.full(len(composed.parts), weight)
            self.weights[label] = np.concatenate([self.weights[label], of_composed, of_sentences])
        texts = [*self.comments["text"], *composed.texts, *graded.texts]
        ngrams = ngrams or {}
        # What is graded need not have been read: it is then weighed by its grades alone.
        self.corpus = Corpus(
            texts, characters=recipe.characters, min_df=recipe.min_df, listed=ngrams, progress=progress, jobs=jobs
        )
        self.hints = grades.hints(self.corpus.names[WORDS], ngrams)

    def fit(self, rows: np.ndarray, labels=TEXT_LABELS) -> tuple[Features, dict[str, LogisticRegression]]:
        """The features and the classifiers of `labels`, trained on `rows`, and what is made of these, alone."""
        return _fit_text(self.corpus.counts, self._part(rows, labels), self.recipe, self.hints)

    def _part(self, rows, labels):
        """The rows that train, those that are made of them among them, with what each trains as."""
        used = np.zeros(len(self.comments), dtype=bool)
        used[rows] = True
        added = np.isin(self.kinds, list(self.added))
        whole = [number for number, parts in enumerate(self.parts) if added[number] and used[parts].all()]
        rows = np.concatenate([rows, len(self.comments) + np.array(whole, dtype=np.int64)])
        return rows, {label: (self.labels[label][rows], self.weights[label][rows]) for label in labels}

    def logits(self, features: Features, classifiers, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Logits of `rows`, by label."""
        return _logits(self.corpus.counts, features, classifiers, rows)

    def unseen(self, splits: Sequence[tuple[np.ndarray, np.ndarray, Sequence[str]]], progress=iter):
        """For each split into rows that train, rows that do not, and labels: what `fit` gives of the former, and the
        logits of the latter by label."""
        counts, recipe = self.corpus.counts, self.recipe
        work = [(counts, self._part(train, labels), recipe, self.hints, test) for train, test, labels in splits]
        return processes.each(_fit_and_score, work, self.jobs, progress)

    def cross_fit(self, progress=iter) -> tuple[Features, dict[str, LogisticRegression], dict[str, np.ndarray]]:
        """What `fit` gives of all rows; and logits of every row from a model that was not trained on it, NaN for a
        row in no test fold."""
        everything = np.arange(len(self.comments)), np.zeros(0, dtype=np.int64)
        splits = [(*split, TEXT_LABELS) for split in (everything, *self.folds)]
        (features, classifiers, _), *found = self.unseen(splits, progress)
        result = {label: np.full(len(self.comments), np.nan) for label in TEXT_LABELS}
        for (_, test), (_, _, by_label) in zip(self.folds, found, strict=True):
            for label, logits in by_label.items():
                result[label][test] = logits
        return features, classifiers, result


def _fit_text(counts: Counts, part, recipe, hints):
    rows, by_label = part
    features = counts.choose(
        rows,
        min_df=recipe.min_df,
        max_words=recipe.max_words,
        max_characters=recipe.max_characters,
        cue_weight=recipe.cue_weight,
    )
    blocks = features.blocks()
    graded = hints[features.columns[WORDS]]
    shared = graded @ sparse.diags_array(grades.scales(recipe.word_hint, recipe.pair_hint))
    shared.resize(blocks[CUES].stop, shared.shape[1])  # the words are the first features, and the others have no grades
    classifiers = {}
    for label, (truth, weights) in by_label.items():
        known = ~np.isnan(truth)
        matrix = counts.transform(features, rows[known], np.float32)
        truth, weights = truth[known], weights[known]
        spread = ratio_spread(matrix, truth, weights, blocks[CUES].start, recipe.ratio_power)
        further, others = recipe.graded_spread.get(label, 0.0), recipe.ungraded_spread.get(label, 1.0)
        spread *= graded_spread(graded, matrix.shape[1], further, others)
        classifiers[label] = fit_classifier(matrix, truth, weights, recipe.strength[label], spread, shared)
        del matrix
        # Half the bytes; scores move by less than a millionth.
        classifiers[label].coef_ = classifiers[label].coef_.astype(np.float32)
    return features, classifiers


def _logits(counts, features, classifiers, rows):
    if not len(rows):
        return {}
    matrix = counts.transform(features, rows)
    return {label: classifier.decision_function(matrix) for label, classifier in classifiers.items()}


def _fit_and_score(counts, part, recipe, hints, rows):
    features, classifiers = _fit_text(counts, part, recipe, hints)
    return features, classifiers, _logits(counts, features, classifiers, rows)


def calibrate(logits: np.ndarray, labels: np.ndarray, base_rate: float, weights=None) -> Calibration:
    """Fit probabilities to out-of-fold logits, as they would be at `base_rate` (Platt, 1999).

    Parameters
    ----------
    logits, labels : ndarray of float, shape (n,)
    base_rate : float
    weights : ndarray of float, shape (n,), optional
    """
    negative, positive = rate_weights(labels, base_rate, weights)
    scale = len(logits)
    fitted = LogisticRegression(C=np.inf, max_iter=1000).fit(
        np.concatenate([logits, logits])[:, None],
        np.repeat([0, 1], len(logits)),
        sample_weight=np.concatenate([negative, positive]) * scale,
    )
    return Calibration(float(fitted.coef_[0, 0]), float(fitted.intercept_[0]))


def choose_threshold(requirement: str, points: dict[str, list[float]]) -> float:
    """The threshold that meets a requirement; a half where none does."""
    best = best_threshold(requirement, points)
    return round(best["threshold"], 4) if best else 0.5


# ---------------------------------------------------------------------------------------- adapting


@dataclass(frozen=True)
class Outcome:
    """What adapting did to one label.

    Attributes
    ----------
    positives, negatives : int
        Labelled rows that it was trained on.
    adapted : bool
        False where there were too few and the label stays as it was.
    """

    positives: int
    negatives: int
    adapted: bool


FEWEST = 8  #: positives and negatives below which a label is left as it is
_PRIOR_SPREAD = 0.25  # of the factor on the base model's logit, around 1


def fit_around(matrix, base_logits, labels, weights, strength) -> tuple[float, np.ndarray, float]:
    """Logistic regression around a given model: what that says stays, except as far as the data speak against it.

    Minimises the cross-entropy of ``factor * base_logits + matrix @ change + shift`` with Gaussian priors: `change`
    around 0 with variance `strength`, `factor` around 1 (a maximum a posteriori form of the prior-centred adaptation
    of Chelba & Acero, EMNLP 2004).

    Parameters
    ----------
    matrix : sparse or ndarray, shape (n, features)
    base_logits, labels, weights : ndarray of float, shape (n,)
    strength : float

    Returns
    -------
    factor : float
    change : ndarray of float64, shape (features,)
    shift : float
    """
    change = np.zeros(matrix.shape[1])
    if sparse.issparse(matrix):
        # Of what stands in no row nothing changes, and that is most of it.
        there = np.flatnonzero(matrix.getnnz(axis=0))
        matrix = matrix[:, there]
        transposed = matrix.T.tocsr()
    else:
        there, transposed = np.arange(len(change)), matrix.T

    def objective(parameters):
        factor, shift, part = parameters[0], parameters[1], parameters[2:]
        logits = factor * base_logits + matrix @ part + shift
        loss = (weights * (np.logaddexp(0, logits) - labels * logits)).sum()
        loss += 0.5 * (part @ part) / strength + 0.5 * ((factor - 1) / _PRIOR_SPREAD) ** 2
        error = weights * (1 / (1 + np.exp(-np.clip(logits, -40, 40))) - labels)
        gradient = np.concatenate(
            [
                [error @ base_logits + (factor - 1) / _PRIOR_SPREAD**2, error.sum()],
                transposed @ error + part / strength,
            ]
        )
        return loss, gradient

    start = np.zeros(len(there) + 2)
    start[0] = 1.0
    found = optimize.minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 200})
    change[there] = found.x[2:]
    return float(found.x[0]), change, float(found.x[1])


def _adapt_one(matrix, base_logits, labels, weights, strength, base_rate):
    """`fit_around` with the shift brought from the sample's rate of positives to `base_rate` (King & Zeng, 2001)."""
    factor, change, shift = fit_around(matrix, base_logits, labels, weights, strength)
    rate = np.clip(np.average(labels, weights=weights), 1e-3, 1 - 1e-3)
    return factor, change, shift + _log_odds(base_rate) - _log_odds(rate)


def _log_odds(rate):
    return float(np.log(rate) - np.log1p(-rate))


#: Prior variance of the changed coefficients, by what they belong to.
ADAPT_STRENGTH = {label.name: label.adapts for label in labels.ALL}
_ENOUGH_TO_CALIBRATE = 40  # positives


def adapt(base: Model, data: Dataset, *, recipe: Recipe | None = None, seed: int = 0, steps=lambda description: iter):
    """Adapt a model to a newsroom's labelled comments.

    Parameters
    ----------
    base : Model
    data : Dataset
        What may train.
    steps : callable, optional
        Takes what is done, and gives what wraps an iterable to show how far it is.

    Returns
    -------
    model : Model
        Of the same form as `base`.
    outcomes : dict of str to Outcome
    held : dict of str to Held
        For each adapted label, out-of-fold rows of `data`.
    """
    recipe = recipe or Recipe()
    comments = data.comments.reset_index(drop=True)
    folds = _folds(comments, recipe.n_splits, seed)
    weighers, calibrations, thresholds = (
        dict(base.weighers),
        dict(base.calibrations),
        dict(base.thresholds),
    )
    outcomes, held = {}, {}
    texts = list(comments["text"])
    reading = steps("Reading comments")(range(0, len(texts), 200))
    union = fitted_union(base.space)
    parts = [union.transform(texts[begin : begin + 200]) for begin in reading]
    matrix = sparse.vstack(parts, format="csr")
    for label in TEXT_LABELS:
        labels = comments[label].to_numpy(dtype=float)
        weigher, calibration = base.weighers[label], base.calibrations[label]
        logits = calibration.logit(weigher.logits(matrix))
        outcome, fitted = _adapt_label(
            matrix,
            logits,
            labels,
            row_weights(comments, label, Recipe(corpus_weights={})),
            label,
            folds,
            recipe,
            steps(f"Learning {label}"),
        )
        outcomes[label] = outcome
        if fitted is None:
            continue
        factor, change, shift, out_of_fold = fitted
        weighers[label] = Linear(
            (factor * calibration.slope * weigher.coefficients + change).astype(np.float32),
            factor * (calibration.slope * weigher.intercept + calibration.intercept) + shift,
        )
        calibrations[label], thresholds[label], held[label] = _finish(
            label, out_of_fold, labels, base.thresholds[label], recipe
        )
    topic = base.topic
    pairs, pair_labels, pair_weights, *_ = pair(_some(comments, seed), data.articles, seed=seed)
    if pairs:
        bare, threaded = base.topic.evidence(steps("Comparing with articles")(pairs))
        values = base.topic.scaled(np.concatenate([bare, threaded]))
        with_thread = np.repeat([False, True], len(pairs))
        calibration = base.calibrations[OFF_TOPIC]
        own_logits = calibration.logit(base.topic.evidence_logits(np.concatenate([bare, threaded]), with_thread))
        pair_labels = np.tile(pair_labels, 2)
        groups = np.tile([comment.id for comment in pairs], 2)
        outcome, fitted = _adapt_label(
            values,
            own_logits,
            pair_labels,
            np.tile(pair_weights, 2) / 2,
            OFF_TOPIC,
            _folds_by(groups, recipe.n_splits, seed),
            recipe,
        )
        outcomes[OFF_TOPIC] = outcome
        if fitted is not None:
            factor, change, shift, out_of_fold = fitted
            topic = base.topic.changed(factor * calibration.slope, factor * calibration.intercept + shift, change)
            calibrations[OFF_TOPIC], thresholds[OFF_TOPIC], held[OFF_TOPIC] = _finish(
                OFF_TOPIC, out_of_fold, pair_labels, base.thresholds[OFF_TOPIC], recipe
            )
    else:
        outcomes[OFF_TOPIC] = Outcome(0, 0, False)
    model = Model(base.space, weighers, topic, calibrations, thresholds, any_label=base.any_label)
    return model, outcomes, held


_ENOUGH_TO_PAIR = 1_500  # comments; more move the weights of the evidence no further


def _some(comments, seed):
    """The comments whose off_topic was judged, and as many of the others as are of use."""
    judged = np.flatnonzero(comments[OFF_TOPIC].notna())
    others = np.random.default_rng(seed).permutation(np.flatnonzero(comments[OFF_TOPIC].isna()))
    positives = judged[comments[OFF_TOPIC].to_numpy()[judged] >= 0.5]
    negatives = np.random.default_rng(seed).permutation(np.setdiff1d(judged, positives))
    rest = np.concatenate([negatives, others])[: max(0, _ENOUGH_TO_PAIR - len(positives))]
    return comments.iloc[np.sort(np.concatenate([positives, rest]))]


def _adapt_label(matrix, logits, labels, weights, label, folds, recipe, progress=iter):
    known = np.flatnonzero(~np.isnan(labels))
    positives = int((labels[known] >= 0.5).sum())
    enough = min(positives, len(known) - positives) >= FEWEST
    outcome = Outcome(positives, len(known) - positives, enough)
    if not enough:
        return outcome, None
    base_rate, strength = recipe.base_rates[label], ADAPT_STRENGTH[label]

    def fit(rows):
        return _adapt_one(matrix[rows], logits[rows], labels[rows], weights[rows], strength, base_rate)

    out_of_fold, whole = np.full(len(labels), np.nan), ()
    for fold in progress([*folds, None]):  # last of all on everything
        if fold is None:
            whole = fit(known)
            continue
        train, test = fold
        train = np.intersect1d(train, known)
        if min((labels[train] >= 0.5).sum(), (labels[train] < 0.5).sum()) < 2:
            continue
        factor, change, shift = fit(train)
        out_of_fold[test] = factor * logits[test] + matrix[test] @ change + shift
    return outcome, (*whole, out_of_fold)


def _finish(label, out_of_fold, labels, threshold, recipe):
    """Calibration, threshold and held-out probabilities of an adapted label.

    The adapted logit already speaks of the base rate. With enough positives it is calibrated again on rows that it
    was not trained on, and the threshold is chosen anew; with few, both would be noise.
    """
    known = ~np.isnan(out_of_fold) & ~np.isnan(labels)
    out_of_fold, labels = out_of_fold[known], labels[known]
    calibration = Calibration(1.0, 0.0)
    if (labels >= 0.5).sum() >= _ENOUGH_TO_CALIBRATE:
        calibration = calibrate(out_of_fold, labels, recipe.base_rates[label])
        points = curve(labels, calibration.probability(out_of_fold), recipe.base_rates[label])
        threshold = choose_threshold(recipe.thresholds[label], points)
    held = Held(labels, calibration.probability(out_of_fold), np.ones(len(labels)), np.full(len(labels), "data"))
    return calibration, threshold, held


def _folds(comments, n_splits, seed):
    """Folds by article; where all comments stand under a few articles, by comment."""
    loose = (comments["article_id"] == "").sum()
    if loose + comments.loc[comments["article_id"] != "", "article_id"].nunique() < n_splits:
        comments = comments.assign(article_id="")
    return datasets.folds(comments, n_splits=n_splits, seed=seed) if len(comments) >= 2 * FEWEST else []


def _folds_by(groups, n_splits, seed):
    """Folds in which all pairs of a comment stay together."""
    names = np.unique(groups)
    fold = dict(zip(names, np.random.default_rng(seed).permutation(len(names)) % n_splits, strict=True))
    assigned = np.array([fold[group] for group in groups])
    return [(np.flatnonzero(assigned != k), np.flatnonzero(assigned == k)) for k in range(n_splits)]


# ---------------------------------------------------------------------------------------- whole models


@dataclass(frozen=True)
class Held:
    """Held-out rows of one label.

    Attributes
    ----------
    labels, scores, weights : ndarray of float, shape (n,)
        Scores are calibrated probabilities from a model that was not trained on the row. A weight of 0 leaves the
        row out of probabilities, curves and thresholds.
    corpora : ndarray of str, shape (n,)
    """

    labels: np.ndarray
    scores: np.ndarray
    weights: np.ndarray
    corpora: np.ndarray

    def curve(self, base_rate: float) -> dict[str, list[float]]:
        """As `moderation.evaluation.curve`, of the rows that count."""
        used = self.weights > 0
        return curve(self.labels[used], self.scores[used], base_rate, weights=self.weights[used])


def _calibrated(label, labels, logits, corpora, recipe) -> tuple[Held, Calibration]:
    chosen = set(recipe.calibrated_on.get(label, ())) & set(corpora)
    weights = np.ones(len(labels))
    if chosen:
        weights = np.isin(corpora, sorted(chosen)).astype(float)
        for corpus in chosen:
            rows = corpora == corpus
            # Positives and negatives apart: a corpus with hardly any positives still says what is harmless.
            weights[rows] = labels[rows] / max(labels[rows].sum(), 1e-9) + (1 - labels[rows]) / max(
                (1 - labels[rows]).sum(), 1e-9
            )
    used = weights > 0
    calibration = calibrate(logits[used], labels[used], recipe.base_rates[label], weights[used])
    return Held(labels, calibration.probability(logits), weights, corpora), calibration


@dataclass
class Fitted:
    """A model and what was found out on the way.

    Attributes
    ----------
    model : Model
    held : dict of str to Held
    out_of_fold : dict of str to ndarray of float, shape (comments,)
        Logits of the text labels, of every row from a model that was not trained on it.
    all_known : dict of str to moderation.anylabel.Rows
        Held-out comments whose labels are all known, without and with the article's.
    text : TextTrainer
    topics : TopicTrainer
    """

    model: Model
    held: dict[str, Held]
    out_of_fold: dict[str, np.ndarray]
    all_known: dict[str, anylabel.Rows]
    text: TextTrainer
    topics: TopicTrainer


@processes.kept()
def fit(
    data: Dataset,
    *,
    recipe: Recipe | None = None,
    steps=None,
    jobs: int = 1,
    measure: Callable[[str], AbstractContextManager] = nullcontext,
) -> Fitted:
    """Train a model from labelled comments alone.

    Parameters
    ----------
    data : Dataset
    recipe : Recipe, optional
    steps : callable, optional
        Called with a description, gives a wrapper of iterables that shows how far they are.
    jobs : int
        Processes. The model is the same however many.
    measure : callable, optional
        Called with the name of a step, gives a context in which that is done.

    Raises
    ------
    DataError
        When a label has only one class.
    """
    recipe = recipe or Recipe()
    steps = steps or (lambda description: iter)
    comments = data.comments.reset_index(drop=True)
    with measure("counting n-grams and cues"):
        trainer = TextTrainer(comments, recipe, steps("Reading comments"), jobs=jobs, ngrams=data.ngrams)
    with measure("fitting the text labels, whole and by folds"):
        features, classifiers, logits = trainer.cross_fit(steps("Fitting the text"))
    with measure("learning the word space"):
        reader = topic_reader(data, recipe, steps("Learning words"), jobs=jobs)
    with measure("comparing with articles and threads"):
        topics = TopicTrainer(
            reader,
            data,
            n_splits=recipe.n_splits,
            seed=recipe.seed,
            short=recipe.short_articles,
            progress=steps("Comparing with articles"),
            jobs=jobs,
        )
    with measure("fitting off_topic, whole and by folds"):
        topic, *unseen = topics.cross_fit(steps("Fitting off_topic"))
        topic_logits = np.concatenate(unseen)
    with measure("calibrations and thresholds"):
        held, calibrations = {}, {}
        corpora = comments["corpus"].to_numpy()
        for label in TEXT_LABELS:
            truth = reference_labels(comments, label)
            known = ~np.isnan(truth) & ~np.isnan(logits[label])
            held[label], calibrations[label] = _calibrated(
                label, truth[known], logits[label][known], corpora[known], recipe
            )
        known = np.isfinite(topic_logits)
        held[OFF_TOPIC], calibrations[OFF_TOPIC] = _calibrated(
            OFF_TOPIC, np.tile(topics.labels, 2)[known], topic_logits[known], np.tile(topics.corpora, 2)[known], recipe
        )
        thresholds = {
            label: choose_threshold(recipe.thresholds[label], found.curve(recipe.base_rates[label]))
            for label, found in held.items()
        }
        all_known = _all_known(comments, topics, logits, topic_logits, calibrations, trainer.folds, recipe)
        any_label = {
            kind: anylabel.fit(rows, *recipe.rates(kind)) for kind, rows in all_known.items() if anylabel.enough(rows)
        }
    weighers = {label: Linear.of(classifier) for label, classifier in classifiers.items()}
    model = Model(trainer.corpus.space(features), weighers, topic, calibrations, thresholds, any_label=any_label)
    return Fitted(model, held, logits, all_known, trainer, topics)


def _all_known(comments, topics, logits, topic_logits, calibrations, folds, recipe) -> dict[str, anylabel.Rows]:
    """The rows to which the probability of any label is calibrated.

    Without an article these are the comments of the corpora that give the text labels' probabilities, each corpus
    counting the same; with one, the comments of which people said whether they are off-topic.
    """
    text = np.stack([calibrations[label].probability(logits[label]) for label in TEXT_LABELS], axis=1)
    truth = np.stack([reference_labels(comments, label) for label in TEXT_LABELS], axis=1)
    fold = np.full(len(comments), -1)
    for number, (_, test) in enumerate(folds):
        fold[test] = number
    known = np.isfinite(text).all(axis=1) & np.isfinite(truth).all(axis=1)
    corpora = comments["corpus"].to_numpy()
    chosen = set(corpora).intersection(*(recipe.calibrated_on.get(label, corpora) for label in TEXT_LABELS))
    rows = np.flatnonzero(known & np.isin(corpora, sorted(chosen))) if chosen else np.flatnonzero(known)
    _, which, counts = np.unique(corpora[rows].astype(str), return_inverse=True, return_counts=True)
    found = {anylabel.TEXT: anylabel.Rows(text[rows], truth[rows], 1 / counts[which], fold[rows])}
    # The topic model sees comments as pairs with an article: here those with their own, judged.
    place = dict(zip(zip(corpora, comments["id"], strict=True), range(len(comments)), strict=True))
    places = np.array([place[key] for key in zip(topics.corpora, (each.id for each in topics.comments), strict=True)])
    usable = known & comments[OFF_TOPIC].notna().to_numpy()
    pair = np.flatnonzero((topics.kinds == "own") & usable[places])
    row = places[pair]
    off_topic = calibrations[OFF_TOPIC].probability(topic_logits.reshape(2, -1)[:, pair])
    found[anylabel.ARTICLE] = anylabel.Rows(
        np.concatenate([np.column_stack([text[row], each]) for each in off_topic]),  # without and with the thread
        np.tile(np.column_stack([truth[row], topics.labels[pair]]), (2, 1)),
        np.ones(2 * len(row)),
        np.tile(fold[row], 2),
    )
    return found


def topic_reader(data: Dataset, recipe: Recipe, progress=iter, *, jobs: int = 1) -> TopicModel:
    """What gathers the evidence on the comments of a data set, in the word space that its unlabelled text gives.

    Words that the space learnt from the very comments it then compares look nearer to each other than they will to
    new comments, so comments under articles are left out where there is enough other text.

    Raises
    ------
    DataError
        When there are too few articles.
    """
    count = data.comments.loc[data.comments["article_id"] != "", "article_id"].nunique()
    if count < 2 * recipe.n_splits:
        raise DataError(
            f"off_topic needs comments under at least {2 * recipe.n_splits} articles, there are {count}",
            mend="Add articles, or adapt the shipped model instead",
        )
    loose = data.comments[data.comments["article_id"] == ""]
    chosen = loose if len(loose) >= 1000 else data.comments
    parents = chosen.loc[chosen["parent_text"] != "", "parent_text"]
    texts = [*chosen["text"], *parents.drop_duplicates()]
    parts = [(texts[begin : begin + 3_000],) for begin in range(0, len(texts), 3_000)]
    documents = [document for part in processes.each(_stems, parts, jobs, progress) for document in part]
    (space,) = processes.each(_word_space, [(documents, recipe.seed, data.subjects, data.neighbours)], 1)
    return TopicModel(space)


def _stems(texts):
    return [stems(text) for text in texts]


def _word_space(documents, seed, subjects, neighbours):
    return WordSpace(seed=seed, subjects=subjects, neighbours=neighbours).fit(documents)


_PAIRS = 2_000  #: pairs whose evidence is gathered at a time


class TopicTrainer:
    """Fits the topic model on pairs whose evidence is gathered once.

    Articles are dealt out into folds. A fold is measured on the pairs of which both articles are in it, by a model of
    those of which neither is: it holds no article that training has seen, be it as the right one or as a wrong one.
    A pair whose articles are in two folds only trains.

    Parameters
    ----------
    reader : TopicModel
        Gathers the evidence.
    data : Dataset
    n_splits, seed : int
    thread : (int, int)
    wrong : sequence of str
        As for `moderation.topic.pair`. Articles that are alike say most about what tells a comment's own from another.
    short : float
        As for `moderation.topic.pair`.
    progress : callable, optional
    jobs : int
        Processes.

    Attributes
    ----------
    bare, threaded : ndarray of float32, shape (pairs, features + subjects)
    labels, weights : ndarray of float, shape (pairs,)
    folds : ndarray of int, shape (pairs, 2)
        Of the article that the comment stands under, and of the one it is paired with.
    kinds, corpora, articles : ndarray, shape (pairs,)
    """

    def __init__(
        self,
        reader: TopicModel,
        data: Dataset,
        *,
        n_splits: int,
        seed: int,
        thread: tuple[int, int] = THREAD,
        wrong: Sequence[str] = ("random", "nearest"),
        short: float = 0.0,
        progress=iter,
        jobs: int = 1,
    ):
        self.reader, self.jobs = reader, jobs
        under = data.comments[data.comments["article_id"] != ""].reset_index(drop=True)
        folds = {
            key: fold
            for fold, (_, test) in enumerate(datasets.folds(under, n_splits=n_splits, seed=seed))
            for key in under["article_id"].to_numpy()[test]
        }
        found = pair(under, data.articles, seed=seed, thread=thread, wrong=wrong, folds=folds, short=short)
        self.comments, self.labels, self.weights = found.comments, found.labels, found.weights
        self.kinds, self.corpora = (np.array(names, dtype=object) for names in (found.kinds, found.corpora))
        self.folds = np.array([[folds[key] for key in keys] for keys in (found.own, found.paired)]).T
        self.articles = titles(self.comments)
        # Each beside the others with its article, since what their threads are drawn from is then read once.
        order = np.argsort(np.array(found.paired), kind="stable")
        parts = [order[begin : begin + _PAIRS] for begin in range(0, len(order), _PAIRS)]
        work = [(reader, [self.comments[number] for number in part]) for part in parts]
        evidence = processes.each(_evidence, work, jobs, progress)
        place = np.argsort(order)
        self.bare, self.threaded = (np.concatenate(side)[place] for side in zip(*evidence, strict=True))

    def without_fold(self, fold: int) -> np.ndarray:
        """The pairs of which no article is in a fold."""
        return np.flatnonzero((self.folds != fold).all(axis=1))

    def of_fold(self, fold: int) -> np.ndarray:
        """The pairs of which both articles are in a fold."""
        return np.flatnonzero((self.folds == fold).all(axis=1))

    def fit(self, rows: np.ndarray) -> TopicModel:
        """A model trained on the pairs at `rows` alone."""
        return TopicModel(self.reader.space, self.reader.strength).fit(
            self.bare[rows], self.threaded[rows], self.labels[rows], self.weights[rows]
        )

    def logits(self, model: TopicModel, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logits of the pairs at `rows` without and with their threads."""
        return _topic_logits(model, self.bare[rows], self.threaded[rows])

    def cross_fit(self, progress=iter) -> tuple[TopicModel, np.ndarray, np.ndarray]:
        """What `fit` gives of all pairs; and logits of every pair within a fold, without and with thread, from a model
        that saw no article of the fold, NaN for the others."""
        splits = [(np.arange(len(self.labels)), np.zeros(0, dtype=np.int64))]
        splits += [(self.without_fold(fold), self.of_fold(fold)) for fold in np.unique(self.folds)]
        known = TopicModel(self.reader.space, self.reader.strength), self.bare, self.threaded, self.labels, self.weights
        (whole, _), *found = processes.each(_fit_topic, [(*known, *split) for split in splits], self.jobs, progress)
        found_by_whole = whole.mean_, whole.scale_, whole.weighers_
        whole = TopicModel(self.reader.space, self.reader.strength)
        whole.mean_, whole.scale_, whole.weighers_ = found_by_whole
        bare, threaded = np.full((2, len(self.labels)), np.nan)
        for (_, test), (_, logits) in zip(splits[1:], found, strict=True):
            bare[test], threaded[test] = logits
        return whole, bare, threaded


def titles(comments: Sequence[Comment]) -> np.ndarray:
    """By which a comment's article is told from others; str, shape (n,)."""
    return np.array([comment.article.title if comment.article else "" for comment in comments], dtype=str)


def _fit_topic(model, bare, threaded, labels, weights, train, test):
    model = copy.copy(model).fit(bare[train], threaded[train], labels[train], weights[train])
    return model, _topic_logits(model, bare[test], threaded[test])


def _topic_logits(model, bare, threaded):
    """Logits of pairs without and with their threads."""
    no, yes = np.zeros(len(bare), dtype=bool), np.ones(len(bare), dtype=bool)
    return model.evidence_logits(bare, no), model.evidence_logits(threaded, yes)


def _evidence(reader, comments):
    # Half the memory: there are tens of thousands of pairs, and for the fits it is near enough.
    bare, threaded = reader.evidence(comments)
    return bare.astype(np.float32), threaded.astype(np.float32)
