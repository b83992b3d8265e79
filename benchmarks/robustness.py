"""Identity terms, disguised words, abuse hidden in long comments, and kinds of language: at the shipped thresholds.

What is measured here was never trained on: the identity templates, the behaviour cases, and Globe and Mail comments.
"""

from __future__ import annotations

import csv
import random
import re

import numpy as np
import pandas as pd

from moderation.comments import LABELS, Comment
from moderation.evaluation import auc
from moderation.lexicon import IDENTITY, INSULT
from moderation.settings import ROOT


def texts(corpora, name, columns=()):
    return pd.read_csv(corpora / name / "comments.csv", dtype={"text": str}, usecols=["text", *columns]).dropna()


def flagged(scorer, comments, label="abusive"):
    values = scorer.probabilities([Comment(text) for text in comments])
    return values[:, LABELS.index(label)] >= scorer.model.thresholds[label], values[:, LABELS.index(label)]


def identity(scorer, corpora) -> list[dict]:
    """ROC AUC and false-positive rate of the sentences that name each identity term (Dixon et al., AIES 2018)."""
    rows = texts(corpora, "identity_templates", ["abusive"])
    flags, scores = flagged(scorer, rows["text"])
    truth = rows["abusive"].to_numpy() >= 0.5
    words = rows["text"].str.lower().str.findall(r"[a-z]+").map(set)
    counts = pd.Series([word for each in words for word in each]).value_counts()
    found = [
        {
            "term": "all",
            "rows": len(rows),
            "auc": auc(truth, scores),
            "false_positives": flags[~truth].mean(),
            "recall": flags[truth].mean(),
        }
    ]
    for term in sorted(set(IDENTITY) & set(counts.index)):
        named = np.array([term in each for each in words])
        if min(truth[named].sum(), (~truth[named]).sum()) >= 10:
            found.append(
                {
                    "term": term,
                    "rows": int(named.sum()),
                    "auc": auc(truth[named], scores[named]),
                    "false_positives": flags[named & ~truth].mean(),
                    "recall": flags[named & truth].mean(),
                }
            )
    return found


_LOOKALIKE = str.maketrans("aeopcxyi", "аеорсхуі")
_LEET = str.maketrans("aeiost", "4310$7")


def _on_words(change):
    """Apply a change to every word of four letters and more."""
    return lambda text, rng: re.sub(r"[A-Za-z]{4,}", lambda match: change(match.group(), rng), text)


#: How comments are disguised; each takes the text and a random generator.
DISGUISES = {
    "leetspeak": _on_words(lambda word, rng: word.translate(_LEET)),
    "spaced": _on_words(lambda word, rng: " ".join(word)),
    "dotted": _on_words(lambda word, rng: ".".join(word)),
    "repeated letters": _on_words(lambda word, rng: word[:2] + word[2] * 4 + word[3:]),
    "zero-width": _on_words(lambda word, rng: "\u200b".join(word)),
    "homoglyphs": _on_words(lambda word, rng: word.translate(_LOOKALIKE)),
    "asterisks": None,  # only insults are masked so, see `masked`
}


def masked(text):
    """Insults with their inner vowels as asterisks."""

    def hide(match):
        word = match.group()
        return word[0] + re.sub(r"[aeiou]", "*", word[1:-1]) + word[-1] if word.lower() in INSULT else word

    return re.sub(r"[A-Za-z]{4,}", hide, text)


def disguise(name: str, text: str, rng: random.Random) -> str:
    """A text in one of `DISGUISES`."""
    change = DISGUISES[name]
    return change(text, rng) if change else masked(text)


def obfuscation(scorer, corpora) -> list[dict]:
    """Recall of disguised abusive comments against the originals, and false positives on disguised clean ones.

    The abusive comments are those of the Globe and Mail that annotators called hostile and the model flags or not;
    the clean ones are its healthy comments.
    """
    rows = texts(corpora, "globe_and_mail_eval_only", ["abusive", "hostile"])
    abusive = list(rows["text"][rows["hostile"] >= 0.5]) + behaviour_texts("plain_insults", 1)
    clean = list(rows["text"][rows["abusive"] < 0.5])[:2000]
    before, clean_before = flagged(scorer, abusive)[0], flagged(scorer, clean)[0]
    found, rng = [], random.Random(0)
    for name in DISGUISES:
        after = flagged(scorer, [disguise(name, text, rng) for text in abusive])[0]
        clean_after = flagged(scorer, [disguise(name, text, rng) for text in clean])[0]
        found.append(
            {
                "disguise": name,
                "rows": len(abusive),
                "recall": before.mean(),
                "recall_disguised": after.mean(),
                "kept": after.mean() / before.mean(),
                "false_positives": clean_before.mean(),
                "false_positives_disguised": clean_after.mean(),
            }
        )
    return found


def behaviour() -> list[dict]:
    with open(ROOT / "tests" / "behaviour.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def behaviour_texts(kind, expected):
    return [row["text"] for row in behaviour() if row["kind"] == kind and int(row["expected"]) == expected]


def dilution(scorer, corpora) -> list[dict]:
    """Recall of abusive sentences inside clean comments of 50 to 300 words, and false positives by length.

    What is put together of several comments has as many chances to be flagged; what length alone does shows in those
    put together of comments none of which is flagged alone.
    """
    rows = texts(corpora, "globe_and_mail_eval_only", ["abusive", "hostile"])
    abusive = [t for t in rows["text"][rows["hostile"] >= 0.5] if len(t.split()) <= 30]
    abusive += behaviour_texts("plain_insults", 1)
    clean = [t for t in rows["text"][(rows["abusive"] < 0.5)] if len(t.split()) >= 10]
    alone, wrongly = flagged(scorer, abusive)[0], flagged(scorer, clean)[0]
    unflagged = [text for text, flag in zip(clean, wrongly, strict=True) if not flag]
    rng = random.Random(0)
    found = [
        {"words": "alone", "recall": alone.mean(), "kept": 1.0, "false_positives": wrongly.mean(), "of_unflagged": 0.0}
    ]
    for low, high in ((50, 100), (100, 200), (200, 300)):
        mixed, hosts = [], []
        for text in abusive:
            host = _host(clean, rng, low, high)
            hosts.append(" ".join(host))
            host.insert(rng.randrange(len(host) + 1), text)
            mixed.append(" ".join(host))
        other = random.Random(low)  # a row's other figures stay as they are
        harmless = [" ".join(_host(unflagged, other, low, high)) for _ in range(1_000)]
        flags = flagged(scorer, mixed)[0]
        found.append(
            {
                "words": f"{low} to {high}",
                "recall": flags.mean(),
                "kept": flags.mean() / alone.mean(),
                "false_positives": flagged(scorer, hosts)[0].mean(),
                "of_unflagged": flagged(scorer, harmless)[0].mean(),
            }
        )
    return found


def _host(clean, rng, low, high):
    """Clean comments put together until there are enough words."""
    parts, size, wanted = [], 0, rng.randrange(low, high)
    while size < wanted:
        text = rng.choice(clean)
        parts.append(text)
        size += len(text.split())
    return parts


def functions(scorer) -> list[dict]:
    """Share of the behaviour cases that are judged rightly, by kind (Röttger et al., ACL 2021)."""
    cases = behaviour()
    values = scorer.probabilities([Comment(row["text"]) for row in cases])
    flags = scorer.flags(values)
    found = {}
    for row, flag in zip(cases, flags, strict=True):
        hit = bool(flag[LABELS.index(row["label"])])
        kind = found.setdefault(row["kind"], {"kind": row["kind"], "flag": [0, 0], "leave": [0, 0]})
        side = kind["flag" if int(row["expected"]) else "leave"]
        side[0] += hit == bool(int(row["expected"]))
        side[1] += 1
    for kind in found.values():
        kind["rate"] = (kind["flag"][0] + kind["leave"][0]) / (kind["flag"][1] + kind["leave"][1])
    return list(found.values())
