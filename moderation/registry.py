"""Model versions on disk: save, verify, load, activate.

A version is a folder ``models/<version>/``::

    weights.joblib   the fitted model
    card.json        what it is: data, figures, thresholds, curves, limits
    report.html      the evaluation, for people
    manifest.json    SHA-256 of the files above, and the library versions the weights need

Nothing is unpickled before every hash in the manifest and the library versions have been checked.
``models/active`` holds the name of the version to serve, and the hash of its manifest; without that file
the shipped version ``default`` is active.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import json
import os
import re
import tempfile
import threading
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib

from moderation.settings import SHIPPED

DEFAULT = "default"
WEIGHTS, CARD, REPORT, MANIFEST = "weights.joblib", "card.json", "report.html", "manifest.json"

# How many leading numbers of a library's version must agree: these keep what they wrote readable within a major
# version. A library that only an earlier release's weights need must agree in three.
LIBRARIES = {"numpy": 1, "joblib": 1}
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class ModelError(Exception):
    """A model version that cannot be loaded, saved or activated, and what to do."""


@dataclass(frozen=True)
class Stored:
    """A loaded model version."""

    version: str
    model: Any
    card: dict
    folder: Path


def library_versions(names: Iterable[str] = LIBRARIES) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in names}


def _folder(models: Path, version: str) -> Path:
    if not _VERSION.fullmatch(version):
        raise ModelError(f"{version!r} is not a version name: letters, digits, '.', '_' and '-' only")
    return Path(models) / version


def _find(models: Path, version: str) -> Path:
    """Where a version is read from: the shipped one stands in for a `default` that `models` does not have."""
    folder = _folder(models, version)
    return SHIPPED / "models" / DEFAULT if version == DEFAULT and not folder.exists() else folder


def versions(models: Path) -> list[str]:
    """Names of the versions that are there, oldest first, the shipped one at the head."""
    found = {path.parent.name: path.parent for path in Path(models).glob(f"*/{MANIFEST}")}
    if (shipped := _find(models, DEFAULT)).exists():
        found.setdefault(DEFAULT, shipped)
    return sorted(found, key=lambda name: (name != DEFAULT, found[name].stat().st_mtime, name))


def save(models: Path, version: str, model: Any, card: dict, report: str = "", *, overwrite: bool = False) -> Path:
    """Write a version; it appears whole or not at all.

    Parameters
    ----------
    models : path
        The folder of all versions.
    model : object
        Anything that joblib can write. The same model gives the same bytes.
    card : dict
        What JSON can hold.
    report : str
        HTML.

    Returns
    -------
    path
        The version's folder.

    Raises
    ------
    ModelError
        When the version exists and `overwrite` is false.
    """
    folder = _folder(models, version)
    if folder.exists() and not overwrite:
        raise ModelError(f"version {version!r} exists; choose another name")
    Path(models).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=models, prefix=".saving-") as name:
        draft = Path(name) / "version"
        draft.mkdir()
        joblib.dump(model, draft / WEIGHTS, compress=("zlib", 9), protocol=5)
        (draft / CARD).write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (draft / REPORT).write_text(report, encoding="utf-8")
        manifest = {
            "files": {path.name: _sha256(path) for path in sorted(draft.iterdir())},
            "libraries": library_versions(),
        }
        (draft / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        if folder.exists():
            folder.rename(Path(name) / "old")
        draft.rename(folder)
    return folder


def digest(model: Any) -> str:
    """SHA-256 of the bytes that `save` would write for a model."""
    buffer = io.BytesIO()
    joblib.dump(model, buffer, compress=("zlib", 9), protocol=5)
    return hashlib.sha256(buffer.getvalue()).hexdigest()


def verify(models: Path, version: str) -> Path:
    """Check a version's files and libraries without unpickling anything.

    Raises
    ------
    ModelError
        When a file is missing or changed, or a library is of another version.
    """
    folder = _find(models, version)
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        files, libraries = dict(manifest["files"]), dict(manifest["libraries"])
    except FileNotFoundError:
        there = ", ".join(versions(models)) or "none"
        raise ModelError(f"there is no model version {version!r} in {models} (there: {there})") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is damaged ({error}); fetch the version again or retrain") from None
    if WEIGHTS not in files or CARD not in files:
        raise ModelError(f"{path} does not list {WEIGHTS} and {CARD}; fetch the version again or retrain")
    for name, expected in files.items():
        file = folder / Path(name).name
        try:
            found = _sha256(file)
        except FileNotFoundError:
            raise ModelError(f"{file} is missing; fetch the version again or retrain") from None
        if found != expected:
            raise ModelError(
                f"{file} is not the file that was saved (SHA-256 {found[:12]}…, expected {expected[:12]}…); "
                "it may be truncated or changed: fetch the version again or retrain"
            )
    for name, expected in libraries.items():
        leading = LIBRARIES.get(name, 3)
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            installed = "none"
        if installed.split(".")[:leading] != expected.split(".")[:leading]:
            raise ModelError(
                f"version {version!r} was made with {name} {expected}, installed is {installed}; install the locked "
                "dependencies or retrain"
            )
    return folder


def load(models: Path, version: str) -> Stored:
    """Verify and load a version.

    Raises
    ------
    ModelError
    """
    folder = verify(models, version)
    with warnings.catch_warnings():
        # A library may only warn of what another release of it wrote, as scikit-learn does; here that is an error.
        warnings.simplefilter("error", UserWarning)
        try:
            model = joblib.load(folder / WEIGHTS)
        except Warning as warning:
            raise ModelError(f"{folder / WEIGHTS}: {warning}; retrain") from None
        except (AttributeError, ImportError):  # of a class that is no more
            raise ModelError(f"version {version!r} was made by an earlier release; train it anew") from None
    card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    return Stored(card.get("version", version), model, card, folder)


def active(models: Path) -> str:
    """Name of the version to serve.

    Raises
    ------
    ModelError
        When the active version's manifest is not the one that was activated.
    """
    try:
        entry = json.loads((Path(models) / "active").read_text(encoding="utf-8"))
        version, expected = entry["version"], entry["manifest_sha256"]
    except FileNotFoundError:
        return DEFAULT
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{Path(models) / 'active'} is damaged ({error}); activate a version again") from None
    path = _find(models, version) / MANIFEST
    if not path.exists():
        raise ModelError(f"the active version {version!r} is missing; activate another")
    if _sha256(path) != expected:
        raise ModelError(f"version {version!r} has changed since it was activated; activate it again if that is meant")
    return version


def activate(models: Path, version: str) -> None:
    """Make a version the one to serve, after checking it.

    Raises
    ------
    ModelError
    """
    folder = verify(models, version)
    entry = json.dumps({"version": version, "manifest_sha256": _sha256(folder / MANIFEST)})
    Path(models).mkdir(parents=True, exist_ok=True)
    draft = Path(models) / f".active-{os.getpid()}"
    draft.write_text(entry + "\n", encoding="utf-8")
    draft.replace(Path(models) / "active")


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Serving:
    """The model that a running service uses: follows the active version, and keeps what it has when a
    new one cannot be loaded.

    Parameters
    ----------
    models : path
    version : str
        Empty to follow the active version.
    prepare : callable
        Makes of a `Stored` what the service works with.
    clock : callable
        Seconds.

    Attributes
    ----------
    problem : str
        Why the wanted version is not the one served; empty when it is.
    """

    check_every = 1.0  #: seconds between looks at which version is active

    def __init__(self, models: Path, version: str, prepare, clock=time.monotonic):
        self.models, self.version, self.prepare, self.clock = Path(models), version, prepare, clock
        self.problem = ""
        self._current: Any = None
        self._seen: tuple | None = None
        self._checked = float("-inf")
        self._lock = threading.Lock()

    def get(self):
        """What `prepare` made of the version to serve.

        Raises
        ------
        ModelError
            When none was ever loaded.
        """
        if self.clock() - self._checked >= self.check_every and self._lock.acquire(blocking=self._current is None):
            try:
                self._refresh()
            finally:
                self._lock.release()
        if self._current is None:
            raise ModelError(self.problem)
        return self._current

    @property
    def version_served(self) -> str:
        """Name of the version in use; empty before one was loaded."""
        return self._current.version if self._current is not None else ""

    def _refresh(self):
        self._checked = self.clock()
        # The name alone would miss a version that was repaired or written again under the same name.
        state = tuple(_stamp(path) for path in self._watched())
        if state == self._seen:
            return
        self._seen = state
        try:
            self._current = self.prepare(load(self.models, self.version or active(self.models)))
            self.problem = ""
        except ModelError as error:
            self.problem = str(error)

    def _watched(self):
        yield self.models / "active"
        try:
            folder = _find(self.models, self.version or active(self.models))
        except ModelError:
            return
        yield folder / MANIFEST
        yield folder / WEIGHTS


def _stamp(path):
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
