"""Coral asks before it publishes: the external moderation phase, as Coral sends it."""

import hashlib
import hmac
import json

import pytest
from conftest import Server

SECRET = "whs_0123456789abcdef"
WITHHELD = {"status": "SYSTEM_WITHHELD", "actions": [{"actionType": "FLAG", "reason": "COMMENT_DETECTED_TOXIC"}]}


@pytest.fixture(scope="module")
def coral(tmp_path_factory):
    server = Server(
        tmp_path_factory.mktemp("coral"),
        env={"MODERATION_CORAL_SECRET": SECRET, "MODERATION_CORAL_LABELS": "abusive off_topic"},
    )
    yield server
    server.stop()


def ask(server, text, *, secret=SECRET, path="/integrations/coral/phase", signature=None, body=None, **comment):
    """What Coral does for each new comment: a signed body, indented, and no API key."""
    body = body or json.dumps(
        {
            "action": "NEW",
            "comment": {"body": text, "parentID": None, **comment},
            "author": {"id": "author-1", "role": "COMMENTER"},
            "story": {"id": "bridge", "url": "https://www.example.org/bridge"},
            "site": {"id": "site-1"},
            "tenantID": "tenant-1",
            "tenantDomain": "www.example.org",
        },
        indent=2,
    )
    signature = signature or "sha256=" + hmac.new(secret.encode(), body.encode(), hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-Coral-Signature": signature}
    return server.post(path, data=body.encode(), headers=headers)


def test_a_fine_comment_is_passed_without_a_word(coral):
    reply = ask(coral, "The council should repair the bridge before winter.")
    assert (reply.status_code, reply.content) == (204, b"")
    assert reply.headers["X-Moderation-Status"] == "scored"
    assert ask(coral, "👍").headers["X-Moderation-Status"] == "too_short"


def test_a_flagged_comment_is_withheld(coral):
    reply = ask(coral, "You are an idiot and a liar.")
    assert reply.status_code == 200 and reply.json() == WITHHELD


def test_only_the_labels_in_the_settings_withhold(coral):
    text = "Oh sure, because that worked so brilliantly last time. Genius."
    labels = coral.score(text=text)["labels"]
    assert labels["mocking"]["flagged"] and not labels["abusive"]["flagged"]
    assert ask(coral, text).status_code == 204


def test_article_that_is_known_counts(coral):
    text = "Click http://watches.example for cheap watches and free shipping today only"
    assert ask(coral, text).status_code == 204
    article = {"id": "bridge", "title": "Council plans to close the harbour bridge", "body": "The bridge needs repair."}
    assert coral.score(text=text, article=article)["labels"]["off_topic"]["flagged"]
    assert ask(coral, text).json() == WITHHELD


def test_markup_is_removed_where_coral_sends_it(coral):
    text = "<div>You are an id<b>io</b>t.</div>"
    assert ask(coral, text, path="/integrations/coral/phase?format=html").json() == WITHHELD


def test_while_the_secret_changes_one_of_two_signatures_is_enough(coral):
    body = json.dumps({"comment": {"body": "Fine with me."}})
    good = hmac.new(SECRET.encode(), body.encode(), hashlib.sha256).hexdigest()
    assert ask(coral, "", body=body, signature=f"sha256={'0' * 64},sha256={good}").status_code == 204
    assert ask(coral, "", body=body + " ", signature=f"sha256={good}").status_code == 401


@pytest.mark.parametrize("signature", ["", "sha256=", "sha256=" + "0" * 64, "sha1=ab", "é", "0" * 9000])
def test_what_coral_has_not_signed_is_refused(coral, signature):
    body = json.dumps({"comment": {"body": "You are an idiot."}}).encode()
    headers = {"Content-Type": "application/json", "X-Coral-Signature": signature.encode("latin-1")}
    reply = coral.post("/integrations/coral/phase", data=body, headers=headers)
    assert reply.status_code == 401
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert ask(coral, "You are an idiot.", secret="another").status_code == 401


def test_without_a_secret_nobody_is_answered(server):
    assert ask(server, "You are an idiot.", secret="").status_code == 403


@pytest.mark.parametrize(
    "body",
    ["{", "[]", '{"comment": {}}', '{"comment": {"body": 5}}', '{"comment": {"body": " "}}']
    + [
        r'{"comment": {"body": "Fine.", "parentID": "a\u0000"}}',
        r'{"comment": {"body": "."}, "story": {"id": "\u0000"}}',
    ],
)
def test_what_cannot_be_scored_is_said(coral, body):
    reply = ask(coral, "", body=body)
    assert reply.status_code in (400, 422)
    assert reply.json()["detail"]


def test_no_comment_and_no_secret_in_the_log(coral):
    ask(coral, "xyzzyplugh is an idiot")
    ask(coral, "xyzzyplugh", secret="wrong")
    ask(coral, "", body='{"comment": {"body": "xyzzyplugh", "parentID": 5}}')
    log = coral.log.read_text()
    assert "xyzzy" not in log and SECRET not in log
