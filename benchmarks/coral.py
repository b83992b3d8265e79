"""How long Coral waits for its external moderation phase: ``python -m benchmarks.coral [--write]``.

Coral gives up after 200 ms unless it was set otherwise. Requests as Coral sends them, signed, go over loopback to the
application and the server of ``serve.py``. `--write` puts the figures into the documentation.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import itertools
import json
import platform
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import numpy as np
import requests

from benchmarks import figures
from benchmarks.load import Running
from moderation.settings import SHIPPED

DOCUMENT = Path(__file__).parent.parent / "docs" / "migrate-from-perspective.md"
BEGIN, END = "<!-- figures of benchmarks.coral -->\n", "<!-- end of Coral's figures -->\n"
SECRET = "benchmark"
LIMIT = 200  #: milliseconds, Coral's default
REQUESTS = 400


def ask(session: requests.Session, url: str, text: str, story: str = "", parent: str = "") -> tuple[float, int]:
    """One request of Coral's; milliseconds until the answer was there, and its status."""
    body = json.dumps(
        {
            "action": "NEW",
            "comment": {"body": text, "parentID": parent or None},
            "author": {"id": "author-1", "role": "COMMENTER"},
            "story": {"id": story or "unknown", "url": "https://www.example.org/story"},
            "site": {"id": "site-1"},
            "tenantID": "tenant-1",
            "tenantDomain": "www.example.org",
        }
    ).encode()
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-Coral-Signature": f"sha256={signature}"}
    begun = time.perf_counter()
    reply = session.post(f"{url}/integrations/coral/phase", data=body, headers=headers, timeout=30)
    return (time.perf_counter() - begun) * 1000, reply.status_code


def read(name: str) -> list[dict]:
    """Rows of a file of the starter set."""
    with open(SHIPPED / "data" / name, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def store(url: str, rows: list[dict], articles: list[dict]) -> None:
    """Make articles and parent comments known, as a comment system that sends them once would."""
    by_id = {article["id"]: article for article in articles}
    with requests.Session() as session:
        for row in rows:
            article = by_id[row["article_id"]]
            sent = {"text": row["parent_text"], "id": f"parent-{row['id']}", "queue": True, "article": article}
            session.post(f"{url}/score", json=sent, timeout=30).raise_for_status()


def measure(url: str, jobs: list[tuple], clients: int) -> dict:
    """Percentiles of the times, in milliseconds, and how many answers came after Coral's limit."""
    sessions = [requests.Session() for _ in range(clients)]
    for session in sessions:
        ask(session, url, "The first request opens the connection.")

    def work(number):
        return [ask(sessions[number], url, *job) for job in jobs[number::clients]]

    with ThreadPoolExecutor(clients) as pool:
        found = list(itertools.chain.from_iterable(pool.map(work, range(clients))))
    wrong = {status for _, status in found} - {200, 204}
    if wrong:
        raise SystemExit(f"the service answered {wrong}")
    times = np.array([milliseconds for milliseconds, _ in found])
    return {
        "requests": len(times),
        "withheld": sum(status == 200 for _, status in found),
        "p50": float(np.quantile(times, 0.5)),
        "p99": float(np.quantile(times, 0.99)),
        "longest": float(times.max()),
        "late": int((times > LIMIT).sum()),
    }


def main_table() -> str:
    articles = read("articles.csv")
    replies = [row for row in read("comments.csv") if row["parent_text"] and row["article_id"]][:REQUESTS]
    alone = [(row["text"],) for row in replies]
    known = [(row["text"], row["article_id"], f"parent-{row['id']}") for row in replies]
    long = [((" ".join(row["text"] for row in replies[n : n + 200]) * 2)[:20_000],) for n in range(50)]
    lines = [
        "| comments of the starter set | clients | requests | p50 | p99 | longest | over 200 ms |",
        "|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as name, Running(Path(name), coral_secret=SECRET) as server:
        store(server.url, replies, articles)
        for what, jobs, clients in (
            ("alone", alone, 1),
            ("article and parent comment known", known, 1),
            ("article and parent comment known", known, 8),
            ("of 20,000 characters, alone", long, 1),
        ):
            found = measure(server.url, jobs, clients)
            lines.append(
                f"| {what} | {clients} | {found['requests']} | {found['p50']:.1f} ms | {found['p99']:.1f} ms "
                f"| {found['longest']:.1f} ms | {found['late']} |"
            )
    return "\n".join(lines)


@click.command()
@click.option("--write", is_flag=True, help="Put the figures into the documentation.")
def main(write):
    table = main_table()
    click.echo(f"{table}\n\n{platform.machine()}, Python {platform.python_version()}")
    if write:
        figures.put(DOCUMENT, BEGIN, END, table)


if __name__ == "__main__":
    main()
