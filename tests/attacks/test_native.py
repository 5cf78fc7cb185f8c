"""Arguments no kernel may accept: refused before anything is read, whatever the Python layer would have checked."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from geopixel_edge import _native

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
NO_BOX = (0, 0, 0, 0)
IMAGE, LOGITS = np.zeros((4, 4, 3), np.uint8), np.zeros((1, 4, 4), np.float32)
RUNS = np.array([0, 6], np.uint32)
BAD: list[tuple[str, tuple[Any, ...], str]] = [
    ("resize", (IMAGE.astype(np.int8), 4, 4, False), "image is not a uint8 array of shape (height, width, 3)"),
    ("resize", (IMAGE[:, :, :2], 4, 4, False), "image has not 3 channels"),
    ("resize", (IMAGE[::-1], 4, 4, False), "image pixels are not side by side in rows of positive stride"),
    ("resize", (IMAGE[:, ::-1], 4, 4, False), "image pixels are not side by side in rows of positive stride"),
    ("resize", (IMAGE[:, ::2], 4, 4, False), "image pixels are not side by side in rows of positive stride"),
    (
        "resize",
        (np.broadcast_to(IMAGE[:1], (4, 4, 3)), 4, 4, False),
        "image pixels are not side by side in rows of positive stride",
    ),
    ("resize", (IMAGE[:0], 4, 4, False), "image height is not in 1..65535"),
    ("resize", (np.zeros((1, 70_000, 3), np.uint8), 4, 4, False), "image width is not in 1..65535"),
    ("resize", (IMAGE, 0, 4, False), "width_px is not in 1..65535"),
    ("resize", (IMAGE, 4, 2**31 - 1, False), "height_px is not in 1..65535"),
    ("resize", (IMAGE, 4, 4, False, -1), "threads is not in 0..1024"),
    ("divide", (IMAGE, 0, 1, 14, 14, False, 14, MEAN, STD, 255), "rows is not in 1..65535"),
    ("divide", (IMAGE, 1, 1, 15, 14, False, 14, MEAN, STD, 255), "the resized image leaves the grid"),
    ("divide", (IMAGE, 1, 2, 14, 28, False, 14, MEAN, STD, 255), "the resized image leaves the grid"),
    ("divide", (IMAGE, 1, 1, 14, 14, False, 14, MEAN, STD, 256), "pad_value is not in 0..255"),
    ("divide", (IMAGE, 1, 1, 14, 14, False, 14, MEAN, (1, 0, 1), 255), "mean or std is not finite and positive"),
    ("divide", (IMAGE, 5000, 5000, 14, 14, False, 5000, MEAN, STD, 255), "the grid is over 65535 px wide"),
    ("grounding_input", (IMAGE, 0, MEAN, STD), "side_px is not in 1..65535"),
    ("grounding_input", (IMAGE, 16, (np.nan, 0, 0), STD), "mean or std is not finite and positive"),
    ("grounding_input", (IMAGE, 16, MEAN, STD, 0, [1.0]), "out is not an array"),
    (
        "grounding_input",
        (IMAGE, 16, MEAN, STD, 0, np.zeros((1, 3, 16, 15), np.float32)),
        "out has another shape than the result",
    ),
    ("grounding_input", (IMAGE, 16, MEAN, STD, 0, np.zeros((1, 3, 16, 16))), "out has another dtype or number of axes"),
    (
        "grounding_input",
        (IMAGE, 16, MEAN, STD, 0, np.zeros((1, 3, 16, 32), np.float32)[..., ::2]),
        "out is not C-contiguous and writeable",
    ),
    ("mask_from_array", (np.zeros((3, 3), np.uint8),), "mask is not a bool array of two axes"),
    ("mask_from_array", (np.zeros((3, 3), bool).T[:, ::2],), "mask is not C-contiguous"),
    ("mask_from_array", (np.zeros((0, 3), bool),), "mask height is not in 1..65535"),
    ("masks_from_logits", (LOGITS.astype(np.float64), 8, 8), "logits is not a float32 array of shape (n, h, w)"),
    ("masks_from_logits", (LOGITS[0], 8, 8), "logits is not a float32 array of shape (n, h, w)"),
    ("masks_from_logits", (LOGITS[:, ::2], 8, 8), "logits is not C-contiguous"),
    ("masks_from_logits", (LOGITS + np.nan, 8, 8), "logits are not finite"),
    ("masks_from_logits", (LOGITS - np.inf, 8, 8), "logits are not finite"),
    ("masks_from_logits", (LOGITS, 0, 8), "height_px is not in 1..65535"),
    ("rle_window", ((0, 0, 2, 2), RUNS, (0, 0, 4, 4)), "counts are more than the box holds"),
    ("rle_window", ((0, 0, 9, 9), RUNS, (0, 0, 4, 4)), "counts are fewer than the box holds"),
    ("rle_window", ((-1, 0, 2, 3), RUNS, (0, 0, 4, 4)), "box has a side outside 0..65535"),
    ("rle_window", ((0, 0, 2, 3), RUNS, (-1, 0, 4, 4)), "box has a side outside 0..65535"),
    ("rle_window", ((0, 0, 2, 3), RUNS, (0, 0, 0, 4)), "window width is not in 1..65535"),
    ("rle_window", ((2**62, 0, 2, 3), RUNS, (0, 0, 4, 4)), "box has a side outside 0..65535"),
    ("rle_window", ((0, 0, 2, 3), RUNS, (2**62, 2**62, 4, 4)), "box has a side outside 0..65535"),
    ("rle_window", ((0, 0, 2, 3), RUNS.astype(np.int64), (0, 0, 4, 4)), "counts is not a uint32 array of one axis"),
    ("rle_overlap", ((0, 0, 2, 3), RUNS, NO_BOX, RUNS), "counts are more than the box holds"),
    ("rle_combine", ((0, 0, 2, 3), RUNS, (0, 0, 2, 3), RUNS, "xor"), "kind is not union, intersection or difference"),
    ("rle_clean", (2, 2, (0, 0, 2, 3), RUNS, 1, 1), "box leaves the image"),
    ("rle_clean", (2, 2, (2**62, 0, 2, 3), RUNS, 1, 1), "box has a side outside 0..65535"),
    ("rle_full", (2, 2, (0, 0, 2, 3), RUNS), "box leaves the image"),
    ("rle_crop", (3, 3, RUNS), "counts are fewer than the box holds"),
    ("rle_crop", (70_000, 3, RUNS), "height_px is not in 1..65535"),
    ("rle_string", (np.zeros((2, 2), np.uint32),), "counts is not a uint32 array of one axis"),
    ("rle_parse", ("o",), "the RLE string ends inside a count"),
    ("rle_polygons", ((0, 0, 2, 2), RUNS), "counts are more than the box holds"),
]


@pytest.mark.parametrize(("name", "arguments", "said"), BAD)
def test_bad_arguments_raise_value_error(name: str, arguments: tuple[Any, ...], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        getattr(_native, name)(*arguments)
