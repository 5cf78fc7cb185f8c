"""How a block's build is run in a process of its own, watched, and what ended it told."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import msgspec

from ..errors import ExportError, RuntimeUnavailableError
from ..runtimes.tensorrt_import import import_tensorrt
from .tensorrt_block import Outcome, Request

_TICK_S = 1.0
COMMAND = (sys.executable, "-m", "geopixel_edge.build.tensorrt_block")


def library_of(runtime: str) -> Outcome:
    """Version and targets of the library; RuntimeUnavailableError where it cannot be loaded."""
    done = subprocess.run(COMMAND, input=msgspec.json.encode(Request(runtime=runtime)), capture_output=True)
    if done.returncode == 0:
        outcome = msgspec.json.decode(done.stdout, type=Outcome)
        if not outcome.error:
            return outcome
        raise RuntimeUnavailableError(outcome.error)
    import_tensorrt(runtime)  # says best what is missing
    raise RuntimeUnavailableError(f"runtime={runtime!r} ended its process ({_ending(done.returncode, done.stderr)})")


def run(request: Request, block: str, library: str, tick: Callable[[], object]) -> Outcome:
    """Build one block's plan; `tick` is called every second. ExportError says what the library said."""
    asked = msgspec.structs.replace(request, parent=os.getpid())
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        try:
            said, errors = _watched(child, msgspec.json.encode(asked), tick)
        except BaseException:
            child.kill()
            raise
    if child.returncode:
        raise ExportError(f"block {block!r}: {library} ended early ({_ending(child.returncode, errors)})")
    outcome = msgspec.json.decode(said, type=Outcome)
    if outcome.error:
        raise ExportError(f"block {block!r} is not built by {library}: {outcome.error}")
    return outcome


def _watched(child: subprocess.Popen[bytes], sent: bytes, tick: Callable[[], object]) -> tuple[bytes, bytes]:
    given: bytes | None = sent
    while True:
        try:
            return child.communicate(given, timeout=_TICK_S)
        except subprocess.TimeoutExpired:
            given = None
            tick()


def _ending(code: int, errors: bytes) -> str:
    """What ended a process: a signal, as a system that runs out of memory sends it, or its last words."""
    if code < 0:
        return f"signal {-code}; if memory ran out, add swap or close programs: the blocks that were built are kept"
    return (errors.decode(errors="replace").strip().splitlines() or [f"exit code {code}"])[-1][:300]
