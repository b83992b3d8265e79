"""The service's own HTTP interface: ``/score``, ``/model``, ``/health``, ``/ready``, ``/openapi.json``.

Requests and replies are Pydantic models; the OpenAPI document is made from them. Validation is not left
to an OpenAPI layer because a batch must fail item by item. Errors are problem details (RFC 9457).
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from flask import Blueprint, current_app, request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.json_schema import models_json_schema
from sqlalchemy.orm import Session

from moderation import __version__, auth, store
from moderation.comments import (
    ARTICLE_LIMIT,
    ID_LIMIT,
    TEXT_LIMIT,
    Article,
    Comment,
    string_problem,
    text_problem,
)
from moderation.problems import ApiProblem, FieldError, Problem, respond, respond_problem
from moderation.registry import ModelError
from moderation.scorer import Score, Scorer
from moderation.thresholds import QueryError, best_threshold

BATCH_LIMIT = 500  #: comments in one request
THREAD_LIMIT = 50  #: earlier comments of the thread that are looked at

blueprint = Blueprint("api", __name__)


# ---------------------------------------------------------------------------------------- requests


def _checked(check):
    def validate(value: str) -> str:
        problem = check(value)
        if problem:
            raise ValueError(problem)
        return value

    return AfterValidator(validate)


CommentText = Annotated[str, _checked(text_problem), Field(description=f"1 to {TEXT_LIMIT:,} bytes of UTF-8.")]
ArticleText = Annotated[str, _checked(lambda text: string_problem(text, ARTICLE_LIMIT))]
Id = Annotated[str, _checked(lambda text: string_problem(text, 4 * ID_LIMIT)), Field(min_length=1, max_length=ID_LIMIT)]


class Request(BaseModel):
    # Strict, so that 5 or true is not taken for a text; a misspelt field is an error, not ignored.
    model_config = ConfigDict(extra="forbid", strict=True)


class ArticleIn(Request):
    """The article that a comment stands under. Sent once with an `id`, it can be named by `id` alone."""

    id: Id | None = None
    title: ArticleText | None = None
    body: ArticleText | None = None


class ParentIn(Request):
    """The comment that this one answers."""

    text: CommentText


class CommentIn(Request):
    """A comment to be scored."""

    id: Id | None = Field(None, description="Yours; it comes back in the reply.")
    text: CommentText
    article: ArticleIn | None = None
    parent: ParentIn | None = None
    thread: list[CommentText] = Field(
        default=[],
        max_length=THREAD_LIMIT,
        description="Earlier accepted comments under the article, newest last.",
    )


class BatchIn(Request):
    """Several comments; each succeeds or fails alone."""

    comments: list[Any] = Field(
        min_length=1,
        max_length=BATCH_LIMIT,
        json_schema_extra={"items": {"$ref": "#/components/schemas/CommentIn"}},
    )


# ---------------------------------------------------------------------------------------- replies


class TermOut(BaseModel):
    """A part of the comment and what it adds to the score, in logits (negative: takes away)."""

    text: str
    begin: int = Field(description="First character, counted in Unicode code points.")
    end: int = Field(description="One past the last character.")
    weight: float


class LabelOut(BaseModel):
    """One label's verdict."""

    score: float | None = Field(description="Calibrated probability; null when there is none, see `reason`.")
    threshold: float
    flagged: bool
    terms: list[TermOut] = Field(description="The parts that count most, strongest first.")
    reason: str | None = Field(None, description="Why there is no score: `no_article`, or the comment's status.")


class ScoreOut(BaseModel):
    """A comment's verdict."""

    id: str | None
    status: Literal["scored", "too_short", "unsupported_language"] = Field(
        description="`too_short`: no words beside links, names and signs. Only a scored comment has scores."
    )
    flagged: bool = Field(description="Whether any label is flagged.")
    labels: dict[str, LabelOut]
    model: str = Field(description="Version of the model.")


class InvalidOut(BaseModel):
    """An item of a batch that could not be scored."""

    id: str | None
    status: Literal["invalid"]
    problem: Problem


class BatchOut(BaseModel):
    """Verdicts in the order sent."""

    comments: list[ScoreOut | InvalidOut]


def _pointer(parts) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def _field_errors(error: ValidationError, prefix=()) -> list[FieldError]:
    said = {
        "missing": "is missing",
        "extra_forbidden": "is not a field of the interface",
        "string_type": "is not a string",
        "list_type": "is not a list",
        "model_type": "is not an object",
    }
    return [
        FieldError(
            field=_pointer((*prefix, *item["loc"])) or "/",
            detail=said.get(item["type"], item["msg"].removeprefix("Value error, ")),
        )
        for item in error.errors(include_url=False, include_input=False, include_context=False)
    ]


def _invalid(errors: list[FieldError]) -> Problem:
    first = errors[0]
    return Problem(
        status=422,
        title="The request does not fit the interface",
        detail=f"{first.field.lstrip('/') or 'body'} {first.detail}",
        errors=errors,
    )


def read_json() -> Any:
    """The request's JSON body.

    Raises
    ------
    ApiProblem
        415 for another content type, 400 for what is not JSON.
    """
    if request.mimetype != "application/json":
        raise ApiProblem(
            415,
            "Not JSON",
            f"The content type is {request.mimetype or 'missing'!r}; send application/json",
            headers={"Accept": "application/json"},
        )

    def refuse(constant):
        raise ValueError(f"{constant} is not JSON")

    try:
        return json.loads(request.get_data().decode("utf-8"), parse_constant=refuse)
    except RecursionError:
        raise ApiProblem(400, "Not JSON", "The body is nested too deeply") from None
    except UnicodeDecodeError:
        raise ApiProblem(400, "Not JSON", "The body is not UTF-8") from None
    except ValueError as error:
        raise ApiProblem(400, "Not JSON", f"The body is not JSON: {error}") from None


# ---------------------------------------------------------------------------------------- scoring


def scorer() -> Scorer:
    try:
        return current_app.extensions["serving"].get()
    except ModelError:
        raise ApiProblem(503, "No model", "No model is loaded; see /ready", headers={"Retry-After": "5"}) from None


@blueprint.post("/score")
@auth.needs_key
def score():
    """Score one comment, or several."""
    body = read_json()
    engine = scorer()
    with store_session() as session:
        if isinstance(body, dict) and "comments" in body:
            try:
                batch = BatchIn.model_validate(body)
            except ValidationError as error:
                problem = _invalid(_field_errors(error))
                raise ApiProblem(problem.status, problem.title, problem.detail, problem.errors) from None
            reply = {"comments": _score_all(engine, session, batch.comments)}
        else:
            [reply] = _score_all(engine, session, [body])
            if reply["status"] == "invalid":
                session.commit()
                return respond_problem(Problem(**reply["problem"]))
        session.commit()
    return respond(200, reply)


def store_session() -> Session:
    return Session(current_app.extensions["engine"])


def _score_all(engine: Scorer, session: Session, items: list) -> list[dict]:
    """Replies to the comments of a request, in order."""
    replies: list[dict | None] = [None] * len(items)
    comments, places = [], []
    for place, item in enumerate(items):
        try:
            sent = CommentIn.model_validate(item)
            comments.append(_comment(session, sent))
            places.append((place, sent.id))
        except ValidationError as error:
            replies[place] = _refused(item, _field_errors(error))
        except UnknownArticle as error:
            replies[place] = _refused(item, [FieldError(field="/article/id", detail=str(error))])
    for (place, sent_id), scored in zip(places, engine.score(comments), strict=True):
        replies[place] = _reply(sent_id, scored)
    return replies


class UnknownArticle(Exception):
    """An article named by an id that was never sent with its text."""


def _comment(session: Session, sent: CommentIn) -> Comment:
    article = None
    if sent.article is not None:
        article = Article(sent.article.title or "", sent.article.body or "")
        if article.text:
            if sent.article.id:
                store.save_article(session, sent.article.id, article)
        elif sent.article.id:
            article = store.find_article(session, sent.article.id)
            if article is None:
                raise UnknownArticle("is not known; send its title and body once")
        else:
            article = None
    parent = sent.parent.text if sent.parent else ""
    return Comment(sent.text, sent.id or "", article, parent, tuple(sent.thread))


def _refused(item, errors) -> dict:
    sent_id = item.get("id") if isinstance(item, dict) else None
    return {
        "id": sent_id if isinstance(sent_id, str) else None,
        "status": "invalid",
        "problem": _invalid(errors).model_dump(),
    }


def _reply(sent_id: str | None, scored: Score) -> dict:
    labels = {}
    for name, label in scored.labels.items():
        labels[name] = {
            "score": label.score,
            "threshold": label.threshold,
            "flagged": label.flagged,
            "terms": [
                {"text": term.text, "begin": term.begin, "end": term.end, "weight": term.weight} for term in label.terms
            ],
        }
        if label.reason:
            labels[name]["reason"] = label.reason
    return {
        "id": sent_id,
        "status": scored.status,
        "flagged": scored.flagged,
        "labels": labels,
        "model": scored.model,
    }


# ---------------------------------------------------------------------------------------- model and state


@blueprint.get("/model")
@auth.needs_key
def model():
    """The model's card, or with `?threshold=…` the best threshold of each label."""
    card = scorer().card
    query = request.args.get("threshold")
    if query is None:
        return respond(200, card)
    try:
        answers = {label: best_threshold(query, curve) for label, curve in card["curves"].items()}
    except QueryError as error:
        raise ApiProblem(
            400,
            "The query cannot be read",
            f"threshold: {error}",
            [FieldError(field="threshold", detail=str(error))],
        ) from None
    return respond(200, {"query": query, "model": scorer().version, "labels": answers})


@blueprint.get("/health")
def health():
    """Whether the process answers."""
    return respond(200, {"status": "ok", "version": __version__})


@blueprint.get("/ready")
def ready():
    """Whether a model is loaded, and which."""
    serving = current_app.extensions["serving"]
    try:
        version = serving.get().version
    except ModelError:
        return respond(503, {"status": "no_model", "model": None, "problem": serving.problem})
    return respond(200, {"status": "ready", "model": version, "problem": serving.problem or None})


# ---------------------------------------------------------------------------------------- OpenAPI


@blueprint.get("/openapi.json")
def openapi():
    """This interface as an OpenAPI 3.1 document."""
    return respond(200, openapi_document())


def openapi_document() -> dict:
    """The OpenAPI 3.1 document of the interface."""
    models = (CommentIn, BatchIn, ScoreOut, BatchOut, InvalidOut, Problem)
    _, definitions = models_json_schema(
        [(each, "validation") for each in models], ref_template="#/components/schemas/{model}"
    )
    ref = lambda name: {"$ref": f"#/components/schemas/{name}"}  # noqa: E731

    def answer(description, schema, mimetype="application/json"):
        return {"description": description, "content": {mimetype: {"schema": schema}}}

    def problem(description):
        return answer(description, ref("Problem"), "application/problem+json")

    def get(summary, *, secured=False, parameters=(), **more):
        return {
            "get": {
                "summary": summary,
                "parameters": list(parameters),
                "responses": {"200": answer("As asked.", {"type": "object"}), **more},
                "security": [{"key": []}, {"bearer": []}] if secured else [],
            }
        }

    refusal = {"401": problem("No valid API key was sent.")}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Comment moderation",
            "version": __version__,
            "description": "Flags abusive, mocking and off-topic reader comments.",
        },
        "paths": {
            "/score": {
                "post": {
                    "summary": "Score one comment, or up to 500",
                    "description": 'One comment is answered with one verdict, `{"comments": [...]}` with '
                    '`{"comments": [...]}` in the same order; there each item succeeds or fails alone.',
                    "security": [{"key": []}, {"bearer": []}],
                    "requestBody": {
                        "required": True,
                        "content": {"application/json": {"schema": {"oneOf": [ref("CommentIn"), ref("BatchIn")]}}},
                    },
                    "responses": {
                        "200": answer("Verdicts.", {"oneOf": [ref("ScoreOut"), ref("BatchOut")]}),
                        "400": problem("The body is not JSON."),
                        **refusal,
                        "413": problem("The body is over the limit."),
                        "415": problem("The content type is not application/json."),
                        "422": problem("The JSON does not fit the interface; `errors` names the fields."),
                        "503": problem("No model is loaded."),
                    },
                }
            },
            "/model": get(
                "The model's card, or the best thresholds for a requirement",
                secured=True,
                parameters=[
                    {
                        "name": "threshold",
                        "in": "query",
                        "required": False,
                        "schema": {"type": "string"},
                        "example": "maximum recall @ precision >= 0.9",
                    }
                ],
                **refusal,
                **{"400": problem("The query cannot be read."), "503": problem("No model is loaded.")},
            ),
            "/health": get("Whether the process answers"),
            "/ready": get("Whether a model is loaded", **{"503": answer("No model is loaded.", {"type": "object"})}),
            "/openapi.json": get("This document"),
        },
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }
