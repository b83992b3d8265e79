"""``python -m moderation doctor`` finds what is wrong and says what to mend."""

import pytest
from conftest import run
from sqlalchemy import create_engine, text

from moderation import store


@pytest.fixture
def doctor(tmp_path):
    """Runs it on a database of its own; gives its exit code and its lines."""

    def call(*arguments, **env):
        given = {"MODERATION_DATABASE_URL": f"sqlite:///{tmp_path / 'test.sqlite'}", **env}
        done = run("-m", "moderation", "doctor", *arguments, env=given)
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout

    return call


def test_before_the_first_start_nothing_is_bad(doctor):
    code, said = doctor()
    assert code == 0 and "does not exist yet" in said and "loads in" in said and "BAD" not in said


def test_a_good_installation_is_all_good(doctor, tmp_path):
    url = f"sqlite:///{tmp_path / 'test.sqlite'}"
    run("-m", "moderation", "keys", "create", "coral", env={"MODERATION_DATABASE_URL": url})
    code, said = doctor()
    assert code == 0 and {line[:2] for line in said.splitlines()} == {"ok"}


def test_settings_are_looked_at(doctor):
    code, said = doctor(MODERATION_THREADS="0", MODERATION_PORT="http")
    assert code == 1 and "MODERATION_THREADS" in said and "MODERATION_PORT" in said
    code, said = doctor(MODERATION_TREADS="4")
    assert code == 0 and "MODERATION_TREADS is no setting" in said
    code, said = doctor(MODERATION_RATE_LIMIT="a lot")
    assert code == 1 and "RATE_LIMIT cannot be read" in said
    code, said = doctor(MODERATION_RATE_LIMIT_STORAGE="redis://127.0.0.1:1")
    assert code == 1 and "Redis does not answer" in said


@pytest.mark.parametrize(
    ("statement", "code", "said"),
    [
        ("UPDATE alembic_version SET version_num = '0001'", 0, "older version"),
        ("UPDATE alembic_version SET version_num = '9999'", 1, "does not know"),
        ("UPDATE api_key SET revoked = created", 0, "all were revoked"),
        ("UPDATE api_key SET created = '2999-01-01 00:00:00.000000'", 1, "clock"),
    ],
)
def test_the_database_is_looked_at(doctor, tmp_path, statement, code, said):
    url = f"sqlite:///{tmp_path / 'test.sqlite'}"
    run("-m", "moderation", "keys", "create", "coral", env={"MODERATION_DATABASE_URL": url})
    with create_engine(url).begin() as connection:
        connection.execute(text(statement))
    found, told = doctor()
    assert found == code and said in told, told


def test_a_damaged_or_unreachable_database_is_found(doctor, tmp_path):
    store.migrate(f"sqlite:///{tmp_path / 'test.sqlite'}")
    path = tmp_path / "test.sqlite"
    path.write_bytes(path.read_bytes()[:5000] + b"\xff" * 20_000)
    code, said = doctor()
    assert code == 1 and "database" in said and "BAD" in said
    for url in ("sqlite:////proc/nothing/x.sqlite", "nonsense"):
        code, said = doctor(MODERATION_DATABASE_URL=url)
        assert code == 1, said


def test_the_password_of_the_database_is_not_told(doctor):
    code, said = doctor(MODERATION_DATABASE_URL="mysql://someone:hunter2@127.0.0.1:1/x")
    assert code == 1 and "hunter2" not in said and "***" in said


def test_the_model_is_looked_at(doctor, models):
    code, said = doctor(MODERATION_MODEL="nope")
    assert code == 1 and "no model version 'nope'" in said
    (models / "default" / "weights.joblib").write_bytes(b"")
    code, said = doctor(MODERATION_MODELS=str(models))
    assert code == 1 and "not the file that was saved" in said


def test_other_addresses_need_a_key(doctor, tmp_path):
    store.migrate(f"sqlite:///{tmp_path / 'test.sqlite'}")
    code, said = doctor(MODERATION_HOST="0.0.0.0")
    assert code == 1 and "keys create" in said


def test_a_running_service_is_looked_at(doctor, server):
    code, said = doctor("--url", server.url)
    assert code == 0 and f"{server.url} is ready" in said
    code, said = doctor("--url", "http://127.0.0.1:1")
    assert code == 1 and "does not answer" in said


def test_serving_with_a_wrong_setting_says_which(tmp_path):
    done = run("serve.py", env={"MODERATION_PORT": "http"})
    assert done.returncode == 1 and "MODERATION_PORT" in done.stderr and "Traceback" not in done.stderr
