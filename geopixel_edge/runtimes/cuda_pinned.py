"""Page-locked host memory for the small copies of every token."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import Array
from ..errors import RuntimeUnavailableError

PINNED_BYTES = 4 << 20
_ALIGNED = 256


class Pinned:
    """Page-locked host memory, handed out in turn: a copy from or to it does not stop the host.

    A piece is free again once the stream has passed it: whoever comes round to the beginning waits for that.
    """

    def __init__(self, device: str, wait: Callable[[], None], remedy: str) -> None:
        from cuda.bindings import runtime

        self._wait, self._next = wait, 0
        self._bytes: Array = np.zeros(PINNED_BYTES, np.uint8)
        (error,) = runtime.cudaHostRegister(address_of(self._bytes), PINNED_BYTES, 0)
        if error != runtime.cudaError_t.cudaSuccess:
            raise RuntimeUnavailableError(f"device={device!r} pins no host memory ({error.name}); {remedy}")
        # The registration must end before the memory does: the next array may lie at the same address.
        weakref.finalize(self, _unregister, runtime, self._bytes).atexit = False

    def take(self, size: int) -> Array:
        """The next `size` bytes; their content is the caller's until the ring comes round."""
        if self._next + size > PINNED_BYTES:
            self._wait()
            self._next = 0
        place = self._bytes[self._next : self._next + size]
        self._next += -(-size // _ALIGNED) * _ALIGNED
        return place


def address_of(array: Array) -> int:
    """Where the first byte of an array lies."""
    address: int = array.__array_interface__["data"][0]
    return address


def _unregister(runtime: Any, registered: Array) -> None:
    runtime.cudaHostUnregister(address_of(registered))
