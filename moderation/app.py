"""The web application: ``create_app(settings)``."""

from __future__ import annotations

import logging

from flask import Flask
from sqlalchemy import Engine

from moderation import (
    api,
    auth,
    batches,
    coral,
    cors,
    dashboard,
    demonstration,
    desk,
    erasures,
    limits,
    login,
    metrics,
    overrides,
    pages,
    perspective,
    problems,
    retraining,
    rollout,
    simulation,
    store,
    tuning,
)
from moderation.ledger import Ledger
from moderation.queue import Policy
from moderation.recent import Recent
from moderation.registry import ModelError, Serving
from moderation.scorer import Scorer
from moderation.settings import Settings

_log = logging.getLogger(__name__)

#: Of every answer, unless a view gives its own.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; "
    "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


def create_app(settings: Settings | None = None) -> Flask:
    """Make the application, its database brought up to date.

    Parameters
    ----------
    settings : Settings, optional
        Read from the environment by default.
    """
    settings = settings or Settings()
    app = Flask(__name__)
    app.config.update(
        MAX_CONTENT_LENGTH=settings.max_body,
        # Pages state their own types; sniffing and framing are refused below.
        SETTINGS=settings,
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]
    store.migrate(settings.database_url)
    engine = store.connect(settings.database_url)
    app.extensions["engine"] = engine
    app.extensions["policy"] = Policy(
        settings.audit, settings.double_review, settings.lease, notify=bool(settings.webhook_url)
    )
    app.extensions["serving"] = Serving(settings.models, settings.model, Scorer)
    metrics.init_app(app, engine)  # first: its clock runs for what the others refuse
    login.init_app(app)
    problems.init_app(app)
    # After the clock has started and before keys are asked for: a browser that asks whether it may call sends none.
    cors.init_app(app, settings.cors_origins.split())
    auth.init_app(app, engine, person=login.current)
    app.extensions["thresholds"] = Recent("thresholds", engine, overrides.current)
    # Going over all scores takes most of a second where there are hundreds of thousands.
    app.extensions["drift"] = Recent("drift", engine, simulation.weekly, every=60.0, aside=True)
    app.extensions["sections"] = Recent("sections", engine, simulation.sections, every=60.0, aside=True)
    app.extensions["ledger"] = Ledger()
    limits.init_app(app, settings)
    app.register_blueprint(api.blueprint)
    app.register_blueprint(pages.blueprint)
    app.register_blueprint(login.blueprint)
    app.register_blueprint(desk.blueprint)
    app.register_blueprint(batches.blueprint)
    app.register_blueprint(rollout.blueprint)
    app.register_blueprint(tuning.blueprint)
    app.register_blueprint(dashboard.blueprint)
    app.register_blueprint(erasures.blueprint)
    app.register_blueprint(perspective.blueprint)
    app.register_blueprint(coral.blueprint)
    app.after_request(_protect)
    app.extensions["demonstration"] = Recent("demonstration", engine, demonstration.running)
    if settings.demonstration:
        _demonstrate(app, engine)
    else:
        with store.writing(engine) as session:
            demonstration.end(session)
    _reconcile(engine, settings)
    app.wsgi_app = perspective.KeyFromQuery(app.wsgi_app)  # type: ignore[method-assign]
    return app


def prepare(app: Flask) -> float:
    """Read what the desk's first visitor would have to wait for, and keep it fresh; seconds until that is due again."""
    for template in app.jinja_env.list_templates():
        app.jinja_env.get_template(template)
    with store.reading(app.extensions["engine"]) as session, app.app_context():
        desk.rehearse(session)
        app.extensions["ledger"].refresh(session)
    for name in ("drift", "sections"):
        app.extensions[name].get()
    return 300.0


def _protect(response):
    """Headers that keep a page from being framed, sniffed or made to run scripts."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def _reconcile(engine: Engine, settings: Settings) -> None:
    """Log the active version where a promotion was cut off between activating and logging it."""
    with store.reading(engine) as session:
        if retraining.unlogged(session, settings.models) is None:
            return
    with store.writing(engine) as session:
        row = retraining.reconcile(session, settings.models)
    if row is not None:
        _log.warning("%s is active and was not logged as such; it is now, as made active by %s", row.version, row.who)


def _demonstrate(app: Flask, engine: Engine) -> None:
    """Put invented comments into the queue of an empty database; of none that has a key, nor without a model."""
    with store.reading(engine) as session:
        if not demonstration.wanted(session):
            return
    try:
        scorer = app.extensions["serving"].get()
    except ModelError:
        return
    with store.writing(engine) as session:
        demonstration.begin(session, scorer)
