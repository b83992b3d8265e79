"""The evaluation report: one HTML file with its plots inside."""

from __future__ import annotations

import base64
import io
from html import escape

import numpy as np

from moderation.comments import LABELS
from moderation.evaluation import harden, rate_weights

_NAMES = {label: label.replace("_", "-").capitalize() for label in LABELS}
_INK, _BLUE, _ORANGE, _GREY = "#1f2933", "#2b6cb0", "#c05621", "#a0aec0"

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;color:#1f2933;background:#fff;max-width:76rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.7rem}h2{margin-top:2.5rem;border-bottom:1px solid #cbd5e0;padding-bottom:.2rem}
table{border-collapse:collapse;margin:1rem 0;font-size:.92rem;display:block;overflow-x:auto}
th,td{padding:.3rem .7rem;text-align:right;border-bottom:1px solid #e2e8f0;white-space:nowrap}
th:nth-child(-n+2),td:nth-child(-n+2){text-align:left}td:nth-child(-n+2){white-space:normal}td:first-child{min-width:5.5rem}th{background:#f7fafc;white-space:normal}
img{max-width:100%;height:auto}p,li{max-width:46rem}.note{color:#4a5568;font-size:.92rem}
"""


def page(card: dict, held: dict) -> str:
    """The report of a model.

    Parameters
    ----------
    card : dict
        As `moderation.card.make` gives.
    held : dict of str to Held
        For the plots.

    Returns
    -------
    str
        HTML.
    """
    parts = [
        f"<h1>Evaluation of model {escape(card['version'])}</h1>",
        f"<p>{escape(card['intended_use'])}</p>",
        _summary(card),
    ]
    if card.get("any_label"):
        parts.append(_any_label(card["any_label"]))
    if "measured" in card:
        parts.append(_measured(card["measured"]))
    if "comparison" in card:
        parts.append(_comparison(card))
    for label in LABELS:
        if label in held:
            parts.append(_label(card, label, held[label]))
    parts.append(
        "<h2>Known failures</h2><ul>" + "".join(f"<li>{escape(f)}</li>" for f in card["known_failures"]) + "</ul>"
    )
    parts.append(_data(card))
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>Evaluation of {escape(card['version'])}</title><style>{_STYLE}</style>"
        f"<body>{''.join(parts)}</body></html>\n"
    )


def _interval(values, digits=2):
    return f"{values[0]:.{digits}f} to {values[1]:.{digits}f}" if values else "–"


def _table(head, rows):
    header = "".join(f"<th scope=col>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table>"


def _summary(card):
    rows = []
    for label in LABELS:
        found = card["at_threshold"].get(label)
        if not found:
            continue
        rows.append(
            [
                _NAMES[label],
                f"{found['threshold']:.3f}",
                f"{found['base_rate']:.0%}",
                *(
                    f"{found[name]['value']:.1%} ({found[name]['interval'][0]:.1%} to {found[name]['interval'][1]:.1%})"
                    for name in ("precision", "recall", "flag_rate")
                ),
                f"{card['reliability'][label]['ece']:.3f}",
            ]
        )
    return (
        "<h2>At the threshold</h2><p>On held-out comments, weighted to the share that a label is assumed to have in a "
        "newsroom's stream; 95 % intervals.</p>"
        + _table(
            ["label", "threshold", "assumed share", "precision", "recall", "flagged", "calibration error"],
            rows,
        )
    )


_KNOWN = {
    "text": "abusive or mocking, without an article",
    "article": "any of the three, under an article",
    "starter_held_out": "the same, articles of the starter set that no model trains on",
    "globe_and_mail_eval_only": "abusive or mocking, a paper that no model trains on, at its own shares",
}


def _any_label(found):
    rows = [
        [
            _KNOWN[kind],
            f"{row['rows']:,}",
            f"{row['positives']:,}",
            f"{row['base_rate']:.1%}",
            f"{row['ece']:.4f}",
            f"{row['independent']:.4f}",
        ]
        for kind, row in found.items()
    ]
    return (
        "<h2>Whether any label applies</h2><p>On held-out comments whose labels are all known, weighted so that each "
        "label has its assumed share. The last column is the error that taking the labels for independent would make."
        "</p>" + _table(["", "rows", "positive", "share", "calibration error", "if independent"], rows)
    )


def _measured(measured):
    rows = []
    for label in LABELS:
        inside, outside = measured["cross_validated"].get(label, {}), measured["left_out"].get(label, {})
        for corpus in sorted({*inside, *outside}):
            first, second = inside.get(corpus), outside.get(corpus)
            some = first or second
            rows.append(
                [
                    _NAMES[label],
                    corpus,
                    f"{some['rows']:,}",
                    f"{some['positives']:,}",
                    _auc(first),
                    _auc(second),
                ]
            )
    html = (
        "<h2>By corpus</h2><p>ROC AUC with its 95 % interval. “Left out” is the figure for a newsroom that the model "
        "has never seen: no comment of that corpus trained it. Off-topic pairs a comment with its own and with a wrong "
        "article, none of which was in training: a random one, of a fifth of the corpus's articles or, left out, of "
        "all; the most similar one of a fifth; or the nearest, the most similar of all.</p>"
        + _table(["label", "corpus", "rows", "positive", "cross-validated", "left out"], rows)
    )
    if measured["never_trained"]:
        rows = [[name, _NAMES[r["label"]], *_row(r)] for name, r in measured["never_trained"].items()]
        html += "<p>Corpora that no model trains on:</p>"
        html += _table(["corpus", "label", "rows", "positive", "AUC"], rows)
    rows = [[_NAMES[label], *_row(r)] for label, r in measured["starter_held_out"].items()]
    html += "<p>Articles of the starter set that no model trains on:</p>"
    html += _table(["label", "rows", "positive", "AUC"], rows)
    return html


def _row(found):
    return f"{found['rows']:,}", f"{found['positives']:,}", _auc(found)


def _auc(found):
    if not found or found["auc"] is None:
        return "–"
    return f"{found['auc']:.3f} ({_interval(found['interval'], 3)})"


def _comparison(card):
    rows = []
    for label, row in card["comparison"].items():
        if row["difference"] is None:
            rows.append([_NAMES[label], f"{row['rows']:,}", row["positives"], "–", "–", "–"])
        else:
            rows.append(
                [
                    _NAMES[label],
                    f"{row['rows']:,}",
                    row["positives"],
                    f"{row['old']:.3f}",
                    f"{row['new']:.3f}",
                    f"{row['difference']:+.3f} ({_interval(row['interval'], 3)})",
                ]
            )
    return (
        f"<h2>Against {escape(card['compared_with'])}</h2><p>ROC AUC of both models on the same held-out comments.</p>"
        + _table(["label", "rows", "positive", "active", "candidate", "difference"], rows)
    )


def _data(card):
    rows = [
        [s["corpus"], s["file"], f"{s['rows']:,}", s.get("licence", "the newsroom's own"), s["sha256"][:16]]
        for s in card["data"]
    ]
    return (
        "<h2>Data</h2>"
        + _table(["data set", "file", "rows", "licence", "SHA-256"], rows)
        + "<p class=note>Libraries: "
        + ", ".join(f"{escape(k)} {escape(v)}" for k, v in card["libraries"].items())
        + f". Seed {card['seed']}.</p>"
    )


def _label(card, label, rows):
    plots = "".join(
        f"<img alt='{escape(text)}' src='data:image/png;base64,{data}'>"
        for text, data in (
            (f"{_NAMES[label]}: precision and recall, and reliability", _curves(card, label)),
            (f"{_NAMES[label]}: scores and confusion at the threshold", _scores(card, label, rows)),
        )
    )
    return f"<h2>{_NAMES[label]}</h2>{plots}"


def _png(figure):
    buffer = io.BytesIO()
    # Without the software's name and date the same figures give the same bytes.
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return base64.b64encode(buffer.getvalue()).decode()


def _axes(titles):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplots(1, 2)
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title, fontsize=11, color=_INK)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(color="#edf2f7")
        axis.set_axisbelow(True)
    return figure, axes


def _curves(card, label):
    figure, (left, right) = _axes(["Precision and recall by threshold", "Reliability"])
    points, found = card["curves"][label], card["at_threshold"][label]
    left.plot(points["recall"], points["precision"], color=_BLUE, lw=2)
    left.plot(found["recall"]["value"], found["precision"]["value"], "o", color=_ORANGE, ms=8)
    left.annotate(
        f"threshold {found['threshold']:.2f}",
        (found["recall"]["value"], found["precision"]["value"]),
        xytext=(10, 8),
        textcoords="offset points",
        color=_ORANGE,
    )
    left.axhline(found["base_rate"], color=_GREY, ls="--", lw=1)
    left.text(1, found["base_rate"] + 0.01, "flagging at random", ha="right", color="#718096", fontsize=9)
    left.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02))
    shown = card["reliability"][label]
    top = min(1.0, 1.15 * max(*shown["predicted"], *shown["observed"], 0.05))
    right.plot([0, top], [0, top], color=_GREY, ls="--", lw=1)
    right.plot(shown["predicted"], shown["observed"], "o-", color=_BLUE, lw=1.5)
    right.set(xlabel="predicted probability", ylabel="observed share", xlim=(0, top), ylim=(0, top))
    return _png(figure)


def _scores(card, label, rows):
    figure, (left, right) = _axes(["Scores", "Per 1,000 comments at the threshold"])
    found = card["at_threshold"][label]
    used = rows.weights > 0
    labels, scores, weights = rows.labels[used], rows.scores[used], rows.weights[used]
    truth = harden(labels)
    bins = np.linspace(0, 1, 41)
    for side, name, color in ((~truth, "without the label", _BLUE), (truth, "with the label", _ORANGE)):
        share = weights[side] / max(weights[side].sum(), 1e-12)
        left.hist(scores[side], bins, weights=share, color=color, alpha=0.55, label=name)
    left.axvline(found["threshold"], color=_INK, lw=1)
    left.set(xlabel="score", ylabel="share of the comments (log)", yscale="log", xlim=(0, 1))
    left.legend(frameon=False, fontsize=9)
    negative, positive = rate_weights(labels, found["base_rate"], weights)
    flagged = scores >= found["threshold"]
    table = 1000 * np.array(
        [
            [positive[flagged].sum(), positive[~flagged].sum()],
            [negative[flagged].sum(), negative[~flagged].sum()],
        ]
    )
    right.imshow(np.log1p(table), cmap="Blues", vmax=np.log1p(1500))
    right.grid(False)
    for row in range(2):
        for column in range(2):
            value = table[row, column]
            right.text(
                column,
                row,
                f"{value:.1f}",
                ha="center",
                va="center",
                fontsize=15,
                color="white" if value > 150 else _INK,
            )
    right.set_xticks([0, 1], ["flagged", "not flagged"])
    right.set_yticks([0, 1], [f"{_NAMES[label].lower()}", "not"])
    right.spines[:].set_visible(False)
    return _png(figure)
