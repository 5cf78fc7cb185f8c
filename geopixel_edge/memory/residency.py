"""The only owner of runners: loads blocks when a stage needs them, and frees the others when the plan says so."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from ..engine.directory import Engine
from ..errors import SessionClosedError
from ..resources import return_heap
from ..runtimes import Device, Runner
from ..runtimes.cut import WHOLE, Cut
from ..runtimes.loading import load_block, load_probed

# Its runs depend on the image alone, and so have a queue of their own beside the language model's.
BESIDE = "grounding_encoder"
# The only block of which less than the whole is loaded, where a plan says so.
_CUT = "language_model"


class Residency:
    """Runners by block. Stages that keep every block run side by side; others, which swap them, take turns."""

    def __init__(self, engine: Engine, device: Device, threads: int | None) -> None:
        self._engine, self._device, self._threads = engine, device, threads
        self._beside = device.beside() if engine.manifest.blocks[BESIDE].plan is not None else device
        self._runners: dict[str, Runner] = {}
        self._count = len(engine.manifest.blocks)
        self._lock = threading.RLock()
        self._closed, self._cut = False, WHOLE

    @property
    def loaded(self) -> frozenset[str]:
        """Blocks in memory now."""
        return frozenset(self._runners)

    def load(self, blocks: frozenset[str], cut: Cut = WHOLE) -> Mapping[str, Runner]:
        """These blocks, loaded now where they are not yet, in the manifest's order; the language model so cut."""
        with self._lock:
            if self._closed:
                raise SessionClosedError("this Pipeline was closed; make a new one")
            for block in self._engine.manifest.blocks:
                if block in blocks and block not in self._runners:
                    place = self._beside if block == BESIDE else self._device
                    how = cut if block == _CUT else WHOLE
                    self._runners[block] = load_block(self._engine, block, place, self._threads, how)
                    if block == _CUT:
                        self._cut = cut
        return self._runners

    @property
    def grounds_beside(self) -> bool:
        """Whether the grounding encoder runs while the language model does."""
        return self._beside is not self._device

    def load_all(self) -> None:
        """Every block, before anybody asks for it."""
        self.load(frozenset(self._engine.manifest.blocks))

    def probed(self, block: str) -> Runner:
        """The block in float32 on the CPU, for its record, beside what is loaded; the caller frees it."""
        return load_probed(self._engine, block, self._threads)

    @contextmanager
    def stage(self, resident: frozenset[str], cut: Cut = WHOLE) -> Iterator[Mapping[str, Runner]]:
        """The runners of a stage, the language model so cut, and no others in memory while it lasts."""
        if len(resident) == self._count and self._cut == cut:
            # Nothing is ever freed for such a stage, so that several may run at once.
            yield self._runners if len(self._runners) == self._count else self.load(resident)
            return
        with self._lock:
            if leaving := self.loaded - (resident if self._cut == cut else resident - {_CUT}):
                self._free(leaving)
                return_heap()
            yield self.load(resident, cut)

    def reload(self, block: str) -> None:
        """Load a block anew from its files, as after a fault in memory."""
        with self._lock:
            cut = self._cut
            self._free(self.loaded & {block})
            self.load(frozenset({block}), cut)

    def close(self) -> None:
        """Free every block; no stage can begin any more."""
        with self._lock:
            self._closed = True
            self._free(self.loaded)

    def _free(self, blocks: frozenset[str]) -> None:
        with ExitStack() as stack:  # every one, whatever another raises
            for block in blocks:
                stack.callback(self._runners.pop(block).close)
            if _CUT in blocks:
                self._cut = WHOLE
