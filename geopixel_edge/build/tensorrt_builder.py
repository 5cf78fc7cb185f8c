"""Builds the plans of one engine's blocks, each in a process of its own, and keeps them as they come."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from ..engine.digests import describe_file
from ..engine.directory import Engine
from ..engine.manifest import BLOCKS, BlockSpec, EnginePlan
from ..memory.plan import Dims
from ..version import __version__
from .composed import ComposedGraph
from .decoder import DecoderGraph
from .forms import LANGUAGE_MODEL, Progress, changed_blocks, write_block
from .plan_cache import Kept, PlanCache, key_of, link
from .portable import PortableGraph
from .tensorrt_block import Request
from .tensorrt_child import run
from .tensorrt_profiles import fixed_dims, halved, halves_of, most_dims, profiles_of
from .tensorrt_target import Library


@dataclass(frozen=True)
class Wanted:
    """What to build: the runtime, which blocks, for which GPU (None: this machine's), and within what.

    `capacity` is the KV cache's length (None: for a usual question), `memory_bytes` bounds the builder and the plan's
    workspace, `plans` is the folder of kept plans (None: one beside the target).
    """

    runtime: str
    blocks: tuple[str, ...] = BLOCKS
    sm: int | None = None
    capacity: int | None = None
    memory_bytes: int | None = None
    plans: Path | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class Built:
    """One block's plan: its size, what building took, and whether it was kept from before."""

    block: str
    plan_bytes: int
    seconds: float
    peak_bytes: int
    kept: bool
    layers: dict[str, int] = field(default_factory=dict)


@dataclass
class PlanBuilder:
    """Builds the blocks of one engine, the smallest first, so that the time left is known early."""

    engine: Engine
    wanted: Wanted
    library: Library
    dims: Dims
    cache: PlanCache
    root: Path
    progress: Progress
    _done_bytes: int = 0
    _done_seconds: float = 0.0

    def all_blocks(self) -> tuple[dict[str, BlockSpec], list[Built]]:
        """Every wanted block's entry of the manifest, and how it was built."""
        blocks, specs, built = self.engine.manifest.blocks, {}, []
        order = sorted(self.wanted.blocks, key=lambda name: blocks[name].bytes)
        for index, name in enumerate(order):
            waiting = sum(blocks[one].bytes for one in order[index:])
            specs[name], one = self._block(name, index, waiting)
            built.append(one)
        return specs, built

    def _block(self, name: str, index: int, waiting_bytes: int) -> tuple[BlockSpec, Built]:
        key = key_of(self._facts(name))
        found = self.cache.find(key)
        plan, kept = found or self._build(name, key, index, waiting_bytes)
        place = f"{name}.plan"
        link(plan, self.root / place)
        spec = self.engine.manifest.blocks[name]
        entry = EnginePlan(
            version=self.library.version,
            sm=self.library.sm,
            profiles=profiles_of(name, self.dims),
            build_peak_bytes=kept.peak_bytes,
            in_place=not self._composes(name),
        )
        new = msgspec.structs.replace(
            spec,
            runtime=self.wanted.runtime,
            files=(describe_file(self.root, place),),
            inputs=kept.inputs,
            outputs=kept.outputs,
            footprint=None,
            dims=most_dims(name, self.dims),
            plan=entry,
        )
        return new, Built(name, new.bytes, kept.seconds, kept.peak_bytes, found is not None, kept.layers)

    def _facts(self, name: str) -> dict[str, Any]:
        """All that a plan depends on."""
        return {
            "files": [file.sha256 for file in self.engine.manifest.blocks[name].files],
            "form": "composed" if self._composes(name) else "portable",
            "runtime": self.wanted.runtime,
            "library": self.library.version,
            "package": __version__,
            "sm": self.library.sm,
            "memory": self.wanted.memory_bytes,
            "profiles": profiles_of(name, self.dims),
            "fixed": fixed_dims(name, self.dims),
            "halves": halves_of(name, self.engine.manifest.blocks[name].precision),
        }

    def _composes(self, name: str) -> bool:
        return name == LANGUAGE_MODEL and not self.library.has_attention

    def _build(self, name: str, key: str, index: int, waiting_bytes: int) -> tuple[Path, Kept]:
        graphs = self.root / "graphs"
        graphs.mkdir()
        model, spec = self._graph(name, graphs)
        halves = halves_of(name, spec.precision)
        inputs = halved(spec.inputs, halves)
        request = Request(
            runtime=self.wanted.runtime,
            model=str(model),
            inputs=inputs,
            outputs=spec.outputs,
            fixed=fixed_dims(name, self.dims),
            halves=halves,
            profiles=profiles_of(name, self.dims),
            sm=self.library.sm,
            memory_bytes=self.wanted.memory_bytes or 0,
        )
        start = time.monotonic()

        def tick() -> None:
            self.progress(self._told(name, waiting_bytes, time.monotonic() - start), index, len(self.wanted.blocks))

        tick()
        try:
            with self.cache.writing(key) as written:
                outcome = run(msgspec.structs.replace(request, plan=str(written)), name, self.library.name, tick)
                seconds = time.monotonic() - start
                digest = describe_file(written.parent, written.name).sha256
                kept = Kept(digest, inputs, spec.outputs, outcome.layers, outcome.seconds, outcome.peak_bytes)
                plan = self.cache.keep(key, written, kept)
        finally:
            shutil.rmtree(graphs)
        self._done_bytes += self.engine.manifest.blocks[name].bytes
        self._done_seconds += seconds
        return plan, kept

    def _graph(self, name: str, place: Path) -> tuple[Path, BlockSpec]:
        """The file that is parsed: the engine's own, or one in the form that the library takes."""
        spec = self.engine.manifest.blocks[name]
        portable = self.engine.manifest.form == "portable"
        if self._composes(name) or (not portable and name in changed_blocks(self.engine.manifest)):
            decoder: type[DecoderGraph] = ComposedGraph if self._composes(name) else PortableGraph
            spec = write_block(self.engine, name, place, decoder, "portable", self.progress)
            return place / spec.files[0].path, spec
        return self.engine.path(spec.files[0]), spec

    def _told(self, name: str, waiting_bytes: int, spent_s: float) -> str:
        if not self._done_bytes:
            return f"building {name}"
        left = max(0.0, self._done_seconds * waiting_bytes / self._done_bytes - spent_s)
        return f"building {name}, about {left:.0f} s left in all"
