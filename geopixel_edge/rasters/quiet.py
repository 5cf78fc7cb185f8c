"""Pillow's warnings are kept from the caller while images are decoded, in any number of threads."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


class _Silence:
    """Warning filters belong to the process: the first thread in replaces them, the last one out restores them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.threads = 0
        self.saved = warnings.catch_warnings()

    def enter(self) -> None:
        with self.lock:
            if self.threads == 0:
                self.saved = warnings.catch_warnings()
                self.saved.__enter__()
                warnings.simplefilter("ignore")
            self.threads += 1

    def leave(self) -> None:
        with self.lock:
            self.threads -= 1
            if self.threads == 0:
                self.saved.__exit__(None, None, None)


_silence = _Silence()


@contextmanager
def no_warnings() -> Iterator[None]:
    """Ignore all warnings within; the lock is held only while filters change, so decoding runs in parallel."""
    silence = _silence
    silence.enter()
    try:
        yield
    finally:
        silence.leave()


def _after_fork_in_child() -> None:
    """The threads that were decoding are not in the child: their lock is replaced, their filters taken back."""
    global _silence
    interrupted, _silence = _silence, _Silence()
    if interrupted.threads > 0:
        interrupted.saved.__exit__(None, None, None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
