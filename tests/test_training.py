"""What training counts once, spreads over processes and fits to shares is what the plain way gives."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, until
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from moderation import cost, grades, processes, soft, training
from moderation.comments import Article, DataError
from moderation.corpus import Corpus
from moderation.dataset import Dataset
from moderation.features import WORDS
from moderation.transformer import fitted_union, make_union

LIMITS = {"min_df": 2, "max_words": 500, "max_characters": 2_000}


@pytest.fixture(scope="module")
def texts():
    found = list(pd.read_csv(ROOT / "data" / "comments.csv", usecols=["text"], dtype=str)["text"][:300])
    return [*found, "", "!!!", "Ⓕ☹ ​", " ".join(found[:20])]


@pytest.fixture(scope="module")
def corpus(texts):
    return Corpus(texts, min_df=2)


@pytest.mark.parametrize("limits", [LIMITS, {"min_df": 3}])
def test_any_rows_have_the_features_that_scikit_learn_fits_to_them(texts, corpus, limits):
    rows = np.arange(len(texts))[::-2]
    plain = make_union(**limits, cue_weight=0.06).fit([texts[row] for row in rows])
    features = corpus.choose(rows, **limits, cue_weight=0.06)
    union = fitted_union(corpus.space(features))
    others = [texts[row] for row in (0, 2, 300, 301, 302, 303)]
    for (name, ours), (_, theirs) in zip(union.transformer_list, plain.transformer_list, strict=True):
        if hasattr(theirs, "idf_"):
            # Where a maximum cuts through n-grams that are equally frequent, scikit-learn takes whichever of them come
            # first in a sorting that is not stable.
            total = dict(zip(corpus.names[name], corpus.counts.blocks[name][rows].sum(axis=0).A1, strict=True))
            least = min(total[gram] for gram in ours.vocabulary_)
            above = [{gram for gram in part.vocabulary_ if total[gram] > least} for part in (ours, theirs)]
            assert above[0] == above[1] and len(ours.vocabulary_) == len(theirs.vocabulary_), name
            assert least == min(total[gram] for gram in theirs.vocabulary_)
            assert list(ours.vocabulary_) == sorted(ours.vocabulary_)
    if "max_words" not in limits:
        np.testing.assert_allclose(union.transform(others).toarray(), plain.transform(others).toarray(), atol=1e-12)
    found = corpus.transform(features, np.array([0, 2, 300, 301, 302, 303]))
    assert found.has_sorted_indices
    np.testing.assert_allclose(found.toarray(), union.transform(others).toarray(), atol=1e-12)


def test_listed_words_are_kept_however_rare_they_are(texts):
    texts = [*texts, "A quidnunc, a busybody!"]
    rows = np.arange(len(texts))
    listed = ("quidnunc", "nincompoop", "a busybody")
    corpus = Corpus(texts, min_df=3, listed=listed)
    others = Corpus(texts, min_df=3)
    assert set(corpus.names[WORDS]) == {*others.names[WORDS], *listed}
    features = corpus.choose(rows, min_df=3, max_words=10)
    kept = [corpus.names[WORDS][column] for column in features.columns[WORDS]]
    frequent = others.choose(rows, min_df=3, max_words=7).columns[WORDS]
    assert sorted(kept) == kept and set(kept) == {*listed, *(others.names[WORDS][column] for column in frequent)}
    # In no comment, in one and in one.
    found = [features.idf[WORDS][kept.index(word)] for word in ("nincompoop", "quidnunc", "a busybody")]
    np.testing.assert_allclose(found, np.log((len(texts) + 1) / np.array([1, 2, 2])) + 1)
    union = fitted_union(corpus.space(features))
    np.testing.assert_allclose(
        corpus.transform(features, rows[-3:]).toarray(), union.transform(texts[-3:]).toarray(), atol=1e-12
    )


def test_a_graded_word_that_no_comment_holds_is_weighed_by_its_grades():
    rest = pd.read_csv(ROOT / "data" / "comments.csv", usecols=["text"], dtype=str)["text"][:80]
    texts = [f"You are a {'fool' if place < 40 else 'friend'}. {text}" for place, text in enumerate(rest)]
    comments = pd.DataFrame({"text": texts, "corpus": "data", "article_id": "", "parent_text": ""})
    comments["abusive"] = comments["mocking"] = np.repeat([1.0, 0.0], 40)
    ngrams = {"fool": (0.9, 0.0, 0.0), "nincompoop": (0.9, 0.0, 0.0), "quidnunc": (0.1, 0.0, 0.0)}
    trainer = training.TextTrainer(comments, training.Recipe(composed=0), ngrams=ngrams)
    features, classifiers = trainer.fit(np.arange(80))
    names = [trainer.corpus.names[WORDS][column] for column in features.columns[WORDS]]
    weights = dict(zip(names, classifiers["abusive"].coef_[0], strict=False))
    assert weights["fool"] > weights["nincompoop"] > weights["quidnunc"] > 0


def test_processes_count_the_same(texts, corpus, monkeypatch):
    monkeypatch.setattr("moderation.corpus._ROWS", 80)
    monkeypatch.setattr("moderation.corpus._READ", 80)
    seen = []
    other = Corpus(texts, min_df=2, jobs=2, progress=lambda items: [seen.append(item) or item for item in items])
    assert len(seen) == 4
    assert other.names == corpus.names
    for name, counts in corpus.counts.blocks.items():
        assert (other.counts.blocks[name] != counts).nnz == 0
    np.testing.assert_array_equal(other.counts.cue_values, corpus.counts.cue_values)


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="asks Linux what is in memory")
def test_what_is_mapped_from_files_is_not_kept_in_memory(texts, corpus):
    mapped = Corpus(texts, min_df=2, jobs=2)
    rows = np.arange(0, len(texts), 2)
    features = mapped.choose(rows, min_df=2)
    found = mapped.transform(features, rows)
    assert (found != corpus.transform(corpus.choose(rows, min_df=2), rows)).nnz == 0
    sizes = []
    for part in re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text(), flags=re.MULTILINE):
        if mapped._folder.name in part.partition("\n")[0]:
            sizes.append(int(re.search(r"^Rss: +(\d+) kB", part, re.MULTILINE)[1]))
    # What is small stays: the cues, and where rows begin.
    assert sizes and sum(sizes) < 0.1 * sum(
        each.data.nbytes + each.indices.nbytes for each in mapped.counts.blocks.values()
    )


def _shares(rng, size):
    return np.where(rng.random(size) < 0.5, rng.integers(0, 2, size), rng.random(size))


@pytest.mark.parametrize("strength", [0.3, 30.0])
def test_shares_are_fitted_as_rows_that_train_both_ways(strength):
    rng = np.random.default_rng(0)
    matrix = sparse.random(400, 900, 0.05, format="csr", random_state=0)
    labels, weights = _shares(rng, 400), rng.choice([0.5, 1.0, 2.0], 400)
    positive, negative = np.flatnonzero(labels > 0), np.flatnonzero(labels < 1)
    rows = np.concatenate([positive, negative])
    tight = {"C": strength, "max_iter": 1_000, "tol": 1e-9}
    plain = LogisticRegression(**tight).fit(
        matrix[rows],
        np.repeat([1, 0], [len(positive), len(negative)]),
        sample_weight=np.concatenate([labels[positive], 1 - labels[negative]]) * weights[rows],
    )
    ours = soft.fit(LogisticRegression(**tight), matrix, labels, weights)
    assert vars(ours).keys() == vars(plain).keys()
    np.testing.assert_allclose(ours.coef_, plain.coef_, atol=1e-5)
    np.testing.assert_allclose(ours.decision_function(matrix), plain.decision_function(matrix), atol=1e-4)


def test_features_that_every_row_has_cost_no_more_steps():
    # As the intercept and the commonest n-grams are against the rare ones: they curve a thousand times more.
    rng = np.random.default_rng(0)
    rare = sparse.random(2_000, 3_000, 0.005, format="csr", random_state=0)
    common = sparse.csr_matrix(rng.random((2_000, 5)) * np.array([1, 2, 4, 8, 16]))
    labels, weights = _shares(rng, 2_000), np.ones(2_000)
    tight = {"C": 0.5, "max_iter": 1_000, "tol": 1e-6}
    matrix = sparse.hstack([rare, common], format="csr")
    wide = soft.fit(LogisticRegression(**tight), matrix, labels, weights)
    plain = LogisticRegression(**tight).fit(
        sparse.vstack([matrix, matrix], format="csr"),
        np.repeat([1, 0], 2_000),
        sample_weight=np.concatenate([labels, 1 - labels]),
    )
    assert wide.n_iter_[0] < plain.n_iter_[0] / 2
    np.testing.assert_allclose(wide.decision_function(matrix), plain.decision_function(matrix), atol=1e-3)


def test_half_the_bytes_give_the_same_fit():
    rng = np.random.default_rng(0)
    matrix = sparse.random(400, 900, 0.05, format="csr", random_state=0)
    labels, weights = _shares(rng, 400), rng.choice([0.5, 1.0, 2.0], 400)
    tight = {"C": 3.0, "max_iter": 1_000, "tol": 1e-6}
    double = soft.fit(LogisticRegression(**tight), matrix, labels, weights)
    single = soft.fit(LogisticRegression(**tight), matrix.astype(np.float32), labels, weights)
    assert single.coef_.dtype == np.float64
    np.testing.assert_allclose(single.decision_function(matrix), double.decision_function(matrix), atol=1e-2)
    whole = soft.fit(LogisticRegression(**tight), np.eye(3, dtype=int), np.array([0, 0.5, 1]), np.ones(3))
    assert whole.coef_[0, 0] < whole.coef_[0, 1] < whole.coef_[0, 2]


def test_a_coefficient_with_twice_the_spread_is_that_of_a_feature_of_twice_the_size():
    rng = np.random.default_rng(0)
    matrix = sparse.random(400, 900, 0.05, format="csr", random_state=0)
    labels, weights, spread = _shares(rng, 400), np.ones(400), rng.choice([0.5, 1.0, 2.0], 900)
    scaled = (matrix @ sparse.diags_array(spread)).tocsr()
    tight = {"C": 3.0, "max_iter": 1_000, "tol": 1e-9}
    plain = soft.fit(LogisticRegression(**tight), scaled, labels, weights)
    ours = soft.fit(LogisticRegression(**tight), matrix, labels, weights, spread)
    np.testing.assert_allclose(ours.coef_, spread * plain.coef_, atol=1e-5)
    np.testing.assert_allclose(ours.decision_function(matrix), plain.decision_function(scaled), atol=1e-5)


def test_shared_directions_are_features_of_their_own_handed_out():
    rng = np.random.default_rng(0)
    matrix = sparse.random(400, 900, 0.05, format="csr", random_state=0)
    shared = sparse.random(900, 4, 0.2, format="csr", random_state=1)
    labels, weights, spread = _shares(rng, 400), rng.random(400), rng.choice([0.5, 1.0, 2.0], 900)
    wide = sparse.hstack([matrix, matrix @ shared], format="csr")
    wide_spread = np.concatenate([spread, np.ones(4)])
    tight = {"C": 3.0, "max_iter": 1_000, "tol": 1e-8}
    plain = soft.fit(LogisticRegression(**tight), wide, labels, weights, wide_spread)
    ours = soft.fit(LogisticRegression(**tight), matrix, labels, weights, spread, shared)
    own, directions = plain.coef_[0, :900], plain.coef_[0, 900:]
    assert ours.coef_.shape == (1, 900) and np.abs(directions).max() > 0.1
    np.testing.assert_allclose(ours.coef_[0], own + shared @ directions, atol=1e-5)
    np.testing.assert_allclose(ours.decision_function(matrix), plain.decision_function(wide), atol=1e-5)


def test_a_rare_word_is_weighed_as_its_grade_says():
    # "awful" teaches what hostile words mean; "dreadful" stands in no comment with the label but is graded alike.
    texts = ["that is awful", "he is awful", "nice to meet", "that is good", "dreadful of him", "the tall tree"] * 6
    comments = pd.DataFrame(
        {"corpus": "data", "text": texts, "abusive": [1, 1, 0, 0, 0, 0] * 6, "mocking": [1.0, 0] * 18}
    )
    comments = comments.assign(id=[str(n) for n in range(36)], article_id="", parent_text="", off_topic=np.nan)
    recipe = training.Recipe(composed=0, min_df=1, n_splits=2, word_hint=3.0)
    found = []
    for ngrams in (None, {"awful": (1.0, 0.0, 0.0), "dreadful": (1.0, 0.0, 0.0)}):
        trainer = training.TextTrainer(comments, recipe, ngrams=ngrams)
        features, classifiers = trainer.fit(np.arange(36), ["abusive"])
        found.append(classifiers["abusive"].coef_[0, trainer.corpus.space(features).words["dreadful"]])
    assert found[1] > found[0]


def test_a_graded_sentence_trains_with_its_comment_and_only_with_it():
    texts = [f"The {word} is late. You fool!" for word in ("tram", "boat", "bus", "train", "ferry", "plane")]
    comments = pd.DataFrame({"corpus": "data", "text": texts, "abusive": 1.0, "mocking": 0.0, "off_topic": np.nan})
    comments = comments.assign(id=[str(n) for n in range(6)], article_id="", parent_text="")
    end = [text.index("Y") - 1 for text in texts]
    comments["graded_sentences"] = [
        [(0, e, 0.0, 0.1), (e + 1, len(t), 0.9, 0.0)] for t, e in zip(texts, end, strict=True)
    ]
    recipe = training.Recipe(
        composed=0, min_df=1, n_splits=2, sentence_weight=0.25, sentence_weights={}, corpus_weights={}
    )
    trainer = training.TextTrainer(comments, recipe)
    # "You fool!" has two words, one fewer than a sentence needs.
    assert [parts.tolist() for parts in trainer.parts] == [[row] for row in range(6)]
    rows, by_label = trainer._part(np.array([1, 4]), ["abusive", "mocking"])
    assert rows.tolist() == [1, 4, 7, 10]
    assert [values.tolist() for values in by_label["abusive"]] == [[1, 1, 0, 0], [1, 1, 0.25, 0.25]]
    assert [values.tolist() for values in by_label["mocking"]] == [[0, 0, 0.1, 0.1], [1, 1, 0.25, 0.25]]
    row = trainer.corpus.counts.blocks[WORDS][7].toarray()[0]
    assert {"boat", "is late"} <= {name for name, count in zip(trainer.corpus.names[WORDS], row, strict=True) if count}
    assert not row[trainer.corpus.names[WORDS].index("fool")]


def test_what_has_a_grade_may_weigh_more():
    hints = grades.hints(["moron", "Moscow", "oh, sure"], {"moron": (1.0, 0.0, 0.0), "oh, sure": (0.0, 0.5, 0.1)})
    assert training.graded_spread(hints, 4, 3.0).tolist() == [4.0, 1.0, 2.5, 1.0]
    assert training.graded_spread(hints, 4, 3.0, 0.5).tolist() == [2.0, 0.5, 1.25, 0.5]
    assert training.graded_spread(hints, 4, 0.0).tolist() == [1.0] * 4
    assert training.graded_spread(hints * 0, 4, 3.0, 0.5).tolist() == [1.0] * 4


def test_an_ngram_of_one_class_may_weigh_more_than_one_of_both():
    # Rows say how often in each class: the first n-gram in both, the second in one; the last feature is no n-gram.
    matrix = sparse.csr_matrix([[1.0, 0.0, 5.0], [1.0, 0.2, 1.0], [1.0, 0.0, 0.0], [1.0, 0.4, 1.0]])
    labels, weights = np.array([0.0, 1.0, 0.0, 1.0]), np.ones(4)
    both, one, other = training.ratio_spread(matrix, labels, weights, 2, 0.5)
    assert one > both > 0 and other == 1
    assert both**2 + one**2 == pytest.approx(2)
    np.testing.assert_array_equal(training.ratio_spread(matrix, labels, weights, 2, 0.0), 1)


def test_counted_in_parts_an_ngram_has_the_same_spread(monkeypatch):
    rng = np.random.default_rng(0)
    matrix = sparse.random(50, 30, 0.2, format="csr", random_state=0)
    labels, weights = _shares(rng, 50), rng.random(50)
    whole = training.ratio_spread(matrix, labels, weights, 30, 0.3)
    monkeypatch.setattr(training, "_ROWS", 7)
    np.testing.assert_allclose(training.ratio_spread(matrix, labels, weights, 30, 0.3), whole, rtol=1e-12)


def test_a_fold_is_measured_on_articles_that_training_has_not_seen(scorer):
    words = ("harbour", "school", "budget", "orchestra", "glacier", "railway")
    keys = [f"starter/{word}-{i}" for word in words for i in range(2)]
    articles = {key: Article(key, f"The {key.split('/')[1][:-2]} is to be rebuilt, says the mayor.") for key in keys}
    rows = [("starter", f"{key} {i}", key, "", f"What about {key[8:]}? {i}", np.nan) for key in keys for i in range(3)]
    comments = pd.DataFrame(rows, columns=["corpus", "id", "article_id", "parent_text", "text", "off_topic"])
    trainer = training.TopicTrainer(scorer.model.topic, Dataset(comments, articles), n_splits=3, seed=0)
    pairs = np.arange(len(trainer.labels))
    bare, threaded = trainer.reader.evidence(trainer.comments)
    np.testing.assert_array_equal(trainer.bare, bare.astype(np.float32))
    np.testing.assert_array_equal(trainer.threaded, threaded.astype(np.float32))
    shown = [each.article.title for each in trainer.comments]
    standing = [each.id.rpartition(" ")[0] for each in trainer.comments]
    across = trainer.folds[:, 0] != trainer.folds[:, 1]
    assert across.any() and (trainer.kinds[across] == "nearest").all()
    measured = []
    for fold in range(3):
        train, test = trainer.without_fold(fold), trainer.of_fold(fold)
        seen = {names[i] for i in train for names in (shown, standing)}
        assert seen and not seen & {names[i] for i in test for names in (shown, standing)}
        measured += test.tolist()
    assert sorted(measured) == pairs[~across].tolist()
    _, bare, threaded = trainer.cross_fit()
    for logits in (bare, threaded):
        assert (np.isnan(logits) == across).all()


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_class_cannot_be_fitted(label):
    with pytest.raises(DataError, match="needs rows with and rows without"):
        soft.fit(LogisticRegression(), np.eye(3), np.full(3, label), np.ones(3))


def test_costs_are_of_other_processes_too():
    costs = cost.Costs()
    with costs.step("alone", "first"):
        list(processes.each(_busy, [(0.0,)], 1))
    with costs.step("together", "second"):
        assert list(processes.each(_busy, [(0.4,), (0.3,)], 2)) == [0.4, 0.3]
    assert costs.total("second").processor_seconds >= 0.7
    assert costs.total("first").processor_seconds < costs.total("second").processor_seconds
    names = [line.split("  ")[0] or line.split("  ")[1] for line in costs.lines()]
    assert names[1:] == ["alone", "first, in all", "together", "second, in all"]


def test_processes_serve_again_where_they_are_kept():
    def numbers():
        return set(processes.each(_process, [(0.05,)] * 6, 2))

    with processes.kept():
        served = numbers()
        with processes.kept():
            served |= numbers()
        served |= numbers()
    assert 1 <= len(served) <= 2
    for number in served:
        until(lambda number=number: not _runs(number))
    assert not numbers() & served
    with processes.kept():
        assert list(processes.each(_process, [(0.0,)], 2)) == [os.getpid()]


def _process(seconds):
    time.sleep(seconds)
    return os.getpid()


def _runs(number):
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


def _busy(seconds):
    import time

    began = time.process_time()
    while time.process_time() - began < seconds:
        pass
    return seconds
