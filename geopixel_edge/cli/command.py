"""How every command line of the project ends: one line for an error, and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable

from ..errors import GeoPixelError, OutputError
from ..resources import shortage
from .streams import GuardedStream, guarded

EXIT_INTERRUPTED, EXIT_PIPE = 130, 141


def run_command(body: Callable[[], int], interrupted: str = "interrupted") -> int:
    """Run `body` and return its exit code; errors become one line on standard error, and standard streams may fail.

    What cannot be printed loses nothing else: `body` runs to its end, and the exit code tells. argparse's SystemExit
    goes on to the caller.
    """
    try:
        return _run(body, interrupted)
    except KeyboardInterrupt:  # while the streams were flushed
        print(interrupted, file=sys.stderr)
        return EXIT_INTERRUPTED


def _run(body: Callable[[], int], interrupted: str) -> int:
    with guarded() as (out, err):
        try:
            code = _code_of(body, interrupted)
        except SystemExit as stop:
            out.flush()
            if stop.code == 0 and out.failure is not None:
                raise SystemExit(_failed(out)) from None
            raise
        out.flush()
        if code == 0 and out.failure is not None:
            code = _failed(out)
        err.flush()
    return code


def _code_of(body: Callable[[], int], interrupted: str) -> int:
    try:
        return body()
    except GeoPixelError as error:
        return _tell(error)
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return EXIT_INTERRUPTED
    except (MemoryError, OSError, RuntimeError, ImportError) as error:
        told = shortage(error, "the command")
        if told is None:
            raise
        return _tell(told)


def _tell(error: GeoPixelError) -> int:
    from .terminal import printable

    print(f"error: {printable(str(error))}", file=sys.stderr)
    return error.exit_code


def _failed(out: GuardedStream) -> int:
    """The exit code of an output that failed; a reader that went away needs no word."""
    if isinstance(out.failure, BrokenPipeError):
        return EXIT_PIPE
    reason = (out.failure and out.failure.strerror) or str(out.failure)
    return _tell(OutputError(f"standard output cannot be written ({reason}); give it a place with room"))
