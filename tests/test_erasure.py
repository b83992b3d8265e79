"""Erasing: the text is gone everywhere, down to the bytes on disk; the proof stays."""

import subprocess
import time
from datetime import timedelta

import pytest
from conftest import Server, run
from sqlalchemy import select, update
from test_queue import NEVER, arrive, people, scored  # noqa: F401 — a fixture

from moderation import erasure, learning, queue, store, suggestions
from moderation.comments import Comment
from moderation.queue import Arrival, Decision, Filter
from moderation.store import BatchRow, CommentRow, DecisionRow, ErasureRow, ItemRow, RevisionRow, SuggestionRow
from moderation.suggestions import Suggestion, record

WORD = "zyxomatique"  # in no other text


@pytest.fixture
def talk(engine):
    """A comment with two revisions, replies that quote it, a decision, an open place in the queue."""
    with store.writing(engine) as session:
        arrive(session, "a", f"First {WORD} of all.", author="x")
        arrive(session, "a", f"Second {WORD} of all.", scored(0.95), author="x")
        arrive(session, "b", f"Another {WORD}.", author="x")
        queue.decide_comment(session, "b", Decision("reject", "ann", reason="abusive"), NEVER)
        arrive(session, "named", "I disagree.", author="y", parent_id="a", parent_text=f"Second {WORD} of all.")
        arrive(session, "quoting", "So do I.", author="y", parent_text=f"Another {WORD}.")
        for id in ("named", "quoting"):
            queue.decide_comment(session, id, Decision("approve", "ann"), NEVER)
    return engine


def everything(engine):
    """All that the tables hold, as one text."""
    with engine.connect() as connection:
        tables = store.Base.metadata.sorted_tables
        return "\n".join(str(row) for table in tables for row in connection.execute(select(table)).all())


def test_a_comment_is_erased_with_all_that_quotes_it(talk):
    assert WORD in everything(talk)
    with store.writing(talk) as session:
        for id in ("a", "b"):
            proof = erasure.erase_comment(session, id, "editor")
            assert erasure.erase_comment(session, id, "again").id == proof.id
    assert WORD not in everything(talk)
    with store.writing(talk) as session:
        rows = session.scalars(select(ErasureRow).order_by(ErasureRow.id)).all()
        assert [(row.kind, row.comments, row.revisions, row.who) for row in rows] == [
            ("comment", 1, 2, "editor"),
            ("comment", 1, 1, "editor"),
        ]
        comment = session.get_one(CommentRow, "a")
        assert (comment.text, comment.author) == ("", "") and comment.erasure_id == rows[0].id
        assert queue.count(session, Filter(text=WORD)) == 0
        assert {item.comment_id for item in queue.items(session, Filter())} == set()
        assert len(session.scalars(select(DecisionRow)).all()) == 3  # what was decided stays
        assert set(learning.labelled(session).comments["comment_id"]) == {"named", "quoting"}
        # The id stays taken: a repeated delivery does not bring the text back.
        with pytest.raises(queue.Erased):
            queue.receive(session, Arrival("a", f"First {WORD} of all."), scored(0.9), NEVER)
        with pytest.raises(queue.Erased):
            queue.decide_comment(session, "a", Decision("approve", "ann"), NEVER)
    assert WORD not in everything(talk)


def test_an_authors_comments_are_erased_together(talk, people):  # noqa: F811
    with store.writing(talk) as session:
        chosen = Filter(author="x", low=0.99)
        queue.decide_batch(session, people["ann"], chosen, "approve", NEVER)
        proof = erasure.erase_author(session, "x", "editor")
        assert (proof.kind, proof.comments, proof.revisions) == ("author", 2, 3)
        assert "x" not in {row.author for row in session.scalars(select(CommentRow))}
        assert {row.author for row in session.scalars(select(ItemRow))} == {"", "y"}
        assert [row.chosen["author"] for row in session.scalars(select(BatchRow))] == [""]
        assert erasure.erase_author(session, "x", "again").id == proof.id
        with pytest.raises(erasure.NothingToErase):
            erasure.erase_author(session, "nobody", "editor")
        with pytest.raises(erasure.NothingToErase):
            erasure.erase_author(session, "", "editor")
        assert [row.id for row in erasure.proofs(session, "author", "x")] == [proof.id]
    assert WORD not in everything(talk)


def test_undoing_a_decision_on_an_erased_comment_does_not_bring_it_back(talk):
    with store.writing(talk) as session:
        erasure.erase_comment(session, "b", "editor")
        [decision] = queue.decisions(session, "b")
        queue.undo(session, decision.id, NEVER, who="ann")
        assert "b" not in {item.comment_id for item in queue.items(session, Filter())}


def test_exported_files_lose_it_too(talk, tmp_path):
    with store.writing(talk) as session:
        learning.export(session, tmp_path / "one", "ann")
        learning.export(session, tmp_path / "two", "ann")
        learning.export(session, tmp_path / "moved", "ann")
    (tmp_path / "moved").rename(tmp_path / "elsewhere")
    file = tmp_path / "one" / "comments.csv"
    assert file.read_text().count(WORD) == 3  # the comment, and two that quote
    with store.writing(talk) as session:
        assert erasure.erase_author(session, "x", "editor").exports == 2
    for name in ("one", "two"):
        written = (tmp_path / name / "comments.csv").read_text()
        assert WORD not in written and "I disagree." in written


def suggest(session, text, id="", **values):
    made = scored(0.1)
    return record(session, Suggestion(Comment(text, id), values, "site"), made, NEVER)


def test_what_came_with_suggested_scores_goes_too(talk, people):  # noqa: F811
    with store.writing(talk) as session:
        suggest(session, f"Another  <i>{WORD}</i>.", TOXICITY=1)  # in other markup
        suggest(session, f"Second {WORD} of all.", "own-id", **{f"said {WORD}": 1})
        suggest(session, "Another bridge.", TOXICITY=1)
        suggest(session, f"Another {WORD}, but no copy.", TOXICITY=0)
        copies = {
            row.text: row.id for row in session.scalars(select(CommentRow)) if row.id.startswith(suggestions.NAMED)
        }
        assert len(copies) == 3
        queue.decide_batch(session, people["ann"], Filter(text=f"second {WORD[:5]}"), "approve", NEVER)
        queue.decide_batch(session, people["ann"], Filter(text="bridge", author="y"), "approve", NEVER)
        proof = erasure.erase_author(session, "x", "editor")
        assert (proof.comments, proof.revisions) == (3, 4)
        assert [row.chosen["text"] for row in session.scalars(select(BatchRow).order_by(BatchRow.id))] == ["", "bridge"]
        # What is somebody else's, in whatever words, stays until it is asked for.
        assert {id: session.get_one(CommentRow, id).erasure_id for id in copies.values()} == {
            copies[f"Another  <i>{WORD}</i>."]: proof.id,
            copies["Another bridge."]: None,
            copies[f"Another {WORD}, but no copy."]: None,
        }
        with pytest.raises(queue.Erased):
            suggest(session, f"Another  <i>{WORD}</i>.", TOXICITY=1)
        erasure.erase_comment(session, "own-id", "editor")
        erasure.erase_comment(session, copies[f"Another {WORD}, but no copy."], "editor")
        assert {row.comment_id for row in session.scalars(select(SuggestionRow))} == {copies["Another bridge."]}
        assert erasure.broken(session) is None
    assert WORD not in everything(talk)
    erasure.scrub(talk)
    assert not on_disk(talk)


def test_an_authors_last_comment_takes_the_author_out_of_batches(talk, people):  # noqa: F811
    def authors():
        return [row.chosen["author"] for row in session.scalars(select(BatchRow))]

    with store.writing(talk) as session:
        queue.decide_batch(session, people["ann"], Filter(author="x"), "approve", NEVER)
        erasure.erase_comment(session, "a", "editor")
        assert authors() == ["x"]
        erasure.erase_comment(session, "b", "editor")
        assert authors() == [""]


def test_what_a_killed_export_left_behind_goes_too(talk, tmp_path):
    with store.writing(talk) as session:
        learning.export(session, tmp_path / "one", "ann")
    (tmp_path / "one" / f"{learning.DRAFT}k3").write_text(f"Another {WORD}.")
    with store.writing(talk) as session:
        erasure.erase_author(session, "x", "editor")
    assert [file.name for file in (tmp_path / "one").iterdir()] == ["comments.csv"]


def test_a_file_that_cannot_be_changed_stops_the_erasure(talk, tmp_path):
    with store.writing(talk) as session:
        learning.export(session, tmp_path / "one", "ann")
    file = tmp_path / "one" / "comments.csv"
    file.unlink()
    file.mkdir()
    with pytest.raises(OSError), store.writing(talk) as session:
        erasure.erase_comment(session, "b", "editor")
    with store.reading(talk) as session:
        assert session.get_one(CommentRow, "b").erasure_id is None and WORD in session.get_one(CommentRow, "b").text


def on_disk(engine):
    """Whether the word stands anywhere in the database's files."""
    if engine.dialect.name == "sqlite":
        files = [engine.url.database + suffix for suffix in ("", "-wal")]
    else:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("CHECKPOINT")
            folder = connection.exec_driver_sql("SHOW data_directory").scalar()
            names = ("revision", "ix_revision_text", "comment", "item", "suggestion", "batch")
            paths = [connection.exec_driver_sql(f"SELECT pg_relation_filepath('{name}')").scalar() for name in names]
        files = [f"{folder}/{path}" for path in paths]
    return subprocess.run(["grep", "-q", "-i", "-a", WORD, "--", *files], stderr=subprocess.DEVNULL).returncode == 0


def test_nothing_is_left_on_disk(talk):
    assert on_disk(talk)
    with store.writing(talk) as session:
        erasure.erase_author(session, "x", "editor")
    erasure.scrub(talk)
    assert not on_disk(talk)


def test_the_chain_shows_a_proof_that_was_changed_or_taken_away(talk):
    with store.writing(talk) as session:
        for id in ("a", "b", "named"):
            erasure.erase_comment(session, id, "editor")
        assert erasure.broken(session) is None
    with pytest.raises(Exception, match="erasure is append-only"), store.writing(talk) as session:
        session.execute(update(ErasureRow).values(who="somebody"))
    sqlite = talk.dialect.name == "sqlite"
    with store.writing(talk) as session:  # as somebody with the database in hands could
        session.execute(
            store.sql(
                "DROP TRIGGER erasure_refuses_update"
                if sqlite
                else "ALTER TABLE erasure DISABLE TRIGGER erasure_append_only"
            )
        )
        session.execute(update(ErasureRow).where(ErasureRow.id == 2).values(who="somebody"))
    with store.reading(talk) as session:
        assert erasure.broken(session).id == 2


def test_retention_erases_what_is_old(talk):
    with store.writing(talk) as session:
        session.execute(
            update(CommentRow).where(CommentRow.id.in_(("a", "named"))).values(created=store.now() - timedelta(days=91))
        )
    erasure.Janitor(talk, 0)()
    assert WORD in everything(talk)
    janitor = erasure.Janitor(talk, 90)
    assert janitor() > 0
    with store.reading(talk) as session:
        erased = session.scalars(select(CommentRow.id).where(CommentRow.erasure_id.is_not(None))).all()
        assert sorted(erased) == ["a", "named"]
        [proof] = session.scalars(select(ErasureRow))
        assert (proof.kind, proof.comments, proof.revisions, proof.who) == ("retention", 2, 3, "retention")
        texts = session.scalars(select(RevisionRow.text)).all()
        assert sorted(texts) == ["", "", "", f"Another {WORD}.", "So do I."]


def test_over_http_and_from_the_command_line(database, tmp_path):
    env = {"MODERATION_DATABASE_URL": database, "MODERATION_DEMONSTRATION": "false"}
    server = Server(tmp_path, env=env)
    for number in range(4):
        server.score(id=f"c{number}", text=f"An idiot {WORD}, {number}.", queue=True, author=f"u/{number % 3}")

    def delete(path):
        import requests

        return requests.delete(server.url + path, timeout=30)

    proof = delete("/comments/c1?by=editor")
    assert proof.status_code == 200 and proof.json()["comments"] == 1 and proof.json()["by"] == "editor"
    assert delete("/comments/c1").json() == proof.json()
    assert delete("/comments/none").status_code == 404
    gone = server.get("/comments/c1").json()
    assert gone["erased"] is True and gone["text"] is None and gone["author"] == ""
    assert server.post("/comments/c1/decision", {"verdict": "approve"}).status_code == 410
    again = server.score(id="c1", text=f"An idiot {WORD}, 1.", queue=True)
    assert again["queue"] == {"stored": False, "revision": None, "queued": False, "verdict": None}
    assert delete("/authors/u/0/comments").json()["comments"] == 2  # c0 and c3
    assert delete("/authors/nobody/comments").status_code == 404

    done = run("-m", "moderation", "erase", "author", "u/2", "--by", "Lea", env=env)
    assert done.returncode == 0 and "1 comments with 1 texts erased; proof 3" in done.stdout
    assert run("-m", "moderation", "erase", "comment", "none", env=env).returncode == 1
    assert "All proofs hold" in run("-m", "moderation", "erase", "check", env=env).stdout
    engine = store.connect(database)
    for _ in range(900):  # the server scrubs the disk by itself
        if not on_disk(engine):
            break
        time.sleep(0.1)
    assert not on_disk(engine)
    assert WORD not in server.log.read_text()
    engine.dispose()
    server.stop()
