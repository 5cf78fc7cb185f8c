"""Logits, arrays and run lengths that are no mask: a typed error each, and nothing read out of bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from geopixel_edge.errors import ImageError, InferenceError, OptionError
from geopixel_edge.masks import Mask

MASK = Mask.from_array(np.ones((4, 6), bool))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite(bad: float) -> None:
    logits = np.zeros((4, 4), np.float32)
    logits[2, 1] = bad
    with pytest.raises(InferenceError, match="finite"):
        Mask.from_logits(logits, 8, 8)


@pytest.mark.parametrize(
    "logits", [None, [[1.0]], np.zeros((4, 4)), np.zeros(4, np.float32), np.zeros((0, 4), np.float32)]
)
def test_logits_of_another_kind(logits: Any) -> None:
    with pytest.raises(OptionError, match="logits"):
        Mask.from_logits(logits, 8, 8)


@pytest.mark.parametrize("size", [(0, 8), (8, 0), (-1, 8), (70_000, 1), (60_000, 60_000), (True, 8), (8.0, 8)])
def test_mask_sizes_no_image_may_have(size: tuple[Any, Any]) -> None:
    with pytest.raises((ImageError, OptionError), match="px"):
        Mask.from_logits(np.zeros((4, 4), np.float32), *size)


@pytest.mark.parametrize("array", [None, np.zeros((3, 3), np.uint8), np.zeros(3, bool), np.zeros((2, 3, 3), bool)])
def test_arrays_that_are_no_mask(array: Any) -> None:
    with pytest.raises(OptionError, match="bool"):
        Mask.from_array(array)


@pytest.mark.parametrize("array", [np.zeros((0, 3), bool), np.zeros((3, 0), bool), np.zeros((1, 70_000), bool)])
def test_mask_arrays_of_absurd_size(array: np.ndarray) -> None:
    with pytest.raises(ImageError, match="px"):
        Mask.from_array(array)


@pytest.mark.parametrize(
    "rle",
    [
        None,
        {},
        {"size": [3, 3]},
        {"size": [3], "counts": "9"},
        {"size": [3, 3, 3], "counts": "9"},
        {"size": [0, 3], "counts": ""},
        {"size": ["3", 3.5], "counts": "9"},
        {"size": [3, 3], "counts": "8"},
        {"size": [3, 3], "counts": ":"},
        {"size": [3, 3], "counts": "\x00"},
        {"size": [3, 3], "counts": "é"},
        {"size": [3, 3], "counts": "o" * 50},
        {"size": [3, 3], "counts": "9o"},
        {"size": [3, 3], "counts": "O"},
        {"size": [3, 3], "counts": [10, -1]},
        {"size": [3, 3], "counts": [9.5]},
        {"size": [3, 3], "counts": [[9]]},
        {"size": [3, 3], "counts": [2**32 + 9]},
        {"size": [3, 3], "counts": None},
        {"size": [3, 3], "counts": b"\xff"},
        {"size": [10**30, 3], "counts": "9"},
    ],
)
def test_damaged_coco_masks(rle: Any) -> None:
    with pytest.raises((OptionError, ImageError), match=r"rle|size|px"):
        Mask.from_coco(rle)


def test_masks_that_contradict_themselves() -> None:
    counts = np.array([1, 3], np.uint32)
    with pytest.raises(OptionError, match="box"):
        Mask(4, 4, 0, 0, 2, 3, counts)
    with pytest.raises(OptionError, match="box"):
        Mask(4, 4, 3, 0, 2, 2, counts)
    with pytest.raises(OptionError, match="one image"):
        MASK.iou(Mask.from_array(np.ones((3, 3), bool)))
    with pytest.raises(OptionError, match="w_px"):
        MASK.window(3, 0, 99, 1)
