"""The subjects that words make one think of, and what they add to the comparison of a comment with its article."""

from __future__ import annotations

from collections import Counter

import joblib
import numpy as np
import pytest

from moderation import shipped, subjects
from moderation.comments import DataError
from moderation.subjects import Subjects
from moderation.topic import _PAIR, WordSpace, _compare, _text, stems

OF_WORDS = {
    "ferri": ("ships",),
    "yacht": ("ships",),
    "midwif": ("medicine", "parenting"),
    "goalkeep": ("soccer",),
    "nurs": ("medicine",),
}


def written(tmp_path, words, known="ships,boats\nmedicine,doctors\n"):
    (tmp_path / "words.csv").write_text(words)
    (tmp_path / "subjects.csv").write_text("subject,about\n" + known)
    return tmp_path / "words.csv", tmp_path / "subjects.csv"


def test_the_shipped_words_have_known_subjects_and_are_stems():
    found = subjects.read(shipped.WORD_SUBJECTS, shipped.SUBJECTS)
    assert len(found) > 10_000
    assert {"medicine", "soccer", "uk"} < {name for names in found.values() for name in names}
    assert {"hospit": found["hospit"][0], "goalkeep": found["goalkeep"][0]} == {
        "hospit": "medicine",
        "goalkeep": "soccer",
    }
    # Names in any text are found by the stem that the text is read as.
    assert all(word in found for word in stems("The hospital, Westminster and Ottawa"))


def test_words_and_their_subjects_are_read(tmp_path):
    assert subjects.read(*written(tmp_path, "word,subjects\nferri,ships\nnull,medicine ships\n")) == {
        "ferri": ("ships",),
        "null": ("medicine", "ships"),
    }


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("word,about\nferri,ships\n", "has no column 'subjects'"),
        ("word,subjects\nferri,boats\n", "'ferri' has the subjects 'boats'"),
        ("word,subjects\nferri,\n", "'ferri' has the subjects ''"),
        ("word,subjects\nferri\n", "'ferri' has the subjects ''"),
        ("word,subjects\nferri,ships ships ships ships ships ships\n", "Give it one to 5 of those in subjects.csv"),
        ("word,subjects\nferri,ships\nnurs,medicine\nferri,medicine\n", "'ferri' stands there twice"),
        ("", "has no column 'word'"),
    ],
)
def test_what_cannot_be_a_subject_is_told(tmp_path, words, problem):
    with pytest.raises(DataError, match=problem):
        subjects.read(*written(tmp_path, words))


def test_the_first_subject_of_a_word_weighs_most_and_all_words_the_same():
    found = Subjects(OF_WORDS)
    assert found.names == ["medicine", "parenting", "ships", "soccer"]
    rows = np.array([found.rows["midwif"]])
    sums = found.sums(rows, np.array([2.0]))
    np.testing.assert_allclose(sums, 2 * np.array([1, 0.8, 0, 0]) / np.hypot(1, 0.8), rtol=1e-6)
    assert np.linalg.norm(found.sums(np.array([found.rows["ferri"]]), np.ones(1))) == pytest.approx(1)
    assert not found.sums(np.zeros(0, dtype=int), np.zeros(0)).any()


def test_rare_subjects_say_more(tmp_path):
    found = Subjects(OF_WORDS)
    each = [found.sums(np.array([found.rows[word]]), np.ones(1)) for word in ("nurs", "nurs", "nurs", "ferri")]
    found.fit([*each, np.zeros(4)])
    assert found.idf_[found.names.index("ships")] > found.idf_[found.names.index("medicine")] > 0
    joblib.dump(found, tmp_path / "subjects")
    again = joblib.load(tmp_path / "subjects")
    assert again.rows == found.rows and (again.idf_ == found.idf_).all()


def test_texts_that_share_no_word_share_a_subject_also_by_words_that_no_text_had():
    told = ["A nurse spoke to the council of the town", "The council of the town wants a yacht"]
    space = WordSpace(dimensions=2, subjects=OF_WORDS).fit([stems(text) for text in told * 5])
    assert "goalkeep" not in space.index_ and "ferri" not in space.index_
    texts = {word: _text(space, word) for word in ("ferry", "nurse", "midwife", "council")}
    of_ships = _text(space, "ferries")
    assert float(texts["ferry"].about @ of_ships.about) == pytest.approx(1)
    assert 0.1 < _compare(space, texts["nurse"], texts["midwife"])[-1] < 1  # one of two, and the one that says less
    assert _compare(space, texts["nurse"], texts["ferry"])[-1] == 0
    assert not texts["council"].about.any() and texts["council"].subject_mass == 0
    assert Counter(stems("ferry ferries")) == {"ferri": 2}


def test_without_a_table_no_text_has_subjects():
    space = WordSpace(dimensions=2).fit([stems("A nurse spoke to the council of the town")] * 5)
    text = _text(space, "The nurse and the ferry")
    assert text.about.shape == (0,) and text.subject_mass == 0 and _compare(space, text, text)[-1] == 0


def test_the_shipped_neighbours_are_stems_of_words_with_subjects():
    found = subjects.read_neighbours(shipped.NEIGHBOURS)
    assert len(found) > 10_000 and found.keys() <= subjects.read(shipped.WORD_SUBJECTS, shipped.SUBJECTS).keys()
    assert all(0 < len(near) <= 8 for near in found.values())
    assert {"nurs", "doctor"} & set(found["hospit"])


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("word,near\nferri,port\n", "has no column 'neighbours'"),
        ("word,neighbours\nferri,\n", "'ferri' has the neighbours ''"),
        ("word,neighbours\nferri,port ferri\n", "'ferri' has the neighbours 'port ferri'"),
        ("word,neighbours\nferri,port\nferri,port\n", "'ferri' stands there twice"),
    ],
)
def test_what_cannot_be_a_neighbour_is_told(tmp_path, words, problem):
    (tmp_path / "words.csv").write_text(words)
    with pytest.raises(DataError, match=problem):
        subjects.read_neighbours(tmp_path / "words.csv")


def test_words_that_no_text_had_are_known_by_their_neighbours(tmp_path):
    texts = ["The nurse and the doctor of the hospital", "A harbour, a captain and a port"] * 10
    told = {"midwif": ("nurs", "hospit", "doctor", "birth"), "ferri": ("port", "captain", "harbour")}
    documents = [stems(text) for text in texts]
    alone, space = (WordSpace(dimensions=2, neighbours=near).fit(documents) for near in (None, told))
    assert "midwif" not in alone.index_ and {"midwif", "ferri"} < space.index_.keys()
    assert "birth" not in space.index_  # one mention says too little

    def near(first, second, space):
        return _compare(space, *(_text(space, word) for word in (first, second)))[_PAIR.index("match")]

    assert near("midwife", "hospital", space) > 0.9 > near("midwife", "harbour", space)
    assert near("ferry", "port", space) > 0.9 and near("midwife", "hospital", alone) == 0
    joblib.dump(space, tmp_path / "space")
    assert near("midwife", "hospital", joblib.load(tmp_path / "space")) == near("midwife", "hospital", space)
