"""How long the queue's queries and the desk's pages take with many comments:
``python -m benchmarks.queue DATABASE_URL [COMMENTS]``.

The database must be empty; on SQLite: ``sqlite:////tmp/many.sqlite``. What it prints is Markdown, and kept in
``benchmarks/queue.md``.
"""

from __future__ import annotations

import math
import random
import statistics
import sys
import time
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import Engine, insert, select
from sqlalchemy.orm import Session

from moderation import queue, simulation, store
from moderation.app import create_app, prepare
from moderation.queue import Filter, Policy
from moderation.registry import Serving
from moderation.scorer import Scorer
from moderation.settings import Settings
from moderation.store import (
    ArticleRow,
    CommentRow,
    DecisionRow,
    ItemRow,
    ModeratorRow,
    RevisionRow,
    ScoreRow,
)

POLICY = Policy()
_WORDS = (
    *("the", "council", "bridge", "harbour", "school", "teacher", "tax", "money", "road", "traffic", "nurse"),
    *("hospital", "vote", "party", "minister", "people", "town", "never", "always", "nothing", "again", "question"),
    *("answer", "reason", "truth", "story", "paper", "reader", "house", "rent", "market", "price", "winter", "summer"),
)


def fill(engine: Engine, number: int, *, decided: int = 0, seed: int = 0, model: str = "m-1") -> None:
    """Put `number` flagged comments into the queue, and `decided` more that were decided lately, a tenth of these from
    the audit of what was not flagged; all scored by `model`."""
    rng = random.Random(seed)
    names = [f"{word}{place}" for place in range(40) for word in ("rare", "odd")]
    at = store.now() - timedelta(days=30)
    with store.writing(engine) as session:
        session.add_all([ModeratorRow(name="ann"), ModeratorRow(name="bob")])
        session.add_all(
            ArticleRow(id=f"a{i}", title=f"Article {i}", body="\n\n".join(_text(rng, names, 60) for _ in range(12)))
            for i in range(200)
        )
        session.flush()
        total = number + decided
        for begin in range(0, total, 5000):
            rows = [
                _comment(rng, names, place, at + timedelta(days=29 * place / total), place >= number, model)
                for place in range(begin, min(total, begin + 5000))
            ]
            for place, table in enumerate((CommentRow, RevisionRow, ScoreRow, ItemRow, DecisionRow)):
                values = [row[place] for row in rows if row[place]]
                if values:
                    session.execute(insert(table), values)
        if engine.dialect.name == "postgresql":
            for table in ("revision", "score", "item", "decision"):
                session.execute(
                    store.sql(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {total + 1})")  # noqa: S608
                )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("VACUUM ANALYZE")


def _text(rng, names, words):
    return " ".join([*rng.choices(_WORDS, k=words), rng.choice(names)])


def _comment(rng, names, place, at, done, model):
    id, number, section = f"c{place}", place + 1, ("local", "sport", "politics", "culture")[place % 4]
    text = _text(rng, names, rng.randrange(8, 50))
    drawn = done and place % 10 == 0
    abusive, mocking = (rng.betavariate(4, 2), 0.05) if place % 3 else (0.05, rng.betavariate(4, 2))
    if drawn:
        abusive, mocking = 0.19 * rng.random(), 0.05
    values = {"abusive": abusive, "mocking": mocking, "off_topic": 0.02}
    label = max(values, key=values.__getitem__)
    top = values[label]
    margin = abs(math.log(top / (1 - top)))
    author, article = f"u{rng.randrange(5000)}", f"a{rng.randrange(200)}"
    verdict, source = {}, "audit" if drawn else "flagged"
    if done:
        rejected = rng.random() < top
        reason = label if rejected else None
        verdict = {"verdict": "reject" if rejected else "approve", "reason": reason, "decided": at}
    thresholds = {f"{each}_threshold": 0.2 for each in values}
    flags = {f"flag_{each}": p >= 0.2 for each, p in values.items()}
    common = {"article_id": article, "section": section, "author": author}
    return (
        {"id": id, "posted": at, "created": at, **common, **verdict},
        {"id": number, "comment_id": id, "number": 1, "text": text, "created": at},
        {
            "id": number, "revision_id": number, "comment_id": id, "model": model, "section": section, **values,
            **thresholds, "flagged": not drawn, "source": source, "sampling_probability": 0.01 if drawn else 1.0,
            "scored": at, "week": (at - timedelta(days=at.weekday())).date(),
        },
        {
            "id": number, "comment_id": id, "revision_id": number, "score_id": number, "source": source,
            "status": "decided" if done else "open", "model": model, **common, **values, **flags, "probability": top,
            "rank": top, "margin": margin, "entered": at, "decided_by": "ann" if done else "",
            "decision_id": number if done else None, **verdict,
        },
        {
            "id": number, "item_id": number, "comment_id": id, "revision_id": number, "moderator_id": 1, "who": "ann",
            "verdict": verdict["verdict"], "reason": verdict["reason"], "at": at, "model": model,
            "seconds": rng.uniform(2, 30), "source": source,
        } if done else {},
    )  # fmt: skip


def queries(model: str) -> dict[str, Callable[[Session], object]]:
    """What the desk asks for, by name, where `model` scored the comments; those that begin with ``lease`` and
    ``decide`` write."""

    def person(session):
        return session.scalar(select(ModeratorRow).where(ModeratorRow.name == "ann"))

    def comment(session):
        return session.scalar(select(CommentRow).where(CommentRow.id == "c77"))

    return {
        "items by probability": lambda s: queue.items(s, Filter()),
        "items by age": lambda s: queue.items(s, Filter(), "age"),
        "items, most uncertain": lambda s: queue.items(s, Filter(), "uncertain"),
        "newest decisions": lambda s: queue.newest_decided(s, Filter(status="decided"), limit=51, offset=1000),
        "picture of a batch with a word": lambda s: queue.picture(s, Filter(text="bridge", low=0.4, high=0.6), 20, 8),
        "items of a label": lambda s: queue.items(s, Filter(label="mocking")),
        "items of a section": lambda s: queue.items(s, Filter(section="sport")),
        "items of an article": lambda s: queue.items(s, Filter(article="a7")),
        "items of an author": lambda s: queue.items(s, Filter(author="u77")),
        "items with a rare word": lambda s: queue.items(s, Filter(text="rare7")),
        "items with two common words": lambda s: queue.items(s, Filter(text="bridge council")),
        "items with a word that none has": lambda s: queue.items(s, Filter(text="zyx")),
        "lease of 20": lambda s: queue.lease(s, person(s), POLICY, size=20),
        "lease of 20 of a label": lambda s: queue.lease(s, person(s), POLICY, Filter(label="abusive"), size=20),
        "lease of 20 with a word": lambda s: queue.lease(s, person(s), POLICY, Filter(text="bridge"), size=20),
        "lease of 20 with a word in a section, by age": lambda s: queue.lease(
            s, person(s), POLICY, Filter(text="bridge", section="sport"), "age", size=20
        ),
        "lease of 20 of a label and a section that has none": lambda s: queue.lease(
            s, person(s), POLICY, Filter(label="off_topic", section="sport"), "uncertain", size=20
        ),
        "lease of 20 contested, of which there are none": lambda s: queue.lease(
            s, person(s), POLICY, Filter(contested=True), size=20
        ),
        "counts": lambda s: queue.counts(s, person(s)),
        "count of a range": lambda s: queue.count(s, Filter(low=0.4, high=0.6)),
        "histogram": lambda s: queue.histogram(s, Filter()),
        "histogram of a label": lambda s: queue.histogram(s, Filter(label="abusive")),
        "sample of a range": lambda s: queue.sample(s, Filter(low=0.4, high=0.6)),
        "sections": queue.sections,
        "an author's history": lambda s: queue.author_history(s, "u77"),
        "similar comments": lambda s: queue.similar(s, comment(s)),
        "drift by week": simulation.weekly,
        "stream of the simulator": lambda s: simulation.stream(s, "abusive", model),
    }


def measure(engine: Engine, model: str, repeats: int = 7) -> dict[str, float]:
    """Median milliseconds of each query; `model` names the version that scored the comments."""
    found = {}
    for name, query in queries(model).items():
        times = []
        for _ in range(repeats):
            opened = store.writing if name.startswith("lease") else store.reading
            begin = time.perf_counter()
            with opened(engine) as session:
                query(session)
            times.append(1000 * (time.perf_counter() - begin))
        found[name] = statistics.median(times)
    return found


#: The desk's pages, with filters that many comments meet: the word stands in half of them.
PAGES = (
    *("/desk", "/desk?order=age", "/desk?order=uncertain", "/desk?label=mocking", "/desk?section=sport"),
    *("/desk?text=bridge", "/desk?text=bridge+council&section=sport&order=age", "/desk?contested=1"),
    *(
        "/desk?label=off_topic&section=sport&order=uncertain",
        "/desk?text=rare7",
        "/desk?status=decided",
        "/desk?status=decided&page=1000",
    ),
    *("/desk/counts?live=1", "/desk/items/77", "/desk/items/77/context"),
    *("/desk/batch", "/desk/batch?low=0.4&high=0.6", "/desk/batch?low=0.4&high=0.6&text=bridge"),
    *("/desk/batch?low=0.4&high=0.6&text=bridge&label=abusive&section=sport", "/desk/batch?section=sport"),
    *("/desk/drift", "/desk/thresholds", "/desk/models", "/desk/erasure", "/people"),
)


def measure_pages(url: str, repeats: int = 5) -> dict[str, tuple[float, float, float]]:
    """Milliseconds of each page: on the first visit, then the median of `repeats`, by the clock, and the median
    processor time of this process, which PostgreSQL's own is not part of."""
    app = create_app(Settings(database_url=url, demonstration=False))
    prepare(app)
    with store.writing(app.extensions["engine"]) as session:
        person = session.scalar(select(ModeratorRow).where(ModeratorRow.name == "ann"))
        person.role = "admin"
    client = app.test_client()
    with client.session_transaction() as cookie:
        cookie.update(id=person.id, began=time.time(), seen=time.time())
    found = {}
    for page in PAGES:
        clock, processor = [], []
        for _ in range(1 + repeats):
            with store.writing(app.extensions["engine"]) as session:
                queue.release(session, person)  # so that each visit is given its cards
            begin = time.perf_counter(), time.process_time()
            reply = client.get(page)
            clock.append(1000 * (time.perf_counter() - begin[0]))
            processor.append(1000 * (time.process_time() - begin[1]))
            if reply.status_code != 200:
                raise RuntimeError(f"{page}: {reply.status}")
        found[page] = clock[0], statistics.median(clock[1:]), statistics.median(processor[1:])
    return found


if __name__ == "__main__":
    store.migrate(sys.argv[1])
    target = store.connect(sys.argv[1])
    size = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    # The simulator looks at what the model says that is active now.
    version = Serving(Settings().models, Settings().model, Scorer).get().version
    fill(target, size, decided=size, model=version)
    print(f"## {target.dialect.name}: {size:,} open comments and as many decided ones\n")
    print("| query | median ms |\n|---|---:|")
    for label, milliseconds in measure(target, version).items():
        print(f"| {label} | {milliseconds:.1f} |")
    print("\n| page | first visit, ms | median ms | of these this process's own |\n|---|---:|---:|---:|")
    for label, (first, median, processor) in measure_pages(sys.argv[1]).items():
        print(f"| `{label}` | {first:.0f} | {median:.0f} | {processor:.0f} |")
