"""Masks against the reference's numbers, torch, pycocotools and shapely."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco
from shapely.geometry import Polygon
from shapely.ops import unary_union

from geopixel_edge.errors import OptionError
from geopixel_edge.masks import Mask, merge

GOLDENS = Path(__file__).parents[1] / "data" / "tiny-geopixel" / "goldens"
BITS = arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12)))
CHECKERBOARD = np.indices((7, 6)).sum(axis=0) % 2 == 0
DIAGONAL_LOOP = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], bool)
NESTED = np.pad(np.pad(np.pad(np.ones((1, 1), bool), 1), 2, constant_values=True), 1)
SHAPES = (CHECKERBOARD, ~CHECKERBOARD, DIAGONAL_LOOP, ~DIAGONAL_LOOP, NESTED, ~NESTED)


def upsampled(logits: np.ndarray, height: int, width: int) -> np.ndarray:
    planes = torch.from_numpy(logits)[None, None]
    full = torch.nn.functional.interpolate(planes, size=(height, width), mode="bilinear", align_corners=False)
    return full[0, 0].numpy()


@pytest.mark.parametrize("shape", [(1, 1), (256, 256), (257, 255), (97, 61), (31, 1201), (1201, 5), (1080, 1920)])
@pytest.mark.parametrize("kind", ["noise", "blob", "full", "empty"])
def test_from_logits_is_torchs_bilinear_above_zero(shape: tuple[int, int], kind: str) -> None:
    rng = np.random.default_rng(shape[0])
    logits = rng.normal(size=(256, 256)).astype(np.float32)
    if kind != "noise":
        y, x = np.mgrid[:256, :256]
        sign = {"blob": 90 - np.hypot(y - 100, x - 140), "full": 99.0, "empty": -99.0}[kind]
        logits = (logits + sign).astype(np.float32)
    full = upsampled(logits, *shape)
    mask = Mask.from_logits(logits, *shape)
    differ = mask.to_array() != (full > 0)
    assert not (differ & (np.abs(full) > 1e-4)).any()
    assert differ.sum() <= 2
    assert mask.area_px == {"empty": 0, "full": full.size}.get(kind, mask.area_px)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_from_logits_at_any_size(h: int, w: int, height: int, width: int, seed: int) -> None:
    logits = np.random.default_rng(seed).choice(np.array([-2, -1, 0, 1, 3], np.float32), size=(h, w))
    full = upsampled(logits, height, width)
    differ = Mask.from_logits(logits, height, width).to_array() != (full > 0)
    assert not (differ & (np.abs(full) > 1e-5)).any()


@pytest.mark.parametrize("case", ["s1_wide_hd9", "s2_tall_hd9_seg_last", "s4_square_hd1_eos", "s7_big_hd9"])
def test_reference_masks_survive_rle_and_coco(case: str) -> None:
    facts = json.loads((GOLDENS / f"{case}.json").read_text())
    shape = tuple(facts["final_mask_shape"])
    bits = np.load(GOLDENS / f"{case}.npz")["final_mask_bits"]
    planes = np.unpackbits(bits)[: int(np.prod(shape))].reshape(shape).astype(bool)
    for plane, area in zip(planes, facts["final_mask_area"], strict=True):
        mask = Mask.from_array(plane)
        assert mask.area_px == area
        np.testing.assert_array_equal(mask.to_array(), plane)
        theirs = coco.encode(np.asfortranarray(plane.astype(np.uint8)))
        assert mask.to_coco() == {"size": list(shape[1:]), "counts": theirs["counts"].decode()}
        assert list(mask.bbox) == coco.toBbox(theirs).astype(int).tolist()
        assert Mask.from_coco(theirs) == mask


@settings(max_examples=200, deadline=None)
@given(BITS)
@example(np.zeros((3, 4), bool))
@example(np.ones((3, 4), bool))
@example(CHECKERBOARD)
def test_coco_both_ways(bits: np.ndarray) -> None:
    mask = Mask.from_array(bits)
    theirs = coco.encode(np.asfortranarray(bits.astype(np.uint8)))
    ours = mask.to_coco()
    assert ours["counts"] == theirs["counts"].decode()
    np.testing.assert_array_equal(coco.decode({**ours, "counts": ours["counts"].encode()}).astype(bool), bits)
    assert Mask.from_coco(theirs) == mask
    flat = bits.ravel(order="F")
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flat]))).tolist()
    listed = np.diff([0, *edges, flat.size]).tolist()
    assert Mask.from_coco({"size": list(bits.shape), "counts": listed}) == mask
    np.testing.assert_array_equal(mask.to_array(), bits)
    assert hash(Mask.from_array(bits)) == hash(mask)


def test_long_counts_and_negative_steps_in_a_coco_string() -> None:
    bits = np.zeros((4000, 3000), bool)
    bits[10:, 5] = bits[:7, 2000] = bits[3999, 2999] = True
    theirs = coco.encode(np.asfortranarray(bits.astype(np.uint8)))
    assert Mask.from_array(bits).to_coco()["counts"] == theirs["counts"].decode()
    assert Mask.from_coco(theirs) == Mask.from_array(bits)


@settings(max_examples=200, deadline=None)
@given(BITS, st.data())
def test_set_operations_and_windows(bits: np.ndarray, data: Any) -> None:
    height, width = bits.shape
    other = data.draw(arrays(np.bool_, bits.shape))
    a, b = Mask.from_array(bits), Mask.from_array(other)
    assert a | b == Mask.from_array(bits | other)
    assert a & b == Mask.from_array(bits & other)
    assert a - b == Mask.from_array(bits & ~other)
    union = (bits | other).sum()
    assert a.iou(b) == ((bits & other).sum() / union if union else 1.0)
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    w, h = data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y))
    np.testing.assert_array_equal(a.window(x, y, w, h), bits[y : y + h, x : x + w])


@settings(max_examples=250, deadline=None)
@given(BITS)
@example(CHECKERBOARD)
@example(DIAGONAL_LOOP)
@example(~DIAGONAL_LOOP)
@example(NESTED)
@example(~NESTED)
def test_polygons_are_valid_oriented_and_cover_the_pixels(bits: np.ndarray) -> None:
    mask = Mask.from_array(bits)
    shapes = [Polygon(rings[0], rings[1:]) for rings in mask.polygons()]
    assert all(shape.is_valid for shape in shapes)
    assert sum(shape.area for shape in shapes) == mask.area_px == bits.sum()
    for shape in shapes:
        assert shape.exterior.is_ccw
        assert not any(hole.is_ccw for hole in shape.interiors)
    pixels = [Polygon([(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1)]) for y, x in np.argwhere(bits)]
    assert unary_union(shapes).symmetric_difference(unary_union(pixels)).area == 0
    for first, one in enumerate(shapes):
        assert all(one.intersection(other).area == one.intersection(other).length == 0 for other in shapes[first + 1 :])
    for rings in mask.polygons():
        for ring in rings:
            assert (ring[0] == ring[-1]).all()
            steps = np.abs(np.diff(ring, axis=0))
            assert ((steps > 0).sum(axis=1) == 1).all()
            assert ((steps > 0)[1:, 0] != (steps > 0)[:-1, 0]).all()


def test_pixels_that_meet_by_a_corner_stay_apart_and_holes_are_kept() -> None:
    assert len(Mask.from_array(CHECKERBOARD).polygons()) == CHECKERBOARD.sum()
    assert [len(rings) for rings in Mask.from_array(DIAGONAL_LOOP).polygons()] == [1, 1, 1, 1]
    assert [len(rings) for rings in Mask.from_array(~DIAGONAL_LOOP[:, :2]).polygons()] == [1, 1, 1]
    assert [len(rings) for rings in Mask.from_array(NESTED).polygons()] == [2, 1]
    (outline,), *rest = Mask.from_array(np.pad(np.ones((2, 3), bool), ((1, 0), (2, 0)))).polygons()
    assert outline.tolist() == [[2, 1], [5, 1], [5, 3], [2, 3], [2, 1]]
    assert rest == []
    assert Mask.from_array(np.zeros((3, 3), bool)).polygons() == []


def test_many_masks_are_each_their_own_and_threads_do_not_matter() -> None:
    logits = np.random.default_rng(5).normal(size=(9, 32, 32)).astype(np.float32)
    expected = [Mask.from_logits(plane, 100, 77) for plane in logits]
    for threads in (1, 2, 5):
        assert Mask.many_from_logits(logits, 100, 77, threads) == expected
    assert Mask.many_from_logits(logits[:0], 100, 77) == []
    assert Mask.from_logits(logits[0].T, 50, 50) == Mask.from_logits(np.ascontiguousarray(logits[0].T), 50, 50)


def test_masks_are_immutable_and_compare_by_value() -> None:
    mask = Mask.from_array(CHECKERBOARD)
    with pytest.raises(ValueError, match="read-only"):
        mask.counts[0] = 9
    assert mask != Mask.from_array(~CHECKERBOARD)
    assert mask != Mask.from_array(np.pad(CHECKERBOARD, ((0, 1), (0, 0))))
    assert mask != "mask"
    assert len({mask, Mask.from_array(CHECKERBOARD)}) == 1
    assert Mask.from_array(np.zeros((2, 2), bool)).iou(Mask.from_array(np.zeros((2, 2), bool))) == 1.0


def test_cleaning_fills_holes_and_drops_sprinkles_as_sam2_defines_them() -> None:
    bits = np.zeros((12, 14), bool)
    bits[1:9, 1:9] = True
    bits[3, 3] = bits[4, 4] = bits[6, 6] = False  # one diagonal hole of two pixels, one of one
    bits[10, 10] = bits[11, 11] = bits[1, 12] = True  # one diagonal sprinkle of two pixels, one of one
    mask = Mask.from_array(bits)
    filled = bits.copy()
    filled[6, 6] = True
    assert mask.cleaned(max_hole_px=1) == Mask.from_array(filled)
    filled[3, 3] = filled[4, 4] = True
    assert mask.cleaned(max_hole_px=2) == Mask.from_array(filled)
    dropped = bits.copy()
    dropped[1, 12] = False
    assert mask.cleaned(max_sprinkle_px=1) == Mask.from_array(dropped)
    dropped[10, 10] = dropped[11, 11] = False
    assert mask.cleaned(max_sprinkle_px=2) == Mask.from_array(dropped)
    assert mask.cleaned(max_sprinkle_px=1000).area_px == 0
    assert mask.cleaned(max_hole_px=1000).area_px == bits.size
    assert mask.cleaned() == mask
    with pytest.raises(OptionError, match="max_hole_px"):
        mask.cleaned(max_hole_px=-1)


def test_merging_joins_what_overlaps_and_loses_nothing() -> None:
    bits = np.zeros((4, 20, 20), bool)
    bits[0, 2:10, 2:10] = bits[1, 3:10, 2:10] = bits[2, 12:18, 12:18] = bits[3, 2:11, 2:10] = True
    masks = [Mask.from_array(plane) for plane in bits]
    merged = merge(masks, [0.5, 0.9, 0.7, 0.1], 0.7)
    assert [members for _, members in merged] == [[1, 0, 3], [2]]
    assert merged[0][0] == Mask.from_array(bits[0] | bits[1] | bits[3])
    assert merged[1][0] == masks[2]
    assert [members for _, members in merge(masks, [0.5, 0.9, 0.7, 0.1], 1.0)] == [[1], [2], [0], [3]]
    assert merge([], []) == []
    with pytest.raises(OptionError, match="scores"):
        merge(masks, [1.0])
    for bad in (0.0, 1.5, float("nan")):
        with pytest.raises(OptionError, match="min_iou"):
            merge(masks, [1.0] * 4, bad)
