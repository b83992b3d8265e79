"""Learning curve: the shipped model adapted to more and more comments of a paper that it has never seen."""

from __future__ import annotations

import numpy as np
import pandas as pd

from moderation.corpus import Corpus
from moderation.evaluation import auc
from moderation.model import TEXT_LABELS
from moderation.training import ADAPT_STRENGTH, Recipe, fit_around, fit_classifier
from moderation.transformer import fitted_union

SIZES = (25, 50, 100, 250, 1_000, 3_000)


def learning_curve(model, corpora, *, draws: int = 40, sizes=SIZES) -> list[dict]:
    """ROC AUC on Globe and Mail comments that were not adapted to: shipped, adapted and from scratch.

    Each draw cuts the paper's comments into a fifth that is measured and the rest, from which the comments to adapt to
    are taken. A size's figure is the mean over the draws in which some of these have the label and some have not;
    ``gain`` is what the adapted model ranks better than the shipped one, with the standard error of that mean.
    """
    frame = pd.read_csv(corpora / "globe_and_mail_eval_only" / "comments.csv", dtype={"text": str})
    frame = frame[frame["text"].notna()].reset_index(drop=True)
    texts = list(frame["text"])
    matrix, corpus = fitted_union(model.space).transform(texts).tocsr(), Corpus(texts)
    found = []
    for label in TEXT_LABELS:
        truth = frame[label].to_numpy(dtype=float)
        base = model.calibrations[label].logit(model.weighers[label].logits(matrix))
        rows = {size: [] for size in sizes}
        for draw in range(draws):
            order = np.random.default_rng(draw).permutation(np.flatnonzero(np.isfinite(truth)))
            test, rest = order[: len(order) // 5], order[len(order) // 5 :]
            for size in sizes:
                train = rest[:size]
                if not 0 < truth[train].sum() < size:
                    continue
                factor, change, _ = fit_around(
                    matrix[train], base[train], truth[train], np.ones(size), ADAPT_STRENGTH[label]
                )
                adapted = factor * base[test] + matrix[test] @ change
                scratch = _from_scratch(corpus, truth, train, test, label)
                rows[size].append([auc(truth[test], logits) for logits in (base[test], adapted, scratch)])
        for size in sizes:
            if rows[size]:
                shipped, adapted, scratch = np.mean(rows[size], axis=0)
                gains = [adapted - shipped for shipped, adapted, _ in rows[size]]
                error = np.std(gains, ddof=1) / np.sqrt(len(gains))
                found.append(
                    {
                        "label": label,
                        "comments": size,
                        "shipped": shipped,
                        "adapted": adapted,
                        "scratch": scratch,
                        "gain": f"{np.mean(gains):+.4f} ± {error:.4f}",
                        "better": f"{sum(gain > 0 for gain in gains)} of {len(gains)}",
                    }
                )
    return found


def _from_scratch(corpus, truth, train, test, label):
    features = corpus.choose(train, min_df=min(3, 1 + len(train) // 100))
    classifier = fit_classifier(
        corpus.transform(features, train), truth[train], np.ones(len(train)), Recipe().strength[label]
    )
    return classifier.decision_function(corpus.transform(features, test))
