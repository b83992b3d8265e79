"""API keys and the demonstration mode."""

from conftest import Server, run


def keys(server, *arguments):
    return run("-m", "moderation", "keys", *arguments, env=server.env)


def test_keys_close_the_service_and_are_checked(start):
    server = start()
    comment = {"text": "A comment."}
    assert server.post("/score", comment).status_code == 200
    made = keys(server, "create", "comments")
    assert made.returncode == 0
    key = made.stdout.strip()
    refused = server.post("/score", comment)
    assert refused.status_code == 401
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.headers["WWW-Authenticate"] == "Bearer"
    assert server.get("/model").status_code == 401
    assert "crossword" not in server.get("/").text
    assert server.get("/health").status_code == 200
    assert server.post("/score", comment, headers={"X-API-Key": key}).status_code == 200
    assert server.post("/score", comment, headers={"Authorization": f"Bearer {key}"}).status_code == 200
    assert server.post("/score", comment, headers={"X-API-Key": key + "x"}).status_code == 401
    assert keys(server, "revoke", "comments").returncode == 0
    assert server.post("/score", comment, headers={"X-API-Key": key}).status_code == 401
    # Revoking the last key must not open the service again.
    assert server.post("/score", comment).status_code == 401
    listed = keys(server, "list").stdout
    assert "comments" in listed and "revoked" in listed and key not in listed


def test_the_key_itself_is_not_stored(start, tmp_path):
    server = start()
    key = keys(server, "create", "comments").stdout.strip()
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("test.sqlite*"))
    assert key.encode() not in stored


def test_a_name_can_be_used_once(start):
    server = start()
    keys(server, "create", "one")
    again = keys(server, "create", "one")
    assert again.returncode == 1 and "already" in again.stderr


def test_requests_passed_on_by_a_proxy_or_under_another_name_need_a_key(start):
    server = start()
    comment = {"text": "A comment."}
    assert server.post("/score", comment, headers={"X-Forwarded-For": "203.0.113.5"}).status_code == 401
    assert server.post("/score", comment, headers={"Host": "rebound.example"}).status_code == 401


def test_other_addresses_are_not_served_without_a_key(tmp_path):
    try:
        Server(tmp_path, arguments=["--host", "0.0.0.0"]).stop()
    except RuntimeError as error:
        assert "keys create" in str(error)
    else:
        raise AssertionError("it served without a key")
