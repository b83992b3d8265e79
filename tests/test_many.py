"""With many comments every query of the queue goes by an index, on each kind of database.

How long each takes is measured by ``python -m benchmarks.queue``; here only what does not depend on the machine.
"""

import pytest
from sqlalchemy import event

from benchmarks import queue as benchmark
from moderation import store

#: Queries whose rows come in the order of an index, so that nothing is sorted.
IN_ORDER = (
    "items by probability",
    "items by age",
    "items, most uncertain",
    "items of a label",
    "items of a section",
    "items of an article",
    "items of an author",
)
TABLES = ("item", "comment", "revision", "score", "decision")


@pytest.fixture
def many(engine):
    benchmark.fill(engine, 3000, decided=3000, model="m-1")
    return engine


def plans(engine, name):
    """The statements of a query with their plans, as lines of text."""
    found = []

    def note(connection, cursor, statement, parameters, context, executemany):
        if statement.startswith(("SELECT", "WITH")) and not found_explaining:
            found.append((statement, parameters))

    found_explaining = []
    event.listen(engine, "before_cursor_execute", note)
    try:
        with store.writing(engine) as session:
            benchmark.queries("m-1")[name](session)
            found_explaining.append(True)
            connection = session.connection()
            sqlite = engine.dialect.name == "sqlite"
            if not sqlite:
                # With few rows reading them all is cheapest; the question is whether an index could be used.
                connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            explain = "EXPLAIN QUERY PLAN " if sqlite else "EXPLAIN "
            return [
                (
                    statement,
                    [str(row[-1]).strip() for row in connection.exec_driver_sql(explain + statement, parameters)],
                )
                for statement, parameters in found
            ]
    finally:
        event.remove(engine, "before_cursor_execute", note)


def test_every_query_goes_by_an_index(many):
    for name in benchmark.queries("m-1"):
        for statement, plan in plans(many, name):
            for line in plan:
                # SQLite: "SCAN item"; going through an index from end to end is "SCAN item USING … INDEX".
                whole = any(
                    f"{line} ".startswith((f"SCAN {table} ", f"Seq Scan on {table} "))
                    or f"->  Seq Scan on {table} " in line
                    for table in TABLES
                )
                assert not whole or "USING" in line, (name, statement, plan)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_nothing_is_sorted_that_an_index_has_in_order(many):
    for name in IN_ORDER:
        statement, plan = plans(many, name)[-1]
        assert "ORDER BY" in statement
        assert not any("TEMP B-TREE" in line for line in plan), (name, plan)


def test_a_page_takes_the_same_few_statements_whatever_it_shows(many):
    for name in benchmark.queries("m-1"):
        number = len(plans(many, name))
        assert number <= (14 if name == "sections" else 9), name


def test_a_full_queue_is_leased_without_reading_it_all(many):
    """A word that many comments have, and one that none has."""
    for name in ("items with a word that none has", "items with a rare word"):
        plan = [line for _, lines in plans(many, name) for line in lines]
        assert not any("status=?" in line for line in plan), (name, plan)
