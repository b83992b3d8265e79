"""The features as scikit-learn computes them: what training fits, and what `moderation.features` is measured against.

Serving does without this module, and without scikit-learn.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import FeatureUnion, Pipeline

from moderation.cues import NAMES as CUE_NAMES
from moderation.cues import Scaling, cues
from moderation.features import CHARACTERS, CUES, LENGTHS, NAMELESS, WORDS, FeatureSpace, piece_tokens
from moderation.model import Model
from moderation.normal import normalise, without_identity


def word_ngrams(text: str) -> list[str]:
    """Words and word pairs of a comment; names of identity groups in pairs alone."""
    tokens = [token for piece in normalise(text).split() for token in piece_tokens(piece)]
    return [token for token in tokens if token not in NAMELESS] + [
        f"{first} {second}" for first, second in zip(tokens, tokens[1:], strict=False)
    ]


def nameless(text: str) -> str:
    """The normalised comment without the names of identity groups."""
    return " ".join(without_identity(piece, "", "") for piece in normalise(text).split())


class Cues(TransformerMixin, BaseEstimator):
    """The cues as a scikit-learn transformer: each scaled to unit spread as seen in training.

    Parameters
    ----------
    clip : float
        As `moderation.cues.Scaling` has it.

    Attributes
    ----------
    scaling_ : Scaling
    """

    def __init__(self, clip=4.0):
        self.clip = clip

    def fit(self, texts, y=None):
        values = np.array([cues(text) for text in texts])
        self.scaling_ = Scaling(values.mean(axis=0), values.std(axis=0) + 1e-3, self.clip)
        return self

    def transform(self, texts):
        return sparse.csr_matrix(self.scaling_(np.array([cues(text) for text in texts]).reshape(-1, len(CUE_NAMES))))

    def get_feature_names_out(self, input_features=None):
        return np.array(CUE_NAMES, dtype=object)


def make_union(*, min_df=3, characters=LENGTHS, max_words=None, max_characters=None, cue_weight=0.1) -> FeatureUnion:
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


def fitted_union(space: FeatureSpace) -> FeatureUnion:
    """The transformer that is fitted to a feature space."""
    union = make_union(characters=space.lengths, cue_weight=space.cue_weight)
    parts = dict(union.transformer_list)
    for name, vocabulary, idf in (
        (WORDS, space.words, space.word_idf),
        (CHARACTERS, space.characters, space.character_idf),
    ):
        parts[name].set_params(vocabulary=vocabulary)
        parts[name].idf_ = idf
    parts[CUES].set_params(clip=space.scaling.clip)
    parts[CUES].scaling_ = space.scaling
    return union


def pipeline(model: Model, label: str) -> Pipeline:
    """The model of a label of the text as scikit-learn runs it; its decision function is the scorer's logit."""
    return Pipeline([("features", fitted_union(model.space)), ("classifier", model.weighers[label].classifier())])
