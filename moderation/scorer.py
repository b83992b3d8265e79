"""Scores of comments and the terms that make them up. Pure: a model and comments in, values out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from moderation import language
from moderation.comments import LABELS, Comment
from moderation.features import Vectors
from moderation.model import OFF_TOPIC, TEXT_LABELS
from moderation.normal import pieces
from moderation.registry import ModelError, Stored

TERMS = 12  #: terms that are told of one label, strongest first


class Term(NamedTuple):
    """A part of the comment and what it adds to the calibrated logit.

    ``begin`` and ``end`` count code points of the comment as it was sent.
    """

    text: str
    begin: int
    end: int
    weight: float


@dataclass(frozen=True, slots=True)
class LabelScore:
    """One label's verdict.

    Attributes
    ----------
    score : float or None
        Calibrated probability.
    terms : tuple of Term
    rest : float
        What the terms left out, the style of the whole comment and the intercept add. The logit of `score` is
        the sum of the terms' weights and `rest`.
    reason : str
        Why there is no score (``no_article``, or the comment's status); empty where there is one.
    """

    score: float | None
    threshold: float
    flagged: bool
    terms: tuple[Term, ...] = ()
    rest: float = 0.0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """A comment's verdict.

    Attributes
    ----------
    labels : dict of str to LabelScore
    model : str
    status : str
        ``scored``, or why there are no scores, see `moderation.language`.
    flagged : bool
    """

    labels: dict[str, LabelScore]
    model: str
    status: str = language.SCORED
    flagged: bool = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "flagged", any(label.flagged for label in self.labels.values()))


class Scorer:
    """Scores comments with a loaded model.

    Parameters
    ----------
    stored : Stored
        As `moderation.registry.load` gives.

    Attributes
    ----------
    version, card, folder
        Of the model.
    """

    def __init__(self, stored: Stored):
        self.version, self.card, self.model = stored.version, stored.card, stored.model
        self.folder = stored.folder
        unknown = [label for label in LABELS if label not in self.model.calibrations]
        if unknown:
            raise ModelError(f"version {stored.version!r} does not know the label {unknown[0]!r}; train one that does")
        if not self.model.current():
            raise ModelError(f"version {stored.version!r} was made by an earlier release; train it anew")
        self._vectors = Vectors(self.model.space)
        calibrations = [self.model.calibrations[label] for label in TEXT_LABELS]
        weighers = [self.model.weighers[label] for label in TEXT_LABELS]
        # Calibration is linear in the logit, so it can be folded into the coefficients.
        self._coefficients = np.asfortranarray(
            [w.coefficients.astype(np.float64) * k.slope for w, k in zip(weighers, calibrations, strict=True)]
        )
        self._intercepts = np.array(
            [w.intercept * k.slope + k.intercept for w, k in zip(weighers, calibrations, strict=True)]
        )

    def probabilities(self, comments: Sequence[Comment]) -> np.ndarray:
        """Calibrated probabilities, without terms.

        Parameters
        ----------
        comments : sequence of n Comment

        Returns
        -------
        ndarray of float64, shape (n, 3)
            In the order of `moderation.comments.LABELS`; NaN where there is no score: off_topic without an article,
            all of them where the comment cannot be scored.
        """
        return self.probabilities_and_statuses(comments)[0]

    def probabilities_and_statuses(self, comments: Sequence[Comment]) -> tuple[np.ndarray, list[str]]:
        """As `probabilities`, and for each comment its status."""
        result = np.full((len(comments), len(LABELS)), np.nan)
        found = [self._vectors.read(comment.text) for comment in comments]
        statuses = [language.status(each, self._vectors.vocabulary) for each in found]
        scored = [index for index, status in enumerate(statuses) if status == language.SCORED]
        if not scored:
            return result, statuses
        texts = [comments[index].text for index in scored]
        logits = self._vectors.linear(texts, self._coefficients, [found[index] for index in scored])
        result[scored, : len(TEXT_LABELS)] = _sigmoid(logits + self._intercepts)
        with_article = [index for index in scored if comments[index].article is not None]
        if with_article:
            logits = self.model.topic.logits([comments[index] for index in with_article])
            result[with_article, -1] = self.model.calibrations[OFF_TOPIC].probability(logits)
        return result, statuses

    def flags(self, probabilities: np.ndarray) -> np.ndarray:
        """Which labels are flagged; bool, of the shape of `probabilities`."""
        return probabilities >= np.array([self.model.thresholds[label] for label in LABELS])

    def score(self, comments: Sequence[Comment], *, terms: int = TERMS) -> list[Score]:
        """Verdicts with the terms that make them up.

        Parameters
        ----------
        comments : sequence of Comment
        terms : int
            How many to tell of each label; none is faster.

        Returns
        -------
        list of Score
            In the order of `comments`. No comment's score depends on the others.
        """
        if not terms:
            return self._without_terms(comments)
        return [self._score(comment, terms) for comment in comments]

    def _without_terms(self, comments):
        verdicts = []
        for row, status in zip(*self.probabilities_and_statuses(comments), strict=True):
            labels = {}
            for label, score in zip(LABELS, row.tolist(), strict=True):
                threshold = self.model.thresholds[label]
                if math.isnan(score):
                    reason = "no_article" if status == language.SCORED else status
                    labels[label] = LabelScore(None, threshold, False, reason=reason)
                else:
                    # At 40, where logits are cut off, the probability is 1 to the last digit.
                    rest = math.log(score) - math.log1p(-score) if score < 1 else 40.0
                    labels[label] = LabelScore(score, threshold, score >= threshold, rest=rest)
            verdicts.append(Score(labels, self.version, status))
        return verdicts

    def _score(self, comment, limit):
        labels = {}
        found = pieces(comment.text)
        read = [self._vectors.known(piece.text) for piece in found]
        status = language.status(read, self._vectors.vocabulary)
        if status != language.SCORED:
            thresholds = self.model.thresholds
            labels = {label: LabelScore(None, thresholds[label], False, reason=status) for label in LABELS}
            return Score(labels, self.version, status)
        ids, first, last = self._vectors.ngrams(read)
        _, distinct, counts, weights = self._vectors.weigh(ids, None, 1)
        # An n-gram that stands in several places counts in equal parts at each.
        each = (weights / counts)[np.searchsorted(distinct, ids)]
        cue_row, cue_places = self._vectors.cue_row(comment.text, read)
        for line, label in enumerate(TEXT_LABELS):
            coefficients = self._coefficients[line]
            parts = _Parts(comment.text, found)
            parts.add(first, last, each * coefficients[ids])
            cue_parts = cue_row * coefficients[self._vectors.n_ngrams :]
            parts.add_cues(cue_parts, cue_places)
            logit = float(self._intercepts[line] + parts.total + cue_parts.sum())
            labels[label] = self._verdict(label, logit, parts.strongest(limit))
        if comment.article is None:
            labels[OFF_TOPIC] = LabelScore(None, self.model.thresholds[OFF_TOPIC], False, reason="no_article")
        else:
            logit, shared = self.model.topic.explain(comment)
            calibration = self.model.calibrations[OFF_TOPIC]
            told = sorted(shared, key=lambda part: (-abs(part[2]), part[0]))[:limit]
            labels[OFF_TOPIC] = self._verdict(
                OFF_TOPIC,
                float(calibration.logit(logit)),
                tuple(Term(comment.text[b:e], b, e, w * calibration.slope) for b, e, w in told),
            )
        return Score(labels, self.version)

    def _verdict(self, label, logit, terms):
        score = float(_sigmoid(np.array(logit)))
        threshold = self.model.thresholds[label]
        return LabelScore(score, threshold, score >= threshold, terms, logit - sum(term.weight for term in terms))


class _Parts:
    """Gathers contributions by the stretch of the comment that they come from."""

    def __init__(self, text, found):
        self.text, self.found = text, found
        self.own = [0.0] * len(found)
        self.pairs: dict[tuple[int, int], float] = {}
        self.total = 0.0

    def add(self, first, last, weights):
        alone = first == last
        self.own = (np.bincount(first, np.where(alone, weights, 0.0), minlength=len(self.found)) + self.own).tolist()
        across = np.flatnonzero(~alone)
        for begin, end, weight in zip(*(each[across].tolist() for each in (first, last, weights)), strict=True):
            self.pairs[begin, end] = self.pairs.get((begin, end), 0.0) + weight
        self.total += float(weights.sum())

    def add_cues(self, parts, places):
        """Cues that come from words count at these, in equal parts; the others are the whole comment's."""
        for cue, where in places.items():
            part = float(parts[cue]) / len(where)
            for index in where:
                self.own[index] += part

    def strongest(self, limit):
        spans = [(index, index, weight) for index, weight in enumerate(self.own)]
        spans += [(first, last, weight) for (first, last), weight in self.pairs.items()]
        spans.sort(key=lambda span: (-abs(span[2]), span[0], span[1]))
        return tuple(self._term(*span) for span in spans[:limit] if span[2])

    def _term(self, first, last, weight):
        begin, end = self.found[first].begin, self.found[last].end
        # "idiot!!," is told as "idiot": punctuation at the ends belongs to the term but need not be shown.
        while end - begin > 1 and not self.text[end - 1].isalnum():
            end -= 1
        while end - begin > 1 and not self.text[begin].isalnum():
            begin += 1
        return Term(self.text[begin:end], begin, end, weight)


def _sigmoid(logits):
    # Half the time of numpy.clip, which counts where comments come one by one.
    return 1 / (1 + np.exp(-np.minimum(np.maximum(logits, -40), 40)))
