"""``python train.py``, run as a user runs it."""

import csv
import json
import random

import pandas as pd
import pytest
from conftest import run

from moderation import dataset, registry
from moderation.comments import Comment
from moderation.scorer import Scorer


@pytest.fixture
def newsroom(tmp_path):
    """Comments of an invented newsroom whose readers insult each other with words of their own."""
    rng = random.Random(5)
    nouns = ["bridge", "council", "tram", "market", "museum", "stadium", "library", "harbour", "budget", "school"]
    verbs = ["closing", "repairing", "painting", "selling", "moving", "opening", "funding", "naming"]
    folder = tmp_path / "newsroom"
    folder.mkdir()
    with open(folder / "comments.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "article_id", "parent_text", "text", "abusive", "mocking", "off_topic"])
        for i in range(300):
            subject = f"{rng.choice(verbs)} the {rng.choice(nouns)} in week {rng.randrange(50)}"
            if i % 3 == 0:
                text = f"Only a total flumpet would write that about {subject}, number {i}"
            else:
                text = f"My neighbour and I have been talking about {subject}, number {i}"
            writer.writerow([i, "", "", text, int(i % 3 == 0), "", ""])
    return folder


def train(models, *arguments):
    return run("train.py", "--models", models, *arguments)


def test_a_candidate_learns_the_newsrooms_words_and_is_promoted(models, newsroom):
    done = train(models, "--data", newsroom, "--name", "learnt", "--promote")
    assert done.returncode == 0, done.stderr
    for word in ("abusive", "mocking", "off_topic", "candidate", "learnt is active"):
        assert word in done.stdout
    assert registry.active(models) == "learnt"
    stored = registry.load(models, "learnt")
    assert stored.card["kind"] == "adapted" and stored.card["comparison"]["abusive"]["rows"] > 50
    assert {source["corpus"] for source in stored.card["data"]} == {"data", "newsroom"}
    assert (models / "learnt" / "report.html").read_text().startswith("<!doctype html>")
    before, after = Scorer(registry.load(models, "default")), Scorer(stored)
    insult = Comment("You flumpet.")
    assert after.probabilities([insult])[0, 0] > 2 * before.probabilities([insult])[0, 0]


def test_without_promote_the_active_model_stays(models, newsroom):
    done = train(models, "--data", newsroom, "--name", "waiting")
    assert done.returncode == 0 and "models activate waiting" in done.stdout
    assert registry.active(models) == "default"


def test_the_same_data_gives_the_same_weights(models, newsroom):
    for name in ("one", "two"):
        assert train(models, "--data", newsroom, "--name", name).returncode == 0
    first, second = (registry.load(models, name) for name in ("one", "two"))
    for label in ("abusive", "mocking"):
        assert (first.model.weighers[label].coefficients == second.model.weighers[label].coefficients).all()
    assert first.model.calibrations == second.model.calibrations
    assert first.model.thresholds == second.model.thresholds


@pytest.fixture
def mislabelled(tmp_path):
    """Comments whose labels are the wrong way round wherever they train, and right where they are measured."""
    insults = [f"You are an idiot and a liar, number {i * i} of week {i}" for i in range(600)]
    thanks = [f"Thank you for the timetable of bus {i * i} in week {i}" for i in range(600)]
    texts = insults + thanks
    frame = pd.DataFrame({"article_id": "", "text": texts})
    measured = set(dataset.held_out(frame)[1])
    path = tmp_path / "mislabelled.csv"
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "abusive"])
        for row, text in enumerate(texts):
            writer.writerow([row, text, int((row < 600) == (row in measured))])
    return path


def test_a_worse_candidate_is_promoted_only_by_force(models, mislabelled):
    refused = train(models, "--data", mislabelled, "--name", "worse", "--promote")
    assert refused.returncode == 1 and "not promoted: abusive got worse" in refused.stderr
    assert registry.active(models) == "default"
    forced = train(models, "--data", mislabelled, "--name", "forced", "--promote", "--force")
    assert forced.returncode == 0 and "WARNING" in forced.stderr
    assert registry.active(models) == "forced"


def test_from_scratch_does_without_the_shipped_model(models):
    done = train(models, "--from-scratch", "--name", "scratch")
    assert done.returncode == 0, done.stderr
    stored = registry.load(models, "scratch")
    assert stored.card["kind"] == "from scratch" and stored.card["base"] is None
    assert set(stored.model.any_label) == set(stored.card["any_label"]) == {"text", "article"}
    for told in stored.card["any_label"].values():
        assert told["ece"] < min(0.05, told["base_rate"]) and told["positives"] > 500
    words = [registry.load(models, name).model.space.words for name in ("scratch", "default")]
    assert words[0] != words[1]


def test_a_bad_row_stops_training_unless_skipped(models, newsroom):
    with open(newsroom / "comments.csv", "a") as file:
        file.write("bad,,,text,7,,\n")
    stopped = train(models, "--data", newsroom, "--name", "x")
    assert stopped.returncode == 1
    assert "line 302, column abusive: '7' is not a number from 0 to 1" in stopped.stderr
    assert not (models / "x").exists()
    skipped = train(models, "--data", newsroom, "--name", "x", "--skip-bad-rows")
    assert skipped.returncode == 0 and "Skipped: " in skipped.stderr and "line 302" in skipped.stderr


def test_too_few_rows_leave_a_label_as_it_is(models, tmp_path):
    path = tmp_path / "few.csv"
    path.write_text("id,text,abusive\n1,a fine comment,0\n2,you fool,1\n")
    done = run("-c", _ALONE, models, path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"abusive": False, "mocking": False, "off_topic": False}


_ALONE = """
import json, sys
from moderation import dataset, registry, training
base = registry.load(sys.argv[1], "default").model
model, outcomes, held = training.adapt(base, dataset.read_dataset(sys.argv[2]))
assert model.thresholds == base.thresholds and not held
print(json.dumps({label: outcome.adapted for label, outcome in outcomes.items()}))
"""
