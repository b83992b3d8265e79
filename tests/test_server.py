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
    begin = time.monotonic()
    assert post(server, SLOW).status_code == 200
    # Half of what it takes here and now, however fast the machine is.
    half = str(int(500 * (time.monotonic() - begin)))
    late = post(server, SLOW, **{"X-Request-Timeout-Ms": half})
    assert late.status_code == 200
    found = [item["status"] for item in late.json()["comments"]]
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
