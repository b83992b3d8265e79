"""The page that erases: a comment, or all of an author; and shows the proofs."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request, url_for
from sqlalchemy import func, select
from werkzeug.exceptions import BadRequest

from moderation import erasure, login
from moderation.desk import reading, writing
from moderation.store import CommentRow, ErasureRow

KINDS = {"comment": "a comment, by its id", "author": "all comments of an author, by the author's key"}
SHOWN = 50  #: newest proofs

blueprint = Blueprint("erasures", __name__)
login.show_errors(blueprint)


@blueprint.get("/desk/erasure")
@login.needs("lead")
def page():
    """What to erase, and the newest proofs."""
    return _page(request.args.get("kind", "comment"), request.args.get("key", ""))


def _asked():
    kind, key = request.form.get("kind", ""), request.form.get("key", "").strip()
    if kind not in KINDS or not key:
        raise BadRequest("Say what to erase: a comment's id, or an author's key.")
    return kind, key


def _page(kind, key, *, found=None, proofs=(), status=200):
    with reading() as session:
        newest = session.scalars(select(ErasureRow).order_by(ErasureRow.id.desc()).limit(SHOWN)).all()
        broken = erasure.broken(session)
    html = render_template(
        "erasure.html", kind=kind, key=key, kinds=KINDS, found=found, proofs=proofs, newest=newest, broken=broken
    )
    return html, status


# By POST: what somebody wants erased has no place in an address, which browsers and proxies keep.
@blueprint.post("/desk/erasure/look")
@login.needs("lead")
def look():
    """How much would go, and what went already."""
    kind, key = _asked()
    column = CommentRow.id if kind == "comment" else CommentRow.author
    there = select(func.count()).where(column == key, CommentRow.erasure_id.is_(None))
    with reading() as session:
        found, proofs = session.scalar(there), erasure.proofs(session, kind, key)
    return _page(kind, key, found=found, proofs=proofs)


@blueprint.post("/desk/erasure")
@login.needs("lead")
def erase():
    """Erase, for good."""
    kind, key = _asked()
    if request.form.get("sure") != "yes":
        raise BadRequest("Nothing is erased before the box is ticked: it cannot be undone.")
    function = erasure.erase_comment if kind == "comment" else erasure.erase_author
    try:
        with writing() as session:
            proof = function(session, key, login.name())
    except erasure.NothingToErase as error:
        flash(f"Nothing was erased: {error}.")
    except OSError as error:
        flash(f"Nothing was erased: an exported file cannot be changed ({error.strerror}).")
    else:
        flash(
            f"Erased: {proof.comments:,} comments with {proof.revisions:,} texts, and {proof.exports:,} rows of "
            f"exported files. Proof {proof.id}: {proof.chain}"
        )
    return redirect(url_for("erasures.page"))
