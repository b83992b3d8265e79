"""Model versions: nothing damaged or foreign is loaded, and a running service keeps what it has."""

import json
import pickle
import sys
import warnings

import pytest
from conftest import Server, until

from moderation import registry
from moderation.registry import ModelError


def test_a_version_is_saved_and_loaded(tmp_path):
    registry.save(tmp_path, "v1", {"a": 1}, {"version": "v1"}, "<p>report</p>")
    stored = registry.load(tmp_path, "v1")
    assert (stored.version, stored.model, stored.card) == ("v1", {"a": 1}, {"version": "v1"})
    assert registry.versions(tmp_path) == ["default", "v1"]
    with pytest.raises(ModelError, match="exists"):
        registry.save(tmp_path, "v1", {}, {}, "")


def test_the_same_model_gives_the_same_bytes(tmp_path, stored):
    for name in ("a", "b"):
        registry.save(tmp_path, name, stored.model, {})
    first, second = (json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("a", "b"))
    assert first["files"]["weights.joblib"] == second["files"]["weights.joblib"]


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("the weights were unpickled",))


@pytest.mark.parametrize("damage", ["truncated", "changed", "missing", "card changed"])
def test_damaged_files_are_refused_before_unpickling(tmp_path, damage):
    folder = registry.save(tmp_path, "v1", {"a": 1}, {"version": "v1"})
    weights = folder / "weights.joblib"
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-3])
    elif damage == "changed":
        weights.write_bytes(pickle.dumps(Bomb()))
    elif damage == "missing":
        weights.unlink()
    else:
        (folder / "card.json").write_text("{}")
    with pytest.raises(ModelError, match="fetch the version again or retrain"):
        registry.load(tmp_path, "v1")


def test_weights_of_another_library_version_are_refused_before_unpickling(tmp_path):
    folder = registry.save(tmp_path, "v1", Bomb, {})
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["libraries"]["scikit-learn"] = "0.24.1"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match=r"made with scikit-learn 0\.24\.1"):
        registry.load(tmp_path, "v1")


class Gone:
    pass


class Outdated:
    def __init__(self):
        self.release = "0.24.1"

    def __setstate__(self, state):
        warnings.warn("pickled by release 0.24.1", stacklevel=1)


def test_weights_that_a_library_warns_of_are_refused(tmp_path):
    registry.save(tmp_path, "v1", Outdated(), {})
    with pytest.raises(ModelError, match="pickled by release 0.24.1; retrain"):
        registry.load(tmp_path, "v1")


def test_weights_of_classes_that_are_no_more_are_refused(tmp_path, monkeypatch):
    registry.save(tmp_path, "v1", Gone(), {})
    monkeypatch.delattr(sys.modules[__name__], "Gone")
    with pytest.raises(ModelError, match="earlier release; train it anew"):
        registry.load(tmp_path, "v1")


@pytest.mark.parametrize("manifest", ["", "[]", "{}", '{"files": {}, "libraries": {}}'])
def test_a_damaged_manifest_is_refused(tmp_path, manifest):
    folder = registry.save(tmp_path, "v1", {}, {})
    (folder / "manifest.json").write_text(manifest)
    with pytest.raises(ModelError):
        registry.load(tmp_path, "v1")


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", ".hidden", "x" * 101])
def test_a_version_name_cannot_leave_the_folder(tmp_path, name):
    with pytest.raises(ModelError):
        registry.load(tmp_path, name)


def test_activation_is_bound_to_the_files(tmp_path):
    registry.save(tmp_path, "v1", {}, {})
    assert registry.active(tmp_path) == "default"
    registry.activate(tmp_path, "v1")
    assert registry.active(tmp_path) == "v1"
    registry.save(tmp_path, "v1", {"other": 1}, {}, overwrite=True)
    with pytest.raises(ModelError, match="changed since it was activated"):
        registry.active(tmp_path)
    with pytest.raises(ModelError, match="no model version"):
        registry.activate(tmp_path, "v2")


def test_a_running_service_takes_up_a_new_version_and_survives_a_broken_one(models, tmp_path, stored):
    server = Server(tmp_path, env={"MODERATION_MODELS": str(models)})
    try:
        before = server.score(text="A comment.")
        registry.save(models, "next", stored.model, {**stored.card, "version": "next"})
        registry.activate(models, "next")
        until(lambda: server.score(text="A comment.")["model"] == "next")
        assert server.score(text="A comment.")["labels"] == before["labels"]

        weights = models / "next" / "weights.joblib"
        whole = weights.read_bytes()
        weights.write_bytes(whole[:1000])
        until(lambda: server.get("/ready").json()["problem"])
        assert "not the file that was saved" in server.get("/ready").json()["problem"]
        assert server.score(text="A comment.")["model"] == "next"

        weights.write_bytes(whole)
        until(lambda: server.get("/ready").json()["problem"] is None)
    finally:
        server.stop()


def test_a_service_with_no_usable_model_does_not_start(models, tmp_path):
    (models / "default" / "weights.joblib").write_bytes(b"")
    with pytest.raises(RuntimeError, match="not the file that was saved"):
        Server(tmp_path, env={"MODERATION_MODELS": str(models)})
