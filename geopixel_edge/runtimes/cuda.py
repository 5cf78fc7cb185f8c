"""CUDA memory, by cuda-core: one device, one stream, on which everything is done in order."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ..arrays import Array
from ..errors import ResourceError, RuntimeUnavailableError
from ..resources import shortage
from . import Tensor

_REMEDY = "check the driver (nvidia-smi), `pip install 'cuda-core[cu13]'`, or give device='cpu'"


class CudaDevice:
    """Memory of one NVIDIA GPU. CUDA is first touched when memory is asked for."""

    kind, memory = "cuda", "cuda"

    def __init__(self, index: int) -> None:
        self.index = index
        self._opened: tuple[Any, Any] | None = None

    @property
    def stream(self) -> int:
        """The handle of the stream."""
        return int(self._open()[1].handle)

    def _open(self) -> tuple[Any, Any]:
        """The device and its stream. RuntimeUnavailableError where there is no such GPU, driver or package."""
        if self._opened is None:
            try:
                from cuda.core import Device

                device = Device(self.index)
                device.set_current()
                self._opened = device, device.create_stream()
            except Exception as error:  # cuda-core's errors have no common base
                message = f"device='cuda:{self.index}' cannot be used ({error}); {_REMEDY}"
                raise RuntimeUnavailableError(message) from None
        return self._opened

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
        """All bytes of `source` to the beginning of `target`, queued."""
        if source.nbytes:
            self._part(source, source.nbytes).copy_to(self._part(target, source.nbytes), stream=self._open()[1])

    def upload(self, value: Array, target: Tensor) -> None:
        """Write the values; ValueError for another dtype or another number of them."""
        if value.dtype.name != target.dtype or value.nbytes != target.nbytes:
            raise ValueError(f"{value.dtype} {value.shape} is not written to {target.dtype} {target.shape}")
        if value.nbytes:
            host = np.ascontiguousarray(value)
            self._host(host).copy_to(self._part(target, host.nbytes), stream=self._open()[1])
            self.wait()  # until then `host` may not be let go

    def download(self, source: Tensor) -> Array:
        """A copy on the host, after waiting."""
        host = np.empty(source.shape, source.dtype)
        if host.nbytes:
            self._part(source, host.nbytes).copy_to(self._host(host), stream=self._open()[1])
        self.wait()
        return host

    def free_bytes(self) -> int:
        """Memory of the GPU that nobody has."""
        from cuda.bindings import runtime

        self._open()
        _, free, _ = runtime.cudaMemGetInfo()
        return int(free)

    def wait(self) -> None:
        """Until everything queued is done."""
        if self._opened is not None:
            self._opened[1].sync()

    def _part(self, tensor: Tensor, size: int) -> Any:
        from cuda.core import Buffer

        return Buffer.from_handle(tensor.address, size, owner=tensor.owner)

    def _host(self, array: Array) -> Any:
        from cuda.core import Buffer

        return Buffer.from_handle(array.__array_interface__["data"][0], array.nbytes, owner=array)
