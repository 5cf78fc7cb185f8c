"""How far a job is: which windows were looked at, and how long the rest will take."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence

from .result import Progress
from .working import Result

OnProgress = Callable[[Progress], None]


class States:
    """Which windows were looked at, a byte each, and how many are in each state."""

    def __init__(self, total: int, known: Iterable[tuple[int, str]]) -> None:
        self.total, self.done = total, 0
        self.seen = bytearray(total)
        self.count = Counter[str]()
        for number, state in known:
            self.add(number, state)

    def add(self, number: int, state: str) -> None:
        """A window that was looked at."""
        self.seen[number] = 1
        self.done += 1
        self.count[state] += 1

    def add_empty(self, numbers: Iterable[int]) -> None:
        """Windows that are not to be asked."""
        for number in numbers:
            self.add(number, "empty")


class Clock:
    """Progress as it is told: counts, and the time that is left.

    That is what the last `recent` windows took, empty ones among them, times those that are left: a window that is
    empty takes next to nothing, and where one is, more are near. `unstored` are known to be empty, and do not count.
    """

    def __init__(self, states: States, tell: OnProgress | None, recent: int, unstored: Iterable[int] = ()) -> None:
        self._states, self._tell, self._recent = states, tell, max(16, recent)
        self._started, self._asked, self._found = time.monotonic(), 0, 0
        self._counts = bytearray(b"\1") * states.total
        for number in unstored:
            self._counts[number] = 0
        self._left: int = sum(bool(count and not seen) for count, seen in zip(self._counts, states.seen, strict=True))
        self._marks = deque([(self._started, self._left)])  # when so many were left

    def add(self, results: Sequence[Result]) -> None:
        """Windows that were recorded."""
        for window, views in results:
            self._states.add(window.number, window.state)
            self._left -= self._counts[window.number]
            self._asked += window.state != "empty"
            self._found += len(views)
        self._marks.append((time.monotonic(), self._left))
        while self._marks[1][1] - self._left >= self._recent:
            self._marks.popleft()
        self.tell()

    def tell(self) -> None:
        """Call whoever wants to know."""
        if self._tell is None:
            return
        done, total, count = self._states.done, self._states.total, self._states.count
        now, (since, before) = time.monotonic(), self._marks[0]
        each = left = None
        if self._asked:
            each = (now - self._started) / self._asked
            left = (now - since) / max(1, before - self._left) * self._left
        self._tell(Progress(done, total, count["empty"], count["failed"], self._found, each, left))
