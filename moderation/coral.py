"""Coral's external moderation phase: Coral asks before it publishes a comment, and is told whether to withhold it.

Coral skips the phase when the answer takes longer than its timeout (200 ms by default), so nothing is fetched: article
and parent comment count where they are stored here already, under Coral's ids.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Literal

from flask import Blueprint, Response, current_app, request
from pydantic import BaseModel, ValidationError

from moderation import api, auth, limits, overrides, store
from moderation.comments import LABELS, Comment, text_problem
from moderation.markup import strip_html
from moderation.problems import ApiProblem, respond

blueprint = Blueprint("coral", __name__)


class CommentSent(BaseModel):
    body: str
    parentID: api.Id | Literal[""] | None = None


class StorySent(BaseModel):
    id: api.Id


class PhaseRequest(BaseModel):
    """What Coral sends, as far as it is of use here."""

    comment: CommentSent
    story: StorySent | None = None


@blueprint.post("/integrations/coral/phase")
@auth.permit(auth.PUBLIC)  # Coral sends no key; its signature is what is checked
def phase():
    """Tell Coral whether to withhold a comment.

    Coral takes 204 for "publish", also of a comment that has no score; the header X-Moderation-Status says so.
    """
    body = request.get_data()
    _check_signature(body)
    try:
        sent = PhaseRequest.model_validate(api.parse_json(body))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ApiProblem(422, "Not a moderation request of Coral", f"{place or 'body'}: {first['msg']}") from None
    text = strip_html(sent.comment.body).text if request.args.get("format") == "html" else sent.comment.body
    problem = text_problem(text)
    if problem:
        raise ApiProblem(422, "The comment cannot be scored", f"comment.body {problem}")
    comment = Comment(text, article=_article(sent.story), parent=_parent(sent.comment.parentID))
    scorer, counted = api.scorer(), current_app.extensions["metrics"]
    if limits.deadline_passed():
        counted.unscored.labels("deadline").inc()
        raise ApiProblem(503, "Deadline passed", "The request's time was over before the comment was scored")
    with counted.scoring_seconds.time():
        [probabilities], [status] = scorer.probabilities_and_statuses([comment])
    counted.count_status(status)
    own = current_app.extensions["thresholds"].get()
    held = current_app.config["SETTINGS"].coral_labels.split()
    # A label without a score is NaN, which reaches no threshold.
    if not any(
        probabilities[LABELS.index(label)] >= overrides.threshold(own, label, "", scorer.model.thresholds[label])
        for label in held
    ):
        return Response(status=204, headers={"X-Moderation-Status": status})
    return respond(
        200,
        {
            "status": "SYSTEM_WITHHELD",
            "actions": [{"actionType": "FLAG", "reason": "COMMENT_DETECTED_TOXIC"}],
        },
    )


def _check_signature(body: bytes) -> None:
    """Refuse what Coral has not signed.

    Raises
    ------
    ApiProblem
    """
    secret = current_app.config["SETTINGS"].coral_secret.get_secret_value()
    if not secret:
        raise ApiProblem(403, "Not set up", "Set MODERATION_CORAL_SECRET to the phase's signing secret")
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    # While Coral changes its secret it signs with the old and the new one: "sha256=…,sha256=…".
    sent = [each.strip() for each in request.headers.get("X-Coral-Signature", "").split(",")]
    # Every one is compared, as bytes, in constant time.
    if not sum(hmac.compare_digest(each.encode(), f"sha256={expected}".encode()) for each in sent):
        raise ApiProblem(401, "Not signed by Coral", "X-Coral-Signature does not match the body and our secret")


def _article(story):
    if story is None:
        return None
    with api.store_session() as session:
        return store.find_article(session, story.id)


def _parent(comment_id):
    if not comment_id:
        return ""
    with api.store_session() as session:
        row = session.get(store.CommentRow, comment_id)
        return row.text if row else ""
