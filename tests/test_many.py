"""With many comments every query of the queue goes by an index, on each kind of database.

How long each takes is measured by ``python -m benchmarks.queue``; here only what does not depend on the machine.
"""

import pytest
from sqlalchemy import event, select
from sqlalchemy.orm import Session, joinedload

from benchmarks import queue as benchmark
from moderation import queue, store
from moderation.queue import Filter
from moderation.store import ItemRow, ModeratorRow

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
ORDERS = ("rank", "entered", "margin", "probability")
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
        [(statement, plan)] = [each for each in plans(many, name) if "LIMIT" in each[0]]
        assert "ORDER BY" in statement
        assert not any("TEMP B-TREE" in line for line in plan), (name, plan)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_what_no_index_has_in_order_is_found_without_the_table(many):
    """None may be what is looked for: then all open items are gone over, in an index that has what is asked for."""
    for name in (
        "picture of a batch with a word",
        "lease of 20 with a word in a section, by age",
        "lease of 20 of a label and a section that has none",
        "lease of 20 contested, of which there are none",
    ):
        plan = [line for _, lines in plans(many, name) for line in lines]
        assert any("USING COVERING INDEX ix_item_open (status=?)" in line for line in plan), (name, plan)
        assert not any(f"SEARCH item USING INDEX ix_item_{each}" in line for line in plan for each in ORDERS), (
            name,
            plan,
        )


FILTERS = (
    Filter(text="bridge"),  # more than are looked at one by one
    Filter(text="bridg coun", section="sport", label="abusive", high=0.7),
    Filter(text="bridge", author="u77"),
    Filter(text="rare7"),  # and fewer
    Filter(label="abusive", article="a7", low=0.5),
    Filter(section="sport", status="decided"),
    Filter(contested=True),
)


def test_a_filter_leaves_what_it_says(many):
    """However the query goes: against every item looked at by itself."""
    with store.reading(many) as session:
        every = session.scalars(select(ItemRow).options(joinedload(ItemRow.revision))).all()
    for chosen in FILTERS:
        column = chosen.label or "probability"
        found = [item for item in every if meets(item, chosen)]
        inside = [item for item in found if chosen.low <= getattr(item, column) < chosen.high]
        heights = [0] * 20
        for item in found:
            heights[int(20 * getattr(item, column))] += 1
        by_age = [item.id for item in sorted(inside, key=lambda item: (item.entered, item.id))]
        with Session(many.execution_options(writing=True)) as session:
            assert queue.count(session, chosen) == len(inside), chosen
            bars, number, sample = queue.picture(session, chosen, 20, 5)
            assert (bars, number, len(sample)) == (heights, len(inside), min(5, len(inside))), chosen
            assert {item.id for item in sample} <= set(by_age), chosen
            for begin, name in ((0, "ann"), (15, "bob")):
                person = session.scalar(select(ModeratorRow).where(ModeratorRow.name == name))
                leased = queue.lease(session, person, benchmark.POLICY, chosen, "age", size=15)
                assert [item.id for item in leased] == by_age[begin : begin + 15], (chosen, name)
            session.rollback()


def meets(item, chosen):
    words = item.revision.text.split()
    return (
        item.status == chosen.status
        and (item.source == "contested") == chosen.contested
        and all(any(word.startswith(begin) for word in words) for begin in chosen.text.split())
        and (not chosen.label or getattr(item, f"flag_{chosen.label}"))
        and chosen.section in ("", item.section)
        and chosen.article in ("", item.article_id)
        and chosen.author in ("", item.author)
    )


def test_a_page_takes_the_same_few_statements_whatever_it_shows(many):
    for name in benchmark.queries("m-1"):
        number = len(plans(many, name))
        assert number <= (14 if name == "sections" else 9), name


def test_a_full_queue_is_leased_without_reading_it_all(many):
    """A word that many comments have, and one that none has."""
    for name in ("items with a word that none has", "items with a rare word"):
        plan = [line for _, lines in plans(many, name) for line in lines]
        assert not any("status=?" in line for line in plan), (name, plan)
