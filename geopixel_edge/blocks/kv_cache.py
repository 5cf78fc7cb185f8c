"""Keys and values of every layer in device buffers that the language model writes in place."""

from __future__ import annotations

from collections.abc import Mapping

from ..engine.manifest import BlockSpec
from ..engine.names import PAST, PRESENT
from ..runtimes import Device, Tensor


class KVCache:
    """Buffers for `batch` sequences of at most `capacity` positions each; `lengths` of them are valid.

    Buffers are (batch, KV heads, capacity, head size) and never move. They begin as zeros: a NaN behind the attention
    mask would spread.
    """

    def __init__(self, device: Device, buffers: Mapping[str, Tensor], lengths: list[int]) -> None:
        self.device, self.buffers, self.lengths = device, dict(buffers), lengths
        first = next(iter(self.buffers.values()))
        self.batch, _, self.capacity, _ = first.shape
        self.dtype = first.dtype

    @classmethod
    def new(cls, device: Device, spec: BlockSpec, capacity: int, batch: int = 1, dtype: str = "") -> KVCache:
        """An empty cache for a block, of its dtype or another; ResourceError where memory does not suffice."""
        buffers = {}
        for one in spec.inputs:
            if one.name.startswith(PAST):
                _, heads, _, size = (int(side) if isinstance(side, int) else 0 for side in one.shape)
                buffers[one.name] = device.zeros(dtype or one.dtype, (batch, heads, capacity, size))
        return cls(device, buffers, [0] * batch)

    @property
    def length(self) -> int:
        """Valid positions of the only sequence."""
        (length,) = self.lengths
        return length

    @property
    def into(self) -> dict[str, Tensor]:
        """The same buffers under the names of the outputs that write them."""
        return {PRESENT + name.removeprefix(PAST): tensor for name, tensor in self.buffers.items()}

    def rewind(self, length: int) -> None:
        """Forget what the only sequence holds beyond its first `length` positions."""
        self.lengths[0] = min(self.length, length)

    def sequence(self, index: int) -> KVCache:
        """A view of one sequence, to read its prompt into; its length is its own, give it back with `adopt`."""
        views = {}
        for name, buffer in self.buffers.items():
            _, *shape = buffer.shape
            each = shape[0] * shape[1] * shape[2]
            views[name] = buffer.view(1, *shape, offset=index * each)
        return KVCache(self.device, views, [self.lengths[index]])

    def adopt(self, index: int, sequence: KVCache) -> None:
        """Take over the length that `sequence(index)` has grown to."""
        self.lengths[index] = sequence.length

    def copy_prefix(self, source: KVCache, length: int) -> None:
        """Make this cache of one sequence begin with the first `length` positions of another."""
        for name, target in self.buffers.items():
            _, heads, _, size = target.shape
            origin = source.buffers[name]
            for head in range(heads):
                self.device.copy(
                    origin.view(length, size, offset=head * source.capacity * size),
                    target.view(length, size, offset=head * self.capacity * size),
                )
        self.lengths[0] = length

    def copied(self, length: int) -> KVCache:
        """A cache of its own with room for the first `length` positions of the only sequence, which it holds."""
        buffers = {}
        for name, source in self.buffers.items():
            _, heads, _, size = source.shape
            buffers[name] = self.device.zeros(source.dtype, (1, heads, length, size))
        copy = KVCache(self.device, buffers, [0])
        copy.copy_prefix(self, length)
        return copy
