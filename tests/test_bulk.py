"""``python -m moderation score IN.csv OUT.csv``, run as a user runs it."""

import csv
import json

import pytest
from conftest import ROOT, SHARED, needs_corpora, run

from moderation.comments import LABELS, Article, Comment

COLUMNS = ["id", *LABELS, "flagged"]


def score(*arguments, **more):
    return run("-m", "moderation", "score", *arguments, **more)


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(path, header, *lines):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(lines)
    return path


def test_the_starter_set_is_scored_as_the_scorer_scores(tmp_path, scorer):
    done = score("data/comments.csv", tmp_path / "out.csv", "--articles", "data/articles.csv")
    assert done.returncode == 0, done.stderr
    found, sent = rows(tmp_path / "out.csv"), rows(ROOT / "data" / "comments.csv")
    assert list(found[0]) == COLUMNS
    assert [row["id"] for row in found] == [row["id"] for row in sent]
    articles = {row["id"]: Article(row["title"], row["body"]) for row in rows(ROOT / "data" / "articles.csv")}
    for row, comment in list(zip(found, sent, strict=True))[::100]:
        [expected] = scorer.score(
            [Comment(comment["text"], "", articles[comment["article_id"]], comment["parent_text"])]
        )
        for label in LABELS:
            assert float(row[label]) == pytest.approx(expected.labels[label].score, rel=1e-4)
        assert row["flagged"] == str(int(expected.flagged))


def test_without_articles_off_topic_is_empty(tmp_path):
    source = write(tmp_path / "in.csv", ["id", "text", "article_id"], ["1", "A comment", "x"], ["2", "Another", ""])
    assert score(source, tmp_path / "out.csv").returncode == 0
    assert [row["off_topic"] for row in rows(tmp_path / "out.csv")] == ["", ""]
    articles = write(tmp_path / "articles.csv", ["id", "title", "body"], ["y", "Title", "Body"])
    done = score(source, tmp_path / "out.csv", "--articles", articles)
    assert done.returncode == 0 and "1 comments name an article that is not in" in done.stderr


def test_a_comment_that_cannot_be_scored_keeps_its_row_and_is_told(tmp_path):
    source = write(tmp_path / "in.csv", ["id", "text"], ["1", "fine"], ["2", ""], ["3", "x" * 20_481], ["4", "fine"])
    done = score(source, tmp_path / "out.csv")
    assert done.returncode == 0
    found = rows(tmp_path / "out.csv")
    assert [row["id"] for row in found] == ["1", "2", "3", "4"]
    assert list(found[1].values()) == ["2", "", "", "", ""] == [found[1]["id"], *[""] * 4]
    assert "line 3, column text: is empty" in done.stderr
    assert "line 4, column text: has 20,481 bytes" in done.stderr
    assert "2 comments scored" in done.stderr and "2 not scored" in done.stderr


def test_a_row_with_the_wrong_number_of_fields_is_an_error_at_the_end(tmp_path):
    (tmp_path / "in.csv").write_text("id,text\n1,fine\n2,a,b\n3,fine\n")
    done = score(tmp_path / "in.csv", tmp_path / "out.csv")
    assert done.returncode == 1 and "line 3" in done.stderr
    assert [row["id"] for row in rows(tmp_path / "out.csv")] == ["1", "3"]


@pytest.mark.parametrize(
    ("content", "said"), [("id,comment\n1,a\n", "no column 'text'"), ("", "is empty"), ('id,text\n1,"open\n', "as CSV")]
)
def test_an_unreadable_file_writes_nothing(tmp_path, content, said):
    (tmp_path / "in.csv").write_text(content)
    (tmp_path / "out.csv").write_text("what was there")
    done = score(tmp_path / "in.csv", tmp_path / "out.csv")
    assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr
    assert (tmp_path / "out.csv").read_text() == "what was there"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv"]


def test_missing_files_folders_and_models_are_named(tmp_path):
    source = write(tmp_path / "in.csv", ["id", "text"], ["1", "a"])
    for arguments, said in (
        ((tmp_path / "none.csv", tmp_path / "out.csv"), "none.csv"),
        ((source, tmp_path / "no" / "out.csv"), "cannot be written"),
        ((source, tmp_path / "out.csv", "--model", "nope"), "no model version 'nope'"),
        ((source, tmp_path / "out.csv", "--articles", tmp_path / "none.csv"), "no such file"),
    ):
        done = score(*arguments)
        assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr


def test_json_lines_threads_and_standard_streams(tmp_path):
    article = write(tmp_path / "articles.csv", ["id", "title", "body"], ["a", "The harbour bridge", "It needs repair."])
    lines = [
        {"id": 1, "article_id": "a", "text": "Welding never lasts in salt air."},
        {
            "id": 2,
            "article_id": "a",
            "text": "Welding never lasts in salt air.",
            "thread": ["Weld it, salt air or not."],
        },
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    assert score(tmp_path / "in.jsonl", tmp_path / "out.csv", "--articles", article).returncode == 0
    alone, threaded = rows(tmp_path / "out.csv")
    assert alone["abusive"] == threaded["abusive"] and alone["off_topic"] != threaded["off_topic"]
    done = score("-", "-", stdin="id,text\n1,fine\n")
    assert done.returncode == 0 and done.stdout.startswith("id,abusive,mocking,off_topic,flagged\n1,")


def test_memory_stays_bounded(tmp_path):
    """Forty times the comments must not need much more memory."""
    code = (
        "import resource, runpy, sys; sys.argv = ['moderation', 'score', sys.argv[1], sys.argv[2]]\n"
        "try: runpy.run_module('moderation', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for count in (1_000, 40_000):
        lines = ([str(i), f"comment {i} about the {i % 977} bridges and {i % 1013} boats"] for i in range(count))
        source = write(tmp_path / f"{count}.csv", ["id", "text"], *lines)
        done = run("-c", code, source, tmp_path / "out.csv")
        assert len(rows(tmp_path / "out.csv")) == count
        peaks.append(int(done.stdout.split()[-1]))
    assert peaks[1] < 1.25 * peaks[0]


def test_parquet_says_what_csv_says(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    columns = {
        "id": [1, 2, 3],
        "text": ["Welding never lasts in salt air.", None, "Welding never lasts in salt air."],
        "article_id": ["a", "a", "nowhere"],
        "thread": [["Weld it, salt air or not."], None, None],
        "number": [1.5, 2.5, 3.5],
    }
    parquet.write_table(pa.table(columns), tmp_path / "in.parquet")
    articles = {"id": ["a"], "title": ["The harbour bridge"], "body": ["It needs repair."]}
    parquet.write_table(pa.table(articles), tmp_path / "articles.parquet")
    write(tmp_path / "articles.csv", list(articles), [each[0] for each in articles.values()])
    lines = [
        {name: columns[name][i] for name in ("id", "text", "article_id", "thread")} for i in range(len(columns["id"]))
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, lines)))
    for source, articles in (("in.jsonl", "articles.csv"), ("in.parquet", "articles.parquet")):
        done = score(tmp_path / source, tmp_path / f"{source}.csv", "--articles", tmp_path / articles)
        assert done.returncode == 0 and "1 comments name an article" in done.stderr, done.stderr
    assert "in.parquet, row 2, column text: is empty" in done.stderr
    assert (tmp_path / "in.parquet.csv").read_bytes() == (tmp_path / "in.jsonl.csv").read_bytes()
    assert [bool(row["off_topic"]) for row in rows(tmp_path / "in.parquet.csv")] == [True, False, False]


def test_a_parquet_file_that_cannot_be_read_is_named(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table({"id": [1], "comment": ["a"]}), tmp_path / "in.parquet")
    done = score(tmp_path / "in.parquet", tmp_path / "out.csv")
    assert done.returncode == 1 and "in.parquet: has no column 'text'" in done.stderr
    assert "it has id, comment" in done.stderr
    (tmp_path / "in.parquet").write_text("id,text\n1,a\n")
    done = score(tmp_path / "in.parquet", tmp_path / "out.csv")
    assert done.returncode == 1 and "cannot be read as Parquet" in done.stderr and "Traceback" not in done.stderr
    done = score(tmp_path / "none.parquet", tmp_path / "out.csv")
    assert done.returncode == 1 and "there is no such file" in done.stderr
    source = write(tmp_path / "in.csv", ["id", "text"], ["1", "a"])
    done = score(source, tmp_path / "no" / "out.parquet")
    assert done.returncode == 1 and "cannot be written" in done.stderr and "Traceback" not in done.stderr


@needs_corpora
def test_a_corpus_is_scored_with_its_articles(tmp_path):
    folder = SHARED / "corpora" / "fox_news"
    done = score(folder / "comments.csv", tmp_path / "out.csv", "--articles", folder / "articles.csv")
    assert done.returncode == 0
    found = rows(tmp_path / "out.csv")
    assert len(found) == len(rows(folder / "comments.csv"))
    scored = [row for row in found if row["abusive"]]
    assert len(scored) >= 0.99 * len(found) and all(row["off_topic"] for row in scored)
