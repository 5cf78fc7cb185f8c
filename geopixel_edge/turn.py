"""One question while it is answered: its tokens so far, what they mean, and the stream of its events."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import NoReturn

from .answer import Answer, Event
from .arrays import F32
from .draft import Draft
from .errors import SessionClosedError
from .options import AskOptions
from .processes import refuse_pickle
from .stop import Stopped, Watch
from .text.assembler import AnswerAssembler
from .text.sampling import Sampler


@dataclass
class Turn:
    """State of one question. `points`: whether a token asks for a mask; `draft`: what is likely to be said."""

    query: str
    options: AskOptions
    assembler: AnswerAssembler
    watch: Watch
    eos: int
    points: Callable[[int], bool]
    grounded: bool
    draft: Draft | None = None
    notes: list[str] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    finish_reason: str = "length"
    ended: bool = False  # no further step is to be run
    wants_mask: bool = False  # the token that the next step consumes is a `[SEG]`

    def __post_init__(self) -> None:
        self._sampler = Sampler(self.options.temperature, self.options.top_p, self.options.seed)

    def take(self, logits: F32) -> list[Event]:
        """Choose the next token from logits (vocabulary,), and say what it adds to the answer."""
        if self.is_full:
            self.ended = True
            return []
        # Rows of a table that is larger than the tokenizer have no text.
        token = self._sampler.choose(logits[: self.assembler.tokenizer.size])
        self.token_ids.append(token)
        if self.watch.timings.first_token_s is None:
            self.watch.timings.first_token_s = self.watch.elapsed_s()
        if token == self.eos:
            self.finish_reason, self.ended = "eos", True
            return []
        self.wants_mask = self.grounded and self.points(token)
        self.ended = self.is_full and (not self.wants_mask or self.options.compat)
        if self.is_full and not self.ended:
            self.notes.append("the last allowed token is [SEG]: one more step was run for its mask")
        return [*self.assembler.push(token)]

    def drafted(self, most: int) -> list[int]:
        """At most so many tokens that are likely to follow; fewer where the answer may not be that long."""
        room = self.options.max_new_tokens - len(self.token_ids)
        return self.draft.rest(self.token_ids, min(most, room)) if self.draft else []

    @property
    def is_full(self) -> bool:
        """Whether as many tokens are written as were allowed."""
        return len(self.token_ids) == self.options.max_new_tokens

    def stop(self, stopped: Stopped) -> None:
        """End early; what is known so far is the answer."""
        self.finish_reason, self.ended = stopped.reason, True
        self.notes.append(f"{stopped.reason}: stopped after {len(self.token_ids)} tokens")

    def finish(self) -> list[Event]:
        """The end of the answer: what was held back."""
        events: list[Event] = [*self.assembler.finish()]
        self.watch.timings.new_tokens = len(self.token_ids)
        self.watch.timings.total_s = self.watch.elapsed_s()
        if self.draft and self.finish_reason == "eos":
            self.draft.learn(self.assembler.response)
        return events


class AnswerStream:
    """Iterates over Text, Phrase and MaskFound events in answer order; `answer` is the whole once it has ended.

    A context manager: leaving it, or `close`, ends the answer with what is known by then.
    """

    def __init__(
        self, events: Iterator[Event], finish: Callable[[], Answer], turn: Turn, lock: threading.RLock
    ) -> None:
        self._events, self._finish, self._turn, self._lock = events, finish, turn, lock
        self._failure: Exception | None = None  # stays: what was written before it is no answer

    def __reduce__(self) -> NoReturn:
        refuse_pickle("a stream", "read it to its end and pickle its answer")

    def __iter__(self) -> AnswerStream:
        return self

    def __next__(self) -> Event:
        with self._lock:
            if self._failure is not None:
                raise self._failure
            try:
                return next(self._events)
            except StopIteration:
                raise
            except Exception as error:
                self._failure = error
                raise
            except BaseException:
                self._failure = SessionClosedError("this stream was interrupted; ask again")
                raise

    def __enter__(self) -> AnswerStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the answer now; `answer` is then what is known, with finish_reason "cancelled". The image stays open."""
        if not self._turn.ended:
            self._turn.watch.closed = True
            with self._lock, contextlib.suppress(SessionClosedError):
                for _ in self if self._failure is None else ():
                    pass

    @property
    def answer(self) -> Answer:
        """The finished answer; reads the remaining events first. What ended the stream is raised again."""
        with self._lock:
            for _ in self:
                pass
            return self._finish()
