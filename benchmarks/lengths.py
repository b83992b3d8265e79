"""Are long comments flagged more often than short ones? ``python -m benchmarks.lengths``.

On published reader comments of a corpus that is left out of training, at the shipped threshold. Comments that are put
together of others, as in ``RESULTS.md``, have as many chances to hold something; these are as readers wrote them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.__main__ import HERE, table
from moderation import processes, registry, shipped
from moderation.settings import ROOT
from moderation.training import Recipe, TextTrainer

CORPUS, LABEL = "nyt_room_for_debate", "abusive"
WORDS = ((20, 50), (50, 75), (75, 100), (100, 150), (150, 250))


def measure(corpora: Path) -> list[dict]:
    """Share of flagged comments by their number of words: of all, and of those without any abuse by their grades."""
    data, _ = shipped.read(corpora)
    trainer = TextTrainer(data.comments, Recipe(), jobs=processes.available(), ngrams=data.ngrams)
    corpus = trainer.comments["corpus"].to_numpy()
    rows = np.flatnonzero(corpus == CORPUS)
    [(_, _, logits)] = trainer.unseen([(np.flatnonzero(corpus != CORPUS), rows, [LABEL])])
    model = registry.load(ROOT / "models", registry.DEFAULT).model
    flagged = model.calibrations[LABEL].probability(logits[LABEL]) >= model.thresholds[LABEL]
    part = trainer.comments.iloc[rows]
    clean = (part[f"graded_{LABEL}"] == 0).to_numpy()
    size = part["text"].str.split().str.len().to_numpy()
    found = []
    for low, high in WORDS:
        some = (size >= low) & (size < high)
        found.append(
            {
                "words": f"{low} to {high - 1}",
                "rows": int(some.sum()),
                "flagged": float(flagged[some].mean()),
                "clean": int((some & clean).sum()),
                "clean_flagged": float(flagged[some & clean].mean()),
            }
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lengths", description=__doc__)
    parser.add_argument("--corpora", type=Path, default=ROOT.parent / "shared" / "corpora")
    rows = measure(parser.parse_args().corpora)
    names = {
        "words": "words",
        "rows": "comments",
        "flagged": "flagged as abusive",
        "clean": "of these without abuse",
        "clean_flagged": "flagged as abusive",
    }
    (HERE / "lengths.md").write_text(TEXT.format(table=table(rows, names)), encoding="utf-8")


TEXT = """## Long and short comments as readers wrote them

Published comments of Room for Debate, all of which is left out of training, at the shipped threshold; without abuse by
the grades of `data/README.md`. Written by `python -m benchmarks.lengths`.

{table}
"""

if __name__ == "__main__":
    main()
