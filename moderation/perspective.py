"""Perspective's protocol (Comment Analyzer v1alpha1), so that a caller of Perspective changes one address.

What the fields mean follows Perspective's published reference; `docs/migrate-from-perspective.md` says what differs.
Errors have the shape of Google's APIs. Nothing that is sent to ``comments:analyze`` is stored.
"""

from __future__ import annotations

import json
from itertools import accumulate
from typing import Annotated, Literal
from urllib.parse import parse_qsl, urlencode

import numpy as np
from flask import Blueprint, current_app, request
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from moderation import api, attributes, auth, discovery, language, limits, overrides, queue, store
from moderation.comments import ARTICLE_LIMIT, ID_LIMIT, TEXT_LIMIT, Article, Comment, string_problem
from moderation.markup import Plain, as_is, strip_html
from moderation.problems import ApiProblem, respond
from moderation.sentences import sentences
from moderation.suggestions import Suggestion, record

SPAN_LIMIT = 200  #: sentences that are scored alone; the last takes the rest of the comment
LANGUAGE = "en"
PATHS = ("/v1alpha1", "/$discovery")  #: beginnings of the protocol's paths

blueprint = Blueprint("perspective", __name__)


# ---------------------------------------------------------------------------------------- errors

_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class Refusal(Exception):
    """Ends a request with an error of the protocol.

    Attributes
    ----------
    kind : str
        The protocol's ``errorType``.
    more : dict
        What the protocol says besides.
    """

    def __init__(self, kind: str, message: str, **more):
        super().__init__(message)
        self.kind, self.more = kind, more


def _shape(code, message, **details):
    error = {"code": code, "message": message, "status": _STATUS.get(code, "INVALID_ARGUMENT")}
    if details:
        error["details"] = [{"@type": "type.googleapis.com/google.commentanalyzer.v1alpha1.Error", **details}]
    return {"error": error}


def _error(code, message, **details):
    return respond(code, _shape(code, message, **details))


#: What the server answers on these paths, without asking the application, when too much is under way.
TOO_BUSY = "application/json", json.dumps(_shape(503, "Too many requests are under way; try again")).encode()


@blueprint.errorhandler(Refusal)
def _on_refusal(error):
    return _error(400, str(error), errorType=error.kind, **error.more)


@blueprint.after_app_request
def _in_the_protocols_shape(response):
    """Whatever refuses a request of the protocol, its callers get the errors that they know."""
    if response.mimetype != "application/problem+json" or not request.path.startswith(PATHS):
        return response
    problem = response.get_json()
    # Perspective's callers know 400 for whatever is wrong with the request itself.
    code = 400 if response.status_code in (415, 422) else response.status_code
    kind = {400: "INVALID_REQUEST", 413: "COMMENT_TOO_LONG"}.get(code)
    shaped = _error(code, problem["detail"], **({"errorType": kind} if kind else {}))
    response.status_code, response.mimetype = code, shaped.mimetype
    response.set_data(shaped.get_data())
    return response


# ---------------------------------------------------------------------------------------- requests


class Sent(BaseModel):
    """A message of the protocol; as everywhere with Google, `null` is the same as leaving a field out, and both
    `requestedAttributes` and `requested_attributes` are understood."""

    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel, validate_by_name=True)


class Text(Sent):
    text: str | None = None
    type: Literal["PLAIN_TEXT", "HTML", "TEXT_TYPE_UNSPECIFIED"] | None = None

    def plain(self) -> Plain:
        """The text as a reader sees it."""
        text = self.text or ""
        return strip_html(text) if self.type == "HTML" else as_is(text)


class ArticleAndParent(Sent):
    article: Text | None = None
    parent_comment: Text | None = None


class Context(Sent):
    entries: list[Text] | None = None
    article_and_parent_comment: ArticleAndParent | None = None


class Wanted(Sent):
    score_type: str | None = None
    score_threshold: float | None = None


# A single language instead of a list of one was sent by old versions of Coral.
Languages = Annotated[list[str], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]


class Request(Sent):
    """What both methods take."""

    comment: Text | None = None
    context: Context | None = None
    languages: Languages | None = None
    do_not_store: bool | None = None
    client_token: str | None = None
    session_id: str | None = None
    community_id: str | None = None


class Analyze(Request):
    requested_attributes: dict[str, Wanted | None] | None = None
    span_annotations: bool | None = None


def _read(message):
    """The request's body as a message of the protocol.

    Raises
    ------
    Refusal, ApiProblem
    """
    if request.mimetype != "application/json" and not request.headers.get("X-API-Key"):
        # Google reads JSON under any name, and so do we; but without a key it is the content type that keeps the
        # pages of other sites from posting here through a visitor's browser.
        raise ApiProblem(415, "Not JSON", "Send the content type application/json")
    try:
        return message.model_validate(api.parse_json(request.get_data()))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        said = {
            "extra_forbidden": "is not a field of the protocol",
            "string_type": "is not a string",
            "bool_type": "is not true or false",
            "float_type": "is not a number",
            "list_type": "is not a list",
        }.get(first["type"], first["msg"])
        raise Refusal("INVALID_REQUEST", f"{place or 'body'}: {said}") from None


def _comment(sent: Text | None) -> Plain:
    """The comment that is to be scored.

    Raises
    ------
    Refusal
    """
    text = (sent.text if sent else None) or ""
    if len(text.encode("utf-8", "surrogatepass")) > TEXT_LIMIT:
        raise Refusal("COMMENT_TOO_LONG", f"Comment text too long: the limit is {TEXT_LIMIT:,} bytes of UTF-8.")
    _check("comment.text", text, TEXT_LIMIT)
    plain = sent.plain() if sent else as_is("")
    if not plain.text.strip():
        raise Refusal("COMMENT_EMPTY", "Comment must be non-empty.")
    return plain


def _check(place, text, limit):
    problem = string_problem(text, limit)
    if problem:
        raise Refusal("INVALID_REQUEST", f"{place} {problem}")


def _standing_under(context: Context | None) -> tuple[Article | None, str, tuple[str, ...]]:
    """Article, parent comment and earlier comments, as far as they were sent.

    Raises
    ------
    Refusal
    """
    if context is None:
        return None, "", ()
    entries, both = context.entries or [], context.article_and_parent_comment
    if entries and both is not None:
        raise Refusal(
            "INVALID_REQUEST",
            "Context can have either entries or article_and_parent_comment, but both fields were populated.",
        )
    if both is not None:
        article, parent = both.article or Text(), both.parent_comment or Text()
        _check("context.articleAndParentComment.article.text", article.text or "", ARTICLE_LIMIT)
        _check("context.articleAndParentComment.parentComment.text", parent.text or "", TEXT_LIMIT)
        return _article(article), parent.plain().text.strip(), ()
    for number, entry in enumerate(entries):
        _check(f"context.entries.{number}.text", entry.text or "", ARTICLE_LIMIT if number == 0 else TEXT_LIMIT)
    if not entries or coral_entry(entries[0]) is not None:
        return None, "", ()
    earlier = [entry.plain().text.strip() for entry in entries[1:]]
    return _article(entries[0]), "", tuple(text for text in earlier if text)[-api.THREAD_LIMIT :]


def _article(sent):
    text = sent.plain().text.strip()
    if not text:
        return None
    # A headline stands on a line of its own; a text of one line is body.
    title, _, body = text.partition("\n")
    return Article(title.strip(), body.strip()) if body.strip() and len(title) <= 300 else Article("", text)


def coral_entry(entry: Text) -> dict | None:
    """What Coral packs into a context entry: a JSON object with the comment's ids and address, or None."""
    if entry.text is None or not entry.text.startswith("{"):
        return None
    try:
        found = json.loads(entry.text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("Coral_comment_id"), str) else None


def _meaning(name: str) -> str:
    """The attribute of ours that answers for a name.

    Raises
    ------
    Refusal
    """
    found = current_app.config["SETTINGS"].perspective_aliases.get(name, name)
    if found not in attributes.NAMES:
        raise Refusal("INVALID_REQUEST", f"Unknown requested attribute: {name}")
    return found


def _check_languages(sent: list[str] | None, names) -> None:
    """Refuse a comment that the caller says is in another language than the models were trained on.

    Raises
    ------
    Refusal
    """
    other = [each for each in sent or [] if each.lower().replace("_", "-").split("-")[0] != LANGUAGE]
    if other:
        raise _wrong_language(names, other, requestedLanguages=sent)


def _check_status(status: str, sent: list[str] | None, names) -> None:
    """Refuse a comment for which the model has no score.

    Raises
    ------
    Refusal
    """
    if status == language.UNSUPPORTED_LANGUAGE:
        said = {"requestedLanguages": sent} if sent else {}
        raise _wrong_language(names, ["und"], detectedLanguages=["und"], **said)
    if status != language.SCORED:
        raise Refusal("LANGUAGE_DETECTION_FAILED", "Unable to detect language: the comment holds no words.")


def _wrong_language(names, other, **details):
    name = next(iter(names))
    return Refusal(
        "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE",
        f"Attribute {name} does not support request languages: {', '.join(other)}",
        languageNotSupportedByAttributeError={"attribute": name, **details},
    )


# ---------------------------------------------------------------------------------------- analyze


@blueprint.post("/v1alpha1/comments:analyze")
@auth.permit("score")
def analyze():
    """Score a comment."""
    sent = _read(Analyze)
    plain = _comment(sent.comment)
    wanted = _wanted(sent.requested_attributes)
    _check_languages(sent.languages, wanted)
    article, parent, thread = _standing_under(sent.context)
    meanings = {meaning for meaning, _ in wanted.values()}
    if "OFF_TOPIC" in meanings and article is None:
        name = next(name for name, (meaning, _) in wanted.items() if meaning == "OFF_TOPIC")
        raise Refusal("INVALID_REQUEST", f"Attribute {name} needs the article, in context.articleAndParentComment")
    if meanings.isdisjoint({"OFF_TOPIC", attributes.LIKELY_TO_REJECT}):
        article = None  # comparing with the article is most of the work
    places = [(0, len(plain.text))]
    if sent.span_annotations:
        places += sentences(plain.text, SPAN_LIMIT)
    scorer = api.scorer()
    probabilities, status = _probabilities(
        scorer, [Comment(plain.text[begin:end], "", article, parent, thread) for begin, end in places]
    )
    _check_status(status, sent.languages, wanted)
    spans = places[1:] or sentences(plain.text, 1)
    scores = {}
    for name, (meaning, threshold) in wanted.items():
        summary, *each = attributes.values(meaning, probabilities, scorer.model.any_label)
        if summary < threshold:
            continue
        scores[name] = {
            "spanScores": _spans(plain, spans, each or [summary], sent.comment.text, threshold),
            "summaryScore": _score(summary),
        }
    reply = {"attributeScores": scores, "languages": sent.languages or [LANGUAGE], "detectedLanguages": [LANGUAGE]}
    if sent.client_token is not None:
        reply["clientToken"] = sent.client_token
    return respond(200, reply)


def _probabilities(scorer, comments) -> tuple[np.ndarray, str]:
    """Probabilities of a comment and its parts, and the status of the comment, which comes first.

    Raises
    ------
    ApiProblem
        When the request's time is over before all of them are scored.
    """
    counted = current_app.extensions["metrics"]
    found: list[np.ndarray] = []
    statuses: list[str] = []
    with counted.scoring_seconds.time():
        while len(statuses) < len(comments):
            if limits.deadline_passed():
                counted.unscored.labels("deadline").inc()
                raise ApiProblem(504, "Deadline passed", "The request's time was over before the comment was scored")
            stretch = comments[len(statuses) : len(statuses) + api.STRETCH]
            each, said = scorer.probabilities_and_statuses(stretch)
            found.append(each)
            statuses += said
    counted.count_status(statuses[0])
    return np.concatenate(found), statuses[0]


def _wanted(sent) -> dict[str, tuple[str, float]]:
    """By the caller's name of each attribute: ours, and the score below which none is told.

    Raises
    ------
    Refusal
    """
    if not sent:
        raise Refusal("NO_REQUESTED_ATTRIBUTES", "Missing requested_attributes")
    found = {}
    for name, options in sent.items():
        options = options or Wanted()
        if options.score_type not in (None, "PROBABILITY", "SCORE_TYPE_UNSPECIFIED"):
            raise Refusal(
                "INVALID_REQUEST", f"Requested score type {options.score_type} is not supported by attribute {name}"
            )
        found[name] = _meaning(name), options.score_threshold or 0.0
    return found


def _score(value) -> dict:
    return {"value": float(value), "type": "PROBABILITY"}


def _spans(plain, places, values, source, threshold):
    """Scores of parts of the comment, placed in what was sent and counted in UTF-16 units."""
    units = [0, *accumulate(2 if character > "\uffff" else 1 for character in source)]
    found = []
    for (begin, end), value in zip(places, values, strict=True):
        if value >= threshold:  # which NaN, of a sentence without words, is not
            first, last = plain.place(begin, end)
            found.append({"begin": units[first], "end": units[last], "score": _score(value)})
    return found


# ---------------------------------------------------------------------------------------- suggestscore


class SuggestedScore(Sent):
    value: float | None = None
    type: str | None = None


class SuggestedScores(Sent):
    summary_score: SuggestedScore | None = None
    span_scores: list[dict] | None = None


class Suggest(Request):
    attribute_scores: dict[str, SuggestedScores | None] | None = None


#: What Coral sends instead of attributes: what its moderator did. The value 1 says that it was done.
_DONE = {"APPROVED": False, "HIGHLIGHTED": False, "DELETED": True}


@blueprint.post("/v1alpha1/comments:suggestscore")
@auth.permit("decide")
def suggestscore():
    """Keep what the caller says that scores should have been, as a decision."""
    sent = _read(Suggest)
    plain = _comment(sent.comment)
    values = _suggested(sent.attribute_scores)
    _check_languages(sent.languages, sent.attribute_scores)
    article, parent, _ = _standing_under(sent.context)
    entries = sent.context.entries if sent.context and sent.context.entries else []
    coral = coral_entry(entries[0]) if entries else None
    token = sent.client_token or ""
    id = coral["Coral_comment_id"] if coral else token.removeprefix("comment:") if token.startswith("comment:") else ""
    parent_id = coral.get("reply_to_id_Coral_comment_id") if coral else None
    parent_id = parent_id if isinstance(parent_id, str) else ""
    who = sent.community_id or ("Coral" if coral else "suggestscore")
    for place, value in (("the comment's id", id), ("the parent's id", parent_id), ("communityId", who)):
        _check(place, value, 4 * ID_LIMIT)
        if len(value) > ID_LIMIT:
            raise Refusal("INVALID_REQUEST", f"{place} is longer than {ID_LIMIT} characters")
    comment = Comment(plain.text, id, article, parent)
    if limits.deadline_passed():
        raise ApiProblem(504, "Deadline passed", "The request's time was over before anything was stored")
    [scored] = api.scorer().score([comment], terms=0)
    if scored.status == language.UNSUPPORTED_LANGUAGE:
        _check_status(scored.status, sent.languages, sent.attribute_scores)
    if not sent.do_not_store:
        try:
            with store.writing(current_app.extensions["engine"]) as session:
                api.end_demonstration(session)
                scored = overrides.apply(scored, "", overrides.current(session))
                suggestion = Suggestion(comment, values, who, parent_id)
                record(session, suggestion, scored, current_app.extensions["policy"])
        except queue.Erased:
            raise Refusal("INVALID_REQUEST", "The comment was erased here; nothing more is stored of it.") from None
    reply = {"requestedLanguages": sent.languages} if sent.languages else {}
    return respond(200, reply if sent.client_token is None else reply | {"clientToken": sent.client_token})


def _suggested(sent) -> dict[str, float]:
    """The suggested values, by our attributes.

    Raises
    ------
    Refusal
    """
    if not sent:
        raise Refusal("NO_REQUESTED_ATTRIBUTES", "Missing attribute_scores")
    found: dict[str, float] = {}
    for name, scores in sent.items():
        value = scores.summary_score.value if scores and scores.summary_score else None
        if value is None or not 0 <= value <= 1:
            raise Refusal("INVALID_REQUEST", f"attributeScores.{name}.summaryScore.value is not a number from 0 to 1")
        if name in _DONE:
            name, value = attributes.LIKELY_TO_REJECT, value if _DONE[name] else 1 - value
        else:
            name = _meaning(name)
        if found.setdefault(name, value) != value:
            raise Refusal("INVALID_REQUEST", f"attributeScores says both {found[name]:g} and {value:g} of {name}")
    return found


# ---------------------------------------------------------------------------------------- discovery, and keys


@blueprint.get("/$discovery/rest")
@auth.permit(auth.PUBLIC)
def discover():
    """The protocol as a Google API discovery document."""
    version = request.args.get("version", "v1alpha1")
    if version != "v1alpha1":
        raise ApiProblem(404, "No such version", f"There is no version {version}; there is v1alpha1")
    return respond(200, discovery.document(request.url_root))


class KeyFromQuery:
    """Takes the API key out of the address before anything can log it.

    Perspective's callers send ``?key=…``. On the paths of its protocol the key is moved to the header ``X-API-Key``;
    everywhere else a key in the address is no key. The protocol knows JSON alone: a caller that would like a page
    (as Java's does, unasked) gets no page either.

    Parameters
    ----------
    app : WSGI application
    """

    def __init__(self, app):
        self.app = app

    def __call__(self, environ, start_response):
        if environ.get("PATH_INFO", "").startswith(PATHS):
            pairs = parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True, errors="replace")
            keys = [value for name, value in pairs if name == "key" and value]
            environ["QUERY_STRING"] = urlencode([(name, value) for name, value in pairs if name != "key"])
            for raw in ("REQUEST_URI", "RAW_URI"):  # what some servers keep of the address besides
                environ.pop(raw, None)
            if keys and not environ.get("HTTP_X_API_KEY"):
                environ["HTTP_X_API_KEY"] = keys[0].strip()
            environ["HTTP_ACCEPT"] = "application/json"
        return self.app(environ, start_response)
