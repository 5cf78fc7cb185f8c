"""Golden values: a small picture, a question, and what the torch modules make of them at every block's border."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from geopixel_edge.arrays import F32
from geopixel_edge.engine.directory import read_manifest
from geopixel_edge.engine.golden import compare
from geopixel_edge.engine.golden_files import ARRAYS, GOLDEN_FILES, Golden, subsample
from geopixel_edge.engine.manifest import SpecialTokens
from geopixel_edge.engine.precision import PRECISIONS
from geopixel_edge.errors import ExportError
from geopixel_edge.families.prompt import build_prompt
from geopixel_edge.memory.sparing import SPARED_BYTES, SparingResidency
from geopixel_edge.model import Model
from geopixel_edge.resources import return_heap
from geopixel_edge.text.tokenizer import Tokenizer

from . import reference
from .checkpoint import Checkpoint
from .exact import exact_arithmetic
from .record import write_facts
from .rounded import RoundedCheckpoint
from .tokenizer import MODEL_NAME

QUERY = "Could you provide a segmentation mask for the bright roof in this image?"
IMAGE_WH = (96, 64)
NEW_TOKENS = 3


def picture() -> Image.Image:
    """A fixed small picture: ground, a road and two roofs, so that every channel and both axes vary."""
    width, height = IMAGE_WH
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([70 + x // 2, 90 + y, 60 + (x * y) // 97 % 40], axis=-1)
    pixels[28:34] = (120, 120, 125)
    pixels[8:20, 12:30] = (226, 214, 196)
    pixels[40:56, 60:84] = (150, 60, 50)
    return Image.fromarray(pixels.astype(np.uint8))


@torch.no_grad()
def reference_values(
    checkpoint: Checkpoint, tokens: SpecialTokens, steps: int = NEW_TOKENS
) -> tuple[dict[str, F32], Golden]:
    """What the torch modules give at every border, subsampled, and the facts about the question.

    `steps` tokens are generated; the borders are the first one's.
    """
    config, image = checkpoint.config, picture()
    divided = reference.divide(image, 1, int(config.clip["image_size"]))
    seen = reference.image_tokens(checkpoint, divided)
    return_heap(collecting=True)
    prompt = build_prompt(QUERY, (), 1, Tokenizer(checkpoint.root / MODEL_NAME, tokens), tokens)
    before, after = (reference.token_rows(checkpoint, part) for part in prompt.parts)
    embeds = torch.cat([before, seen, after])
    rows = torch.arange(len(before), len(before) + len(seen))
    token_ids, logits, hidden = reference.greedy(checkpoint, embeds, rows, steps)
    return_heap(collecting=True)
    features = checkpoint.load("grounding_encoder")(reference.grounding_input(image, int(config.sam2["image_size"])))
    masks, iou = checkpoint.load("pixel_decoder")(hidden[None], *features)
    arrays = dict(zip(ARRAYS, (divided.views, seen, logits, hidden, *features, masks, iou), strict=True))
    facts = Golden(query=QUERY, hd_num=1, text_parts=prompt.parts, token_ids=tuple(token_ids))
    return {name: subsample(value.numpy()) for name, value in arrays.items()}, facts


def write_golden(checkpoint: Checkpoint, root: Path, tokens: SpecialTokens) -> list[str]:
    """Compute and write torch's record in `golden/`; returns the files' paths relative to `root`."""
    arrays, facts = reference_values(checkpoint, tokens)
    (root / "golden").mkdir()
    picture().save(root / GOLDEN_FILES["image"])
    samples: dict[str, Any] = dict(arrays)
    np.savez_compressed(root / GOLDEN_FILES["arrays"], **samples)
    write_facts(root, facts)
    return list(GOLDEN_FILES.values())


class SparingModel(Model):
    """A model that is checked: one block in memory at a time."""

    residency_kind = SparingResidency


def open_for_check(root: Path) -> Model:
    """An exported engine on the CPU; a large one with a block or a part of one in memory at a time."""
    size = sum(block.bytes for block in read_manifest(root).blocks.values())
    return (SparingModel if size > SPARED_BYTES else Model).open(root, "cpu")


def check_rounding(checkpoint: Checkpoint, root: Path) -> None:
    """ExportError unless the engine in `root` agrees with torch on the same rounded weights at every border.

    Rounding moves int8 far from the float32 original, and a wrong graph could hide in that distance. Between equal
    weights, with activations as they are, only float32's noise is left, so that fp32's ceiling holds (measured are at
    most 3e-6); or float16's, where another block computes in it. Nothing to do without rounded weights.
    """
    manifest = read_manifest(root)
    precisions = {name: block.precision for name, block in manifest.blocks.items()}
    rounded = [name for name, precision in precisions.items() if precision.weights in ("int8", "int4")]
    if not rounded:
        return
    arrays, _ = reference_values(RoundedCheckpoint(checkpoint, precisions), manifest.tokens, steps=1)
    with exact_arithmetic(root):
        model = open_for_check(root)
        distances = compare(model, arrays)
        model.close()
    others = [precision.tolerance for name, precision in precisions.items() if name not in rounded]
    halves = any("float16" in (one.compute, one.parts.get("kv")) for one in precisions.values())
    others += [PRECISIONS["fp16"].tolerance] if halves else []
    ceiling = max([PRECISIONS["fp32"].tolerance, *others])
    if failed := [name for name, distance in distances.items() if not distance <= ceiling]:
        told = "; ".join(f"{ARRAYS[name]} {name} is {distances[name]:.2e} off" for name in failed)
        raise ExportError(
            f"nothing was published, torch on the same rounded weights differs: {told}, not {ceiling:.0e}"
        )
