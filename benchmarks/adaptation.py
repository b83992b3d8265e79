"""Learning curve: the shipped model adapted to more and more comments of a paper that it has never seen."""

from __future__ import annotations

import numpy as np
import pandas as pd

from moderation import training
from moderation.evaluation import auc
from moderation.model import TEXT_LABELS

SIZES = (25, 50, 100, 250, 1_000, 3_000)


def learning_curve(model, corpora, *, repeats: int = 3, sizes=SIZES) -> list[dict]:
    """ROC AUC on Globe and Mail comments that were not adapted to: shipped, adapted and from scratch.

    Each repeat cuts the paper's comments into a fifth that is measured and the rest, from which the comments to adapt
    to are drawn. A size's figure is the mean over the repeats.
    """
    frame = pd.read_csv(corpora / "globe_and_mail_eval_only" / "comments.csv", dtype={"text": str})
    frame = frame[frame["text"].notna()].reset_index(drop=True)
    matrix = model.union.transform(list(frame["text"])).tocsr()
    found = []
    for label in TEXT_LABELS:
        truth = frame[label].to_numpy(dtype=float)
        base = model.calibrations[label].logit(model.classifiers[label].decision_function(matrix))
        rows = {size: [] for size in sizes}
        for repeat in range(repeats):
            order = np.random.default_rng(repeat).permutation(np.flatnonzero(np.isfinite(truth)))
            test, rest = order[: len(order) // 5], order[len(order) // 5 :]
            for size in sizes:
                train = rest[:size]
                adapted = training.adapted_logits(matrix, base, truth, train, test, label)
                scratch = training.scratch_logits(matrix, truth, train, test, label)
                rows[size].append([auc(truth[test], base[test]), auc(truth[test], adapted), auc(truth[test], scratch)])
        for size in sizes:
            shipped, adapted, scratch = np.mean(rows[size], axis=0)
            found.append({"label": label, "comments": size, "shipped": shipped, "adapted": adapted, "scratch": scratch})
    return found
