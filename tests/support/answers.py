"""The reference checkpoint's tokenizer, and answers made of it without a model."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.tokenizer import read_tokenizer
from geopixel_edge.answer import Answer, Region
from geopixel_edge.image_ref import ImageRef
from geopixel_edge.images import load_image
from geopixel_edge.masks import Mask
from geopixel_edge.text.assembler import AnswerAssembler
from geopixel_edge.text.tokenizer import Tokenizer
from geopixel_edge.timings import BlockCost, Timings

CHECKPOINT = Path(__file__).parents[1] / "data" / "tiny-geopixel" / "checkpoint"


@functools.cache
def reference_tokenizer() -> Tokenizer:
    """Read once a test run."""
    return read_tokenizer(CHECKPOINT)


def disc(height_px: int, width_px: int, x_px: float, y_px: float, radius_px: float) -> Mask:
    """A round mask."""
    y, x = np.mgrid[:height_px, :width_px]
    return Mask.from_array((x - x_px) ** 2 + (y - y_px) ** 2 <= radius_px**2)


def picture(height_px: int, width_px: int) -> NDArray[np.uint8]:
    """A smooth RGB gradient."""
    y, x = np.mgrid[:height_px, :width_px]
    planes = (60 + 90 * x / width_px, 90 + 80 * y / height_px, 70 + 40 * (x + y) / (width_px + height_px))
    return np.stack(planes, axis=-1).astype(np.uint8)


def answer(text: str, masks: list[Mask], pixels: NDArray[np.uint8] | None = None, **more: Any) -> Answer:
    """The answer a model gives that writes `text`, tags included, and points with `masks` in turn."""
    tokenizer = reference_tokenizer()
    ids = tokenizer.encode(text, bos=False)
    assembler = AnswerAssembler(tokenizer)
    for token_id in ids:
        assembler.push(token_id)
    for index, mask in enumerate(masks):
        assembler.attach(mask, 0.97 - 0.03 * index)
    assembler.finish()
    fields: dict[str, Any] = {
        "finish_reason": "eos",
        "timings": Timings(),
        "image": ImageRef.of(load_image(pixels)) if pixels is not None else None,
        **more,
    }
    regions: tuple[Region, ...] = assembler.regions
    return Answer(assembler.text, assembler.response, ids, regions, **fields)


HEIGHT, WIDTH = 60, 90
PIXELS = picture(HEIGHT, WIDTH)
RING = Mask.from_array(disc(HEIGHT, WIDTH, 60, 30, 14).to_array() & ~disc(HEIGHT, WIDTH, 60, 30, 6).to_array())
EMPTY = Mask.from_array(np.zeros((HEIGHT, WIDTH), bool))
MASKS = [disc(HEIGHT, WIDTH, 20, 20, 9), RING, disc(HEIGHT, WIDTH, 0, 59, 8)]
TEXT = "Two <p> storage tanks </p> [SEG] [SEG] near a ship [SEG]."


def sample(**more: Any) -> Answer:
    """Three regions: two of one phrase, one without."""
    timings = Timings({"divider": BlockCost(1, 0.25, 10)}, prompt_tokens=9, total_s=1.5)
    fields = {"query": "What is here?", "timings": timings, "provenance": {"precision": "fp32"}, **more}
    return answer(TEXT, MASKS, PIXELS, **fields)
