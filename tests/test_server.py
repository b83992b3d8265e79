"""Under load and at the end: what cannot be answered is refused at once, what was accepted is answered."""

import json
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from conftest import Server, until
from hypothesis import example, given
from hypothesis import strategies as st
from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser

from moderation.server import outline

SLOW = {"comments": [{"text": "You are an idiot and a liar, and so it goes on and on. " * 100}] * 60}


def under_way(server):
    [line] = [line for line in server.get("/metrics").text.splitlines() if line.startswith("moderation_requests_under")]
    return float(line.split()[1])


def post(server, body, **headers):
    return requests.post(server.url + "/score", json=body, headers=headers, timeout=120)


def test_beyond_the_bound_requests_get_503_at_once_and_health_still_answers(start):
    server = start(env={"MODERATION_THREADS": "1", "MODERATION_WAITING": "1"})
    with ThreadPoolExecutor(8) as pool:
        accepted = [pool.submit(post, server, SLOW) for _ in range(2)]
        until(lambda: under_way(server) == 2)
        refused = [post(server, {"text": "A comment."}) for _ in range(20)]
        assert server.get("/health").status_code == server.get("/ready").status_code == 200
        assert not any(done.done() for done in accepted)  # refused, and health answered, while both were at work
        for reply in refused:
            assert reply.status_code == 503 and reply.headers["Retry-After"] == "1"
            assert reply.headers["Content-Type"] == "application/problem+json"
            assert reply.json()["title"] == "Too busy" and "nothing of this one was scored" in reply.json()["detail"]
            assert reply.headers["X-Content-Type-Options"] == "nosniff"
        for done in accepted:
            assert {item["status"] for item in done.result().json()["comments"]} == {"scored"}
    assert post(server, {"text": "A comment."}).status_code == 200
    assert "moderation_requests_refused_total 20.0" in server.get("/metrics").text
    assert server.log.read_text().count("requests are refused") <= 2


def test_a_refused_connection_can_be_used_again_and_pipelining_keeps_its_order(start):
    server = start(env={"MODERATION_THREADS": "1", "MODERATION_WAITING": "0"})
    one = b"POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
    fine = json.dumps({"text": "A comment."}).encode()
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(post, server, SLOW)
        until(lambda: under_way(server) == 1)
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            connection.sendall(one % (len(fine), fine) * 3)
            read = b""
            while read.count(b"HTTP/1.1 503") < 3:
                read += connection.recv(65536)
            assert slow.result().status_code == 200
            until(lambda: under_way(server) == 0)
            connection.sendall(one % (len(fine), fine))
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")


def test_what_is_not_scored_before_the_deadline_says_so(server):
    post(server, SLOW)  # the first one looks up all its words
    begin = time.monotonic()
    assert post(server, SLOW).status_code == 200
    limit, found = 1000 * (time.monotonic() - begin), []
    # How long it takes here and now is not known for certain: until the limit falls in the middle.
    for _ in range(20):
        limit *= 0.7 if set(found) <= {"scored"} else 1.2
        late = post(server, SLOW, **{"X-Request-Timeout-Ms": str(int(limit))})
        assert late.status_code == 200
        found = [item["status"] for item in late.json()["comments"]]
        if len(set(found)) == 2:
            break
    assert len(found) == 60 and set(found) == {"scored", "not_scored"}
    assert found == sorted(found, reverse=True)  # those that were scored come first
    assert late.json()["comments"][-1]["problem"]["title"] == "Deadline passed"
    assert 'moderation_comments_unscored_total{reason="deadline"}' in server.get("/metrics").text


def test_a_request_that_waited_past_its_deadline_is_not_scored(start):
    server = start(env={"MODERATION_THREADS": "1"})
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(post, server, SLOW)
        until(lambda: under_way(server) == 1)
        late = post(server, {"text": "A comment."}, **{"X-Request-Timeout-Ms": "10"})
        assert slow.result().status_code == 200
    assert late.status_code == 503 and late.json()["title"] == "Deadline passed"
    assert late.headers["Retry-After"] == "1"


@pytest.mark.parametrize("sent", ["0", "-5", "soon", "1.5", "", "600001", "9" * 100, "²"])
def test_a_deadline_that_cannot_be_read_is_a_problem(server, sent):
    reply = requests.post(
        server.url + "/score", json={"text": "x"}, headers={"X-Request-Timeout-Ms": sent.encode()}, timeout=30
    )
    assert reply.status_code == 400 and reply.json()["errors"][0]["field"] == "X-Request-Timeout-Ms"


def test_each_key_has_its_own_rate_limit(start):
    from test_keys import keys

    server = start(env={"MODERATION_RATE_LIMIT": "3 per minute"})
    made = [keys(server, "create", name).stdout.strip() for name in ("one", "two")]
    until(lambda: server.post("/score", {"text": "x"}).status_code == 401)
    sent = [post(server, {"text": "A comment."}, **{"X-API-Key": made[0]}) for _ in range(4)]
    assert [reply.status_code for reply in sent] == [200, 200, 200, 429]
    assert 0 < int(sent[3].headers["Retry-After"]) <= 60
    assert sent[3].headers["Content-Type"] == "application/problem+json" and sent[3].json()["status"] == 429
    assert server.get("/model", headers={"X-API-Key": made[0]}).status_code == 429  # all routes together
    assert post(server, {"text": "A comment."}, **{"X-API-Key": made[1]}).status_code == 200
    assert server.get("/health").status_code == 200


def test_sigterm_finishes_what_was_accepted(start):
    server = start(env={"MODERATION_THREADS": "1"})
    head = b"POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 22\r\n\r\n"
    with ThreadPoolExecutor(4) as pool, socket.create_connection(("127.0.0.1", server.port), timeout=60) as slow:
        slow.sendall(head + b'{"text"')
        accepted = [pool.submit(post, server, SLOW) for _ in range(3)]
        until(lambda: under_way(server) == 3)
        server.process.send_signal(signal.SIGTERM)
        until(lambda: "stopping" in server.log.read_text())
        with pytest.raises(requests.ConnectionError):
            server.get("/health")
        slow.sendall(b': "A comment."}')
        read = b""
        while b"scored" not in read:
            read += slow.recv(65536)
        assert read.startswith(b"HTTP/1.1 200") and b"Connection: close" in read
        for done in accepted:
            assert {item["status"] for item in done.result().json()["comments"]} == {"scored"}
    assert server.process.wait(30) == 0
    assert json.loads(server.log.read_text().splitlines()[-1])["message"] == "stopped"


def test_sigterm_does_not_wait_for_ever(start):
    server = start(env={"MODERATION_GRACE": "1"})
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as stuck:
        stuck.sendall(b"POST /score HTTP/1.1\r\nContent-Length: 100\r\n\r\n{")
        time.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
    assert "1 connections were not finished in time" in server.log.read_text()


def test_an_idle_connection_does_not_hold_up_the_end(start):
    server = start()
    with requests.Session() as session:
        session.get(server.url + "/health", timeout=30)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(15) == 0


def test_many_connections_at_once_are_all_answered(start):
    server = start(env={"MODERATION_THREADS": "2", "MODERATION_WAITING": "1000"})
    found = []

    def ask():
        found.append(post(server, {"text": "A comment."}).json()["status"])

    threads = [threading.Thread(target=ask) for _ in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["scored"] * 200


def test_what_is_not_http_is_answered_under_the_same_headers(server):
    answer = server.raw(b"GARBAGE\r\n\r\n")
    assert answer.startswith(b"HTTP/1.0 400") and b"X-Content-Type-Options: nosniff" in answer


def test_whoever_sends_too_slowly_is_cut_off(tmp_path):
    """A byte now and then keeps a connection busy, but no place for ever."""
    code = (
        "import sys; from moderation import cli, server; server.RECEIVE_SECONDS = 1; cli.main(['serve', *sys.argv[1:]])"
    )
    server = Server(tmp_path, program=("-c", code))
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=1) as slow:
            slow.sendall(b"POST /score HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")

            def cut_off():
                try:
                    slow.sendall(b"x")
                    return slow.recv(100) == b""
                except TimeoutError:
                    return False
                except OSError:
                    return True

            until(cut_off, 60)
            assert server.score(text="A comment.")["status"] == "scored"
    finally:
        server.stop()


#: Every request stays until /ready was asked for, or the end, and gets its body back. /health: how many are under way.
DOOR = """
import logging, threading
from moderation.server import Server

logging.basicConfig(level="INFO")
door = threading.Event()

def application(environ, start_response):
    path, body = environ["PATH_INFO"], environ["wsgi.input"].read()
    if path == "/ready":
        door.set()
    elif path == "/health":
        body = b"%d" % server.task_dispatcher.under_way
    else:
        while not (door.wait(0.1) or server.stopping):
            pass
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]

server = Server(
    application, host="127.0.0.1", port=0, threads=2, limit=4, headers={"X-Header": "of all"}, on_refusal=lambda: None,
    busy={"/other": ("text/plain", b"Busy in another way")},
)
print(f"on http://127.0.0.1:{server.effective_port}", flush=True)
server.run_until_stopped(10)
"""


@pytest.fixture
def held(start):
    """The server with all its places taken, and the connections that hold them."""
    server = start(program=("-c", DOOR))
    with ThreadPoolExecutor(4) as pool:
        server.holding = [pool.submit(requests.post, server.url, data=f"held {n}", timeout=60) for n in range(4)]
        try:
            until(lambda: server.get("/health").text == "4")
            yield server
        finally:
            if server.process.poll() is None:
                server.get("/ready")


def answer(connection):
    """The next answer: its head and its body, of the length told."""
    read = connection.recv(1)
    while b"\r\n\r\n" not in read:
        assert (more := connection.recv(1))
        read += more
    head, _, body = read.partition(b"\r\n\r\n")
    [length] = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")]
    while len(body) < length:
        body += connection.recv(length - len(body))
    return head, body


def request(body, more=b"", path=b"/score"):
    return b"POST %s HTTP/1.1\r\nHost: here\r\n%sContent-Length: %d\r\n\r\n%s" % (path, more, len(body), body)


def connect(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=60)


def test_while_all_places_are_held_everyone_else_is_refused_and_can_ask_again_on_the_same_connection(held):
    others = [connect(held) for _ in range(40)]
    for _ in range(2):
        for other in others:
            other.sendall(request(b"{}"))
        for other in others:
            head, body = answer(other)
            assert head.startswith(b"HTTP/1.1 503 ") and b"\r\nRetry-After: 1" in head and b"X-Header: of all" in head
            assert b"Connection" not in head and json.loads(body)["title"] == "Too busy"
    assert held.get("/health").text == "4" and not any(one.done() for one in held.holding)
    held.get("/ready")
    assert [one.result().text for one in held.holding] == [f"held {n}" for n in range(4)]
    until(lambda: held.get("/health").text == "0")
    for number, other in enumerate(others):
        other.sendall(request(b"%d" % number))
        assert answer(other)[1] == b"%d" % number
        other.close()


def test_a_refusal_does_not_wait_for_the_body_and_what_follows_that_is_another_request(held):
    large, end = b"POST /score HTTP/1.1\r\n" * 10_000, request(b"the end")
    with connect(held) as connection:
        for _ in range(2):
            head, _, body = request(large).partition(b"\r\n\r\n")
            connection.sendall(head + b"\r\n\r\n")
            assert answer(connection)[0].startswith(b"HTTP/1.1 503 ")
            connection.sendall(body[:-1])
            connection.sendall(body[-1:] + end + request(b"", path=b"/other/one?close"))
            assert answer(connection)[0].startswith(b"HTTP/1.1 503 ")
            assert answer(connection)[1] == b"Busy in another way"
        connection.sendall(request(large)[:-3])
        assert answer(connection)[0].startswith(b"HTTP/1.1 503 ")
        held.get("/ready")
        until(lambda: held.get("/health").text == "0")
        connection.sendall(large[-3:] + end + end)
        assert [answer(connection)[1] for _ in range(2)] == [b"the end"] * 2


@pytest.mark.parametrize(
    ("sent", "closed"),
    [
        (request(b"{}", b"Connection: close\r\n"), True),
        (request(b"{}", b"Connection: keep-alive\r\n"), False),
        (b"POST /score HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}", True),
        (request(b"{}", b"Expect: 100-continue\r\n"), False),
        (b"POST /score HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", False),
        (b"\r\n" + request(b"{}"), False),
        (b"HEAD /score HTTP/1.1\r\n\r\n", True),
    ],
)
def test_however_it_was_asked_it_is_refused(held, sent, closed):
    with connect(held) as connection:
        connection.sendall(sent)
        if b"Expect" in sent:
            assert connection.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        head, body = answer(connection)
        assert head.startswith(b"HTTP/1.1 503 ") and b"Retry-After: 1" in head and b"Too busy" in body
        assert (b"Connection: close" in head) is closed
        if closed:
            assert connection.recv(1) == b""
        else:
            connection.sendall(request(b"{}"))
            assert answer(connection)[0].startswith(b"HTTP/1.1 503 ")


#: Is killed as soon as it has sent something.
DYING = """
import os, signal
from moderation import server

class Channel(server._Channel):
    def send(self, data, do_close=True):
        super().send(data, do_close)
        os.kill(os.getpid(), signal.SIGKILL)

server.Server.channel_class = Channel

def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "3")] if environ["PATH_INFO"] == "/length" else [])
    return iter([b"all"])  # waitress finds out the length of a list

here = server.Server(
    application, host="127.0.0.1", port=0, threads=1, limit=1, headers={}, on_refusal=lambda: None
)
print(f"on http://127.0.0.1:{here.effective_port}", flush=True)
here.run_until_stopped(10)
"""


@pytest.mark.parametrize(("path", "expected"), [("/length", b"all"), ("/chunks", b"3\r\nall\r\n")])
def test_of_a_process_that_is_killed_there_is_a_whole_answer_or_none(start, path, expected):
    server = start(program=("-c", DYING))
    with connect(server) as connection:
        connection.sendall(b"GET %s HTTP/1.1\r\nHost: here\r\n\r\n" % path.encode())
        read = b""
        while more := connection.recv(65536):
            read += more
    assert read.startswith(b"HTTP/1.1 200 OK\r\n") and read.partition(b"\r\n\r\n")[2] == expected


def test_sigterm_lets_the_body_of_a_refused_request_come_in(held):
    with connect(held) as connection:
        connection.sendall(request(b"x" * 1000)[:-1])
        assert answer(connection)[0].startswith(b"HTTP/1.1 503 ")
        held.process.send_signal(signal.SIGTERM)
        until(lambda: "stopping" in held.log.read_text())
        assert {one.result().status_code for one in held.holding} == {200}
        connection.sendall(b"x")
        assert connection.recv(1) == b""
    assert held.process.wait(30) == 0


HEADERS = [
    b"Content-Length: 4",
    b"content-length:\t5 ",
    b"Content-Length: +6",
    b"Content-Length: 1\n",
    b"X-Content-Length: 7",
    b"Content-Length : 8",
    b"X: a\r\n Content-Length: 3",
    b"X: a\nContent-Length: 3",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding:\r\n chunked",
    b"Connection: keep-alive",
    b"Connection: close",
    b"Host: localhost",
    b"",
]
LINES = [b"POST /score HTTP/1.1", b"GET /a/b?c=%41 HTTP/1.1", b"GET /%41 HTTP/1.1", b"GET //a HTTP/1.1"]
LINES += [
    b"HEAD / HTTP/1.1",
    b"GET / HTTP/1.0",
    b"GET http://a/b HTTP/1.1",
    b"get / HTTP/1.1",
    b"GET /a#b HTTP/1.1",
    b"",
    b"GET /",
]


@given(st.sampled_from(LINES), st.lists(st.sampled_from(HEADERS), max_size=4), st.binary(max_size=12))
@example(LINES[0], HEADERS[:1], b"four")
@example(LINES[1], [], b"")
def test_the_outline_of_a_request_is_what_waitress_reads_in_it(line, headers, rest):
    data = b"\r\n".join([line, *headers, b"", b""]) + rest
    found = outline(data)
    parser = HTTPRequestParser(Adjustments())
    read = parser.received(data)
    if not parser.completed:
        read += parser.received(data[read:])
    if found is None or parser.error:
        return
    path, length = found
    assert (
        path == parser.path
        and parser.command != "HEAD"
        and not parser.chunked
        and not parser.connection_close
        and not parser.expect_continue
    )
    assert length == parser.header_bytes_received + parser.content_length
    assert min(length, len(data)) == read
