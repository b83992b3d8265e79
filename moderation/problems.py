"""Errors of the HTTP interface as problem details (RFC 9457), and JSON replies."""

from __future__ import annotations

import json

from flask import Flask, Response, render_template, request
from pydantic import BaseModel, Field
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from moderation import store

DAMAGED = (
    "The database is damaged; nothing of this request was stored. Stop the service and restore a backup, as "
    "docs/operate.md says. What needs no storing goes on"
)


class FieldError(BaseModel):
    """What is wrong with one field."""

    field: str = Field(description="JSON Pointer (RFC 6901) into the request, or the query parameter's name.")
    detail: str


class Problem(BaseModel):
    """What is wrong (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldError] = []


class ApiProblem(Exception):
    """Ends a request with problem details."""

    def __init__(self, status: int, title: str, detail: str, errors=(), headers=None):
        super().__init__(detail)
        self.problem = Problem(status=status, title=title, detail=detail, errors=list(errors))
        self.headers = headers or {}


def respond(status: int, body: BaseModel | dict, headers=None, *, mimetype="application/json") -> Response:
    data = body.model_dump() if isinstance(body, BaseModel) else body
    # json.dumps writes ASCII: a lone surrogate in an echoed id cannot break the reply's encoding.
    return Response(json.dumps(data), status, headers, mimetype=mimetype)


def respond_problem(problem: Problem, headers=None) -> Response:
    """The problem as JSON, or as a page where a browser asks."""
    types = ["application/problem+json", "application/json", "text/html"]
    if request.accept_mimetypes.best_match(types) == "text/html":
        return Response(render_template("problem.html", problem=problem), problem.status, headers)
    return respond(problem.status, problem, headers, mimetype="application/problem+json")


def init_app(app: Flask) -> None:
    @app.errorhandler(ApiProblem)
    def on_problem(error):
        return respond_problem(error.problem, error.headers)

    @app.errorhandler(OperationalError)
    @app.errorhandler(InterfaceError)
    @app.errorhandler(PoolTimeout)
    def on_database_error(error):
        app.logger.error("the database did not do what was asked", exc_info=error)
        if isinstance(error, store.Damaged):
            return respond_problem(Problem(status=503, title="Database damaged", detail=DAMAGED))
        detail = "The database cannot be reached or written; nothing of this request was stored. The log says more"
        return respond_problem(Problem(status=503, title="Database unavailable", detail=detail), {"Retry-After": "5"})

    @app.errorhandler(HTTPException)
    def on_http_error(error):
        if error.code is None or error.code < 400:
            return error  # a redirect
        detail = error.description or error.name
        if error.code == 413:
            detail = f"The body is over the limit of {app.config['MAX_CONTENT_LENGTH']:,} bytes"
        elif error.code >= 500:
            detail = "The service failed; its log says more"
        kept = {key: value for key, value in error.get_headers() if key in {"Allow", "Retry-After"}}
        return respond_problem(Problem(status=error.code, title=error.name, detail=detail), kept)
