"""Reading comments and articles: what is wrong is named with file, line, column and mend."""

import json

import numpy as np
import pytest

from moderation import dataset
from moderation.comments import DataError, DataErrors, read_articles, read_rows

HEAD = "id,article_id,parent_text,text,abusive,mocking,off_topic\n"


def folder(tmp_path, comments, articles=None, name="comments.csv"):
    (tmp_path / name).write_text(comments, encoding="utf-8")
    if articles is not None:
        (tmp_path / "articles.csv").write_text(articles, encoding="utf-8")
    return tmp_path


def test_labels_are_kept_soft_and_empty_is_unknown(tmp_path):
    data = dataset.read_dataset(folder(tmp_path, HEAD + '1,,,"two\nlines",0.25,,1\n2,,,b,0,1,\n'))
    assert data.comments["text"].tolist() == ["two\nlines", "b"]
    assert data.comments["abusive"].tolist() == [0.25, 0.0]
    assert np.isnan(data.comments["mocking"][0]) and data.comments["mocking"][1] == 1
    assert data.comments["off_topic"][0] == 1 and np.isnan(data.comments["off_topic"][1])
    assert data.sources[0]["rows"] == 2 and len(data.sources[0]["sha256"]) == 64


def test_a_label_column_may_be_missing(tmp_path):
    data = dataset.read_dataset(folder(tmp_path, "id,text,mocking,mood\n1,a,1,sour\n"))
    assert np.isnan(data.comments["abusive"][0]) and data.comments["mocking"][0] == 1


def test_json_lines_say_the_same(tmp_path):
    row = {"id": 7, "article_id": "x", "text": "a", "abusive": 0.5, "mocking": None}
    (tmp_path / "articles.csv").write_text("id,title,body\nx,T,B\n")
    data = dataset.read_dataset(folder(tmp_path, json.dumps(row) + "\n", name="comments.jsonl"))
    assert data.comments["id"][0] == "7"
    assert data.comments["abusive"][0] == 0.5 and np.isnan(data.comments["mocking"][0])
    assert data.articles[data.comments["article_id"][0]].title == "T"


BAD_ROWS = [
    ("1,,,text,1.5,,\n", 2, "abusive", "from 0 to 1"),
    ("1,,,text,yes,,\n", 2, "abusive", "from 0 to 1"),
    ("1,,,text,nan,,\n", 2, "abusive", "from 0 to 1"),
    ("1,,,,1,,\n", 2, "text", "is empty"),
    (",,,text,1,,\n", 2, "id", "is empty"),
    ('1,,,"a\nb",1,,\n1,,,c,1,,\n', 4, "id", "already on line 2"),
    ("1,,,text,1,\n", 2, "", "6 fields"),
    ("1,,,te\0xt,1,,\n", 2, "text", "NUL"),
    ("1,,," + "x" * 20_481 + ",1,,\n", 2, "text", "20,481 bytes"),
    ("1,nowhere,,text,1,,\n", 2, "article_id", "not in the articles file"),
]


@pytest.mark.parametrize(("rows", "line", "column", "said"), BAD_ROWS, ids=range(len(BAD_ROWS)))
def test_a_bad_row_stops_and_is_named(tmp_path, rows, line, column, said):
    path = folder(tmp_path, HEAD + rows, "id,title,body\nx,T,B\n")
    with pytest.raises(DataErrors) as caught:
        dataset.read_dataset(path)
    [error] = caught.value.errors
    assert (error.line, error.column) == (line, column)
    assert error.file.endswith("comments.csv")
    assert said in str(error) and error.mend


def test_every_bad_row_is_reported_and_can_be_skipped(tmp_path):
    path = folder(tmp_path, HEAD + "1,,,a,2,,\n2,,,b,1,,\n3,,,,1,,\n")
    with pytest.raises(DataErrors) as caught:
        dataset.read_dataset(path)
    assert [error.line for error in caught.value.errors] == [2, 4]
    data = dataset.read_dataset(path, skip_bad_rows=True)
    assert data.comments["id"].tolist() == ["2"]
    assert [error.line for error in data.problems] == [2, 4]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("id,comment\n1,a\n", "has no column 'text'"),
        ("id,text\n1,a\n", "has no column 'abusive'"),
        ("id,text,text,abusive\n", "twice"),
        ('id,text,abusive\n1,"never closed,1\n', "cannot be read as CSV"),
        ("id,text,abusive\n", "no usable row"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, content, said):
    with pytest.raises(DataError) as caught:
        dataset.read_dataset(folder(tmp_path, content))
    assert said in str(caught.value) and "comments.csv" in str(caught.value)


def test_missing_and_wrongly_encoded_files_are_named(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        list(read_rows(tmp_path / "none.csv"))
    with pytest.raises(DataError, match="neither comments.csv nor"):
        dataset.read_dataset(tmp_path)
    (tmp_path / "latin.csv").write_bytes("id,text\n1,café\n".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8"):
        list(read_rows(tmp_path / "latin.csv"))


def test_a_byte_order_mark_is_dropped(tmp_path):
    (tmp_path / "a.csv").write_bytes("\ufeffid,text\n1,a\n".encode())
    assert list(read_rows(tmp_path / "a.csv")) == [(2, {"id": "1", "text": "a"})]


def test_articles_need_a_text_and_an_id_of_their_own(tmp_path):
    path = tmp_path / "articles.csv"
    path.write_text("id,title,body\na,T,B\na,T2,B2\n")
    with pytest.raises(DataError, match="there twice"):
        read_articles(path)
    path.write_text("id,title,body\na,,\n")
    with pytest.raises(DataError, match="both empty"):
        read_articles(path)
