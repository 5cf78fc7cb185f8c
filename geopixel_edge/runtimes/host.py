"""Host memory: NumPy arrays behind the contract of a device."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..arrays import Array
from ..errors import InferenceError
from ..resources import shortage
from . import Device, Tensor


class HostDevice:
    """The CPU's memory. Every call is done when it returns."""

    kind, memory, index, stream = "cpu", "cpu", 0, 0

    def zeros(self, dtype: str, shape: Sequence[int]) -> Tensor:
        """New memory, all zero."""
        with _memory_for(dtype, shape):
            return self._of(np.zeros(shape, dtype))

    def empty(self, dtype: str, shape: Sequence[int]) -> Tensor:
        """New memory with any values."""
        with _memory_for(dtype, shape):
            return self._of(np.empty(shape, dtype))

    def put(self, value: Array) -> Tensor:
        """The array's own memory where its rows lie side by side, else a copy."""
        return self._of(np.ascontiguousarray(value).reshape(value.shape))

    def copy(self, source: Tensor, target: Tensor) -> None:
        """All bytes of `source` to the beginning of `target`."""
        _bytes(target)[: source.nbytes] = _bytes(source)

    def upload(self, value: Array, target: Tensor) -> None:
        """Copy the values; ValueError for another dtype or another number of them."""
        place = _array(target)
        if value.dtype != place.dtype or value.size != place.size:
            raise ValueError(f"{value.dtype} {value.shape} is not written to {target.dtype} {target.shape}")
        place[...] = value.reshape(target.shape)

    def download(self, source: Tensor) -> Array:
        """The memory itself."""
        return _array(source)

    def free_bytes(self) -> int:
        """Memory the system says is available; 0 where it does not say."""
        info = Path("/proc/meminfo")
        lines = info.read_text().splitlines() if info.is_file() else []
        found = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), None)
        if found is not None:
            return int(found) * 1024
        names = ("SC_AVPHYS_PAGES", "SC_PAGE_SIZE")
        known = all(name in getattr(os, "sysconf_names", {}) for name in names)
        return os.sysconf(names[0]) * os.sysconf(names[1]) if known else 0

    def wait(self) -> None:
        """Nothing is ever outstanding."""

    def beside(self) -> HostDevice:
        """This one: nothing runs beside anything."""
        return self

    def after(self, other: Device) -> None:
        """Everything is done already."""

    def _of(self, array: Array) -> Tensor:
        memory = _Memory(array, array.dtype.name, array.__array_interface__["data"][0])
        return Tensor(self, memory.address, memory.dtype, array.shape, memory)


@dataclass(frozen=True, eq=False)
class _Memory:
    """An array, its dtype's name, and where its first byte lies."""

    array: Array
    dtype: str
    address: int


def _array(tensor: Tensor) -> Array:
    """The tensor as a NumPy array over the memory of its owner."""
    owner = tensor.owner
    assert isinstance(owner, _Memory)
    if tensor.shape == owner.array.shape and tensor.dtype == owner.dtype and tensor.address == owner.address:
        return owner.array  # all of it, which is what a decode step asks for
    if owner.array.size == 0:
        return np.empty(tensor.shape, tensor.dtype)
    return np.ndarray(tensor.shape, tensor.dtype, owner.array.data, tensor.address - owner.address)


def _bytes(tensor: Tensor) -> Array:
    return _array(tensor).reshape(-1).view(np.uint8)


@contextmanager
def _memory_for(dtype: str, shape: Sequence[int]) -> Iterator[None]:
    """ResourceError where the system has no memory for an array, InferenceError where none could have."""
    try:
        yield
    except (MemoryError, ValueError) as error:
        doing = f"{dtype} of shape {tuple(shape)} finds no memory"
        raise shortage(error, doing) or InferenceError(f"{doing}; ask for less ({error})") from None
