"""The HTTP interface, spoken to a real server."""

import json

import pytest
from openapi_spec_validator import validate

ARTICLE = {
    "title": "Council plans to close the harbour bridge",
    "body": "The bridge across the old harbour needs repair.",
}


def test_a_single_comment_is_answered_with_its_labels(server):
    reply = server.score(id="c1", text="You are an idiot and a liar.", article=ARTICLE)
    assert reply["id"] == "c1"
    assert reply["status"] == "scored"
    assert set(reply["labels"]) == {"abusive", "mocking", "off_topic"}
    abusive = reply["labels"]["abusive"]
    assert abusive["flagged"] is True and reply["flagged"] is True
    assert abusive["score"] >= abusive["threshold"]
    assert {"text", "begin", "end", "weight"} == set(abusive["terms"][0])
    assert reply["model"] == server.get("/ready").json()["model"]


def test_terms_point_into_the_comment_as_it_was_sent(server):
    text = "  Ünïcode 😀 first:\tYOU are an ID10T!! "
    for label in server.score(text=text, article=ARTICLE)["labels"].values():
        for term in label["terms"]:
            assert text[term["begin"] : term["end"]] == term["text"]


def test_without_an_article_off_topic_has_no_score(server):
    off_topic = server.score(text="A comment under nothing at all.")["labels"]["off_topic"]
    assert off_topic["score"] is None
    assert off_topic["reason"] == "no_article"
    assert off_topic["flagged"] is False


def test_parent_and_thread_reach_the_off_topic_score(server):
    text = "Welding in salt air never lasts, ask any shipyard."
    alone = server.score(text=text, article=ARTICLE)["labels"]["off_topic"]["score"]
    parent = server.score(
        text=text, article=ARTICLE, parent={"text": "They should weld the old girders in the shipyard."}
    )
    thread = server.score(text=text, article=ARTICLE, thread=["The shipyard could weld it.", "Salt air eats welding."])
    assert parent["labels"]["off_topic"]["score"] != alone
    assert thread["labels"]["off_topic"]["score"] != alone


def test_an_article_sent_once_can_be_named_by_its_id(server):
    first = server.score(text="Close the bridge then.", article={"id": "bridge-1", **ARTICLE})
    again = server.score(text="Close the bridge then.", article={"id": "bridge-1"})
    assert again["labels"] == first["labels"]
    unknown = server.post("/score", {"text": "x y z", "article": {"id": "never-sent"}})
    assert unknown.status_code == 422
    assert unknown.json()["errors"][0]["field"] == "/article/id"


def test_a_batch_keeps_its_order_and_fails_item_by_item(server):
    items = [
        {"id": "a", "text": "Fine."},
        {"id": "b", "text": ""},
        {"text": 5},
        "nonsense",
        {"id": "e", "text": "Fine."},
    ]
    reply = server.post("/score", {"comments": items})
    assert reply.status_code == 200
    found = reply.json()["comments"]
    assert [item["status"] for item in found] == ["scored", "invalid", "invalid", "invalid", "scored"]
    assert [item["id"] for item in found] == ["a", "b", None, None, "e"]
    assert found[1]["problem"]["errors"] == [{"field": "/text", "detail": "is empty"}]
    assert found[0]["labels"] == found[4]["labels"]


def test_a_batch_answers_what_single_requests_answer(server):
    items = [
        {"text": "What a shower of clowns.", "article": ARTICLE},
        {"text": "I agree with the council."},
        {"text": "Buy cheap watches at http://watches.example", "article": ARTICLE},
    ]
    batch = server.post("/score", {"comments": items}).json()["comments"]
    assert batch == [server.score(**item) for item in items]


def test_how_many_terms_are_told_can_be_chosen(server):
    comment = {"text": "You are an idiot and a liar, as ever.", "article": ARTICLE}
    full, two, none = (server.score(**comment, **more) for more in ({}, {"terms": 2}, {"terms": 0}))
    mixed = server.post("/score", {"comments": [comment, {**comment, "terms": 2}, {**comment, "terms": 0}]})
    assert mixed.json()["comments"][:2] == [full, two]
    for label, verdict in full["labels"].items():
        assert two["labels"][label]["terms"] == verdict["terms"][:2]
        assert none["labels"][label]["terms"] == []
        for other in (none, two, mixed.json()["comments"][2]):
            assert other["labels"][label]["score"] == pytest.approx(verdict["score"], abs=1e-9)


BAD = [
    ({"text": "fine", "terms": 13}, 422, "/terms"),
    ({"text": "fine", "terms": -1}, 422, "/terms"),
    ({"text": "fine", "terms": "all"}, 422, "/terms"),
    ({"text": ""}, 422, "/text"),
    ({"text": " \n\t"}, 422, "/text"),
    ({}, 422, "/text"),
    ({"text": None}, 422, "/text"),
    ({"text": 7}, 422, "/text"),
    ({"text": ["a"]}, 422, "/text"),
    ({"text": "a\0b"}, 422, "/text"),
    ({"text": "lone \ud800 surrogate"}, 422, "/text"),
    ({"text": "é" * 10_241}, 422, "/text"),
    ({"text": "fine", "colour": "red"}, 422, "/colour"),
    ({"text": "fine", "id": ""}, 422, "/id"),
    ({"text": "fine", "id": 5}, 422, "/id"),
    ({"text": "fine", "article": "title"}, 422, "/article"),
    ({"text": "fine", "article": {"titel": "x"}}, 422, "/article/titel"),
    ({"text": "fine", "parent": {"text": ""}}, 422, "/parent/text"),
    ({"text": "fine", "thread": [3]}, 422, "/thread/0"),
    ({"text": "fine", "thread": ["x"] * 201}, 422, "/thread"),
    ([], 422, "/"),
    ("text", 422, "/"),
    (None, 422, "/"),
    ({"comments": []}, 422, "/comments"),
    ({"comments": [{"text": "x"}] * 501}, 422, "/comments"),
    ({"comments": [{"text": "x"}], "extra": 1}, 422, "/extra"),
    ({"comments": "x"}, 422, "/comments"),
]


@pytest.mark.parametrize(("body", "status", "field"), BAD, ids=range(len(BAD)))
def test_bad_input_is_a_problem_that_names_the_field(server, body, status, field):
    reply = server.post("/score", data=json.dumps(body), headers={"Content-Type": "application/json"})
    assert reply.status_code == status
    assert reply.headers["Content-Type"] == "application/problem+json"
    problem = reply.json()
    assert problem["status"] == status and problem["title"] and problem["detail"]
    assert field in [error["field"] for error in problem["errors"]]
    assert "Traceback" not in reply.text


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b"\xff\xfe{}", "application/json", 400),
        (b'{"text": NaN}', "application/json", 400),
        (b"[" * 200_000, "application/json", 400),
        (b'{"text": ' + b"9" * 5000 + b"}", "application/json", 400),
        (b'{"text": "x"}', "text/plain", 415),
        (b'{"text": "x"}', "", 415),
        (b'{"text": "' + b"x" * 16_000_001 + b'"}', "application/json", 413),
    ],
    ids=["truncated", "empty", "not UTF-8", "NaN", "nested", "huge number", "text/plain", "no type", "over the limit"],
)
def test_what_is_not_json_is_refused(server, body, kind, status):
    reply = server.post("/score", data=body, headers={"Content-Type": kind})
    assert reply.status_code == status
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.json()["status"] == status


def test_the_largest_comment_is_scored(server):
    assert server.score(text="é" * 10_240)["status"] == "scored"


def test_other_methods_and_paths_are_problems_too(server):
    assert server.get("/score").status_code == 405
    assert server.get("/score").headers["Content-Type"] == "application/problem+json"
    missing = server.get("/nowhere")
    assert missing.status_code == 404 and missing.json()["title"] == "Not Found"


def test_a_broken_request_line_does_not_stop_the_server(server):
    assert b"400" in server.raw(b"GARBAGE\r\n\r\n").split(b"\r\n")[0]
    assert server.get("/health").json()["status"] == "ok"


def test_health_ready_and_model(server):
    assert server.get("/health").status_code == 200
    ready = server.get("/ready").json()
    assert ready["status"] == "ready" and ready["problem"] is None
    card = server.get("/model").json()
    assert card["version"] == ready["model"]
    for key in ("data", "seed", "libraries", "thresholds", "intended_use", "known_failures", "curves", "measured"):
        assert key in card


def test_thresholds_are_answered_from_the_stored_curves(server):
    reply = server.get("/model", params={"threshold": "maximum recall @ precision >= 0.5"})
    assert reply.status_code == 200
    curves = server.get("/model").json()["curves"]
    for label, point in reply.json()["labels"].items():
        meeting = [r for r, p in zip(curves[label]["recall"], curves[label]["precision"], strict=True) if p >= 0.5]
        assert (point is None) == (not meeting)
        if point:
            assert point["precision"] >= 0.5 and point["recall"] == max(meeting)


@pytest.mark.parametrize("query", ["", "best", "maximum beauty @ precision >= 0.9", "maximum recall @ precision >= 1e"])
def test_an_unreadable_threshold_query_is_a_problem(server, query):
    reply = server.get("/model", params={"threshold": query})
    assert reply.status_code == 400
    assert reply.json()["errors"][0]["field"] == "threshold"


def test_openapi_is_valid_and_names_every_route(server):
    document = server.get("/openapi.json").json()
    validate(document)
    assert set(document["paths"]) == {
        "/score",
        "/comments/{id}",
        "/authors/{author}/comments",
        "/comments/{id}/decision",
        "/model",
        "/health",
        "/ready",
        "/openapi.json",
    }


def test_replies_fit_the_openapi_schemas(server):
    from jsonschema import Draft202012Validator

    document = server.get("/openapi.json").json()

    def check(value, name):
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        Draft202012Validator(schema).validate(value)

    check(server.score(text="A comment."), "ScoreOut")
    check(server.score(text="A comment.", article=ARTICLE), "ScoreOut")
    check(server.post("/score", {"comments": [{"text": "x"}, {"text": ""}]}).json(), "BatchOut")
    check(server.post("/score", {"text": ""}).json(), "Problem")


def test_pages_are_shown_under_a_strict_policy(server):
    for path in ("/", "/docs", "/model/report"):
        reply = server.get(path)
        assert reply.status_code == 200
        assert reply.headers["Content-Type"].startswith("text/html")
        policy = reply.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "script-src 'unsafe" not in policy
        assert ("script-src 'self';" in policy) is (path != "/model/report")
        assert "<script" not in reply.text
    home = server.get("/").text
    assert "crossword" in home and "<mark" in home
    assert "ScoreOut" in server.get("/docs").text


def test_no_comment_text_in_the_log(server):
    server.score(text="xyzzyplugh is a word that nobody writes")
    server.post("/score", {"text": "xyzzyplugh", "xyzzyfield": 1})
    assert "xyzzy" not in server.log.read_text()
