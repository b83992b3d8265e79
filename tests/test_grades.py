"""Grades of comments whose text is not in the file."""

import pandas as pd
import pytest

from moderation import grades, shipped
from moderation.comments import DataError
from moderation.normal import SOMEGROUP, SOMEGROUPS, without_identity

HEADER = "corpus,text_blake2b,abusive,sarcastic,condescending\n"


def test_a_comment_is_found_by_its_corpus_and_text(tmp_path):
    fine, plain = grades.digest("read finely"), grades.digest("read plainly")
    path = tmp_path / "grades.csv"
    path.write_text(f"{HEADER}fox,{fine},0.26,0.1,0.41\nfox,{plain},1,1,1\nother,{fine},0,0,0\n")
    texts = ["read finely", "read plainly", "never read"]
    found = grades.attach(pd.DataFrame({"corpus": "fox", "text": texts}), path)
    assert found["graded_abusive"].tolist()[:2] == [0.26, 1.0]
    # Sarcasm and half the condescension, at most 1.
    assert found["graded_mocking"].tolist()[:2] == pytest.approx([0.305, 1.0])
    assert found[["graded_abusive", "graded_mocking"]].iloc[2].isna().all()


def test_a_missing_column_is_named(tmp_path):
    path = tmp_path / "grades.csv"
    path.write_text("corpus,text_blake2b,abusive,sarcastic\n")
    with pytest.raises(DataError, match="condescending"):
        grades.attach(pd.DataFrame({"corpus": ["fox"], "text": ["a"]}), path)


def test_ngrams_have_grades_and_the_others_none(tmp_path):
    path = tmp_path / "ngrams.csv"
    path.write_text('ngram,hostile,sneering,courteous\nmoron,9,0,0\n"oh, sure",0,9,0\nnull,0,0,3\n')
    ngrams = grades.read_ngrams(path)
    assert ngrams == {"moron": (1.0, 0.0, 0.0), "oh, sure": (0.0, 1.0, 0.0), "null": (0.0, 0.0, 1 / 3)}
    found = grades.hints(["moron", "table", "oh, sure"], ngrams)
    # Words have three directions and pairs have three of their own.
    assert found.toarray().tolist() == [[1, 0, 0, 0, 0, 0], [0] * 6, [0, 0, 0, 0, 1, 0]]
    assert grades.scales(0.5, 2.0).tolist() == [0.5, 0.5, 0.5, 2, 2, 2]


def test_a_missing_column_of_ngrams_is_named(tmp_path):
    path = tmp_path / "ngrams.csv"
    path.write_text("ngram,hostile,sneering\n")
    with pytest.raises(DataError, match="courteous"):
        grades.read_ngrams(path)


def test_what_is_shipped_grades_no_name_of_a_group():
    ngrams = grades.read_ngrams(shipped.NGRAMS)
    assert len(ngrams) > 30_000
    words = {word for ngram in ngrams for word in ngram.split()}
    assert not words & {SOMEGROUP, SOMEGROUPS}
    named = {word for word in words if without_identity(word) != word}
    assert not named, named
    assert all(0 <= grade <= 1 for values in ngrams.values() for grade in values)
    assert all(any(values) for values in ngrams.values())


def test_sentences_are_found_by_the_comment_and_their_places(tmp_path):
    text = "You came late. What a fool!"
    path = tmp_path / "sentences.csv"
    path.write_text(
        f"{','.join(grades.SENTENCE_COLUMNS)}\nfox,{grades.digest(text)},0,14,0,0,0\n"
        f"fox,{grades.digest(text)},15,27,0.97,0.1,0.41\nother,{grades.digest(text)},0,14,1,1,1\n"
    )
    found = grades.attach_sentences(pd.DataFrame({"corpus": "fox", "text": [text, "never read"]}), path)
    [plain, insult], nothing = found["graded_sentences"]
    assert plain == (0, 14, 0.0, 0.0) and insult == pytest.approx((15, 27, 0.97, 0.305)) and nothing == []


def test_a_missing_column_of_sentences_is_named(tmp_path):
    path = tmp_path / "sentences.csv"
    path.write_text("corpus,text_blake2b,begin,end,abusive,sarcastic\n")
    with pytest.raises(DataError, match="condescending"):
        grades.attach_sentences(pd.DataFrame({"corpus": ["fox"], "text": ["a"]}), path)


def test_the_shipped_grades_of_sentences_are_of_places_that_do_not_overlap():
    found = pd.read_csv(shipped.SENTENCES, dtype={"text_blake2b": str})
    assert tuple(found.columns) == grades.SENTENCE_COLUMNS and len(found) > 50_000
    assert found[["abusive", "sarcastic", "condescending"]].stack().between(0, 1).all()
    assert (found["begin"] < found["end"]).all() and found["text_blake2b"].str.fullmatch(r"[0-9a-f]{16}").all()
    same = (found[["corpus", "text_blake2b"]] == found[["corpus", "text_blake2b"]].shift()).all(axis=1)
    assert (found["end"].shift() <= found["begin"])[same].all()
