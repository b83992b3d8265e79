"""Brings the figures in README.md in step with the shipped model: ``python -m benchmarks.readme``."""

from __future__ import annotations

import re

from benchmarks import robustness
from moderation import registry
from moderation.comments import Article, Comment
from moderation.scorer import Scorer
from moderation.settings import ROOT

README = ROOT / "README.md"
EXAMPLE = Comment(
    "You are an idiot if you think this bridge will hold.",
    article=Article("Harbour bridge to stay open", "The council will keep the old harbour bridge open."),
)


def updated(text: str, scorer: Scorer) -> str:
    """The README's text with the figures of `scorer`'s model and card."""
    card = scorer.card
    text = _replaced(r"\| Globe and Mail, hostile \|.*?(?=\n\n)", "\n".join(_ranking(card["measured"])), text)
    said = "; ".join(
        f"{label.replace('_', '-')} {found['precision']['value']:.0%} right, {found['recall']['value']:.0%} found"
        for label, found in card["at_threshold"].items()
    )
    text = _replaced(r"(?<=how much is found\): )[^.]*", said, text)
    text = _replaced(r"\| negation \|.*?(?=\n\n)", "\n".join(map(_kind, robustness.functions(scorer))), text)
    [score] = scorer.score([EXAMPLE])
    for label, found in score.labels.items():
        term = found.terms[0]
        told = (
            f'"{label}": {{"score": {found.score:.3f}, "threshold": {found.threshold}, '
            f'"flagged": {str(found.flagged).lower()}, "terms": [{{"text": "{term.text}", "begin": {term.begin}, '
            f'"end": {term.end}, "weight": {term.weight:.2f}}}, …]}}'
        )
        text = _replaced(rf'"{label}": \{{"score": [\d.]+, .*?, …\]\}}', told, text)
    return _replaced(r'"model": "default-[0-9a-f]+"', f'"model": "{card["version"]}"', text)


def _replaced(pattern, new, text):
    text, count = re.subn(pattern, lambda _: new, text, count=1, flags=re.S)
    if not count:
        raise SystemExit(f"README.md: nothing there looks like {pattern}")
    return text


def _ranking(measured):
    rows = dict(measured["never_trained"])
    for label in ("abusive", "mocking"):
        left_out = measured["left_out"][label]
        rows |= {f"{corpus} left out of training entirely, {label}": found for corpus, found in left_out.items()}
    rows |= {
        f"{what} (left out), off-topic": found
        for what, found in measured["left_out"]["off_topic"].items()
        if not re.search("3 to 15|up to 50|nearest", what)  # RESULTS.md has them
    }
    for label, found in measured["starter_held_out"].items():
        rows[f"held-out articles of the starter set, {label.replace('_', '-')}"] = found
    for name, found in rows.items():
        low, high = found["interval"]
        yield f"| {name} | {found['auc']:.2f} ({low:.2f}–{high:.2f}) |"


def _kind(row):
    cells = ["{} of {}".format(*row[side]) if row[side][1] else "–" for side in ("flag", "leave")]
    return f"| {row['kind'].replace('_', ' ')} | {cells[0]} | {cells[1]} |"


def main() -> None:
    scorer = Scorer(registry.load(ROOT / "models", registry.DEFAULT))
    README.write_text(updated(README.read_text(encoding="utf-8"), scorer), encoding="utf-8")


if __name__ == "__main__":
    main()
