"""The second golden record: what every block of this engine makes of fixed numbers, kept as small sketches.

Each block is fed from a seed and not by the block before it, and computes in float32 on the CPU whatever the engine's
precision and device, so that differences in rounding neither add up nor hide a wrong weight.
Every number a block gives enters its sketch: all hidden states, the KV cache of every layer, every mask.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import F32, F64, Array
from ..blocks.kv_cache import KVCache
from ..blocks.language_model import LanguageModel, Rows
from ..runtimes import Runner

if TYPE_CHECKING:
    from ..model import Model

# A matrix is summed with random signs to at most this many rows and columns: 9 kB, whatever the model's widths.
SIDE = 48
VIEWS = 2
# Prompt rows: text, image tokens, text. The last is read on its own, as while an answer is generated.
ROWS = 96
IMAGE_ROWS = (24, 80)
# The pixel decoder runs once for each, the factor of its feature maps; its `[SEG]` states have these factors in turn.
# Several of both wake most units of its ReLU layers; a weight behind one that sleeps in all runs does nothing in them.
LOUDNESS = (1.0, 4.0, 1.0, 4.0)
STATE_FACTORS = (1.0, 4.0) * 4


def numbers(seed: int, *shape: int) -> F32:
    """Uniform numbers of unit variance, the same bits on every machine: NumPy keeps this generator's stream."""
    return ((np.random.RandomState(seed).random_sample(shape) - 0.5) * np.sqrt(12)).astype(np.float32)


def picture(seed: int, count: int, side_px: int) -> F32:
    """Images (count, 3, side, side): patches of one colour each under fine noise, so that all scales are there."""
    cells = numbers(seed, count, 3, 12, 12)
    place = np.arange(side_px) * 12 // side_px
    patches: F32 = cells[:, :, place[:, None], place]
    return patches + numbers(seed + 1, count, 3, side_px, side_px) * np.float32(0.5)


def probe(model: Model) -> dict[str, F32]:
    """Run the four blocks on their fixed inputs; sketches by name.

    A name is the quantity it belongs to, as in golden.ARRAYS, and what of it, after a dot. InferenceError when a block
    fails or the language model gives numbers that are not finite.
    """
    sizes = model.manifest.sizes
    seen = _run(model, "vision_encoder", {"views": picture(10, VIEWS, sizes.tile_px)})
    found = {"image_tokens.tokens": _columns(seen["tokens"]), "image_tokens.separators": _columns(seen["separators"])}
    found |= _language(model)
    features = _run(model, "grounding_encoder", {"image": picture(14, 1, sizes.grounding_px)})
    found |= {name: value[0].reshape(value.shape[1], -1) for name, value in features.items()}
    small = {name: sketch(value) for name, value in found.items()}
    return small | _masks(model, {name: value.shape for name, value in features.items()})


def _masks(model: Model, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, F32]:
    """All masks of every state, not the chosen alone, and their predicted IoU."""
    from ..runtimes.probed import load_probed  # loads ONNX Runtime

    decoder = load_probed(model.engine, "pixel_decoder", model.threads)
    small: dict[str, F32] = {}
    for run, loudness in enumerate(LOUDNESS):
        first = 100 * (run + 1)
        feeds = {
            name: numbers(first + index, *shape) * np.float32(loudness)
            for index, (name, shape) in enumerate(shapes.items())
        }
        states = numbers(first + 50, len(STATE_FACTORS), model.manifest.sizes.hidden)
        feeds["seg_hidden"] = states * np.array(STATE_FACTORS, np.float32)[:, None]
        for value in decoder.all_choices(feeds):
            if value.ndim == 1:
                small[f"iou.run_{run}"] = sketch(value[None])
            else:
                small[f"low_res_masks.run_{run}"] = sketch(value.reshape(-1, value.shape[-2] * value.shape[-1]))
    return small


@contextmanager
def _runner(model: Model, block: str) -> Iterator[Runner]:
    """The block on the CPU in float32: the model's own, or loaded for this where that computes otherwise."""
    computes = model.manifest.blocks[block].precision.compute
    if computes == "float32" and model.device.memory == "cpu":
        with model.residency.stage(model.plan.holding(block)) as runners:
            yield runners[block]
        return
    runner = model.residency.probed(block)
    yield runner
    runner.close()


def _run(model: Model, block: str, feeds: Mapping[str, Array]) -> dict[str, Array]:
    with _runner(model, block) as runner:
        outputs = runner.run({name: runner.device.put(value) for name, value in feeds.items()})
        return {name: tensor.numpy() for name, tensor in outputs.items()}


def _columns(value: Array) -> Array:
    """(..., channels) -> (channels, places)."""
    return value.reshape(-1, value.shape[-1]).T


def _language(model: Model) -> dict[str, Array]:
    """Logits of the last row, hidden states of all, and keys with values of every layer: (channels, rows)."""
    sizes = model.manifest.sizes
    with _runner(model, "language_model") as runner:
        language = LanguageModel(runner, model.embeddings, sizes)
        words = [index * sizes.vocabulary // ROWS for index in range(ROWS)]
        rows = Rows.of(runner.device, model.embeddings, [words])
        rows.is_image[slice(*IMAGE_ROWS)] = True
        cache = KVCache.new(runner.device, runner.spec, 256)
        first = language.read(rows.part(0, ROWS - 1), cache, ROWS, wanted=range(ROWS - 1))
        last = language.read(rows.part(ROWS - 1, ROWS), cache, ROWS)
        hidden = np.concatenate([first.hidden.numpy(), last.hidden.numpy()])
        found: dict[str, Array] = {"logits": last.logits, "hidden.rows": hidden.T}
        for layer in range(sizes.layers):
            pair = [cache.buffers[f"past_{kind}_{layer}"].numpy()[0, :, :ROWS] for kind in ("key", "value")]
            found[f"hidden.layer_{layer}"] = np.concatenate([part.swapaxes(1, 2).reshape(-1, ROWS) for part in pair])
    return found


def sketch(matrix: Array) -> F32:
    """(rows, columns) -> at most (SIDE, SIDE): sums with random signs, in which no number has weight zero.

    In expectation it keeps the Frobenius norm; a difference that lies in one direction, as that of one weight does,
    keeps its length, while rounding, which has none, spreads over all of them.
    """
    small: F64 = matrix.astype(np.float64)
    if small.shape[0] == 1 and small.shape[1] > SIDE * SIDE:
        small = np.pad(small[0], (0, -small.shape[1] % SIDE)).reshape(SIDE, -1)
    if small.shape[0] > SIDE:
        small = _signs(1, SIDE, small.shape[0]) @ small
    if small.shape[1] > SIDE and small.shape[0] > 1:
        small = small @ _signs(2, small.shape[1], SIDE)
    return small.astype(np.float32)


@lru_cache(maxsize=2)  # the four runs of the pixel decoder share theirs
def _signs(seed: int, rows: int, columns: int) -> F64:
    bits = np.frombuffer(np.random.RandomState(seed).bytes(-(-rows * columns // 8)), np.uint8)
    signs = np.unpackbits(bits, count=rows * columns).reshape(rows, columns).astype(np.float64) * 2 - 1
    return signs / np.sqrt(SIDE)


def drift(found: F32, recorded: F32) -> float:
    """The largest singular value of the difference, over the record's Frobenius norm; infinite for another shape."""
    if found.shape != recorded.shape:
        return float("inf")
    difference = found.astype(np.float64) - recorded
    if not (np.isfinite(difference).all() and np.isfinite(recorded).all()):
        return float("nan")
    return float(np.linalg.norm(difference, 2)) / max(float(np.linalg.norm(recorded)), 1e-30)
