"""What the steps of a long run cost: time, processor time and memory, of this process and those that it started."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_EVERY = 0.25  # seconds between looks at the memory
_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes
    ----------
    name : str
    group : str
        What the step is part of.
    seconds : float
        By the clock.
    processor_seconds : float
        Of all processes.
    megabytes : float
        Most memory at a time of all processes together, what they share counted once; NaN where the system does not
        tell.
    """

    name: str
    group: str
    seconds: float
    processor_seconds: float
    megabytes: float


class Costs:
    """Measures steps, one after the other.

    Attributes
    ----------
    steps : list of Step
    """

    def __init__(self) -> None:
        self.steps: list[Step] = []

    @contextmanager
    def step(self, name: str, group: str = "") -> Iterator[None]:
        """Measure what is done inside."""
        most, stop = [_memory()], threading.Event()

        def watch():
            while not stop.wait(_EVERY):
                most.append(max(most.pop(), _memory()))

        watcher = threading.Thread(target=watch, daemon=True)
        began, processor = time.perf_counter(), _processor()
        watcher.start()
        try:
            yield
        finally:
            seconds, spent = time.perf_counter() - began, _processor() - processor
            stop.set()
            watcher.join()
            self.steps.append(Step(name, group, seconds, spent, max(most[0], _memory())))

    def total(self, group: str) -> Step:
        """All steps of a group as one."""
        steps = [step for step in self.steps if step.group == group]
        return Step(
            group,
            group,
            sum(step.seconds for step in steps),
            sum(step.processor_seconds for step in steps),
            max((step.megabytes for step in steps), default=float("nan")),
        )

    def lines(self) -> list[str]:
        """The steps, each group followed by its total, for people to read."""
        found = [f"{'':44}{'seconds':>9}{'processor':>11}{'memory MB':>11}"]
        for group in dict.fromkeys(step.group for step in self.steps):
            found += [_line(f"  {step.name}", step) for step in self.steps if step.group == group]
            found.append(_line(f"{group}, in all", self.total(group)))
        return found


def _line(name, step):
    return f"{name:44}{step.seconds:9.1f}{step.processor_seconds:11.1f}{step.megabytes:11.0f}"


def _processes():
    """This process and those that it started, as far as the system tells."""
    found = [_PROC / "self"]
    for children in (_PROC / "self" / "task").glob("*/children"):
        try:
            found += [_PROC / number for number in children.read_text().split()]
        except OSError:  # the thread is gone by now
            continue
    return found


def _memory() -> float:
    total = 0.0
    for process in _processes():
        try:
            text = (process / "smaps_rollup").read_text()
        except OSError:
            if process.name == "self":
                return float("nan")
            continue  # it ended
        total += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1024
    return total


def _processor() -> float:
    """Processor seconds so far, those of processes that ended and were waited for among them."""
    total = sum(os.times()[:4])
    for process in _processes()[1:]:
        try:
            fields = (process / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += (int(fields[11]) + int(fields[12])) / _TICKS
    return total
