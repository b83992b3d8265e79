"""How scores, flags and decisions drift: by week and model version; and how far moderators agree."""

from __future__ import annotations

from flask import Blueprint, current_app, render_template

from moderation import login
from moderation.comments import LABELS
from moderation.desk import reading

blueprint = Blueprint("dashboard", __name__)
login.show_errors(blueprint)


@blueprint.get("/desk/drift")
@login.needs("moderator")
def drift():
    """The weeks' figures as plots, and in a table."""
    # pandas is needed for no other page.
    from moderation import learning

    rows = current_app.extensions["drift"].get()
    with reading() as session:
        agreement = learning.agreement(session)
    weeks = sorted({row["week"] for row in rows})
    models = sorted(
        {row["model"] for row in rows}, key=lambda model: next(r["week"] for r in rows if r["model"] == model)
    )
    return render_template(
        "drift.html",
        rows=rows,
        weeks=weeks,
        models=models,
        agreement=agreement,
        lines=[
            _line("Flagged, share of all comments", rows, weeks, models, "flag_rate", None),
            _line("Right, share of what was flagged and decided", rows, weeks, models, "precision", "interval"),
        ],
        maps=[_map(label, rows, weeks) for label in LABELS],
    )


def _x(week, weeks):
    return 200 * (weeks.index(week) + 0.5) / len(weeks)


def _line(title, rows, weeks, models, value, interval):
    """A plot of shares by week, a line for each model, in a field of 200 by 60."""
    known = [row for row in rows if row[value] is not None]
    top = min(
        1.0, 1.15 * max((max(row[value], (row[interval] or [0, 0])[1] if interval else 0) for row in known), default=1)
    )
    y = lambda share: 58 - 54 * share / (top or 1)  # noqa: E731
    points = [
        {
            "x": _x(row["week"], weeks),
            "y": y(row[value]),
            "bar": [y(end) for end in row[interval]] if interval and row[interval] else None,
            "model": models.index(row["model"]) % 6,
            "said": f"{row['week']}: {100 * row[value]:.0f} % ({row['model']})",
        }
        for row in known
    ]
    lines = [
        (
            number % 6,
            " ".join(f"{p['x']:.1f},{p['y']:.1f}" for p, r in zip(points, known, strict=True) if r["model"] == model),
        )
        for number, model in enumerate(models)
    ]
    return {"title": title, "top": top, "points": points, "lines": lines}


def _map(label, rows, weeks):
    """The distribution of a label's probability, a column for each week; darker where there are more comments."""
    cells = []
    for week in weeks:
        together = [
            sum(bins)
            for bins in zip(*(r["labels"][label]["histogram"] for r in rows if r["week"] == week), strict=True)
        ]
        total = sum(together) or 1
        for place, number in enumerate(together):
            if number:
                # The square root of the square root: high scores are rare, and the ones that matter.
                cells.append(
                    {
                        "x": 200 * weeks.index(week) / len(weeks),
                        "y": 60 - 3 * (place + 1),
                        "shade": round((number / total) ** 0.25, 3),
                        "said": f"{week}: {number:,} from {place / 20:.2f} to {(place + 1) / 20:.2f}",
                    }
                )
    return {"label": label, "cells": cells, "width": 200 / max(1, len(weeks))}
