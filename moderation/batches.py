"""Many comments at once: a range of probabilities on a histogram, a sample of it, one decision, one undo."""

from __future__ import annotations

from dataclasses import replace

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import BadRequest, Forbidden, NotFound

from moderation import login, people, queue
from moderation.comments import LABELS
from moderation.desk import cards, chosen, policy, query_string, reading, told, writing
from moderation.store import REASONS, BatchRow, ModeratorRow

BINS = 20
SAMPLE = 8  #: comments that are shown of a range
LARGEST = 5_000  #: comments in one batch: the database is everybody's, and a batch holds it

blueprint = Blueprint("batches", __name__)
login.show_errors(blueprint)


def _range(args):
    """The filter of the page: open comments; nothing is chosen before somebody has chosen."""
    found, _ = chosen(MultiDict({**args, "status": "open", "contested": ""}))
    if not 0 <= found.low < found.high <= 1:
        raise BadRequest("The range is empty: it goes from the lower to the higher probability.")
    return found


@blueprint.get("/desk/batch")
@login.needs("moderator")
def batch():
    """The histogram, a sample of the chosen range, and the newest batches."""
    found = _range(request.args)
    asked = "low" in request.args
    with reading() as session:
        bins, number, sample = queue.picture(session, found, BINS, SAMPLE if asked else 0)
        sections, batches = queue.sections(session), queue.batches(session)
        names = {row.id: row.name for row in people.everybody(session)}
    top = max(bins) or 1
    columns = [
        {
            "low": place / BINS,
            "high": (place + 1) / BINS,
            "number": height,
            # A single comment among thousands is still to be seen.
            "height": max(1.5, 60 * height / top) if height else 0,
            "inside": asked and found.low <= place / BINS and (place + 1) / BINS <= found.high + 1e-9,
        }
        for place, height in enumerate(bins)
    ]
    return render_template(
        "batch.html",
        columns=columns,
        top=top,
        chosen=found,
        asked=asked,
        number=number if asked else 0,
        largest=LARGEST,
        cards=cards(sorted(sample, key=lambda item: -item.probability)),
        labels=LABELS,
        sections=sections,
        reasons=REASONS,
        batches=batches,
        names=names,
        size=SAMPLE,
    )


@blueprint.post("/desk/batch")
@login.needs("moderator")
def decide():
    """Decide everything in the range."""
    found, me = _range(request.form), login.person()
    verdict, _, reason = request.form.get("choice", "").partition(":")
    if (verdict, reason) != ("approve", "") and not (verdict == "reject" and reason in REASONS):
        raise BadRequest("A batch approves, or rejects for a reason.")
    with writing() as session:
        number = queue.count(session, found)
        if number > LARGEST:
            raise BadRequest(f"These are {number:,} comments; a batch has at most {LARGEST:,}. Choose a smaller range.")
        person = session.get_one(ModeratorRow, me.id)
        made, left = queue.decide_batch(session, person, found, verdict, policy(), reason=reason or None)
        size = made.size
    said = f"{told(verdict, reason)}: {size:,} comments."
    if left:
        said += f" {left:,} were left: somebody has them open, or they are second opinions."
    flash(said)
    return redirect(f"{url_for('batches.batch')}?{query_string(replace(found, low=0.0, high=1.0))}")


@blueprint.post("/desk/batch/<int:id>/undo")
@login.needs("moderator")
def undo(id):
    """Undo a batch, whenever it was."""
    me = login.person()
    with writing() as session:
        row = session.get(BatchRow, id)
        if row is None:
            raise NotFound("There is no such batch.")
        if row.moderator_id != me.id and not people.may(me, "lead"):
            raise Forbidden("Moderators undo their own batches, leads everybody's.")
        undone, left = queue.undo_batch(session, id, policy(), who=me.name, moderator_id=me.id)
    flash(f"Undone: {undone:,} decisions." + (f" {left:,} no longer stood as the batch left them." if left else ""))
    return redirect(url_for("batches.batch"))
