"""CUDA memory, by cuda-core: one device, one stream, on which everything is done in order."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from ..arrays import Array
from ..errors import GeoPixelError, ResourceError, RuntimeUnavailableError, reason
from ..resources import shortage
from . import Device, Tensor
from .cuda_facts import check_driver
from .cuda_pinned import PINNED_BYTES, Pinned, address_of
from .host import HostDevice

log = logging.getLogger(__name__)
current_device = threading.local()  # `index` of the device that was made current in this thread
MOST_STAGED = PINNED_BYTES // 4
_REMEDY = "check the driver (nvidia-smi), `pip install 'cuda-core[cu13]'`, or give device='cpu'"


class CudaDevice:
    """Memory of one NVIDIA GPU. CUDA is first touched when memory is asked for."""

    memory = "cuda"

    def __init__(self, index: int, kind: str = "cuda") -> None:
        self.index, self.kind = index, kind
        self._opened: tuple[Any, Any] | None = None
        self._staging: Pinned | None = None
        self._lock = threading.Lock()  # of the staging memory: from taking a piece until its copy is queued, or done

    @property
    def _name(self) -> str:
        return f"{self.kind}:{self.index}"

    @property
    def stream(self) -> int:
        """The handle of the stream."""
        return int(self._open()[1].handle)

    def _open(self) -> tuple[Any, Any]:
        """The device and its stream. RuntimeUnavailableError where there is no such GPU, driver or package."""
        if self._opened is None:
            try:
                from cuda.bindings import runtime
                from cuda.core import Device

                if fault := check_driver(runtime):
                    raise RuntimeError(fault)
                device = Device(self.index)
                self._make_current(device)
                self._opened = device, device.create_stream()
            except Exception as error:  # cuda-core's errors have no common base
                message = f"device={self._name!r} cannot be used ({error}); {_REMEDY}"
                raise RuntimeUnavailableError(message) from None
        self._make_current(self._opened[0])
        return self._opened

    def _make_current(self, device: Any) -> None:
        """CUDA's calls, and TensorRT's, are for the device that is current in the thread that makes them."""
        if getattr(current_device, "index", None) != self.index:
            device.set_current()
            current_device.index = self.index

    def zeros(self, dtype: str, shape: Sequence[int]) -> Tensor:
        """New memory, all zero."""
        tensor = self.empty(dtype, shape)
        owner: Any = tensor.owner
        owner.fill(0, stream=self._open()[1])
        return tensor

    def empty(self, dtype: str, shape: Sequence[int]) -> Tensor:
        """New memory with any values; ResourceError where there is none."""
        device, stream = self._open()
        size = prod(shape) * np.dtype(dtype).itemsize
        try:
            buffer = device.allocate(max(size, 1), stream=stream)
        except Exception as error:  # as above
            doing = f"{dtype} of shape {tuple(shape)} finds no memory on the GPU"
            raise shortage(error, doing) or ResourceError(
                f"{doing} ({error}); give a smaller image or engine"
            ) from None
        return Tensor(self, int(buffer.handle), dtype, tuple(shape), buffer)

    def put(self, value: Array) -> Tensor:
        """A copy on the GPU."""
        tensor = self.empty(value.dtype.name, value.shape)
        self.upload(value, tensor)
        return tensor

    def copy(self, source: Tensor, target: Tensor) -> None:
        """All bytes of `source` to the beginning of `target`, queued; ValueError where they do not fit."""
        if source.nbytes > target.nbytes:
            raise ValueError(f"{source.nbytes} bytes are not copied to {target.nbytes}")
        self._move(target.address, source.address, source.nbytes)

    def upload(self, value: Array, target: Tensor) -> None:
        """Queue a write of the values; ValueError for another dtype or another number of them."""
        size = value.nbytes
        if value.dtype.name != target.dtype or size != target.nbytes:
            raise ValueError(f"{value.dtype} {value.shape} is not written to {target.dtype} {target.shape}")
        host = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
        if size <= MOST_STAGED:  # a decode step's inputs: nothing waits
            with self._lock:
                place = self._pinned().take(size)
                place[:] = host
                self._move(target.address, address_of(place), size)
        else:
            self._move(target.address, address_of(host), size)
            self.wait()  # until then `host` may not be let go

    def download(self, source: Tensor) -> Array:
        """A copy on the host, after waiting."""
        host = np.empty(source.shape, source.dtype)
        if host.nbytes <= MOST_STAGED:
            with self._lock:
                place = self._pinned().take(host.nbytes)
                self._move(address_of(place), source.address, host.nbytes)
                self.wait()
                host.reshape(-1).view(np.uint8)[:] = place
        else:
            self._move(address_of(host), source.address, host.nbytes)
            self.wait()
        return host

    @property
    def compute_capability(self) -> int:
        """Of this GPU, 87 for 8.7; RuntimeUnavailableError where there is none."""
        return _capability(self._open()[0])

    def capture(self, action: Callable[[], object]) -> Callable[[], None] | None:
        """What `action` queues, as one graph that a call queues again; None where CUDA captures none of it.

        `action` runs once, and nothing of it is done: the graph is to be called for that too.
        """
        from cuda.bindings import runtime

        good = runtime.cudaError_t.cudaSuccess
        mode = runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        if runtime.cudaStreamBeginCapture(self.stream, mode)[0] != good:
            return None
        try:
            action()
        except GeoPixelError as error:
            log.debug("not captured: %s", error)
        ended, graph = runtime.cudaStreamEndCapture(self.stream)
        told, made = runtime.cudaGraphInstantiate(graph, 0) if ended == good else (ended, None)
        if told != good:
            log.debug("no CUDA graph (%s); every run is queued anew", told)
            return None
        return _Graph(self, runtime, made, graph)

    def free_bytes(self) -> int:
        """Memory of the GPU that nobody has; where it is the CPU's, too, what the system can make free counts."""
        from cuda.bindings import runtime

        device, _ = self._open()
        error, free, _ = runtime.cudaMemGetInfo()
        if error != runtime.cudaError_t.cudaSuccess:
            raise RuntimeUnavailableError(f"device={self._name!r} failed ({error.name}); make a new Pipeline")
        shared = HostDevice().free_bytes() if device.properties.integrated else 0
        return max(int(free), shared)

    def beside(self) -> CudaDevice:
        """The same memory with a stream of its own: what is queued there runs beside what is queued here."""
        return CudaDevice(self.index, self.kind)

    def after(self, other: Device) -> None:
        """What is queued here from now on waits, on the GPU, for what `other` has queued by now."""
        if other is not self and isinstance(other, CudaDevice) and other._opened is not None:
            self._open()[1].wait(other._opened[1])

    def wait(self) -> None:
        """Until everything queued is done."""
        if self._opened is not None:
            try:
                self._open()[1].sync()
            except Exception as error:  # cuda-core's errors have no common base
                message = f"device={self._name!r} failed ({reason(error)}); make a new Pipeline"
                raise RuntimeUnavailableError(message) from None

    def _move(self, target: int, source: int, size: int) -> None:
        """Queue a copy of bytes between any two addresses."""
        if size:
            from cuda.bindings import runtime

            kind = runtime.cudaMemcpyKind.cudaMemcpyDefault
            (error,) = runtime.cudaMemcpyAsync(target, source, size, kind, self.stream)
            if error != runtime.cudaError_t.cudaSuccess:
                raise RuntimeUnavailableError(f"device={self._name!r} failed ({error.name}); make a new Pipeline")

    def _pinned(self) -> Pinned:
        self._open()
        if self._staging is None:
            self._staging = Pinned(self._name, self.wait, _REMEDY)
        return self._staging


class _Graph:
    """A captured run; its memory lives as long as this."""

    def __init__(self, device: CudaDevice, runtime: Any, made: Any, graph: Any) -> None:
        self._device, self._runtime, self._made = device, runtime, made
        weakref.finalize(self, _destroy, runtime, made, graph).atexit = False

    def __call__(self) -> None:
        (error,) = self._runtime.cudaGraphLaunch(self._made, self._device.stream)
        if error != self._runtime.cudaError_t.cudaSuccess:
            message = f"device={self._device._name!r} failed ({error.name}); make a new Pipeline"
            raise RuntimeUnavailableError(message)


def compute_capability(index: int = 0) -> int | None:
    """Of one GPU, 87 for 8.7; None where there is no such GPU, driver or package."""
    try:
        from cuda.core import Device

        return _capability(Device(index))
    except Exception:  # as above
        return None


def _capability(device: Any) -> int:
    found = device.compute_capability
    return 10 * int(found.major) + int(found.minor)


def _destroy(runtime: Any, made: Any, graph: Any) -> None:
    runtime.cudaGraphExecDestroy(made)
    runtime.cudaGraphDestroy(graph)
