"""Standard output and error of a program that goes on when they are closed, full, or read by nobody.

Python itself ends such a program with a traceback, before it has written its files; and where standard error is
closed, `print(..., file=sys.stderr)` lands in standard output.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from ..json_text import encode_json


class GuardedStream:
    """A text stream that keeps its first failure instead of raising it; what is written afterwards goes nowhere.

    `stream` None, which Python gives for a descriptor that was closed at the start, takes everything without failing.
    What is not defined here is the stream's own.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.failure: OSError | None = None
        self._stream = stream
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write `text`, or keep the failure; returns its length."""
        self._try("write", text)
        return len(text)

    def write_bytes(self, data: bytes, text: str) -> None:
        """Write `data` past the stream's encoding, or `text` where there are no bytes below."""
        buffer = getattr(self._stream, "buffer", None)
        if buffer is None:
            self.write(text)
            return
        self.flush()
        self._try("write", data, buffer)

    def flush(self) -> None:
        """Hand on what was written, or keep the failure."""
        self._try("flush")

    def isatty(self) -> bool:
        """Whether a person reads this stream."""
        return self._stream is not None and self.failure is None and self._stream.isatty()

    def _try(self, action: str, value: str | bytes | None = None, target: Any = None) -> None:
        if self._stream is None or self.failure is not None:
            return
        method = getattr(target or self._stream, action)
        try:
            method() if value is None else method(value)
        except UnicodeError:
            raise
        except ValueError as error:  # the stream object was closed
            self.failure = OSError(str(error))
        except OSError as error:
            self.failure = error
            self._let_go()

    def _let_go(self) -> None:
        """The interpreter flushes once more at its exit: let that go nowhere."""
        try:
            descriptor = self._stream.fileno() if self._stream else -1
        except (OSError, ValueError):
            return  # no file below
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, descriptor)
        os.close(null)


@contextmanager
def guarded() -> Iterator[tuple[GuardedStream, GuardedStream]]:
    """`sys.stdout` and `sys.stderr` guarded for the block; yields both, whose `failure` tells what happened."""
    _open_descriptors()
    before = sys.stdout, sys.stderr
    streams = GuardedStream(sys.stdout), GuardedStream(sys.stderr)
    sys.stdout, sys.stderr = streams
    try:
        yield streams
    finally:
        for stream in streams:
            stream.flush()
        sys.stdout, sys.stderr = before


def _open_descriptors() -> None:
    """Occupy the descriptors 0 to 2 where they are closed, or the next file that is opened would become one of them."""
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= 2:
        descriptor = os.dup(descriptor)
    os.close(descriptor)


def write_json(document: Any, indent: int | None = None) -> None:
    """Print one JSON document to standard output, as UTF-8 whatever the locale says."""
    data = encode_json(document, indent)
    stream = sys.stdout if isinstance(sys.stdout, GuardedStream) else GuardedStream(sys.stdout)
    stream.write_bytes(data, data.decode("utf-8"))
    if stream is not sys.stdout and stream.failure is not None:
        raise stream.failure
