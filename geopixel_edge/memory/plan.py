"""The memory plan: which blocks are loaded when, and how much is computed at once. Pure arithmetic, loads nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..engine.manifest import Manifest, Term
from ..errors import MemoryBudgetError
from ..runtimes.cut import WHOLE, Cut
from .capacity import CAPACITY_GRANULE, cache_capacity, fixed_capacity
from .parts import Way, score_terms, spared_bytes, ways
from .sizes import RELOAD_BYTES, RELOAD_PART, Taken, held_bytes, taken_by

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
    """One step of the main path: the blocks that are loaded, how the language model is, and the most bytes it takes."""

    name: str
    resident: frozenset[str]
    bytes: int
    cut: Cut = WHOLE


@dataclass(frozen=True)
class Plan:
    """How a request fits: stages in the order they run."""

    dims: Dims
    layout: Layout
    stages: tuple[Stage, ...]
    all_resident: bool
    ground_first: bool  # features are made before the prompt is read, and not at the first `[SEG]`
    kv_dtype: str  # the cache's numbers
    split: bool = False  # the language model is loaded in two parts by turns: "read" is of images, "step" of the rest
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
        return self.needs(name)[0]

    def needs(self, name: str) -> tuple[frozenset[str], Cut]:
        """The blocks loaded in a stage, and how the language model is."""
        return next((stage.resident, stage.cut) for stage in self.stages if stage.name == name)


def make_plan(manifest: Manifest, request: Request, budget_bytes: int | None = None) -> Plan:
    """The fastest plan that fits `budget_bytes`; None is no limit.

    All blocks loaded, features made when a mask is asked for, or before the prompt is read; else one encoder at a time
    before the language model; else smaller runs; else the language model in two parts by turns; else all that with a
    cache of float16, which changes answers a little; else a coarser layout. MemoryBudgetError says which stage of the
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
    """Every plan, the fastest first of those that answer alike."""
    fixed = fixed_capacity(manifest)
    for number, layout in enumerate(request.layouts):
        positions = layout.prompt_tokens + request.max_new_tokens
        if fixed is not None and positions > fixed and layout is not request.layouts[-1]:
            continue  # a coarser one may fit
        whole = cache_capacity(manifest, positions)
        for way in ways(manifest):
            for index, (views, chunk, masks) in enumerate(_CHUNKS):
                dims = _bounded(manifest, Dims(views, chunk, masks, whole, request.batch))
                maker = _Maker(manifest, request, layout, dims, way, reduced=number > 0)
                if index == 0 and way == Way():
                    yield from maker.all_resident()
                yield maker.plan(all_resident=False, ground_first=True)


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


@dataclass(frozen=True)
class _Maker:
    """Makes the plans of one layout at one size of runs, the language model loaded in one way."""

    manifest: Manifest
    request: Request
    layout: Layout
    dims: Dims
    way: Way
    reduced: bool

    def all_resident(self) -> Iterator[Plan]:
        """Plans that keep every block; the one that grounds late is left out where grounding first saves a lot."""
        late, early = (self.plan(True, first) for first in (False, True))
        if late.peak_bytes - early.peak_bytes < _WORTH_GROUNDING_FIRST:
            yield late
        yield early

    def plan(self, all_resident: bool, ground_first: bool) -> Plan:
        """One plan."""
        stages, kv_dtype = tuple(self._stages(all_resident, ground_first)), self.way.kv_dtype(self.manifest)
        return Plan(self.dims, self.layout, stages, all_resident, ground_first, kv_dtype, self.way.split, self.reduced)

    def _stages(self, all_resident: bool, ground_first: bool) -> Iterator[Stage]:
        """The main path in order, with the bytes of each step: loaded blocks, the run of one, what the runs of the
        others left in their arenas, and what is held by then.
        """
        blocks, layout, dims = self.manifest.blocks, self.layout, self.dims
        kv_dtype = self.way.kv_dtype(self.manifest)
        held = held_bytes(
            self.manifest,
            layout.views,
            layout.prompt_tokens,
            self.request.image_px,
            dims.capacity,
            dims.batch,
            kv_dtype,
        )
        writing = frozenset({"language_model", "pixel_decoder"} if self.request.grounded else {"language_model"})
        reading = frozenset({"language_model"}) if self.way.split else writing
        order = [
            ("see", "vision_encoder", frozenset({"vision_encoder"}), held.views),
            ("read", "language_model", reading, held.cache),
            ("step", "language_model", writing, held.cache),
        ]
        if self.request.grounded:
            cache = 0 if ground_first else held.cache
            ground = ("ground", "grounding_encoder", frozenset({"grounding_encoder"}), held.pixels + cache)
            order.insert(0 if ground_first else len(order), ground)
            order.append(("point", "pixel_decoder", writing, held.cache))
        for name, running, resident, kept in order:
            if layout.views or not (name == "see" or (name == "read" and self.way.split)):
                part: str = "reading" if name == "read" else "writing"
                loaded = frozenset(blocks) if all_resident else resident
                taken = {block: self._taken(block, part) for block in loaded}
                sizes = sum(one.bytes(is_running=block == running) for block, one in taken.items())
                left = RELOAD_BYTES + int(RELOAD_PART * sum(one.weights for one in taken.values()))
                cut = self.way.cut(part) if "language_model" in loaded else WHOLE
                yield Stage(name, loaded, held.always + kept + sizes + (0 if all_resident else left), cut)

    def _taken(self, block: str, part: str) -> Taken:
        """A block, or that part of the language model, with the largest run that the plan has for it."""
        dims, spec, sizes = self.dims, self.manifest.blocks[block], self.manifest.sizes
        rows = min(dims.prompt_chunk, self.layout.prompt_tokens)
        runs: dict[str, dict[str, int]] = {
            "vision_encoder": {"n": min(dims.views_per_run, max(1, self.layout.views))},
            "language_model": {
                "B": dims.batch,
                "S": rows,
                "capacity": dims.capacity,
                "image_rows": rows,
                "output_rows": 1,
            },
            "pixel_decoder": {"n": 1},
        }
        if block != "language_model":
            return taken_by(block, spec, sizes, runs.get(block, {}))
        spared = spared_bytes(spec, part) if self.way.split else 0
        embedded = Term(bytes=4.0 * sizes.hidden, dims=("S",))
        return taken_by(block, spec, sizes, runs[block], (embedded, *score_terms(self.way, sizes)), spared)
