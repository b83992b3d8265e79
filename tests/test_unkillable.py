"""Killed, cut off, filled up or set back, the service loses nothing that it acknowledged and does nothing twice."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
import requests
from conftest import ROOT, Server, admin, run, until
from desk import Person, first_admin

from moderation import registry, retraining, store

ABUSE = "You are an idiot and a liar, and everybody knows it."


def python(code, *arguments, **more):
    """A process that runs `code`."""
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT, text=True, **more)


def send(server, name, text=ABUSE):
    """Whether the service said that it keeps the comment."""
    try:
        return server.post("/score", {"id": name, "text": text, "queue": True}).status_code == 200
    except requests.RequestException:
        return False


def kept(server, name):
    reply = server.get(f"/comments/{name}")
    return reply.json() if reply.status_code == 200 else None


# ---------------------------------------------------------------------------------------- kill -9


def test_killed_while_scoring_with_storage(database, tmp_path):
    env = {"MODERATION_DATABASE_URL": database, "MODERATION_THREADS": "4"}
    server = Server(tmp_path, env=env)
    acknowledged = []

    def sender(worker):
        for number in range(1000):
            name = f"c-{worker}-{number}"
            if not send(server, name):
                return
            acknowledged.append(name)

    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(sender, worker) for worker in range(4)]
        until(lambda: len(acknowledged) >= 20)
        server.process.kill()
        for each in done:
            each.result()
    server.process.wait()
    server = Server(tmp_path, env=env)
    try:
        for name in acknowledged:
            found = kept(server, name)
            assert found and found["text"] == ABUSE and len(found["scores"]) == 1 and found["status"] == "open", name
        # Sent again, as a client does that had no answer, each is still one comment.
        assert all(send(server, name) for name in acknowledged[-5:])
        assert all(kept(server, name)["revision"] == 1 for name in acknowledged[-5:])
    finally:
        server.stop()


def test_killed_while_a_version_is_saved(tmp_path, stored):
    code = (
        "import sys; from pathlib import Path; from moderation import registry\n"
        "stored = registry.load(Path('models'), 'default'); print('ready', flush=True)\n"
        "for n in range(99): registry.save(Path(sys.argv[1]), f'v{n}', stored.model, stored.card, 'x')"
    )
    for pause in (0.3, 1.1, 1.9):
        process = python(code, tmp_path / str(pause), stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(pause)
        process.kill()
        process.wait()
        for version in registry.versions(tmp_path / str(pause)):
            registry.verify(tmp_path / str(pause), version)  # whole, or not there
        registry.save(tmp_path / str(pause), "after", {"a": 1}, {})


def test_killed_while_retraining_nothing_has_changed(models, tmp_path):
    process = python(
        "import sys; from moderation.cli import train; train(['--promote', '--models', sys.argv[1]])",
        *(models,),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(6)
    process.kill()
    process.wait()
    assert registry.versions(models) == ["default"] and registry.active(models) == "default"
    registry.load(models, "default")


def test_killed_while_promoting_one_of_both_is_active(tmp_path):
    for name in ("one", "two"):
        registry.save(tmp_path, name, {"name": name}, {"version": name})
    code = (
        "import sys, itertools; from pathlib import Path; from moderation import registry; print('ready', flush=True)\n"
        "for name in itertools.cycle(['one', 'two']): registry.activate(Path(sys.argv[1]), name)"
    )
    for pause in (0.1, 0.25, 0.4, 0.6):
        process = python(code, tmp_path, stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(pause)
        process.kill()
        process.wait()
        assert registry.load(tmp_path, registry.active(tmp_path)).version in {"one", "two"}


def test_two_processes_promote_at_once(tmp_path):
    for name in ("one", "two"):
        registry.save(tmp_path, name, {"name": name}, {"version": name})
    code = (
        "import sys; from pathlib import Path; from moderation import registry\n"
        "for _ in range(200): registry.activate(Path(sys.argv[1]), sys.argv[2])"
    )
    both = [python(code, tmp_path, name, stderr=subprocess.PIPE) for name in ("one", "two")]
    seen = set()
    while any(process.poll() is None for process in both):
        if (tmp_path / "active").exists():
            seen.add(registry.active(tmp_path))  # at every moment a whole entry, never a damaged one
    assert [process.returncode for process in both] == [0, 0], both[0].stderr.read() + both[1].stderr.read()
    assert seen and seen <= {"one", "two"} and registry.active(tmp_path) in {"one", "two"}
    assert not list(tmp_path.glob(".active-*"))


def kill_while_migrating(url, pause):
    """Kill a process that migrates a database after some seconds, and migrate it again; whether it was at work."""
    code = "import sys; from moderation import store; print('ready', flush=True); store.migrate(sys.argv[1])"
    process = python(code, url, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    process.stdout.readline()
    time.sleep(pause)
    at_work = process.poll() is None
    process.kill()
    process.wait()
    store.migrate(url)
    return at_work


def test_killed_while_migrating_the_next_start_finishes(tmp_path):
    stopped_in_the_middle = 0
    for number, pause in enumerate((0.0, 0.02, 0.05, 0.1, 0.2, 0.4)):
        stopped_in_the_middle += kill_while_migrating(f"sqlite:///{tmp_path / f'{number}.sqlite'}", pause)
        with sqlite3.connect(tmp_path / f"{number}.sqlite") as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
            assert "outbox" in {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert stopped_in_the_middle


def test_killed_while_migrating_postgresql_the_next_start_finishes(postgresql):
    stopped_in_the_middle = 0
    for number, pause in enumerate((0.2, 0.3, 0.45, 0.6)):
        admin(postgresql, f"CREATE DATABASE killed{number}")
        url = f"postgresql://moderation@/killed{number}?host={postgresql}"
        stopped_in_the_middle += kill_while_migrating(url, pause)
        engine = store.connect(url)
        with engine.connect() as connection:
            assert connection.execute(store.sql("SELECT count(*) FROM alembic_version")).scalar() == 1
        with store.writing(engine) as session:
            assert store.secret(session, "cookies")
        engine.dispose()
    assert stopped_in_the_middle


def test_what_is_promoted_at_once_is_logged_as_it_came(engine, tmp_path):
    """The newest entry of the log is the active version, and each entry names the one before it."""
    for name in ("one", "two", "default"):
        registry.save(tmp_path, name, {"name": name}, {"version": name})
    problems = []

    def work(name):
        try:
            for _ in range(10):
                with store.writing(engine) as session:
                    retraining.promote(session, tmp_path, name, "lea")
        except Exception as error:  # noqa: BLE001 — told below, in the test's own thread
            problems.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    with store.reading(engine) as session:
        log = list(reversed(retraining.activations(session)))
    assert len(log) == 20 and log[-1].version == registry.active(tmp_path)
    assert [row.previous for row in log] == ["default", *(row.version for row in log[:-1])]


def log_of_activations(url):
    engine = store.connect(url)
    with store.reading(engine) as session:
        found = [(row.version, row.previous, row.who) for row in reversed(retraining.activations(session))]
    engine.dispose()
    return found


def test_killed_between_activating_and_logging_the_next_start_logs_it(postgresql, models, stored, tmp_path):
    """The wire to the database is held as the promotion commits: its version is active, and nobody has logged it."""
    admin(postgresql, "CREATE DATABASE promoted TEMPLATE empty")
    registry.save(models, "second", stored.model, {**stored.card, "version": "second"})
    direct, wire = f"postgresql://moderation@/promoted?host={postgresql}", Wire(postgresql / ".s.PGSQL.5432")
    url = f"postgresql://moderation@127.0.0.1:{wire.port}/promoted"
    env = {"MODERATION_DATABASE_URL": url, "MODERATION_MODELS": str(models)}
    server = Server(tmp_path, env=env)
    person = first_admin(server)
    token = person.token("/desk/models")
    wire.hold = lambda data: b"COMMIT" in data and (models / "active").exists()

    def promote():
        with contextlib.suppress(requests.RequestException):
            person.post("/desk/models/versions/second/promote", {"csrf_token": token}, page="/desk/models")

    sender = threading.Thread(target=promote)
    sender.start()
    assert wire.held.wait(30)
    server.process.kill()
    server.process.wait()
    sender.join()
    wire.cut()
    assert registry.active(models) == "second" and log_of_activations(direct) == []
    doctor = run("-m", "moderation", "doctor", env={**env, "MODERATION_DATABASE_URL": direct})
    assert "second is active, and the log of activations does not say so" in doctor.stdout
    wire.whole, wire.hold = True, lambda data: False
    server = Server(tmp_path, env=env)
    try:
        assert log_of_activations(direct) == [("second", "default", "unknown")]
        assert server.score(text=ABUSE)["model"] == "second"
        page = Person(server)
        page.log_in("admin")
        rolled = page.post("/desk/models/rollback", page="/desk/models").text
        assert "Rolled back: default is active again" in rolled
        assert [version for version, *_ in log_of_activations(direct)] == ["second", "default"]
    finally:
        server.stop()
        wire.listener.close()


def test_killed_as_the_log_of_activations_is_committed(models, stored, tmp_path):
    """The same in a file of SQLite; the process ends itself at that moment."""
    registry.save(models, "second", stored.model, {**stored.card, "version": "second"})
    url = f"sqlite:///{tmp_path / 'test.sqlite'}"
    store.migrate(url)
    code = (
        "import os, signal, sys; from pathlib import Path; from sqlalchemy import event\n"
        "from moderation import retraining, store\n"
        "engine = store.connect(sys.argv[1])\n"
        "with store.writing(engine) as session:\n"
        "    retraining.promote(session, Path(sys.argv[2]), 'second', 'Lea')\n"
        "    event.listen(engine, 'commit', lambda connection: os.kill(os.getpid(), signal.SIGKILL))\n"
    )
    assert python(code, url, models).wait() == -signal.SIGKILL
    assert registry.active(models) == "second" and log_of_activations(url) == []
    env = {"MODERATION_MODELS": str(models)}
    Server(tmp_path, env=env).stop()
    assert log_of_activations(url) == [("second", "default", "unknown")]
    with store.writing(store.connect(url)) as session:
        assert retraining.reconcile(session, models) is None  # once, however often it is started
    done = run("-m", "moderation", "models", "activate", "default", env={**env, "MODERATION_DATABASE_URL": url})
    assert done.returncode == 0 and log_of_activations(url)[1:] == [("default", "second", "command line")]


# ---------------------------------------------------------------------------------------- disk and database


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MB of its own."""
    folder = tmp_path / "small"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True)
    if made.returncode:
        pytest.skip("a file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_is_told_and_nothing_is_lost(small_disk, tmp_path):
    server = Server(tmp_path, env={"MODERATION_DATABASE_URL": f"sqlite:///{small_disk / 'test.sqlite'}"})
    try:
        assert send(server, "before")
        (small_disk / "ballast").write_bytes(b"x" * (shutil.disk_usage(small_disk).free - 4096))
        refused = [
            server.post("/score", {"id": f"full-{number}", "text": ABUSE + " " + "y" * 9_000, "queue": True})
            for number in range(60)
        ]
        codes = [reply.status_code for reply in refused]
        assert set(codes) <= {200, 503} and codes[-1] == 503
        assert refused[-1].json()["title"] == "Database unavailable" and refused[-1].headers["Retry-After"]
        assert "SQLITE_FULL" in server.log.read_text() and "y" * 20 not in server.log.read_text()
        # What needs no storing goes on.
        assert server.post("/score", {"text": ABUSE}).status_code == 200
        (small_disk / "ballast").unlink()
        until(lambda: send(server, "after"))
        for name, reply in zip([f"full-{number}" for number in range(60)], refused, strict=True):
            assert (kept(server, name) is not None) == (reply.status_code == 200), name
        assert kept(server, "before") and kept(server, "after")
    finally:
        server.stop()


def test_a_full_disk_leaves_no_half_a_version_and_no_half_a_backup(small_disk, stored, tmp_path):
    registry.save(small_disk / "models", "one", {"name": "one"}, {"version": "one"})
    registry.activate(small_disk / "models", "one")
    (small_disk / "ballast").write_bytes(b"x" * (shutil.disk_usage(small_disk).free - 100_000))
    with pytest.raises(OSError):
        registry.save(small_disk / "models", "two", stored.model, stored.card)
    assert "two" not in registry.versions(small_disk / "models") and registry.active(small_disk / "models") == "one"
    database = f"sqlite:///{tmp_path / 'whole.sqlite'}"
    store.migrate(database)
    env = {"MODERATION_DATABASE_URL": database, "MODERATION_MODELS": str(ROOT / "models")}
    done = run("-m", "moderation", "backup", small_disk / "backup", env=env)
    assert done.returncode == 1 and "No space left" in done.stderr and "Traceback" not in done.stderr
    assert not list(small_disk.glob("*backup*"))
    (tmp_path / "whole.sqlite").write_bytes(b"no database at all" * 100)
    done = run("-m", "moderation", "backup", tmp_path / "backup", env=env)
    assert done.returncode == 1 and "not a database" in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.glob("*backup*"))
    (small_disk / "ballast").unlink()
    registry.save(small_disk / "models", "two", {"name": "two"}, {"version": "two"})
    assert registry.verify(small_disk / "models", "two")


class Wire:
    """A port that leads to a database's socket, and can be cut."""

    def __init__(self, path):
        self.path, self.whole, self.ends = path, True, []
        self.hold, self.held = lambda data: False, threading.Event()  # what is not to be sent on; whether it came
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            if not self.whole:
                near.close()
                continue
            far = socket.socket(socket.AF_UNIX)
            far.connect(str(self.path))
            self.ends += [near, far]
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _carry(self, source, target):
        try:
            while data := source.recv(65536):
                if self.hold(data):
                    self.held.set()
                    continue
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self):
        self.whole = False
        for end in self.ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self.ends.clear()


def test_a_database_that_goes_and_comes_back(postgresql, tmp_path):
    admin(postgresql, "CREATE DATABASE unkillable TEMPLATE empty")
    wire = Wire(postgresql / ".s.PGSQL.5432")
    url = f"postgresql://moderation@127.0.0.1:{wire.port}/unkillable"
    server = Server(tmp_path, env={"MODERATION_DATABASE_URL": url})
    try:
        assert send(server, "before")
        wire.cut()
        refused = server.post("/score", {"id": "meanwhile", "text": ABUSE, "queue": True})
        assert refused.status_code == 503 and refused.json()["title"] == "Database unavailable"
        assert server.post("/score", {"text": ABUSE}).json()["status"] == "scored"
        assert server.get("/health").status_code == server.get("/ready").status_code == 200
        assert server.get("/metrics").status_code == 200
        assert server.process.poll() is None
        wire.whole = True
        until(lambda: send(server, "after"))
        assert kept(server, "before") and kept(server, "after") and kept(server, "meanwhile") is None
        assert ABUSE not in server.log.read_text()
    finally:
        server.stop()
        wire.listener.close()


def damage(path, *names):
    """Overwrite the first pages of tables and indexes in a file of SQLite that nobody has open."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        [size] = connection.execute("PRAGMA page_size").fetchone()
        pages = dict(connection.execute("SELECT name, rootpage FROM sqlite_schema"))
    with open(path, "r+b") as file:
        for name in names:
            file.seek((pages[name] - 1) * size)
            file.write(b"\xff" * size)


def test_a_damaged_database_is_told_and_scoring_goes_on(tmp_path):
    path = tmp_path / "test.sqlite"
    store.migrate(f"sqlite:///{path}")
    damage(path, "comment", "sqlite_autoindex_comment_1")
    # Without the demonstration, which would meet the damage before it serves.
    server = Server(tmp_path, env={"MODERATION_DEMONSTRATION": "false"})
    try:
        for reply in (
            server.post("/score", {"id": "meanwhile", "text": ABUSE, "queue": True}),
            server.get("/comments/before"),
        ):
            assert reply.status_code == 503 and reply.headers["Content-Type"] == "application/problem+json"
            assert reply.json()["title"] == "Database damaged" and "restore a backup" in reply.json()["detail"]
        page = server.get("/comments/before", headers={"Accept": "text/html"})
        assert page.status_code == 503 and "<h1>Database damaged</h1>" in page.text and "restore a backup" in page.text
        asked = {"comment": {"text": ABUSE}, "attributeScores": {"TOXICITY": {"summaryScore": {"value": 1}}}}
        reply = server.post("/v1alpha1/comments:suggestscore", asked)
        assert reply.status_code == 503 and reply.json()["error"]["status"] == "UNAVAILABLE"
        assert "restore a backup" in reply.json()["error"]["message"]
        assert server.post("/score", {"text": ABUSE}).json()["status"] == "scored"
        asked = {"comment": {"text": ABUSE}, "requestedAttributes": {"TOXICITY": {}}}
        assert server.post("/v1alpha1/comments:analyze", asked).status_code == 200
        ready = server.get("/ready")
        assert ready.status_code == 200 and "restore a backup" in ready.json()["database"]
        doctor = run("-m", "moderation", "doctor", env=server.env)
        assert doctor.returncode == 1 and "is damaged" in doctor.stdout and "Restore a backup" in doctor.stdout
        assert "SQLITE_CORRUPT" in server.log.read_text() and ABUSE not in server.log.read_text()
    finally:
        server.stop()
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(RuntimeError, match="the database is damaged.*SQLITE_NOTADB.*restore a backup"):
        Server(tmp_path)


def test_without_its_database_the_service_says_why_it_does_not_start(tmp_path):
    url = "postgresql://moderation:hunter2@127.0.0.1:1/nothing"
    done = run("serve.py", "--port", "0", env={"MODERATION_DATABASE_URL": url})
    assert done.returncode == 1
    assert "database" in done.stderr and "hunter2" not in done.stderr and "Traceback" not in done.stderr


# ---------------------------------------------------------------------------------------- the clock


def test_a_clock_that_is_set_back(tmp_path):
    [*found] = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
    if not found:
        pytest.skip("libfaketime is not installed (Debian: apt install faketime)")
    offset = tmp_path / "offset"
    offset.write_text("+0")
    faked = {
        "LD_PRELOAD": str(found[0]),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        # Seconds. The clock is asked for whenever threads take turns: with the file read each time, a request takes
        # twenty seconds on a busy machine.
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "MODERATION_RATE_LIMIT": "10000 per minute",
    }
    server = Server(tmp_path, env=faked)
    try:
        assert send(server, "one") and send(server, "two")
        decided = server.post("/comments/one/decision", {"verdict": "approve", "by": "robin"})
        assert decided.status_code == 200, decided.text
        offset.write_text("-7200")
        until(lambda: parsedate_to_datetime(server.get("/health").headers["Date"]).timestamp() < time.time() - 3600)
        assert server.score(text=ABUSE)["status"] == "scored"
        assert send(server, "three") and kept(server, "three")["status"] == "open"
        for name, verdict in (("one", "undo"), ("two", "approve")):
            made = server.post(f"/comments/{name}/decision", {"verdict": verdict, "by": "robin"})
            assert made.status_code == 200, made.text
        assert [each["verdict"] for each in kept(server, "one")["decisions"]] == ["approve", "undo"]
        assert kept(server, "one")["verdict"] is None and kept(server, "two")["verdict"] == "approve"
        assert server.get("/metrics").status_code == 200
        logged = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
        assert not [line for line in logged if line["level"] == "ERROR"]
    finally:
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0


# ---------------------------------------------------------------------------------------- backup and restore


def test_a_backup_of_a_running_service_can_be_restored(tmp_path):
    (tmp_path / "restored").mkdir()
    server = Server(tmp_path)
    stop = threading.Event()

    def keep_sending():
        number = 0
        while not stop.is_set():
            send(server, f"during-{number}")
            number += 1

    sender = threading.Thread(target=keep_sending)
    try:
        assert all(send(server, f"before-{number}") for number in range(10))
        sender.start()
        done = run("-m", "moderation", "backup", tmp_path / "backup", env=server.env)
        assert done.returncode == 0, done.stderr
        again = run("-m", "moderation", "backup", tmp_path / "backup", env=server.env)
        assert again.returncode == 1 and "exists" in again.stderr
    finally:
        stop.set()
        if sender.is_alive():
            sender.join()
        server.stop()
    # Restoring is copying: the database file, and the folder of models.
    shutil.copy(tmp_path / "backup" / "moderation.sqlite", tmp_path / "restored" / "test.sqlite")
    env = {"MODERATION_MODELS": str(tmp_path / "backup" / "models")}
    restored = Server(tmp_path / "restored", env=env)
    try:
        assert all(kept(restored, f"before-{number}")["text"] == ABUSE for number in range(10))
        assert restored.score(text=ABUSE)["status"] == "scored"
        assert os.path.exists(tmp_path / "backup" / "models" / "default" / "weights.joblib")
    finally:
        restored.stop()


def test_a_dump_of_postgresql_can_be_restored(postgresql, tmp_path):
    """The commands of docs/operate.md, while comments come in."""
    if not shutil.which("pg_dump"):
        pytest.skip("pg_dump is not installed (Debian: apt install postgresql-client)")
    for name in ("alive", "revived"):
        admin(postgresql, f"CREATE DATABASE {name} TEMPLATE empty")
    urls = {name: f"postgresql://moderation@/{name}?host={postgresql}" for name in ("alive", "revived")}
    documented = (ROOT / "docs" / "operate.md").read_text()
    dump, restore = (re.search(rf"^\$ ({name} .*)$", documented, re.M)[1] for name in ("pg_dump", "pg_restore"))
    server = Server(tmp_path, env={"MODERATION_DATABASE_URL": urls["alive"]})
    stop, sent = threading.Event(), []

    def keep_sending():
        while not stop.is_set():
            sent.append(send(server, f"during-{len(sent)}"))

    sender = threading.Thread(target=keep_sending)
    try:
        assert all(send(server, f"before-{number}") for number in range(5))
        sender.start()
        for command, name in ((dump, "alive"), (restore, "revived")):
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=tmp_path,
                env={**os.environ, "DATABASE": urls[name]},
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stderr
    finally:
        stop.set()
        if sender.is_alive():
            sender.join()
        server.stop()
    assert sent and all(sent)
    restored = Server(tmp_path, env={"MODERATION_DATABASE_URL": urls["revived"]})
    try:
        assert all(kept(restored, f"before-{number}")["text"] == ABUSE for number in range(5))
        assert send(restored, "after") and kept(restored, "after")["revision"] == 1
    finally:
        restored.stop()
