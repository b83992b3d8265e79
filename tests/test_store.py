"""Tables and migrations, on each kind of database."""

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from conftest import ROOT
from sqlalchemy import inspect, select

from moderation import store


def alembic(url):
    config = Config()
    config.set_main_option("script_location", str(ROOT / "moderation" / "migrations"))
    config.attributes["url"] = store.database(url)
    return config


def test_the_migrations_make_the_tables_that_the_code_describes(engine):
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = [
            difference
            for difference in compare_metadata(context, store.Base.metadata)
            # The full-text indices are made by hand, each in its database's own way.
            if "revision_text" not in str(difference)
        ]
    assert differences == []


def test_comments_of_the_first_version_become_revisions_and_come_back(database, tmp_path):
    config = alembic(database)
    command.downgrade(config, "0001")
    engine = store.connect(database)
    with store.writing(engine) as session:
        session.execute(
            store.sql(
                "INSERT INTO comment (id, parent_text, text, created)"
                " VALUES ('old', 'a parent', 'an old flumpet', '2026-01-02 03:04:05')"
            )
        )
    store.migrate(database)
    with store.reading(engine) as session:
        row = session.get_one(store.CommentRow, "old")
        assert (row.text, row.parent_text, row.revision, row.posted) == ("an old flumpet", "a parent", 1, row.created)
        match = store.match([["flump"]], engine.dialect.name, prefix=True)
        assert session.scalar(select(store.RevisionRow.comment_id).where(match)) == "old"
    command.downgrade(config, "0001")
    with store.reading(engine) as session:
        assert session.execute(store.sql("SELECT text FROM comment")).scalar() == "an old flumpet"
    command.downgrade(config, "base")
    assert [name for name in inspect(engine).get_table_names() if name != "alembic_version"] == []
    engine.dispose()


def test_a_migration_that_is_cut_off_leaves_nothing_behind(database, monkeypatch):
    config = alembic(database)
    command.downgrade(config, "0001")
    engine = store.connect(database)
    before = sorted(inspect(engine).get_table_names())
    with store.writing(engine) as session:
        # The migration fails half-way through: a table that it is to make is there already.
        session.execute(store.sql("CREATE TABLE revision (id INTEGER)"))
    with pytest.raises(Exception, match="already exists"):
        store.migrate(database)
    assert sorted(inspect(engine).get_table_names()) == sorted([*before, "revision"])
    engine.dispose()


def test_times_come_back_in_utc(engine):
    with store.writing(engine) as session:
        session.add(store.ModeratorRow(name="ann"))
    with store.reading(engine) as session:
        [row] = session.scalars(select(store.ModeratorRow))
        assert row.created.utcoffset().total_seconds() == 0
        assert abs((store.now() - row.created).total_seconds()) < 600


def test_a_failure_takes_everything_back(engine):
    with pytest.raises(RuntimeError), store.writing(engine) as session:
        session.add(store.ModeratorRow(name="ann"))
        session.flush()
        raise RuntimeError
    with store.reading(engine) as session:
        assert session.scalars(select(store.ModeratorRow)).all() == []


def test_a_secret_is_made_once(engine):
    with store.writing(engine) as session:
        first = store.secret(session, "cookies")
        assert len(first) > 40 and store.secret(session, "cookies") == first != store.secret(session, "other")
    with store.reading(engine) as session:
        assert store.secret(session, "cookies") == first


@pytest.mark.parametrize(
    ("given", "driver"),
    [
        ("postgres://u:p@h/d", "postgresql+psycopg"),
        ("postgresql://u:p@h/d", "postgresql+psycopg"),
        ("postgresql+psycopg://u:p@h/d", "postgresql+psycopg"),
        ("sqlite:///x.sqlite", "sqlite"),
    ],
)
def test_addresses_mean_the_driver_that_is_installed(given, driver):
    assert store.database(given).drivername == driver
