"""People at the desk, for tests: log in over HTTP as a browser would."""

import re
from datetime import timedelta

import requests

PASSWORD = "four plain words together"


class Person:
    """A session of somebody at a running server.

    Parameters
    ----------
    server : conftest.Server
    """

    def __init__(self, server):
        self.server, self.http = server, requests.Session()

    def get(self, path, **more):
        return self.http.get(self.server.url + path, timeout=60, **more)

    def token(self, path="/login"):
        return re.search(r'name="csrf_token" value="([^"]+)"', self.get(path).text)[1]

    def post(self, path, data=None, *, page=None, **more):
        """Send a form, with the token of `page` (by default of the form's own page)."""
        data = {"csrf_token": self.token(page or path), **(data or {})}
        return self.http.post(self.server.url + path, data=data, timeout=60, **more)

    def set_up(self, link, password=PASSWORD):
        path = link[link.index("/setup/") :]
        return self.post(path, {"password": password, "again": password})

    def log_in(self, name, password=PASSWORD):
        return self.post("/login", {"name": name, "password": password})

    def invite(self, name, role, password=PASSWORD):
        """Invite somebody, as an administrator; their session."""
        reply = self.post("/people", {"name": name, "role": role, "new": "yes"})
        person = Person(self.server)
        person.set_up(re.search(r'id="link">([^<]+)<', reply.text)[1], password)
        return person


def first_admin(server):
    """The administrator whom the server's first start invited."""
    link = re.findall(r"http://\S+/setup/[\w-]+", server.log.read_text())[-1]
    person = Person(server)
    person.set_up(link)
    return person


def fill(url, scorer, number=60, *, texts=(), policy=None, weeks=0):
    """Put comments of the starter set, and `texts`, into the queue of a database; how many are open.

    With `weeks` what is not flagged is kept too, and all is spread over as many weeks.
    """
    import random

    from conftest import ROOT

    from moderation import queue, store
    from moderation.comments import Comment, read_articles, read_rows

    store.migrate(url)
    engine = store.connect(url)
    articles = read_articles(ROOT / "data" / "articles.csv")
    rows = [row for _, row in read_rows(ROOT / "data" / "comments.csv")]
    rng = random.Random(7)
    rng.shuffle(rows)
    policy = policy or queue.Policy(audit=0, double=0)
    with store.writing(engine) as session:
        for id, article in articles.items():
            store.save_article(session, id, article)
        sent = [(row["id"], row["text"], row["article_id"], row["parent_text"]) for row in rows]
        sent += [(f"text-{n}", text, "", "") for n, text in enumerate(texts)]
        entered = 0
        for n, (id, text, article, parent) in enumerate(sent):
            if entered >= number and n < len(rows):
                continue
            [scored] = scorer.score([Comment(text, id, articles.get(article), parent)])
            if not scored.flagged and n < len(rows) and not weeks:
                continue
            arrival = queue.Arrival(
                id,
                text,
                article or None,
                "",
                parent,
                f"author-{n % 9}" if n < len(rows) else id,
                ("City", "Politics", "Sport")[n % 3],
            )
            rule = policy if n < len(rows) else queue.Policy(audit=1)
            received = queue.receive(session, arrival, scored, rule, rng=rng)
            entered += received.item is not None
            if weeks:
                at = received.score.scored - timedelta(days=rng.random() * 7 * weeks)
                received.score.scored, received.score.week = at, (at - timedelta(days=at.weekday())).date()
                received.comment.posted = at
    engine.dispose()
    return entered


def decide_as_labelled(url, number):
    """Decide comments as the starter set labels them, for there to be something to learn from."""
    import random

    from conftest import ROOT

    from moderation import queue, store
    from moderation.comments import LABELS, read_rows
    from moderation.queue import Decision, Filter, Policy

    rng = random.Random(3)
    rows = [row for _, row in read_rows(ROOT / "data" / "comments.csv")]
    truth = {row["id"]: [label for label in LABELS if str(row[label]) == "1"] for row in rows}
    assert any(truth.values())
    engine = store.connect(url)
    with store.writing(engine) as session:
        items = queue.items(session, Filter(), limit=10_000)
        for item in rng.sample(items, min(number, len(items))):
            reasons, seconds = truth[item.comment_id], rng.uniform(3, 25)
            verdict, reason = ("reject", reasons[0]) if reasons else ("approve", None)
            queue.decide(session, item.id, Decision(verdict, "Nia", None, reason, seconds), Policy(double=0))
    engine.dispose()
