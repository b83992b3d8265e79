"""The worked example of docs/migrate-from-perspective.md: carries Perspective's threshold over to our model.

    python -m benchmarks.migration --corpora FOLDER [--write]

The comments are talk-page comments that were released with their Perspective score (corpus wikipedia_talk). The
shipped model has been trained on them, which would flatter it; so a model is trained without them, and that is what a
newsroom gets whose comments it has never seen. `--write` puts the figures into the documentation.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import click
import numpy as np

from benchmarks import figures
from moderation import registry, shipped, training

CORPUS = "wikipedia_talk"
DOCUMENT = Path(__file__).parent.parent / "docs" / "migrate-from-perspective.md"
BEGIN, END = "<!-- figures of benchmarks.migration -->\n", "<!-- end of figures -->\n"
THRESHOLDS = (0.5, 0.8)


def train_without(corpora: Path, models: Path) -> None:
    """Train the shipped model's recipe on everything but the corpus."""
    data, _ = shipped.read(corpora)
    rest = np.flatnonzero(data.comments["corpus"] != CORPUS)
    fitted = training.fit(data.part(rest), recipe=training.Recipe())
    fitted.model.version = "without-wikipedia"
    registry.save(models, fitted.model.version, fitted.model, {"version": fitted.model.version})


def example(corpora: Path, models: Path, threshold: float) -> str:
    """What the command says, as a transcript."""
    options = ["--at", f"{threshold:g}", "--score", "perspective_toxicity", "--truth", "abusive"]
    done = subprocess.run(
        [sys.executable, "-m", "moderation", "map-threshold", "--old", str(corpora / CORPUS / "comments.csv")]
        + [*options, "--models", str(models), "--model", "without-wikipedia"],
        capture_output=True,
        text=True,
        check=True,
    )
    command = f"$ python -m moderation map-threshold --old scores.csv {' '.join(options)}"
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    return "\n".join(["```console", command, *lines, "```"])


@click.command()
@click.option("--corpora", type=click.Path(path_type=Path, exists=True), required=True, help="Folder of the corpora.")
@click.option("--write", is_flag=True, help="Put the figures into the documentation.")
def main(corpora, write):
    with tempfile.TemporaryDirectory() as folder:
        train_without(corpora, Path(folder))
        found = "\n\n".join(example(corpora, Path(folder), threshold) for threshold in THRESHOLDS)
    click.echo(found)
    if write:
        figures.put(DOCUMENT, BEGIN, END, found)


if __name__ == "__main__":
    main()
