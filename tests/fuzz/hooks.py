"""What Schemathesis must know of the service besides its OpenAPI document (see tests/test_openapi_fuzzed.py)."""

import zlib

import schemathesis
from schemathesis.generation import GenerationMode

KNOWN = 40  #: comments that the test stores beforehand: c-0, c-1, …, each by another author


def _known(prefix, value):
    return f"{prefix}-{zlib.crc32(str(value).encode()) % KNOWN}"


@schemathesis.hook
def before_call(context, case, kwargs):
    """Let what fits the document concern the known comments and authors, so that there is something to do."""
    if not case.meta or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    body, stateful = case.body, case.meta.phase.name.value == "stateful"
    if case.path == "/score" and isinstance(body, dict) and "comments" not in body:
        case.body = {**body, "id": _known("c", body["text"]), "author": _known("a", body["text"]), "queue": True}
    for name, value in () if stateful else case.path_parameters.items():
        case.path_parameters[name] = _known({"id": "c", "author": "a"}[name], value)


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Drop what the service does on purpose, and only where it does exactly that."""
    reply = response.json() if "json" in "".join(response.headers.get("content-type", [])) else {}
    name = type(failure).__name__
    if name == "AcceptedNegativeData":
        # Of a batch every comment fails alone.
        told = any(each["status"] == "invalid" for each in reply.get("comments", ()))
        return not (case.path == "/score" and told)
    if name == "RejectedPositiveData":
        # What the document cannot say: which articles were sent, what was erased, and which keys were used.
        unknown = [error["field"] for error in reply["errors"]] == ["/article/id"]
        state = (410, "The comment was erased"), (422, "The key was used before")
        return not (unknown or (response.status_code, reply["title"]) in state)
    if name == "UseAfterFree":
        # What is left of an erased comment holds no text.
        return not (reply.get("erased") is True and reply["text"] is None)
    if name == "ServerError":
        unasked = "X-Request-Timeout-Ms" not in case.headers
        return unasked or (response.status_code, reply.get("title")) != (503, "Deadline passed")
    return True
