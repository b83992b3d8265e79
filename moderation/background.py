"""What the server does beside answering, in threads of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

_log = logging.getLogger(__name__)

_PAUSE = 5.0  # seconds, when the database cannot be reached


class Repeating:
    """Calls a function over and over in a thread, until `stop`.

    Parameters
    ----------
    name : str
        For the log.
    function : callable
        Returns the seconds until it should be called again. When the database fails it is called again after a pause;
        anything else that it raises is a fault and ends the thread, with a traceback.
    """

    def __init__(self, name: str, function: Callable[[], float]):
        self._function, self._stopping = function, threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> Repeating:
        self._thread.start()
        return self

    def stop(self, timeout: float = 15.0) -> None:
        """End after the call under way; waits for it at most `timeout` seconds."""
        self._stopping.set()
        self._thread.join(timeout)

    def _run(self):
        pause = 0.0
        while not self._stopping.wait(pause):
            try:
                pause = self._function()
            except SQLAlchemyError as error:
                _log.warning("%s: the database failed (%s)", self._thread.name, type(error).__name__)
                pause = _PAUSE
