"""Three processes behind nginx, one PostgreSQL, one Redis: as docs/scale.md sets it up, on loopback."""

import itertools
import re
import shutil
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from conftest import ROOT, Server, admin, run, until

from moderation import registry

LIMIT = 40


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def program(name, package):
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/bin")
    if not found:
        pytest.skip(f"{name} is not installed (Debian: apt install {package})")
    return found


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    command = program("redis-server", "redis-server")
    port, folder = free_port(), tmp_path_factory.mktemp("redis")
    options = ["--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder]
    with open(folder / "log", "w") as log:
        process = subprocess.Popen([command, *map(str, options)], stdout=log)
    yield f"redis://127.0.0.1:{port}"
    process.terminate()
    process.wait(20)


@pytest.fixture(scope="module")
def three(postgresql, redis, tmp_path_factory):
    """Three processes, started at the same moment, with a key."""
    admin(postgresql, "CREATE DATABASE scale")  # empty: all three find no tables
    folder = tmp_path_factory.mktemp("three")
    shutil.copytree(ROOT / "models" / "default", folder / "models" / "default")
    env = {
        "MODERATION_DATABASE_URL": f"postgresql://moderation@/scale?host={postgresql}",
        "MODERATION_MODELS": str(folder / "models"),
        "MODERATION_RATE_LIMIT": f"{LIMIT} per hour",
        "MODERATION_RATE_LIMIT_STORAGE": redis,
    }
    for number in range(3):
        (folder / str(number)).mkdir()
    with ThreadPoolExecutor(3) as pool:
        servers = list(pool.map(lambda number: Server(folder / str(number), env=env), range(3)))
    yield servers
    for server in servers:
        if server.process.poll() is None:
            server.stop()


@pytest.fixture(scope="module")
def nginx(three, tmp_path_factory):
    """nginx with the configuration that we give away; only the ports are others."""
    command = program("nginx", "nginx-light")
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    for number, server in enumerate(three, 1):
        text = text.replace(f"127.0.0.1:800{number}", f"127.0.0.1:{server.port}")
    text = text.replace("listen 8000;", f"listen 127.0.0.1:{port};")
    (folder / "moderation.conf").write_text(text)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}}"
        f"http {{ {temporary} include {folder}/moderation.conf; }}"
    )
    process = subprocess.Popen([command, "-p", folder, "-c", folder / "nginx.conf"], stderr=subprocess.DEVNULL)
    until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(20)


def key(three, name, *scopes):
    options = [part for scope in scopes for part in ("--scope", scope)]
    made = run("-m", "moderation", "keys", "create", name, *options, env=three[0].env).stdout.strip()
    header = {"X-API-Key": made}
    for server in three:
        until(lambda server=server: server.get("/model", headers=header).status_code != 401)
    return header


def test_rate_limits_hold_across_processes(three):
    made = run("-m", "moderation", "keys", "create", "limited", "--scope", "score", env=three[0].env).stdout.strip()
    header, asked = {"X-API-Key": made}, itertools.count()
    for server in three:
        until(lambda server=server: next(asked) < LIMIT and server.get("/model", headers=header).status_code == 200)
    left = LIMIT - next(asked)
    codes = [three[n % 3].post("/score", {"text": "A comment."}, headers=header).status_code for n in range(left + 15)]
    assert codes.count(200) + codes.count(429) == len(codes)
    assert left - 2 <= codes.count(200) <= left + 3  # a key that is not known yet does not count
    assert set(codes[-3:]) == {429}  # on every one of them


def test_requests_go_through_nginx_to_all_and_outlive_one(three, nginx):
    header = key(three, "through", "admin")
    headers = [{**header, "Connection": "close"}, header]
    for number in range(12):
        body = {"id": f"n-{number}", "text": "You are an idiot and a liar.", "queue": True}
        reply = requests.post(f"{nginx}/score", json=body, headers=headers[number % 2], timeout=60)
        assert reply.status_code == 200, reply.text
        assert len(reply.headers["X-Request-Id"]) == 32
    served = [re.findall(r'"rule": "/score", "status": 200', server.log.read_text()) for server in three]
    assert sum(map(len, served)) >= 12 and all(served)
    # What one has stored the others have.
    assert all(server.get("/comments/n-0", headers=header).status_code == 200 for server in three)
    # Through a proxy nobody is "on the same machine".
    assert requests.get(f"{nginx}/", timeout=60).status_code == 401
    assert requests.get(f"{nginx}/health", timeout=60).status_code == 200
    after, begun = key(three, "after", "score"), threading.Semaphore(0)

    def send(number):
        begun.release()
        return requests.post(f"{nginx}/score", json={"text": "A comment."}, headers=after, timeout=60).status_code

    with ThreadPoolExecutor(6) as pool:
        codes = pool.map(send, range(30))
        for _ in range(12):
            begun.acquire()
        three[2].process.kill()  # with requests under way
        assert list(codes) == [200] * 30


def test_a_version_promoted_on_one_is_used_by_all_within_five_seconds(three, stored):
    models = Path(three[0].env["MODERATION_MODELS"])
    registry.save(models, "next", stored.model, {**stored.card, "version": "next"})
    header = key(three[:2], "promoter", "score")
    done = run("-m", "moderation", "models", "activate", "next", env=three[0].env)
    assert done.returncode == 0, done.stderr
    for server in three[:2]:
        until(lambda server=server: server.get("/ready", headers=header).json()["model"] == "next", 5)


def test_the_compose_file_is_of_one_piece():
    import yaml

    from moderation.settings import Settings

    services = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]
    upstream = re.findall(r"127.0.0.1:800(\d)", (ROOT / "deploy" / "nginx.conf").read_text())
    assert [f"moderation-{number}" for number in upstream] == [
        name for name in services if name.startswith("moderation-")
    ]
    for service in services.values():
        for name in service.get("environment", {}):
            if name.startswith("MODERATION_"):
                assert name.removeprefix("MODERATION_").lower() in Settings.model_fields
        for other in service.get("depends_on", ()):
            assert other in services
