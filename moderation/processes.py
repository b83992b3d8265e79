"""Work spread over a few processes."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import joblib
from joblib.externals.loky import get_reusable_executor
from threadpoolctl import threadpool_limits

MOST = 2  #: processes; each takes half a gigabyte where the shipped model is trained
#: Inside `kept`, whether any were started.
_KEPT: ContextVar[list[bool] | None] = ContextVar("kept", default=None)


def available() -> int:
    """Processes that training may take: as many as there are processors for, and `MOST` at most."""
    return max(1, min(MOST, joblib.cpu_count()))


@contextmanager
def kept() -> Iterator[None]:
    """Inside, the processes of one `each` do the work of the next, too: to start one and have it import what it needs
    takes seconds."""
    if _KEPT.get() is not None:
        yield
        return
    started: list[bool] = []
    token = _KEPT.set(started)
    try:
        yield
    finally:
        _KEPT.reset(token)
        if started:
            _end()


def each(function: Callable, arguments: Iterable[tuple], jobs: int, progress=iter) -> Iterator:
    """What a function gives for each of the arguments, in their order.

    Sums and products of matrices round otherwise with another number of threads. Each process has one, and so has this
    one where it works alone: the results are the same however many processes and processors there are.

    Parameters
    ----------
    function : callable
        Of a module, since other processes must find it.
    arguments : iterable of tuple
    jobs : int
        Processes; with one nothing leaves this one. Large arrays are not copied to the others but mapped.
    progress : callable, optional
        Wraps an iterable to show how far it is.
    """
    arguments = list(arguments)
    if jobs < 2 or len(arguments) < 2:
        for some in progress(arguments):
            with threadpool_limits(1):
                result = function(*some)
            yield result
        return
    _give_back()
    kept_for_more = _KEPT.get()
    if kept_for_more is not None:
        kept_for_more.append(True)
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        work = joblib.Parallel(n_jobs=jobs, return_as="generator", max_nbytes="256K")
    found = work(joblib.delayed(_then_give_back)(function, *some) for some in arguments)
    try:
        # The progress counts what it hands out; the results come as they are asked for.
        for _ in progress(range(len(arguments))):
            yield next(found)
    finally:
        if kept_for_more is None:
            _end()


def _end():
    get_reusable_executor().shutdown(wait=True)


def _then_give_back(function, *arguments):
    result = function(*arguments)
    _give_back()
    return result


def _give_back():
    """Return to the system what this process no longer uses: GNU's allocator keeps it otherwise, a fifth of the memory
    of a process that has counted n-grams, while the others take theirs."""
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)
