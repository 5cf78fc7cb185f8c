"""An ONNX engine directory made into one of TensorRT's, on the machine that will run it. Needs no torch and no onnx."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ..engine.directory import Engine, write_manifest
from ..engine.first_load import verified_here
from ..engine.golden import Check
from ..engine.manifest import BLOCKS, BlockSpec, Manifest
from ..engine.publish import aside, check_target, clear_leftovers, publish
from ..errors import ExportError, OptionError
from .forms import LANGUAGE_MODEL, Progress, checked, copy_others
from .plan_cache import PlanCache
from .tensorrt_builder import Built, PlanBuilder, Wanted
from .tensorrt_child import library_of
from .tensorrt_profiles import dims_for
from .tensorrt_target import Library, choose

PLANS = ".geopixel-edge-plans"
FLOAT8_SM = 89  # Ada
# The builder's peak over a block's weights, of the blocks measured with TensorRT-RTX 1.7: 3.6 to 3.7 at 0.6 GB each.
_PEAK_OF_WEIGHTS, _PEAK_BYTES = 4, 400_000_000


@dataclass(frozen=True)
class Report:
    """What was published. `checks` are empty where the target is another machine: `verified` is False then."""

    sm: int
    version: str
    capacity: int
    blocks: tuple[Built, ...]
    checks: tuple[Check, ...]

    @property
    def verified(self) -> bool:
        """Whether the golden values were met here, on the GPU the plans are for."""
        return bool(self.checks)


def build_tensorrt(
    source: Path, target: Path, wanted: Wanted, progress: Progress = lambda step, done, total: None
) -> Report:
    """Write `source` to `target` with `wanted.blocks` as TensorRT plans; the others stay as they are.

    Every block is built in a process of its own and kept at once, so that the same call goes on where one was killed.
    Published by one rename, after the golden picture where the plans are for this machine's GPU. OptionError,
    RuntimeUnavailableError, EngineError before work starts; ExportError when a step fails.
    """
    target = Path(os.path.abspath(target))
    clear_leftovers(target)
    check_target(target, wanted.overwrite)
    engine = Engine(source)
    _check(engine, wanted)
    library = choose(wanted.runtime, wanted.sm, library_of(wanted.runtime))
    _check_float8(engine, wanted, library)
    dims = dims_for(engine.manifest, wanted.capacity)
    cache = PlanCache(wanted.plans or target.parent / PLANS)
    cache.clear_leftovers()
    with aside(target) as root:
        _check_room(engine, target)
        copy_others(engine, root, wanted.blocks, progress)
        specs, built = PlanBuilder(engine, wanted, library, dims, cache, root, progress).all_blocks()
        manifest = _with_blocks(engine.manifest, specs, library)
        write_manifest(root, manifest)
        checks = checked(root, "cuda") if library.is_here else []
        if checks:
            write_manifest(root, verified_here(manifest))
        publish(root, target, wanted.overwrite)
    return Report(library.sm, library.version, dims.capacity, tuple(built), tuple(checks))


def _check(engine: Engine, wanted: Wanted) -> None:
    """The blocks can be built, and their estimated peak is within the memory that is given."""
    blocks = engine.manifest.blocks
    if unknown := sorted(set(wanted.blocks) - blocks.keys()):
        raise OptionError(f"blocks: {unknown[0]!r} is none of the engine's; give some of {', '.join(blocks)}")
    for name in wanted.blocks:
        if blocks[name].runtime != "onnx":
            raise ExportError(f"{engine.root}: block {name!r} is for {blocks[name].runtime}; give the ONNX engine")
        peak = _PEAK_BYTES + _PEAK_OF_WEIGHTS * blocks[name].bytes
        if wanted.memory_bytes is not None and peak > wanted.memory_bytes:
            raise OptionError(
                f"memory={wanted.memory_bytes} is too little: building {name!r} takes about {peak} bytes; give as "
                "much, with swap where the board has less, or an engine of lower precision"
            )


def _check_float8(engine: Engine, wanted: Wanted, library: Library) -> None:
    """The GPU multiplies float8, and the graph that has it is the one that is parsed."""
    narrow = [name for name in wanted.blocks if engine.manifest.blocks[name].precision.weights == "float8"]
    if narrow and library.sm < FLOAT8_SM:
        raise OptionError(
            f"{engine.root}: block {narrow[0]!r} is float8, which GPUs of compute capability {library.sm} do not have "
            f"(from {FLOAT8_SM} on); give the engine it was built of"
        )
    if LANGUAGE_MODEL in narrow and not library.has_attention:
        raise OptionError(
            f"{engine.root}: {library.name} needs a language model without attention operators, which is not made of "
            "float8; give an engine whose language model is float16 or int4"
        )


def _check_room(engine: Engine, target: Path) -> None:
    free = shutil.disk_usage(target.parent).free
    needed = int(2.2 * sum(spec.bytes for spec in engine.manifest.files()))  # graphs written anew, and plans
    if free < needed:
        raise ExportError(f"{target.parent} has {free} bytes free, the build needs about {needed}; make room first")


def _with_blocks(manifest: Manifest, specs: dict[str, BlockSpec], library: Library) -> Manifest:
    source = manifest.provenance
    made_by = msgspec.structs.replace(source, packages={**source.packages, library.runtime: library.version})
    form = "portable" if LANGUAGE_MODEL in specs else manifest.form
    return msgspec.structs.replace(manifest, blocks={**manifest.blocks, **specs}, form=form, provenance=made_by)


def blocks_of(names: str | None, known: Collection[str] = BLOCKS) -> tuple[str, ...]:
    """Blocks of a comma-separated list, in the engine's order; all for None. OptionError for another name."""
    if names is None:
        return tuple(known)
    given = [name.strip() for name in names.split(",")]
    if unknown := [name for name in given if name not in known]:
        raise OptionError(f"blocks={names!r}: {unknown[0]!r} is no block; give some of {','.join(known)}")
    return tuple(name for name in known if name in given)
