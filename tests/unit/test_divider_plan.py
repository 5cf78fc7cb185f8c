"""How many tiles an image gets: the original's rule, its limits, and the token limit."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geopixel_edge import limits
from geopixel_edge.blocks.divider import plan_grid
from geopixel_edge.errors import ImageError, OptionError, PromptTooLongError


@pytest.mark.parametrize(
    ("size", "hd_num", "rows", "cols"),
    [
        ((3000, 2000), 9, 4, 5),
        ((1333, 777), 1, 2, 2),
        ((640, 640), 1, 1, 1),
        ((97, 61), 4, 2, 2),
        ((20000, 1), 9, 1, 35),
        ((1, 20000), 9, 35, 1),
        ((559, 559), 9, 3, 3),
        ((4096, 4096), 9, 7, 7),
    ],
)
def test_plan_follows_the_originals_rule(size: tuple[int, int], hd_num: int, rows: int, cols: int) -> None:
    grid, reduced = plan_grid(*size, hd_num, 560)
    assert (grid.rows, grid.cols, reduced) == (rows, cols, False)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 9000), st.integers(1, 9000), st.integers(1, limits.MAX_HD_NUM))
def test_plan_in_plain_words(width: int, height: int, hd_num: int) -> None:
    grid, _ = plan_grid(width, height, hd_num, 560)
    ratio = max(width, height) / min(width, height)
    fitting = max(scale for scale in range(1, hd_num + 1) if scale * math.ceil(scale / ratio) <= hd_num)
    scale = max(max(width, height) // 560, fitting)
    assert max(grid.rows, grid.cols) == scale
    assert grid.resized_w_px == 560 * scale
    assert grid.resized_h_px == max(1, int(560 * scale / ratio))
    assert min(grid.rows, grid.cols) == math.ceil(grid.resized_h_px / 560)
    assert grid.transposed == (width < height)


def test_a_grid_over_the_token_limit_becomes_the_largest_that_fits() -> None:
    whole, _ = plan_grid(4096, 4096, 9, 560)
    assert whole.image_tokens(20) == 20_161
    grid, reduced = plan_grid(4096, 4096, 9, 560, limits.MAX_PROMPT_TOKENS - 1, 20)
    assert (grid.rows, grid.cols, reduced) == (6, 6, True)
    assert grid.image_tokens(20) <= limits.MAX_PROMPT_TOKENS - 1
    assert plan_grid(4096, 4096, 9, 560, 20_161, 20) == (whole, False)
    with pytest.raises(PromptTooLongError, match="840 tokens"):
        plan_grid(4096, 4096, 9, 560, 840, 20)
    assert plan_grid(4096, 4096, 9, 560, 841, 20)[0].tiles == 1


@pytest.mark.parametrize("hd_num", [0, -1, limits.MAX_HD_NUM + 1, 10**30, True, 9.0, "9", None, float("nan")])
def test_hd_num_outside_its_range(hd_num: Any) -> None:
    with pytest.raises(OptionError, match="hd_num"):
        plan_grid(100, 100, hd_num, 560)


def test_a_token_limit_without_a_count_per_side() -> None:
    with pytest.raises(OptionError, match="tokens_per_side"):
        plan_grid(100, 100, 9, 560, 1000)


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ((0, 5), "0 x 5 px is empty"),
        ((5, 0), "5 x 0 px is empty"),
        ((-3, 5), "-3 x 5 px is empty"),
        ((limits.MAX_IMAGE_SIDE_PX + 1, 1), "65536 x 1 px is too large"),
        ((60_000, 60_000), "60000 x 60000 px is too large"),
    ],
)
def test_sizes_no_image_may_have(size: tuple[int, int], said: str) -> None:
    with pytest.raises(ImageError, match=said):
        plan_grid(*size, 9, 560)
