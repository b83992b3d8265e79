"""Which web pages may call the service from a browser: none, unless their origin is in the settings."""

from __future__ import annotations

from flask import Flask, current_app, request
from flask_cors import CORS

PATHS = ("/score", "/v1alpha1/comments:analyze")  #: what scores; nothing else is for pages


def init_app(app: Flask, origins: list[str]) -> None:
    if not origins:
        return

    @app.before_request
    def answer_preflight():
        # A browser asks first whether it may send the key, and sends none when it asks.
        if request.method == "OPTIONS" and request.path in PATHS:
            return current_app.make_default_options_response()

    CORS(
        app,
        resources={path: {} for path in PATHS},
        origins=origins,
        methods=["POST"],
        allow_headers=["Content-Type", "X-API-Key"],
        expose_headers=["Retry-After"],
        max_age=600,
    )
