"""Merging: exact on perfect masks, whatever the order and the partition; no pixel twice on any masks."""

from __future__ import annotations

import math
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geopixel_edge.scenes import merging
from geopixel_edge.scenes.merging import Merged
from geopixel_edge.scenes.runs import Runs
from geopixel_edge.scenes.views import View, make_view
from geopixel_edge.scenes.windows import Grid

from ..support.scene_truths import merge, painted, pixels, random_mask, runs_of, truth_of, views_of

GRIDS = st.builds(
    Grid,
    width_px=st.integers(20, 110),
    height_px=st.integers(20, 110),
    window_px=st.sampled_from([32, 40, 48]),
    overlap_px=st.integers(10, 16),
)
SEEDS = st.integers(0, 2**32 - 1)


def layer(objects: list[Merged]) -> list[Runs]:
    assert all(len(one.pieces) == 1 for one in objects)
    return [one.pieces[0] for one in objects]


@settings(deadline=None, max_examples=30)
@given(GRIDS, SEEDS)
def test_perfect_masks_give_the_truth(grid: Grid, seed: int) -> None:
    mask = random_mask(np.random.default_rng(seed), grid.width_px, grid.height_px)
    found = merge(grid, views_of(mask, grid))
    assert pixels(layer(found)) == pixels(truth_of(mask))
    again = np.zeros_like(mask) | (painted(found, grid.width_px, grid.height_px) > 0)
    assert pixels(layer(merge(grid, views_of(again, grid)))) == pixels(layer(found))


def noisy(grid: Grid, seed: int) -> list[View]:
    """Views of every window by a model that errs: each window has another mask."""
    rng = np.random.default_rng(seed)
    mask = random_mask(rng, grid.width_px, grid.height_px)
    views = []
    for index in range(len(grid)):
        x, y, w, h = grid.box(index)
        seen = mask.copy()
        seen[y : y + h, x : x + w] ^= rng.random((h, w)) < 0.08
        views += [one for one in views_of(seen, grid, float(rng.random())) if one.window == index]
    return views


@settings(deadline=None, max_examples=10)
@given(GRIDS, SEEDS)
def test_noisy_masks_share_no_pixel_and_order_plays_no_part(grid: Grid, seed: int) -> None:
    views = noisy(grid, seed)
    found = merge(grid, views)
    assert painted(found, grid.width_px, grid.height_px).max(initial=0) <= 1
    order = np.random.default_rng(seed).permutation(len(views))
    shuffled = merge(grid, [views[k] for k in order])
    assert {(pixels(list(one.pieces)), one[1:]) for one in shuffled} == {
        (pixels(list(one.pieces)), one[1:]) for one in found
    }


@settings(deadline=None, max_examples=10)
@given(GRIDS, SEEDS)
def test_things_that_their_most_central_view_shows_are_what_the_rules_make_of_them(grid: Grid, seed: int) -> None:
    views = noisy(grid, seed)
    found = merge(grid, views)
    with mock.patch.object(merging, "_one_thing", return_value=None):
        ruled = merge(grid, views)
    assert {(pixels(list(one.pieces)), one[1:]) for one in ruled} == {
        (pixels(list(one.pieces)), one[1:]) for one in found
    }


@settings(deadline=None, max_examples=8)
@given(SEEDS)
def test_what_a_single_window_sees_is_not_changed(seed: int) -> None:
    mask = random_mask(np.random.default_rng(seed), 60, 50)
    found = merge(Grid(60, 50, 64, 16), views_of(mask, Grid(60, 50, 64, 16)))
    assert pixels(layer(found)) == pixels(truth_of(mask))
    assert all(one.whole and one.views == 1 and one.windows == (0,) for one in found)


GRID = Grid(100, 32, 40, 10)  # columns start at 0, 30, 60


def box_view(window: int, x: int, y: int, w: int, h: int, score: float = 0.5) -> View:
    return make_view(GRID, window, Runs(x, y, w, h, np.array([0, w * h], np.uint32)), score)


def test_a_half_is_dropped_for_the_whole_and_lends_it_its_score() -> None:
    (found,) = merge(GRID, [box_view(0, 35, 5, 5, 6, 0.9), box_view(1, 35, 5, 12, 6, 0.4)])
    assert found.pieces[0].box == (35, 5, 12, 6)
    assert found[1:] == (0.9, (0, 1), True, 2)


def test_halves_that_no_window_sees_whole_are_joined() -> None:
    (found,) = merge(GRID, [box_view(0, 2, 5, 38, 6), box_view(1, 30, 5, 40, 6), box_view(2, 60, 5, 33, 6)])
    assert found.pieces[0].box == (2, 5, 91, 6)
    assert (found.whole, found.views) == (False, 3)


def test_a_cut_view_that_a_better_placed_window_denies_is_dropped_but_not_where_nobody_looked() -> None:
    lonely = box_view(0, 36, 5, 4, 6)
    assert merge(GRID, [lonely]) == []
    from geopixel_edge.scenes.sweep import merge_views

    (kept,) = merge_views(GRID, lambda window: window == 0, [(0, [lonely])])
    assert kept.pieces[0].box == (36, 5, 4, 6)


def test_neighbours_that_share_little_stay_two_and_the_more_central_keeps_what_they_share() -> None:
    one, other = box_view(0, 10, 10, 24, 8), box_view(1, 32, 10, 20, 8)
    first, second = merge(GRID, [one, other])
    assert first.pieces[0].box == (10, 10, 24, 8)
    assert second.pieces[0].box == (34, 10, 18, 8)


def test_unknown_scores_stay_unknown() -> None:
    (found,) = merge(GRID, [box_view(0, 8, 8, 5, 5, math.nan)])
    assert math.isnan(found.score)


@pytest.mark.parametrize("side", [33_000, 70_000])
def test_objects_larger_than_the_kernels_take_are_kept_in_disjoint_pieces(side: int) -> None:
    grid = Grid(side, 500, 512, 128)
    views = []
    for index in range(len(grid)):
        x, _y, w, _h = grid.box(index)
        views.append(make_view(grid, index, Runs(x, 200, w, 9, np.array([0, 9 * w], np.uint32)), 0.5))
    (found,) = merge(grid, views)
    assert len(found.pieces) > 1
    assert found.area_px == 9 * side
    assert found.pieces[-1].x + found.pieces[-1].w == side


def test_corners_connect() -> None:
    assert len(truth_of(np.eye(9, dtype=np.bool_))) == 1
    assert runs_of(np.zeros((3, 3), np.bool_)).area_px == 0
