"""Grades of comments whose text is not in the file."""

import pandas as pd
import pytest

from moderation import grades
from moderation.comments import DataError

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
