"""The moderators' desk: the queue's cards, decisions, undo, live counts."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import asdict, dataclass, replace
from urllib.parse import parse_qsl, urlencode

from flask import Blueprint, Response, current_app, flash, redirect, render_template, request, url_for
from markupsafe import Markup
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import BadRequest, Forbidden, NotFound

from moderation import login, people, queue, store
from moderation.comments import LABELS, Article, Comment
from moderation.pages import underline
from moderation.queue import Decision, Filter, Order
from moderation.registry import ModelError
from moderation.store import REASONS, DecisionRow, ItemRow, ModeratorRow

HAND = 10  #: cards that a moderator has at a time
PAGE = 50  #: decided comments on a page
ORDERS: dict[Order, str] = {
    "probability": "most likely first",
    "uncertain": "least certain first",
    "age": "oldest first",
}
LONGEST_LOOK = 3600.0  #: seconds; a page that was left open says nothing about work

blueprint = Blueprint("desk", __name__)
login.show_errors(blueprint)


def reading():
    return store.reading(current_app.extensions["engine"])


def writing():
    return store.writing(current_app.extensions["engine"])


def policy() -> queue.Policy:
    return current_app.extensions["policy"]


def words(label: str | None) -> str:
    """A label or reason as people write it."""
    return (label or "").replace("_", "-")


@blueprint.app_template_filter("words")
def _words(label):
    return words(label)


@blueprint.app_template_filter("ago")
def ago(moment) -> str:
    """How long ago something was, in one unit."""
    seconds = max(0, (store.now() - moment).total_seconds())
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            number = int(seconds // length)
            return f"{number} {unit}{'s' if number > 1 else ''} ago"
    return "just now"


# ---------------------------------------------------------------------------------------- cards


@dataclass(frozen=True)
class Bar:
    """A label's probability and its threshold, as fractions."""

    label: str
    score: float | None
    threshold: float
    flagged: bool


@dataclass(frozen=True)
class Card:
    """What the page shows of an item.

    Attributes
    ----------
    text : Markup
        The comment with the words underlined that count.
    paragraph : str
        The paragraph of the article that has most in common with the comment.
    request : str
        Idempotency key of the decision that is taken on this card.
    """

    item: ItemRow
    text: Markup
    bars: list[Bar]
    paragraph: str
    request: str

    @property
    def flags(self) -> list[str]:
        return [bar.label for bar in self.bars if bar.flagged]


def cards(items: list[ItemRow]) -> list[Card]:
    """Items as cards. Words are underlined as the model that is active now weighs them."""
    comments = [_comment(item) for item in items]
    try:
        # What a comment has to do with its article is not underlined, and would take most of the time.
        scores = current_app.extensions["serving"].get().score([replace(each, article=None) for each in comments])
    except ModelError:
        scores = [None] * len(items)
    return [_card(item, comment, score) for item, comment, score in zip(items, comments, scores, strict=True)]


def card(item: ItemRow) -> Card:
    return cards([item])[0]


def _comment(item):
    article = item.comment.article
    return Comment(
        item.revision.text, item.comment_id, article and Article(article.title, article.body), item.comment.parent_text
    )


def _card(item, comment, score):
    score_row, flags = item.score, item.score.flags()
    bars = [Bar(label, score_row.probability(label), score_row.threshold(label), label in flags) for label in LABELS]
    text = underline(comment.text, score, flags or [_nearest(bars)]) if score else Markup.escape(comment.text)
    paragraph = relevant_paragraph(comment.article.body, comment.text) if comment.article else ""
    return Card(item, text, bars, paragraph, str(uuid.uuid4()))


def _nearest(bars):
    """The label that comes nearest to its threshold: what one would want to see the reason for."""
    return max(bars, key=lambda bar: (bar.score or 0) / max(bar.threshold, 1e-9)).label


def relevant_paragraph(body: str, text: str) -> str:
    """The paragraph of an article that shares the most words with a comment; the first where none does."""
    paragraphs = [part.strip() for part in re.split(r"\n+", body) if part.strip()]
    mine = {word for word in store.words(text) if len(word) > 3}

    def shared(paragraph):
        theirs = {word for word in store.words(paragraph) if len(word) > 3}
        return len(mine & theirs) / (len(theirs) + 10) ** 0.5

    return max(paragraphs, key=shared, default="")


# ---------------------------------------------------------------------------------------- filters


def chosen(args) -> tuple[Filter, Order]:
    """Filter and order as a page's address or form says.

    Raises
    ------
    BadRequest
    """
    number = lambda name, default: float(args.get(name) or default)  # noqa: E731
    try:
        found = Filter(
            label=args.get("label", ""),
            section=args.get("section", ""),
            article=args.get("article", ""),
            author=args.get("author", ""),
            status=args.get("status") or "open",
            text=args.get("text", "")[:200],
            low=number("low", 0),
            high=number("high", 1),
            contested=args.get("contested") == "1",
        )
    except ValueError as error:
        raise BadRequest(f"This filter cannot be used: {error}.") from None
    if found.contested and not people.may(login.person(), "lead"):
        raise Forbidden("Contested comments are settled by leads.")
    order = args.get("order") or "probability"
    if order not in ORDERS:
        raise BadRequest(f"{order} is no order.")
    return found, order


def query_string(found: Filter, order: str = "probability", **more) -> str:
    """The address part that `chosen` reads again; what is as usual is left out."""
    usual = asdict(Filter())
    said = {name: value for name, value in asdict(found).items() if value != usual[name]}
    if found.contested:
        said["contested"] = "1"
    if order != "probability":
        said["order"] = order
    return urlencode({**said, **more})


# ---------------------------------------------------------------------------------------- the queue


@blueprint.get("/desk")
@login.needs("moderator")
def hand():
    """The cards that are the moderator's to decide; or, by status, what was decided."""
    found, order = chosen(request.args)
    me, page = login.person(), max(0, request.args.get("page", 0, int))
    if found.status in ("open", "deferred"):
        with writing() as session:
            items = queue.lease(session, session.get_one(ModeratorRow, me.id), policy(), found, order, size=HAND)
            sections = queue.sections(session)
            counts = queue.counts(session, me)
        more, rows = False, {}
    else:
        with reading() as session:
            items = queue.newest_decided(session, found, limit=PAGE + 1, offset=page * PAGE)
            sections, counts, rows = queue.sections(session), queue.counts(session, me), queue.standing(session, items)
        items, more = items[:PAGE], len(items) > PAGE
    waiting = found.status in ("open", "deferred")
    return render_template(
        "desk.html",
        # What is decided is told in a line, for which nothing needs to be scored.
        cards=cards(items) if waiting else [Card(item, Markup(), [], "", "") for item in items],
        chosen=found,
        order=order,
        orders=ORDERS,
        labels=LABELS,
        sections=sections,
        counts=counts,
        page=page,
        rows=rows,
        more=more,
        back=query_string(found, order),
        reasons=REASONS,
    )


def rehearse(session) -> None:
    """Ask what the first visitor's page will ask, so that the queries are worded and the model has been used."""
    cards(queue.items(session, Filter(), limit=HAND))
    queue.sections(session)
    queue.counts(session)
    queue.picture(session, Filter(), 1, 1)


@blueprint.get("/desk/counts")
@login.needs("moderator")
def counts():
    """The numbers at the head of the page, asked for again and again."""
    with reading() as session:
        return render_template("_counts.html", counts=queue.counts(session, login.person()))


@blueprint.get("/desk/items/<int:id>")
@login.needs("moderator")
def item(id):
    """One comment with everything that was decided about it."""
    with reading() as session:
        try:
            found = queue.item(session, id)
        except queue.Unknown:
            raise NotFound("There is no such comment in the queue.") from None
        hidden = found.status != "decided" and found.source == "double"
        history = [] if hidden else queue.decisions(session, found.comment_id)
        rows = queue.standing(session, [found])
    return render_template("item.html", card=card(found), rows=rows, history=history, back="", reasons=REASONS)


@blueprint.get("/desk/items/<int:id>/context")
@login.needs("moderator")
def context(id):
    """What a card tells beyond the comment: its author's others, similar ones and what was decided of them."""
    with reading() as session:
        try:
            found = queue.item(session, id)
        except queue.Unknown:
            raise NotFound("There is no such comment in the queue.") from None
        author = queue.author_history(session, found.author, but=found.comment_id)
        similar = queue.similar(session, found.comment)
        opinions = queue.decisions(session, found.comment_id) if found.source == "contested" else []
        return render_template("_context.html", item=found, author=author, similar=similar, opinions=opinions)


# ---------------------------------------------------------------------------------------- decisions


def told(verdict: str, reason: str | None) -> str:
    """A decision in words."""
    return {"approve": "Approved", "defer": "Put off", "undo": "Undone"}.get(verdict) or f"Rejected as {words(reason)}"


@blueprint.app_template_filter("told")
def _told(row):
    return told(row.verdict, row.reason)


@blueprint.post("/desk/items/<int:id>/decision")
@login.needs("moderator")
def decide(id):
    """Decide a card; the answer is what stands in its place, and the next card of the queue."""
    me, form = login.person(), request.form
    verdict, _, reason = form.get("choice", "").partition(":")
    try:
        decision = Decision(
            verdict, me.name, me.id, reason or None, seconds=_seconds(form), request=form.get("request") or None
        )
        revision = int(form["revision"])
    except (ValueError, KeyError) as error:
        raise BadRequest(f"This decision cannot be taken: {error}.") from None
    problem: queue.QueueError | None = None
    with writing() as session:
        try:
            found = queue.item(session, id)
            if found.source == "contested" and not people.may(me, "lead"):
                raise Forbidden("Contested comments are settled by leads.")
            made = queue.decide(session, id, decision, policy(), revision_id=revision)
            row: DecisionRow | None = made
            said = f"{told(made.verdict, made.reason)}."
        except queue.Unknown:
            raise NotFound("There is no such comment in the queue.") from None
        except queue.QueueError as error:
            problem, row = error, getattr(error, "decision", None)
            said = f"Not saved: {error}."
        found = queue.item(session, id)
    if "HX-Request" not in request.headers:
        flash(said)
        return redirect(f"{url_for('desk.hand')}?{form.get('back', '')}")
    html = render_template("_decided.html", item=found, row=row, problem=problem, me=me, back=form.get("back", ""))
    if form.get("shown") is not None:
        html += _next_cards(me, form)
    # 409: the page shows it all the same, but nobody takes it for done.
    return Response(html, 409 if problem else 200, {"HX-Trigger": _events(said)})


def _seconds(form):
    seconds = float(form.get("seconds") or 0)
    return min(seconds, LONGEST_LOOK) if seconds > 0 else None


def _events(said):
    return json.dumps({"said": said, "counts": None})


def _next_cards(me, form):
    """Cards for the foot of the hand, so that it stays full; keeps the lease on those that are in it."""
    shown = {int(id) for id in form["shown"].split(",") if id.isdigit()}
    back = form.get("back", "")
    found, order = chosen(_parsed(back))
    with writing() as session:
        person = session.get_one(ModeratorRow, me.id)
        items = queue.lease(session, person, policy(), found, order, size=max(HAND, len(shown)))
    fresh = [each for each in items if each.id not in shown]
    return render_template("_more.html", cards=cards(fresh), back=back, reasons=REASONS) if fresh else ""


def _parsed(back):
    return MultiDict(parse_qsl(back))


@blueprint.post("/desk/decisions/<int:id>/undo")
@login.needs("moderator")
def undo(id):
    """Undo one decision; the answer is the card again."""
    with reading() as session:
        row = session.get(DecisionRow, id)
    if row is None:
        raise NotFound("There is no such decision.")
    return _undo(row)


@blueprint.post("/desk/undo")
@login.needs("moderator")
def undo_last():
    """Undo the moderator's newest decision that still holds, of whatever day."""
    me = login.person()
    with reading() as session:
        row = queue.last_decision(session, me)
    if row is None:
        if "HX-Request" in request.headers:
            return Response("", 204, {"HX-Trigger": json.dumps({"said": "There is nothing to undo."})})
        flash("There is nothing to undo.")
        return redirect(url_for("desk.hand"))
    if row.batch_id is not None:
        with writing() as session:
            undone, left = queue.undo_batch(session, row.batch_id, policy(), who=me.name, moderator_id=me.id)
        flash(
            f"The batch is undone: {undone:,} decisions"
            + (f", {left:,} were not as the batch left them." if left else ".")
        )
        if "HX-Request" in request.headers:
            return Response("", 204, {"HX-Refresh": "true"})
        return redirect(url_for("desk.hand"))
    return _undo(row)


def _undo(row):
    me, form = login.person(), request.form
    if row.moderator_id != me.id and not people.may(me, "lead"):
        raise Forbidden("Moderators undo their own decisions, leads everybody's.")
    problem, item_id = None, row.item_id
    with writing() as session:
        try:
            queue.undo(session, row.id, policy(), who=me.name, moderator_id=me.id)
        except queue.Unknown:
            raise NotFound("There is no such decision.") from None
        except queue.QueueError as error:
            problem, row = error, getattr(error, "decision", None)
        found = queue.item(session, item_id)
    if "HX-Request" not in request.headers:
        flash(f"Not undone: {problem}." if problem else "Undone.")
        return redirect(f"{url_for('desk.hand')}?{form.get('back', '')}")
    if problem:
        html = render_template("_decided.html", item=found, row=row, problem=problem, me=me, back=form.get("back", ""))
        return Response(html, 409, {"HX-Trigger": _events(f"Not undone: {problem}.")})
    html = render_template("_card.html", card=card(found), undone=True, back=form.get("back", ""), reasons=REASONS)
    headers = {"HX-Trigger": _events(f"Undone: {told(row.verdict, row.reason).lower()}.")}
    if str(found.id) in form.get("there", "").split(","):
        headers |= {"HX-Retarget": f"#item-{found.id}", "HX-Reswap": "outerHTML"}
    return Response(html, 200, headers)


@blueprint.post("/desk/release")
@login.needs("moderator")
def release():
    """Put the moderator's cards back for the others."""
    with writing() as session:
        number = queue.release(session, session.get_one(ModeratorRow, login.person().id))
    flash(f"{number} card{'s are' if number != 1 else ' is'} back in the queue.")
    return redirect(url_for("pages.home"))
