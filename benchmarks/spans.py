"""Which characters are abusive: our terms against annotators' spans (SemEval-2021 task 5)."""

from __future__ import annotations

import itertools
import re
from collections import Counter

import numpy as np
import pandas as pd

from moderation.comments import Comment

#: About what share of the comments of the task's test set has no marks; of those measured here it is two fifths.
UNMARKED = 0.2


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


def read(corpora) -> tuple[list[str], list[list[set[int]]]]:
    """Comments, and of each the characters that each annotator marked."""
    folder = corpora / "civil_comments"
    comments = pd.read_csv(folder / "comments.csv", dtype={"id": str, "text": str})
    spans = pd.read_csv(folder / "spans.csv", dtype={"id": str})
    by_comment: dict[str, list[set[int]]] = {}
    for (id_, _), part in spans.groupby(["id", "annotation"]):
        places = {place for begin, end in zip(part["begin"], part["end"], strict=True) for place in range(begin, end)}
        by_comment.setdefault(id_, []).append(places)
    found = [by_comment.get(id_, []) for id_ in comments["id"]]
    # An annotator who marked nothing has no spans.
    return list(comments["text"]), [
        [*marks, *(set() for _ in range(int(count) - len(marks)))]
        for marks, count in zip(found, comments["annotators"], strict=True)
    ]


def agreed(annotators: list[set[int]], votes: float) -> set[int]:
    """Characters that at least so many annotators marked."""
    counts = Counter(itertools.chain.from_iterable(annotators))
    return {place for place, count in counts.items() if count >= votes}


def measure(scorer, texts, annotations, *, folds: int = 2) -> dict:
    """Mean character F1, the rule's two numbers chosen on the other half: of all comments, of those in which at least
    half of the annotators marked anything, and of all weighed as in the task's test set. Beside it what the marks of
    the other half themselves teach of each word, and how one annotator agrees with the others."""
    terms = [score.labels["abusive"].terms for score in scorer.score([Comment(text) for text in texts], terms=200)]
    truth = [agreed(marks, len(marks) / 2) for marks in annotations]
    half = np.arange(len(texts)) % folds
    marks = np.array([bool(places) for places in truth])
    by_rule = _by_rule(truth, terms)
    as_tested = np.where(marks, (1 - UNMARKED) / marks.mean(), UNMARKED / (1 - marks.mean()))
    weights = {"f1": np.ones(len(texts)), "f1_marked": marks.astype(float), "f1_as_tested": as_tested}
    results = {name: _by_other_part(by_rule, weight, half) for name, weight in weights.items()}
    # One annotator against what more than half of the others marked, and our terms against the same.
    own, others, row = [], [], []
    for number, each in enumerate(annotations):
        for left, said in enumerate(each):
            rest = each[:left] + each[left + 1 :]
            own.append(said)
            others.append(agreed(rest, len(rest) // 2 + 1))
            row.append(number)
    weight = 1 / np.bincount(row)[row]
    found = [character_f1(gold, said) for gold, said in zip(others, own, strict=True)]
    results["annotator"] = float(np.average(found, weights=weight))
    by_rule = _by_rule(others, [terms[number] for number in row])
    results["beside_annotator"] = _by_other_part(by_rule, weight, half[row])
    return results | {
        "taught": _taught(texts, truth, half),
        "rows": len(texts),
        "rows_marked": int(marks.sum()),
    }


def _by_rule(truth, terms):
    grid = [(least, share) for least in (0.2, 0.4, 0.6, 0.8, 1.0) for share in (0.0, 0.15, 0.3, 0.5)]
    return [
        np.array([character_f1(places, marked(found, *rule)) for places, found in zip(truth, terms, strict=True)])
        for rule in grid
    ]


def _by_other_part(by_rule, weights, part):
    """The mean over parts of rows, each with the rule that is best for the others."""
    found = np.full(len(part), np.nan)
    for number in np.unique(part):
        tune, test = part != number, part == number
        found[test] = max(by_rule, key=lambda rule: np.average(rule[tune], weights=weights[tune]))[test]
    return float(np.average(found, weights=weights))


def _taught(texts, truth, half):
    """The F1 of a list of words that the marks of the other half teach; an upper bound, since how often a word must be
    marked is chosen by what is measured."""
    words, found = [_words(text) for text in texts], np.full(len(texts), np.nan)
    for part in np.unique(half):
        taught = _share_marked([(words[i], truth[i]) for i in np.flatnonzero(half != part)])
        guesses = [
            [
                character_f1(
                    truth[i],
                    {place for word, span in words[i] if taught.get(word, 0) >= least for place in span},
                )
                for i in np.flatnonzero(half == part)
            ]
            for least in (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
        ]
        found[half == part] = max(guesses, key=np.mean)
    return float(found.mean())


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
