"""Residency for checks: one block in memory at a time, and of a large one a piece. Slow, and small."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ..resources import return_heap
from ..runtimes import Runner
from ..runtimes.cut import WHOLE, Cut
from ..runtimes.host import HostDevice
from ..runtimes.loading import load_in_pieces
from .residency import Residency

# A block whose files are larger is run in pieces.
LARGE_BYTES = 1_400_000_000
# An engine whose blocks together are larger is checked with one of them in memory at a time. Beside each other, with
# the workspaces that their arenas keep, blocks of 1.39 GB took 6.6 GB; by turns they take 2.7 GB.
SPARED_BYTES = 200_000_000


class SparingResidency(Residency):
    """Holds the block that was looked up last and no other, whatever a stage asks for."""

    def load_all(self) -> None:
        """Nothing: blocks are loaded when they are looked up."""

    @contextmanager
    def stage(self, resident: frozenset[str], cut: Cut = WHOLE) -> Iterator[Mapping[str, Runner]]:
        """Every block of the engine, loaded when it is looked up, in the place of the one before."""
        with self._lock:
            yield _OnlyOne(self)

    def alone(self, block: str) -> Runner:
        """The block, and no other in memory."""
        with self._lock:
            self._free(self.loaded - {block})
            if block not in self._runners and self._is_large(block):
                self._runners[block] = load_in_pieces(self._engine, block, self._device, self._threads)
            return self.load(frozenset({block}))[block]

    def probed(self, block: str) -> Runner:
        """The block in float32 on the CPU, for its record, and no other in memory; the caller frees it."""
        with self._lock:
            self._free(self.loaded)
        if self._is_large(block):
            return load_in_pieces(self._engine, block, HostDevice(), self._threads, probed=True)
        return super().probed(block)

    def _is_large(self, block: str) -> bool:
        return self._engine.manifest.blocks[block].bytes > LARGE_BYTES

    def _free(self, blocks: frozenset[str]) -> None:
        super()._free(blocks)
        return_heap()


class _OnlyOne(Mapping[str, Runner]):
    def __init__(self, residency: SparingResidency) -> None:
        self._residency = residency

    def __getitem__(self, block: str) -> Runner:
        return self._residency.alone(block)

    def __iter__(self) -> Iterator[str]:
        return iter(self._residency.loaded)

    def __len__(self) -> int:
        return len(self._residency.loaded)
