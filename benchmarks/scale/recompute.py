"""A whole answer against the original's way, in which each new token reads the whole sequence again, in torch."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from export.checkpoint import Checkpoint
from geopixel_edge.images import LoadedImage
from geopixel_edge.memory.capacity import cache_capacity
from geopixel_edge.model import Model

QUERY = "Describe this image with interleaved segmentation masks."
NEW_TOKENS = 64
TIMED_STEPS = (1, 32, 64)


def _seconds(action: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    found = action()
    return time.perf_counter() - start, found


def ours(model: Model, image: LoadedImage, hd_num: int) -> tuple[float, int]:
    """Seconds of one question with 64 new tokens and one mask, from the pixels on; and the prompt's length."""
    prompt = model.family.prompt(QUERY, (), 1, model.tokenizer, model.manifest.tokens)
    layout = model.family.layout([image], hd_num, prompt.text_tokens, NEW_TOKENS, model.manifest.sizes, False)
    ((grid,), _) = layout

    def answer() -> int:
        rows = model.rows(prompt, [model.see(model.divide(image, grid), grid)])
        cache = model.new_cache(cache_capacity(model.manifest, len(rows) + NEW_TOKENS))
        outputs = model.read(rows, cache)
        for _ in range(NEW_TOKENS):
            outputs = model.step([int(outputs.logits[0].argmax())], cache)
        model.point(outputs.hidden, model.ground(image), (image.width_px, image.height_px))
        return len(rows)

    return _seconds(answer)


def torchs(checkpoint: Checkpoint, views: Any, prompt_tokens: int, threads: int) -> dict[str, float]:
    """Seconds of the same in torch: the blocks once, and the language model anew for each of 64 tokens.

    The recompute is timed at the 1st, 32nd and 64th token, and lies on straight lines between them.
    """
    import torch

    torch.set_num_threads(threads)
    with torch.inference_mode():
        module = checkpoint.load("vision_encoder")
        vision, _ = _seconds(lambda: module(torch.from_numpy(views)))
        module = checkpoint.load("grounding_encoder")
        side = int(checkpoint.config.sam2["image_size"])
        grounding, features = _seconds(lambda: module(torch.zeros(1, 3, side, side)))
        module = checkpoint.load("pixel_decoder")
        pixel, _ = _seconds(lambda: module(torch.zeros(1, checkpoint.config.hidden), *features))
        module = checkpoint.load("language_model")
        steps = []
        for step in TIMED_STEPS:
            embeds = torch.full((1, prompt_tokens + step, checkpoint.config.hidden), 0.01)

            def token(embeds: Any = embeds) -> Any:
                return module.get_submodule("output")(module(embeds))  # the original's head runs on every row

            token() if step == TIMED_STEPS[0] else None
            steps.append(_seconds(token)[0])
    tokens = float(np.interp(np.arange(1, NEW_TOKENS + 1), TIMED_STEPS, steps).sum())
    return {
        "vision_encoder_s": vision,
        "grounding_encoder_s": grounding,
        "pixel_decoder_s": pixel,
        "tokens_s": tokens,
        **{f"token_{step}_s": seconds for step, seconds in zip(TIMED_STEPS, steps, strict=True)},
        "total_s": vision + grounding + pixel + tokens,
    }
