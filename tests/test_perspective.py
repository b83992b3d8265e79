"""Perspective's protocol, spoken by hand and by published clients to a real server."""

import json
import shutil
import sqlite3
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from conftest import ROOT, Server, run, until
from test_server import SLOW, under_way

KINDS = "type.googleapis.com/google.commentanalyzer.v1alpha1.Error"
BRIDGE = "Council plans to close the harbour bridge\nThe bridge across the old harbour needs repair."
INSULT = "What an idiot you are!"


class Service(Server):
    """A server with one key, which it is called with as Perspective is."""

    def __init__(self, folder, **more):
        super().__init__(folder, **more)
        self.key = self.make_key("comments", "score", "decide")

    def make_key(self, name, *scopes):
        options = [word for scope in scopes for word in ("--scope", scope)]
        return run("-m", "moderation", "keys", "create", name, *options, env=self.env).stdout.strip()

    def call(self, method, body, **more):
        return self.post(f"/v1alpha1/comments:{method}", body, params={"key": self.key}, **more)

    def analyze(self, text=INSULT, attributes=("TOXICITY",), **more):
        reply = self.call(
            "analyze",
            {"comment": {"text": text}, "requestedAttributes": {name: {} for name in attributes}}
            | {"languages": ["en"]}
            | more,
        )
        assert reply.status_code == 200, reply.text
        return reply.json()

    def value(self, name, *arguments, **more):
        return self.analyze(*arguments, **{"attributes": (name,)} | more)["attributeScores"][name]["summaryScore"][
            "value"
        ]


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    service = Service(
        tmp_path_factory.mktemp("perspective"),
        env={
            "MODERATION_PERSPECTIVE_ALIASES": '{"SEVERE_TOXICITY": "TOXICITY", "ATTACK_ON_COMMENTER": "MOCKING"}',
            "MODERATION_CORS_ORIGINS": "https://www.example.org http://127.0.0.1:8888",
        },
    )
    yield service
    service.stop()


def in_utf16(text, span):
    """The part of a text that JavaScript's ``text.slice(begin, end)`` gives."""
    return text.encode("utf-16-le")[2 * span["begin"] : 2 * span["end"]].decode("utf-16-le")


# ---------------------------------------------------------------------------------------- scores


def test_the_reply_has_perspectives_shape(service):
    reply = service.analyze("  You are an idiot and a liar. ", clientToken="abc", sessionId="s", communityId="c")
    [(name, scores)] = reply["attributeScores"].items()
    assert name == "TOXICITY"
    summary = scores["summaryScore"]
    assert summary["type"] == "PROBABILITY" and 0.5 < summary["value"] <= 1
    assert scores["spanScores"] == [{"begin": 2, "end": 30, "score": summary}]
    assert reply["languages"] == ["en"] and reply["clientToken"] == "abc"


def test_scores_are_those_of_the_services_own_interface(service):
    text = "Welding in salt air never lasts, you clowns."
    labels = service.post(
        "/score",
        {
            "text": text,
            "article": {"title": BRIDGE.split("\n")[0], "body": BRIDGE.split("\n")[1]},
            "parent": {"text": "They should weld it."},
        },
        headers={"X-API-Key": service.key},
    ).json()["labels"]
    context = {
        "articleAndParentComment": {"article": {"text": BRIDGE}, "parentComment": {"text": "They should weld it."}}
    }
    scores = service.analyze(text, ("TOXICITY", "MOCKING", "OFF_TOPIC", "LIKELY_TO_REJECT"), context=context)
    found = {name: each["summaryScore"]["value"] for name, each in scores["attributeScores"].items()}
    for name, label in (("TOXICITY", "abusive"), ("MOCKING", "mocking"), ("OFF_TOPIC", "off_topic")):
        assert found[name] == pytest.approx(labels[label]["score"], rel=1e-6)
    each = [label["score"] for label in labels.values()]
    assert max(each) <= found["LIKELY_TO_REJECT"] < 1


def test_article_parent_and_earlier_comments_reach_the_off_topic_model(service):
    text = "Welding in salt air never lasts, ask any shipyard."

    def off_topic(context):
        return service.value("OFF_TOPIC", text, context=context)

    article = {"articleAndParentComment": {"article": {"text": BRIDGE}}}
    parent = {
        "articleAndParentComment": {"article": {"text": BRIDGE}, "parentComment": {"text": "A shipyard could weld."}}
    }
    thread = {"entries": [{"text": BRIDGE}, {"text": "The shipyard could weld it."}, {"text": "Salt air eats welds."}]}
    assert len({off_topic(article), off_topic(parent), off_topic(thread)}) == 3
    assert off_topic({"entries": [{"text": BRIDGE}]}) == off_topic(article)
    page = "<h1>Council plans to close the harbour bridge</h1><p>The bridge across the old harbour needs repair.</p>"
    assert off_topic({"entries": [{"text": page, "type": "HTML"}]}) == off_topic(article)


def test_likely_to_reject_does_without_an_article(service):
    assert service.value("LIKELY_TO_REJECT") > service.value("TOXICITY")


def test_spans_are_sentences_counted_in_utf16_units(service):
    text = "😀👍🏽 Lovely weather, friends. 𝒲hat an idiot you are, 😡 mayor! Bye."
    spans = service.analyze(text, spanAnnotations=True)["attributeScores"]["TOXICITY"]["spanScores"]
    assert [in_utf16(text, span) for span in spans] == [
        "😀👍🏽 Lovely weather, friends.",
        "𝒲hat an idiot you are, 😡 mayor!",
        "Bye.",
    ]
    values = [span["score"]["value"] for span in spans]
    assert max(values) == values[1] > 0.5 > values[0]
    # A sentence's score is what it gets as a comment of its own.
    assert values[2] == pytest.approx(service.value("TOXICITY", "Bye."))


def test_markup_is_removed_and_spans_point_into_what_was_sent(service):
    text = "<p>😀 Nice day.</p><p>What an id<b>iot</b> &amp; liar you are!</p>"
    sent = {"comment": {"text": text, "type": "HTML"}, "spanAnnotations": True}
    scores = service.analyze(**sent)["attributeScores"]["TOXICITY"]
    assert [in_utf16(text, span) for span in scores["spanScores"]] == [
        "😀 Nice day.",
        "What an id<b>iot</b> &amp; liar you are!",
    ]
    plain = service.value("TOXICITY", "😀 Nice day.\nWhat an idiot & liar you are!")
    assert scores["summaryScore"]["value"] == pytest.approx(plain)
    assert service.value("TOXICITY", text) != pytest.approx(plain)


def test_scores_under_the_threshold_are_left_out(service):
    value = service.value("TOXICITY")

    def asked(threshold):
        wanted = {"TOXICITY": {"scoreThreshold": threshold, "scoreType": "PROBABILITY"}, "MOCKING": {}}
        return set(service.analyze(requestedAttributes=wanted)["attributeScores"])

    assert asked(0) == asked(value) == {"TOXICITY", "MOCKING"}
    assert asked(min(1, value + 1e-6)) == {"MOCKING"}
    spans = service.analyze(
        f"Nice day, thank you. {INSULT}",
        requestedAttributes={"TOXICITY": {"scoreThreshold": 0.3}},
        spanAnnotations=True,
    )["attributeScores"]["TOXICITY"]["spanScores"]
    assert len(spans) == 1


def test_a_name_in_the_alias_map_is_answered_and_no_other(service):
    assert service.value("SEVERE_TOXICITY") == service.value("TOXICITY")
    assert service.value("ATTACK_ON_COMMENTER") == service.value("MOCKING")


def test_protobufs_own_field_names_and_nulls_are_understood(service):
    body = {
        "comment": {"text": INSULT, "type": None},
        "requested_attributes": {"TOXICITY": None},
        "span_annotations": True,
        "context": None,
        "languages": "EN",
        "do_not_store": True,
    }
    reply = service.call("analyze", body)
    assert reply.status_code == 200, reply.text
    assert reply.json()["languages"] == ["EN"]


def test_a_long_comment_of_many_sentences_is_answered(service):
    text = "Ah! " * 5_000
    reply = service.analyze(text, spanAnnotations=True)["attributeScores"]["TOXICITY"]
    assert len(reply["spanScores"]) == 200
    assert reply["spanScores"][-1]["end"] == len(text.rstrip())


# ---------------------------------------------------------------------------------------- errors

TOXICITY = {"TOXICITY": {}}
BAD = [
    ({"requestedAttributes": TOXICITY}, "COMMENT_EMPTY"),
    ({"comment": {"text": " \n"}, "requestedAttributes": TOXICITY}, "COMMENT_EMPTY"),
    ({"comment": {"text": "<p> <br></p>", "type": "HTML"}, "requestedAttributes": TOXICITY}, "COMMENT_EMPTY"),
    ({"comment": {"text": "é" * 10_241}, "requestedAttributes": TOXICITY}, "COMMENT_TOO_LONG"),
    ({"comment": {"text": "Fine."}}, "NO_REQUESTED_ATTRIBUTES"),
    ({"comment": {"text": "Fine."}, "requestedAttributes": {}}, "NO_REQUESTED_ATTRIBUTES"),
    ({"comment": {"text": "Fine."}, "requestedAttributes": {"INSULT": {}}}, "INVALID_REQUEST"),
    ({"comment": {"text": "Fine."}, "requestedAttributes": {"abusive": {}}}, "INVALID_REQUEST"),
    ({"comment": {"text": "Fine."}, "requestedAttributes": {"OFF_TOPIC": {}}}, "INVALID_REQUEST"),
    ({"comment": {"text": "Fine."}, "requestedAttributes": {"TOXICITY": {"scoreType": "RAW"}}}, "INVALID_REQUEST"),
    ({"comment": {"text": "Fine."}, "requestedAttributes": {"TOXICITY": {"scoreThreshold": "x"}}}, "INVALID_REQUEST"),
    ({"comment": {"text": 5}, "requestedAttributes": TOXICITY}, "INVALID_REQUEST"),
    ({"comment": {"text": "Fine.", "type": "MARKDOWN"}, "requestedAttributes": TOXICITY}, "INVALID_REQUEST"),
    ({"comment": {"text": "a\0b"}, "requestedAttributes": TOXICITY}, "INVALID_REQUEST"),
    ({"comment": {"text": "\ud800"}, "requestedAttributes": TOXICITY}, "INVALID_REQUEST"),
    ({"comment": {"text": "Fine."}, "requestedAttributes": TOXICITY, "donotstore": True}, "INVALID_REQUEST"),
    ({"comment": {"text": "Fine."}, "requestedAttributes": TOXICITY, "doNotStore": "yes"}, "INVALID_REQUEST"),
    (
        {
            "comment": {"text": "Fine."},
            "requestedAttributes": TOXICITY,
            "context": {"entries": [{"text": "x"}], "articleAndParentComment": {"article": {"text": "x"}}},
        },
        "INVALID_REQUEST",
    ),
    ([], "INVALID_REQUEST"),
    ("text", "INVALID_REQUEST"),
    (
        {"comment": {"text": "Fine."}, "requestedAttributes": TOXICITY, "languages": ["en", "de"]},
        "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE",
    ),
    (
        {"comment": {"text": "Sie sind doch ein Idiot und ein Lügner."}, "requestedAttributes": TOXICITY},
        "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE",
    ),
    ({"comment": {"text": "👍👍"}, "requestedAttributes": TOXICITY}, "LANGUAGE_DETECTION_FAILED"),
]


@pytest.mark.parametrize(("body", "kind"), BAD, ids=range(len(BAD)))
def test_errors_have_googles_shape(service, body, kind):
    reply = service.call("analyze", None, data=json.dumps(body))
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert error["code"] == 400 and error["status"] == "INVALID_ARGUMENT" and error["message"]
    [detail] = error["details"]
    assert detail["@type"] == KINDS and detail["errorType"] == kind


def test_an_unsupported_language_is_named(service):
    body = {"comment": {"text": "Bonjour"}, "requestedAttributes": {"SEVERE_TOXICITY": {}}, "languages": ["fr"]}
    error = service.call("analyze", body).json()["error"]
    assert error["message"] == "Attribute SEVERE_TOXICITY does not support request languages: fr"
    told = error["details"][0]["languageNotSupportedByAttributeError"]
    assert told == {"attribute": "SEVERE_TOXICITY", "requestedLanguages": ["fr"]}


def test_without_languages_the_comment_itself_decides(service):
    body = {"comment": {"text": "This bridge has stood here for a hundred years."}, "requestedAttributes": TOXICITY}
    reply = service.call("analyze", body).json()
    assert reply["languages"] == reply["detectedLanguages"] == ["en"]


def test_what_has_no_words_has_no_score(service):
    text = "Nice day, everybody. https://a.example/b What an idiot you are!"
    whole = service.analyze(text, spanAnnotations=True)["attributeScores"]["TOXICITY"]["spanScores"]
    assert len(whole) == 2
    text = "Nice day, everybody.\nhttps://a.example/b\nWhat an idiot you are!"
    spans = service.analyze(text, ("LIKELY_TO_REJECT",), spanAnnotations=True)["attributeScores"]["LIKELY_TO_REJECT"]
    assert [in_utf16(text, span)[:4] for span in spans["spanScores"]] == ["Nice", "What"]


def shaped(reply, code, status, kind=None):
    """The error of a reply, which has Google's shape and nothing else."""
    assert reply.status_code == code, reply.text
    assert reply.headers["Content-Type"] == "application/json"
    assert set(reply.json()) == {"error"}
    error = reply.json()["error"]
    assert (error["code"], error["status"]) == (code, status) and error["message"]
    assert set(error) == {"code", "message", "status"} | ({"details"} if kind else set())
    assert error.get("details", [{"@type": KINDS, "errorType": None}]) == [{"@type": KINDS, "errorType": kind}]
    return error


ANALYZE, SUGGEST = "/v1alpha1/comments:analyze", "/v1alpha1/comments:suggestscore"
FINE = {"comment": {"text": "Fine."}, "requestedAttributes": TOXICITY, "languages": ["en"]}
JAVA = "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"  # what Java asks for, unasked


@pytest.mark.parametrize(
    ("data", "code", "kind"),
    [
        (b"{", 400, "INVALID_REQUEST"),
        (b"", 400, "INVALID_REQUEST"),
        (b"\xff", 400, "INVALID_REQUEST"),
        (b'{"comment": {"text": NaN}}', 400, "INVALID_REQUEST"),
        (b"[" * 100_000, 400, "INVALID_REQUEST"),
        (b" " * 16_000_001, 413, "COMMENT_TOO_LONG"),
    ],
    ids=range(6),
)
@pytest.mark.parametrize("method", ["analyze", "suggestscore"])
def test_what_cannot_be_read_is_refused_in_the_same_shape(service, method, data, code, kind):
    shaped(service.call(method, None, data=data), code, "INVALID_ARGUMENT", kind)


def test_unknown_methods_are_not_found_in_the_same_shape(service):
    for path in ("/v1alpha1/comments:delete", "/v1alpha1", "/v1alpha1/", "/v1alpha1/comments", "/$discovery/other"):
        shaped(service.post(path, FINE, params={"key": service.key}), 404, "NOT_FOUND")
    shaped(service.get("/$discovery/rest", params={"version": "v2"}), 404, "NOT_FOUND")
    for path in (ANALYZE, SUGGEST):
        for call in (requests.get, requests.put, requests.delete):
            wrong = call(service.url + path, params={"key": service.key}, timeout=30)
            shaped(wrong, 405, "INVALID_ARGUMENT")
            assert "POST" in wrong.headers["Allow"]


def test_a_caller_that_would_like_a_page_gets_no_page(service):
    for accept in (JAVA, "text/html", "image/png"):
        headers = {"Accept": accept}
        shaped(service.call("analyze", {}, headers=headers), 400, "INVALID_ARGUMENT", "COMMENT_EMPTY")
        shaped(service.call("delete", {}, headers=headers), 404, "NOT_FOUND")
        shaped(service.post(ANALYZE, FINE, headers=headers), 401, "UNAUTHENTICATED")
    assert service.get("/none", headers={"Accept": JAVA, "X-API-Key": service.key}).text.startswith("<!doctype html>")


def test_fields_that_the_protocol_does_not_have_are_named(service):
    for method, body, place in (
        ("analyze", FINE | {"donotstore": True}, "donotstore"),
        ("analyze", FINE | {"comment": {"text": "Fine.", "lang": "en"}}, "comment.lang"),
        ("analyze", FINE | {"context": {"entries": [{"txt": "x"}]}}, "context.entries.0.txt"),
        ("analyze", FINE | {"requestedAttributes": {"TOXICITY": {"min": 1}}}, "requestedAttributes.TOXICITY.min"),
        ("suggestscore", FINE, "requestedAttributes"),
    ):
        error = shaped(service.call(method, body), 400, "INVALID_ARGUMENT", "INVALID_REQUEST")
        assert error["message"] == f"{place}: is not a field of the protocol"


def test_overload_deadline_and_a_lost_database_are_told_in_the_same_shape(start):
    server = start(env={"MODERATION_THREADS": "1", "MODERATION_WAITING": "1"})
    suggestion = {"comment": FINE["comment"], "attributeScores": {"TOXICITY": {"summaryScore": {"value": 1}}}}
    for path, body in ((ANALYZE, FINE), (SUGGEST, suggestion)):
        with ThreadPoolExecutor(2) as pool:
            slow = pool.submit(server.post, "/score", SLOW)
            until(lambda: under_way(server) == 1)
            late = pool.submit(server.post, path, body, headers={"X-Request-Timeout-Ms": "10"})
            until(lambda: under_way(server) == 2)
            busy, elsewhere = server.post(path, body), server.post("/score", {"text": "Fine."})
            assert not slow.done()
            shaped(busy, 503, "UNAVAILABLE")
            assert busy.headers["Retry-After"] == "1" and elsewhere.json()["title"] == "Too busy"
            shaped(late.result(), 504, "DEADLINE_EXCEEDED")
            assert slow.result().status_code == 200
    unclear = server.post(ANALYZE, FINE, headers={"X-Request-Timeout-Ms": "soon"})
    shaped(unclear, 400, "INVALID_ARGUMENT", "INVALID_REQUEST")
    with sqlite3.connect(server.log.parent / "test.sqlite") as database:
        database.execute("ALTER TABLE comment RENAME TO gone")
    lost = server.post(SUGGEST, suggestion)
    shaped(lost, 503, "UNAVAILABLE")
    assert lost.headers["Retry-After"] == "5"
    assert server.post(ANALYZE, FINE).status_code == 200  # scoring needs none of it


def test_comments_of_this_protocol_are_counted(service):
    def told(name):
        text = service.get("/metrics", headers={"X-API-Key": service.key}).text
        found = [float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name)]
        return found[0] if found else 0

    names = "moderation_comments_scored_total", 'moderation_comments_unscored_total{reason="too_short"}'
    before = [told(name) for name in names]
    assert service.call("analyze", FINE).status_code == 200
    assert service.call("analyze", FINE | {"comment": {"text": "👍"}}).status_code == 400
    assert [told(name) for name in names] == [before[0] + 1, before[1] + 1]


def test_settings_that_name_no_attribute_are_refused():
    done = run("-m", "moderation", "keys", "list", env={"MODERATION_PERSPECTIVE_ALIASES": '{"INSULT": "RUDE"}'})
    assert done.returncode != 0 and "RUDE is not one of our attributes" in done.stderr


# ---------------------------------------------------------------------------------------- keys


def test_the_key_is_taken_from_the_address_or_a_header(service):
    body = {"comment": {"text": INSULT}, "requestedAttributes": TOXICITY, "languages": ["en"]}
    path = "/v1alpha1/comments:analyze"
    assert service.post(f"{path}?alt=json&key={service.key}&prettyPrint=false", body).status_code == 200
    assert service.post(path, body, headers={"X-API-Key": service.key}).status_code == 200
    for reply in (service.post(path, body), service.post(f"{path}?key={service.key}x", body)):
        shaped(reply, 401, "UNAUTHENTICATED")
        assert service.key not in reply.text


def test_suggesting_a_score_is_deciding(service):
    key = service.make_key("pages", "score")
    body = {"comment": {"text": INSULT}, "languages": ["en"]}
    scores = {"attributeScores": {"TOXICITY": {"summaryScore": {"value": 1}}}}
    path = "/v1alpha1/comments:"
    assert service.post(f"{path}analyze?key={key}", body | {"requestedAttributes": TOXICITY}).status_code == 200
    refused = service.post(f"{path}suggestscore?key={key}", body | scores)
    shaped(refused, 403, "PERMISSION_DENIED")


def test_quota_is_told_as_google_tells_it(start):
    server = start(env={"MODERATION_RATE_LIMIT": "2 per hour"})
    body = {"comment": {"text": INSULT}, "requestedAttributes": TOXICITY, "languages": ["en"]}
    replies = [server.post("/v1alpha1/comments:analyze", body) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [200, 200, 429]
    shaped(replies[2], 429, "RESOURCE_EXHAUSTED")
    assert int(replies[2].headers["Retry-After"]) > 0


def test_elsewhere_a_key_in_the_address_is_none(service):
    assert service.post(f"/score?key={service.key}", {"text": "Fine."}).status_code == 401
    assert service.get(f"/model?key={service.key}").status_code == 401


def test_json_is_read_under_any_content_type_with_a_key_only(service, server):
    body = json.dumps({"comment": {"text": INSULT}, "requestedAttributes": TOXICITY, "languages": ["en"]})
    plain = {"Content-Type": "text/plain;charset=UTF-8"}
    assert service.call("analyze", None, data=body, headers=plain).status_code == 200
    # Without a key, as in the demonstration, any site that the visitor has open could post plain text.
    refused = server.post("/v1alpha1/comments:analyze", data=body, headers=plain)
    assert "application/json" in shaped(refused, 400, "INVALID_ARGUMENT", "INVALID_REQUEST")["message"]
    json_type = {"Content-Type": "application/json"}
    assert server.post("/v1alpha1/comments:analyze", data=body, headers=json_type).status_code == 200


def test_neither_key_nor_text_is_in_the_log_or_the_database(service):
    marker = "xyzzyplugh"
    for more in ({}, {"doNotStore": True}, {"languages": ["de"]}, {marker: 1}, {"requestedAttributes": {marker: {}}}):
        body = {"comment": {"text": f"A {marker} comment."}, "requestedAttributes": TOXICITY} | more
        service.call("analyze", body)
    service.call("analyze", None, data=f'{{"comment": {{"text": "{marker}')
    folder = service.log.parent
    kept = b"".join(path.read_bytes() for path in folder.iterdir())
    assert marker.encode() not in kept
    assert service.key.encode() not in kept


# ---------------------------------------------------------------------------------------- browsers


def test_no_page_may_call_unless_its_origin_is_set(service, server):
    asked = {"Origin": "https://www.example.org", "Access-Control-Request-Method": "POST"}
    asked["Access-Control-Request-Headers"] = "content-type,x-api-key"

    def allowed(where, path, headers=asked):
        reply = requests.options(where.url + path, headers=headers, timeout=30)
        return reply.status_code == 200 and reply.headers.get("Access-Control-Allow-Origin") == headers["Origin"]

    for path in ("/score", "/v1alpha1/comments:analyze"):
        assert allowed(service, path)
        assert not allowed(service, path, asked | {"Origin": "https://www.example.org.evil.example"})
        assert not allowed(service, path, asked | {"Origin": "null"})
        assert not allowed(server, path)
    for path in ("/model", "/v1alpha1/comments:suggestscore", "/integrations/coral/phase"):
        assert not allowed(service, path)
    reply = requests.post(
        f"{service.url}/score",
        json={"text": "Fine."},
        headers={"Origin": "http://127.0.0.1:8888", "X-API-Key": service.key},
        timeout=30,
    )
    assert reply.headers["Access-Control-Allow-Origin"] == "http://127.0.0.1:8888"
    assert "Origin" in reply.headers["Vary"]
    # A page must be able to read why it was refused.
    refused = requests.post(
        f"{service.url}/score", json={}, headers={"Origin": "http://127.0.0.1:8888", "X-API-Key": "no"}, timeout=30
    )
    assert refused.status_code == 401 and "Access-Control-Allow-Origin" in refused.headers


# ---------------------------------------------------------------------------------------- published clients


def test_googles_python_client_builds_itself_from_the_discovery_document(service):
    from googleapiclient.discovery import build
    from googleapiclient.errors import HttpError

    client = build(
        "commentanalyzer",
        "v1alpha1",
        developerKey=service.key,
        discoveryServiceUrl=f"{service.url}/$discovery/rest?version=v1alpha1",
        static_discovery=False,
    )
    body = {
        "comment": {"text": f"😀 {INSULT}", "type": "PLAIN_TEXT"},
        "context": {"entries": [{"text": BRIDGE}]},
        "requestedAttributes": {"TOXICITY": {"scoreThreshold": 0.1}, "OFF_TOPIC": {}},
        "languages": ["en"],
        "spanAnnotations": True,
        "doNotStore": True,
        "clientToken": "python",
    }
    reply = client.comments().analyze(body=body).execute()
    assert reply["attributeScores"]["TOXICITY"]["summaryScore"]["value"] > 0.5
    assert reply["attributeScores"]["TOXICITY"]["spanScores"][0]["end"] == len(INSULT) + 3
    assert reply["clientToken"] == "python"
    suggestion = {
        "comment": {"text": INSULT},
        "attributeScores": {"TOXICITY": {"summaryScore": {"value": 1}}},
        "languages": ["en"],
        "clientToken": "comment:from-python",
    }
    assert client.comments().suggestscore(body=suggestion).execute()["clientToken"] == "comment:from-python"
    assert stored(service, "from-python").json()["verdict"] == "reject"
    with pytest.raises(HttpError) as caught:
        client.comments().analyze(body={"comment": {"text": ""}, "requestedAttributes": TOXICITY}).execute()
    assert caught.value.resp.status == 400
    assert caught.value.error_details == [{"@type": KINDS, "errorType": "COMMENT_EMPTY"}]


@pytest.fixture(scope="module")
def node_clients():
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not on this machine")
    folder = ROOT / "tests" / "node"
    if not (folder / "node_modules" / ".package-lock.json").exists():
        done = subprocess.run(
            ["npm", "ci", "--no-audit", "--no-fund"], cwd=folder, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
    return folder / "clients.js"


def test_published_node_clients_need_only_another_address(service, node_clients):
    done = subprocess.run(
        ["node", node_clients, f"{service.url}/", service.key], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    perspective, google = found["perspective"], found["google"]
    # This client takes the markup away itself.
    assert perspective["plain"]["attributeScores"]["TOXICITY"]["summaryScore"]["value"] == service.value("TOXICITY")
    assert set(perspective["chosen"]["attributeScores"]) == {"TOXICITY", "MOCKING"}
    assert perspective["refused"]["message"] == "Unknown requested attribute: FLIRTATION"
    analyzed = google["analyzed"]
    text = "😀 What an idiot you are! Nice day."
    spans = analyzed["attributeScores"]["TOXICITY"]["spanScores"]
    assert [in_utf16(text, span) for span in spans] == ["😀 What an idiot you are!", "Nice day."]
    assert analyzed["clientToken"] == "from node"
    assert google["refused"]["status"] == 400
    assert google["refused"]["details"]["error"]["details"][0]["errorType"] == "COMMENT_EMPTY"


# ---------------------------------------------------------------------------------------- suggestscore


def suggest(service, text, scores, **more):
    scores = {name: {"summaryScore": {"value": value}} for name, value in scores.items()}
    return service.call(
        "suggestscore", {"comment": {"text": text}, "attributeScores": scores, "languages": ["en"], **more}
    )


def stored(service, id):
    return service.get(f"/comments/{id}", headers={"X-API-Key": service.key})


def test_a_suggested_score_is_a_decision_with_its_source(service):
    reply = suggest(service, INSULT, {"TOXICITY": 1}, communityId="/forum/movies", clientToken="comment:p-1")
    assert reply.status_code == 200
    assert reply.json() == {"requestedLanguages": ["en"], "clientToken": "comment:p-1"}
    comment = stored(service, "p-1").json()
    assert (comment["text"], comment["verdict"], comment["reason"]) == (INSULT, "reject", "abusive")
    assert comment["decisions"][0]["by"] == "/forum/movies"
    assert suggest(service, INSULT, {"SEVERE_TOXICITY": 0}, clientToken="comment:p-1").status_code == 200
    assert stored(service, "p-1").json()["verdict"] == "approve"


def test_a_decision_of_corals_moderators_is_linked_to_the_comment(service):
    service.post(
        "/score", {"id": "coral-7", "text": "You are a fool.", "queue": True}, headers={"X-API-Key": service.key}
    )
    entry = {
        "url": "https://www.example.org/bridge?commentID=coral-7",
        "reply_to_id_Coral_comment_id": "coral-6",
        "Coral_comment_id": "coral-7",
    }
    for done, verdict in (("DELETED", "reject"), ("APPROVED", "approve")):
        reply = service.call(
            "suggestscore",
            {
                "comment": {"text": "You are a fool."},
                "context": {"entries": [{"text": json.dumps(entry)}]},
                "attributeScores": {done: {"summaryScore": {"value": 1}}},
                "languages": ["EN"],
                "communityId": "Coral:https://www.example.org/",
                "clientToken": "comment:coral-7",
            },
        )
        assert reply.status_code == 200 and reply.json()["clientToken"] == "comment:coral-7"
        comment = stored(service, "coral-7").json()
        assert comment["revision"] == 1 and comment["verdict"] == verdict
        assert comment["decisions"][-1]["by"] == "Coral:https://www.example.org/"


def test_what_coral_asks_before_publishing_is_answered(service):
    body = {
        "comment": {"text": INSULT},
        "doNotStore": True,
        "requestedAttributes": {"TOXICITY": {}},
        "languages": ["en"],
    }
    reply = service.call("analyze", body)
    assert reply.json()["attributeScores"]["TOXICITY"]["summaryScore"]["value"] > 0.5


def test_with_do_not_store_nothing_is_left_of_the_text(service):
    marker = "quuxfrobnicate"
    reply = suggest(service, f"A {marker} comment.", {"TOXICITY": 1}, doNotStore=True, clientToken="comment:gone")
    assert reply.status_code == 200 and reply.json()["clientToken"] == "comment:gone"
    assert stored(service, "gone").status_code == 404
    suggest(service, f"A {marker} comment.", {"TOXICITY": 7}, doNotStore=True)
    suggest(service, f"A {marker} comment.", {"TOXICITY": 1}, doNotStore=True, languages=["de"])
    service.analyze(f"A {marker} comment.", doNotStore=True)
    kept = b"".join(path.read_bytes() for path in service.log.parent.iterdir())
    assert marker.encode() not in kept


@pytest.mark.parametrize(
    ("scores", "kind"),
    [
        ({}, "NO_REQUESTED_ATTRIBUTES"),
        ({"INSULT": 1}, "INVALID_REQUEST"),
        ({"TOXICITY": 1.5}, "INVALID_REQUEST"),
        ({"TOXICITY": None}, "INVALID_REQUEST"),
        ({"APPROVED": 1, "DELETED": 1}, "INVALID_REQUEST"),
    ],
)
def test_what_cannot_be_kept_is_refused(service, scores, kind):
    reply = suggest(service, "Fine.", scores, clientToken="comment:refused")
    assert reply.status_code == 400
    assert reply.json()["error"]["details"][0]["errorType"] == kind
    assert stored(service, "refused").status_code == 404


def test_an_id_that_is_too_long_is_refused(service):
    reply = suggest(service, "Fine.", {"TOXICITY": 0}, clientToken=f"comment:{'x' * 201}")
    assert reply.status_code == 400
