"""How far each block is from float32's: the float32 engine answers on the CPU, and every block is fed what it was."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scale.encoders import cosine
from geopixel_edge.arrays import F32
from geopixel_edge.blocks.divider import Grid, plan_grid
from geopixel_edge.blocks.language_model import Outputs
from geopixel_edge.families.prompt import Prompt, build_prompt
from geopixel_edge.images import LoadedImage, load_image
from geopixel_edge.memory.capacity import cache_capacity
from geopixel_edge.model import Model
from geopixel_edge.runtimes import Tensor

STATES = 8


@dataclass(frozen=True)
class Answered:
    """What float32 gave at every border for one question, on the host.

    `image_tokens` (T, hidden); `logits` (n, vocabulary) and `hidden` (n, hidden) of the rows that chose each of the
    `token_ids`; `features` by name; `masks` (m, M, M), logits for the last m states, whether or not they are `[SEG]`'s.
    """

    image: LoadedImage
    grid: Grid
    prompt: Prompt
    image_tokens: F32
    token_ids: tuple[int, ...]
    logits: F32
    hidden: F32
    features: dict[str, F32]
    masks: F32


def answered(engine_dir: Path, picture: Path, query: str, hd_num: int, new_tokens: int) -> Answered:
    """Put the question to the float32 engine on the CPU; it is closed again."""
    model = Model.open(engine_dir, "cpu")
    try:
        manifest, image = model.manifest, load_image(picture)
        grid, _ = plan_grid(image.width_px, image.height_px, hd_num, manifest.sizes.tile_px)
        prompt = build_prompt(query, (), 1, model.tokenizer, manifest.tokens)
        tokens = model.see(model.divide(image, grid), grid)
        rows = model.rows(prompt, [tokens])
        cache = model.new_cache(cache_capacity(manifest, len(rows) + new_tokens))
        outputs, token_ids, seen = model.read(rows, cache), [], []
        for turn in range(new_tokens):
            seen.append((outputs.logits[0].copy(), outputs.hidden.numpy()[0].copy()))
            token_ids.append(int(outputs.logits[0].argmax()))
            if turn + 1 < new_tokens:
                outputs = model.step(token_ids[-1:], cache)
        logits, hidden = (np.stack(values) for values in zip(*seen, strict=True))
        features = model.ground(image)
        masks, _ = model.mask_logits(model.device.put(hidden[-STATES:]), features)
        kept = {name: one.numpy().copy() for name, one in features.items()}
        return Answered(image, grid, prompt, tokens.numpy().copy(), tuple(token_ids), logits, hidden, kept, masks)
    finally:
        model.close()


def compared(model: Model, truth: Answered) -> dict[str, Any]:
    """By block: the cosine to float32's output, the share of equal tokens, and the mean IoU of masks.

    Tokens are those chosen behind float32's own, so that one early difference is counted once.
    """
    with_answer = _read(model, truth)
    features = model.ground(truth.image)
    masks, _ = model.mask_logits(model.device.put(truth.hidden[-STATES:]), _put(model, "pixel_decoder", truth.features))
    return {
        "vision_encoder": {"cosine": cosine(_see(model, truth).numpy(), truth.image_tokens)},
        "language_model": {
            "cosine": cosine(with_answer.logits, truth.logits),
            "cosine_hidden": cosine(with_answer.hidden.numpy(), truth.hidden),
            "token_agreement": float((with_answer.logits.argmax(1) == truth.token_ids).mean()),
            "tokens": len(truth.token_ids),
        },
        "grounding_encoder": {
            "cosine": min(cosine(features[name].numpy(), one) for name, one in truth.features.items())
        },
        "pixel_decoder": {"cosine": cosine(masks, truth.masks), "mask_iou": _mean_iou(masks > 0, truth.masks > 0)},
    }


def _see(model: Model, truth: Answered) -> Tensor:
    return model.see(model.divide(truth.image, truth.grid), truth.grid)


def _read(model: Model, truth: Answered) -> Outputs:
    """The prompt with float32's image tokens, and its answer but the last token behind it, in one go."""
    parts = (*truth.prompt.parts[:-1], truth.prompt.parts[-1] + truth.token_ids[:-1])
    rows = model.rows(replace(truth.prompt, parts=parts), [model.device.put(truth.image_tokens)])
    cache = model.new_cache(cache_capacity(model.manifest, len(rows) + 1))
    first = len(rows) - len(truth.token_ids)
    whole = replace(model.plan, dims=replace(model.plan.dims, prompt_chunk=len(truth.token_ids)))
    model.read(rows.part(0, first), cache)
    return model.read(rows.part(first, len(rows)), cache, whole, wanted=range(len(truth.token_ids)))


def _put(model: Model, block: str, arrays: dict[str, F32]) -> dict[str, Tensor]:
    """Arrays on the device, in the dtype that the block takes."""
    wanted = {one.name: one.dtype for one in model.manifest.blocks[block].inputs}
    return {name: model.device.put(one.astype(wanted.get(name, one.dtype))) for name, one in arrays.items()}


def _mean_iou(found: Any, truth: Any) -> float:
    """Of bool (m, M, M); two empty masks are equal."""
    common, union = (found & truth).sum((1, 2)), (found | truth).sum((1, 2))
    return float(np.where(union == 0, 1.0, common / np.maximum(union, 1)).mean())
