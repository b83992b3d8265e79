"""Retraining from the desk: begin a run and watch it, see what would change, promote, roll back."""

from __future__ import annotations

import os

from flask import Blueprint, Response, current_app, flash, redirect, render_template, request, url_for
from werkzeug.exceptions import NotFound

from moderation import login, queue, registry, retraining
from moderation.comments import LABELS
from moderation.desk import reading, writing
from moderation.registry import ModelError

SHOWN = 20  #: comments whose verdict flips, for each label and direction

blueprint = Blueprint("rollout", __name__)
login.show_errors(blueprint)


def _settings():
    return current_app.config["SETTINGS"]


@blueprint.get("/desk/models")
@login.needs("lead")
def models():
    """The active version, training runs, and the log of activations."""
    folder, problem = _settings().models, ""
    with reading() as session:
        runs, log = retraining.runs(session, 10), retraining.activations(session, 20)
        try:
            active, before = registry.active(folder), retraining.previous(session, folder)
        except ModelError as error:
            active, before, problem = "", None, str(error)
    return render_template(
        "models.html",
        active=active,
        before=before,
        problem=problem,
        pinned=_settings().model,
        versions=registry.versions(folder),
        runs=runs,
        busy=bool(runs) and runs[0].status in ("waiting", "running"),
        log=log,
    )


@blueprint.post("/desk/models/retrain")
@login.needs("lead")
def retrain():
    """Begin a training run in a process of its own."""
    settings = _settings()
    environment = {
        **os.environ,
        "MODERATION_DATABASE_URL": settings.database_url,
        "MODERATION_MODELS": str(settings.models.resolve()),
    }
    try:
        retraining.start(current_app.extensions["engine"], login.name(), environment=environment)
    except retraining.Busy as error:
        flash(f"Not begun: {error}.")
    return redirect(url_for("rollout.models"))


@blueprint.get("/desk/models/runs/<int:id>")
@login.needs("lead")
def run(id):
    """A training run: how far it is; when it is done, what its candidate would change."""
    with reading() as session:
        row = next((each for each in retraining.runs(session, 1000) if each.id == id), None)
        texts = _texts(session, row.preview) if row else {}
    if row is None:
        raise NotFound("There is no such training run.")
    if "HX-Request" in request.headers:
        html = render_template("_run.html", run=row)
        # When it is over there is more to show than a bar.
        over = row.status in ("done", "failed")
        return Response(html, headers={"HX-Refresh": "true"} if over else {})
    folder = _settings().models
    return render_template(
        "run.html",
        run=row,
        active=registry.active(folder),
        there=row.version in registry.versions(folder),
        labels=LABELS,
        texts=texts,
        shown=SHOWN,
    )


def _texts(session, preview):
    """The texts of the comments that a preview names; those erased since have none."""
    flips = [flip for label in preview.get("flips", {}).values() for way in label.values() for flip in way["comments"]]
    return queue.texts(session, [flip["revision"] for flip in flips])


@blueprint.get("/desk/models/versions/<version>/report")
@login.needs("lead")
def report(version):
    """The evaluation report of a version."""
    folder = _settings().models
    if version not in registry.versions(folder):
        raise NotFound("There is no such version.")
    html = (folder / version / registry.REPORT).read_text("utf-8")
    # One file with its plots and styles inside; scripts stay forbidden.
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox"
    return Response(html, headers={"Content-Security-Policy": policy})


@blueprint.post("/desk/models/versions/<version>/promote")
@login.needs("lead")
def promote(version):
    """Make a version the active one; scoring goes on meanwhile."""
    try:
        with writing() as session:
            retraining.promote(session, _settings().models, version, login.name())
    except ModelError as error:
        flash(f"Not promoted: {error}.")
    else:
        flash(f"{version} is active.")
    return redirect(url_for("rollout.models"))


@blueprint.post("/desk/models/rollback")
@login.needs("lead")
def roll_back():
    """Go back to the version that was active before."""
    try:
        with writing() as session:
            row = retraining.roll_back(session, _settings().models, login.name())
    except ModelError as error:
        flash(f"Not rolled back: {error}.")
    else:
        flash(f"Rolled back: {row.version} is active again.")
    return redirect(url_for("rollout.models"))
