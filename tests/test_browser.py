"""The desk in a real browser: a whole day in a row, two browsers at once, narrow, dark, accessible."""

import os
import re
import shutil
from pathlib import Path

import pytest
from conftest import ROOT, Server, until
from desk import PASSWORD, decide_as_labelled, fill, first_admin

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install --require-hashes -r tests/browser.lock"
)
CHROMIUM = shutil.which("chromium")
if not CHROMIUM:
    pytest.skip("Chromium is not installed (Debian: apt install chromium)", allow_module_level=True)

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")
SHOTS = os.environ.get("MODERATION_TEST_SCREENSHOTS")  # a folder: "docs/img" makes the README's pictures anew


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def desk(tmp_path_factory, scorer):
    folder = tmp_path_factory.mktemp("browser")
    shutil.copytree(ROOT / "models" / "default", folder / "models" / "default")
    fill(f"sqlite:///{folder / 'test.sqlite'}", scorer, 90, weeks=6)
    env = {"MODERATION_DEMONSTRATION": "false", "MODERATION_MODELS": str(folder / "models")}
    # Second opinions are drawn at random, and would come into the counts.
    server = Server(folder, env={**env, "MODERATION_DOUBLE_REVIEW": "0"})
    server.admin = first_admin(server)
    for name, role in (("Ada", "moderator"), ("Bob", "moderator"), ("Lea", "lead")):
        # Whoever logs in sees the queue, and has cards.
        server.admin.invite(name, role).post("/desk/release", page="/account")
    server.admin.post("/desk/release", page="/account")
    yield server
    server.stop()


@pytest.fixture
def visit(browser, desk):
    """Opens browsers, each with somebody logged in; fails the test for what the page complains of."""
    opened, complaints = [], []

    def opener(name="", **options):
        context = browser.new_context(**{"viewport": {"width": 1100, "height": 900}, **options})
        context.set_default_timeout(90_000)  # ms; machines that test are slow and shared
        opened.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
        if name:
            log_in(page, desk, name)
        return page

    yield opener
    for context in opened:
        context.close()
    # The browser itself reports answers of 409 and what a test kept from arriving; these are wanted.
    assert [
        line for line in complaints if "status of 409" not in line and "ERR_FAILED" not in line and "htmx:" not in line
    ] == []


def log_in(page, desk, name):
    """By keyboard alone: the field for the name has the focus."""
    page.goto(f"{desk.url}/login")
    holds(page, "() => document.activeElement.id === 'name'")
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector("#hand")


def holds(page, expression, arg=None):
    """Wait until it does. Asked by the clock, since a busy machine may draw no frames."""
    page.wait_for_function(expression, arg=arg, polling=100)  # ms


def count(page, name):
    return int(page.inner_text(f'[data-count="{name}"]').replace(",", ""))


def current(page):
    return page.get_attribute(".card.current", "data-item")


def wait_count(page, name, number):
    holds(
        page,
        "([name, number]) => document.querySelector(`[data-count=${name}]`).textContent === number",
        arg=[name, f"{number:,}"],
    )


def shot(page, name, full=False):
    if SHOTS:
        Path(ROOT, SHOTS).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(ROOT, SHOTS, f"{name}.png"), full_page=full)


def serious(page):
    """What axe-core finds wrong with a page, of serious or critical impact."""
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert len(found["passes"]) > 5, "axe looked at nothing"
    return [
        (each["id"], [node["html"] for node in each["nodes"]])
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]


# ---------------------------------------------------------------------------------------- a day at the desk


def test_a_day_at_the_desk(visit, desk):
    """What a lead does from morning to evening, in one browser on one server, each step after the last one."""
    page = visit("Lea")
    twenty_decisions_by_keyboard_alone(page)
    page.get_by_role("button", name="Leave").click()
    a_batch_by_dragging_and_its_undo(page, desk)
    a_threshold_dragged_and_saved(page, desk)
    a_model_retrained_promoted_and_rolled_back(page, desk)


def twenty_decisions_by_keyboard_alone(page):
    page.wait_for_selector(".card.current .columns")
    shot(page, "queue")
    begin, seen = count(page, "open"), []
    for n in range(20):
        id = current(page)
        assert id and id not in seen
        seen.append(id)
        key = "ardaa"[n % 5]
        page.keyboard.press(key)
        if key == "r":
            page.wait_for_selector(".card.rejecting")
            page.keyboard.press(str(1 + n % 4))
        holds(page, "(id) => document.querySelector('.card.current')?.dataset.item !== id", arg=id)
        page.wait_for_selector(f"#item-{id}.closed")
    wait_count(page, "mine", 16)
    wait_count(page, "deferred", 4)
    # Now and then one comes back for a second opinion.
    assert begin - 20 <= count(page, "open") <= begin - 4
    assert page.locator(".card.open").count() == 10, "the hand stays full"
    # Undo goes back over all of them, across pages too.
    page.reload()
    page.wait_for_selector(".card.current")
    for id in reversed(seen):
        page.keyboard.press("u")
        page.wait_for_selector(f"#item-{id}.open.current")
    wait_count(page, "mine", 0)
    wait_count(page, "deferred", 0)
    wait_count(page, "open", begin)
    page.keyboard.press("u")
    holds(page, "() => document.getElementById('said').textContent.includes('nothing to undo')")


def a_batch_by_dragging_and_its_undo(page, desk):
    page.goto(f"{desk.url}/desk/batch")
    columns = page.locator("[data-range] g")
    first, last = columns.nth(4).bounding_box(), columns.nth(9).bounding_box()
    page.mouse.move(first["x"] + 3, first["y"] + 40)
    page.mouse.down()
    page.mouse.move(last["x"] + 3, last["y"] + 40, steps=5)
    page.mouse.up()
    page.wait_for_selector(".found b")
    assert "from 0.20 to 0.50" in page.inner_text(".found")
    number = int(page.inner_text(".found b"))
    assert number > 5 and page.locator(".sample li").count() == min(8, number)
    shot(page, "batch")
    # A click on what is about to be exchanged is lost; and the words of a button may stand in a comment as well.
    holds(page, "() => !document.querySelector('.htmx-request, .htmx-swapping, .htmx-settling')")
    page.get_by_role("button", name="Reject all as other").click()
    page.wait_for_selector(".done")
    # Cards that Bob has stay with him.
    decided = int(re.match(r"Rejected as other: (\d+) comments\.", page.inner_text(".done"))[1])
    assert 0 < decided <= number
    page.click("td button")
    page.wait_for_selector(".done")
    assert f"Undone: {decided} decisions." in page.inner_text(".done")
    # The same by keys: the handles are ordinary fields.
    page.focus("input[name=low]")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".found b")
    assert "from 0.05 to 1.00" in page.inner_text(".found")


def a_threshold_dragged_and_saved(page, desk):
    decide_as_labelled(desk.env["MODERATION_DATABASE_URL"], 40)
    page.goto(f"{desk.url}/desk/thresholds?label=abusive")
    holds(page, "() => document.querySelector('[data-value=flags]').textContent !== '–'")
    before = float(page.inner_text("[data-value=flags]"))
    assert page.is_disabled("#save")
    box = page.locator("#plot").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.12, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.14, box["y"] + 50, steps=3)
    shot(page, "thresholds")
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 50, steps=6)
    page.mouse.up()
    assert page.inner_text("#at") == "0.30"
    after = float(page.inner_text("[data-value=flags]"))
    assert 0 < after < before
    assert re.fullmatch(r"\(\d.*–\d.*\)", page.inner_text("[data-interval=flags]"))
    assert serious(page) == []
    page.focus("#threshold")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#at") == "0.32"
    page.click("#save")
    page.wait_for_selector(".done")
    assert "abusive is flagged from 0.32" in page.inner_text(".done")
    assert "Lea" in page.inner_text("table") and "0.32" in page.inner_text("table")
    # It holds from now on.
    until(lambda: desk.score(text="You are a stupid man.")["labels"]["abusive"]["threshold"] == 0.32)
    page.get_by_role("button", name="Back to").click()
    page.wait_for_selector(".done")
    assert "0.32" not in page.inner_text(".done")


def a_model_retrained_promoted_and_rolled_back(page, desk):
    decide_as_labelled(desk.env["MODERATION_DATABASE_URL"], 20)
    page.goto(f"{desk.url}/desk/models")
    page.click("#retrain")
    page.wait_for_selector("progress")
    assert serious(page) == []
    # It runs beside the service, which goes on scoring.
    assert desk.score(text="You idiot.")["flagged"]
    page.wait_for_selector("#runs a", timeout=900_000)
    page.click("#runs a")
    page.wait_for_selector("#promote")
    assert "held-out decisions" in page.inner_text("main")
    assert serious(page) == []
    shot(page, "preview")
    page.click("#promote")
    version = page.inner_text("#active")
    assert version != "default" and f"{version} is active." in page.inner_text(".done")
    shot(page, "models")
    page.set_viewport_size({"width": 380, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 380
    page.click("#roll-back")
    assert page.inner_text("#active") == "default"


# ---------------------------------------------------------------------------------------- keys


def test_moving_rejecting_and_help_by_key(visit):
    page = visit("Ada")
    page.wait_for_selector(".card.current")
    ids = page.eval_on_selector_all(".card.open", "all => all.map(each => each.dataset.item)")
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert current(page) == ids[2]
    page.keyboard.press("k")
    assert current(page) == ids[1]
    assert page.evaluate("document.activeElement.dataset.item") == ids[1]
    page.keyboard.press("r")
    page.wait_for_selector(".card.rejecting")
    page.keyboard.press("Escape")
    assert page.locator(".card.rejecting").count() == 0
    # A digit alone decides nothing, nor do keys in a field.
    page.keyboard.press("1")
    page.keyboard.press("/")
    page.keyboard.type("arddd")
    assert page.input_value("#search") == "arddd"
    assert page.locator(".card.open").count() == 10
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("?")
    page.wait_for_selector("#help[open]")
    page.keyboard.press("a")
    page.keyboard.press("Escape")
    assert page.locator("#help[open]").count() == 0
    assert page.locator(".card.closed").count() == 0


def test_the_mouse_does_what_the_keys_do(visit):
    page = visit("Bob")
    page.wait_for_selector(".card.current")
    id = page.get_attribute(".card.open >> nth=1", "data-item")
    page.click(f"#item-{id} button[value='reject:mocking']")
    page.wait_for_selector(f"#item-{id}.closed .verdict.reject")
    page.click(f"#item-{id} .undo")
    page.wait_for_selector(f"#item-{id}.open.current")


def test_a_decision_that_did_not_arrive_is_not_shown_as_made(visit):
    page = visit("Bob")
    page.wait_for_selector(".card.current")
    id = current(page)
    page.route("**/decision", lambda route: route.abort())
    page.keyboard.press("a")
    holds(page, "() => document.getElementById('said').textContent.startsWith('Not saved')")
    page.wait_for_selector(f"#item-{id}.open.current:not(.sending)")
    page.unroute("**/decision")
    page.keyboard.press("a")
    page.wait_for_selector(f"#item-{id}.closed")
    page.keyboard.press("u")
    page.wait_for_selector(f"#item-{id}.open")


def test_two_browsers_at_once(visit):
    ada, bob = visit("Ada"), visit("Bob")
    cards = [set(page.eval_on_selector_all(".card.open", "all => all.map(e => e.dataset.item)")) for page in (ada, bob)]
    assert len(cards[0]) == len(cards[1]) == 10 and not cards[0] & cards[1]
    before = count(bob, "open")
    ada.wait_for_selector(".card.current")
    id = current(ada)
    ada.keyboard.press("a")
    ada.wait_for_selector(f"#item-{id}.closed")
    # Bob's page says so by itself.
    wait_count(bob, "open", before - 1)
    # Bob gets at Ada's card all the same, after she has decided it again: he is told.
    ada.keyboard.press("u")
    ada.wait_for_selector(f"#item-{id}.open")
    bob.goto(bob.url.split("?")[0] + f"/items/{id}")
    bob.wait_for_selector(".card.current")
    ada.keyboard.press("a")
    ada.wait_for_selector(f"#item-{id}.closed")
    bob.keyboard.press("r")
    bob.keyboard.press("1")
    bob.wait_for_selector(".card.conflict")
    assert "Ada has decided this already" in bob.inner_text(".card.conflict")
    ada.keyboard.press("u")
    ada.wait_for_selector(f"#item-{id}.open")


def test_abuse_is_blurred_until_it_has_the_focus(visit, desk):
    page = visit("Bob")
    page.goto(f"{desk.url}/account")
    page.check("input[name=blur]")
    page.get_by_role("button", name="Save").click()
    page.goto(f"{desk.url}/desk?label=abusive")
    page.wait_for_selector(".card.current")
    blurred = "document.querySelectorAll('.card.blur .comment')"
    filters = f"[...{blurred}].map(each => getComputedStyle(each).filter)"
    found = page.evaluate(filters)
    assert found[0] == "none" and set(found[1:]) == {"blur(7px)"}
    page.keyboard.press("j")
    found = page.evaluate(filters)
    assert found[1] == "none" and found[0] == "blur(7px)"


def test_drift_is_drawn(visit, desk):
    page = visit("Ada")
    page.goto(f"{desk.url}/desk/drift")
    assert page.locator("svg .dot").count() >= 1 and page.locator("svg .cell").count() > 5
    assert serious(page) == []
    shot(page, "drift")


# ---------------------------------------------------------------------------------------- every page

PAGES = (
    "/",
    "/docs",
    "/desk",
    "/desk?status=decided",
    "/desk/batch?low=0.1&high=0.9",
    "/desk/models",
    "/desk/thresholds",
    "/desk/drift",
    "/desk/erasure",
    "/account",
    "/people",
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_serious_accessibility_findings(visit, desk, scheme):
    page = visit("admin", color_scheme=scheme)
    for path in PAGES:
        page.goto(desk.url + path)
        assert serious(page) == [], path
    page.goto(f"{desk.url}/desk")
    page.wait_for_selector(".card.current .columns")
    page.keyboard.press("r")
    assert serious(page) == []
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    assert serious(page) == []


def test_login_is_accessible(visit, desk):
    page = visit()
    page.goto(f"{desk.url}/login")
    assert serious(page) == []
    shot(page, "login")


def test_no_page_is_wider_than_a_phone(visit, desk):
    page = visit("admin", viewport={"width": 380, "height": 800})
    for path in PAGES:
        page.goto(desk.url + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 380, path
    page.goto(f"{desk.url}/desk")
    page.wait_for_selector(".card.current .columns")
    shot(page, "queue-narrow")
