"""Which characters are abusive: our terms against annotators' spans (SemEval-2021 task 5)."""

from __future__ import annotations

import re
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
    """Mean character F1, the rule's two numbers chosen on the other half: of all comments and of those in which the
    annotators marked anything. Beside it what the marks of the other half themselves teach of each word."""
    terms = [score.labels["abusive"].terms for score in scorer.score([Comment(text) for text in texts], terms=200)]
    half = np.arange(len(texts)) % folds
    marks = np.array([bool(places) for places in truth])
    grid = [(least, share) for least in (0.2, 0.4, 0.6, 0.8, 1.0) for share in (0.0, 0.15, 0.3, 0.5)]
    words = [_words(text) for text in texts]
    results = {name: np.full(len(texts), np.nan) for name in ("f1", "f1_marked", "taught")}
    for fold in range(folds):
        tune, test = half != fold, half == fold
        for name, counted in (("f1", np.ones(len(texts), dtype=bool)), ("f1_marked", marks)):
            rows, measured = np.flatnonzero(tune & counted), np.flatnonzero(test & counted)
            best = max(grid, key=lambda rule: np.mean([character_f1(truth[i], marked(terms[i], *rule)) for i in rows]))
            results[name][measured] = [character_f1(truth[i], marked(terms[i], *best)) for i in measured]
        taught = _share_marked([(words[i], truth[i]) for i in np.flatnonzero(tune)])
        guesses = {
            least: [
                character_f1(
                    truth[i],
                    {place for word, span in words[i] if taught.get(word, 0) >= least for place in span},
                )
                for i in np.flatnonzero(test)
            ]
            for least in (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
        }
        results["taught"][test] = max(guesses.values(), key=np.mean)  # the best by what is measured: an upper bound
    return {name: float(np.nanmean(values)) for name, values in results.items()} | {
        "rows": len(texts),
        "rows_marked": int(marks.sum()),
    }


def _words(text):
    return [(found[0].lower(), range(*found.span())) for found in re.finditer(r"\w+(?:'\w+)*", text)]


def _share_marked(comments):
    """How often each word is marked where it stands; a little less where it stands rarely."""
    stands, is_marked = Counter(), Counter()
    for words, truth in comments:
        for word, places in words:
            stands[word] += 1
            is_marked[word] += 2 * len(truth.intersection(places)) >= len(places)
    return {word: (is_marked[word] + 0.1) / (count + 1) for word, count in stands.items()}
