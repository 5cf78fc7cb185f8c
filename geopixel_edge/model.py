"""The loaded engine and its five verbs: see, read, step, ground, point. The main path is walked here, once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from . import limits
from .arrays import F32, Floats
from .blocks.divider import Grid
from .blocks.embeddings import TokenEmbeddings
from .blocks.grounding_encoder import GroundingEncoder
from .blocks.kv_cache import KVCache
from .blocks.language_model import OUTPUT_ROWS, LanguageModel, Outputs, Rows
from .blocks.pixel_decoder import PixelDecoder
from .blocks.vision_encoder import VisionEncoder
from .checks import check_integer
from .draft import Drafts
from .engine import BUNDLED
from .engine.directory import Engine
from .engine.reopening import reopened
from .families import family_of
from .families.prompt import Prompt
from .images import LoadedImage
from .masks import Mask
from .memory.budget import Budget
from .memory.capacity import fixed_capacity
from .memory.plan import Layout, Plan, Request
from .memory.residency import Residency
from .processes import Owner
from .resources import shortage_told
from .runtimes import Device, Runner, Tensor
from .runtimes.devices import check_device, place_for
from .stop import Watch
from .text.tokenizer import tokenizer_of
from .timings import DECODE, PREFILL, book, host_work

Features = Mapping[str, Tensor]


class Model:
    """A verified engine on a device.

    `budget_bytes` bounds what it takes in memory; None does not. Where all blocks fit they are loaded now, else as the
    verbs need them. Verbs take the `plan` of the question, whose largest sizes they keep to, and a `watch`, which
    measures and stops them. Several threads may call verbs at once, each with a cache of its own.
    """

    residency_kind: type[Residency] = Residency
    placed_because = "it was given"  # why the device is this one, for people

    def __init__(
        self, engine: Engine, device: Device, threads: int | None = None, budget_bytes: int | None = None
    ) -> None:
        self.engine, self.device, self.threads, self.budget_bytes = engine, device, threads, budget_bytes
        self.budget = Budget.of(device, budget_bytes)
        self.manifest, self.owner = engine.manifest, Owner("this Pipeline")
        self.family = family_of(self.manifest.family)
        self.drafts = Drafts(self.family.usual_answers)
        for block in self.manifest.blocks:
            self.family.check_block(self.manifest, block)
        self.tokenizer = tokenizer_of(engine)
        self.embeddings = TokenEmbeddings(engine.path(self.manifest.embeddings.file), self.manifest.sizes)
        rows = min(1024, (fixed_capacity(self.manifest) or 2048) // 2)
        self.plan = self.planned(Request((Layout(1, 1, rows),), max_new_tokens=rows))
        self.residency = self.residency_kind(engine, device, threads)
        self._language: LanguageModel | None = None
        if self.plan.all_resident:
            self.residency.load_all()

    @classmethod
    def open(
        cls,
        engine_dir: str | os.PathLike[str],
        device: str = "auto",
        threads: int | None = None,
        budget_bytes: int | None = None,
    ) -> Model:
        """Verify the engine and load it. Raises OptionError, EngineError, RuntimeUnavailableError, ResourceError."""
        check_device(device)
        threads = None if threads is None else check_integer("threads", threads, 1, limits.MAX_THREADS)
        with shortage_told(f"engine_dir={str(engine_dir)!r} cannot be loaded"):
            found = place_for(engine := Engine(engine_dir), device)
            model = cls(engine, found.device, threads, budget_bytes)
        model.placed_because = found.why
        return model

    def __reduce__(self) -> tuple[Any, ...]:
        root = None if self.engine.root == BUNDLED else self.engine.root
        kind = self.device.kind if self.device.kind == "cpu" else f"{self.device.kind}:{self.device.index}"
        return reopened, (type(self).open, root, self.engine.digest, kind, self.threads, self.budget_bytes)

    def planned(self, request: Request, budget_bytes: int | None = None) -> Plan:
        """How a request fits the budget, or another one; MemoryBudgetError when it does not."""
        return self.budget.plan(self.manifest, request, budget_bytes)

    @property
    def takes_batches(self) -> bool:
        """Whether several sequences can be stepped at once; graphs of schema 1 know one."""
        return any(tensor.name == OUTPUT_ROWS for tensor in self.manifest.blocks["language_model"].inputs)

    def check_usable(self) -> None:
        """ProcessError in a forked child, EngineCorruptError once a scrub has found a changed file."""
        self.owner.check()
        self.engine.check_sound()

    def close(self) -> None:
        """Free the blocks; verbs then raise SessionClosedError."""
        self._language = None
        self.residency.close()

    def divide(self, image: LoadedImage, grid: Grid, plan: Plan | None = None, watch: Watch | None = None) -> Floats:
        """Adaptive Image Divider: the global view and the tiles, (1 + tiles, 3, S, S) on the host."""
        plan, watch = plan or self.plan, watch or Watch()
        with self.residency.stage(*plan.needs("see")), watch.timings.stage("divider"), host_work():
            views = self.family.views(image, grid, self.manifest, self.threads or 0)
            book(0.0, views.nbytes)
        return views

    def see(self, views: Floats, grid: Grid, plan: Plan | None = None, watch: Watch | None = None) -> Tensor:
        """Vision Encoder: views -> image tokens (T, hidden) in prompt order."""
        plan, watch = plan or self.plan, watch or Watch()
        with self.residency.stage(*plan.needs("see")) as runners, watch.timings.stage("vision_encoder"):
            return VisionEncoder(runners["vision_encoder"]).encode(views, grid, plan.dims.views_per_run, watch.check)

    def rows(self, prompt: Prompt, image_tokens: Sequence[Tensor], first_part: int = 0) -> Rows:
        """The prompt from a text part on, embedded: text by the table, and between the parts the image tokens."""
        pieces: list[Sequence[int] | Tensor] = []
        for index, part in enumerate(prompt.parts[first_part:], first_part):
            pieces.append(part)
            pieces += image_tokens[index : index + 1]
        return Rows.of(self.device, self.embeddings, pieces)

    def new_cache(self, capacity: int, batch: int = 1, dtype: str = "") -> KVCache:
        """An empty KV cache, of the engine's dtype or another; ResourceError where memory does not suffice."""
        return KVCache.new(self.device, self.manifest.blocks["language_model"], capacity, batch, dtype)

    def read(
        self,
        rows: Rows,
        cache: KVCache,
        plan: Plan | None = None,
        watch: Watch | None = None,
        wanted: Sequence[int] | None = None,
        stage: str = PREFILL,
    ) -> Outputs:
        """Large Language Model: append rows to a cache of one sequence; outputs of the last, or `wanted`."""
        plan, watch = plan or self.plan, watch or Watch()
        if plan.split and 0 < (images := rows.image_end) < len(rows):
            self.read(rows.part(0, images), cache, plan, watch, (), stage)
            rows, wanted = rows.part(images, len(rows)), wanted and [row - images for row in wanted]
        needs = plan.needs("step" if plan.split and not rows.image_end else "read")
        with self.residency.stage(*needs) as runners, watch.timings.stage(stage):
            return self._language_model(runners).read(rows, cache, plan.dims.prompt_chunk, wanted, watch.check)

    def step(
        self, token_ids: Sequence[int], cache: KVCache, plan: Plan | None = None, watch: Watch | None = None
    ) -> Outputs:
        """Large Language Model, decode: one token of every sequence in the cache."""
        plan, watch = plan or self.plan, watch or Watch()
        with self.residency.stage(*plan.needs("step")) as runners, watch.timings.stage(DECODE):
            return self._language_model(runners).step(token_ids, cache)

    def ground(self, image: LoadedImage, plan: Plan | None = None, watch: Watch | None = None) -> Features:
        """Grounding Vision Encoder: SAM 2's feature pyramid of the image, on the device."""
        plan, watch = plan or self.plan, watch or Watch()
        with self.residency.stage(*plan.needs("ground")) as runners, watch.timings.stage("grounding_encoder"):
            with host_work():
                pixels = self.family.grounding_input(image, self.manifest, self.threads or 0)
            return GroundingEncoder(runners["grounding_encoder"]).encode(pixels)

    def mask_logits(
        self, states: Tensor, features: Features, plan: Plan | None = None, watch: Watch | None = None
    ) -> tuple[F32, F32]:
        """Pixel Decoder: `[SEG]` states (n, hidden) -> mask logits (n, M, M) and their predicted IoU (n,)."""
        plan, watch = plan or self.plan, watch or Watch()
        with self.residency.stage(*plan.needs("point")) as runners, watch.timings.stage("pixel_decoder"):
            return PixelDecoder(runners["pixel_decoder"]).decode(states, features, plan.dims.masks_per_run)

    def point(
        self,
        states: Tensor,
        features: Features,
        size_px: tuple[int, int],
        plan: Plan | None = None,
        watch: Watch | None = None,
    ) -> list[tuple[Mask, float]]:
        """A mask of `size_px` (width, height) and its predicted IoU for every state (reference behaviour 25)."""
        watch = watch or Watch()
        logits, scores = self.mask_logits(states, features, plan, watch)
        with watch.timings.stage("pixel_decoder", runs=0), host_work():
            masks = [Mask.from_logits(one, size_px[1], size_px[0], self.threads or 0) for one in logits]
        return [(mask, float(score)) for mask, score in zip(masks, scores, strict=True)]

    def _language_model(self, runners: Mapping[str, Runner]) -> LanguageModel:
        runner = runners["language_model"]
        if self._language is None or self._language.runner is not runner:
            self._language = LanguageModel(runner, self.embeddings, self.manifest.sizes)
        return self._language
