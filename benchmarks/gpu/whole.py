"""The whole answer: first token, decode, follow-up and masks, ours beside torch with a KV cache, with joules."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.scale.shapes import Shapes
from geopixel_edge import Pipeline

from ..power import Energy, Reader

QUERY = "Describe this image with interleaved segmentation masks."
SIDE_PX, NEW_TOKENS = 1680, 64


def ours(pipe: Pipeline, reader: Reader | None, hd_num: int = 9) -> dict[str, Any]:
    """One question on a square image, a second time after the first has warmed everything up."""
    pixels = np.random.default_rng(8).integers(0, 256, (SIDE_PX // 8, SIDE_PX // 8, 3), np.uint8)
    pixels = np.ascontiguousarray(pixels.repeat(8, axis=0).repeat(8, axis=1))
    with pipe.open(pixels, hd_num=hd_num) as image:
        image.ask(QUERY, max_new_tokens=NEW_TOKENS)
    with Energy(reader) as energy, pipe.open(pixels, hd_num=hd_num) as image:
        start = time.perf_counter()
        answer = image.ask(QUERY, max_new_tokens=NEW_TOKENS)
        seconds = time.perf_counter() - start
    with pipe.open(pixels, hd_num=hd_num) as image:
        image.ask(QUERY, max_new_tokens=2)
        again = image.ask("Is there a road?", max_new_tokens=2)
    tokens = len(answer.token_ids)
    return {
        "seconds": seconds,
        "prompt_tokens": answer.timings.prompt_tokens,
        "new_tokens": tokens,
        "regions": len(answer.regions),
        "first_token_s": answer.timings.first_token_s,
        "follow_up_first_token_s": again.timings.first_token_s,
        "decode_tokens_per_s": answer.timings.decode_tokens_per_s,
        "stages_s": {name: cost.time_s for name, cost in answer.timings.blocks.items()},
        "power": energy.each(1, tokens),
    }


def torchs(shapes: Shapes, prompt_tokens: int, new_tokens: int, views: int, compiled: bool) -> dict[str, Any]:
    """The same blocks, random and in float16, in torch: encoders, prefill with image rows, tokens one by one."""
    import torch

    from .torch_blocks import Blocks

    blocks = Blocks(shapes, prompt_tokens + new_tokens + 1, compiled)
    rows = blocks.image_rows(prompt_tokens)
    for _ in range(2):  # the first run warms up, and compiles
        torch.cuda.synchronize()
        start = time.perf_counter()
        image_tokens, features = blocks.see(views)
        tokens = blocks.language_model.generate(blocks.prompt(image_tokens, prompt_tokens), new_tokens, rows)
        blocks.point(features)
        torch.cuda.synchronize()
        seconds = time.perf_counter() - start
    step_s = blocks.step_seconds(prompt_tokens)
    return {
        "seconds": seconds,
        "new_tokens": len(tokens),
        "encoders_s": blocks.encoder_seconds(views),
        "first_token_s": seconds - new_tokens * step_s,
        "decode_tokens_per_s": 1 / step_s,
    }
