"""The service's own HTTP interface: ``/score``, ``/comments``, ``/model``, ``/health``, ``/ready``, ``/openapi.json``.

Requests and replies are Pydantic models; the OpenAPI document is made from them. Validation is not left
to an OpenAPI layer because a batch must fail item by item. Errors are problem details (RFC 9457).
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from flask import Blueprint, current_app, request
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.json_schema import models_json_schema
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session
from werkzeug.routing import BaseConverter

from moderation import __version__, auth, demonstration, erasure, limits, overrides, queue, store
from moderation.comments import (
    ARTICLE_LIMIT,
    ID_LIMIT,
    LABELS,
    TEXT_LIMIT,
    Article,
    Comment,
    string_problem,
    text_problem,
)
from moderation.problems import ApiProblem, FieldError, Problem, respond, respond_problem
from moderation.registry import ModelError
from moderation.scorer import TERMS, Score, Scorer
from moderation.thresholds import METRICS, QueryError, best_threshold

BATCH_LIMIT = 500  #: comments in one request
STRETCH = 20  #: comments that are scored between two looks at the deadline
THREAD_LIMIT = 200  #: earlier comments of the thread that are looked at
WHO_LIMIT = 200  #: characters

blueprint = Blueprint("api", __name__)


# ---------------------------------------------------------------------------------------- requests


def _checked(check):
    def validate(value: str) -> str:
        problem = check(value)
        if problem:
            raise ValueError(problem)
        return value

    return AfterValidator(validate)


def _shown(most: int, pattern: str = r"^[^\u0000]*$", **more) -> Any:
    """What the OpenAPI document says of a text; `_checked` looks closer, and tells in words what is wrong."""
    return Field(json_schema_extra={"maxLength": most, "pattern": pattern, **more})


CommentText = Annotated[
    str,
    _checked(text_problem),
    Field(description=f"1 to {TEXT_LIMIT:,} bytes of UTF-8."),
    _shown(TEXT_LIMIT, r"^[^\u0000]*[^\s\u0000][^\u0000]*$", minLength=1),
]
ArticleText = Annotated[str, _checked(lambda text: string_problem(text, ARTICLE_LIMIT)), _shown(ARTICLE_LIMIT)]
Id = Annotated[
    str,
    _checked(lambda text: string_problem(text, 4 * ID_LIMIT)),
    Field(min_length=1, max_length=ID_LIMIT),
    _shown(ID_LIMIT),
]


def _time_problem(value: str) -> str | None:
    try:
        time = datetime.fromisoformat(value)
        if time.tzinfo is None:
            return "has no time zone; write for example …T18:30:00+01:00"
        time.astimezone(UTC)
    except ValueError:
        return "is no time as in ISO 8601"
    except OverflowError:
        return "lies before the year 1 or after the year 9999"
    return None


Time = Annotated[str, _checked(_time_problem), Field(json_schema_extra={"format": "date-time"})]
Reason = Annotated[
    str,
    _checked(lambda reason: None if reason in store.REASONS else f"is none of {', '.join(store.REASONS)}"),
    Field(json_schema_extra={"enum": list(store.REASONS)}),
]
Name = Annotated[
    str, _checked(lambda text: string_problem(text, 4 * WHO_LIMIT)), Field(max_length=WHO_LIMIT), _shown(WHO_LIMIT)
]


def _whole(value):
    """In JSON 12.0 is the same number as 12."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Request(BaseModel):
    # Strict, so that 5 or true is not taken for a text; a misspelt field is an error, not ignored.
    model_config = ConfigDict(extra="forbid", strict=True)


class ArticleIn(Request):
    """The article that a comment stands under. Sent once with an `id`, it can be named by `id` alone."""

    id: Id | None = None
    title: ArticleText | None = None
    body: ArticleText | None = None
    section: Name = Field("", description="Of the paper, such as `sport`; thresholds can differ by section.")


class ParentIn(Request):
    """The comment that this one answers."""

    id: Id | None = None
    text: CommentText


class CommentIn(Request):
    """A comment to be scored."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"properties": {"queue": {"const": False}}},
                {"properties": {"id": {"type": "string"}}, "required": ["id"]},
            ]
        }
    )

    id: Id | None = Field(None, description="Yours; it comes back in the reply.")
    text: CommentText
    article: ArticleIn | None = None
    parent: ParentIn | None = None
    thread: list[CommentText] = Field(
        default=[],
        max_length=THREAD_LIMIT,
        description="Earlier accepted comments under the article, newest last.",
    )
    terms: Annotated[int, BeforeValidator(_whole)] = Field(
        TERMS, ge=0, le=TERMS, description="How many terms to tell of each label; with 0 the answer is made faster."
    )
    queue: bool = Field(
        False,
        description="Keep the comment, and put it before the moderators if it is flagged or drawn for the audit. "
        "Needs `id`: the same id is the same comment, another text a new revision of it.",
    )
    author: Name = Field("", description="Your key of the author, for the author's history; need not be a name.")
    time: Time | None = Field(None, description="When it was written, ISO 8601 with time zone; now by default.")
    section: Name = Field("", description="The article's by default.")

    @model_validator(mode="after")
    def _named(self):
        if self.queue and self.id is None:
            raise ValueError("needs id when queue is true")
        return self


class BatchIn(Request):
    """Several comments; each succeeds or fails alone."""

    comments: list[Any] = Field(
        min_length=1,
        max_length=BATCH_LIMIT,
        description="One that is no comment is answered with `invalid`; the others are scored.",
        json_schema_extra={"items": {"anyOf": [{"$ref": "#/components/schemas/CommentIn"}, {}]}},
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


class QueuedOut(BaseModel):
    """What became of a comment sent with `queue`."""

    stored: bool = Field(description="False for a comment that was erased: its id stays taken.")
    revision: int | None = Field(description="1 for the first text, 2 for the first edited one, …")
    queued: bool = Field(description="Whether it has a place in the moderators' queue.")
    verdict: Literal["approve", "reject"] | None = Field(description="What was decided of this text before.")


class ScoreOut(BaseModel):
    """A comment's verdict."""

    id: str | None
    status: Literal["scored", "too_short", "unsupported_language"] = Field(
        description="`too_short`: no words beside links, names and signs. Only a scored comment has scores."
    )
    flagged: bool = Field(description="Whether any label is flagged.")
    labels: dict[str, LabelOut]
    model: str = Field(description="Version of the model.")
    queue: QueuedOut | None = Field(None, description="Only for a comment sent with `queue`.")


class InvalidOut(BaseModel):
    """An item of a batch that was not scored, and why: `invalid` is yours to mend, `not_scored` can be sent again."""

    id: str | None
    status: Literal["invalid", "not_scored"]
    problem: Problem


class BatchOut(BaseModel):
    """Verdicts in the order sent."""

    comments: list[ScoreOut | InvalidOut]


class DecisionIn(Request):
    """A decision from outside the desk."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {
                    "properties": {"verdict": {"const": "reject"}, "reason": {"type": "string"}},
                    "required": ["reason"],
                },
                {"properties": {"verdict": {"enum": ["approve", "defer", "undo"]}, "reason": {"type": "null"}}},
            ]
        }
    )

    verdict: Literal["approve", "reject", "defer", "undo"]
    reason: Reason | None = Field(None, description="With `reject`, and only then.")
    by: Name = Field("comment system", min_length=1, description="Who decided.")
    seconds: float | None = Field(None, ge=0, allow_inf_nan=False, description="That it took.")

    @model_validator(mode="after")
    def _reason(self):
        if (self.verdict == "reject") != (self.reason is not None):
            raise ValueError("needs a reason with reject, and none otherwise")
        return self


class DecisionOut(BaseModel):
    """A decision; none is ever changed, an undo is one of its own."""

    id: int
    comment: str
    revision: int
    verdict: Literal["approve", "reject", "defer", "undo"]
    reason: str | None
    undoes: int | None
    by: str
    at: str
    model: str = Field(description="Version whose score the moderator saw.")


class ErasureOut(BaseModel):
    """Proof that comments were erased."""

    proof: int
    kind: Literal["comment", "author", "retention"]
    comments: int
    revisions: int = Field(description="Texts, those of earlier revisions among them.")
    by: str
    at: str
    chain: str = Field(description="SHA-256 over this proof and the one before.")


class StoredScoreOut(BaseModel):
    """A score that was kept."""

    revision: int
    model: str
    flagged: bool
    at: str
    probabilities: dict[str, float | None]
    thresholds: dict[str, float]


class StoredOut(BaseModel):
    """A stored comment."""

    id: str
    revision: int
    text: str | None = Field(description="null once it was erased.")
    article: str | None
    parent: str | None
    section: str
    author: str
    posted: str
    created: str
    erased: bool
    status: str | None = Field(description="In the queue: `open`, `deferred`, `decided`, `withdrawn`, or null.")
    verdict: Literal["approve", "reject"] | None = Field(description="What holds of the current text.")
    reason: str | None
    scores: list[StoredScoreOut]
    decisions: list[DecisionOut] = Field(description="Oldest first.")


def _pointer(parts) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def _field_errors(error: ValidationError, prefix=()) -> list[FieldError]:
    said = {
        "missing": "is missing",
        "extra_forbidden": "is not a field of the interface",
        "string_type": "is not a string",
        "list_type": "is not a list",
        "int_type": "is not a whole number",
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

    return parse_json(request.get_data())


def _refuse(constant):
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def parse_json(data: bytes) -> Any:
    """What a JSON body says.

    Raises
    ------
    ApiProblem
        400 for what is not JSON.
    """

    try:
        return _DECODER.decode(data.decode("utf-8"))
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
@auth.permit("score")
def score():
    """Score one comment, or several; keep those sent with `queue`."""
    body = read_json()
    if isinstance(body, dict) and "comments" in body:
        try:
            batch = BatchIn.model_validate(body)
        except ValidationError as error:
            raise _unprocessable(error) from None
        return respond(200, {"comments": _score_all(scorer(), batch.comments)})
    [reply] = _score_all(scorer(), [body])
    if "problem" in reply:
        problem = Problem(**reply["problem"])
        return respond_problem(problem, {"Retry-After": "1"} if problem.status == 503 else None)
    return respond(200, reply)


def _unprocessable(error: ValidationError) -> ApiProblem:
    problem = _invalid(_field_errors(error))
    return ApiProblem(problem.status, problem.title, problem.detail, problem.errors)


def store_session() -> Session:
    return Session(current_app.extensions["engine"])


def end_demonstration(session: Session) -> None:
    """A comment of the newsroom's own is stored: those invented make room."""
    if current_app.extensions["demonstration"].get():
        demonstration.end(session)


def _score_all(engine: Scorer, items: list) -> list[dict]:
    """Replies to the comments of a request, in order."""
    replies: list[dict] = [{} for _ in items]
    taken: list[tuple[int, CommentIn, Comment, str]] = []
    kept = current_app.extensions
    own = kept["thresholds"].get()
    with _Articles(kept["engine"]) as articles:
        for place, item in enumerate(items):
            try:
                sent = CommentIn.model_validate(item)
                comment, section = _comment(articles, sent)
            except ValidationError as error:
                replies[place] = _refused(item, _field_errors(error))
            except UnknownArticle as error:
                replies[place] = _refused(item, [FieldError(field="/article/id", detail=str(error))])
            else:
                taken.append((place, sent, comment, section))
    counted = kept["metrics"]
    if len(taken) < len(items):
        counted.unscored.labels("invalid").inc(len(items) - len(taken))
    scores: list[Score] = []
    with counted.scoring_seconds.time():
        while len(scores) < len(taken) and not limits.deadline_passed():
            stretch = taken[len(scores) : len(scores) + STRETCH]
            if any(sent.terms for _, sent, _, _ in stretch):
                scores += [engine.score([comment], terms=sent.terms)[0] for _, sent, comment, _ in stretch]
            else:
                scores += engine.score([comment for _, _, comment, _ in stretch], terms=0)
    if len(scores) < len(taken):
        counted.unscored.labels("deadline").inc(len(taken) - len(scores))
        for place, sent, _, _ in taken[len(scores) :]:
            replies[place] = {"id": sent.id, "status": "not_scored", "problem": _TOO_LATE.model_dump()}
        del taken[len(scores) :]
    scores = [overrides.apply(scored, section, own) for scored, (*_, section) in zip(scores, taken, strict=True)]
    for (place, sent, _, _), scored in zip(taken, scores, strict=True):
        replies[place] = _reply(sent.id, scored)
        counted.count(scored)
    if articles.new or any(sent.queue for _, sent, _, _ in taken):
        with store.writing(kept["engine"]) as session:
            if any(sent.queue for _, sent, _, _ in taken):
                end_demonstration(session)
            for id, (article, section) in articles.new.items():
                store.save_article(session, id, article, section)
            for (place, sent, comment, section), scored in zip(taken, scores, strict=True):
                if sent.queue:
                    replies[place]["queue"] = _keep(session, sent, comment, section, scored)
    return replies


_TOO_LATE = Problem(
    status=503,
    title="Deadline passed",
    detail="The request's time was over before this comment was scored; send it again",
)


class UnknownArticle(Exception):
    """An article named by an id that was never sent with its text."""


class _Articles:
    """The articles of a request: those stored, and in `new` those that it brings.

    The database is asked only for an article that is named; most requests name none.
    """

    def __init__(self, engine: Engine):
        self._engine = engine
        self._session: Session | None = None
        self.new: dict[str, tuple[Article, str]] = {}
        self._found: dict[str, tuple[Article, str]] = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._session is not None:
            self._session.close()

    def find(self, id: str) -> tuple[Article, str]:
        known = self.new.get(id) or self._found.get(id)
        if known is not None:
            return known
        if self._session is None:
            self._session = Session(self._engine, expire_on_commit=False)
        row = self._session.get(store.ArticleRow, id)
        if row is None:
            raise UnknownArticle("is not known; send its title and body once")
        self._found[id] = Article(row.title, row.body), row.section
        return self._found[id]

    def add(self, id: str, article: Article, section: str) -> str:
        """Take an article; its section, which need not be sent again."""
        try:
            known, before = self.find(id)
        except UnknownArticle:
            known, before = None, ""
        section = section or before
        if (known, before) != (article, section):
            self.new[id] = (article, section)
        return section


def _comment(articles: _Articles, sent: CommentIn) -> tuple[Comment, str]:
    """What is scored, and the section that it belongs to."""
    article, section = None, ""
    if sent.article is not None:
        article, section = Article(sent.article.title or "", sent.article.body or ""), sent.article.section
        if article.text:
            id = _article_id(sent)
            if id is not None:
                section = articles.add(id, article, section)
        elif sent.article.id:
            article, stored = articles.find(sent.article.id)
            section = section or stored
        else:
            article = None
    parent = sent.parent.text if sent.parent else ""
    return Comment(sent.text, sent.id or "", article, parent, tuple(sent.thread)), sent.section or section


def _article_id(sent: CommentIn) -> str | None:
    """The article's id; one of our own for an article without, where a stored comment needs it."""
    article = sent.article
    if article is None or article.id is not None:
        return article.id if article else None
    text = Article(article.title or "", article.body or "").text
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}" if text and sent.queue else None


def _keep(session: Session, sent: CommentIn, comment: Comment, section: str, scored: Score) -> dict:
    arrival = queue.Arrival(
        id=sent.id or "",  # CommentIn has seen to it that there is one
        text=sent.text,
        article_id=_article_id(sent),
        parent_id=(sent.parent and sent.parent.id) or "",
        parent_text=comment.parent,
        author=sent.author,
        section=section,
        posted=datetime.fromisoformat(sent.time) if sent.time else None,
    )
    try:
        kept = queue.receive(session, arrival, scored, current_app.extensions["policy"])
    except queue.Erased:
        return {"stored": False, "revision": None, "queued": False, "verdict": None}
    return {
        "stored": True,
        "revision": kept.revision.number,
        "queued": kept.item is not None and kept.item.status != "withdrawn",
        "verdict": kept.comment.verdict,
    }


def _refused(item, errors) -> dict:
    sent_id = item.get("id") if isinstance(item, dict) else None
    return {
        "id": sent_id if isinstance(sent_id, str) else None,
        "status": "invalid",
        "problem": _invalid(errors).model_dump(),
    }


def _reply(sent_id: str | None, scored: Score) -> dict:
    labels: dict[str, dict] = {}
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


# ---------------------------------------------------------------------------------------- stored comments


class _Key(BaseConverter):
    """An id in an address: any, also one with slashes. One that ends in `/decision` has no address of its own."""

    part_isolating = False
    regex = rf"[^\0]{{1,{ID_LIMIT}}}(?<!/decision)"


@blueprint.record_once
def _take_keys(state):
    state.app.url_map.converters["key"] = _Key


@blueprint.get("/comments/<key:id>")
@auth.permit("decide")
def comment(id):
    """A stored comment with its scores and decisions."""
    with store.reading(current_app.extensions["engine"]) as session:
        row = session.get(store.CommentRow, id)
        if row is None:
            raise _unknown_comment(id)
        return respond(200, _stored(session, row))


@blueprint.post("/comments/<key:id>/decision")
@auth.permit("decide")
def decision(id):
    """Decide a comment from outside the desk, or undo what was decided."""
    try:
        sent = DecisionIn.model_validate(read_json())
    except ValidationError as error:
        raise _unprocessable(error) from None
    policy, key = current_app.extensions["policy"], request.headers.get("Idempotency-Key")
    if key is not None and (not key or len(key) > ID_LIMIT):
        raise ApiProblem(
            422, "The request does not fit the interface", f"Idempotency-Key has 1 to {ID_LIMIT} characters"
        )
    try:
        with store.writing(current_app.extensions["engine"]) as session:
            if sent.verdict == "undo":
                made = queue.undo_comment(session, id, policy, who=sent.by, request=key)
            else:
                wanted = queue.Decision(sent.verdict, sent.by, None, sent.reason, sent.seconds, key)
                made = queue.decide_comment(session, id, wanted, policy)
            if (made.comment_id, made.verdict, made.reason) != (id, sent.verdict, sent.reason):
                raise ApiProblem(422, "The key was used before", "This Idempotency-Key came with another decision")
            reply = _decision(made, session.get_one(store.RevisionRow, made.revision_id).number)
    except queue.Unknown:
        raise _unknown_comment(id) from None
    except queue.Erased:
        raise ApiProblem(410, "The comment was erased", f"The comment {id!r} was erased") from None
    except queue.QueueError as error:
        raise ApiProblem(409, "The comment is in another state", str(error)) from None
    return respond(200, reply)


@blueprint.delete("/comments/<key:id>")
@auth.permit("admin")
def erase_comment(id):
    """Erase a comment; the proof."""
    return _erase(erasure.erase_comment, id)


@blueprint.delete("/authors/<key:author>/comments")
@auth.permit("admin")
def erase_author(author):
    """Erase all comments of an author; the proof."""
    return _erase(erasure.erase_author, author)


def _erase(function, key):
    by = request.args.get("by", "comment system")
    if not 0 < len(by) <= WHO_LIMIT or string_problem(by, 4 * WHO_LIMIT):
        raise ApiProblem(422, "The request does not fit the interface", f"by has 1 to {WHO_LIMIT} characters")
    try:
        with store.writing(current_app.extensions["engine"]) as session:
            proof = function(session, key, by)
            reply = {
                "proof": proof.id,
                "kind": proof.kind,
                "comments": proof.comments,
                "revisions": proof.revisions,
                "by": proof.who,
                "at": proof.at.isoformat(),
                "chain": proof.chain,
            }
    except erasure.NothingToErase as error:
        raise ApiProblem(404, "Nothing to erase", str(error)) from None
    return respond(200, reply)


def _unknown_comment(id: str) -> ApiProblem:
    return ApiProblem(404, "No such comment", f"No comment {id!r} was sent with queue")


def _stored(session: Session, row: store.CommentRow) -> dict:
    revisions = {
        revision.id: revision.number
        for revision in session.scalars(select(store.RevisionRow).where(store.RevisionRow.comment_id == row.id))
    }
    scores = session.scalars(
        select(store.ScoreRow).where(store.ScoreRow.comment_id == row.id).order_by(store.ScoreRow.id)
    )
    item = queue.item_of(session, row)
    erased = row.erasure_id is not None
    return {
        "id": row.id,
        "revision": row.revision,
        "text": None if erased else row.text,
        "article": row.article_id,
        "parent": row.parent_id or None,
        "section": row.section,
        "author": row.author,
        "posted": row.posted.isoformat(),
        "created": row.created.isoformat(),
        "erased": erased,
        "status": item.status if item else None,
        "verdict": row.verdict,
        "reason": row.reason,
        "scores": [
            {
                "revision": revisions[score.revision_id],
                "model": score.model,
                "flagged": score.flagged,
                "at": score.scored.isoformat(),
                "probabilities": {label: score.probability(label) for label in LABELS},
                "thresholds": {label: score.threshold(label) for label in LABELS},
            }
            for score in scores
        ],
        "decisions": [_decision(made, revisions[made.revision_id]) for made in queue.decisions(session, row.id)],
    }


def _decision(made: store.DecisionRow, revision: int) -> dict:
    return {
        "id": made.id,
        "comment": made.comment_id,
        "revision": revision,
        "verdict": made.verdict,
        "reason": made.reason,
        "undoes": made.undoes,
        "by": made.who,
        "at": made.at.isoformat(),
        "model": made.model,
    }


# ---------------------------------------------------------------------------------------- model and state


@blueprint.get("/model")
@auth.permit(auth.ANY)
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
@auth.permit(auth.PUBLIC)
def health():
    """Whether the process answers."""
    return respond(200, {"status": "ok", "version": __version__})


@blueprint.get("/ready")
@auth.permit(auth.PUBLIC)
def ready():
    """Whether a model is loaded; callers with a key are told which, and what is wrong."""
    serving = current_app.extensions["serving"]
    told = {}
    try:
        status, told["model"] = "ready", serving.get().version
    except ModelError:
        status, told["model"] = "no_model", None
    told["problem"] = serving.problem or None
    # No reason to send nobody here any more: what needs no storing goes on.
    told["database"] = "damaged: restore a backup" if store.seen_damaged(current_app.extensions["engine"]) else None
    if auth.caller() is None:
        told = {}
    return respond(200 if status == "ready" else 503, {"status": status, **told})


# ---------------------------------------------------------------------------------------- OpenAPI


@blueprint.get("/openapi.json")
@auth.permit(auth.ANY)
def openapi():
    """This interface as an OpenAPI 3.1 document."""
    return respond(200, openapi_document())


_ID = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "minLength": 1, "maxLength": ID_LIMIT, "pattern": r"^[^\u0000]*$"},
    "example": "c-17",
}
_KEYED: list[dict[str, list[str]]] = [{"key": []}, {"bearer": []}]
_NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"
_METRIC = f"({'|'.join(METRICS)})"
_THRESHOLD = rf"^\s*(maximum|minimum)\s+{_METRIC}\s*@\s*{_METRIC}\s*(>=|<=)\s*{_NUMBER}\s*$"


def openapi_document() -> dict:
    """The OpenAPI 3.1 document of the interface."""
    models = (
        CommentIn,
        BatchIn,
        ScoreOut,
        BatchOut,
        InvalidOut,
        DecisionIn,
        DecisionOut,
        StoredOut,
        ErasureOut,
        Problem,
    )
    _, definitions = models_json_schema(
        [(each, "validation") for each in models], ref_template="#/components/schemas/{model}"
    )
    ref = lambda name: {"$ref": f"#/components/schemas/{name}"}  # noqa: E731

    def answer(description, schema, mimetype="application/json"):
        return {"description": description, "content": {mimetype: {"schema": schema}}}

    def problem(description):
        return answer(description, ref("Problem"), "application/problem+json")

    def optional(name, place, schema, example, **more):
        return {"name": name, "in": place, "required": False, "schema": schema, "example": example, **more}

    def get(operation, summary, *, secured=False, parameters=(), **more):
        return {
            "get": {
                "operationId": operation,
                "summary": summary,
                "parameters": list(parameters),
                "responses": {"200": answer("As asked.", {"type": "object"}), **more},
                "security": _KEYED if secured else [],
            }
        }

    refusal = {
        "401": problem("No valid API key was sent."),
        "403": problem("The key was made for something else."),
    }

    def erase(operation, summary, parameter):
        who = {"type": "string", "minLength": 1, "maxLength": WHO_LIMIT, "pattern": r"^[^\u0000]*$"}
        by = optional("by", "query", who, "editor")
        return {
            "operationId": operation,
            "summary": summary,
            "description": "Again, it is answered with the same proof.",
            "parameters": [parameter, by],
            "responses": {
                "200": answer("The proof.", ref("ErasureOut")),
                **refusal,
                "404": problem("There is nothing to erase."),
                "422": problem("`by` is empty or too long."),
            },
            "security": _KEYED,
        }

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
                    "operationId": "score",
                    "summary": "Score one comment, or up to 500",
                    "description": 'One comment is answered with one verdict, `{"comments": [...]}` with '
                    '`{"comments": [...]}` in the same order; there each item succeeds or fails alone.',
                    "security": _KEYED,
                    "parameters": [
                        optional(
                            limits.HEADER,
                            "header",
                            {"type": "integer", "minimum": 1, "maximum": limits.LONGEST},
                            500,
                            description="Time for the request; what is not scored by then is told as such.",
                        )
                    ],
                    "requestBody": {
                        "required": True,
                        "content": {"application/json": {"schema": {"oneOf": [ref("CommentIn"), ref("BatchIn")]}}},
                    },
                    "responses": {
                        "200": {
                            **answer("Verdicts.", {"oneOf": [ref("ScoreOut"), ref("BatchOut")]}),
                            "links": {
                                operation: {"operationId": operation, "parameters": {"id": "$response.body#/id"}}
                                for operation in ("comment", "decide", "erase_comment")
                            },
                        },
                        "400": problem("The body is not JSON, or the deadline cannot be read."),
                        **refusal,
                        "413": problem("The body is over the limit."),
                        "415": problem("The content type is not application/json."),
                        "422": problem("The JSON does not fit the interface; `errors` names the fields."),
                        "429": problem("The key has asked too much; `Retry-After` says when to go on."),
                        "503": problem(
                            "Nothing was scored: no model is loaded, too many requests are under way, or "
                            "the deadline has passed. `Retry-After` says when to try again."
                        ),
                    },
                }
            },
            "/comments/{id}": {
                **get(
                    "comment",
                    "A comment that was sent with `queue`, with its scores and decisions",
                    secured=True,
                    parameters=[_ID],
                    **refusal,
                    **{"200": answer("The comment.", ref("StoredOut")), "404": problem("There is no such comment.")},
                ),
                "delete": erase("erase_comment", "Erase a comment; its id stays taken", _ID),
            },
            "/authors/{author}/comments": {
                "delete": erase(
                    "erase_author", "Erase all comments of an author", {**_ID, "name": "author", "example": "u-7"}
                )
            },
            "/comments/{id}/decision": {
                "post": {
                    "operationId": "decide",
                    "summary": "Decide a comment from outside the desk, or undo what was decided",
                    "description": "With the header Idempotency-Key the same request twice is one decision.",
                    "security": _KEYED,
                    "parameters": [
                        _ID,
                        optional(
                            "Idempotency-Key",
                            "header",
                            {"type": "string", "minLength": 1, "maxLength": ID_LIMIT},
                            "2f1c9d30-7b5e-4f9e-9a51-6f0e8c2f4a11",
                        ),
                    ],
                    "requestBody": {
                        "required": True,
                        "content": {"application/json": {"schema": ref("DecisionIn")}},
                    },
                    "responses": {
                        "200": answer("The decision.", ref("DecisionOut")),
                        "400": problem("The body is not JSON."),
                        **refusal,
                        "404": problem("There is no such comment."),
                        "409": problem("Somebody else has decided, or there is nothing to undo."),
                        "410": problem("The comment was erased."),
                        "415": problem("The content type is not application/json."),
                        "422": problem("The JSON does not fit the interface; `errors` names the fields."),
                    },
                }
            },
            "/model": get(
                "model",
                "The model's card, or the best thresholds for a requirement",
                secured=True,
                parameters=[
                    optional(
                        "threshold",
                        "query",
                        {"type": "string", "pattern": _THRESHOLD},
                        "maximum recall @ precision >= 0.9",
                    )
                ],
                **refusal,
                **{"400": problem("The query cannot be read."), "503": problem("No model is loaded.")},
            ),
            "/health": get("health", "Whether the process answers"),
            "/ready": get(
                "ready",
                "Whether a model is loaded; with a key also which",
                **{"503": answer("No model is loaded.", {"type": "object"})},
            ),
            "/openapi.json": get("openapi", "This document", secured=True, **refusal),
        },
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }
