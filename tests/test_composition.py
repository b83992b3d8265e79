"""Comments composed for training: from which rows, with which labels."""

import numpy as np
import pandas as pd
import pytest

from moderation.composition import compose
from moderation.training import Recipe


@pytest.fixture(scope="module")
def composed():
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(list("abcdefgh"), size=12)) + f" {number}" for number in range(400)]
    comments = pd.DataFrame({"text": texts, "corpus": np.repeat(["here", "there"], 200)})
    labels = {
        "abusive": np.where(np.arange(400) % 10 == 0, 0.9, 0.05),
        "mocking": np.where(np.arange(400) % 10 == 1, 0.8, np.where(np.arange(400) % 10 == 2, np.nan, 0.1)),
    }
    deal = np.arange(400) % 2
    return comments, labels, deal, compose(comments, labels, deal, Recipe(composed=400, composed_share=0.3))


def test_parts_come_from_one_corpus_and_one_fold(composed):
    comments, _, deal, found = composed
    assert len(found.texts) == len(found.parts) == 400
    for parts in found.parts:
        assert comments["corpus"].iloc[parts].nunique() == 1 and len(set(deal[parts])) == 1


def test_texts_are_the_parts(composed):
    comments, _, _, found = composed
    assert all(
        text == " ".join(comments["text"].iloc[parts]) for text, parts in zip(found.texts, found.parts, strict=True)
    )
    sizes = [len(text.split()) for text in found.texts]
    assert min(sizes) >= 20 and max(sizes) < 300 + 2 * 13


def test_one_part_at_most_is_not_harmless_and_gives_its_label(composed):
    _, labels, _, found = composed
    inserted = 0
    for number, parts in enumerate(found.parts):
        abusive, mocking = labels["abusive"][parts], labels["mocking"][parts]
        bad = (abusive >= 0.5) | (mocking >= 0.5)
        assert bad.sum() <= 1
        inserted += bad.any()
        assert found.labels["abusive"][number] == pytest.approx(0.9 if (abusive >= 0.5).any() else 0.05)
        if np.isnan(mocking).any():
            assert np.isnan(found.labels["mocking"][number])
        else:
            assert found.labels["mocking"][number] == pytest.approx(0.8 if (mocking >= 0.5).any() else 0.1)
    assert 0.2 * 400 < inserted < 0.4 * 400


def test_too_few_harmless_comments_compose_nothing(composed):
    comments, labels, deal, _ = composed
    few = slice(0, 40)
    found = compose(comments[few], {label: values[few] for label, values in labels.items()}, deal[few], Recipe())
    assert found.texts == [] and len(found.labels["abusive"]) == 0
