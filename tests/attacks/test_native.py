"""Arguments no kernel may accept: refused before anything is read, whatever the Python layer would have checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from geopixel_edge import _native

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
NO_BOX = (0, 0, 0, 0)
IMAGE, LOGITS = np.zeros((4, 4, 3), np.uint8), np.zeros((1, 4, 4), np.float32)
RUNS = np.array([0, 6], np.uint32)
BAD = [
    ("resize", (IMAGE.astype(np.int8), 4, 4, False)),
    ("resize", (IMAGE[:, :, :2], 4, 4, False)),
    ("resize", (IMAGE[::-1], 4, 4, False)),
    ("resize", (IMAGE[:, ::-1], 4, 4, False)),
    ("resize", (IMAGE[:, ::2], 4, 4, False)),
    ("resize", (np.broadcast_to(IMAGE[:1], (4, 4, 3)), 4, 4, False)),
    ("resize", (IMAGE[:0], 4, 4, False)),
    ("resize", (np.zeros((1, 70_000, 3), np.uint8), 4, 4, False)),
    ("resize", (IMAGE, 0, 4, False)),
    ("resize", (IMAGE, 4, 2**31 - 1, False)),
    ("resize", (IMAGE, 4, 4, False, -1)),
    ("divide", (IMAGE, 0, 1, 14, 14, False, 14, MEAN, STD, 255)),
    ("divide", (IMAGE, 1, 1, 15, 14, False, 14, MEAN, STD, 255)),
    ("divide", (IMAGE, 1, 2, 14, 28, False, 14, MEAN, STD, 255)),
    ("divide", (IMAGE, 1, 1, 14, 14, False, 14, MEAN, STD, 256)),
    ("divide", (IMAGE, 1, 1, 14, 14, False, 14, MEAN, (1, 0, 1), 255)),
    ("divide", (IMAGE, 5000, 5000, 14, 14, False, 5000, MEAN, STD, 255)),
    ("grounding_input", (IMAGE, 0, MEAN, STD)),
    ("grounding_input", (IMAGE, 16, (np.nan, 0, 0), STD)),
    ("grounding_input", (IMAGE, 16, MEAN, STD, 0, [1.0])),
    ("grounding_input", (IMAGE, 16, MEAN, STD, 0, np.zeros((1, 3, 16, 15), np.float32))),
    ("grounding_input", (IMAGE, 16, MEAN, STD, 0, np.zeros((1, 3, 16, 16)))),
    ("grounding_input", (IMAGE, 16, MEAN, STD, 0, np.zeros((1, 3, 16, 32), np.float32)[..., ::2])),
    ("mask_from_array", (np.zeros((3, 3), np.uint8),)),
    ("mask_from_array", (np.zeros((3, 3), bool).T[:, ::2],)),
    ("mask_from_array", (np.zeros((0, 3), bool),)),
    ("masks_from_logits", (LOGITS.astype(np.float64), 8, 8)),
    ("masks_from_logits", (LOGITS[0], 8, 8)),
    ("masks_from_logits", (LOGITS[:, ::2], 8, 8)),
    ("masks_from_logits", (LOGITS + np.nan, 8, 8)),
    ("masks_from_logits", (LOGITS - np.inf, 8, 8)),
    ("masks_from_logits", (LOGITS, 0, 8)),
    ("rle_window", ((0, 0, 2, 2), RUNS, (0, 0, 4, 4))),
    ("rle_window", ((0, 0, 9, 9), RUNS, (0, 0, 4, 4))),
    ("rle_window", ((-1, 0, 2, 3), RUNS, (0, 0, 4, 4))),
    ("rle_window", ((0, 0, 2, 3), RUNS, (-1, 0, 4, 4))),
    ("rle_window", ((0, 0, 2, 3), RUNS, (0, 0, 0, 4))),
    ("rle_window", ((2**62, 0, 2, 3), RUNS, (0, 0, 4, 4))),
    ("rle_window", ((0, 0, 2, 3), RUNS, (2**62, 2**62, 4, 4))),
    ("rle_window", ((0, 0, 2, 3), RUNS.astype(np.int64), (0, 0, 4, 4))),
    ("rle_overlap", ((0, 0, 2, 3), RUNS, NO_BOX, RUNS)),
    ("rle_combine", ((0, 0, 2, 3), RUNS, (0, 0, 2, 3), RUNS, "xor")),
    ("rle_clean", (2, 2, (0, 0, 2, 3), RUNS, 1, 1)),
    ("rle_clean", (2, 2, (2**62, 0, 2, 3), RUNS, 1, 1)),
    ("rle_full", (2, 2, (0, 0, 2, 3), RUNS)),
    ("rle_crop", (3, 3, RUNS)),
    ("rle_crop", (70_000, 3, RUNS)),
    ("rle_string", (np.zeros((2, 2), np.uint32),)),
    ("rle_parse", ("o",)),
    ("rle_polygons", ((0, 0, 2, 2), RUNS)),
]


@pytest.mark.parametrize(("name", "arguments"), BAD)
def test_bad_arguments_raise_value_error(name: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        getattr(_native, name)(*arguments)
