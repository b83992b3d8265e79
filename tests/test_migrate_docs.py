"""The examples of docs/migrate-from-perspective.md, tried as they stand: only address and key are filled in."""

import csv
import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading

import pytest
from conftest import ROOT, Server, run

from moderation.settings import Settings

DOCUMENT = (ROOT / "docs" / "migrate-from-perspective.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8000"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.S)


class Pages:
    """A web site of its own, on another origin than the service."""

    def __init__(self, folder):
        handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
        handler.log_message = lambda *arguments: None
        self.folder = folder
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def port(self):
        return self.server.server_address[1]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    pages = Pages(tmp_path_factory.mktemp("pages"))
    yield pages
    pages.server.shutdown()


@pytest.fixture(scope="module")
def service(tmp_path_factory, pages):
    service = Server(
        tmp_path_factory.mktemp("service"), env={"MODERATION_CORS_ORIGINS": f"http://127.0.0.1:{pages.port}"}
    )
    service.key = run("-m", "moderation", "keys", "create", "docs", env=service.env).stdout.strip()
    yield service
    service.stop()


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not on this machine")
def test_the_curl_example(service):
    [command] = [block for block in blocks("console") if "curl" in block]
    done = subprocess.run(
        ["bash", "-c", command.removeprefix("$ ").replace(ADDRESS, service.url)],
        env={**os.environ, "KEY": service.key},
        capture_output=True,
        text=True,
        timeout=60,
    )
    scores = json.loads(done.stdout)["attributeScores"]
    assert set(scores) == {"TOXICITY", "LIKELY_TO_REJECT"}
    assert [span["begin"] for span in scores["TOXICITY"]["spanScores"]] == [0, 23]


def test_the_python_examples(service):
    found = []
    for block in blocks("python"):
        code = f"KEY = {service.key!r}\n" + block.replace(ADDRESS, service.url)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        found.append(done.stdout)
    by_hand, client = found
    assert re.fullmatch(r"TOXICITY 0\.\d+\nOFF_TOPIC 0\.\d+\n", by_hand)
    assert re.fullmatch(r"\{'value': 0\.\d+, 'type': 'PROBABILITY'\}\n", client)


def test_the_command_that_carries_a_threshold_over(tmp_path):
    [header] = {block.split("\n")[0] for block in blocks("csv")}
    with open(ROOT / "data" / "comments.csv", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["abusive"]][:200]
    with open(tmp_path / "scores.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, header.split(","))
        writer.writeheader()
        for number, row in enumerate(rows):
            writer.writerow({"text": row["text"], "score": number / len(rows), "rejected": row["abusive"]})
    [command] = [block for block in blocks("console") if "--truth rejected" in block]
    words = command.removeprefix("$ python ").split()
    done = run(*words, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    assert "ours, same flag rate" in done.stdout


WORDPRESS = """
function add_filter($name, $filter, $priority, $count) { global $filters; $filters[$name] = $filter; }
function wp_remote_request($url, $arguments) { return apply($url, $arguments); }
function apply($url, $arguments) {
    global $filters;
    $reply = $filters['pre_http_request'](false, $arguments, $url);
    return $reply !== false ? $reply : [$url, $arguments];
}
%s
foreach (array_slice($argv, 1) as $url) {
    echo json_encode(apply($url, ['method' => 'POST', 'body' => '{}', 'reject_unsafe_urls' => true])), "\\n";
}
"""


@pytest.mark.skipif(not shutil.which("php"), reason="php is not on this machine (Debian: php-cli)")
def test_the_php_example():
    """With as much of WordPress as it touches."""
    [code] = blocks("php")
    asked = [
        "https://commentanalyzer.googleapis.com/v1alpha1/comments:analyze?key=abc",
        "https://www.example.org/?u=https://commentanalyzer.googleapis.com/",
    ]
    done = subprocess.run(
        ["php", "-r", WORDPRESS % code, "--", *asked], capture_output=True, text=True, timeout=60, check=True
    )
    sent, other = map(json.loads, done.stdout.splitlines())
    assert sent[0] == "https://moderation.example.org/v1alpha1/comments:analyze?key=abc"
    assert sent[1] == {"method": "POST", "body": "{}", "reject_unsafe_urls": False}
    assert other == [asked[1], {"method": "POST", "body": "{}", "reject_unsafe_urls": True}]


def nudge(pages, tmp_path, html, text, host="127.0.0.1"):
    """What the page says after somebody has typed `text`."""
    typing = f"""<script type="module">
      comment.value = {json.dumps(text)};
      comment.dispatchEvent(new Event("input"));
    </script>"""
    (pages.folder / "page.html").write_text(f"<!doctype html>{html}{typing}", encoding="utf-8")
    done = subprocess.run(
        [shutil.which("chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
        + ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        + [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=10000", "--dump-dom"]
        + [f"http://{host}:{pages.port}/page.html"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    [said] = re.findall(r'<p id="nudge" role="status">(.*?)</p>', done.stdout)
    return said


@pytest.mark.skipif(not shutil.which("chromium"), reason="Chromium is not on this machine (Debian: chromium)")
def test_the_nudge_in_a_real_browser(service, pages, tmp_path):
    [html] = blocks("html")
    html = html.replace(ADDRESS, service.url).replace('"KEY"', json.dumps(service.key))
    mocking = "Oh sure, because that worked so brilliantly last time. Genius."
    assert nudge(pages, tmp_path, html, mocking) == "This may be seen as mocking."
    assert nudge(pages, tmp_path, html, "The council should repair the bridge before winter.") == ""
    # The same page under an origin that is not in the settings is not answered.
    assert nudge(pages, tmp_path, html, mocking, host="localhost") == ""


@pytest.mark.parametrize("name", sorted(set(re.findall(r"MODERATION_[A-Z_]+", DOCUMENT))))
def test_the_settings_it_names_are_there(name):
    assert name.removeprefix("MODERATION_").lower() in Settings.model_fields


def test_its_links_lead_somewhere():
    anchors = {
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in DOCUMENT.splitlines()
        if line.startswith("#")
    }
    for target in re.findall(r"\]\(#([^)]+)\)", DOCUMENT):
        assert target in anchors
