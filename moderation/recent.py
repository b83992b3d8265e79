"""What is read from the database so often that it is read once a second and kept."""

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
    """A value read from the database, at most a second old. When the database fails, the one read last.

    Parameters
    ----------
    name : str
        For the log.
    engine : Engine
    read : callable
        Takes a Session and gives the value.
    clock : callable
        Seconds.
    """

    check_every = 1.0  #: seconds between two looks at the database

    def __init__(self, name: str, engine: Engine, read: Callable[[Session], T], clock=time.monotonic):
        self.name, self.engine, self.read, self.clock = name, engine, read, clock
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
        due = self.clock() - self._checked >= self.check_every
        if due and self._lock.acquire(blocking=not self._value):
            try:
                self._refresh()
            finally:
                self._lock.release()
        return self._value[0]

    def _refresh(self):
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
