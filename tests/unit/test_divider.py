"""The divider against the reference's own numbers, Pillow and torch."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from geopixel_edge import limits
from geopixel_edge.blocks.divider import Grid, divide, divide_half, grounding_input, plan_grid
from geopixel_edge.engine.manifest import Normalisation
from geopixel_edge.errors import ImageError, OptionError
from geopixel_edge.kernels.native import native

DATA = Path(__file__).parents[1] / "data" / "tiny-geopixel"
CLIP = Normalisation(mean=(0.48145466, 0.4578275, 0.40821073), std=(0.26862954, 0.26130258, 0.27577711))
SAM = Normalisation(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
CASES = (
    "s1_wide_hd9",
    "s2_tall_hd9_seg_last",
    "s3_tiny_hd4_no_seg_eos",
    "s4_square_hd1_eos",
    "s7_big_hd9",
)
LARGEST = (1 - 0.406) / 0.225  # of any normalised value
SIDES = (1, 2, 3, 5, 17, 31, 64, 97, 128, 211)


def golden(case: str) -> tuple[dict[str, Any], Any, np.ndarray]:
    facts = json.loads((DATA / "goldens" / f"{case}.json").read_text())
    image = np.asarray(Image.open(DATA / "images" / facts["image"]))
    return facts, np.load(DATA / "goldens" / f"{case}.npz"), image


def sha256(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def assert_near(found: np.ndarray, facts: dict[str, Any], arrays: Any, key: str) -> None:
    """Within 1e-6 of the reference's largest value, at every value the reference keeps, and in the mean."""
    about = facts["subsample"][key]
    assert list(found.shape) == about["shape"]
    largest = max(abs(about["min"]), abs(about["max"]))
    np.testing.assert_allclose(found.ravel()[:: about["stride"]], arrays[key].ravel(), rtol=0, atol=1e-6 * largest)
    assert found.mean(dtype=np.float64) == pytest.approx(about["mean"], abs=1e-6 * largest)


def pillow_resize(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Columns first, in two calls: some Pillow versions turn the order round for tall images."""
    return np.asarray(
        Image.fromarray(image)
        .resize((width, image.shape[0]), Image.Resampling.BILINEAR)
        .resize((width, height), Image.Resampling.BILINEAR)
    )


def compose(image: np.ndarray, grid: Grid) -> np.ndarray:
    """The reference's steps one by one: transpose, resize, pad, transpose back, normalise, sample, cut."""
    upright = np.ascontiguousarray(image.swapaxes(0, 1)) if grid.transposed else image
    resized = pillow_resize(upright, grid.resized_w_px, grid.resized_h_px)
    below = -grid.resized_h_px % grid.tile_px
    padded = np.pad(resized, ((0, below), (0, 0), (0, 0)), constant_values=255)
    padded = np.ascontiguousarray(padded.swapaxes(0, 1)) if grid.transposed else padded
    mean, std = torch.tensor(CLIP.mean).view(3, 1, 1), torch.tensor(CLIP.std).view(3, 1, 1)
    planes = (torch.from_numpy(padded).permute(2, 0, 1).float().div(255) - mean) / std
    size = (grid.tile_px, grid.tile_px)
    view = torch.nn.functional.interpolate(planes[None], size=size, mode="bicubic", align_corners=False)
    tiles = planes.reshape(3, grid.rows, grid.tile_px, grid.cols, grid.tile_px).permute(1, 3, 0, 2, 4)
    return np.concatenate([view.numpy(), tiles.reshape(-1, 3, *size).numpy()])


@pytest.mark.parametrize("case", CASES)
def test_reference_case(case: str) -> None:
    facts, arrays, image = golden(case)
    width, height = facts["orig_wh"]
    grid, reduced = plan_grid(width, height, facts["hd_num"], 560, limits.MAX_PROMPT_TOKENS, 20)
    assert not reduced
    assert [grid.rows, grid.cols] == facts["grid_hw"]
    assert grid.transposed == facts["transposed"]
    assert [grid.resized_w_px, grid.resized_h_px] == facts["resized_wh_in_landscape_orientation"]
    assert grid.image_tokens(20) == facts["image_token_count"]
    width, height = (
        (grid.resized_h_px, grid.resized_w_px) if grid.transposed else (grid.resized_w_px, grid.resized_h_px)
    )
    resized = native.resize(image, width, height, grid.transposed)
    landscape = resized.swapaxes(0, 1) if grid.transposed else resized
    assert sha256(landscape) == facts["sha256_resized_uint8_hwc_landscape_orientation"]
    padded = np.full((grid.rows * 560, grid.cols * 560, 3), 255, np.uint8)
    padded[:height, :width] = resized
    assert sha256(padded) == facts["sha256_padded_uint8_hwc"]
    views = divide(image, grid, CLIP)
    assert views.dtype == np.float32
    assert sha256(views[1:]) == facts["sha256_clip_in_tiles_f32"]
    assert_near(views[1:], facts, arrays, "clip_in_tiles")
    assert_near(views[:1], facts, arrays, "clip_in_global")
    assert_near(grounding_input(image, 1024, SAM), facts, arrays, "sam_in")


@pytest.mark.parametrize("seed", range(60))
def test_resize_is_pillow_bit_for_bit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    in_h, in_w, out_h, out_w = (int(side) for side in rng.choice(SIDES, 4))
    image = rng.integers(0, 256, (in_h, in_w, 3), dtype=np.uint8)
    np.testing.assert_array_equal(native.resize(image, out_w, out_h, False), pillow_resize(image, out_w, out_h))
    turned = pillow_resize(np.ascontiguousarray(image.swapaxes(0, 1)), out_h, out_w).swapaxes(0, 1)
    np.testing.assert_array_equal(native.resize(image, out_w, out_h, True), turned)


@pytest.mark.parametrize(("width", "height"), [(1333, 777), (1920, 1080), (601, 600), (4000, 37), (900, 2)])
def test_one_pillow_call_gives_the_same_at_the_planned_sizes(width: int, height: int) -> None:
    image = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    grid, _ = plan_grid(width, height, 4, 560)
    size = (grid.resized_w_px, grid.resized_h_px)
    whole = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(native.resize(image, *size, False), whole)


@pytest.mark.parametrize("extreme", [0, 255])
def test_resize_keeps_flat_images_flat(extreme: int) -> None:
    image = np.full((37, 911, 3), extreme, np.uint8)
    assert (native.resize(image, 200, 555, False) == extreme).all()


@settings(max_examples=120, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 14), st.sampled_from([1, 2, 5, 14]), st.integers(0, 3))
def test_divide_is_the_reference_composition(width: int, height: int, hd_num: int, tile_px: int, threads: int) -> None:
    image = np.random.default_rng(width * 91 + height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    grid, _ = plan_grid(width, height, hd_num, tile_px)
    if grid.tiles > 60:
        grid, _ = plan_grid(width, height, hd_num, tile_px, 61 * 4, 2)
    views, expected = divide(image, grid, CLIP, threads=threads), compose(image, grid)
    np.testing.assert_array_equal(views[1:], expected[1:])
    np.testing.assert_allclose(views[0], expected[0], rtol=0, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (97, 61), (640, 640), (211, 1201), (1500, 333)])
@pytest.mark.parametrize("side", [16, 255, 1024])
def test_grounding_input_is_torchs_antialiased_resize(shape: tuple[int, int], side: int) -> None:
    image = np.random.default_rng(side).integers(0, 256, (*shape, 3), dtype=np.uint8)
    planes = torch.from_numpy(image).permute(2, 0, 1).float().div(255)[None]
    squashed = torch.nn.functional.interpolate(
        planes, size=(side, side), mode="bilinear", align_corners=False, antialias=True
    )
    mean, std = torch.tensor(SAM.mean).view(3, 1, 1), torch.tensor(SAM.std).view(3, 1, 1)
    expected = ((squashed - mean) / std).numpy()
    found = grounding_input(image, side, SAM)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * LARGEST)


def test_a_window_of_a_larger_raster_and_any_thread_count_give_the_same() -> None:
    raster = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    window = raster[31:231, 17:290]
    grid, _ = plan_grid(273, 200, 6, 56)
    expected = divide(window.copy(), grid, CLIP, threads=1), grounding_input(window.copy(), 64, SAM, threads=1)
    for threads in (1, 2, 3, 7, 64):
        np.testing.assert_array_equal(divide(window, grid, CLIP, threads=threads), expected[0])
        np.testing.assert_array_equal(grounding_input(window, 64, SAM, threads=threads), expected[1])
    flipped = raster[::-1, ::-1]
    np.testing.assert_array_equal(grounding_input(flipped, 64, SAM), grounding_input(flipped.copy(), 64, SAM))


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (None, "image is NoneType; give a uint8 array"),
        ([[1, 2, 3]], "image is list; give a uint8 array"),
        (np.zeros((4, 4), np.uint8), r"image is uint8 \(4, 4\)"),
        (np.zeros((4, 4, 4), np.uint8), r"image is uint8 \(4, 4, 4\)"),
        (np.zeros((4, 4, 3), np.float32), r"image is float32 \(4, 4, 3\)"),
        (np.zeros((0, 4, 3), np.uint8), "4 x 0 px is empty"),
        (np.zeros((4, 0, 3), np.uint8), "0 x 4 px is empty"),
        (np.zeros((1, limits.MAX_IMAGE_SIDE_PX + 1, 3), np.uint8), "65536 x 1 px is too large"),
    ],
)
def test_arrays_that_are_no_image(image: Any, said: str) -> None:
    with pytest.raises(ImageError, match=said):
        divide(image, Grid(1, 1, 14, 14, False, 14), CLIP)
    with pytest.raises(ImageError, match=said):
        grounding_input(image, 16, SAM)


def test_options_outside_their_range() -> None:
    image, grid = np.zeros((4, 4, 3), np.uint8), Grid(1, 1, 14, 14, False, 14)
    with pytest.raises(OptionError, match="pad_value"):
        divide(image, grid, CLIP, pad_value=256)
    with pytest.raises(OptionError, match="threads"):
        divide(image, grid, CLIP, threads=-1)
    with pytest.raises(OptionError, match="side_px"):
        grounding_input(image, 0, SAM)
    with pytest.raises(OptionError, match=r"Grid\(rows=1, .* does not hold its resized image"):
        divide(image, Grid(1, 1, 15, 14, False, 14), CLIP)
    with pytest.raises(OptionError, match=r"Grid\(rows=60000, .* does not hold its resized image"):
        divide(image, Grid(60_000, 60_000, 14, 14, False, 1), CLIP)
    with pytest.raises(OptionError, match="std="):
        divide(image, grid, Normalisation(mean=(0.0, 0.0, 0.0), std=(1.0, 0.0, 1.0)))
    with pytest.raises(OptionError, match="mean="):
        grounding_input(image, 16, Normalisation(mean=(0.0, math.nan, 0.0), std=(1.0, 1.0, 1.0)))


def test_a_given_array_takes_the_result() -> None:
    image = np.random.default_rng(2).integers(0, 256, (50, 80, 3), dtype=np.uint8)
    grid, _ = plan_grid(80, 50, 4, 28)
    views = np.full((1 + grid.tiles, 3, 28, 28), np.nan, np.float32)
    assert divide(image, grid, CLIP, out=views) is views
    np.testing.assert_array_equal(views, divide(image, grid, CLIP))
    squashed = np.full((1, 3, 40, 40), np.nan, np.float32)
    assert grounding_input(image, 40, SAM, out=squashed) is squashed
    np.testing.assert_array_equal(squashed, grounding_input(image, 40, SAM))
    frozen = squashed.copy()
    frozen.setflags(write=False)
    refused: list[tuple[Any, str]] = [
        ([], "out is list"),
        (squashed[0], r"out is float32 \(3, 40, 40\)"),
        (squashed.astype(np.float64), "out is float64"),
        (squashed[:, :, ::-1], "out is not C-contiguous"),
        (squashed.swapaxes(2, 3), "out is not C-contiguous"),
        (frozen, "out is not C-contiguous and writeable"),
    ]
    for bad, said in refused:
        with pytest.raises(OptionError, match=said):
            grounding_input(image, 40, SAM, out=bad)
    with pytest.raises(OptionError, match=r"out is float32 \(\d+, 3, 28, 28\)"):
        divide(image, grid, CLIP, out=views[:-1])


def test_half_precision_is_the_full_one_rounded() -> None:
    image = np.random.default_rng(3).integers(0, 256, (61, 97, 3), dtype=np.uint8)
    grid, _ = plan_grid(97, 61, 4, 35)
    tiny = Normalisation(mean=(0.5, 0.5, 0.5), std=(3e-6, 2000.0, 9e7))  # reaches inf, normals and subnormals
    for scaling in (CLIP, tiny):
        with np.errstate(over="ignore"):
            expected = divide(image, grid, scaling).astype(np.float16)
        found = divide_half(image, grid, scaling, threads=2)
        assert found.dtype == np.float16
        np.testing.assert_array_equal(found.view(np.uint16), expected.view(np.uint16))
    kept = np.zeros_like(found)
    assert divide_half(image, grid, CLIP, out=kept) is kept
    with pytest.raises(OptionError, match="float16"):
        divide_half(image, grid, CLIP, out=cast(Any, divide(image, grid, CLIP)))
