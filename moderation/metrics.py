"""What is counted and told at ``/metrics`` for Prometheus, and the log line of each request."""

from __future__ import annotations

import logging
import re
import time
import uuid

from flask import Blueprint, Flask, Response, current_app, g, request
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from moderation import auth, logs, outbox, queue, store
from moderation.registry import Serving
from moderation.scorer import Score

blueprint = Blueprint("metrics", __name__)

_log = logging.getLogger(__name__)
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Metrics:
    """The metrics of one application.

    Attributes
    ----------
    requests : Counter
        By method, URL rule and status.
    request_seconds : Histogram
        From a request's arrival to its answer, by URL rule.
    refused : Counter
        Requests that got 503 at the door because too many were under way. They are not among `requests`.
    under_way : Gauge
        Requests being answered or waiting for it; the server sets it.
    scored, scoring_seconds
        Comments, and the time that the model took for those of a request.
    flags : Counter
        Comments flagged, by label.
    unscored : Counter
        Comments that were not scored, by reason: ``invalid``, ``deadline``, ``too_short``, ``unsupported_language``.
    """

    def __init__(self, serving: Serving, engine: Engine):
        disable_created_metrics()  # when a counter began is of no use to anybody
        self.registry = CollectorRegistry()
        made = self.registry
        self.requests = Counter(
            "moderation_requests",
            "Requests answered, by method, URL rule and status.",
            ["method", "rule", "status"],
            registry=made,
        )
        self.request_seconds = Histogram(
            "moderation_request_seconds",
            "From arrival to answer, by URL rule.",
            ["rule"],
            buckets=_BUCKETS,
            registry=made,
        )
        self.refused = Counter(
            "moderation_requests_refused", "Requests refused because too many were under way.", registry=made
        )
        self.under_way = Gauge(
            "moderation_requests_under_way", "Requests being answered or waiting for it.", registry=made
        )
        self.scored = Counter("moderation_comments_scored", "Comments scored.", registry=made)
        self.scoring_seconds = Histogram(
            "moderation_scoring_seconds", "Time to score the comments of a request.", buckets=_BUCKETS, registry=made
        )
        self.flags = Counter("moderation_flags", "Comments flagged, by label.", ["label"], registry=made)
        self.unscored = Counter(
            "moderation_comments_unscored", "Comments not scored, by reason.", ["reason"], registry=made
        )
        ProcessCollector(registry=self.registry)
        self.registry.register(_Model(serving))
        self.registry.register(_Database(engine))

    def count_status(self, status: str) -> None:
        """Count a comment that was scored, or that cannot be."""
        if status == "scored":
            self.scored.inc()
        else:
            self.unscored.labels(status).inc()

    def count(self, score: Score) -> None:
        """Count a comment's verdict."""
        self.count_status(score.status)
        for name, label in score.labels.items():
            if label.flagged:
                self.flags.labels(name).inc()


class _Model(Collector):
    """Which model is served, and whether it is the one that should be."""

    def __init__(self, serving):
        self.serving = serving

    def describe(self):
        return []

    def collect(self):
        version = self.serving.version_served
        loaded = GaugeMetricFamily("moderation_model", "1 for the model version that is served.", labels=["version"])
        if version:
            loaded.add_metric([version], 1)
        yield loaded
        yield GaugeMetricFamily(
            "moderation_model_problem",
            "1 when the version that should be served cannot be.",
            bool(self.serving.problem),
        )


class _Database(Collector):
    """What waits in the database; nothing is told while that fails."""

    def __init__(self, engine):
        self.engine = engine

    def describe(self):
        return []

    def collect(self):
        try:
            with store.reading(self.engine) as session:
                depth = queue.counts(session)["open"]
                undelivered, lag = outbox.waiting(session)
        except SQLAlchemyError as error:
            _log.warning("what waits in the database cannot be told (%s)", type(error).__name__)
            return
        yield GaugeMetricFamily("moderation_queue_depth", "Comments that wait for a moderator.", depth)
        yield GaugeMetricFamily(
            "moderation_outbox_waiting", "Decisions that the comment system was not told.", undelivered
        )
        yield GaugeMetricFamily("moderation_outbox_lag_seconds", "Age of the oldest of them.", lag)


def init_app(app: Flask, engine: Engine) -> None:
    app.extensions["metrics"] = Metrics(app.extensions["serving"], engine)
    app.register_blueprint(blueprint)
    app.before_request(_begin)
    app.after_request(_end)
    # Flask's own words would quote the request's path.
    app.log_exception = _log_exception  # type: ignore[method-assign]


def _log_exception(exc_info):
    current_app.logger.error("a request failed", exc_info=exc_info)


@blueprint.get("/metrics")
@auth.permit(auth.ANY)
def metrics():
    """The metrics in Prometheus's text format."""
    return Response(generate_latest(current_app.extensions["metrics"].registry), content_type=CONTENT_TYPE_LATEST)


def _begin():
    g.begun = request.environ.get("moderation.arrived") or time.monotonic()
    sent = request.headers.get("X-Request-Id", "")
    g.request_id = sent if _REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex
    logs.request_id.set(g.request_id)


def _end(response):
    # The rule, not the path: a path could quote a comment, and would make a metric of each.
    rule = request.url_rule.rule if request.url_rule else "none"
    method = request.method if request.method in _METHODS else "other"
    seconds = time.monotonic() - g.begun
    counted = current_app.extensions["metrics"]
    counted.requests.labels(method, rule, response.status_code).inc()
    counted.request_seconds.labels(rule).observe(seconds)
    response.headers["X-Request-Id"] = g.request_id
    who = g.get("caller")
    _log.log(
        logging.WARNING if response.status_code >= 500 else logging.INFO,
        "answered",
        extra={
            "method": method,
            "rule": rule,
            "status": response.status_code,
            "ms": round(seconds * 1000, 2),
            "key": who.name if who else None,
        },
    )
    return response
