"""A GPU for a fake of TensorRT: memory that knows who is alive, runs that are captured, and a second stream."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from geopixel_edge.arrays import Array
from geopixel_edge.errors import RuntimeUnavailableError
from geopixel_edge.runtimes import Tensor

from .fake_cuda import FakeCuda, Opaque

SM = 87


@dataclass(eq=False)
class FakeGpu(FakeCuda):
    """FakeCuda that knows which of its memory is alive, and can capture what is queued."""

    compute_capability: int = SM
    made: int = 0
    launches: int = 0
    captures: bool = True
    alive: weakref.WeakValueDictionary[int, Opaque] = field(default_factory=weakref.WeakValueDictionary)
    recording: list[Callable[[], object]] | None = None
    lane: FakeLane | None = None
    order: list[str] = field(default_factory=list)
    free: int = 1 << 34
    fails: bool = False
    threads: set[int] = field(default_factory=set)  # for which it is current: they asked for its stream

    @property
    def stream(self) -> int:
        self.threads.add(threading.get_ident())
        return 7

    def check(self) -> None:
        """As every call of CUDA's fails once a GPU is lost."""
        if self.fails:
            raise RuntimeUnavailableError("device='cuda:0' failed (cudaErrorIllegalAddress); make a new Pipeline")

    def wait(self) -> None:
        self.check()
        super().wait()

    def free_bytes(self) -> int:
        return self.free

    def beside(self) -> FakeLane:
        self.lane = FakeLane(alive=self.alive, order=self.order, fails=self.fails, threads=self.threads)
        return self.lane

    def after(self, other: object) -> None:
        if isinstance(other, FakeLane):
            self.order.append("waits for the other stream")
            other.drain()

    def zeros(self, dtype: str, shape: Sequence[int]) -> Tensor:
        tensor = super().zeros(dtype, shape)
        assert isinstance(tensor.owner, Opaque)
        self.made += 1
        self.alive[tensor.address] = tensor.owner
        return tensor

    def copy(self, source: Tensor, target: Tensor) -> None:
        self.queue(lambda: super(FakeGpu, self).copy(source, target))

    def queue(self, action: Callable[[], object]) -> None:
        """Do it now, or when what is being captured is launched."""
        if self.recording is None:
            self.order.append("runs")
            action()
        else:
            self.recording.append(action)

    def capture(self, action: Callable[[], object]) -> Callable[[], None] | None:
        if not self.captures:
            return None
        recorded: list[Callable[[], object]] = []
        self.recording = recorded
        action()
        self.recording = None

        def launch() -> None:
            self.check()
            self.launches += 1
            for one in recorded:
                one()

        return launch

    def holds(self, address: int) -> bool:
        """Whether memory that nobody has freed lies there: from its beginning, or a view into it."""
        return any(
            start <= address < start + max(1, len(owner_bytes(owner, self)))
            for start, owner in list(self.alive.items())
        )


@dataclass(eq=False)
class FakeLane(FakeGpu):
    """Another stream over the same memory: what is queued is done as late as may be, when somebody waits for it.

    Memory is given back in the stream's order, too, as CUDA's pools do.
    """

    queued: list[Callable[[], object]] = field(default_factory=list)
    held: list[Tensor] = field(default_factory=list)

    def zeros(self, dtype: str, shape: Sequence[int]) -> Tensor:
        tensor = super().zeros(dtype, shape)
        self.held.append(tensor)
        return tensor

    @property
    def stream(self) -> int:
        self.threads.add(threading.get_ident())
        return 8

    def queue(self, action: Callable[[], object]) -> None:
        self.order.append("queues on the other stream")
        self.queued.append(action)

    def drain(self) -> None:
        """Do what was queued."""
        while self.queued:
            self.queued.pop(0)()
        self.held.clear()

    def wait(self) -> None:
        super().wait()
        self.drain()

    def download(self, source: Tensor) -> Array:
        self.drain()
        return super().download(source)


def owner_bytes(owner: Opaque, gpu: FakeGpu) -> Array:
    """All bytes of one piece of memory."""
    array: Array = owner._Opaque__array  # type: ignore[attr-defined]
    return array.reshape(-1).view(np.uint8)
