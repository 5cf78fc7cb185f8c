"""One question while it is answered: its options, its state, and the stream of its events."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypedDict

import numpy as np

from . import limits
from .answer import Answer, Event
from .checks import check_integer
from .errors import OptionError
from .processes import refuse_pickle
from .text.assembler import AnswerAssembler
from .text.sampling import Sampling
from .timings import Timings


class AskArguments(TypedDict, total=False):
    """Options of one question, as `Pipeline.__call__` describes them."""

    max_new_tokens: int
    history: Sequence[tuple[str, str]]
    deadline_s: float | None
    temperature: float
    top_p: float
    seed: int | None
    compat: bool


class DeadlinePassed(Exception):
    """Internal: time is up; what is known so far becomes the answer."""


@dataclass(frozen=True)
class AskOptions:
    """Checked options of one question."""

    max_new_tokens: int
    history: Sequence[tuple[str, str]]
    deadline_at: float | None
    compat: bool
    sampling: Sampling


@dataclass
class Turn:
    """State of one question while it is answered."""

    options: AskOptions
    assembler: AnswerAssembler
    timings: Timings = field(default_factory=Timings)
    notes: list[str] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    finish_reason: str = "length"
    started_s: float = field(default_factory=time.perf_counter)

    def check_deadline(self) -> None:
        """DeadlinePassed when the time of this question is up."""
        at = self.options.deadline_at
        if at is not None and time.perf_counter() >= at:
            raise DeadlinePassed


class AnswerStream:
    """Iterates over Text, Phrase and MaskFound events in answer order; `answer` is the whole once it has ended."""

    def __init__(self, events: Iterator[Event], finish: Callable[[], Answer]) -> None:
        self._events, self._finish = events, finish

    def __reduce__(self) -> NoReturn:
        refuse_pickle("a stream", "read it to its end and pickle its answer")

    def __iter__(self) -> AnswerStream:
        return self

    def __next__(self) -> Event:
        return next(self._events)

    @property
    def answer(self) -> Answer:
        """The finished answer; reads the remaining events first."""
        for _ in self._events:
            pass
        return self._finish()


def check_options(
    *,
    max_new_tokens: int = 1024,
    deadline_s: float | None = None,
    compat: bool = False,
    history: Sequence[tuple[str, str]] = (),
    **sampling: Any,
) -> AskOptions:
    """Validate the options of one question; OptionError names the one out of range. The prompt checks `history`."""
    max_new_tokens = check_integer("max_new_tokens", max_new_tokens, 1, limits.MAX_NEW_TOKENS)
    if not isinstance(compat, bool):
        raise OptionError(f"compat={compat!r} is not True or False")
    deadline_at = None
    if deadline_s is not None:
        valid = isinstance(deadline_s, (int, float)) and not isinstance(deadline_s, bool) and np.isfinite(deadline_s)
        if not valid or deadline_s <= 0:
            raise OptionError(f"deadline_s={deadline_s!r} is not a time; give seconds above 0, or None")
        deadline_at = time.perf_counter() + deadline_s
    return AskOptions(max_new_tokens, history, deadline_at, compat, Sampling(**sampling))
