"""The audit of dependencies: no answer is no pass, and no failure either."""

import json
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader

import pytest
from conftest import ROOT, run

_loader = SourceFileLoader("audit", str(ROOT / ".ci" / "audit"))
audit = module_from_spec(spec_from_loader("audit", _loader))
_loader.exec_module(audit)


def answering(report, code=0):
    return [sys.executable, "-c", f"import sys; print({report!r}); sys.exit({code})"]


GOOD = {"name": "flask", "version": "3.1", "vulns": []}
BAD = {"name": "old", "version": "1.0", "vulns": [{"id": "CVE-1", "fix_versions": ["1.1"]}]}
UNKNOWN = {"name": "flask", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("dependencies", "code", "said"),
    [
        ([GOOD], 0, "1 locked dependencies audited"),
        ([GOOD, BAD], 1, "old 1.0: CVE-1, mended in 1.1"),
        ([UNKNOWN, BAD], 1, "CVE-1"),
        ([UNKNOWN, UNKNOWN], audit.NOT_AUDITED, "NOT AUDITED"),
        ([], audit.NOT_AUDITED, "NOT AUDITED"),
    ],
)
def test_what_the_service_says_decides(dependencies, code, said):
    told, found = audit.audit(answering(json.dumps({"dependencies": dependencies}), int(bool(code))))
    assert found == code and said in told


@pytest.mark.parametrize("report", ["", "connection failed", "{}"])
def test_a_service_that_cannot_be_asked_is_neither_a_pass_nor_a_failure(report):
    told, found = audit.audit(answering(report, 1))
    assert found == audit.NOT_AUDITED and "NOT AUDITED" in told and "none known" not in told


@pytest.mark.parametrize(("arguments", "code"), [((), 0), (("--strict",), audit.NOT_AUDITED)])
def test_without_a_network_it_says_so_loudly(arguments, code):
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:1", "https_proxy": "http://127.0.0.1:1"}
    done = run(ROOT / ".ci" / "audit", *arguments, env=nowhere)
    assert done.returncode == code and "\nNOT AUDITED" in done.stdout and "=" * 50 in done.stdout


def test_continuous_integration_runs_it():
    assert "make lint" in (ROOT / ".ci" / "run").read_text() and ".ci/audit" in (ROOT / "Makefile").read_text()
