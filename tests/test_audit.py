"""The audit of dependencies: no answer is no pass, and no failure either."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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


@pytest.fixture
def mirror():
    """An index that knows the newest releases alone."""
    releases = {
        "/flask/json": {"info": {"version": "3.1"}, "vulnerabilities": []},
        "/old/json": {
            "info": {"version": "1.0"},
            "vulnerabilities": [
                {"id": "CVE-1", "fixed_in": ["1.1"], "withdrawn": None},
                {"id": "CVE-2", "fixed_in": [], "withdrawn": "2026-01-01T00:00:00Z"},
            ],
        },
        "/odd/json": {"info": {}},
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            known = releases.get(self.path)
            self.send_response(200 if known else 404)
            self.end_headers()
            self.wfile.write(json.dumps(known).encode())

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("locked", "code", "said"),
    [
        ({"flask": "3.1"}, 0, "1 locked dependencies audited, none known"),
        ({"flask": "3.0"}, audit.NOT_AUDITED, "NOT AUDITED: of 1 dependencies the service did not know flask"),
        ({"flask": "3.1", "old": "1.0"}, 1, "old 1.0: CVE-1, mended in 1.1"),
        ({"flask": "3.1", "odd": "1", "gone": "1"}, audit.NOT_AUDITED, "1 of 3 locked dependencies audited"),
    ],
)
def test_a_mirror_is_asked_for_the_newest_releases(mirror, locked, code, said):
    skipped = [{"name": name, "skip_reason": "not found"} for name in locked]
    told, found = audit.audit(answering(json.dumps({"dependencies": skipped})), locked, mirror)
    assert found == code and said in told and "CVE-2" not in told


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
