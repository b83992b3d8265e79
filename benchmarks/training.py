"""What training the shipped model costs, step by step: ``python -m benchmarks.training --corpora FOLDER``.

Training is all that the model's weights, calibrations and thresholds need. What ``build-default`` measures for the card
beside it is no part of it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.__main__ import HERE, table
from moderation import cost, processes, registry, shipped
from moderation.settings import ROOT

TEXT = """## Training the shipped model

{rows:,} labelled comments, in {jobs} processes. Processor seconds and memory are those of all processes together, what
they share counted once.

{table}
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--corpora", type=Path, default=ROOT.parent / "shared" / "corpora")
    parser.add_argument("--jobs", type=int, default=processes.available(), help="processes")
    options = parser.parse_args()
    costs = cost.Costs()
    data, _, fitted = shipped.train(options.corpora, jobs=options.jobs, costs=costs)
    whole = costs.total(shipped.TRAINED)
    rows = [dict(vars(step)) for step in costs.steps] + [{**vars(whole), "name": "in all"}]
    for row in rows:
        row["megabytes"] = f"{row['megabytes']:.0f}"
    names = {
        "name": "step",
        "seconds": "seconds",
        "processor_seconds": "processor seconds",
        "megabytes": "most memory, MB",
    }
    text = TEXT.format(rows=len(data.comments), jobs=options.jobs, table=table(rows, names, 1))
    (HERE / "training.md").write_text(text, encoding="utf-8")
    print("\n".join(costs.lines()))
    print(f"SHA-256 of the weights: {registry.digest(fitted.model)}")


if __name__ == "__main__":
    main()
