"""What a runtime is. Nothing here knows a model, a phase or a family.

A tensor belongs to a kind of memory (`host`, later CUDA), a runner to a runtime (`onnx`, later TensorRT); the two
compose. `devices` chooses the one, `loading` the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import Protocol

import numpy as np

from ..arrays import Array
from ..engine.manifest import BlockSpec


class Device(Protocol):
    """One place for memory and the queue that works on it. Everything asked of it is done in order."""

    kind: str  # "cpu", "cuda" or "tensorrt": CUDA memory where ONNX Runtime is to use TensorRT
    memory: str  # what runtimes that bind addresses call this memory
    index: int

    @property
    def stream(self) -> int:
        """The queue's handle; 0 on the host."""
        ...

    def zeros(self, dtype: str, shape: Sequence[int]) -> Tensor:
        """New memory, all zero. ResourceError where there is none."""
        ...

    def empty(self, dtype: str, shape: Sequence[int]) -> Tensor:
        """New memory that somebody is about to fill."""
        ...

    def put(self, value: Array) -> Tensor:
        """The values on the device. On the host it may be the array's own memory: neither may be changed then."""
        ...

    def copy(self, source: Tensor, target: Tensor) -> None:
        """All of `source` into as many bytes of `target`; nothing leaves the device."""
        ...

    def upload(self, value: Array, target: Tensor) -> None:
        """Queue a write from the host; use `Tensor.write`."""
        ...

    def download(self, source: Tensor) -> Array:
        """After waiting, the values on the host; use `Tensor.numpy`."""
        ...

    def free_bytes(self) -> int:
        """Memory that can still be had."""
        ...

    def wait(self) -> None:
        """Until everything queued is done."""
        ...

    def beside(self) -> Device:
        """The same memory with a queue of its own, which runs beside this one; on the host the device itself."""
        ...

    def after(self, other: Device) -> None:
        """What is queued here from now on waits for what `other`, of the same memory, has queued by now."""
        ...


@dataclass(frozen=True, eq=False)
class Tensor:
    """Memory with a dtype and a shape, rows side by side. The address never changes; views share it.

    `owner` keeps the memory alive.
    """

    device: Device
    address: int
    dtype: str
    shape: tuple[int, ...]
    owner: object

    @property
    def nbytes(self) -> int:
        """Bytes of all numbers."""
        return prod(self.shape) * np.dtype(self.dtype).itemsize

    def numpy(self) -> Array:
        """On the host: the memory itself. On a GPU: a copy, after waiting. The only way up to the host."""
        return self.device.download(self)

    def write(self, value: Array) -> None:
        """Queue a write of values of this dtype and as many numbers."""
        self.device.upload(value, self)

    def view(self, *shape: int, offset: int = 0) -> Tensor:
        """Another shape over the same memory, `offset` numbers further on; ValueError where it would end outside."""
        size = np.dtype(self.dtype).itemsize
        if min((offset, *shape), default=0) < 0 or (offset + prod(shape)) * size > self.nbytes:
            raise ValueError(f"a view {shape} at {offset} ends outside a tensor {self.shape}")
        return Tensor(self.device, self.address + offset * size, self.dtype, shape, self.owner)


ANEW = "make a new Pipeline, and check the driver (nvidia-smi) if that fails, too"  # what helps when a GPU is lost
NONE: Mapping[str, Tensor] = MappingProxyType({})


class Step(Protocol):
    """A run with every address fixed: write to `feeds`, run, read `outputs`. Not for two threads at once."""

    feeds: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]

    def run(self) -> None:
        """Queue the run. InferenceError names block, runtime and reason."""
        ...


class Runner(Protocol):
    """One loaded block. `run` may be called by several threads at once where the runtime allows it (ONNX Runtime)."""

    spec: BlockSpec
    device: Device

    def run(
        self, feeds: Mapping[str, Tensor], into: Mapping[str, Tensor] = NONE, more_follow: bool = False
    ) -> dict[str, Tensor]:
        """Queue one run and return its outputs.

        Outputs that `into` does not name are made in the declared shapes. A tensor that stands in `feeds` and in
        `into` is written in place: a cache. Where `more_follow`, other runs of these sizes or less come at once, and
        what this one took is kept for them. InferenceError names block, runtime and reason.
        """
        ...

    def give_back(self, feeds: Mapping[str, Tensor]) -> None:
        """What runs kept for others that did not come, without running; `feeds` are any that it could run with."""
        ...

    def bind(self, feeds: Mapping[str, Tensor], into: Mapping[str, Tensor] = NONE) -> Step:
        """The same run to be repeated: one saved binding, on a GPU one captured graph."""
        ...

    def close(self) -> None:
        """Free the block's weights; it runs no more."""
        ...
