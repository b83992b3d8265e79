"""Choosing a threshold from a stored curve: "maximum recall @ precision >= 0.9".

The language is that of the ORES article quality service, whose model statistics answer such queries.
"""

from __future__ import annotations

import re

METRICS = ("threshold", "precision", "recall", "fpr", "flag_rate", "f1")

_QUERY = re.compile(
    r"\s*(?P<goal>maximum|minimum)\s+(?P<metric>\w+)\s*@\s*(?P<bound>\w+)\s*(?P<sign>>=|<=)\s*(?P<value>[0-9.eE+-]+)\s*"
)


class QueryError(ValueError):
    """A threshold query that cannot be read, and how it should look."""


def best_threshold(query: str, curve: dict[str, list[float]]) -> dict[str, float] | None:
    """The point of a curve that meets a requirement best.

    Parameters
    ----------
    query : str
        ``(maximum|minimum) METRIC @ METRIC (>=|<=) NUMBER`` with the metrics of `METRICS`.
    curve : dict of str to list of n floats
        A value for each metric at each of n thresholds.

    Returns
    -------
    dict or None
        Every metric at that point; None when no threshold meets the requirement.

    Raises
    ------
    QueryError
    """
    parts = _QUERY.fullmatch(query)
    if not parts:
        raise QueryError('cannot be read; write for example "maximum recall @ precision >= 0.9"')
    for name in (parts["metric"], parts["bound"]):
        if name not in METRICS:
            raise QueryError(f"{name!r} is not known; use {', '.join(METRICS)}")
    try:
        value = float(parts["value"])
    except ValueError:
        raise QueryError(f"{parts['value']!r} is not a number") from None
    bound, metric = curve[parts["bound"]], curve[parts["metric"]]
    meets = [i for i, found in enumerate(bound) if (found >= value if parts["sign"] == ">=" else found <= value)]
    if not meets:
        return None
    choose = max if parts["goal"] == "maximum" else min
    best = choose(meets, key=lambda i: metric[i])
    return {name: curve[name][best] for name in METRICS}
