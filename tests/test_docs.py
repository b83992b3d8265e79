"""Every command in the documentation is run, here or by another test, or it is said why it cannot be."""

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, Server, admin, until
from sqlalchemy import delete, select

from moderation import outbox, store
from moderation.comments import Article

DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    "data/README.md",
    *sorted(f"docs/{p.name}" for p in ROOT.glob("docs/*.md")),
]
ADDRESS = "http://127.0.0.1:8000"
_COMMAND = (
    r"(?:(?:python3?|make|curl|bash|sh|echo|docker|podman|pip|pg_\w+|systemctl|npm|wrk|cp|cd) \S|export \w+=)[^`]*"
)


def commands(name):
    """The commands of a document in their order: those after a ``$``, and those in the running text."""
    text = (ROOT / name).read_text(encoding="utf-8")
    blocks = [(match.start(), _after_dollars(match[1])) for match in re.finditer(r"```console\n(.*?)```", text, re.S)]
    prose = re.sub(r"```.*?```", lambda match: " " * len(match[0]), text, flags=re.S)
    inline = [(match.start(), [match[1]]) for match in re.finditer(rf"`({_COMMAND})`", prose)]
    return [" ".join(command.replace("\\\n", " ").split()) for _, found in sorted(blocks + inline) for command in found]


def _after_dollars(block):
    lines, found = iter(block.splitlines()), []
    for line in lines:
        if not line.startswith("$ "):
            continue  # what the command answers
        command = line[2:]
        while _open(command):
            command += "\n" + next(lines)
        found.append(command)
    return found


def _open(command):
    if command.endswith("\\"):
        return True
    try:
        shlex.split(command, comments=True)
    except ValueError:  # a quotation goes on in the next line
        return True
    return False


class Workspace:
    """A folder such as a user has, with a service of its own that answers at the documented address."""

    def __init__(self, folder):
        self.folder = folder
        shutil.copytree(ROOT / "models" / "default", folder / "models" / "default")
        for script in ("train.py", "serve.py"):
            (folder / script).symlink_to(ROOT / script)
        (folder / "IN.csv").write_text("id,article_id,text\n1,a,You are an idiot and a liar.\n2,a,Thank you.\n")
        (folder / "ARTICLES.csv").write_text("id,title,body\na,Harbour bridge,The bridge stays open.\n")
        self.server = Server(folder, env={"MODERATION_MODELS": str(folder / "models")})
        self.env = {
            **os.environ,
            **self.server.env,
            "PYTHONPATH": str(ROOT),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }

    def run(self, command, **more):
        done = subprocess.run(
            ["bash", "-c", command.replace(ADDRESS, self.server.url)],
            cwd=self.folder,
            env=self.env | more,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    made = Workspace(tmp_path_factory.mktemp("workspace"))
    yield made
    made.server.stop()


# ---------------------------------------------------------------------------------------- run here


def scored(workspace, command):
    reply = json.loads(workspace.run(command))
    flagged = {name: label["flagged"] for name, label in reply["labels"].items()}
    assert (reply["id"], reply["status"]) == ("c-17", "scored")
    assert flagged == {"abusive": True, "mocking": False, "off_topic": False}


def queued(workspace, command):
    reply = json.loads(workspace.run(command))
    assert reply["queue"] == {"stored": True, "revision": 1, "queued": True, "verdict": None}


def decided(workspace, command):
    reply = json.loads(workspace.run(command))
    told = {"id": 1, "comment": "c-18", "revision": 1, "verdict": "reject", "reason": "abusive"}
    assert {key: reply[key] for key in told} == told


def looked_up(workspace, command):
    reply = json.loads(workspace.run(command))
    assert len(reply["scores"]) == len(reply["decisions"]) == 1


def scored_file(workspace, command):
    assert re.fullmatch(r"2 comments scored, \d flagged\n", workspace.run(f"{command} 2>&1"))
    lines = (workspace.folder / "OUT.csv").read_text().splitlines()
    assert lines[0] == "id,abusive,mocking,off_topic,flagged" and len(lines) == 3


def exported(workspace, command):
    workspace.run(command.replace("FOLDER", "exported"))
    assert "What an idiot." in (workspace.folder / "exported" / "comments.csv").read_text()


def activated(workspace, command):
    workspace.run(command.replace("VERSION", "default"))
    assert json.loads((workspace.folder / "models" / "active").read_text())["version"] == "default"


def key_made(workspace, command):
    assert len(workspace.run(command.replace("NAME", "somebody")).strip()) > 30


def served(workspace, command):
    words = shlex.split(command.replace("0.0.0.0", "127.0.0.1").replace("8000", "0"))
    with open(workspace.folder / "second.log", "w") as log:
        process = subprocess.Popen(words, cwd=workspace.folder, env=workspace.env, stderr=log)
    try:
        until(lambda: "on http://127.0.0.1:" in (workspace.folder / "second.log").read_text(), 300)
    finally:
        process.terminate()
    assert process.wait(120) == 0


def invited(workspace, command):
    assert "http" in workspace.run(command.replace("NAME", "Ada"))


def secret_made(workspace, command):
    outbox.Receiver("http://127.0.0.1:1/", workspace.run(command).strip())


def doctored(workspace, command):
    said = workspace.run(command)
    document = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8")
    [block] = re.findall(r"moderation doctor --url.*?\n(.*?)```", document, re.S)
    assert set(re.findall(r"^\w+ +(\w+):", block, re.M)) == set(re.findall(r"^\w+ +(\w+):", said, re.M))
    assert re.search(r"^ok +service: ", said, re.M)


def backed_up(workspace, command):
    target = workspace.folder / "backup"
    assert f"Written to {target}" in workspace.run(command.replace("/backup/2026-11-24", str(target)))
    assert (target / "moderation.sqlite").exists() and (target / "models" / "default" / "card.json").exists()


def password_made(workspace, command):
    assert re.fullmatch(r"[0-9a-f]{48}\n", workspace.run(f'{command}; echo "$MODERATION_DATABASE_PASSWORD"'))


class Dry:
    """Of ``make``: what the target would do. Its recipe is this one command, which other tests run."""

    def __init__(self, expected):
        self.expected = expected

    def __call__(self, workspace, command):
        target = shlex.split(command, comments=True)[1]
        # The environment is taken for made: this one may be somebody else's.
        done = subprocess.run(
            ["make", "--dry-run", "--old-file", ".venv/installed", target], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0 and self.expected in done.stdout, done.stderr


class Elsewhere:
    """Run by another test."""

    def __init__(self, place):
        self.place = place

    def __call__(self, workspace, command):
        file, _, name = self.place.partition("::")
        tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


class Cannot:
    """Why no test runs it."""

    def __init__(self, why):
        self.why = why

    def __call__(self, workspace, command):
        assert self.why


CORPORA = Cannot("needs the corpora, which are not part of the project, and takes minutes")
CONTAINERS = Cannot("needs a container engine; test_install.py checks what the files say")
SYSTEM = Cannot("changes the system: packages, units and folders outside the checkout")

#: What begins a command, and what is done about it.
HOW = {
    "make run": Dry("python serve.py"),
    "make test": Dry("python -m pytest"),
    "make lint": Dry("ruff check"),
    "make model": CORPORA,
    "make benchmark": CORPORA,
    "make dist": Elsewhere("test_install.py::wheel"),
    "make lock": Cannot("asks the registry for newer versions"),
    "make .venv/installed": Cannot("makes the environment that the tests run in; every run on a new machine begins so"),
    "bash .ci/run": Cannot("is what runs the tests on a new machine"),
    f'curl -s {ADDRESS}/score -H \'Content-Type: application/json\' -d \'{{ "id": "c-17"': scored,
    f'curl -s {ADDRESS}/score -H \'Content-Type: application/json\' -d \'{{ "id": "c-18"': queued,
    f"curl -s {ADDRESS}/comments/c-18/decision": decided,
    f"curl -s {ADDRESS}/comments/c-18 #": looked_up,
    f'curl -s "{ADDRESS}/v1alpha1/comments:analyze?key=$KEY"': Elsewhere("test_migrate_docs.py::test_the_curl_example"),
    "python -m moderation score": Cannot("names the command; the README runs it with its arguments"),
    "python -m moderation score IN.csv": scored_file,
    "python -m moderation map-threshold --old scores.csv --at 0.8 --truth rejected": Elsewhere(
        "test_migrate_docs.py::test_the_command_that_carries_a_threshold_over"
    ),
    "python -m moderation map-threshold --old scores.csv --at 0.5 --score": CORPORA,
    "python -m moderation map-threshold --old scores.csv --at 0.8 --score": CORPORA,
    "python -m moderation export": exported,
    "python -m moderation models activate": activated,
    "python -m moderation keys create": key_made,
    "python -m moderation people invite": invited,
    "python -m moderation doctor": doctored,
    "python -m moderation backup": backed_up,
    "python -m moderation …": Cannot("stands for all commands; test_readme.py compares the table with them"),
    "python train.py --data": Elsewhere("test_train.py::test_a_candidate_learns_the_newsrooms_words_and_is_promoted"),
    "python train.py --from-scratch": Elsewhere("test_recipes.py::with_spam"),
    "python train.py --from-queue": Elsewhere(
        "test_retraining.py::test_a_model_learns_from_the_queue_and_is_rolled_back"
    ),
    "python serve.py": served,
    "python -m benchmarks.": Cannot("measures for minutes, alone on a machine"),
    'echo "whsec_': secret_made,
    "pg_dump": Elsewhere("test_docs.py::test_a_dump_of_postgresql_comes_back"),
    "pg_restore": Elsewhere("test_docs.py::test_a_dump_of_postgresql_comes_back"),
    "export MODERATION_DATABASE_PASSWORD": password_made,
    "python3 -m venv /opt/moderation": SYSTEM,
    "/opt/moderation/bin/pip install": SYSTEM,
    "cp deploy/moderation.service": SYSTEM,
    "systemctl": SYSTEM,
    "cd /var/lib/moderation && /opt/moderation/bin/moderation keys create": Elsewhere(
        "test_install.py::test_an_installed_wheel_makes_keys"
    ),
    "pip install 'newsroom-moderation[redis]'": SYSTEM,
    "pip install 'newsroom-moderation[dask]'": SYSTEM,
    ".venv/bin/python -m pip install atheris": SYSTEM,
    ".venv/bin/python tests/fuzz": Cannot("fuzzes for ten minutes; test_fuzzed.py checks the same properties"),
    "python -m moderation score --engine dask IN.parquet": Elsewhere(
        "test_cluster.py::test_a_run_that_was_killed_goes_on_where_it_stopped"
    ),
    "python -m moderation score --engine dask --scheduler": Elsewhere(
        "test_cluster.py::test_a_worker_is_killed_and_the_bytes_are_those_of_the_local_engine"
    ),
    "dask scheduler": Elsewhere("test_cluster.py::test_a_worker_is_killed_and_the_bytes_are_those_of_the_local_engine"),
    "dask worker": Elsewhere("test_cluster.py::test_a_worker_is_killed_and_the_bytes_are_those_of_the_local_engine"),
    "docker compose": CONTAINERS,
    "podman build": CONTAINERS,
}

#: Examples that are no commands, by document and language.
EXAMPLES = {
    ("docs/migrate-from-perspective.md", "python"): Elsewhere("test_migrate_docs.py::test_the_python_examples"),
    ("docs/migrate-from-perspective.md", "html"): Elsewhere("test_migrate_docs.py::test_the_nudge_in_a_real_browser"),
    ("docs/migrate-from-perspective.md", "csv"): Elsewhere(
        "test_migrate_docs.py::test_the_command_that_carries_a_threshold_over"
    ),
    ("docs/migrate-from-perspective.md", "php"): Elsewhere("test_migrate_docs.py::test_the_php_example"),
    ("docs/operate.md", "json"): Elsewhere("test_logs.py::test_each_request_is_one_json_line_with_its_id"),
    ("docs/operate.md", "yaml"): Cannot("is for Prometheus; test_metrics.py reads /metrics as it does"),
}


def declared(command):
    found = [key for key in HOW if command.startswith(key)]
    return max(found, key=len, default=None)


FOUND = [(name, command) for name in DOCUMENTS for command in commands(name)]


def test_commands_are_found():
    """A reader that finds nothing would let everything pass."""
    found = [command for _, command in FOUND]
    assert len(found) > 40 and any(command.endswith("}'") for command in found)


def test_every_command_is_declared_and_every_declaration_is_of_one():
    assert [command for command in FOUND if declared(command[1]) is None] == []
    assert sorted(set(HOW) - {declared(command) for _, command in FOUND}) == []


def test_every_other_example_is_declared():
    found = {
        (name, language)
        for name in DOCUMENTS
        for language in re.findall(r"^```(\w+)$", (ROOT / name).read_text(encoding="utf-8"), re.M)
    } - {(name, "console") for name in DOCUMENTS}
    assert found == set(EXAMPLES)
    for how in EXAMPLES.values():
        how(None, "")


@pytest.mark.parametrize(("name", "command"), FOUND, ids=[f"{name}-{number}" for number, (name, _) in enumerate(FOUND)])
def test_the_documented_command_does_what_is_said(name, command, request):
    how = HOW[declared(command)]
    if isinstance(how, Dry | Elsewhere | Cannot):
        how(None, command)
        return
    for needed in ("curl", "openssl"):
        if f"{needed} " in command and not shutil.which(needed):
            pytest.skip(f"{needed} is not on this machine")
    how(request.getfixturevalue("workspace"), command)


def test_a_dump_of_postgresql_comes_back(postgresql, tmp_path):
    [dump, restore] = [command for name, command in FOUND if name == "docs/operate.md" and command.startswith("pg_")]
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_dump"), key=lambda p: int(p.parts[-3]))[-1].parent
    admin(postgresql, "CREATE DATABASE dumped TEMPLATE empty")
    address = f"postgresql://moderation@/dumped?host={postgresql}"
    environment = {**os.environ, "DATABASE": address, "PATH": f"{programs}:{os.environ['PATH']}"}

    def articles(change=None):
        engine = store.connect(address)
        with store.writing(engine) as session:
            if change:
                change(session)
            found = session.scalars(select(store.ArticleRow.title)).all()
        engine.dispose()
        return found

    assert articles(lambda session: store.save_article(session, "a", Article("A bridge", ""))) == ["A bridge"]
    subprocess.run(["bash", "-c", dump], cwd=tmp_path, env=environment, check=True)
    assert articles(lambda session: session.execute(delete(store.ArticleRow))) == []
    subprocess.run(["bash", "-c", restore], cwd=tmp_path, env=environment, check=True)
    assert articles() == ["A bridge"]
