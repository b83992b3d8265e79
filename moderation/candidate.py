"""Retraining: a candidate from the newsroom's data, compared with the active model on rows that neither saw."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from moderation import card, registry, report, training
from moderation import dataset as datasets
from moderation.comments import LABELS, Comment
from moderation.dataset import Dataset
from moderation.evaluation import compare
from moderation.model import OFF_TOPIC, TEXT_LABELS, Model
from moderation.transformer import pipeline


@dataclass
class Candidate:
    """A trained candidate.

    Attributes
    ----------
    version, active : str
        The candidate's name and that of the model it was compared with.
    folder : path
    comparison : dict of str to dict
        For each label, as `moderation.evaluation.compare` gives.
    outcomes : dict of str to Outcome
        What adapting did; empty for a model from scratch.
    """

    version: str
    active: str
    folder: Path
    comparison: dict[str, dict]
    outcomes: dict[str, training.Outcome] = field(default_factory=dict)

    @property
    def worse(self) -> list[str]:
        """Labels that got worse beyond the confidence interval."""
        return [label for label, row in self.comparison.items() if row["interval"] and row["interval"][1] < 0]

    def table(self):
        """The comparison as a table for the terminal."""
        from rich import box
        from rich.table import Table

        table = Table(
            title=f"{self.version} against {self.active}: ROC AUC on the same held-out comments",
            box=box.SIMPLE,
            padding=(0, 1, 0, 0),
        )
        for name in ("label", "rows", "positive", "active", "candidate", "difference (95 %)", "verdict"):
            table.add_column(name, justify="left" if name in {"label", "verdict"} else "right", no_wrap=True)
        for label in LABELS:
            row, outcome = self.comparison[label], self.outcomes.get(label)
            counts = (label, f"{row['rows']:,}", str(row["positives"]))
            if row["difference"] is None:
                table.add_row(*counts, "–", "–", "–", "not measured")
                continue
            low, high = row["interval"]
            verdict = "worse" if high < 0 else "better" if low > 0 else "no clear difference"
            if outcome and not outcome.adapted:
                verdict = "not adapted"
            table.add_row(
                *counts,
                f"{row['old']:.3f}",
                f"{row['new']:.3f}",
                f"{row['difference']:+.3f} ({low:+.3f} to {high:+.3f})",
                verdict,
            )
        return table

    def trained_on(self) -> list[str]:
        """A line for each label that says what it was adapted to."""
        told = []
        for label, outcome in self.outcomes.items():
            if outcome.adapted:
                rows = outcome.positives + outcome.negatives
                told.append(f"{label}: adapted to {rows:,} comments, {outcome.positives:,} of them with the label")
            else:
                told.append(f"{label}: not adapted, needs {training.FEWEST} comments with it and as many without")
        return told


def read(paths, *, skip_bad_rows: bool = False) -> Dataset:
    """Several data sets as one; the same folder twice is one.

    Raises
    ------
    DataErrors, DataError
    """
    distinct = list({Path(path).resolve(): Path(path) for path in paths}.values())
    return datasets.join([datasets.read_dataset(path, skip_bad_rows=skip_bad_rows) for path in distinct])


def topic_rows(data: Dataset) -> tuple[list[Comment], np.ndarray]:
    """Comments under an article whose off_topic was judged, and the labels."""
    rows = data.comments[(data.comments["article_id"] != "") & data.comments[OFF_TOPIC].notna()]
    comments = [
        Comment(row.text, row.id, data.articles[row.article_id], row.parent_text)
        for row in rows.itertuples()
        if row.article_id in data.articles
    ]
    kept = [row.off_topic for row in rows.itertuples() if row.article_id in data.articles]
    return comments, np.array(kept, dtype=float)


def compare_models(old: Model, new: Model, test: Dataset, steps=lambda description: iter) -> dict[str, dict]:
    """Old and new model on the same rows, by label. `steps` as of `training.adapt`."""
    found, none = {}, np.empty(0)
    for label in steps("Measuring on held-out comments")(TEXT_LABELS):
        truth = test.comments[label].to_numpy(dtype=float)
        known = np.isfinite(truth)
        texts = list(test.comments["text"][known])
        if not texts or label not in old.weighers:  # nothing to measure, or a label that is new
            found[label] = compare(none, none, none)
            continue
        found[label] = compare(
            truth[known],
            pipeline(old, label).decision_function(texts),
            pipeline(new, label).decision_function(texts),
        )
    comments, truth = topic_rows(test)
    if comments:
        found[OFF_TOPIC] = compare(
            truth,
            *(model.topic.logits(steps("Measuring under articles")(comments)) for model in (old, new)),
        )
    else:
        found[OFF_TOPIC] = compare(none, none, none)
    return found


def make(models: Path, data: Dataset, *, from_scratch=False, name="", seed=0, progress=None) -> Candidate:
    """Train a candidate, compare it with the active model, and save it.

    Parameters
    ----------
    models : path
        Folder of the model versions; the shipped one must be among them unless `from_scratch`.
    data : Dataset
    from_scratch : bool
        Train on `data` alone instead of adapting the shipped model.
    name : str
        Of the new version.
    seed : int
    progress : rich.progress.Progress, optional

    Raises
    ------
    ModelError, DataError
    """
    steps = _steps(progress)
    active = registry.load(models, registry.active(models))
    train_rows, test_rows = datasets.held_out(data.comments)
    train, test = data.part(train_rows), data.part(test_rows)
    recipe = training.Recipe(seed=seed)
    if from_scratch:
        fitted = training.fit(train, recipe=recipe, steps=steps)
        model, outcomes = fitted.model, {}
        held, all_known = fitted.held, fitted.all_known
        base = None
    else:
        base = registry.load(models, registry.DEFAULT)
        new = [label for label in LABELS if label not in base.model.calibrations]
        if new:
            raise registry.ModelError(f"the shipped model does not know the label {new[0]!r}; train --from-scratch")
        model, outcomes, held = training.adapt(base.model, train, recipe=recipe, seed=seed, steps=steps)
        all_known = {}
    comparison = compare_models(active.model, model, test, steps)
    version = name or _name(model)
    model.version = version
    figures = card.measured(held, model.thresholds, recipe, all_known)
    if base:
        # What could not be measured anew still holds as the shipped model's card says.
        for part, values in figures.items():
            figures[part] = {**base.card.get(part, {}), **values}
    written = card.make(
        version,
        kind="from scratch" if from_scratch else "adapted",
        data=data.sources,
        recipe=recipe,
        thresholds=model.thresholds,
        figures=figures,
        base=base.version if base else None,
        compared_with=active.version,
        comparison=comparison,
        rows={label: int(np.isfinite(train.comments[label].to_numpy(dtype=float)).sum()) for label in LABELS},
        outcomes={label: vars(outcome) for label, outcome in outcomes.items()},
    )
    folder = registry.save(models, version, model, written, report.page(written, held))
    return Candidate(version, active.version, folder, comparison, outcomes)


def _steps(progress):
    if progress is None:
        return lambda description: iter
    return lambda description: lambda items: progress.track(list(items), description=description)


def _name(model):
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{registry.digest(model)[:8]}"
