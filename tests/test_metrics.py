"""What Prometheus is told, and the dashboard that shows it."""

import json
import re

from conftest import ROOT
from prometheus_client.parser import text_string_to_metric_families

DASHBOARD = ROOT / "deploy" / "grafana-dashboard.json"


def samples(server):
    text = server.get("/metrics").text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def grown(before, after, name, **labels):
    key = name, tuple(sorted(labels.items()))
    return after.get(key, 0) - before.get(key, 0)


def test_requests_comments_and_flags_are_counted(server):
    before = samples(server)
    server.score(text="You are an idiot and a liar.")
    server.post("/score", {"comments": [{"text": "Fine."}, {"text": ""}, {"text": 7}]})
    server.post("/score", {"text": ""})
    server.get("/nowhere/else")
    after = samples(server)
    assert grown(before, after, "moderation_requests_total", method="POST", rule="/score", status="200") == 2
    assert grown(before, after, "moderation_requests_total", method="POST", rule="/score", status="422") == 1
    assert grown(before, after, "moderation_requests_total", method="GET", rule="none", status="404") == 1
    assert grown(before, after, "moderation_comments_scored_total") == 2
    assert grown(before, after, "moderation_comments_unscored_total", reason="invalid") == 3
    assert grown(before, after, "moderation_flags_total", label="abusive") == 1
    assert grown(before, after, "moderation_scoring_seconds_count") == 3
    assert grown(before, after, "moderation_request_seconds_count", rule="/score") == 3
    assert after["moderation_model", (("version", server.get("/ready").json()["model"]),)] == 1
    assert after["moderation_model_problem", ()] == 0
    assert after["process_resident_memory_bytes", ()] > 1e7


def test_what_clients_make_up_makes_no_new_metric(server):
    before = samples(server)
    for number in range(5):
        server.get(f"/made-up-{number}")
    server.raw(b"INVENTED /score HTTP/1.1\r\nHost: localhost\r\n\r\n")
    after = samples(server)
    assert "made-up" not in str(after) and "INVENTED" not in str(after)
    new = {key for key in after if key not in before and key[0] == "moderation_requests_total"}
    assert len(new) <= 3


def test_the_dashboard_asks_only_for_metrics_that_there_are(server):
    server.score(text="You are an idiot and a liar.")
    server.post("/score", {"text": ""})
    there = {name for name, _ in samples(server)}
    dashboard = json.loads(DASHBOARD.read_text())
    asked = set()
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            asked |= set(re.findall(r"\b(?:moderation|process)_\w+", target["expr"]))
    assert asked and asked <= there
    # And shows each of the service's own, once.
    own = {re.sub(r"_(total|sum|count|bucket|created)$", "", name) for name in there if name.startswith("moderation_")}
    shown = {re.sub(r"_(total|sum|count|bucket|created)$", "", name) for name in asked}
    assert own <= shown


def test_every_metric_is_documented(server):
    told = (ROOT / "docs" / "operate.md").read_text()
    families = text_string_to_metric_families(server.get("/metrics").text)
    for family in families:
        if not family.name.startswith("process_"):
            assert f"`{family.name}`" in told or f"`{family.name}_total`" in told, family.name
