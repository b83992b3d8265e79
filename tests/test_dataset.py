"""Splitting: by article, stable, and with no near-duplicate on both sides."""

import numpy as np
import pandas as pd
from conftest import ROOT

from moderation import dataset


def frame(texts, articles=None):
    return pd.DataFrame({"text": texts, "article_id": articles or [""] * len(texts)})


LONG = "the harbour bridge was closed again last night because nobody had thought of ordering the right bolts in time"


def test_near_identical_texts_are_one_cluster():
    texts = [
        LONG,
        LONG.upper() + "!!",
        LONG.replace("last night", "this morning"),
        "something else entirely",
        "Yes.",
        "yes",
    ]
    clusters = dataset.near_duplicates(texts)
    assert clusters[0] == clusters[1] == clusters[2]
    assert clusters[4] == clusters[5]
    assert len(set(clusters)) == 3


def test_articles_stay_whole_and_duplicates_of_test_rows_do_not_train():
    texts = [f"comment number {i} about thing {i * 7} and matter {i * 13}" for i in range(200)]
    articles = [f"article-{i % 20}" for i in range(200)]
    texts[0] = texts[1] = LONG  # the same comment under two articles
    data = frame(texts, articles)
    for train, test in [*dataset.folds(data, n_splits=5), dataset.held_out(data)]:
        assert not set(data["article_id"][train]) & set(data["article_id"][test])
        assert not set(data["text"][train]) & set(data["text"][test])
    tested = np.concatenate([test for _, test in dataset.folds(data, n_splits=5)])
    assert sorted(tested) == list(range(200))


def test_the_held_out_rows_stay_the_same_when_data_is_added():
    rows = [f"text number {i} of its own kind {i * i}" for i in range(300)]
    _, before = dataset.held_out(frame(rows[:200]))
    _, after = dataset.held_out(frame(rows))
    assert set(before) == {row for row in after if row < 200}
    assert 30 < len(after) < 90


class TestStarterSet:
    data = dataset.read_dataset(ROOT / "data")

    def test_it_has_the_articles_and_comments_promised(self):
        comments, articles = self.data.comments, self.data.articles
        assert len(articles) >= 24 and len(comments) >= 1200
        assert all(len(article.body.split()) >= 150 for article in articles.values())
        words = comments["text"].str.split().str.len()
        assert words.min() <= 3 and words.max() >= 150 and (words <= 250).all()
        for label in ("abusive", "mocking", "off_topic"):
            assert 150 < (comments[label] >= 0.5).sum() < len(comments) / 2

    def test_minimal_pairs_flip_a_label(self):
        raw = pd.read_csv(ROOT / "data" / "comments.csv", keep_default_na=False)
        pairs = raw[raw["pair"] != ""].groupby("pair")
        assert len(pairs) >= 150
        for name, pair in pairs:
            assert len(pair) == 2 and pair["article_id"].nunique() == 1, name
            flips = [
                label
                for label in ("abusive", "mocking", "off_topic")
                if (pd.to_numeric(pair[label]) >= 0.5).nunique() == 2
            ]
            assert flips, name

    def test_no_comment_is_there_twice(self):
        assert self.data.comments["text"].str.casefold().is_unique
