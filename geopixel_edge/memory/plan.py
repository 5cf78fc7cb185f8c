"""The memory plan: which blocks are loaded when, and how much is computed at once. Pure arithmetic, loads nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..engine.manifest import BlockSpec, Manifest
from ..errors import MemoryBudgetError
from .sizes import RELOAD_BYTES, held_bytes, weights_bytes, work_bytes

# A cache length of this granularity serves many requests; its waste is at most 255 positions.
CAPACITY_GRANULE = 256
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
    reduced: bool = False  # a coarser layout than asked for

    @property
    def peak_bytes(self) -> int:
        """The most that any stage takes."""
        return max(stage.bytes for stage in self.stages)

    @property
    def ground_first(self) -> bool:
        """Whether features are made before the language model is loaded, and not at the first `[SEG]`."""
        return not self.all_resident

    def holding(self, block: str) -> frozenset[str]:
        """What is loaded while this block alone is run."""
        return self.stages[0].resident if self.all_resident else frozenset({block})

    def resident(self, name: str) -> frozenset[str]:
        """The blocks loaded in a stage."""
        return next(stage.resident for stage in self.stages if stage.name == name)


def make_plan(manifest: Manifest, request: Request, budget_bytes: int | None = None) -> Plan:
    """The fastest plan that fits `budget_bytes`; None is no limit.

    All blocks loaded; else one encoder at a time before the language model; else smaller runs; else a coarser layout.
    MemoryBudgetError says which stage of the smallest plan fails, and by how much.
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
            for all_resident in (True, False) if index == 0 else (False,):
                stages = tuple(_stages(manifest, request, layout, dims, all_resident))
                yield Plan(dims, layout, stages, all_resident, reduced=number > 0)


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


def _stages(manifest: Manifest, request: Request, layout: Layout, dims: Dims, all_resident: bool) -> Iterator[Stage]:
    """The main path in order, with the bytes of each step: loaded blocks, and what is held by then.

    A loaded block keeps what its largest run took: ONNX Runtime's arena gives nothing back.
    """
    blocks: dict[str, BlockSpec] = manifest.blocks
    held = held_bytes(manifest, layout.views, layout.prompt_tokens, request.image_px, dims.capacity, dims.batch)
    writing = frozenset({"language_model", "pixel_decoder"}) if request.grounded else frozenset({"language_model"})
    order = [
        ("see", frozenset({"vision_encoder"}), held.views),
        ("read", writing, held.cache),
        ("step", writing, held.cache),
    ]
    if request.grounded:
        order.insert(len(order) if all_resident else 0, ("ground", frozenset({"grounding_encoder"}), held.pixels))
        order.append(("point", writing, held.cache))
    taken = {name: _block_bytes(manifest, name, dims, layout) for name in blocks}
    for name, resident, kept in order:
        if name != "see" or layout.views:
            loaded = frozenset(blocks) if all_resident else resident
            always = held.always + (0 if all_resident else RELOAD_BYTES)
            yield Stage(name, loaded, always + kept + sum(taken[block] for block in loaded))


def _block_bytes(manifest: Manifest, block: str, dims: Dims, layout: Layout) -> int:
    """Weights of a block, and its largest run."""
    rows = min(dims.prompt_chunk, layout.prompt_tokens)
    sizes: dict[str, dict[str, int]] = {
        "vision_encoder": {"n": min(dims.views_per_run, max(1, layout.views))},
        "language_model": {"B": dims.batch, "S": rows, "capacity": dims.capacity, "image_rows": rows, "output_rows": 1},
        "pixel_decoder": {"n": 1},
    }
    spec = manifest.blocks[block]
    return weights_bytes(spec) + work_bytes(block, spec, manifest.sizes, sizes.get(block, {}))
