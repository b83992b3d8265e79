"""Scoring a file on many processes with Dask distributed, an optional dependency.

This process reads the file and hands parts of it to the workers, a few for each at a time. Every finished part is kept
in a folder beside the output until that is whole: a run that was interrupted goes on where it stopped. A part's name is
a digest of its rows, their articles and the model, so what is reused is what would be computed again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import shutil
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distributed import Client, Future, LocalCluster, WorkerPlugin, get_worker, wait
from distributed.comm import CommClosedError
from distributed.scheduler import KilledWorker

from moderation import __version__, bulk, registry
from moderation.bulk import BATCH, Lines, Row, Summary
from moderation.comments import Article, DataError
from moderation.scorer import Scorer

PART = 10_000  #: rows of a part, unless they are long
_PART_CHARACTERS = 8_000_000
_AHEAD = 2  # parts that are handed out for each thread of the cluster
_CONNECT_SECONDS = 10
_PATIENCE = 60  # seconds without any worker after which a run ends


class ClusterError(Exception):
    """The cluster cannot be used, and what to do."""


@dataclass
class Part:
    """Rows that are scored by one worker. Dask logs the arguments of what fails, so its text tells no comment."""

    key: str
    batches: list[list[Row]] = field(repr=False)


class Model(WorkerPlugin):
    """Gives each worker the model, over the network: workers need not see the folder of the models."""

    def __init__(self, folder: Path, version: str):
        manifest = json.loads((folder / registry.MANIFEST).read_text(encoding="utf-8"))
        self.files = {name: (folder / name).read_bytes() for name in (registry.MANIFEST, *manifest["files"])}
        self.version, self.made_with = version, __version__
        self.digest = hashlib.sha256(self.files[registry.MANIFEST]).hexdigest()
        self.scorer: Scorer | None = None
        self.limits: Any = None

    def setup(self, worker: Any) -> None:
        if self.made_with != __version__:
            raise registry.ModelError(
                f"worker {worker.address} has version {__version__} of this program, not {self.made_with}"
            )
        self.limits = bulk.one_thread()
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / self.version
            folder.mkdir()
            for file, content in self.files.items():
                (folder / file).write_bytes(content)
            self.scorer = Scorer(registry.load(Path(name), self.version))

    def teardown(self, worker: Any) -> None:
        self.scorer = None
        if self.limits is not None:
            self.limits.restore_original_limits()


def _score(name: str, part: Part) -> Lines:
    """Run by a worker."""
    plugin: Any = get_worker().plugins[name]
    scorer = plugin.scorer
    whole = Lines()
    texts = []
    for batch in part.batches:
        lines = bulk.score_rows(scorer, batch)
        texts.append(lines.text)
        whole.scored += lines.scored
        whole.flagged += lines.flagged
        whole.not_scored += lines.not_scored
        whole.refused.update(lines.refused)
    whole.text = "".join(texts)
    return whole


# ---------------------------------------------------------------------------------------- the whole file


def score_file(
    models: Path,
    version: str,
    source: Path | str,
    target: Path | str,
    articles: dict[str, Article] | None = None,
    rows: Iterable[tuple[int | str, dict | DataError]] | None = None,
    *,
    scheduler: str = "",
    workers: int | None = None,
    part: int = PART,
) -> Summary:
    """As `moderation.bulk.score_file`, to the byte, on a Dask cluster.

    Parameters
    ----------
    models, version
        Of the model.
    source, target, articles, rows
        As for `moderation.bulk.score_file`; no standard streams.
    scheduler : str
        Address of a Dask scheduler; without one, worker processes are started on this machine for the time.
    workers : int, optional
        How many are started; by default one for each processor core.
    part : int
        Rows that one worker scores at a time; rounded up to a multiple of `moderation.bulk.BATCH`.

    Raises
    ------
    DataError, ModelError
    ClusterError
        When the cluster cannot be used any more. The finished parts are kept.
    """
    model = Model(registry.verify(models, version), version)
    summary, keys = Summary(), []
    target = Path(target)
    with _Kept(target) as kept:
        comments = bulk.comments(source, articles or {}, summary, rows)
        with _client(scheduler, workers) as client, client.as_current(), _told_clearly(kept.folder):
            name = f"moderation-{uuid.uuid4().hex}"
            with _asked():
                client.register_plugin(model, name=name)
            try:
                run = _Run(client, name, kept)
                for each in _cut(comments, part, f"{__version__} {model.digest}"):
                    keys.append(each.key)
                    found = kept.read(each.key)
                    if found is None:
                        run.submit(each)
                    else:
                        summary.reused += found.scored + found.not_scored
                run.finish()
            finally:
                with suppress(OSError, TimeoutError, CancelledError):
                    client.unregister_worker_plugin(name)
        with bulk.writer(target) as write:
            for key in keys:
                lines = kept.read(key)
                if lines is None:
                    raise DataError("a finished part is gone or damaged", file=str(kept.folder), mend="Run it again")
                summary.add(lines)
                write(lines.text)
        kept.remove()
    return summary


def _cut(rows: Iterator[Row], size: int, salt: str) -> Iterator[Part]:
    """Parts of at least one batch, in order."""
    digest_of = _Digests(salt)
    batches: list[list[Row]] = []
    characters = 0
    for batch in bulk.batches(rows):
        batches.append(batch)
        characters += _characters(batch)
        if len(batches) * BATCH >= size or characters >= _PART_CHARACTERS:
            yield Part(digest_of(batches), batches)
            batches, characters = [], 0
    if batches:
        yield Part(digest_of(batches), batches)


def _characters(batch: list[Row]) -> int:
    found = [comment for _, comment in batch if comment is not None]
    # An article is sent once with a part, however many of its comments are in it.
    articles = {id(comment.article): comment.article for comment in found if comment.article is not None}
    total = sum(len(article.title) + len(article.body) for article in articles.values())
    return total + sum(len(c.text) + len(c.parent) + sum(map(len, c.thread)) for c in found)


class _Digests:
    """Digests of parts: of all that their scores depend on."""

    def __init__(self, salt: str):
        self._salt = salt
        self._articles: dict[Article, str] = {}

    def __call__(self, batches: list[list[Row]]) -> str:
        found = hashlib.sha256(self._salt.encode())
        for batch in batches:
            for id_, comment in batch:
                fields = comment and [comment.text, self._article(comment.article), comment.parent, comment.thread]
                found.update(json.dumps([id_, fields]).encode() + b"\n")
        return found.hexdigest()

    def _article(self, article: Article | None) -> str | None:
        if article is None:
            return None
        if article not in self._articles:
            text = json.dumps([article.title, article.body])
            self._articles[article] = hashlib.sha256(text.encode()).hexdigest()
        return self._articles[article]


# ---------------------------------------------------------------------------------------- finished parts


class _Kept:
    """The folder of the finished parts, for one run at a time.

    Attributes
    ----------
    folder : Path
    """

    def __init__(self, target: Path):
        self.target, self.folder = target, target.with_name(f"{target.name}.parts")

    def __enter__(self):
        try:
            self.folder.mkdir(exist_ok=True)
            self._lock = open(self.folder / "lock", "w")  # noqa: SIM115 - held until the run ends
        except OSError as error:
            raise DataError(
                f"cannot be written ({error.strerror})", file=str(self.target), mend="Check the folder"
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise DataError("another run is writing it", file=str(self.target), mend="Wait for its end") from None
        return self

    def __exit__(self, *_):
        self._lock.close()

    def read(self, key: str) -> Lines | None:
        """A finished part, or None where there is none or it is damaged."""
        try:
            with open(self.folder / key, encoding="utf-8", newline="") as file:
                head, _, text = file.read().partition("\n")
            told = json.loads(head)
            if told.pop("sha256") != hashlib.sha256(text.encode()).hexdigest():
                return None
            return Lines(**{**told, "text": text, "refused": Counter(told["refused"])})
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def write(self, key: str, lines: Lines) -> None:
        told = dict(vars(lines))
        text = told.pop("text")
        told["sha256"] = hashlib.sha256(text.encode()).hexdigest()
        draft = self.folder / f"{key}.{os.getpid()}"
        try:
            draft.write_text(f"{json.dumps(told)}\n{text}", encoding="utf-8", newline="")
            draft.replace(self.folder / key)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise DataError(
                f"cannot be written ({error.strerror})", file=str(self.folder), mend="Make room and run it again"
            ) from None

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


# ---------------------------------------------------------------------------------------- the cluster


@contextmanager
def _client(scheduler: str, workers: int | None) -> Iterator[Client]:
    for name in ("distributed", "distributed.client"):  # the second has a level of its own
        # A lost connection would be told with tracebacks there; what matters is told by `_told_clearly`.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if scheduler:
        try:
            client = Client(scheduler, timeout=_CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise ClusterError(f"no Dask scheduler answers at {scheduler} ({type(error).__name__})") from None
        with client:
            try:
                client.wait_for_workers(1, timeout=_CONNECT_SECONDS)
            except TimeoutError:
                raise ClusterError(f"no worker has joined the scheduler at {scheduler}") from None
            yield client
        return
    # Encrypted and with keys of its own: nobody else on this machine can use these processes.
    with (
        LocalCluster(
            n_workers=workers or os.cpu_count(), threads_per_worker=1, dashboard_address=None, security=True
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@contextmanager
def _told_clearly(folder: Path) -> Iterator[None]:
    left = f"the finished parts are in {folder}, and the same command goes on from there"
    try:
        yield
    except KilledWorker:
        raise ClusterError(
            f"one part ended several workers in turn; they may need more memory, or a smaller --part; {left}"
        ) from None
    except ModuleNotFoundError as error:
        raise ClusterError(f"a worker does not have {error.name}; install the same version there") from None
    except (CancelledError, CommClosedError, TimeoutError):
        raise ClusterError(f"the connection to the scheduler was lost; {left}") from None


@contextmanager
def _asked() -> Iterator[None]:
    """A scheduler that does not answer is a lost connection, whichever error Dask has for it."""
    try:
        yield
    except OSError as error:
        raise CommClosedError(str(error)) from None


class _Run:
    """Hands parts to the workers, a few at a time, and keeps what they return."""

    def __init__(self, client: Client, name: str, kept: _Kept):
        self._client, self._name, self._kept = client, name, kept
        self._under_way: dict[Future, str] = {}

    def submit(self, part: Part) -> None:
        if part.key in self._under_way.values():
            return  # the same rows again
        while len(self._under_way) >= _AHEAD * max(1, self._threads()):
            self._collect()
        # Named by run and part: Dask would take equal names for the same work.
        future = self._client.submit(_score, self._name, part, key=f"{self._name}-{part.key}")
        self._under_way[future] = part.key

    def finish(self) -> None:
        while self._under_way:
            self._collect()

    def _threads(self) -> int:
        """Of all workers together."""
        with _asked():
            return sum(self._client.nthreads().values())

    def _collect(self) -> None:
        """Keep what is finished; wait until something is."""
        try:
            done = wait(list(self._under_way), timeout=_PATIENCE, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            if not self._threads():
                raise ClusterError(
                    f"no worker is left; the finished parts are in {self._kept.folder}, and the same command goes on "
                    "from there"
                ) from None
            return
        for future in done:
            self._kept.write(self._under_way.pop(future), future.result())
