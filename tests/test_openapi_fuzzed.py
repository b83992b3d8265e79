"""Schemathesis over the whole OpenAPI document of the real server: every check, and no server error."""

import os
import subprocess
import sys

import pytest
from conftest import ROOT, Server, run
from fuzz import hooks

CONFIGURATION = """
color = false
continue-on-failure = true
hooks = "hooks"
headers = { X-API-Key = "${FUZZ_KEY}" }
[warnings]
fail-on = true
[generation]
deterministic = true
max-examples = 10
database = "none"
allow-extra-parameters = false  # what HTTP does not know it ignores
[output.truncation]
max-payload-size = 2000
"""


@pytest.fixture
def fuzzed(database, tmp_path):
    return Server(tmp_path, env={"MODERATION_DATABASE_URL": database, "MODERATION_RATE_LIMIT": ""})


def test_the_service_does_as_its_document_says(fuzzed, tmp_path):
    """A request that fits the document is accepted, another refused, each with an answer that is in it."""
    comments = [{"id": f"c-{n}", "author": f"a-{n}", "text": "You idiot.", "queue": True} for n in range(hooks.KNOWN)]
    assert fuzzed.post("/score", {"comments": comments}).status_code == 200
    made = run("-m", "moderation", "keys", "create", "fuzz", "--scope", "admin", env=fuzzed.env)
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    path = os.pathsep.join([str(ROOT / "tests" / "fuzz"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "run", f"{fuzzed.url}/openapi.json"],
        cwd=tmp_path,
        env={**os.environ, "FUZZ_KEY": made.stdout.strip(), "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=600,
    )
    fuzzed.stop()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Tested: 8" in done.stdout
    assert "Traceback" not in fuzzed.log.read_text()
