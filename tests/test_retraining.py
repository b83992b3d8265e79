"""Training on decisions, previewing, promoting and rolling back; a real training process on each kind of database."""

import os
import random
import time
from datetime import timedelta

import pytest
from conftest import run
from sqlalchemy import func, select, update
from test_queue import NEVER, arrive, scored

from moderation import erasure, preview, queue, registry, retraining, store
from moderation.comments import Comment
from moderation.queue import Decision
from moderation.scorer import Scorer
from moderation.store import ScoreRow, TrainingRow


@pytest.fixture
def newsroom(engine):
    """A queue whose moderators reject an insult of this newsroom's own."""
    rng = random.Random(5)
    nouns = ["bridge", "council", "tram", "market", "museum", "stadium", "library", "harbour", "budget", "school"]
    with store.writing(engine) as session:
        for i in range(300):
            subject = f"{rng.choice(nouns)} in week {rng.randrange(50)}"
            bad = i % 3 == 0
            text = f"Only a flumpet would say that about the {subject}, number {i}" if bad else f"The {subject}, {i}"
            arrive(session, f"c{i}", text, scored(0.6), author="flumpeteer", section="sport" if i % 2 else "local")
            decision = Decision("reject", "ann", reason="abusive") if bad else Decision("approve", "ann")
            queue.decide_comment(session, f"c{i}", decision, NEVER)
    return engine


def environment(database, models):
    return {"MODERATION_DATABASE_URL": database, "MODERATION_MODELS": str(models)}


# Training takes minutes, so each of the two ways to it is tried on one of the databases.


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_model_learns_from_the_queue_and_is_rolled_back(newsroom, database, models):
    done = run(
        "train.py", "--from-queue", "--name", "learnt", "--promote", "--force", env=environment(database, models)
    )
    assert done.returncode == 0, done.stderr
    assert "abusive: of 300 recent comments" in done.stdout and "learnt is active" in done.stdout
    before, after = (Scorer(registry.load(models, name)) for name in ("default", "learnt"))
    insult = Comment("You flumpet.")
    assert after.probabilities([insult])[0, 0] > 2 * before.probabilities([insult])[0, 0]
    assert after.card["data"][-1]["corpus"] == "queue" and after.card["data"][-1]["rows"] == 300
    with store.reading(newsroom) as session:
        [row] = retraining.runs(session)
        assert (row.status, row.version, row.against, row.progress) == ("done", "learnt", before.version, 1.0)
        flips = row.preview["flips"]["abusive"]["up"]
        assert flips["count"] > 50 and {each["verdict"] for each in flips["comments"]} <= {"reject", "approve"}
        assert "flumpet" not in str(row.preview)  # comments are named, never quoted
        everything = {each["label"]: each for each in row.preview["figures"] if each["slice"] == "all"}["abusive"]
        assert everything["rows"] > 30
        assert everything["recall"]["new"] > everything["recall"]["old"]
        assert everything["auc"]["new"] >= everything["auc"]["old"]
        assert {each["value"] for each in row.preview["figures"] if each["slice"] == "section"} == {"sport", "local"}
        kept = dict(session.execute(select(ScoreRow.model, func.count()).group_by(ScoreRow.model)).all())
        assert kept["learnt"] == kept[before.version] == 300  # for the simulator
        assert session.scalar(select(func.count()).where(ScoreRow.live)) == 300
        assert retraining.previous(session, models) == "default"
    with store.writing(newsroom) as session:
        retraining.roll_back(session, models, "lea")
    assert registry.active(models) == "default"
    with store.reading(newsroom) as session:
        log = [(row.action, row.previous, row.version, row.who) for row in retraining.activations(session)]
        assert log == [("roll back", "learnt", "default", "lea"), ("promote", "default", "learnt", "command line")]
    # No version and no report quotes a comment: erasing leaves the word nowhere but in what the shipped model knew.
    with store.writing(newsroom) as session:
        erasure.erase_author(session, "flumpeteer", "lea")
    erasure.scrub(newsroom)
    folder = models.parent
    left = {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and b"flumpet" in path.read_bytes()
    }
    assert left == set()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_page_starts_a_process_and_sees_its_progress(newsroom, database, models):
    number = retraining.start(newsroom, "lea", environment={**os.environ, **environment(database, models)})
    with pytest.raises(retraining.Busy, match="lea began"):
        retraining.start(newsroom, "bob", environment={})
    seen, progress = set(), [0.0]
    for _ in range(9000):
        with store.reading(newsroom) as session:
            [row] = retraining.runs(session)
        seen.add(row.step)
        progress.append(row.progress)
        if row.status in ("done", "failed"):
            break
        time.sleep(0.1)
    assert (row.id, row.status, row.who) == (number, "done", "lea"), row.problem
    # The bar moves with the work, and never back.
    assert progress == sorted(progress) and progress[-1] == 1.0
    assert {int(10 * value) for value in progress} >= {0, 2, 4, 6, 10}, sorted(set(progress))
    assert len(seen) > 5 and row.version in registry.versions(models)
    assert registry.active(models) == "default"  # nothing is promoted without a click


def test_progress_goes_on_and_never_back(engine):
    told = []

    class Telling(retraining.Reporter):
        every = timedelta(0)

        def tell(self, **values):
            super().tell(**values)
            told.append(values.get("progress"))

    with store.writing(engine) as session:
        reporter = Telling(engine, retraining.begin(session, "ann").id)
    assert sum(retraining.SHARES.values()) == pytest.approx(1.0)
    names = list(retraining.SHARES)
    for name in [*names[:3], names[5], "Something new", names[5], *names[6:]]:
        assert list(reporter.track(range(10), name)) == list(range(10))
    assert told == sorted(told) and told[0] == 0 and told[-1] < 1 and len(set(told)) > 60


def test_a_failed_run_says_why(engine, database, models):
    done = run("train.py", "--from-queue", env=environment(database, models))
    assert done.returncode == 1 and "nothing in the queue was decided" in done.stderr
    with store.reading(engine) as session:
        [row] = retraining.runs(session)
        assert row.status == "failed" and "nothing in the queue was decided" in row.problem


def test_a_run_whose_process_died_does_not_block_the_next(engine):
    with store.writing(engine) as session:
        retraining.begin(session, "ann")
        session.execute(update(TrainingRow).values(seen=store.now() - timedelta(hours=1), status="running"))
    with store.reading(engine) as session:
        assert retraining.runs(session)[0].status == "failed"
    with store.writing(engine) as session:
        retraining.begin(session, "bob")
    with store.reading(engine) as session:
        assert [row.status for row in retraining.runs(session)] == ["waiting", "failed"]


def test_nothing_to_roll_back_to(engine, models):
    with store.writing(engine) as session, pytest.raises(registry.ModelError, match="no version was active before"):
        retraining.roll_back(session, models, "lea")


def test_slices_tell_sections_lengths_and_identity_terms_apart():
    import numpy as np

    texts = ["short", "x" * 100, "y" * 500, "Muslims live here too, as do many others in this town of ours."]
    sections = np.array(["a", "a", "b", ""], dtype=object)
    found = {(name, value): chosen.tolist() for name, value, chosen in preview.slices(texts, sections)}
    assert found["all", ""] == [True] * 4
    assert found["section", "a"] == [True, True, False, False] and ("section", "") not in found
    assert found["length", "over 400"] == [False, False, True, False]
    assert found["identity terms", "mentioned"] == [False, False, False, True]
