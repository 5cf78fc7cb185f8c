"""Simplified outlines: never farther than promised, valid together, nested as before, and the same from the twin."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from shapely.geometry import LinearRing, MultiPolygon, Polygon

from geopixel_edge import _native, limits
from geopixel_edge.errors import OptionError
from geopixel_edge.kernels import twins
from geopixel_edge.masks import Mask

BITS = arrays(np.bool_, st.tuples(st.integers(1, 14), st.integers(1, 14)))
TOLERANCE = st.sampled_from([0.1, 0.5, 0.7072, 1.0, 1.5, 2.0, 3.3, 7.0, 40.0, 256.0])
TIED = 1e-9  # rounding of shapely's own distances


def ellipse(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return ((x - width / 2 + 0.5) / (width / 2)) ** 2 + ((y - height / 2 + 0.5) / (height / 2)) ** 2 <= 1


def blob(seed: int, side: int, level: float) -> np.ndarray:
    """A few low frequencies and some noise: bays, islands and holes."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side * 2 * math.pi
    field = rng.normal(0, 0.3, (side, side))
    for kx, ky, phase in rng.uniform(-4, 4, (6, 3)):
        field += np.cos(kx * x + ky * y + 2 * phase)
    return field > level


def spiral(turns: int) -> np.ndarray:
    """A wall of one pixel around a way of one pixel, wound inwards."""
    side = 4 * turns + 1
    bits = np.zeros((side, side), bool)
    y, x, steps = 0, 0, ((0, 1), (1, 0), (0, -1), (-1, 0))
    bits[0, 0] = True
    lengths = [side - 1, *(length for k in range(side - 1, 1, -2) for length in (k, k - 2 if k < side - 1 else k))]
    for leg, length in enumerate(lengths):
        dy, dx = steps[leg % 4]
        for _ in range(length):
            y, x = y + dy, x + dx
            bits[y, x] = True
    return bits


def comb(teeth: int, length: int) -> np.ndarray:
    bits = np.zeros((length + 1, 2 * teeth), bool)
    bits[0] = bits[:, ::2] = True
    return bits


def ringed(side: int) -> np.ndarray:
    """Squares in squares with ways of one pixel, and a pixel at the centre."""
    y, x = np.abs(np.mgrid[:side, :side] - side // 2)
    return np.maximum(y, x) % 2 == 0


CHECKERBOARD = np.indices((9, 8)).sum(axis=0) % 2 == 0
HOLES = np.pad(~np.kron(np.eye(5, dtype=bool), np.ones((2, 2), bool)), 2, constant_values=True)
CROSS = np.pad(np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], bool), 1, constant_values=True)
SHAPES = {
    "pixel": np.ones((1, 1), bool),
    "line": np.ones((1, 9), bool),
    "checkerboard": CHECKERBOARD,
    "squares": np.kron(CHECKERBOARD, np.ones((3, 3), bool)),
    "diagonal": np.eye(12, dtype=bool),
    "stairs": np.tri(30, 30, dtype=bool),
    "holes": HOLES,
    "islands": np.pad(~HOLES, 1),
    "cross": ~CROSS | np.pad(np.zeros((3, 3), bool), 1, constant_values=True),
    "comb": comb(20, 9),
    "combs": comb(4, 1),
    "spiral": spiral(6),
    "way": ~spiral(6),
    "ringed": ringed(21),
    "ellipse": ellipse(30, 47),
    "blob": blob(3, 60, 0.0),
}


def check(bits: np.ndarray, tolerance: float) -> list[list[np.ndarray]]:
    mask = Mask.from_array(bits)
    exact, simple = mask.polygons(), mask.polygons(tolerance)
    assert [len(rings) for rings in simple] == [len(rings) for rings in exact]
    for before, after in zip(exact, simple, strict=True):
        for old, new in zip(before, after, strict=True):
            check_ring(old, new, tolerance)
    together = MultiPolygon([Polygon(rings[0], rings[1:]) for rings in simple])
    assert together.is_valid, shapely.is_valid_reason(together)
    for before, polygon in zip(exact, together.geoms, strict=True):
        assert polygon.exterior.is_ccw
        assert not any(hole.is_ccw for hole in polygon.interiors)
        moved = Polygon(before[0], before[1:]).symmetric_difference(polygon).area
        reach = sum(
            2 * tolerance * ring.length + math.pi * tolerance**2 for ring in (polygon.exterior, *polygon.interiors)
        )
        assert moved <= reach + TIED
    twin = twins.rle_polygons(mask.bbox, mask.counts, tolerance)
    for rings, others in zip(simple, twin, strict=True):
        for one, other in zip(rings, others, strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)
    return simple


def check_ring(old: np.ndarray, new: np.ndarray, tolerance: float) -> None:
    assert (new[0] == new[-1]).all()
    assert (new[0] == old[0]).all()
    assert len(old) >= len(new) >= 4
    rest = iter(map(tuple, old.tolist()))
    assert all(tuple(vertex) in rest for vertex in new.tolist())  # kept ones, in their order
    apart = shapely.hausdorff_distance(LinearRing(old), LinearRing(new), densify=0.1)
    assert apart <= tolerance + TIED


@settings(max_examples=150, deadline=None)
@given(BITS, TOLERANCE)
def test_random_masks(bits: np.ndarray, tolerance: float) -> None:
    check(bits, tolerance)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(15, 45), st.floats(-2, 2), st.floats(0.01, 12))
@example(0, 45, 0.0, 256.0)
def test_random_blobs(seed: int, side: int, level: float, tolerance: float) -> None:
    check(blob(seed, side, level), tolerance)


@pytest.mark.parametrize("tolerance", [0.4, 1.0, 2.5, 30.0])
@pytest.mark.parametrize("name", SHAPES)
def test_shapes_that_invite_mistakes(name: str, tolerance: float) -> None:
    check(SHAPES[name], tolerance)


def test_no_tolerance_keeps_every_vertex() -> None:
    for bits in SHAPES.values():
        mask = Mask.from_array(bits)
        for tolerance in (0, 0.0, 0.001):
            for rings, others in zip(mask.polygons(), mask.polygons(tolerance), strict=True):
                assert all(map(np.array_equal, rings, others))


@pytest.mark.parametrize("shape", [(200, 300), (61, 400), (512, 512)])
def test_smooth_shapes_lose_most_vertices(shape: tuple[int, int]) -> None:
    mask = Mask.from_array(ellipse(*shape))
    ((exact,),), ((simple,),) = mask.polygons(), mask.polygons(1.0)
    assert len(simple) < 0.25 * len(exact)
    assert abs(Polygon(simple).area / mask.area_px - 1) < 0.02
    sizes = [len(mask.polygons(tolerance)[0][0]) for tolerance in (0.0, 0.5, 1.0, 2.0, 5.0)]
    assert sizes == sorted(sizes, reverse=True)


def test_what_is_dropped_and_what_stays() -> None:
    bump = np.zeros((4, 12), bool)
    bump[1:, :] = bump[0, 5] = True
    assert Mask.from_array(bump).polygons(1.0)[0][0].tolist() == [[0, 1], [12, 1], [12, 4], [0, 4], [0, 1]]
    assert len(Mask.from_array(bump).polygons(0.5)[0][0]) == 9
    (pixel,), *_ = Mask.from_array(SHAPES["pixel"]).polygons(256.0)
    assert pixel.tolist() == [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]


def test_a_hole_in_a_bump_and_an_island_in_a_bay_stay_where_they_are() -> None:
    bump = np.zeros((8, 40), bool)
    bump[3:, :] = bump[:3, 18:21] = True
    bump[1, 19] = False
    bay = ~bump
    bay[1, 19] = bay[0, 19] = True
    for bits in (bump, bay):
        before, after = Mask.from_array(bits).polygons(), check(bits, 10.0)
        for one, other in ((a, b) for a in range(len(before)) for b in range(len(before)) if a != b):
            assert Polygon(after[one][0]).contains(Polygon(after[other][0])) == Polygon(before[one][0]).contains(
                Polygon(before[other][0])
            )


def test_a_long_ring_takes_neither_recursion_nor_quadratic_time() -> None:
    bits = np.zeros((200, 40_000), bool)
    bits[0] = True
    for tooth in range(0, 40_000, 2):  # every tooth a new farthest vertex
        bits[: 2 + tooth // 250, tooth] = True
    mask = Mask.from_array(bits)
    sizes = [len(mask.polygons(tolerance)[0][0]) for tolerance in (0.0, 0.9, 10.0, 256.0)]
    assert sizes[0] == 80_003
    assert sizes[3] < 200 < sizes[2] < 20_000 < sizes[1] < sizes[0]
    assert Polygon(mask.polygons(10.0)[0][0]).is_valid
    noise = Mask.from_array(np.random.default_rng(0).random((150, 150)) < 0.5)
    assert MultiPolygon([Polygon(rings[0], rings[1:]) for rings in noise.polygons(256.0)]).is_valid


@pytest.mark.parametrize("bad", [-1, -1e-9, math.nan, math.inf, limits.MAX_TOLERANCE_PX + 1, "1", None, True])
def test_a_tolerance_out_of_range_is_a_typed_error(bad: Any) -> None:
    with pytest.raises(OptionError, match=r"tolerance_px=.* is not in 0\.\.256"):
        Mask.from_array(CHECKERBOARD).polygons(bad)


def test_the_kernel_checks_its_tolerance_itself() -> None:
    mask = Mask.from_array(CHECKERBOARD)
    for bad in (-1.0, math.nan, math.inf, 256.5):
        with pytest.raises(ValueError, match="tolerance_px"):
            _native.rle_polygons(mask.bbox, mask.counts, bad)
    assert limits.MAX_TOLERANCE_PX == _native.MAX_TOLERANCE_PX
    assert Mask.from_array(np.zeros((3, 3), bool)).polygons(float(np.float32(2))) == []
