"""The memory plan: which blocks are loaded when, and how much is computed at once. Pure arithmetic, loads nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..engine.manifest import BlockSpec, Manifest
from ..errors import MemoryBudgetError
from .sizes import RELOAD_BYTES, Taken, cache_dtype, held_bytes, taken_by

# A cache length of this granularity serves many requests; its waste is at most 127 positions.
CAPACITY_GRANULE = 128
# Where all blocks are loaded, features are made before the prompt is read if that lowers the peak by as much. A
# question that gets no mask waits for them in vain: with a smaller model that is a larger part of its time.
_WORTH_GROUNDING_FIRST = 256_000_000
MOST_BATCHED = 8


@dataclass(frozen=True)
class Dims:
    """The largest sizes of one run of each block, and of the KV cache."""

    views_per_run: int = 2
    prompt_chunk: int = 512
    masks_per_run: int = 8
    capacity: int = CAPACITY_GRANULE
    batch: int = 1


# From the fastest to the smallest. Attention scores of one layer take heads x prompt_chunk x capacity numbers; those of
# one 560 px view 164 MB at ViT-L widths; the pixel decoder repeats the features, 16 MB each, for every mask.
_CHUNKS = ((2, 512, 8), (1, 256, 2), (1, 128, 1), (1, 64, 1))


@dataclass(frozen=True)
class Layout:
    """One way to divide the images: the `hd_num` that led to it, views to encode and rows of the whole prompt."""

    hd_num: int
    views: int
    prompt_tokens: int


@dataclass(frozen=True)
class Request:
    """What is asked for. `layouts` go from the finest to the coarsest; the first that fits is taken."""

    layouts: tuple[Layout, ...]
    max_new_tokens: int = 1024
    image_px: int = 0  # pixels of all images
    grounded: bool = True  # whether masks may be asked for
    batch: int = 1


@dataclass(frozen=True)
class Stage:
    """One step of the main path: the blocks that are loaded, and the most bytes it takes."""

    name: str
    resident: frozenset[str]
    bytes: int


@dataclass(frozen=True)
class Plan:
    """How a request fits: stages in the order they run."""

    dims: Dims
    layout: Layout
    stages: tuple[Stage, ...]
    all_resident: bool
    ground_first: bool  # features are made before the prompt is read, and not at the first `[SEG]`
    kv_dtype: str  # the cache's numbers
    reduced: bool = False  # a coarser layout than asked for

    @property
    def peak_bytes(self) -> int:
        """The most that any stage takes."""
        return max(stage.bytes for stage in self.stages)

    def holding(self, block: str) -> frozenset[str]:
        """What is loaded while this block alone is run."""
        return self.stages[0].resident if self.all_resident else frozenset({block})

    def resident(self, name: str) -> frozenset[str]:
        """The blocks loaded in a stage."""
        return next(stage.resident for stage in self.stages if stage.name == name)


def make_plan(manifest: Manifest, request: Request, budget_bytes: int | None = None) -> Plan:
    """The fastest plan that fits `budget_bytes`; None is no limit.

    All blocks loaded, features made when a mask is asked for, or before the prompt is read; else one encoder at a time
    before the language model; else smaller runs; else a coarser layout. MemoryBudgetError says which stage of the
    smallest plan fails, and by how much.
    """
    smallest: Plan | None = None
    for plan in _candidates(manifest, request):
        if budget_bytes is None or plan.peak_bytes <= budget_bytes:
            return plan
        if smallest is None or plan.peak_bytes < smallest.peak_bytes:
            smallest = plan
    assert smallest is not None
    assert budget_bytes is not None
    stage = max(smallest.stages, key=lambda one: one.bytes)
    short, least = stage.bytes - budget_bytes, -(-stage.bytes // 1_000_000)
    raise MemoryBudgetError(
        f"memory={budget_bytes / 1e6:.1f} MB is too little: the stage {stage.name!r} takes {stage.bytes / 1e6:.1f} MB "
        f"with {' and '.join(sorted(stage.resident))} loaded, {short / 1e6:.1f} MB more; give at least {least}MB, a "
        "smaller image or an engine of lower precision"
    )


def _candidates(manifest: Manifest, request: Request) -> Iterator[Plan]:
    """Every plan, the fastest first."""
    fixed = fixed_capacity(manifest)
    for number, layout in enumerate(request.layouts):
        positions = layout.prompt_tokens + request.max_new_tokens
        if fixed is not None and positions > fixed and layout is not request.layouts[-1]:
            continue  # a coarser one may fit
        whole = cache_capacity(manifest, positions)
        for index, (views, chunk, masks) in enumerate(_CHUNKS):
            dims = _bounded(manifest, Dims(views, chunk, masks, whole, request.batch))
            if index == 0:
                yield from _all_resident(manifest, request, layout, dims, reduced=number > 0)
            stages = tuple(_stages(manifest, request, layout, dims, all_resident=False, ground_first=True))
            yield Plan(dims, layout, stages, False, True, cache_dtype(manifest), reduced=number > 0)


def _all_resident(manifest: Manifest, request: Request, layout: Layout, dims: Dims, reduced: bool) -> Iterator[Plan]:
    """Plans that keep every block; the one that grounds late is left out where grounding first saves a lot."""
    late, early = (
        Plan(
            dims,
            layout,
            tuple(_stages(manifest, request, layout, dims, True, first)),
            True,
            first,
            cache_dtype(manifest),
            reduced,
        )
        for first in (False, True)
    )
    if late.peak_bytes - early.peak_bytes < _WORTH_GROUNDING_FIRST:
        yield late
    yield early


def fixed_capacity(manifest: Manifest) -> int | None:
    """The only cache length that the engine was built for; None where it takes any."""
    return manifest.blocks["language_model"].dims.get("capacity")


def cache_capacity(manifest: Manifest, positions: int) -> int:
    """The cache's length: what the engine fixes, else enough for these positions.

    MemoryBudgetError where the engine's is too short.
    """
    fixed = fixed_capacity(manifest)
    if fixed is not None and positions > fixed:
        raise MemoryBudgetError(
            f"prompt and answer may take {positions} positions, and the engine was built for a cache of {fixed}; give "
            f"a smaller max_new_tokens or hd_num, or build it with --capacity {positions}"
        )
    return fixed or -(-positions // CAPACITY_GRANULE) * CAPACITY_GRANULE


def _bounded(manifest: Manifest, dims: Dims) -> Dims:
    """Within what the engine's files allow."""

    def most(block: str, symbol: str, wanted: int) -> int:
        return min(wanted, manifest.blocks[block].dims.get(symbol, wanted))

    return replace(
        dims,
        views_per_run=most("vision_encoder", "n", dims.views_per_run),
        prompt_chunk=most("language_model", "S", dims.prompt_chunk),
        masks_per_run=most("pixel_decoder", "n", dims.masks_per_run),
        batch=most("language_model", "B", dims.batch),
    )


def _stages(
    manifest: Manifest, request: Request, layout: Layout, dims: Dims, all_resident: bool, ground_first: bool
) -> Iterator[Stage]:
    """The main path in order, with the bytes of each step: loaded blocks, the run of one, what the runs of the others
    left in their arenas, and what is held by then.
    """
    blocks: dict[str, BlockSpec] = manifest.blocks
    held = held_bytes(manifest, layout.views, layout.prompt_tokens, request.image_px, dims.capacity, dims.batch)
    writing = frozenset({"language_model", "pixel_decoder"}) if request.grounded else frozenset({"language_model"})
    order = [
        ("see", "vision_encoder", frozenset({"vision_encoder"}), held.views),
        ("read", "language_model", writing, held.cache),
        ("step", "language_model", writing, held.cache),
    ]
    if request.grounded:
        cache = 0 if ground_first else held.cache
        ground = ("ground", "grounding_encoder", frozenset({"grounding_encoder"}), held.pixels + cache)
        order.insert(0 if ground_first else len(order), ground)
        order.append(("point", "pixel_decoder", writing, held.cache))
    taken = {name: _taken(manifest, name, dims, layout) for name in blocks}
    for name, running, resident, kept in order:
        if name != "see" or layout.views:
            loaded = frozenset(blocks) if all_resident else resident
            always = held.always + (0 if all_resident else RELOAD_BYTES)
            blocks_bytes = sum(taken[block].bytes(is_running=block == running) for block in loaded)
            yield Stage(name, loaded, always + kept + blocks_bytes)


def _taken(manifest: Manifest, block: str, dims: Dims, layout: Layout) -> Taken:
    """A block with the largest run that a plan has for it."""
    rows = min(dims.prompt_chunk, layout.prompt_tokens)
    sizes: dict[str, dict[str, int]] = {
        "vision_encoder": {"n": min(dims.views_per_run, max(1, layout.views))},
        "language_model": {"B": dims.batch, "S": rows, "capacity": dims.capacity, "image_rows": rows, "output_rows": 1},
        "pixel_decoder": {"n": 1},
    }
    return taken_by(block, manifest.blocks[block], manifest.sizes, sizes.get(block, {}))
