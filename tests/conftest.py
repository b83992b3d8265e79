"""The real thing: the shipped model, a real server process, a real database."""

import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import requests

from moderation import registry, store
from moderation.scorer import Scorer

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"

needs_corpora = pytest.mark.skipif(
    not (SHARED / "corpora").is_dir(), reason="the corpora are not on this machine (../shared/corpora)"
)
needs_seed = pytest.mark.skipif(
    not (SHARED / "seed").is_dir(), reason="the seed article is not on this machine (../shared/seed)"
)


@pytest.fixture(scope="session")
def stored():
    return registry.load(ROOT / "models", registry.DEFAULT)


@pytest.fixture(scope="session")
def scorer(stored):
    return Scorer(stored)


@pytest.fixture
def models(tmp_path):
    """A folder of models of its own, with the shipped one."""
    shutil.copytree(ROOT / "models" / "default", tmp_path / "models" / "default")
    return tmp_path / "models"


def run(*arguments, cwd=ROOT, env=None, stdin=None):
    """Run Python with `arguments` as a user would; the completed process."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=500,
    )


def until(condition, seconds=30):
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


class Server:
    """A ``serve.py`` of its own with a database of its own."""

    def __init__(self, folder, *, arguments=(), env=None, cwd=ROOT, program=("serve.py",)):
        self.env = {
            "MODERATION_DATABASE_URL": f"sqlite:///{folder / 'test.sqlite'}",
            **(env or {}),
        }
        self.log = folder / "server.log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [sys.executable, *program, "--port", "0", *arguments],
                cwd=cwd,
                env={**os.environ, **self.env},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.url = self._wait()

    def _wait(self):
        for _ in range(600):
            match = re.search(r"on http://([\d.:]+|\[::1\]:\d+)", self.log.read_text())
            if match:
                return f"http://{match[1]}"
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise RuntimeError(f"the server did not start:\n{self.log.read_text()}")

    def get(self, path, **more):
        return requests.get(self.url + path, timeout=30, **more)

    def post(self, path, json=None, **more):
        return requests.post(self.url + path, json=json, timeout=60, **more)

    def score(self, **comment):
        reply = self.post("/score", comment)
        assert reply.status_code == 200, reply.text
        return reply.json()

    @property
    def port(self):
        return int(self.url.rsplit(":", 1)[1])

    def raw(self, data):
        """Send bytes as they are and return the beginning of the answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(data)
            return connection.recv(4096)

    def stop(self):
        self.process.terminate()
        self.process.wait(120)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.stop()


@pytest.fixture
def start(tmp_path):
    """Starts servers that end with the test."""
    started = []

    def starter(**more):
        started.append(Server(tmp_path, **more))
        return started[-1]

    yield starter
    for server in started:
        server.stop()


# ---------------------------------------------------------------------------------------- databases


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory):
    path = tmp_path_factory.mktemp("template") / "empty.sqlite"
    store.migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgresql():
    """A PostgreSQL of our own without a port; its programs refuse to run as root. Gives its folder."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    if not programs:
        pytest.skip("PostgreSQL is not installed (Debian: apt install postgresql)")
    bin = programs[-1].parent
    root = os.geteuid() == 0
    user = "postgres" if root else pwd.getpwuid(os.geteuid()).pw_name
    folder = Path(tempfile.mkdtemp(prefix="moderation-postgresql-"))

    def call(*command):
        as_user = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if root else {}
        # To a file: the server keeps its output open, and a pipe would never end.
        with open(folder / "log", "a") as log:
            done = subprocess.run(list(map(str, command)), cwd=folder, stdout=log, stderr=log, **as_user)
        assert done.returncode == 0, (folder / "log").read_text()

    (folder / "log").touch()
    if root:
        shutil.chown(folder, user)
        shutil.chown(folder / "log", user)
    try:
        call(
            bin / "initdb", "-D", folder / "data", "-A", "trust", "-U", "moderation", "-N", "-E", "UTF8", "--no-locale"
        )
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off -c max_connections=60"
        call(bin / "pg_ctl", "-D", folder / "data", "-w", "-o", options, "start")
        try:
            admin(folder, "CREATE DATABASE empty")
            store.migrate(f"postgresql://moderation@/empty?host={folder}")
            yield folder
        finally:
            call(bin / "pg_ctl", "-D", folder / "data", "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def admin(folder, statement):
    import psycopg

    with psycopg.connect(f"user=moderation dbname=postgres host={folder}", autocommit=True) as connection:
        connection.execute(statement)


_numbers = iter(range(1_000_000))


def new_database(request, kind, path):
    """Address of an empty database with all tables."""
    if kind == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), path / "database.sqlite")
        return f"sqlite:///{path / 'database.sqlite'}"
    folder = request.getfixturevalue("postgresql")
    name = f"test{next(_numbers)}"
    admin(folder, f"CREATE DATABASE {name} TEMPLATE empty")
    # Not dropped afterwards: the whole cluster goes at the end, and dropping takes longer than the tests do.
    return f"postgresql://moderation@/{name}?host={folder}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    """Address of an empty database with all tables, on each kind of database."""
    return new_database(request, request.param, tmp_path)


@pytest.fixture
def engine(database):
    engine = store.connect(database)
    yield engine
    engine.dispose()
