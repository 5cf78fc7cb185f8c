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


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ((0, 8), "height_px=0 is out of range"),
        ((8, 0), "width_px=0 is out of range"),
        ((-1, 8), "height_px=-1 is out of range"),
        ((70_000, 1), "height_px=70000 is out of range"),
        ((60_000, 60_000), "60000 x 60000 px is too large"),
        ((True, 8), "height_px=True is not an integer"),
        ((8.0, 8), "height_px=8.0 is not an integer"),
    ],
)
def test_mask_sizes_no_image_may_have(size: tuple[Any, Any], said: str) -> None:
    with pytest.raises((ImageError, OptionError), match=said):
        Mask.from_logits(np.zeros((4, 4), np.float32), *size)


@pytest.mark.parametrize("array", [None, np.zeros((3, 3), np.uint8), np.zeros(3, bool), np.zeros((2, 3, 3), bool)])
def test_arrays_that_are_no_mask(array: Any) -> None:
    with pytest.raises(OptionError, match="bool"):
        Mask.from_array(array)


@pytest.mark.parametrize(
    ("shape", "said"),
    [((0, 3), "3 x 0 px is empty"), ((3, 0), "0 x 3 px is empty"), ((1, 70_000), "70000 x 1 px is too large")],
)
def test_mask_arrays_of_absurd_size(shape: tuple[int, int], said: str) -> None:
    with pytest.raises(ImageError, match=said):
        Mask.from_array(np.zeros(shape, bool))


@pytest.mark.parametrize(
    ("rle", "said"),
    [
        (None, "not subscriptable"),
        ({}, "'size'"),
        ({"size": [3, 3]}, "'counts'"),
        ({"size": [3], "counts": "9"}, "expected 2, got 1"),
        ({"size": [3, 3, 3], "counts": "9"}, "expected 2"),
        ({"size": [0, 3], "counts": ""}, "size=0 is out of range"),
        ({"size": ["3", 3.5], "counts": "9"}, "size='3' is not an integer"),
        ({"size": [3, 3], "counts": "8"}, "fewer than the box holds"),
        ({"size": [3, 3], "counts": ":"}, "more than the box holds"),
        ({"size": [3, 3], "counts": "\x00"}, "a letter that cannot stand there"),
        ({"size": [3, 3], "counts": "é"}, "a letter that cannot stand there"),
        ({"size": [3, 3], "counts": "o" * 50}, "a letter that cannot stand there"),
        ({"size": [3, 3], "counts": "9o"}, "ends inside a count"),
        ({"size": [3, 3], "counts": "O"}, "is not a uint32"),
        ({"size": [3, 3], "counts": [10, -1]}, "counts are no run lengths"),
        ({"size": [3, 3], "counts": [9.5]}, "counts are no run lengths"),
        ({"size": [3, 3], "counts": [[9]]}, "counts are no run lengths"),
        ({"size": [3, 3], "counts": [2**32 + 9]}, "counts are no run lengths"),
        ({"size": [3, 3], "counts": None}, "counts are no run lengths"),
        ({"size": [3, 3], "counts": b"\xff"}, "can't decode byte 0xff"),
        ({"size": [10**30, 3], "counts": "9"}, "size=10{30} is out of range"),
    ],
)
def test_damaged_coco_masks(rle: Any, said: str) -> None:
    with pytest.raises(OptionError, match=said):
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
