"""The desk over HTTP, on each kind of database: cards, decisions, undo, conflicts, filters, batches, thresholds, drift,
and comments that try to become markup."""

import html
import re
from html.parser import HTMLParser

import pytest
from conftest import Server, new_database
from desk import fill, first_admin

XSS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"><svg onload=alert(1)>",
    "'><iframe srcdoc='<script>alert(1)</script>'>",
    "</p></article><form action=//evil.example><button>",
    "javascript:alert(1)",
    "{{ 7 * 7 }} {% print(1) %} ${7*7} #{7*7}",
    "<a href=\"javascript:alert(1)\">you idiot</a>",
    "<div hx-get='/people' hx-trigger='load' hx-on:load='alert(1)'></div>",
    "<div data-hx-post=/desk/undo data-hx-trigger=load>",
    "&lt;script&gt;alert(1)&lt;/script&gt; &amp;",
    "<!-- --><style>*{display:none}</style>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<scr\u0000ipt>alert(1)</script>".replace("\u0000", "\u200b"),
    "\u202eidiot\u202c <b>you are stupid</b>",
    "<body onload=alert(1)><base href=//evil.example>",
    "you are an <idiot onclick=alert(1)> and a \"fool\" 'indeed'",
    "<textarea><script>alert(1)</script></textarea></title><title>",
    "<input autofocus onfocus=alert(1)><details open ontoggle=alert(1)>",
    "]]><![CDATA[<script>alert(1)</script>",
)  # fmt: skip


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def desk(request, tmp_path_factory, scorer):
    folder = tmp_path_factory.mktemp("desk")
    database = new_database(request, request.param, folder)
    fill(database, scorer, 60, texts=XSS)
    server = Server(folder, env={"MODERATION_DEMONSTRATION": "false", "MODERATION_DATABASE_URL": database})
    server.admin = first_admin(server)
    server.ada = server.admin.invite("Ada", "moderator")
    server.bob = server.admin.invite("Bob", "moderator")
    yield server
    server.stop()


def items(page):
    return [int(id) for id in re.findall(r'class="card open[^"]*" id="item-(\d+)"', page)]


def hidden(page, id, name):
    part = page[page.index(f'id="item-{id}"') :]
    return re.search(rf'name="{name}" value="([^"]*)"', part)[1]


def decide(person, page, id, choice, **more):
    data = {name: hidden(page, id, name) for name in ("csrf_token", "revision", "request")}
    data |= {"choice": choice, "seconds": "3.5", **more}
    return person.http.post(
        f"{person.server.url}/desk/items/{id}/decision", data=data, headers={"HX-Request": "true"}, timeout=60
    )


def undo(person, page, **more):
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)[1]
    return person.http.post(
        f"{person.server.url}/desk/undo", data={"csrf_token": token, **more}, headers={"HX-Request": "true"}, timeout=60
    )


def test_two_moderators_never_get_the_same_card(desk):
    ada, bob = items(desk.ada.get("/desk").text), items(desk.bob.get("/desk").text)
    assert len(ada) == len(bob) == 10
    assert not set(ada) & set(bob)
    # The same page again shows the same cards.
    assert items(desk.ada.get("/desk").text) == ada


def test_decide_and_undo(desk):
    page = desk.ada.get("/desk").text
    first, second, third = items(page)[:3]
    for id, choice, said in (
        (first, "approve", "Approved"),
        (second, "reject:off_topic", "Rejected as off-topic"),
        (third, "defer", "Put off"),
    ):
        reply = decide(desk.ada, page, id, choice)
        assert reply.status_code == 200 and said in reply.text
        # The same form sent twice is one decision.
        assert decide(desk.ada, page, id, choice).status_code == 200
    assert not {first, second, third} & set(items(desk.ada.get("/desk").text))
    decided = desk.ada.get("/desk?status=decided").text
    assert f'id="item-{first}"' in decided and f'id="item-{second}"' in decided
    assert f'id="item-{third}"' in desk.ada.get("/desk?status=deferred").text
    # Undo goes backwards, and gives the cards back.
    for id in (third, second, first):
        reply = undo(desk.ada, page)
        assert reply.status_code == 200 and items(reply.text) == [id]
    reply = undo(desk.ada, page)
    assert reply.status_code == 204 and "nothing to undo" in reply.headers["HX-Trigger"]
    assert {first, second, third} <= set(items(desk.ada.get("/desk").text))
    shown = desk.ada.get(f"/desk/items/{second}").text
    assert "Rejected as off-topic" in shown and "Undone" in shown


def test_new_cards_come_as_old_ones_go(desk):
    page = desk.ada.get("/desk").text
    first, *others = items(page)
    reply = decide(desk.ada, page, first, "approve", shown=",".join(map(str, others)))
    [new] = items(reply.text)
    assert new not in others and 'hx-swap-oob="beforeend:#hand"' in reply.text
    undo(desk.ada, page)


def test_what_another_has_decided_is_said(desk):
    page = desk.ada.get("/desk").text
    id = items(page)[0]
    other = desk.bob.get("/desk").text
    data = {name: hidden(page, id, name) for name in ("revision",)}
    # Ada has the card.
    reply = decide(desk.bob, other + page[page.index(f'id="item-{id}"') :], id, "approve", request="b-1",
                   csrf_token=re.search(r'name="csrf_token" value="([^"]+)"', other)[1], **data)  # fmt: skip
    assert reply.status_code == 409 and "Ada is looking at this" in reply.text
    assert decide(desk.ada, page, id, "reject:abusive").status_code == 200
    reply = decide(desk.bob, page, id, "approve", request="b-2",
                   csrf_token=re.search(r'name="csrf_token" value="([^"]+)"', other)[1])  # fmt: skip
    assert reply.status_code == 409 and "Ada has decided this already" in html.unescape(reply.text)
    assert "Not saved" in reply.headers["HX-Trigger"]
    # Moderators do not undo what others decided; leads do.
    number = re.search(r"/desk/decisions/(\d+)/undo", desk.ada.get("/desk?status=decided").text)[1]
    assert desk.bob.post(f"/desk/decisions/{number}/undo", page="/account").status_code == 403
    assert desk.admin.post(f"/desk/decisions/{number}/undo", page="/account").status_code == 200
    assert "Rejected as abusive" not in desk.ada.get("/desk?status=decided").text
    desk.admin.post("/desk/release", page="/account")


def test_a_decision_that_makes_no_sense_is_refused(desk):
    page = desk.ada.get("/desk").text
    id = items(page)[0]
    for choice in ("", "reject", "reject:ugly", "approve:abusive", "undo", "delete"):
        assert decide(desk.ada, page, id, choice).status_code == 400, choice
    assert decide(desk.ada, page, id, "approve", seconds="much").status_code == 400
    assert decide(desk.ada, page, id, "approve", csrf_token="").status_code == 400
    assert desk.ada.get("/desk/items/99999").status_code == 404
    assert id in items(desk.ada.get("/desk").text)


def test_filters(desk):
    for query in ("?label=abusive", "?section=Sport", "?order=age", "?order=uncertain", "?text=you"):
        found = items(desk.ada.get(f"/desk{query}").text)
        assert found, query
    page = desk.ada.get("/desk?section=Sport").text
    assert "· Sport" in page and "· City" not in page
    assert not items(desk.ada.get("/desk?text=zzzznowhere").text)
    for query in ("?order=worst", "?label=rude", "?status=lost", "?low=x"):
        assert desk.ada.get(f"/desk{query}").status_code == 400, query
    assert desk.ada.get("/desk?contested=1").status_code == 403
    assert desk.admin.get("/desk?contested=1").status_code == 200


def test_counts_and_context(desk):
    page = desk.ada.get("/desk").text
    before = int(re.search(r'data-count="mine">(\d+)', desk.ada.get("/desk/counts?live=1").text)[1])
    id = items(page)[0]
    decide(desk.ada, page, id, "approve")
    assert f'data-count="mine">{before + 1}<' in desk.ada.get("/desk/counts?live=1").text
    undo(desk.ada, page)
    assert "The author" in desk.ada.get(f"/desk/items/{id}/context").text


@pytest.mark.parametrize("filters", [{}, {"section": "Sport"}, {"text": "you"}, {"label": "abusive"}])
def test_a_batch_is_decided_and_undone(desk, filters):
    for person in (desk.ada, desk.bob):
        person.post("/desk/release", page="/account")
    asked = {"low": "0.3", "high": "0.9", **filters}
    page = desk.admin.get("/desk/batch", params=asked).text
    number = int(re.search(r"<b>(\d+)</b> comments? from 0.30 to 0.90", page)[1])
    heights = [int(n) for n in re.findall(r"<title>[\d.]+–[\d.]+: (\d+)</title>", page)]
    assert len(heights) == 20 and sum(heights[6:18]) == number > 0
    assert page.count('<span class="text">') == min(8, number)
    before = desk.admin.get("/desk/counts").text
    done = desk.admin.post("/desk/batch", {**asked, "choice": "reject:other"}, page="/account").text
    assert f"Rejected as other: {number} comments." in done
    batch = re.search(r"/desk/batch/(\d+)/undo", done)[1]
    assert desk.ada.post(f"/desk/batch/{batch}/undo", page="/account").status_code == 403
    undone = desk.admin.post(f"/desk/batch/{batch}/undo", page="/account").text
    assert f"Undone: {number} decisions." in undone
    opened = r'data-count="open">(\d+)<'
    assert re.search(opened, desk.admin.get("/desk/counts").text)[1] == re.search(opened, before)[1]
    for wrong in ({"low": "0.9", "high": "0.1"}, {**asked, "choice": "defer"}, {**asked, "choice": "reject:ugly"}):
        assert desk.admin.post("/desk/batch", wrong, page="/account").status_code == 400


def test_a_threshold_is_simulated_saved_and_taken_back(desk):
    assert desk.ada.get("/desk/thresholds").status_code == 403
    page = desk.admin.get("/desk/thresholds?label=mocking").text
    assert "data-value=" in page and "decisions on them" in page
    saved = desk.admin.post("/desk/thresholds", {"label": "mocking", "value": "0.93"}, page="/account").text
    assert "mocking is flagged from 0.93" in saved
    saved = desk.admin.post("/desk/thresholds", {"label": "mocking", "reset": "yes"}, page="/account").text
    assert "mocking is flagged from 0.93" not in saved and "Saved: mocking" in saved
    assert desk.admin.post("/desk/thresholds", {"label": "mocking", "value": "2"}, page="/account").status_code == 400


def test_drift_and_models_and_people_are_shown(desk):
    assert "The numbers" in desk.ada.get("/desk/drift").text
    assert 'id="retrain"' in desk.admin.get("/desk/models").text
    assert "Ada" in desk.admin.get("/people").text


class Markup(HTMLParser):
    """Gathers what a browser would make of a page: tags, and attributes that do something."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.handlers, self.targets = set(), [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        for name, value in attributes:
            if name.startswith(("on", "hx-on", "data-hx", "srcdoc", "style")):
                self.handlers.append((tag, name))
            if name in {"href", "action", "src", "hx-get", "hx-post"} and not value.startswith(("/", "?", "#")):
                self.targets.append((tag, name, value))


@pytest.mark.parametrize("n", range(len(XSS)))
def test_comment_text_never_becomes_markup(desk, n):
    own = "html head meta title link script body a header nav form input button main div h1 h2 h3 ul li b label select "
    own += "option span article time details summary p blockquote mark dl dt dd svg rect kbd dialog section"
    for person in (desk.ada, desk.bob):
        person.post("/desk/release", page="/account")
    page = desk.admin.get(f"/desk?author=text-{n}").text
    [id] = items(page)
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)[1]
    decided = decide(desk.admin, page, id, "approve", csrf_token=token)
    undone = undo(desk.admin, page)
    pages = [page, decided.text, undone.text]
    pages += [desk.admin.get(f"/desk/items/{id}{part}").text for part in ("", "/context")]
    for each in pages:
        found = Markup(each)
        assert found.tags <= {*own.split(), "table", "thead", "tbody", "tr", "th", "td", "code"}
        assert not found.handlers and not found.targets
    for each in (page, undone.text):
        comment = re.search(r'<p class="comment">(.*?)</p>', each, re.S)[1]
        assert not re.search(r"<(?!mark class=\"w[123]\">|/mark>)", comment)
        assert html.unescape(re.sub(r"<[^>]*>", "", comment)) == XSS[n]


def test_leads_erase_and_the_proof_stays(desk):
    assert desk.ada.get("/desk/erasure").status_code == 403
    desk.admin.post("/desk/release", page="/account")
    page = desk.admin.get("/desk?author=author-3").text
    text = html.unescape(re.sub(r"<[^>]*>", "", re.search(r'<p class="comment">(.*?)</p>', page, re.S)[1]))
    asked = {"kind": "author", "key": "author-3"}
    looked = desk.admin.post("/desk/erasure/look", asked, page="/desk/erasure").text
    number = int(re.search(r"<b>(\d+)</b> comments? would be erased", looked)[1])
    assert number > 1
    assert desk.admin.post("/desk/erasure", asked, page="/account").status_code == 400
    done = desk.admin.post("/desk/erasure", {**asked, "sure": "yes"}, page="/account").text
    assert f"Erased: {number} comments" in done and "all of them hold" in done
    for status in ("open", "deferred", "decided", "withdrawn"):
        assert (
            text
            not in html.unescape(desk.admin.get(f"/desk?status={status}&text={text[:40]}").text)
            .split("<main")[1]
            .split('id="hand"')[1]
        )
    assert not items(desk.admin.get("/desk?author=author-3").text)
    again = desk.admin.post("/desk/erasure/look", asked, page="/desk/erasure").text
    assert "Nothing of that author is here" in again and "Proof 1" in again


def test_the_policy_lets_no_script_in(desk):
    policy = desk.admin.get("/desk").headers["Content-Security-Policy"]
    assert "unsafe" not in policy and "default-src 'none'" in policy and "script-src 'self';" in policy
    assert "<script>" not in desk.admin.get("/desk").text
