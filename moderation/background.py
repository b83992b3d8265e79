"""What the server does beside answering, in threads of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

from sqlalchemy.exc import SQLAlchemyError

_log = logging.getLogger(__name__)

_PAUSE = 5.0  # seconds, when the database cannot be reached


class Repeating:
    """Calls a function over and over in a thread, until `stop` ends it.

    Parameters
    ----------
    name : str
        For the log.
    function : callable
        Returns the seconds until it should be called again. When the database fails it is called again after a pause;
        anything else that it raises is a fault and ends the thread, with a traceback.
    """

    def __init__(self, name: str, function: Callable[[], float]):
        self._function, self.stopping = function, threading.Event()
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> Repeating:
        self.thread.start()
        return self

    def _run(self):
        pause = 0.0
        while not self.stopping.wait(pause):
            try:
                pause = self._function()
            except SQLAlchemyError as error:
                _log.warning("%s: the database failed (%s)", self.thread.name, type(error).__name__)
                pause = _PAUSE


def stop(running: Iterable[Repeating], timeout: float = 10.0) -> None:
    """End all of them after their calls under way; waits for these at most `timeout` seconds in all."""
    running, deadline = list(running), time.monotonic() + timeout
    for each in running:
        each.stopping.set()
    for each in running:
        each.thread.join(max(0.0, deadline - time.monotonic()))
