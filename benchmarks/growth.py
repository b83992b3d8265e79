"""How cost grows: longer comments, longer files, more articles: ``python -m benchmarks.growth``.

Files are scored by the command line in a process of their own, whose processor time and memory the system tells.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import random
import sys
import tempfile
from pathlib import Path

import matplotlib

from benchmarks import speed
from moderation import registry
from moderation.scorer import Scorer
from moderation.settings import ROOT

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

HERE = Path(__file__).parent
ROWS = (10_000, 100_000, 1_000_000)
ARTICLES = (1_000, 10_000, 100_000)


def _rows(path, key):
    with open(path, newline="", encoding="utf-8") as file:
        return [row[key] for row in csv.DictReader(file)]


def _write(path, columns, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)


def _run(*arguments) -> dict:
    """Processor seconds and most memory of a run of the command line."""
    command = [sys.executable, "-m", "moderation", "score", *map(str, arguments)]
    quiet = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)]
    child = os.posix_spawn(sys.executable, command, dict(os.environ), file_actions=quiet)
    _, status, used = os.wait4(child, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return {"seconds": used.ru_utime + used.ru_stime, "megabytes": used.ru_maxrss / 1024}


def files(sizes=ROWS) -> list[dict]:
    """Files of more and more comments without articles: those of the starter set, each with another ending."""
    texts, found = _rows(ROOT / "data" / "comments.csv", "text"), []
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            rng, source = random.Random(0), Path(folder) / "comments.csv"
            rows = ((number, f"{rng.choice(texts)} {rng.choice(texts)[:20]}{number}") for number in range(size))
            _write(source, ("id", "text"), rows)
            found.append({"rows": size, **_run(source, Path(folder) / "scores.csv")})
    return found


def articles(sizes=ARTICLES, comments: int = 5_000) -> list[dict]:
    """The same comments under articles out of more and more that are known."""
    texts, bodies = _rows(ROOT / "data" / "comments.csv", "text"), _rows(ROOT / "data" / "articles.csv", "body")
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            rng, place = random.Random(0), Path(folder)
            known = ((number, f"Article {number}", f"{rng.choice(bodies)[:800]} {number}") for number in range(size))
            _write(place / "articles.csv", ("id", "title", "body"), known)
            # Comments stand under articles of the day, not under one each.
            rows = ((number, rng.randrange(200), rng.choice(texts)) for number in range(comments))
            _write(place / "comments.csv", ("id", "article_id", "text"), rows)
            used = _run(place / "comments.csv", place / "scores.csv", "--articles", place / "articles.csv")
            found.append({"articles": size, "comments": comments, **used})
    return found


def plot(lengths, of_files, of_articles) -> None:
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
    axes[0].plot([row["characters"] for row in lengths], [row["seconds"] * 1e3 for row in lengths], "o-")
    axes[0].set(xlabel="characters of one comment", ylabel="milliseconds", ylim=(0, None), xlim=(0, None))
    axes[1].plot([row["rows"] for row in of_files], [row["seconds"] for row in of_files], "o-")
    axes[1].set(xlabel="comments in a file", ylabel="processor seconds", xscale="log", yscale="log")
    axes[2].plot([row["articles"] for row in of_articles], [row["seconds"] for row in of_articles], "o-")
    axes[2].set(xlabel="articles known", ylabel="processor seconds, 5,000 comments", xscale="log")
    decades = [math.log10(row["seconds"]) for row in of_files]
    low, high = math.floor(min(decades)), math.ceil(max(decades))
    axes[1].set(ylim=(10.0**low, 10.0**high), yticks=[10.0**decade for decade in range(low, high + 1)])
    axes[1].minorticks_off()
    axes[2].margins(y=0.2)
    axes[2].set_ylim(0, None)
    for axis in axes:
        axis.grid(alpha=0.3)
    figure.savefig(HERE / "growth.png", dpi=130)


TEXT = """## Growth

Processor time and most memory of `python -m moderation score`, from the start of the process to its end.

| comments in the file | processor seconds | milliseconds a comment | memory MB |
|---:|---:|---:|---:|
{files}

| articles known, 5,000 comments | processor seconds | memory MB |
|---:|---:|---:|
{articles}

![Cost by length, by comments in a file, by articles known](growth.png)
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS[-1], help="the longest file")
    most = parser.parse_args().rows
    lengths = speed.growth(Scorer(registry.load(ROOT / "models", registry.DEFAULT)))
    of_files = files([size for size in ROWS if size < most] + [most])
    of_articles = articles()
    plot(lengths, of_files, of_articles)
    text = TEXT.format(
        files="\n".join(
            f"| {row['rows']:,} | {row['seconds']:.1f} | {row['seconds'] / row['rows'] * 1e3:.2f} "
            f"| {row['megabytes']:.0f} |"
            for row in of_files
        ),
        articles="\n".join(
            f"| {row['articles']:,} | {row['seconds']:.1f} | {row['megabytes']:.0f} |" for row in of_articles
        ),
    )
    (HERE / "growth.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
