"""A question before it is answered and after: checked and planned, and the typed result of its turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .answer import Answer
from .blocks.divider import Grid
from .families.prompt import Prompt
from .image_ref import ImageRef
from .images import LoadedImage
from .memory.capacity import cache_dtype, fixed_capacity
from .memory.plan import Layout, Plan, Request
from .model import Model
from .options import AskOptions
from .stop import StopToken, Watch
from .text.assembler import AnswerAssembler
from .turn import Turn
from .version import __version__


@dataclass(frozen=True, eq=False)
class Asked:
    """A question that can be put: its turn, its prompt, how the images are divided for it, and its memory plan."""

    turn: Turn
    prompt: Prompt
    grids: tuple[Grid, ...]
    plan: Plan


def prepare(
    model: Model,
    images: Sequence[LoadedImage],
    hd_num: int,
    query: str,
    options: AskOptions,
    stop: StopToken,
) -> Asked:
    """Check a question about opened images and plan it; nothing is computed yet.

    QueryError, PromptTooLongError or MemoryBudgetError when it cannot be put.
    """
    family, manifest, tokenizer = model.family, model.manifest, model.tokenizer
    watch = Watch(stop, options.deadline_s)
    prompt = family.prompt(query, options.history, len(images), tokenizer, manifest.tokens)
    notes = [note for image in images for note in image.notes]
    grids, said, plan = _planned(model, images, hd_num, prompt, options)
    tokens, grounded = manifest.tokens, family.grounds(len(images))
    draft = None
    if options.draft and options.temperature == 0 and (found := family.segmented(query)):
        phrase, kind = found
        draft = model.drafts.about(phrase, kind, lambda text: tokenizer.encode(text, bos=False))
    place = images[0].place if len(images) == 1 else None
    assembler, notes = AnswerAssembler(tokenizer, place), notes + said

    def points(token: int) -> bool:
        return family.points(token, tokens)

    turn = Turn(query, options, assembler, watch, tokens.eos, points, grounded, draft, notes)
    return Asked(turn, prompt, grids, plan)


def _planned(
    model: Model, images: Sequence[LoadedImage], hd_num: int, prompt: Prompt, options: AskOptions
) -> tuple[tuple[Grid, ...], list[str], Plan]:
    """The finest division that the prompt and the memory allow, and what had to be done differently."""
    sizes, found = model.manifest.sizes, {}
    bounded = model.budget_bytes is not None or fixed_capacity(model.manifest) is not None
    for finer in range(hd_num, 0, -1) if bounded and images else (hd_num,):
        found[finer] = model.family.layout(
            images, finer, prompt.text_tokens, options.max_new_tokens, sizes, options.compat
        )
    layouts = []
    for finer, (grids, _) in found.items():
        rows = prompt.text_tokens + sum(grid.image_tokens(sizes.tokens_per_side) for grid in grids)
        layouts.append(Layout(finer, sum(1 + grid.tiles for grid in grids), rows))
    pixels = sum(image.width_px * image.height_px for image in images)
    request = Request(tuple(layouts), options.max_new_tokens, pixels, model.family.grounds(len(images)))
    plan = model.planned(request)
    grids, notes = found[plan.layout.hd_num]
    if plan.reduced:
        taken = plan.layout.hd_num
        notes = [*notes, f"memory: divided as with hd_num={taken}, not {hd_num}, to fit"]
    if plan.kv_dtype != cache_dtype(model.manifest):
        notes = [*notes, f"memory: the KV cache is kept in {plan.kv_dtype}, to fit"]
    return grids, notes, plan


def result(model: Model, images: Sequence[LoadedImage], turn: Turn) -> Answer:
    """The typed result of a finished turn."""
    image = images[0] if len(images) == 1 else None
    source = model.manifest.provenance
    return Answer(
        text=turn.assembler.text,
        response=turn.assembler.response,
        token_ids=list(turn.token_ids),
        regions=turn.assembler.regions,
        finish_reason=turn.finish_reason,
        timings=turn.watch.timings,
        notes=tuple(turn.notes),
        image=ImageRef.of(image) if image else None,
        provenance={
            "geopixel_edge": __version__,
            "engine_source": source.source_name,
            "engine_source_sha256": source.source_sha256,
            "precision": model.manifest.precision,
            "device": model.device.kind,
            "image_sha256": [one.sha256 for one in images],
        },
        query=turn.query,
        inputs=tuple(one.path for one in images if one.path is not None),
    )
