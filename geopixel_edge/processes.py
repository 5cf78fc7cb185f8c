"""What belongs to one process: a loaded engine has threads, and a forked child has none of its parent's."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import weakref
from typing import NoReturn

from .errors import ProcessError

# Objects of a native runtime whose destructors wait for threads; a child must never run them.
_kept: weakref.WeakSet[object] = weakref.WeakSet()
_leaves_at_once = False
_PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>


class Owner:
    """The process that made something, to be checked before each use."""

    def __init__(self, what: str) -> None:
        self._what, self._process = what, os.getpid()

    def check(self) -> None:
        """ProcessError in any other process than the one that made this."""
        if os.getpid() != self._process:
            raise ProcessError(
                f"{self._what} was loaded in process {self._process}, and a fork ({os.getpid()}) has none of its "
                "threads; make a Pipeline in each worker, after the fork (or start workers with 'spawn')"
            )


def refuse_pickle(what: str, remedy: str) -> NoReturn:
    """Say in the package's own words why this does not go to another process."""
    raise ProcessError(f"{what} cannot be pickled; {remedy}")


def keep_in_children(session: object) -> None:
    """A forked child of this process will end without destroying `session`."""
    _kept.add(session)


def end_with_parent() -> None:
    """From now on SIGKILL ends this process when the thread that started it ends; nothing elsewhere than on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _in_child() -> None:
    """Make the child's end harmless: no destructor of a session, nor of the runtime's own globals, may run there.

    Both wait for threads that are not in the child: the one dies of SIGSEGV, the other never returns. The exit status,
    Python's own exit handlers and its buffers are as ever, since C's handlers run after them.
    """
    global _leaves_at_once
    for session in _kept:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))
    libc = ctypes.CDLL(None)
    if not _leaves_at_once and hasattr(libc, "on_exit"):  # glibc's; called with the status first
        libc.on_exit(ctypes.cast(libc._exit, ctypes.c_void_p), None)
        _leaves_at_once = True


if sys.platform == "linux":
    os.register_at_fork(after_in_child=_in_child)
