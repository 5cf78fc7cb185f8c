"""Each block alone, its inputs on the device already, beside the time its arithmetic or its bytes take at least."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.scale import ours
from benchmarks.scale.shapes import Shapes
from geopixel_edge.memory.capacity import fixed_capacity
from geopixel_edge.model import Model

from .timing import median_s, wall_s

VIEWS = 10  # a square image, finely divided
CACHED = (0, 4000)
PROMPTS = (512, 4096)
MASKS = 8
# Multiply-adds counted over the original's modules at real size: one view, and one image.
REAL_SIZE = (560, 1024)
FLOP = {"vision_encoder": 1.247e12, "grounding_encoder": 1.81e12}


def encoders(model: Model, matrix_flop_per_s: float | None, repeat: int) -> dict[str, Any]:
    """The two encoders and the pixel decoder, as many views and masks at once as the engine takes."""
    device, sizes, found = model.device, model.manifest.sizes, {}
    views, masks = _most(model, "vision_encoder", "n", VIEWS), _most(model, "pixel_decoder", "n", MASKS)
    shapes = {
        "vision_encoder": (views, 3, sizes.tile_px, sizes.tile_px),
        "grounding_encoder": (1, 3, *[sizes.grounding_px] * 2),
    }
    runners = model.residency.load(frozenset(model.manifest.blocks))
    for name, shape in shapes.items():
        runner = runners[name]
        pixels = np.random.default_rng(3).standard_normal(shape, dtype=np.float32)
        (pixels_of,) = runner.spec.inputs
        step = runner.bind({pixels_of.name: device.put(pixels.astype(pixels_of.dtype))})
        seconds = median_s(device, step.run, repeat)
        found[name] = {"seconds": seconds, **({"views": views} if name == "vision_encoder" else {})}
        if (sizes.tile_px, sizes.grounding_px) != REAL_SIZE:
            continue
        flop = FLOP[name] * (views if name == "vision_encoder" else 1)
        found[name] |= {"flop": flop, "tflop_per_s": flop / seconds / 1e12}
        if matrix_flop_per_s:
            found[name]["ratio_matrix_rate"] = flop / seconds / matrix_flop_per_s
    decoder = runners["pixel_decoder"]
    sides = {"n": masks}
    feeds = {
        one.name: device.zeros(one.dtype, [sides[side] if isinstance(side, str) else side for side in one.shape])
        for one in decoder.spec.inputs
    }
    found["pixel_decoder"] = {"seconds": median_s(device, decoder.bind(feeds).run, repeat), "masks": masks}
    return found


def _most(model: Model, block: str, side: str, wanted: int) -> int:
    """As much as is wanted, or as a plan was built for."""
    return min(wanted, model.manifest.blocks[block].dims.get(side, wanted))


def prefill(model: Model, shapes: Shapes, matrix_flop_per_s: float | None, repeat: int) -> dict[str, Any]:
    """Prompts of text rows, by the wall clock: chunks are queued one after the other.

    Named by their lengths, at most the cache that the engine was built for.
    """
    found: dict[str, Any] = {}
    most = fixed_capacity(model.manifest) or max(PROMPTS)
    for rows in sorted({min(rows, most) for rows in PROMPTS}):
        seconds = wall_s(model.device, ours.prefill(model, rows), repeat)
        flop = shapes.prefill_flop(rows)
        found[str(rows)] = {"seconds": seconds, "tflop_per_s": flop / seconds / 1e12}
        if matrix_flop_per_s:
            found[str(rows)]["ratio_matrix_rate"] = flop / seconds / matrix_flop_per_s
    return found


def decode(model: Model, shapes: Shapes, read_bytes_per_s: float | None, steps: int) -> dict[str, Any]:
    """Steps of one sequence and of eight, logits on the host, beside reading weights and KV cache once.

    Named by the cached positions, at most what the engine's cache leaves for the steps.
    """
    weights = ours.step_bytes(model, shapes)
    capacity, queued = fixed_capacity(model.manifest), 4 * steps
    most = max(CACHED) if capacity is None else max(0, capacity - queued - 1)
    number = next(one.dtype for one in model.manifest.blocks["language_model"].inputs if one.name.startswith("past_"))
    found: dict[str, Any] = {"batch8": {}}
    for batch in (1, 8):
        for cached in sorted({min(cached, most) for cached in CACHED}):
            seconds = wall_s(model.device, ours.decode(model, cached, batch, queued), steps)
            row: dict[str, Any] = {"seconds": seconds, "tokens_per_s": batch / seconds, "kv_dtype": number}
            if read_bytes_per_s:
                kv = batch * shapes.kv_bytes(cached + 1, np.dtype(number).itemsize)
                row["ratio_floor"] = (weights + kv) / read_bytes_per_s / seconds
            (found if batch == 1 else found["batch8"])[str(cached)] = row
    return found
