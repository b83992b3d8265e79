"""Character n-grams that the model knows: many pieces at once give what each gives alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moderation.features import LENGTHS
from moderation.ngrams import PLACE, KnownCharacters, character_ngrams
from moderation.normal import normalise

WORDS = ["idiots", "who", "wrote", "this", "café", "should've", "😀", "gay's", "мир", "said,", "a", "b!!", "..."]


def vocabulary(words, lengths):
    grams = sorted({gram for word in words for gram in character_ngrams(word, *lengths)})
    return {gram: place for place, gram in enumerate(grams[::2])}  # of the others none is known


def expected(places, pieces, lengths):
    found = [[places.get(gram) for gram in character_ngrams(piece, *lengths)] for piece in pieces]
    return [sorted(place for place in each if place is not None) for each in found]


def numbers(found):
    return [np.frombuffer(each, PLACE).tolist() for each in found]


@pytest.mark.parametrize("lengths", [LENGTHS, (1, 3), (2, 5), (4, 6), (5, 7)])
@given(texts=st.lists(st.text(min_size=1), max_size=30))
@settings(max_examples=60, deadline=None)
def test_many_pieces_at_once_give_what_each_gives_alone(lengths, texts):
    places = vocabulary(WORDS, lengths)
    pieces = [piece for text in [*texts, "gay", *WORDS] for piece in normalise(text).split()]
    assert numbers(KnownCharacters(places, lengths).find(pieces)) == expected(places, pieces, lengths)


def test_more_characters_than_fit_into_a_number():
    words = [chr(0x4E00 + place) * 3 for place in range(5000)]
    places = vocabulary(words, LENGTHS)
    assert numbers(KnownCharacters(places, LENGTHS).find(words)) == expected(places, words, LENGTHS)


def test_a_model_may_know_no_n_gram_and_a_piece_may_have_none():
    assert KnownCharacters({}, LENGTHS).find(WORDS * 2) == [b""] * 2 * len(WORDS)
    assert KnownCharacters(vocabulary(WORDS, LENGTHS), LENGTHS).find(["gay"] * 20) == [b""] * 20
