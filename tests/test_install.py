"""The wheel in an empty environment, and the files that install it."""

import csv
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile

import pytest
import requests
from conftest import ROOT, until


def without_this_project(**more):
    """The environment of somebody who has never seen the checkout."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MODERATION_", "PYTHON"))}
    return {**kept, **more}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from the files that are in the repository, nothing else that lies about."""
    source = tmp_path_factory.mktemp("source")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("this is not a git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
    # With the environment that runs the tests, taken for made.
    (source / ".venv").symlink_to(sys.prefix)
    subprocess.run(["make", "--old-file", ".venv/installed", "dist"], cwd=source, check=True)
    [path] = (source / "dist").glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The program, in an environment that had nothing in it. The lock only says which versions pip takes."""
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder, with_pip=True)
    pinned = re.findall(r"^([\w.-]+==[^\\\n]+)", (ROOT / "requirements.lock").read_text(), re.M)
    (folder / "constraints.txt").write_text("\n".join(pinned))
    install = [
        folder / "bin" / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-compile",
        "-c",
        folder / "constraints.txt",
        wheel,
    ]
    subprocess.run(install, check=True, env=without_this_project(), cwd=folder)
    return folder / "bin" / "moderation"


def test_the_wheel_carries_model_pages_and_migrations(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(["git", "ls-files", "moderation"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    assert set(tracked) <= names
    for name in ("weights.joblib", "card.json", "report.html", "manifest.json"):
        carried = zipfile.ZipFile(wheel).read(f"moderation/models/default/{name}")
        assert carried == (ROOT / "models" / "default" / name).read_bytes()
    assert not [name for name in names if "test" in name or name.startswith("benchmarks")]


def test_an_installed_wheel_scores_a_comment(installed, tmp_path):
    with open(tmp_path / "in.csv", "w", newline="") as file:
        csv.writer(file).writerows([["id", "text"], ["1", "You are an idiot and a liar."], ["2", "Thank you."]])
    command = [installed, "score", "in.csv", "out.csv"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=without_this_project())
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["abusive"]) > 0.5 > float(rows[1]["abusive"])
    listed = subprocess.run([installed, "models", "list"], cwd=tmp_path, capture_output=True, text=True)
    assert listed.stdout == "* default\n"


def test_an_installed_wheel_makes_keys(installed, tmp_path):
    command = [installed, "keys", "create", "coral"]
    done = subprocess.run(command, cwd=tmp_path, env=without_this_project(), capture_output=True, text=True)
    assert done.returncode == 0 and len(done.stdout.strip()) > 30, done.stderr
    assert (tmp_path / "instance" / "moderation.sqlite").exists()


def test_an_installed_wheel_serves_and_keeps_its_files_where_it_was_started(installed, tmp_path):
    log = tmp_path / "log"
    with open(log, "w") as file:
        process = subprocess.Popen(
            [installed, "serve", "--port", "0"], cwd=tmp_path, stderr=file, env=without_this_project()
        )
    try:
        until(lambda: "on http://" in log.read_text() or process.poll() is not None, 120)
        url = re.search(r"on (http://[\d.:]+)", log.read_text())[1]
        reply = requests.post(f"{url}/score", json={"text": "You are an idiot."}, timeout=60).json()
        assert reply["status"] == "scored" and reply["labels"]["abusive"]["flagged"]
        assert "crossword" in requests.get(url, timeout=60).text
        assert requests.get(f"{url}/static/style.css", timeout=60).status_code == 200
        assert (tmp_path / "instance" / "moderation.sqlite").exists()
    finally:
        process.terminate()
        assert process.wait(60) == 0


def test_the_unit_is_one_that_systemd_reads(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed (Debian: apt install systemd)")
    unit = (ROOT / "deploy" / "moderation.service").read_text().replace("/opt/moderation/bin/moderation", "/bin/true")
    (tmp_path / "moderation.service").write_text(unit)
    done = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / "moderation.service"], capture_output=True, text=True
    )
    assert done.returncode == 0 and "moderation.service" not in done.stderr, done.stderr


def test_the_unit_stops_later_than_the_service():
    from moderation.settings import Settings

    unit = (ROOT / "deploy" / "moderation.service").read_text()
    assert int(re.search(r"TimeoutStopSec=(\d+)", unit)[1]) > Settings.model_fields["grace"].default


def test_the_container_file_names_files_and_settings_that_there_are():
    from moderation.settings import Settings

    text = (ROOT / "deploy" / "Containerfile").read_text()
    for name in re.findall(r"MODERATION_(\w+)=", text):
        assert name.lower() in Settings.model_fields
    assert (ROOT / "requirements.lock").exists() and "requirements.lock" in text
    ignored = (ROOT / "deploy" / "Containerfile.dockerignore").read_text()
    assert "!dist/*.whl" in ignored and "!requirements.lock" in ignored
