"""The recipe of CONTRIBUTING.md for a new label, followed in a copy of the project."""

import csv
import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from conftest import ROOT, Server

DOCUMENT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
RECIPE = DOCUMENT[DOCUMENT.index("A **label**") : DOCUMENT.index("A **corpus**")]
LINE, MIGRATION = (
    re.sub(r"^ {3}", "", code, flags=re.M) for code in re.findall(r"```(?:python)?\n(.*?)```", RECIPE, re.S)
)
ARTICLES, COMMENTS = 16, 40  # of each article, so that training takes seconds


def test_a_recipe_has_fewer_than_twenty_lines():
    for recipe in re.split(r"\n(?=A \*\*)", DOCUMENT[DOCUMENT.index("A **label**") : DOCUMENT.index("## Rules")]):
        assert len([line for line in recipe.splitlines() if line.strip()]) < 20


def run(copy, *words, **more):
    done = subprocess.run(
        [sys.executable, *words], cwd=copy, env={**os.environ, **more}, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def write(path, rows):
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def read(name):
    with open(ROOT / "data" / name, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The project, with so much of its data as is needed, before the recipe."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "moderation", folder / "moderation", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "models" / "default", folder / "models" / "default")
    for name in ("train.py", "serve.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    (folder / "data").mkdir()
    articles = read("articles.csv")[:ARTICLES]
    write(folder / "data" / "articles.csv", articles)
    shutil.copy(ROOT / "data" / "demonstration.csv", folder / "data")
    return folder


def labelled():
    """Comments of the starter set, none of them spam, and some that are."""
    kept = {row["id"] for row in read("articles.csv")[:ARTICLES]}
    count = Counter()
    rows = []
    for row in read("comments.csv"):
        count[row["article_id"]] += 1
        if row["article_id"] in kept and count[row["article_id"]] <= COMMENTS:
            rows.append(row | {"spam": 0})
    rng = random.Random(3)
    # Unlike each other: what nearly repeats a comment that is measured may not train.
    parts = (
        ["Buy", "Order", "Grab", "Shop for", "Save on", "Get your", "Win", "Try our"],
        ["cheap", "discount", "genuine", "branded", "new", "free", "luxury", "half-price", "bulk", "certified"],
        [
            "watches",
            "pills",
            "loans",
            "handbags",
            "casino chips",
            "followers",
            "sunglasses",
            "vouchers",
            "perfume",
            "crypto coins",
        ],
        [
            "with free delivery",
            "at the best price",
            "this week only",
            "no questions asked",
            "while stocks last",
            "and earn cash",
        ],
        [
            "click here",
            "message me",
            "visit my page",
            "call today",
            "use code SAVE",
            "see my profile",
            "sign up now",
            "link in bio",
        ],
    )
    for number, article in enumerate(sorted(kept) * 5):
        chosen = [rng.choice(part) for part in parts]
        text = f"{' '.join(chosen[:3])} {', '.join(rng.sample(chosen[3:], 2))} https://offer{number}.example"
        rows.append(
            dict.fromkeys(rows[0], "") | {"id": f"spam-{number}", "article_id": article, "text": text, "spam": 1}
        )
    return rows


def head(folder):
    config = Config()
    config.set_main_option("script_location", str(folder / "moderation" / "migrations"))
    return ScriptDirectory.from_config(config).get_current_head()


@pytest.fixture(scope="module")
def with_spam(copy):
    """The recipe, step by step. A database was in use before."""
    run(copy, "-m", "moderation", "keys", "create", "old", "--scope", "admin")
    assert "'off_topic', 'other'" in schema(copy)
    labels = copy / "moderation" / "labels.py"
    before, last = labels.read_text().rsplit("    # The last one", 1)
    labels.write_text(f"{before}    {LINE}    # The last one{last}")
    migration = re.sub(r'"\d{4}"', repr(head(copy)), MIGRATION)
    (copy / "moderation" / "migrations" / "versions" / "spam.py").write_text(migration)
    write(copy / "data" / "comments.csv", labelled())
    [command] = re.findall(r"`python (train\.py [^`]+)`", RECIPE)
    run(copy, *shlex.split(command))
    return copy


def schema(copy):
    code = (
        "import sqlite3; d = sqlite3.connect('instance/moderation.sqlite');"
        "print(d.execute(\"SELECT sql FROM sqlite_schema WHERE name = 'decision'\").fetchone()[0])"
    )
    return run(copy, "-c", code)


def test_the_command_scores_the_new_label(with_spam):
    rows = [{"id": 1, "text": "Buy cheap handbags, free delivery at https://a.example, click now!"}]
    rows += [{"id": 2, "text": "The council should repair the bridge before winter."}, {"id": 3, "text": "👍"}]
    write(with_spam / "in.csv", rows)
    run(with_spam, "-m", "moderation", "score", "in.csv", "out.csv")
    with open(with_spam / "out.csv", newline="") as file:
        spam, fine, wordless = csv.DictReader(file)
    assert list(spam) == ["id", "abusive", "mocking", "spam", "off_topic", "flagged"]
    assert float(spam["spam"]) > 0.5 > float(fine["spam"]) and spam["off_topic"] == ""
    assert list(wordless.values()) == ["3", "", "", "", "", ""]


def test_the_service_scores_keeps_and_takes_decisions_of_it(with_spam, tmp_path):
    key = run(with_spam, "-m", "moderation", "keys", "create", "new", "--scope", "admin").strip()
    database = with_spam / "instance" / "moderation.sqlite"
    assert "'spam'" in schema(with_spam)
    server = Server(tmp_path, cwd=with_spam, env={"MODERATION_DATABASE_URL": f"sqlite:///{database}"})
    try:
        headers = {"X-API-Key": key}
        text = "Buy cheap watches, best price at https://b.example today!"
        reply = server.post("/score", {"id": "s", "text": text, "queue": True}, headers=headers).json()
        assert reply["labels"]["spam"]["flagged"] and reply["queue"]["queued"]
        assert {term["text"] for term in reply["labels"]["spam"]["terms"]} & {"Buy", "cheap", "watches", "best price"}
        body = {"comment": {"text": text}, "requestedAttributes": {"SPAM": {}, "LIKELY_TO_REJECT": {}}}
        scores = server.post("/v1alpha1/comments:analyze", body, headers=headers).json()["attributeScores"]
        assert scores["SPAM"]["summaryScore"]["value"] == pytest.approx(reply["labels"]["spam"]["score"])
        decision = {"verdict": "reject", "reason": "spam"}
        assert server.post("/comments/s/decision", decision, headers=headers).status_code == 200
        stored = server.get("/comments/s", headers=headers).json()
        assert stored["reason"] == "spam" and stored["scores"][0]["probabilities"]["spam"] > 0.5
        reasons = json.dumps(server.get("/openapi.json", headers=headers).json()["components"]["schemas"]["DecisionIn"])
        assert '"spam"' in reasons
    finally:
        server.stop()


def test_the_shipped_model_that_does_not_know_it_is_not_served(with_spam):
    done = subprocess.run(
        [sys.executable, "-m", "moderation", "score", "in.csv", "-", "--model", "default"],
        cwd=with_spam,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0 and "does not know the label 'spam'" in done.stderr
