"""The leads' page of models: a preview of real figures, promote, roll back, who may."""

import copy
import re
import shutil
import time

import pytest
from conftest import ROOT, Server, new_database
from desk import decide_as_labelled, fill, first_admin

from moderation import dataset, learning, registry, retraining, store


class Track:
    def track(self, items, description=""):
        return items


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def desk(request, tmp_path_factory, scorer, stored):
    """A desk with 80 decided comments and a candidate that flags half as readily, previewed."""
    folder = tmp_path_factory.mktemp("rollout")
    models, url = folder / "models", new_database(request, request.param, folder)
    shutil.copytree(ROOT / "models" / "default", models / "default")
    other = copy.copy(stored.model)
    other.version, other.thresholds = "stricter", {label: 2 * value for label, value in stored.model.thresholds.items()}
    registry.save(models, "stricter", other, {**stored.card, "version": "stricter"}, "<h1>The stricter one</h1>")
    fill(url, scorer, 80)
    decide_as_labelled(url, 80)
    engine = store.connect(url)
    with store.reading(engine) as session:
        data = dataset.join([learning.labelled(session)])
    with retraining.recorded(engine, who="Nia") as reporter:
        retraining.preview(reporter, models, data, "stricter", "default", Track())
    server = Server(
        folder,
        env={"MODERATION_DEMONSTRATION": "false", "MODERATION_MODELS": str(models), "MODERATION_DATABASE_URL": url},
    )
    server.admin = first_admin(server)
    server.lead = server.admin.invite("Lea", "lead")
    server.moderator = server.admin.invite("Mo", "moderator")
    yield server
    server.stop()


def test_moderators_do_not_promote(desk):
    assert desk.moderator.get("/desk/models").status_code == 403
    for path in ("/desk/models/retrain", "/desk/models/versions/stricter/promote", "/desk/models/rollback"):
        assert desk.moderator.post(path, page="/account").status_code == 403
    assert "Models" not in desk.moderator.get("/desk").text


def test_the_preview_shows_figures_and_comments(desk):
    page = desk.lead.get("/desk/models/runs/1").text
    assert "What <code>stricter</code> would change" in page
    assert "held-out decisions" in page and "section: " in page and "identity terms: " in page
    lost = int(re.search(r"<b>(\d+)</b> no longer flagged as abusive", page)[1])
    assert lost > 3 and "None newly flagged as abusive" in page
    assert page.count('class="text"') >= min(lost, 20)
    assert desk.lead.get("/desk/models/runs/99").status_code == 404


def test_promote_and_roll_back_while_scoring_goes_on(desk):
    assert desk.score(text="You idiot.")["model"] != "stricter"
    page = desk.lead.post("/desk/models/versions/stricter/promote", page="/desk/models").text
    assert "stricter is active" in page and '<code id="active">stricter</code>' in page
    # Each process reads the active version about once a second, and loads it off the request's path.
    end = time.monotonic() + 60
    while (model := desk.score(text="You idiot.")["model"]) != "stricter" and time.monotonic() < end:
        time.sleep(0.2)
    assert model == "stricter"
    page = desk.lead.post("/desk/models/rollback", page="/desk/models").text
    assert "Rolled back: default is active again" in page
    log = re.findall(r"(promoted|rolled back to) <code>(\w+)</code>", page)
    assert log == [("rolled back to", "default"), ("promoted", "stricter")]
    assert "Not rolled back" in desk.lead.post("/desk/models/rollback", page="/desk/models").text
    assert "Not promoted" in desk.lead.post("/desk/models/versions/none/promote", page="/desk/models").text


def test_the_report_of_a_version_runs_no_scripts(desk):
    reply = desk.lead.get("/desk/models/versions/stricter/report")
    assert "The stricter one" in reply.text and "sandbox" in reply.headers["Content-Security-Policy"]
    assert desk.lead.get("/desk/models/versions/..%2f..%2fetc/report").status_code == 404
