"""What is read from the database so often, or takes so long to read, that it is read now and then and kept."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

_log = logging.getLogger(__name__)
T = TypeVar("T")


class Recent(Generic[T]):
    """A value read from the database, at most `every` seconds old. When the database fails, the one read last.

    Parameters
    ----------
    name : str
        For the log.
    engine : Engine
    read : callable
        Takes a Session and gives the value.
    clock : callable
        Seconds.
    every : float
        Seconds between two looks at the database.
    aside : bool
        Whether nobody waits for a look but the first one who asks: an old value is given, and a new one read meanwhile.
        It may then be as old as the time since somebody last asked.
    """

    def __init__(
        self,
        name: str,
        engine: Engine,
        read: Callable[[Session], T],
        clock=time.monotonic,
        *,
        every: float = 1.0,
        aside: bool = False,
    ):
        self.name, self.engine, self.read, self.clock = name, engine, read, clock
        self.every, self.aside = every, aside
        self._value: list[T] = []  # empty before the first look
        self._checked = float("-inf")
        self._lock = threading.Lock()

    def get(self) -> T:
        """The value.

        Raises
        ------
        SQLAlchemyError
            When it could never be read.
        """
        due = self.clock() - self._checked >= self.every
        if due and self._lock.acquire(blocking=not self._value):
            if self.aside and self._value:
                threading.Thread(target=self._refresh, name=self.name, daemon=True).start()
            else:
                self._refresh()
        return self._value[0]

    def _refresh(self):
        try:
            self._read()
        finally:
            self._lock.release()

    def _read(self):
        try:
            with Session(self.engine) as session:
                self._value = [self.read(session)]
        except SQLAlchemyError as error:
            if not self._value:
                raise
            _log.warning(
                "%s: the database failed (%s); what was read before still holds", self.name, type(error).__name__
            )
        self._checked = self.clock()
