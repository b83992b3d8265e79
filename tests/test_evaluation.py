"""Intervals: by comment, or by article where comments stand under some."""

import numpy as np

from moderation.evaluation import auc_with_interval, group_resamples


def test_groups_are_drawn_whole():
    groups = np.array(["a", "b", "a", "c", "b", "a"])
    for rows in group_resamples(groups, n=50):
        drawn, counts = np.unique(rows, return_counts=True)
        times = dict(zip(drawn.tolist(), counts.tolist(), strict=True))
        for group in "abc":
            assert len({times.get(i, 0) for i in np.flatnonzero(groups == group)}) == 1
        assert sum(times.get(int(np.flatnonzero(groups == group)[0]), 0) for group in "abc") == 3


def test_an_interval_by_article_is_wider_where_articles_differ():
    rng = np.random.default_rng(0)
    articles = np.repeat(np.arange(8), 100)
    labels = np.tile([0.0, 1.0], 400)
    # A model that tells well under some articles and badly under others.
    scores = rng.normal(size=800) + labels * np.where(articles < 4, 3.0, 0.0)
    by_comment, by_article = (auc_with_interval(labels, scores, groups=groups) for groups in (None, articles))
    assert by_comment["auc"] == by_article["auc"]
    narrow, wide = (found["interval"][1] - found["interval"][0] for found in (by_comment, by_article))
    assert wide > 2 * narrow


def test_one_article_alone_is_resampled_by_comment():
    labels, scores = np.array([0.0, 1, 0, 1, 1, 0]), np.arange(6.0)
    assert auc_with_interval(labels, scores, groups=np.full(6, "")) == auc_with_interval(labels, scores)


def test_draws_without_a_positive_are_left_out():
    labels, groups = np.array([0.0, 0, 1, 1]), np.array(["a", "a", "b", "b"])
    assert auc_with_interval(labels, np.array([0.1, 0.2, 0.3, 0.4]), groups=groups)["interval"] == [1.0, 1.0]
