"""``score --engine dask``: real schedulers and worker processes, which are killed while they work."""

import csv
import logging
import os
import re
import signal
import subprocess
import sys

import pytest
from conftest import ROOT, run, until
from distributed import Client

from moderation import bulk, cluster
from moderation.comments import Comment

MARKER = "zeppelin"  # in every comment, and in nothing else
ROWS = 6_000
PART = 1_000


def score(*arguments, **more):
    return run("-m", "moderation", "score", *arguments, **more)


def on_dask(*arguments, **more):
    return score("--engine", "dask", "--part", PART, *arguments, **more)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Comments, some of them without a score, articles, and what the local engine makes of them."""
    folder = tmp_path_factory.mktemp("files")
    with open(folder / "in.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "article_id"])
        for i in range(ROWS):
            text = f'You "idiot" number {i % 997}, the {MARKER} has\nno bridge {i % 1013}.' if i % 50 else "!"
            writer.writerow([f"c{i},\u2028", text if i % 400 else "", "a" if i % 8 == 0 else ""])
    (folder / "articles.csv").write_text("id,title,body\na,The harbour bridge,The council has no money for it.\n")
    done = score(folder / "in.csv", folder / "local.csv", "--articles", folder / "articles.csv")
    assert done.returncode == 0, done.stderr
    return folder


def start(folder, *command):
    with open(folder / f"{command[0]}.log", "a") as log:
        return subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{command[0]}", *command[1:]], cwd=ROOT, stderr=log, stdout=log
        )


@pytest.fixture(scope="module")
def remote(tmp_path_factory):
    """A scheduler and two workers as one starts them on machines of one's own; the address, the workers,
    where they log, the scheduler."""
    folder = tmp_path_factory.mktemp("cluster")
    scheduler = start(folder, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    told = folder / "scheduler.log"
    until(lambda: re.search(r"Scheduler at:\s+(tcp://\S+)", told.read_text()), 60)
    address = re.search(r"Scheduler at:\s+(tcp://\S+)", told.read_text())[1]
    options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(folder))
    workers = [start(folder, "worker", address, *options, "--name", f"w{i}") for i in range(2)]
    yield address, workers, folder, scheduler
    for process in (*workers, scheduler):
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def interrupted(files):
    """A run that was killed with all that it started once two parts were finished."""
    out = files / "interrupted.csv"
    command = ["--engine", "dask", "--workers", "1", "--part", PART, files / "in.csv", out, "--articles"]
    process = subprocess.Popen(
        [sys.executable, "-m", "moderation", "score", *map(str, command), str(files / "articles.csv")],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    until(lambda: len(finished(out)) >= 2, 120)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not out.exists()
    return out


def finished(out):
    return [path for path in out.with_name(f"{out.name}.parts").glob("*") if len(path.name) == 64]


def test_a_worker_is_killed_and_the_bytes_are_those_of_the_local_engine(files, remote, tmp_path):
    address, workers, folder, _ = remote
    out = tmp_path / "out.csv"
    with Client(address, set_as_default=False) as watch:
        watch.wait_for_workers(2, timeout=60)
        command = ["--engine", "dask", "--scheduler", address, "--part", str(PART)]
        process = subprocess.Popen(
            [sys.executable, "-m", "moderation", "score", *command, files / "in.csv", out, "--articles"]
            + [files / "articles.csv"],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        until(lambda: finished(out), 120)
        workers[1].send_signal(signal.SIGSTOP)
        [name] = [at for at, info in watch.scheduler_info()["workers"].items() if info["name"] == "w1"]
        assert watch.processing()[name], "it had nothing to do"
        workers[1].kill()
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
        assert list(watch.nthreads()) != [] and name not in watch.nthreads()
    assert out.read_bytes() == (files / "local.csv").read_bytes()
    assert f"{ROWS - ROWS // 50:,} comments scored" in said and "not scored" in said
    assert list(tmp_path.iterdir()) == [out]
    for log in folder.glob("*.log"):
        assert MARKER not in log.read_text()


def test_parquet_in_and_out_is_the_same_on_both_engines(files, remote, tmp_path):
    from pyarrow import csv as arrow
    from pyarrow import parquet

    options = arrow.ParseOptions(newlines_in_values=True)
    table = arrow.read_csv(files / "in.csv", parse_options=options)
    parquet.write_table(table, tmp_path / "in.parquet", row_group_size=700)
    articles = ("--articles", files / "articles.csv")
    assert score(tmp_path / "in.parquet", tmp_path / "local.parquet", *articles).returncode == 0
    done = on_dask("--scheduler", remote[0], tmp_path / "in.parquet", tmp_path / "dask.parquet", *articles)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "dask.parquet").read_bytes() == (tmp_path / "local.parquet").read_bytes()
    with open(files / "local.csv", newline="", encoding="utf-8") as file:
        expected = list(csv.DictReader(file))
    for row, wanted in zip(parquet.read_table(tmp_path / "local.parquet").to_pylist(), expected, strict=True):
        assert row["id"] == wanted["id"]
        for label in ("abusive", "mocking", "off_topic"):
            assert row[label] == (float(wanted[label]) if wanted[label] else None)
        assert row["flagged"] == ({"1": True, "0": False}.get(wanted["flagged"]))


def test_a_run_that_was_killed_goes_on_where_it_stopped(files, interrupted):
    kept = len(finished(interrupted))
    assert 2 <= kept < ROWS / PART
    broken = finished(interrupted)[0]
    broken.write_bytes(broken.read_bytes()[:-7])  # a part that was being written when the power went
    done = on_dask("--workers", "1", files / "in.csv", interrupted, "--articles", files / "articles.csv")
    assert done.returncode == 0, done.stderr
    assert f"{(kept - 1) * PART:,} of them were finished by an earlier run" in done.stderr
    assert interrupted.read_bytes() == (files / "local.csv").read_bytes()
    assert not interrupted.with_name("interrupted.csv.parts").exists()


def rows(count):
    return [(str(i), Comment(f"{MARKER} {i}")) for i in range(count)]


def keys(found, salt="model"):
    return [part.key for part in cluster._cut(iter(found), PART, salt)]


def test_a_part_is_used_again_only_for_the_same_rows_articles_and_model():
    before = keys(rows(3_500))
    assert len(set(before)) == len(before) == 4
    assert keys(rows(3_500), "another model")[0] != before[0]
    changed = rows(3_500)
    changed[1_200] = ("1200", Comment("another text"))
    assert [old == new for old, new in zip(before, keys(changed), strict=True)] == [True, False, True, True]
    with_article = rows(3_500)
    with_article[10] = ("10", Comment(f"{MARKER} 10", article=bulk.Article("Title", "body")))
    other_article = rows(3_500)
    other_article[10] = ("10", Comment(f"{MARKER} 10", article=bulk.Article("Title", "another body")))
    assert len({before[0], keys(with_article)[0], keys(other_article)[0]}) == 3
    not_scored = rows(3_500)
    not_scored[3_400] = ("3400", None)
    assert keys(not_scored)[:3] == before[:3] and keys(not_scored)[3] != before[3]


def test_long_rows_make_small_parts_and_none_splits_a_batch():
    long = [(str(i), Comment("word " * 2_500)) for i in range(3_000)]
    assert [len(part.batches) for part in cluster._cut(iter(long), 100_000, "")] == [1, 1, 1]
    assert [sum(map(len, part.batches)) for part in cluster._cut(iter(rows(3_500)), 1_500, "")] == [2_000, 1_500]


def test_what_dask_logs_of_a_part_tells_no_comment():
    [part] = cluster._cut(iter(rows(5)), PART, "")
    assert MARKER not in repr(part) and part.key in repr(part)


def test_two_runs_do_not_write_the_same_file(tmp_path):
    source = tmp_path / "in.csv"
    source.write_text("id,text\n1,fine\n")
    with cluster._Kept(tmp_path / "out.csv"):
        done = on_dask(source, tmp_path / "out.csv")
    assert done.returncode == 1 and "another run is writing it" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--engine", "dask", "--scheduler", "tcp://127.0.0.1:9"), "no Dask scheduler answers at tcp://127.0.0.1:9"),
        (("--engine", "dask", "--scheduler", "tcp://127.0.0.1:9", "--workers", "2"), "without --scheduler"),
        (("--workers", "2"), "need --engine dask"),
    ],
)
def test_what_cannot_be_done_is_said(tmp_path, monkeypatch, arguments, said):
    source = tmp_path / "in.csv"
    source.write_text("id,text\n1,fine\n")
    done = score(*arguments, source, tmp_path / "out.csv", env={"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "2s"})
    assert done.returncode != 0 and said in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("missing", "arguments", "said"),
    [
        ("distributed", ("--engine", "dask", "in.csv", "out.csv"), "--engine dask needs Dask"),
        ("pyarrow", ("in.parquet", "out.csv"), "Parquet needs pyarrow"),
        ("pyarrow", ("in.csv", "out.parquet"), "Parquet needs pyarrow"),
    ],
)
def test_without_the_extra_it_says_what_to_install(tmp_path, missing, arguments, said):
    (tmp_path / "in.csv").write_text("id,text\n1,fine\n")
    (tmp_path / "in.parquet").write_text("")
    code = (
        f"import runpy, sys; sys.modules[{missing!r}] = None; sys.argv[1:1] = ['score']\n"
        "runpy.run_module('moderation', run_name='__main__')"
    )
    done = run("-c", code, *arguments, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)})
    assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr
    assert "newsroom-moderation[dask]" in done.stderr


def test_a_scheduler_that_stops_answering_is_a_lost_connection(files, remote, tmp_path, monkeypatch):
    def unanswered(client):
        raise OSError(f"Timed out trying to connect to {remote[0]} after 10 s")

    monkeypatch.setattr(Client, "nthreads", unanswered)
    with pytest.raises(cluster.ClusterError, match=r"connection to the scheduler was lost; .* goes on from there"):
        cluster.score_file(
            ROOT / "models", "default", files / "in.csv", tmp_path / "out.csv", scheduler=remote[0], part=PART
        )
    # What has lost its connection says so with a traceback, but not where someone waits for one clear line.
    silent = ("batched", "client", "comm.tcp", "core", "utils")
    assert not any(logging.getLogger(f"distributed.{name}").isEnabledFor(logging.ERROR) for name in silent)


def test_with_the_scheduler_gone_the_run_ends_and_says_what_is_kept(files, remote, tmp_path):
    """The last one here: it takes the cluster along."""
    address, scheduler = remote[0], remote[3]
    process = subprocess.Popen(
        [sys.executable, "-m", "moderation", "score", "--engine", "dask", "--scheduler", address, "--part", str(PART)]
        + [files / "in.csv", tmp_path / "out.csv"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: finished(tmp_path / "out.csv"), 120)
    scheduler.kill()
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1 and "the same command goes on from there" in said and "Traceback" not in said
    assert finished(tmp_path / "out.csv") and not (tmp_path / "out.csv").exists()
