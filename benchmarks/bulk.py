"""Files in bulk: ``python -m benchmarks.bulk`` measures and writes the figures of ``docs/scale.md``.

The starter comments, several times over, scored with the local engine and on Dask with one
and two workers, by turns, so that whatever else the machine does falls on all of them.
"""

from __future__ import annotations

import csv
import json
import os
import pickle
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- measured: python -m benchmarks.bulk -->", "<!-- end of what was measured -->"
ENGINES = {"local": 0, "Dask, 1 worker": 1, "Dask, 2 workers": 2}  #: and how many workers
DAY = 86_400
COMMENTS = 10**9  #: a day, in the cost model
BUSY = 0.7  #: share of the time for which a core is counted on
MACHINE = 16  #: cores of one machine


def make(folder: Path, times: int) -> int:
    """Write ``in.csv``; the number of its rows."""
    with open(ROOT / "data" / "comments.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file)) * times
    names = [name for name in ("id", "article_id", "parent_text", "text") if name in rows[0]]
    with open(folder / "in.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows({**row, "id": f"c{number}"} for number, row in enumerate(rows))
    return len(rows)


def core_seconds() -> float:
    """Of this process, those that it started, and those of them that have ended."""
    import psutil

    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    running = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(sum(process.cpu_times()[:2]) for process in running) + ended.ru_utime + ended.ru_stime


def one(source: Path, target: Path, workers: int, articles: str) -> dict[str, float]:
    """Score a file, in a process of its own.

    Returns
    -------
    dict
        ``start``: seconds until the first row is read; ``seconds`` and core seconds ``core`` from then on; ``memory``:
        MB of the largest process.
    """
    from moderation import bulk, cluster, registry
    from moderation.scorer import Scorer
    from moderation.settings import SHIPPED

    begin, first = time.perf_counter(), []

    def rows():
        first.extend((time.perf_counter(), core_seconds()))
        yield from bulk.read_rows(source)

    models, known = SHIPPED / "models", bulk.read_articles(articles) if articles else {}
    if workers:
        cluster.score_file(models, registry.DEFAULT, source, target, known, rows(), workers=workers, part=bulk.BATCH)
    else:
        with bulk.one_thread():
            bulk.score_file(Scorer(registry.load(models, registry.DEFAULT)), source, target, known, rows())
    return {
        "start": first[0] - begin,
        "seconds": time.perf_counter() - first[0],
        "core": core_seconds() - first[1],
        "memory": max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        / 1024,
    }


def throughput(folder: Path, rows: int, rounds: int, articles: str) -> dict[str, dict[str, float]]:
    """For each engine the medians of `one`, and comments a second as ``rate``; ``core`` is for one comment."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ENGINES}
    for _ in range(rounds):
        for name, workers in ENGINES.items():
            command = ["--one", str(workers), "--folder", str(folder), "--articles", articles]
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.bulk", *command], cwd=ROOT, stdout=subprocess.PIPE, check=True
            )
            each = json.loads(done.stdout)
            found[name].append({**each, "rate": rows / each["seconds"], "core": each["core"] / rows})
            click.echo(f"{name}: {found[name][-1]}", err=True)
    if len({(folder / f"{workers}.csv").read_bytes() for workers in ENGINES.values()}) != 1:
        raise SystemExit("the engines do not agree")
    return {name: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for name, runs in found.items()}


def constants(folder: Path, rows: int) -> dict[str, float]:
    """What the reading process needs a comment, and the sizes of files."""
    import pyarrow.csv
    import pyarrow.parquet

    from moderation import bulk, cluster

    articles = bulk.read_articles(ROOT / "data" / "articles.csv")
    begin, sent = time.process_time(), 0
    for part in cluster._cut(bulk.comments(folder / "in.csv", articles, bulk.Summary()), cluster.PART, ""):
        sent += len(pickle.dumps(part, protocol=5))
    reading = (time.process_time() - begin) / rows
    sizes = {}
    for name in ("in", "0"):
        table = pyarrow.csv.read_csv(
            folder / f"{name}.csv", parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True)
        )
        pyarrow.parquet.write_table(table, folder / "size.parquet", compression="zstd")
        sizes[name] = (
            (folder / f"{name}.csv").stat().st_size / rows,
            (folder / "size.parquet").stat().st_size / rows,
        )
    return {
        "reading": reading,
        "sent": sent / rows,
        "in_csv": sizes["in"][0],
        "in_parquet": sizes["in"][1],
        "out_csv": sizes["0"][0],
        "out_parquet": sizes["0"][1],
    }


def table(found: dict[str, dict[str, float]]) -> list[str]:
    lines = [
        "| | comments/s | beside local | core ms a comment | s to start | MB, largest process |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, each in found.items():
        lines.append(
            f"| {name} | {each['rate']:,.0f} | {each['rate'] / found['local']['rate']:.2f} | "
            f"{each['core'] * 1e3:.2f} | {each['start']:.1f} | {each['memory']:.0f} |"
        )
    return lines


def model(core: float, without: float, measured: dict[str, float]) -> list[str]:
    """What `COMMENTS` a day need."""
    a_second = COMMENTS / DAY

    def cores(each):
        return a_second * each / BUSY

    readers = a_second * measured["reading"] / BUSY
    terabytes = COMMENTS / 1e12
    both, text = cores(core), cores(without)
    lines = ["| 10⁹ comments a day | all labels | without articles |", "|---|---:|---:|"]
    lines += [
        f"| comments a second | {a_second:,.0f} | {a_second:,.0f} |",
        f"| core ms a comment, measured | {core * 1e3:.2f} | {without * 1e3:.2f} |",
        f"| cores, {BUSY:.0%} busy | {both:,.0f} | {text:,.0f} |",
        f"| machines of {MACHINE} cores | {-(-both // MACHINE):,.0f} | {-(-text // MACHINE):,.0f} |",
        f"| core hours a day | {both * 24:,.0f} | {text * 24:,.0f} |",
        f"| money a day, at *p* a core hour | {both * 24:,.0f} *p* | {text * 24:,.0f} *p* |",
        f"| money for 10⁶ comments | {both * 24 / 1e3:.2f} *p* | {text * 24 / 1e3:.2f} *p* |",
    ]
    megabits = a_second * measured["sent"] * 8 / 1e6
    lines += [
        "",
        f"- *Reading* takes {measured['reading'] * 1e6:.0f} core µs a comment (CSV, with its digest and what is sent): "
        f"one command feeds at most {1 / measured['reading']:,.0f} comments a second, and 10⁹ a day need "
        f"{readers:.1f} cores for it. More commands, with a file each, can share a cluster.",
        f"- *Network:* {measured['sent']:,.0f} bytes a comment to the workers, {megabits:,.0f} Mbit/s in all; "
        f"back come {measured['out_csv']:.0f} bytes a comment.",
        f"- *Storage a day:* comments {measured['in_csv'] * terabytes:.2f} TB as CSV, "
        f"{measured['in_parquet'] * terabytes:.2f} TB as Parquet (zstd; these are few comments many times over, real "
        f"ones compress less); scores {measured['out_csv'] * terabytes * 1e3:.0f} GB as CSV, "
        f"{measured['out_parquet'] * terabytes * 1e3:.0f} GB as Parquet. While a run is under way its finished parts "
        "take as much as its scores in CSV.",
    ]
    return lines


@click.command()
@click.option("--times", type=int, default=4, show_default=True, help="How often the starter comments are repeated.")
@click.option("--rounds", type=int, default=3, show_default=True, help="Turns of each engine.")
@click.option("--one", "workers", type=int, default=None, hidden=True)
@click.option("--folder", type=click.Path(path_type=Path), hidden=True)
@click.option("--articles", "articles_path", default="", hidden=True)
def main(times, rounds, workers, folder, articles_path):
    """Measure the engines of bulk scoring and write the figures of docs/scale.md."""
    if workers is not None:
        click.echo(json.dumps(one(folder / "in.csv", folder / f"{workers}.csv", workers, articles_path)))
        return
    load = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = make(folder, times)
        articles = throughput(folder, rows, rounds, str(ROOT / "data" / "articles.csv"))
        measured = constants(folder, rows)
        load.append(os.getloadavg()[0])
        bare = throughput(folder, rows, rounds, "")
    load.append(os.getloadavg()[0])
    lines = [
        f"Measured with {rows:,} comments of {measured['in_csv']:.0f} bytes (as CSV) on {os.cpu_count()} cores "
        f"({platform.machine()}), Python {platform.python_version()}, the engines by turns, median of {rounds}. "
        f"The load average was {' then '.join(f'{each:.0f}' for each in load)}, of which these runs are 1 to 3: "
        "the machine had other work, so rates are worth less than core time and ratios. The start of a run is told "
        "by itself.",
        "",
        "All three labels, each comment with its article:",
        "",
        *table(articles),
        "",
        "Without articles, that is without `off_topic`:",
        "",
        *table(bare),
        "",
        "What that comes to, on paper, with the core time of Dask with one worker:",
        "",
        *model(articles["Dask, 1 worker"]["core"], bare["Dask, 1 worker"]["core"], measured),
    ]
    path = ROOT / "docs" / "scale.md"
    head, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    tail = rest.partition(END)[2]
    path.write_text(head + BEGIN + "\n\n" + "\n".join(lines) + "\n\n" + END + tail, encoding="utf-8")
    click.echo(f"Written to {path}", err=True)


if __name__ == "__main__":
    main()
