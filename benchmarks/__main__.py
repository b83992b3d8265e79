"""``make benchmark``: measures everything that the project claims and writes RESULTS.md with its plots."""

from __future__ import annotations

import argparse
import platform
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

from benchmarks import adaptation, robustness, spans, speed
from moderation import registry
from moderation.scorer import Scorer
from moderation.settings import ROOT
from moderation.training import FEWEST

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

HERE = Path(__file__).parent


def table(rows: list[dict], names: dict[str, str], digits: int = 3) -> str:
    """A Markdown table of the columns in `names`, by their titles there."""

    def cell(value):
        if value is None or (isinstance(value, float) and np.isnan(value)):
            return "–"
        return (
            f"{value:.{digits}f}"
            if isinstance(value, (float, np.floating))
            else f"{value:,}"
            if isinstance(value, int)
            else str(value)
        )

    lines = ["| " + " | ".join(names.values()) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(cell(row.get(key)) for key in names) + " |" for row in rows]
    return "\n".join(lines)


def accuracy(card) -> str:
    rows = []
    for name, found in card["measured"]["never_trained"].items():
        rows.append({"measured": name, "how": "never trained on", **found})
    for part, how in (("cross_validated", "other articles of it in training"), ("left_out", "left out of training")):
        for label, corpora in card["measured"][part].items():
            for corpus, found in corpora.items():
                rows.append({"measured": f"{corpus}, {label}", "how": how, **found})
    for row in rows:
        row["interval"] = "{:.3f} to {:.3f}".format(*row["interval"]) if row["interval"] else "–"
    return table(
        rows,
        {
            "measured": "measured on",
            "how": "",
            "rows": "rows",
            "positives": "positive",
            "auc": "ROC AUC",
            "interval": "95 %",
        },
    )


def perspective(corpora, card) -> str:
    frame = pd.read_csv(
        corpora / "wikipedia_talk" / "comments.csv", usecols=["abusive", "perspective_toxicity"]
    ).dropna()
    from moderation.evaluation import auc_with_interval

    theirs = auc_with_interval(frame["abusive"].to_numpy(), frame["perspective_toxicity"].to_numpy())
    ours = card["measured"]["cross_validated"]["abusive"]["wikipedia_talk"]
    rows = [{"name": "Perspective's scores", **theirs}, {"name": "this project, by folds", **ours}]
    for row in rows:
        row["interval"] = "{:.3f} to {:.3f}".format(*row["interval"])
    return table(
        rows,
        {
            "name": "wikipedia_talk, abusive",
            "rows": "rows",
            "positives": "positive",
            "auc": "ROC AUC",
            "interval": "95 %",
        },
    )


def any_label(card) -> str:
    found = card.get("any_label", {})
    said = {
        "text": "without an article",
        "article": "under an article",
        "starter_held_out": "held-out articles of the starter set",
        "globe_and_mail_eval_only": "Globe and Mail, never trained on, at its own rate",
    }
    rows = [{"what": said[kind], **row} for kind, row in found.items()]
    if not rows:
        return ""
    names = {
        "what": "whether any label applies",
        "rows": "rows",
        "positives": "positive",
        "base_rate": "base rate",
        "ece": "calibration error",
        "independent": "were labels independent",
    }
    return table(rows, names, 4) + "\n\n"


def plot_curve(found) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for axis, label in zip(axes, ("abusive", "mocking"), strict=True):
        rows = [row for row in found if row["label"] == label]
        for key, colour in (("adapted", "#2b6cb0"), ("shipped", "#718096"), ("scratch", "#c05621")):
            axis.plot([row["comments"] for row in rows], [row[key] for row in rows], "o-", color=colour, label=key)
        axis.set(xscale="log", title=label, xlabel="comments of the paper", ylabel="ROC AUC")
        axis.set_xticks([row["comments"] for row in rows], [f"{row['comments']:,}" for row in rows])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].legend(frameon=False)
    figure.savefig(HERE / "learning_curve.png", dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--corpora", type=Path, default=ROOT.parent / "shared" / "corpora")
    corpora = parser.parse_args().corpora
    if not corpora.is_dir():
        raise SystemExit(f"{corpora} is not there: the benchmarks need the corpora, see README.md")
    stored = registry.load(ROOT / "models", registry.DEFAULT)
    scorer, card = Scorer(stored), stored.card
    civil = pd.read_csv(corpora / "civil_comments" / "comments.csv", dtype={"text": str})
    short = [text for text in civil["text"] if 80 <= len(text) <= 150]
    identity = robustness.identity(scorer, corpora)
    disguised = robustness.obfuscation(scorer, corpora)
    diluted = robustness.dilution(scorer, corpora)
    kinds = robustness.functions(scorer)
    for kind in kinds:
        kind["flagged"] = "{} of {}".format(*kind["flag"]) if kind["flag"][1] else "–"
        kind["left"] = "{} of {}".format(*kind["leave"]) if kind["leave"][1] else "–"
    curve = adaptation.learning_curve(stored.model, corpora)
    plot_curve(curve)
    longer = [text for text in civil["text"] if not 80 <= len(text) <= 150]
    fast = speed.against_plain(scorer, short, longer)
    starting = speed.starting()
    globe = pd.read_csv(corpora / "globe_and_mail_eval_only" / "comments.csv", dtype={"text": str}).dropna(
        subset=["hostile"]
    )
    libraries = speed.against_libraries(scorer, globe["text"], globe["hostile"].to_numpy())
    differences = [
        {"corpus": name, "rows": len(frame), "difference": f"{speed.largest_difference(scorer, frame):.1e}"}
        for name in sorted(path.name for path in corpora.iterdir() if (path / "comments.csv").exists())
        for frame in [
            list(pd.read_csv(corpora / name / "comments.csv", usecols=["text"], dtype=str)["text"].dropna()[:2000])
        ]
    ]
    span = spans.measure(scorer, *spans.read(corpora))
    parts = [
        f"# Results\n\nModel `{card['version']}`, measured by `make benchmark` with Python "
        f"{platform.python_version()} and "
        f"scikit-learn {card['libraries']['scikit-learn']}. Ratios are of one run, side by side.",
        "## Accuracy\n\nIntervals are found by drawing articles anew where the comments stand under several, and "
        "comments elsewhere. Off-topic pairs every comment with its own article and with a wrong one: random, of a "
        "fifth of the corpus's articles or, left out, of all; similar, the most similar of a fifth; nearest, the most "
        "similar of all. Where it says so, other comments under that article are its thread: 3 to 15 of them, up to "
        "50, or up to 200, which are as many as the service looks at.\n\n" + accuracy(card),
        "### Beside Perspective\n\n" + perspective(corpora, card),
        "## Calibration\n\nExpected calibration error on held-out folds: "
        + ", ".join(f"{label} {found['ece']:.4f}" for label, found in card["reliability"].items())
        + ".\n\n"
        + any_label(card)
        + table(
            [
                {
                    "label": label,
                    **{k: v["value"] if isinstance(v, dict) else v for k, v in found.items() if k != "corpora"},
                }
                for label, found in card["at_threshold"].items()
            ],
            {
                "label": "label",
                "base_rate": "base rate",
                "threshold": "threshold",
                "precision": "precision",
                "recall": "recall",
                "fpr": "false-positive rate",
                "flag_rate": "flagged",
            },
        ),
        "## Identity terms\n\nOn sentence templates that were never trained on, at the shipped threshold.\n\n"
        + table(
            identity,
            {
                "term": "term",
                "rows": "rows",
                "auc": "ROC AUC",
                "false_positives": "false-positive rate",
                "recall": "recall",
            },
        ),
        "## Disguised words\n\nHostile Globe and Mail comments and plain insults, every word of four letters and more "
        "disguised; false positives on its clean comments.\n\n"
        + table(
            disguised,
            {
                "disguise": "disguise",
                "rows": "rows",
                "recall": "recall",
                "recall_disguised": "disguised",
                "kept": "kept",
                "false_positives": "false positives",
                "false_positives_disguised": "disguised",
            },
        ),
        "## Abuse in long comments\n\nThe same comments put into clean ones; false positives on the clean ones alone. "
        "These are put together of several comments, any of which may be flagged by itself; in the last column, of "
        "such as are not, which leaves what length does.\n\n"
        + table(
            diluted,
            {
                "words": "words around it",
                "recall": "recall",
                "kept": "kept",
                "false_positives": "false positives",
                "of_unflagged": "false positives where no part is one",
            },
        ),
        "## Kinds of language\n\n`tests/behaviour.csv`, never trained on, at the shipped thresholds.\n\n"
        + table(
            kinds,
            {
                "kind": "kind",
                "flagged": "flagged as it should be",
                "left": "left alone as it should be",
                "rate": "right",
            },
            2,
        ),
        "## Learning from the newsroom\n\nROC AUC on other comments of a paper that was never trained on: the mean "
        "over several draws of the comments that are adapted to and of those that are measured, with its standard "
        f"error. `train.py` leaves a label as it is until {FEWEST} comments have it; here it is adapted to fewer.\n\n"
        + table(
            curve,
            {
                "label": "label",
                "comments": "comments",
                "shipped": "shipped",
                "adapted": "adapted",
                "scratch": "from scratch",
                "gain": "adapted beyond shipped",
                "better": "in so many draws",
            },
        )
        + "\n\n![Learning curve](learning_curve.png)",
        f"## Which words\n\nCharacter F1 of our terms on {span['rows']:,} Civil Comments, the rule chosen on the other "
        f"half of the comments: {span['f1']:.3f}. Of the {span['rows_marked']:,} in which at least half of the "
        f"annotators marked the same, with a rule of their own: {span['f1_marked']:.3f}; weighed so that a fifth has "
        "no such marks, as in the test set of SemEval-2021 task 5, whose winner has 0.708: "
        f"{span['f1_as_tested']:.3f}. A list of the words that annotators marked in the other half, those marked often "
        "enough by what is best for the half that is measured, an upper bound of what such marks teach of words: "
        f"{span['taught']:.3f} of all. With what more than half of the other annotators marked one annotator agrees by "
        f"{span['annotator']:.3f}, and our terms by {span['beside_annotator']:.3f}.",
        "## Speed\n\nBoth text labels, one core, comments of "
        f"{np.median([len(text) for text in short]):.0f} characters (median), beside the plain scikit-learn pipelines "
        f"with the same weights; what a word gives is known from {len(longer):,} comments scored before, but for the "
        "last line.\n\n"
        + table(
            fast,
            {"what": "", "plain": "plain, ms", "ours": "this project, ms", "ratio": "times faster"},
        )
        + f"\n\nA new process takes {starting['imports']:.2f} s to load the service's code, and "
        f"{starting['model']:.2f} s to verify and load the model."
        + "\n\nLargest distance between the two probabilities, by corpus (its first 2,000 comments):\n\n"
        + table(differences, {"corpus": "corpus", "rows": "rows", "difference": "distance"}),
        "### Beside other libraries\n\nHostile Globe and Mail comments.\n\n"
        + table(libraries, {"name": "", "auc": "ROC AUC", "per_second": "comments a second"}),
    ]
    # What takes long is measured apart: python -m benchmarks.growth, .training, .ablation and so on.
    for name in ("growth.md", "training.md", "ablation.md", "lengths.md", "ceilings.md", "amounts.md", "load.md"):
        if (HERE / name).exists():
            parts.append((HERE / name).read_text(encoding="utf-8").strip())
    (HERE / "RESULTS.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    print(f"Written to {HERE / 'RESULTS.md'}")


if __name__ == "__main__":
    main()
