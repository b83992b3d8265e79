"""The shipped model: which corpora it is made from, and how it is measured.

Every corpus is measured twice: by cross-validation, with the corpus's other rows in training, and with the whole
corpus left out, which is what a newsroom that nobody has seen gets.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from moderation import anylabel, card, cost, grades, processes, registry, report, subjects, training
from moderation import dataset as datasets
from moderation.comments import LABELS, TEXT_LIMIT, Comment, sha256
from moderation.evaluation import auc_with_interval, harden
from moderation.model import OFF_TOPIC, TEXT_LABELS
from moderation.scorer import Scorer
from moderation.settings import SHIPPED
from moderation.transformer import pipeline

#: Corpora that may train the shipped model, with the licences of their releases.
TRAINING = {
    "civil_comments": "CC0-1.0",
    "nyt_room_for_debate": "Apache-2.0",
    "fox_news": "MIT",
    "wikipedia_talk": "Apache-2.0",
    "changemyview": "Apache-2.0",
    "isarcasm": "MIT",
}
STARTER = SHIPPED / "data"
GRADES = STARTER / "grades.csv"
SENTENCES = STARTER / "sentences.csv"
NGRAMS = STARTER / "ngrams.csv"
WORD_SUBJECTS = STARTER / "word_subjects.csv"
SUBJECTS = STARTER / "subjects.csv"
NEIGHBOURS = STARTER / "word_neighbours.csv"

#: Fewest and most comments of the threads that are measured with; 200 are as many as the service looks at.
THREADS = {
    "with thread of 3 to 15": (3, 15),
    "with thread of up to 50": (50, 50),
    "with thread of up to 200": (200, 200),
}

#: What the steps of `build` belong to.
TRAINED, MEASURING = "training", "measuring for the card"

#: Corpora that are only measured: the label, the column that holds it, and what it is called.
MEASURED = (
    ("globe_and_mail_eval_only", "abusive", "hostile", "Globe and Mail, hostile"),
    ("globe_and_mail_eval_only", "abusive", "antagonise", "Globe and Mail, antagonising"),
    ("globe_and_mail_eval_only", "mocking", "sarcastic", "Globe and Mail, sarcastic"),
    ("globe_and_mail_eval_only", "mocking", "condescending", "Globe and Mail, condescending"),
    ("identity_templates", "abusive", "abusive", "identity templates"),
)


def read(corpora: Path):
    """The training corpora and the part of the starter set that no model trains on.

    Returns
    -------
    train, starter_test : Dataset
    """
    starter = datasets.read_dataset(STARTER, corpus="data")
    train_rows, test_rows = datasets.held_out(starter.comments)
    parts = [datasets.read_dataset(corpora / name) for name in TRAINING]
    for part in parts:
        part.sources[:] = [{**s, "licence": TRAINING[s["corpus"]]} for s in part.sources]
    starter.sources[:] = [{**s, "licence": "this project's own"} for s in starter.sources]
    data = datasets.join([*parts, starter.part(train_rows)])
    data.comments = grades.attach(_without_measured(data.comments, corpora), GRADES)
    data.comments = grades.attach_sentences(data.comments, SENTENCES)
    data.ngrams = grades.read_ngrams(NGRAMS)
    data.subjects = subjects.read(WORD_SUBJECTS, SUBJECTS)
    data.neighbours = subjects.read_neighbours(NEIGHBOURS)
    graded = int(data.comments["graded_mocking"].notna().sum())
    sentences = int(data.comments["graded_sentences"].str.len().sum())
    for name, file, rows in (
        ("grades", GRADES, graded),
        ("grades of sentences", SENTENCES, sentences),
        ("grades of n-grams", NGRAMS, len(data.ngrams)),
        ("subjects of words", WORD_SUBJECTS, len(data.subjects)),
        ("neighbours of words", NEIGHBOURS, len(data.neighbours)),
    ):
        data.sources.append(
            {
                "corpus": name,
                "file": file.name,
                "sha256": sha256(file),
                "rows": rows,
                "licence": "this project's own",
            }
        )
    return data, starter.part(test_rows)


def _without_measured(comments, corpora):
    """The comments less those that nearly repeat one of a corpus that is only measured."""
    measured = [
        text
        for name in sorted({name for name, *_ in MEASURED})
        if (corpora / name / "comments.csv").exists()
        for text in pd.read_csv(corpora / name / "comments.csv", usecols=["text"], dtype=str)["text"].dropna()
    ]
    clusters = datasets.near_duplicates([*measured, *comments["text"]])
    repeats = np.isin(clusters[len(measured) :], clusters[: len(measured)])
    return comments[~repeats].reset_index(drop=True)


def train(corpora: Path, *, seed: int = 0, progress=None, jobs: int | None = None, costs: cost.Costs | None = None):
    """Train the shipped model: all that its weights, calibrations and thresholds need, and nothing else.

    Parameters
    ----------
    corpora, seed, progress
        As for `build`.
    jobs : int, optional
        Processes; by default as many as `moderation.processes.available` says.
    costs : Costs, optional

    Returns
    -------
    data, starter_test : Dataset
    fitted : moderation.training.Fitted
    """
    costs = costs or cost.Costs()
    with costs.step("reading the corpora", TRAINED):
        data, starter_test = read(corpora)
    fitted = training.fit(
        data,
        recipe=training.Recipe(seed=seed),
        steps=_steps(progress),
        jobs=jobs or processes.available(),
        measure=lambda step: costs.step(step, TRAINED),
    )
    return data, starter_test, fitted


@processes.kept()
def build(
    corpora: Path,
    models: Path,
    *,
    seed: int = 0,
    progress=None,
    version: str = registry.DEFAULT,
    costs: cost.Costs | None = None,
) -> Path:
    """Train, measure and save the shipped model.

    Parameters
    ----------
    corpora : path
        Folder with a folder for each corpus of `TRAINING`; those of `MEASURED` where they are there.
    models : path
    seed : int
    progress : rich.progress.Progress, optional
    costs : Costs, optional
        Gets the steps of training, and apart from them those of measuring.

    Returns
    -------
    path
        The model's folder.
    """
    recipe = training.Recipe(seed=seed)
    costs = costs or cost.Costs()
    data, starter_test, fitted = train(corpora, seed=seed, progress=progress, costs=costs)
    model = fitted.model
    steps = _steps(progress)
    with costs.step("held-out rows", MEASURING):
        figures = card.measured(fitted.held, model.thresholds, recipe, fitted.all_known)
        under = threads(fitted.topics, data, recipe, steps)
        within = cross_validated(fitted, under)
    with costs.step("leaving corpora out", MEASURING):
        without = left_out(fitted, under, steps)
    with costs.step("corpora and articles never trained on", MEASURING):
        figures["any_label"]["starter_held_out"] = starter_any_label(starter_test, model, recipe)
        figures["any_label"] |= never_trained_any_label(corpora, model)
        measured = {
            "cross_validated": within,
            "left_out": without,
            "never_trained": never_trained(corpora, model),
            "starter_held_out": starter(starter_test, model),
        }
    name = f"{version}-{registry.digest(model)[:8]}" if version == registry.DEFAULT else version
    model.version = name
    written = card.make(
        name,
        kind="shipped",
        data=data.sources,
        recipe=recipe,
        thresholds=model.thresholds,
        figures=figures,
        rows={label: int((~np.isnan(data.comments[label].to_numpy(dtype=float))).sum()) for label in LABELS},
        measured=measured,
        limits={"text_bytes": TEXT_LIMIT},
    )
    with costs.step("report and files", MEASURING):
        page = report.page(written, fitted.held)
        return registry.save(models, version, model, written, page, overwrite=True)


def _steps(progress):
    if progress is None:
        return lambda description: iter
    return lambda description: lambda items: progress.track(list(items), description=description)


def threads(topics, data, recipe, steps) -> dict:
    """For each of `THREADS` the pairs that `topics` is made of, with such threads."""
    return {
        name: training.TopicTrainer(
            topics.reader,
            data,
            n_splits=recipe.n_splits,
            seed=recipe.seed,
            thread=thread,
            wrong=("random", "similar", "any", "nearest"),
            progress=steps(f"Comparing {name}"),
            jobs=topics.jobs,
        )
        for name, thread in THREADS.items()
    }


def cross_validated(fitted, under) -> dict:
    """ROC AUC on each corpus's own labels, other articles of the corpus being in training, by label."""
    comments = fitted.text.comments
    found = {
        label: card.by_corpus(
            comments["corpus"].to_numpy(),
            comments["article_id"].to_numpy(),
            comments[label].to_numpy(dtype=float),
            fitted.out_of_fold[label],
        )
        for label in TEXT_LABELS
    }
    topics = fitted.topics
    splits = [(topics.without_fold(fold), _of_fold(fold)) for fold in np.unique(topics.folds)]
    return {**found, OFF_TOPIC: _topic_figures(topics, under, splits, ("random", "similar"))}


def _of_fold(fold):
    return lambda pairs: pairs.of_fold(fold)


def _of_corpus(corpus):
    return lambda pairs: np.flatnonzero(pairs.corpora == corpus)


def left_out(fitted, under, steps) -> dict:
    """ROC AUC on each corpus with none of it in training, by label."""
    found: dict[str, dict] = {label: {} for label in LABELS}
    trainer = fitted.text
    corpora = trainer.comments["corpus"].to_numpy()
    splits = []
    for corpus in (names := sorted(set(corpora))):
        rows, rest = np.flatnonzero(corpora == corpus), np.flatnonzero(corpora != corpus)
        labels = [
            label for label in TEXT_LABELS if np.isfinite(trainer.comments[label].to_numpy(dtype=float)[rows]).any()
        ]
        splits.append((rest, rows, labels))
    unseen = trainer.unseen(splits, steps("Leaving corpora out"))
    for corpus, (_, rows, _), (_, _, by_label) in zip(names, splits, unseen, strict=True):
        for label, logits in by_label.items():
            truth = trainer.comments[label].to_numpy(dtype=float)[rows]
            known = np.isfinite(truth)
            articles = trainer.comments["article_id"].to_numpy()[rows]
            found[label][str(corpus)] = auc_with_interval(truth[known], logits[known], groups=articles[known])
    topics = fitted.topics
    by_corpus = [(np.flatnonzero(topics.corpora != corpus), _of_corpus(corpus)) for corpus in np.unique(topics.corpora)]
    # Where the whole corpus is left out, a random wrong article may be any of it: that of the same fold would depend on
    # how few articles were dealt out.
    found[OFF_TOPIC] = _topic_figures(topics, under, by_corpus, ("any", "similar", "nearest"))
    return found


def _topic_figures(topics, under, splits, kinds) -> dict:
    """ROC AUC of off_topic by corpus, by what the comment is compared with, and by which wrong article.

    Parameters
    ----------
    topics : TopicTrainer
    under : dict of str to TopicTrainer
        As `threads` gives.
    splits : list of (ndarray, callable)
        Pairs of `topics` that train, and what tells the pairs, of one of `under`, that are then measured.
    kinds : sequence of str
        Of wrong articles.
    """
    bare = {name: np.full(len(pairs.labels), np.nan) for name, pairs in under.items()}
    threaded = {name: values.copy() for name, values in bare.items()}
    for train, measured_of in splits:
        if len(train):
            model = topics.fit(train)
            for name, pairs in under.items():
                rows = measured_of(pairs)
                bare[name][rows], threaded[name][rows] = pairs.logits(model, rows)
    first = next(iter(under))  # without their threads the pairs are the same for all
    found: dict[str, dict] = {}
    for corpus in np.unique(topics.corpora):
        for what, name, logits in (
            ("article only", first, bare[first]),
            *((name, name, threaded[name]) for name in under),
        ):
            chosen = (under[name].corpora == corpus) & np.isfinite(logits)
            if chosen.any():
                found |= _pair_figures(f"{corpus}, {what}", under[name], chosen, logits, kinds)
    return found


_CALLED = {"any": "random"}


def _pair_figures(name, pairs, chosen, logits, kinds):
    own = chosen & (pairs.kinds == "own")
    rows = {f"{_CALLED.get(kind, kind)} wrong article": own | chosen & (pairs.kinds == kind) for kind in kinds}
    if harden(pairs.labels[own]).any():
        rows["judged by people"] = own
    return {
        f"{name}, {what}": auc_with_interval(pairs.labels[some], logits[some], groups=pairs.articles[some])
        for what, some in rows.items()
    }


def never_trained(corpora: Path, model) -> dict:
    """ROC AUC on the corpora that no model trains on, where they are there."""
    found = {}
    for corpus, label, column, name in MEASURED:
        path = corpora / corpus / "comments.csv"
        if not path.exists():
            continue
        rows = pd.read_csv(path, usecols=["text", column], keep_default_na=True).dropna(subset=[column])
        logits = pipeline(model, label).decision_function(list(rows["text"]))
        found[name] = {"label": label, **auc_with_interval(rows[column].to_numpy(dtype=float), logits)}
    return found


def starter(test, model) -> dict:
    """ROC AUC on the starter articles that no model trains on."""
    found = {}
    for label in TEXT_LABELS:
        truth = test.comments[label].to_numpy(dtype=float)
        known = np.isfinite(truth)
        logits = pipeline(model, label).decision_function(list(test.comments["text"][known]))
        articles = test.comments["article_id"].to_numpy()[known]
        found[label] = auc_with_interval(truth[known], logits, groups=articles)
    from moderation.candidate import topic_rows

    comments, truth = topic_rows(test)
    found[OFF_TOPIC] = auc_with_interval(truth, model.topic.logits(comments), groups=training.titles(comments))
    return found


def starter_any_label(test, model, recipe) -> dict:
    """How well the probability of any label is calibrated on the starter articles that no model trains on."""
    rows = test.comments[test.comments[list(LABELS)].notna().all(axis=1)]
    comments = [Comment(row.text, row.id, test.articles[row.article_id], row.parent_text) for row in rows.itertuples()]
    found = Scorer(registry.Stored("", model, {}, Path())).probabilities(comments)
    scored = np.isfinite(found).all(axis=1)
    truth = rows[list(LABELS)].to_numpy(dtype=float)[scored]
    known = anylabel.Rows(found[scored], truth, np.ones(len(truth)), np.zeros(len(truth), dtype=np.int64))
    rates, any_rate = recipe.rates(anylabel.ARTICLE)
    return anylabel.measure(known, rates, any_rate, model.any_label[anylabel.ARTICLE])


def never_trained_any_label(corpora: Path, model) -> dict:
    """The same on a stream of comments that no model trains on, at its own rates, where it is there: its labels are of
    the text alone."""
    corpus, columns = "globe_and_mail_eval_only", ["hostile", "antagonise", "sarcastic", "condescending"]
    if not (path := corpora / corpus / "comments.csv").exists():
        return {}
    rows = pd.read_csv(path, usecols=["text", *columns]).dropna()
    found = Scorer(registry.Stored("", model, {}, Path())).probabilities([Comment(text) for text in rows["text"]])
    found = found[:, : len(TEXT_LABELS)]
    scored = np.isfinite(found).all(axis=1)
    label_of = {column: label for name, label, column, _ in MEASURED if name == corpus}
    truth = np.stack([rows[[c for c in columns if label_of[c] == label]].max(axis=1) for label in TEXT_LABELS], axis=1)[
        scored
    ]
    known = anylabel.Rows(found[scored], truth, np.ones(len(truth)), np.zeros(len(truth), dtype=np.int64))
    rates = list(truth.mean(axis=0)), float((truth >= 0.5).any(axis=1).mean())
    return {corpus: anylabel.measure(known, *rates, model.any_label[anylabel.TEXT])}
