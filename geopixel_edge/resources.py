"""What a machine that is too small looks like in the errors of the libraries below: too little memory, no threads."""

from __future__ import annotations

import ctypes
import errno
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import GeoPixelError, ResourceError

# In the words of C++, glibc's loader and allocator, ONNX Runtime and Pillow; compared in lower case.
_NO_MEMORY = (
    "bad_alloc",
    "bad allocation",
    "cannot allocate memory",
    "failed to allocate",
    "failed to map segment",
    "unable to allocate",
    "cannot allocate write+execute memory",
    "cannot apply additional memory protection",
    "not enough memory",
    "out of memory",
)
_NO_THREAD = ("start new thread", "pthread_create", "resource temporarily unavailable", "pthread_setaffinity")
_SHORT = {errno.ENOMEM: "memory", errno.EAGAIN: "threads"}
_M_ARENA_MAX = -8  # of glibc's malloc.h


def shortage(error: BaseException, doing: str) -> ResourceError | None:
    """The error to raise when `error` means that memory or threads ran out while `doing`; None when it does not."""
    text = str(error).lower()
    what = _SHORT.get(error.errno or 0) if isinstance(error, OSError) else None
    if isinstance(error, MemoryError) or any(words in text for words in _NO_MEMORY):
        what = "memory"
    elif any(words in text for words in _NO_THREAD):
        what = "threads"
    if what == "memory":
        return ResourceError(
            f"{doing}: there is too little memory for it; free some, raise the limit (ulimit -v, the container's), or "
            "give a smaller image or engine"
        )
    if what == "threads":
        return ResourceError(
            f"{doing}: no further thread can be started; give threads=1 (--threads 1), or raise the limit (ulimit -u, "
            "the container's number of processes)"
        )
    return None


@contextmanager
def shortage_told(doing: str) -> Iterator[None]:
    """Turn a shortage of memory or threads in the block into a ResourceError; every other error goes on as it is."""
    try:
        yield
    except GeoPixelError:
        raise
    except (MemoryError, OSError, RuntimeError, ImportError) as error:
        told = shortage(error, doing)
        if told is None:
            raise
        raise told from None


def share_heap_where_limited() -> None:
    """Let every thread allocate from one heap where address space is limited (`ulimit -v`); nothing elsewhere.

    A heap of a thread's own takes 64 MiB of address space. Where that is not free, glibc maps pages for each of the
    thread's allocations, and at the limit a runtime's thread ends the process, although the first heap has room.
    """
    if sys.platform != "linux":
        return
    import resource

    is_limited = resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
    if is_limited and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(_M_ARENA_MAX, 1)


def return_heap(collecting: bool = False) -> None:
    """Give freed memory back to the system, which glibc keeps for later; nothing elsewhere.

    `collecting` frees circles first: with torch loaded that alone takes a third of a second.
    """
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        if collecting:
            gc.collect()
        trim(0)
