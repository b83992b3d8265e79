"""The Google API discovery document of Perspective's protocol: Google's client libraries build themselves from it."""

from __future__ import annotations

from moderation import __version__
from moderation.attributes import NAMES

_STRING, _BOOLEAN = {"type": "string"}, {"type": "boolean"}
_FLOAT, _INTEGER = {"type": "number", "format": "float"}, {"type": "integer", "format": "int32"}


def _ref(name):
    return {"$ref": name}


def _list(item):
    return {"type": "array", "items": item}


def _map(item):
    return {"type": "object", "additionalProperties": item}


def _said(field, description):
    return {**field, "description": description}


_SHARED = {
    "comment": _said(_ref("TextEntry"), "The comment."),
    "context": _said(_ref("Context"), "What the comment stands under."),
    "languages": _said(_list(_STRING), "ISO 639-1 codes of the comment's languages; found out where there are none."),
    "doNotStore": _said(_BOOLEAN, "Keep nothing of the request."),
    "clientToken": _said(_STRING, "Comes back in the reply."),
    "sessionId": _said(_STRING, "Accepted, not used."),
    "communityId": _said(_STRING, "Who suggests a score; of no use when scoring."),
}

_SCHEMAS = {
    "TextEntry": {
        "text": _said(_STRING, "UTF-8 text."),
        "type": {
            **_STRING,
            "enum": ["TEXT_TYPE_UNSPECIFIED", "PLAIN_TEXT", "HTML"],
            "enumDescriptions": ["Plain text.", "Plain text.", "HTML; its markup is removed before scoring."],
        },
    },
    "ArticleAndParentComment": {
        "article": _said(_ref("TextEntry"), "The article; its headline on the first line."),
        "parentComment": _said(_ref("TextEntry"), "The comment that this one answers."),
    },
    "Context": {
        "entries": _said(_list(_ref("TextEntry")), "The article, then the earlier comments, newest last."),
        "articleAndParentComment": _said(_ref("ArticleAndParentComment"), "Instead of entries."),
    },
    "AttributeParameters": {
        "scoreType": {
            **_STRING,
            "enum": ["SCORE_TYPE_UNSPECIFIED", "PROBABILITY"],
            "enumDescriptions": ["A probability.", "A probability."],
        },
        "scoreThreshold": _said(_FLOAT, "Scores below are left out."),
    },
    "Score": {
        "value": _said(_FLOAT, "From 0 to 1."),
        "type": {
            **_STRING,
            "enum": ["SCORE_TYPE_UNSPECIFIED", "PROBABILITY"],
            "enumDescriptions": ["Not said.", "A probability."],
        },
    },
    "SpanScore": {
        "begin": _said(_INTEGER, "First UTF-16 unit."),
        "end": _said(_INTEGER, "One past the last UTF-16 unit."),
        "score": _ref("Score"),
    },
    "AttributeScores": {
        "summaryScore": _said(_ref("Score"), "Of the whole comment."),
        "spanScores": _said(_list(_ref("SpanScore")), "Of its parts."),
    },
    "AnalyzeCommentRequest": {
        **_SHARED,
        "requestedAttributes": _said(_map(_ref("AttributeParameters")), f"By name: {', '.join(NAMES)}."),
        "spanAnnotations": _said(_BOOLEAN, "Score every sentence, too."),
    },
    "AnalyzeCommentResponse": {
        "attributeScores": _map(_ref("AttributeScores")),
        "languages": _said(_list(_STRING), "As sent, or as assumed."),
        "detectedLanguages": _said(_list(_STRING), "As found, where none were sent."),
        "clientToken": _STRING,
    },
    "SuggestCommentScoreRequest": {
        **_SHARED,
        "attributeScores": _said(_map(_ref("AttributeScores")), "What the scores should be."),
    },
    "SuggestCommentScoreResponse": {
        "clientToken": _STRING,
        "detectedLanguages": _list(_STRING),
        "requestedLanguages": _list(_STRING),
    },
}


def document(root: str) -> dict:
    """The document.

    Parameters
    ----------
    root : str
        The address under which the service was called, ending in a slash.
    """
    return {
        "kind": "discovery#restDescription",
        "discoveryVersion": "v1",
        "id": "commentanalyzer:v1alpha1",
        "name": "commentanalyzer",
        "version": "v1alpha1",
        "revision": __version__,
        "title": "Comment moderation, in the protocol of Perspective",
        "description": "Probabilities that a reader comment is abusive, mocking or off-topic.",
        "protocol": "rest",
        "rootUrl": root,
        "baseUrl": root,
        "servicePath": "",
        "basePath": "",
        "batchPath": "batch",
        "parameters": {
            "key": {"type": "string", "location": "query", "description": "API key."},
            "alt": {
                "type": "string",
                "location": "query",
                "default": "json",
                "enum": ["json"],
                "enumDescriptions": ["JSON."],
                "description": "Format of the reply.",
            },
            "prettyPrint": {"type": "boolean", "location": "query", "default": "true", "description": "Not used."},
        },
        "schemas": {
            name: {"id": name, "type": "object", "properties": properties} for name, properties in _SCHEMAS.items()
        },
        "resources": {
            "comments": {
                "methods": {
                    "analyze": _method("analyze", "AnalyzeComment", "Score a comment."),
                    "suggestscore": _method(
                        "suggestscore", "SuggestCommentScore", "Say what a comment's scores should be."
                    ),
                }
            }
        },
    }


def _method(name, message, description):
    return {
        "id": f"commentanalyzer.comments.{name}",
        "path": f"v1alpha1/comments:{name}",
        "flatPath": f"v1alpha1/comments:{name}",
        "httpMethod": "POST",
        "description": description,
        "parameters": {},
        "parameterOrder": [],
        "request": _ref(f"{message}Request"),
        "response": _ref(f"{message}Response"),
    }
