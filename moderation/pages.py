"""Pages for people: the demonstration, the interface's documentation, the model's report."""

from __future__ import annotations

from flask import Blueprint, Response, current_app, render_template
from markupsafe import Markup, escape

from moderation import api, auth, registry, store
from moderation.comments import Article, Comment
from moderation.registry import ModelError

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
@auth.permit(auth.ANY)
def home():
    """What the service is, with the demonstration comments and their scores."""
    serving = current_app.extensions["serving"]
    cards, version = [], None
    try:
        scorer = serving.get()
        version = scorer.version
    except ModelError:
        scorer = None
    with api.store_session() as session:
        if scorer and auth.is_demonstration():
            rows = store.invented_comments(session)
            scores = scorer.score(
                [
                    Comment(
                        row.text,
                        row.id,
                        Article(row.article.title, row.article.body) if row.article else None,
                        row.parent_text,
                    )
                    for row in rows
                ]
            )
            cards = [
                {
                    "row": row,
                    "title": row.article.title if row.article else "",
                    "score": score,
                    "text": underline(row.text, score),
                }
                for row, score in zip(rows, scores, strict=True)
            ]
    return render_template("home.html", cards=cards, version=version, problem=serving.problem)


def underline(text: str, score, labels=None) -> Markup:
    """The comment as markup, the words that speak for `labels` (by default the flagged ones) marked by how much
    they count."""
    weights: dict[int, float] = {}
    for label, scored in score.labels.items():
        if label == "off_topic" or not (scored.flagged if labels is None else label in labels):
            continue
        for term in scored.terms:
            if term.weight > 0 and term.end - term.begin > 1:
                for place in range(term.begin, term.end):
                    weights[place] = max(weights.get(place, 0), term.weight)
    strongest = max(weights.values(), default=1)
    # Where everything is underlined nothing is.
    weights = {place: weight for place, weight in weights.items() if weight >= strongest / 8}
    parts, begin = [], 0
    for place in range(1, len(text) + 1):
        if place == len(text) or weights.get(place) != weights.get(begin):
            piece = escape(text[begin:place])
            if begin in weights:
                level = 1 + min(2, int(3 * weights[begin] / strongest))
                piece = Markup('<mark class="w{}">{}</mark>').format(level, piece)
            parts.append(piece)
            begin = place
    return Markup("").join(parts)


@blueprint.get("/docs")
@auth.permit(auth.ANY)
def docs():
    """The interface, for people."""
    document = api.openapi_document()
    return render_template("docs.html", document=document, schemas=document["components"]["schemas"])


@blueprint.get("/model/report")
@auth.permit(auth.ANY)
def report():
    """The evaluation report of the model that is being served."""
    scorer = api.scorer()
    html = (scorer.folder / registry.REPORT).read_text("utf-8")
    if auth.is_demonstration():
        html = html.replace("<body>", "<body>\n<p><strong>Demonstration: no API key was made yet.</strong></p>", 1)
    # The report is one file with its plots and styles inside; scripts stay forbidden.
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox"
    return Response(html, headers={"Content-Security-Policy": policy})
