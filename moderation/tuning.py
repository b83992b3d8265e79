"""The threshold simulator: what a threshold would do, on the newsroom's own decisions; drag, see, save."""

from __future__ import annotations

from flask import Blueprint, current_app, flash, redirect, render_template, request, url_for
from werkzeug.exceptions import BadRequest, ServiceUnavailable

from moderation import login, overrides, simulation
from moderation.comments import LABELS
from moderation.desk import reading, words, writing
from moderation.registry import ModelError

GRID = tuple(step / 50 for step in range(1, 50))  #: thresholds between which a handle moves

blueprint = Blueprint("tuning", __name__)
login.show_errors(blueprint)


def _scorer():
    try:
        return current_app.extensions["serving"].get()
    except ModelError:
        raise ServiceUnavailable("No model is loaded.") from None


def _label(args):
    label = args.get("label") or LABELS[0]
    if label not in LABELS:
        raise BadRequest(f"{label} is no label.")
    return label


def _stream(session, label, version, section):
    ledger = current_app.extensions["ledger"]
    ledger.refresh(session)
    return ledger.stream(label, version, section=section)


@blueprint.get("/desk/thresholds")
@login.needs("lead")
def thresholds():
    """What each threshold of a label would do in a section, and the log of changes."""
    label, section, scorer = _label(request.args), request.args.get("section", ""), _scorer()
    with reading() as session:
        own = overrides.current(session)
        found = _stream(session, label, scorer.version, section)
        log = overrides.changes(session, 30)
    sections = current_app.extensions["sections"].get()
    default = scorer.model.thresholds[label]
    current = overrides.threshold(own, label, section, default)
    points = simulation.simulate(found, sorted({*GRID, round(current, 4)}))
    now = next(each for each in points if each["threshold"] == round(current, 4))
    return render_template(
        "thresholds.html",
        label=label,
        section=section,
        labels=LABELS,
        sections=sections,
        current=current,
        default=overrides.threshold({k: v for k, v in own.items() if k != (label, section)}, label, section, default),
        own=own.get((label, section)),
        points=points,
        now=now,
        comments=int(found.numbers.sum()),
        days=found.days,
        plot=_plot(points),
        log=log,
    )


def _plot(points):
    """Flags, wrong and missed comments by threshold, as lines in a field of 200 by 80."""
    top = max((each[name]["value"] or 0 for each in points for name in ("flags", "missed")), default=0) or 1
    lines = {
        name: " ".join(
            f"{200 * each['threshold']:.1f},{78 - 74 * each[name]['value'] / top:.1f}"
            for each in points
            if each[name]["value"] is not None
        )
        for name in ("flags", "wrong", "missed")
    }
    return {"top": top, "lines": lines}


@blueprint.post("/desk/thresholds")
@login.needs("lead")
def save():
    """Set a threshold, or go back to what holds without it."""
    label, section, scorer = _label(request.form), request.form.get("section", ""), _scorer()
    back = url_for("tuning.thresholds", label=label, section=section or None)
    try:
        value = None if request.form.get("reset") else round(float(request.form.get("value", "")), 4)
    except ValueError:
        raise BadRequest("A threshold is a number between 0 and 1.") from None
    with reading() as session:
        own = overrides.current(session)
        found = _stream(session, label, scorer.version, section)
    default = scorer.model.thresholds[label]
    before = overrides.threshold(own, label, section, default)
    rest = {key: each for key, each in own.items() if key != (label, section)}
    after = overrides.threshold(rest, label, section, default) if value is None else value
    figures = dict(zip(("old", "new"), simulation.simulate(found, [before, after]), strict=True))
    try:
        with writing() as session:
            overrides.change(session, label, section, value, who=login.name(), figures=figures)
    except ValueError as error:
        raise BadRequest(f"Not saved: {error}.") from None
    flash(f"Saved: {words(label)} is flagged from {after:.2f}{f' in {section}' if section else ''}, from now on.")
    return redirect(back)
