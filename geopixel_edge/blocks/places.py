"""How a run of the language model is told where in the cache it is: each form of the graph has inputs of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from ..engine.names import SEQLENS_K, TOTAL_LENGTH
from ..runtimes import Device, Runner, Tensor
from ..runtimes.host import HostDevice
from .kv_cache import KVCache


class Places(Protocol):
    """The inputs that say where a run's rows lie."""

    def of_rows(self, cache: KVCache, count: int) -> dict[str, Tensor]:
        """For `count` rows after those of the only sequence."""
        ...

    def of_step(self, cache: KVCache) -> dict[str, Tensor]:
        """Memory for one row of every sequence, to be filled by `move`."""
        ...

    def move(self, feeds: Mapping[str, Tensor], cache: KVCache) -> None:
        """Write where the next row of every sequence lies."""
        ...


class PortablePlaces:
    """Positions, first slots, and a mask over the whole cache."""

    def __init__(self, device: Device) -> None:
        self._device = device

    def of_rows(self, cache: KVCache, count: int) -> dict[str, Tensor]:
        """As above."""
        positions = np.arange(cache.length, cache.length + count)
        return {
            "position_ids": self._device.put(positions[None]),
            "write_index": self._device.put(np.array([cache.length])),
            "attention_mask": self._device.put((np.arange(cache.capacity) <= positions[:, None])[None, None]),
        }

    def of_step(self, cache: KVCache) -> dict[str, Tensor]:
        """As above."""
        zeros, batch = self._device.zeros, cache.batch
        return {
            "position_ids": zeros("int64", (batch, 1)),
            "write_index": zeros("int64", (batch,)),
            "attention_mask": zeros("bool", (batch, 1, 1, cache.capacity)),
        }

    def move(self, feeds: Mapping[str, Tensor], cache: KVCache) -> None:
        """As above."""
        positions = np.array(cache.lengths)[:, None]
        feeds["position_ids"].write(positions)
        feeds["write_index"].write(positions)
        feeds["attention_mask"].write(np.arange(cache.capacity) <= positions)


class ReadyPlaces:
    """Each sequence's length, and the longest, which the operator reads on the host."""

    def __init__(self, device: Device) -> None:
        self._device, self._host = device, HostDevice()

    def of_rows(self, cache: KVCache, count: int) -> dict[str, Tensor]:
        """As above."""
        total = cache.length + count
        return {
            SEQLENS_K: self._device.put(np.array([total - 1], np.int32)),
            TOTAL_LENGTH: self._host.put(np.array([total], np.int32)),
        }

    def of_step(self, cache: KVCache) -> dict[str, Tensor]:
        """As above."""
        return {
            SEQLENS_K: self._device.zeros("int32", (cache.batch,)),
            TOTAL_LENGTH: self._host.zeros("int32", (1,)),
        }

    def move(self, feeds: Mapping[str, Tensor], cache: KVCache) -> None:
        """As above."""
        feeds[SEQLENS_K].write(np.array(cache.lengths, np.int32))
        feeds[TOTAL_LENGTH].numpy()[0] = max(cache.lengths) + 1


def places_of(runner: Runner) -> Places:
    """What the runner's graph asks for."""
    names = {tensor.name for tensor in runner.spec.inputs}
    return (ReadyPlaces if SEQLENS_K in names else PortablePlaces)(runner.device)
