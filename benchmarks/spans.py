"""Which characters are abusive: our terms against annotators' spans (SemEval-2021 task 5)."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd

from moderation.comments import Comment


def character_f1(truth: set[int], found: set[int]) -> float:
    """F1 of marked characters of one comment; 1 where neither marks any (Pavlopoulos et al., 2021)."""
    if not truth or not found:
        return float(truth == found)
    both = len(truth & found)
    return 2 * both / (len(truth) + len(found))


def marked(terms, least: float, share: float) -> set[int]:
    """Characters of the terms of a weight from `least` up that reach `share` of the strongest."""
    strongest = max((term.weight for term in terms), default=0.0)
    return {
        place for term in terms if term.weight >= max(least, share * strongest) for place in range(term.begin, term.end)
    }


def read(corpora) -> tuple[list[str], list[set[int]]]:
    """Comments, and of each the characters that at least half of its annotators marked."""
    folder = corpora / "civil_comments"
    comments = pd.read_csv(folder / "comments.csv", dtype={"id": str, "text": str})
    spans = pd.read_csv(folder / "spans.csv", dtype={"id": str})
    votes: dict[str, Counter] = {}
    for (id_, _), part in spans.groupby(["id", "annotation"]):
        places = {place for begin, end in zip(part["begin"], part["end"], strict=True) for place in range(begin, end)}
        votes.setdefault(id_, Counter()).update(places)
    truth = [
        {place for place, count in votes.get(row.id, {}).items() if count >= row.annotators / 2}
        for row in comments.itertuples()
    ]
    return list(comments["text"]), truth


def measure(scorer, texts, truth, *, folds: int = 2) -> dict:
    """Mean character F1, the rule's two numbers chosen on the other half."""
    terms = [score.labels["abusive"].terms for score in scorer.score([Comment(text) for text in texts], terms=200)]
    half = np.arange(len(texts)) % folds
    results = np.zeros(len(texts))
    for fold in range(folds):
        tune, test = np.flatnonzero(half != fold), np.flatnonzero(half == fold)
        grid = [(least, share) for least in (0.2, 0.4, 0.6, 0.8, 1.0) for share in (0.0, 0.15, 0.3, 0.5)]
        best = max(grid, key=lambda rule: np.mean([character_f1(truth[i], marked(terms[i], *rule)) for i in tune]))
        results[test] = [character_f1(truth[i], marked(terms[i], *best)) for i in test]
    return {"f1": float(results.mean()), "rows": len(texts), "rule": best}
