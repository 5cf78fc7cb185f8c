"""A GPU for machines without one: host memory that is read through `Tensor.numpy()` alone, which is counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from geopixel_edge.arrays import Array
from geopixel_edge.runtimes import Tensor


class Opaque:
    """Owns memory and shows none of it."""

    def __init__(self, array: Array) -> None:
        self.__array = array

    def reach(self, key: object, address: int, nbytes: int) -> Array:
        """Bytes of the memory, for the device that made it."""
        assert isinstance(key, FakeCuda), "only the device reads its memory"
        flat = self.__array.reshape(-1).view(np.uint8)
        start = address - flat.__array_interface__["data"][0] if flat.size else 0
        assert 0 <= start <= start + nbytes <= flat.size
        return flat[start : start + nbytes]


@dataclass(eq=False)
class FakeCuda:
    """Says it is CUDA. What runs on it is bound by address, as on a GPU; `down` and `up` list what crossed."""

    kind: str = "cuda"
    memory: str = "cpu"  # where the addresses really lie, for ONNX Runtime
    index: int = 0
    down: list[tuple[int, ...]] = field(default_factory=list)
    up: list[tuple[int, ...]] = field(default_factory=list)
    waits: int = 0

    @property
    def stream(self) -> int:
        return 7

    def zeros(self, dtype: str, shape: Sequence[int]) -> Tensor:
        array = np.zeros(shape, dtype)
        address = array.__array_interface__["data"][0]
        return Tensor(self, address, array.dtype.name, array.shape, Opaque(array))

    def empty(self, dtype: str, shape: Sequence[int]) -> Tensor:
        tensor = self.zeros(dtype, shape)
        self._bytes(tensor)[...] = 0xA5  # whoever reads before writing is found out
        return tensor

    def put(self, value: Array) -> Tensor:
        tensor = self.zeros(value.dtype.name, value.shape)
        self.upload(value, tensor)
        return tensor

    def copy(self, source: Tensor, target: Tensor) -> None:
        self._bytes(target)[: source.nbytes] = self._bytes(source)

    def upload(self, value: Array, target: Tensor) -> None:
        assert (value.dtype.name, value.nbytes) == (target.dtype, target.nbytes)
        self.up.append(target.shape)
        self._bytes(target)[...] = np.ascontiguousarray(value).reshape(-1).view(np.uint8)

    def download(self, source: Tensor) -> Array:
        self.down.append(source.shape)
        return self._bytes(source).copy().view(source.dtype).reshape(source.shape)

    def free_bytes(self) -> int:
        return 1 << 34

    def wait(self) -> None:
        self.waits += 1

    def beside(self) -> FakeCuda:
        return self

    def after(self, other: object) -> None:
        pass

    def _bytes(self, tensor: Tensor) -> Array:
        assert isinstance(tensor.owner, Opaque)
        assert tensor.device is self
        return tensor.owner.reach(self, tensor.address, tensor.nbytes)
