"""The service under load: ``python -m benchmarks.load`` writes ``benchmarks/load.md``.

wrk sends the requests, over loopback, to a server that this module starts: the application and the server of
``serve.py``, with one more view, which answers constant JSON. What that view takes is the price of the server itself.
Every run is bounded in time.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import click
import numpy as np

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "load.md"
MEMORY = "### Memory"  #: begins the title of that part, the last one
SAMPLED = 50_000  #: requests between two looks at the memory
CLIENTS = (1, 8, 64, 256)
BATCH = 20

# wrk tells one distribution of all answers; accepted and refused ones have to be told apart. A thread for each
# connection, so that the time of the last request is known, and where `pace` is given a schedule to keep: the next
# request is due `pace` seconds after the last one was, whatever became of that one.
LUA = """
local ffi = require("ffi")
ffi.cdef("typedef struct { long s; long ns; } moment; int clock_gettime(int, moment *);")
local moment = ffi.new("moment")
local function now()
  ffi.C.clock_gettime(1, moment)
  return tonumber(moment.s) + tonumber(moment.ns) * 1e-9
end
local pace = %(pace)s
local threads = {}
function setup(thread)
  table.insert(threads, thread)
  thread:set("id", #threads)
end
local begun = now()
function init() ok, busy, other, sent, due, count = {}, {}, 0, 0, nil, 0 end
local body = [==[%(body)s]==]
local varies = body:find("@@", 1, true) ~= nil
wrk.method, wrk.body = "POST", body
wrk.headers["Content-Type"] = "application/json"
if pace > 0 then
  function delay()
    local time = now()
    if due == nil then due = time + math.random() * pace else due = math.max(due + pace, time - pace) end
    return math.max(0, (due - time) * 1000)
  end
end
function request()
  local made
  if varies then
    count = count + 1
    made = wrk.format(nil, nil, nil, (body:gsub("@@", "%(run)s" .. id .. "x" .. count)))
  else
    made = wrk.format()
  end
  sent = now()
  return made
end
function response(status)
  local taken = now() - sent
  if now() - begun < 1 then return end  -- until all places are taken
  if status == 200 then ok[#ok + 1] = taken
  elseif status == 503 then busy[#busy + 1] = taken
  else other = other + 1 end
end
function done()
  for _, thread in ipairs(threads) do
    io.write("OK ", table.concat(thread:get("ok"), " "), "\\n")
    io.write("BUSY ", table.concat(thread:get("busy"), " "), "\\n")
    io.write("OTHER ", thread:get("other"), "\\n")
  end
end
"""

TEXT = "I do not agree at all, the council has been lying about that bridge for years and nobody in this town cares."
ARTICLE = {
    "id": "bridge",
    "title": "Council plans to close the harbour bridge",
    "body": "The bridge across the old harbour needs repair, and the council says that there is no money for it.",
}
#: What is sent: the view and the body, in which @@ is something else each time.
WORK = {
    "constant JSON": ("/constant", {"id": "c1", "text": TEXT}),
    "one comment, scores only": ("/score", {"id": "c1", "text": TEXT, "terms": 0}),
    "one comment, with terms": ("/score", {"id": "c1", "text": TEXT}),
    "one comment, stored article, with terms": ("/score", {"id": "c1", "text": TEXT, "article": ARTICLE}),
    "one comment, kept and queued": ("/score", {"id": "@@", "text": TEXT, "queue": True}),
    f"batch of {BATCH}, scores only": ("/score", {"comments": [{"text": TEXT, "terms": 0}] * BATCH}),
    f"batch of {BATCH}, kept and queued": (
        "/score",
        {"comments": [{"id": f"@@-{i}", "text": TEXT, "queue": True} for i in range(BATCH)]},
    ),
}
CONSTANT, SCORES, TERMS = list(WORK)[:3]
STORED = [name for name in WORK if "queued" in name]
VARIED = ("/score", {"id": "c1", "text": "Nobody in @@ cares about the @@ any more.", "terms": 0})


def serve(settings_and_port: str) -> None:
    """Serve with the constant view; run in a process of its own."""
    import logging

    from moderation import auth, logs
    from moderation.app import HEADERS, create_app
    from moderation.server import Server
    from moderation.settings import Settings

    settings = Settings(**json.loads(settings_and_port))
    logs.setup(settings.log_level)
    app = create_app(settings)

    @app.post("/constant")
    @auth.permit("score")
    def constant():
        return {"status": "scored", "flagged": False}

    app.extensions["serving"].get()
    server = Server(
        app,
        host="127.0.0.1",
        port=0,
        threads=settings.threads,
        limit=settings.threads + settings.waiting,
        headers=HEADERS,
        on_refusal=app.extensions["metrics"].refused.inc,
    )
    logging.getLogger("moderation.start").info("on %s", server.effective_port)
    server.run_until_stopped(5)


class Running:
    """A server process, its log in a file as in use."""

    def __init__(self, folder: Path, **settings):
        # What is measured is the server; a limit on the caller would only hide it.
        given = {"rate_limit": "", "demonstration": False, **settings}
        given.setdefault("database_url", f"sqlite:///{folder / 'load.sqlite'}")
        log = folder / "load.log"
        with open(log, "w") as file:
            command = [sys.executable, "-m", "benchmarks.load", "--serve", json.dumps(given)]
            self.process = subprocess.Popen(command, stderr=file, cwd=HERE.parent)
        while not (found := re.search(r'"on (\d+)"', log.read_text())):
            if self.process.poll() is not None:
                raise SystemExit(log.read_text())
            time.sleep(0.1)
        self.url = f"http://127.0.0.1:{found[1]}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)

    def _metric(self, name: str) -> float:
        with urllib.request.urlopen(f"{self.url}/metrics") as reply:
            return float(re.search(rf"^{name} (\S+)", reply.read().decode(), re.M)[1])

    def memory(self) -> float:
        """Resident memory in MB."""
        return self._metric("process_resident_memory_bytes") / 1e6

    def core_seconds(self) -> float:
        return self._metric("process_cpu_seconds_total")


def load(running: Running, work: str | tuple, clients: int, seconds: float, rate: float = 0) -> dict:
    """Send requests from `clients` connections for some seconds.

    Parameters
    ----------
    work : str or (str, dict)
        Of `WORK`, or view and body.
    rate : float
        Requests per second of all clients together; 0 sends the next one as soon as the last was answered.

    Returns
    -------
    dict
        ``rps`` accepted per second, ``refused`` per second, and of both the times in ms: ``ok``, ``busy`` (arrays);
        ``core``: the server's core ms for each answer, of either kind; ``answers``: of either kind, with those of the
        first second, which the others leave out.
    """
    path, body = WORK[work] if isinstance(work, str) else work
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        given = {"body": json.dumps(body), "pace": clients / rate if rate else 0, "run": f"{time.time_ns():x}y"}
        script.write(LUA % given)
        script.flush()
        before = running.core_seconds()
        command = ["wrk", "-t", str(clients), "-c", str(clients), "-d", f"{seconds + 1:.0f}s", "--timeout", "30s"]
        done = subprocess.run(
            [*command, "-s", script.name, running.url + path], capture_output=True, text=True, check=True
        )
    used = running.core_seconds() - before
    answers = int(re.search(r"(\d+) requests in", done.stdout)[1])
    times = {
        kind: np.array([float(t) for line in re.findall(rf"^{kind} (.*)$", done.stdout, re.M) for t in line.split()])
        * 1e3
        for kind in ("OK", "BUSY")
    }
    other = sum(int(count) for count in re.findall(r"^OTHER (\d+)$", done.stdout, re.M))
    errors = re.search(r"Socket errors: (.*)", done.stdout)
    if other or (errors and re.search(r"[1-9]", errors[1])):
        raise SystemExit(f"{work}, {clients} clients: {other} unexpected answers, {errors and errors[1]}")
    return {
        "rps": len(times["OK"]) / seconds,
        "refused": len(times["BUSY"]) / seconds,
        "ok": times["OK"],
        "busy": times["BUSY"],
        "core": used / max(answers, 1) * 1e3,
        "answers": answers,
    }


def quantile(times, q):
    return float(np.quantile(times, q)) if len(times) else float("nan")


def shown(times, q) -> str:
    return f"{quantile(times, q):.1f}" if len(times) else "–"


def grid(running: Running, seconds: float, works) -> list[str]:
    lines = [
        "| request | clients | answered/s | p50 ms | p99 ms | refused/s |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for work in works:
        for clients in CLIENTS:
            found = load(running, work, clients, seconds)
            lines.append(
                f"| {work} | {clients} | {found['rps']:,.0f} | {shown(found['ok'], 0.5)} | "
                f"{shown(found['ok'], 0.99)} | {found['refused']:,.0f} |"
            )
            click.echo(lines[-1], err=True)
    return lines


def against_constant(running: Running, seconds: float, rounds: int = 5) -> list[str]:
    """Constant and scoring by turns, so that whatever else the machine does falls on both."""
    works = list(WORK)[:3]
    found = {work: {clients: [] for clients in (1, 8)} for work in works}
    for _ in range(rounds):
        for clients in (1, 8):
            for work in works:
                found[work][clients].append(load(running, work, clients, seconds))
    lines = [
        "| request | clients | answered/s | share of the constant's | p99 ms | times its p99 | core ms | times its |"
    ]
    lines.append("|---|---:|---:|---:|---:|---:|---:|---:|")
    for work in works:
        for clients in (1, 8):
            # Each run is compared with that of the constant a moment before it.
            pairs = list(zip(found[work][clients], found[works[0]][clients], strict=True))
            values = [
                [run["rps"] for run, _ in pairs],
                [run["rps"] / base["rps"] for run, base in pairs],
                [quantile(run["ok"], 0.99) for run, _ in pairs],
                [quantile(run["ok"], 0.99) / quantile(base["ok"], 0.99) for run, base in pairs],
                [run["core"] for run, _ in pairs],
                [run["core"] / base["core"] for run, base in pairs],
            ]
            rps, *others = (float(np.median(each)) for each in values)
            lines.append(f"| {work} | {clients} | {rps:,.0f} | " + " | ".join(f"{each:.2f}" for each in others) + " |")
            click.echo(lines[-1], err=True)
    return lines


def overload(running: Running, seconds: float, threads: int, waiting: int, rounds: int = 3) -> list[str]:
    """By turns at capacity, with as many clients as may wait, and with four times as many requests a second.

    A place is free a moment after its answer was read: with as many clients as there are places some would be refused
    at once, and ask again at once, which is no longer what the service can answer. Capacity is the most it answered so
    far: while the machine does something else it answers less, and four times that would not fill its places.
    """
    lines = [
        "| | sent/s | answered/s | p50 ms | p99 ms | fastest ms | refused/s | p50 ms | p99 ms | slowest ms |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    capacity, slower, sooner, all_refused = 0.0, [], 0, 0
    for _ in range(rounds):
        at = load(running, SCORES, waiting, seconds)
        capacity = max(capacity, at["rps"])
        over = load(running, SCORES, 4 * (threads + waiting), seconds, rate=4 * capacity)
        times = (over["rps"] + over["refused"]) / capacity
        for name, found in ((f"at capacity ({waiting} clients)", at), (f"at {times:.1f} times the capacity", over)):
            lines.append(
                f"| {name} | {found['rps'] + found['refused']:,.0f} | {found['rps']:,.0f} | "
                f"{shown(found['ok'], 0.5)} | {shown(found['ok'], 0.99)} | {shown(found['ok'], 0)} | "
                f"{found['refused']:,.0f} | "
                f"{shown(found['busy'], 0.5)} | {shown(found['busy'], 0.99)} | {shown(found['busy'], 1)} |"
            )
            click.echo(lines[-1], err=True)
        slower.append(quantile(over["ok"], 0.99) / quantile(at["ok"], 0.99))
        sooner += int((over["busy"] < quantile(over["ok"], 0)).sum())
        all_refused += len(over["busy"])
    lines += [
        "",
        f"p99 of accepted requests: {', '.join(f'{each:.2f}' for each in slower)} times that at capacity just before. "
        f"Refusals faster than the fastest accepted reply of the same run: {sooner / max(1, all_refused):.2%}.",
    ]
    click.echo(lines[-1], err=True)
    return lines


def memory(running: Running, requests: int, minutes: float, tell=lambda done, table: None) -> None:
    """Resident memory while many requests are answered, every text another.

    Parameters
    ----------
    tell : callable
        Takes the requests so far and the table, whenever it has grown: a run that is stopped leaves what it found.
    """
    step, began, done = min(SAMPLED, max(1, requests // 10)), time.monotonic(), 0
    lines = ["| requests answered | minutes | memory MB |", "|---:|---:|---:|", f"| 0 | 0 | {running.memory():.0f} |"]
    wanted = step
    while done < requests and time.monotonic() < began + 60 * minutes:
        # No more clients than there are places, so that every answer is an accepted one.
        found = load(running, VARIED, 8, min(20, 60 * minutes))
        if len(found["busy"]):
            raise SystemExit("requests were refused; fewer clients must be used")
        done += found["answers"]
        if done >= wanted or time.monotonic() >= began + 60 * minutes:
            wanted = done - done % step + step
            lines.append(f"| {done:,} | {(time.monotonic() - began) / 60:.1f} | {running.memory():.0f} |")
            click.echo(lines[-1], err=True)
            tell(done, lines)


def write_memory(done: int, table: list[str]) -> None:
    """Put the table of `memory` into the results, in place of the one before."""
    rest = RESULTS.read_text(encoding="utf-8").split(MEMORY)[0].rstrip() if RESULTS.exists() else "## Under load"
    lines = [rest, "", f"{MEMORY} over {done:,} requests, each with another text", "", *table]
    RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")


@click.command()
@click.option("--seconds", type=float, default=5, show_default=True, help="Length of one measurement.")
@click.option("--requests", type=int, default=0, help="Watch the memory over so many requests.  [default: not at all]")
@click.option("--minutes", type=float, default=45, show_default=True, help="At most so long for these.")
@click.option("--only-memory", is_flag=True, help="Watch the memory, and measure nothing else.")
@click.option("--database-url", default="", help="Another database for the grid, such as a PostgreSQL.")
@click.option("--serve", "served", default="", hidden=True)
def main(seconds, requests, minutes, only_memory, database_url, served):
    """Measure the service under load."""
    if served:
        serve(served)
        return
    if not shutil.which("wrk"):
        raise click.ClickException("wrk is not installed (Debian: apt install wrk)")
    if not only_memory:
        measure(seconds, database_url)
    if requests:
        with tempfile.TemporaryDirectory() as name, Running(Path(name)) as running:
            memory(running, requests, minutes, write_memory)
    click.echo(f"Written to {RESULTS}", err=True)


def measure(seconds: float, database_url: str) -> None:
    """Everything but the memory."""
    from moderation.settings import Settings

    sections, settings = [], Settings()
    averages = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Running(folder) as running:
            sections.append(("Scoring against a view that answers constant JSON", against_constant(running, seconds)))
            sections.append(
                ("At capacity and beyond", overload(running, 2 * seconds, settings.threads, settings.waiting))
            )
            sections.append(("SQLite", grid(running, seconds, WORK)))
        averages.append(os.getloadavg()[0])
        if database_url:
            with Running(folder, database_url=database_url) as running:
                title = {"postgresql": "PostgreSQL"}.get(re.split(r"[+:]", database_url)[0], database_url)
                sections.append((title, grid(running, seconds, [SCORES, *STORED])))
    averages.append(os.getloadavg()[0])
    lines = [
        "## Under load",
        "",
        f"wrk over loopback, server and wrk on the same {os.cpu_count()} cores ({platform.machine()}), Python "
        f"{platform.python_version()}, one process, {settings.threads} threads, {seconds:.0f} s a measurement. "
        f"The load average was {', '.join(f'{each:.0f}' for each in averages)} in the course of it, of which this is 2 "
        "to 3: where it is more, the machine had other work, and core time and ratios tell more than requests a "
        "second. Core ms: processor time of the server for one answer, of either kind. Refused: 503 at once. –: none "
        "was answered within the measurement.",
    ]
    for title, table in sections:
        lines += ["", f"### {title}", "", *table]
    # The memory takes long to measure: what was found last stands until somebody asks for it again.
    _, title, table = RESULTS.read_text(encoding="utf-8").partition(MEMORY) if RESULTS.exists() else ("", "", "")
    lines += ["", title + table.rstrip()] if title else []
    RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
