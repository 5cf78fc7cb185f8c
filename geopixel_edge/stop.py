"""One stop token for every reason to end an answer early: a deadline, a client that went away, a watchdog."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from .errors import OptionError
from .timings import Timings

REASONS = ("deadline", "cancelled", "watchdog")


class Stopped(Exception):
    """Internal: the token was set, or its time is up. `reason` becomes the answer's `finish_reason`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class StopToken:
    """Ends an answer within one step, from any thread; what is known by then is the answer.

    `set` may be called at any time, also before the first token. A token serves one question or many: once set it
    stops them all.
    """

    def __init__(self) -> None:
        self._reason: str | None = None

    def set(self, reason: str = "cancelled") -> None:
        """Stop; `reason` is "cancelled", "deadline" or "watchdog". The first call decides."""
        if reason not in REASONS:
            raise OptionError(f"reason={reason!r} is unknown; give one of {', '.join(REASONS)}")
        self._reason = self._reason or reason

    @property
    def reason(self) -> str | None:
        """Why it was set; None while it is not."""
        return self._reason


@dataclass
class Watch:
    """What one question is measured and stopped by; every verb of the model takes one."""

    stop: StopToken = field(default_factory=StopToken)
    deadline_s: float | None = None
    timings: Timings = field(default_factory=Timings)
    closed: bool = False  # the question's own stream was closed
    started_s: float = field(default_factory=time.perf_counter)

    def check(self) -> None:
        """Stopped when the token is set, the stream closed or the time up."""
        if self.closed:
            raise Stopped("cancelled")
        if self.stop.reason is not None:
            raise Stopped(self.stop.reason)
        if self.deadline_s is not None and self.elapsed_s() >= self.deadline_s:
            raise Stopped("deadline")

    def elapsed_s(self) -> float:
        """Seconds since the question was asked."""
        return time.perf_counter() - self.started_s
