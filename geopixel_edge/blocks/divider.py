"""Adaptive Image Divider (paper block 1): an RGB image becomes a global view and a grid of tiles."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import limits
from ..arrays import F16, F32, U8
from ..checks import check_integer, check_size
from ..engine.manifest import Normalisation
from ..errors import ImageError, OptionError, PromptTooLongError
from ..kernels.native import native


@dataclass(frozen=True)
class Grid:
    """How an image is divided: `rows` x `cols` tiles in the image's own orientation.

    The resized sizes are those before padding, in landscape orientation: a portrait image (`transposed`) is resized
    as its transpose, so its resized width is its height (reference behaviours 2 and 3).
    """

    rows: int
    cols: int
    resized_w_px: int
    resized_h_px: int
    transposed: bool
    tile_px: int

    @property
    def tiles(self) -> int:
        """Number of tiles, without the global view."""
        return self.rows * self.cols

    def image_tokens(self, tokens_per_side: int) -> int:
        """Tokens the image takes in the prompt, separators included (reference behaviour 8)."""
        return (self.tiles + 1) * tokens_per_side**2 + 1 + (self.rows + 1) * tokens_per_side


def check_image(image: object) -> U8:
    """The array when it is uint8 (H, W, 3) with pixels side by side (any positive row stride); ImageError otherwise."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ImageError(f"image is {found}; give a uint8 array of shape (height, width, 3) in RGB order")
    check_size(image.shape[1], image.shape[0])
    packed = image.strides[2] == 1 and (image.shape[1] == 1 or image.strides[1] == 3)
    return image if packed and image.strides[0] >= 3 * image.shape[1] else np.ascontiguousarray(image)


def _check_normalisation(normalisation: Normalisation) -> None:
    finite = all(math.isfinite(value) for value in (*normalisation.mean, *normalisation.std))
    if not finite or min(normalisation.std) <= 0:
        raise OptionError(f"normalisation has mean or std out of range ({normalisation}); std must be above 0")


def _check_grid(grid: Grid) -> None:
    rows, cols = (grid.cols, grid.rows) if grid.transposed else (grid.rows, grid.cols)
    fits = 1 <= grid.resized_w_px <= cols * grid.tile_px and 1 <= grid.resized_h_px <= rows * grid.tile_px
    padded_px = rows * cols * grid.tile_px**2
    too_large = max(rows, cols) * grid.tile_px > limits.MAX_IMAGE_SIDE_PX or padded_px > 2 * limits.MAX_IMAGE_PIXELS
    if not fits or grid.tile_px < 1 or too_large:
        raise OptionError(f"grid={grid} does not hold its resized image; take the one plan_grid gives")


def _grid(width_px: int, height_px: int, scale: int, tile_px: int) -> Grid:
    transposed = width_px < height_px
    long_px, short_px = max(width_px, height_px), min(width_px, height_px)
    resized_w = tile_px * scale
    # A strip thinner than its scale would round to no rows at all, where the original fails.
    resized_h = max(1, int(resized_w / (long_px / short_px)))
    short_tiles = math.ceil(resized_h / tile_px)
    rows, cols = (scale, short_tiles) if transposed else (short_tiles, scale)
    return Grid(rows, cols, resized_w, resized_h, transposed, tile_px)


def plan_grid(
    width_px: int,
    height_px: int,
    hd_num: int,
    tile_px: int,
    max_image_tokens: int | None = None,
    tokens_per_side: int | None = None,
) -> tuple[Grid, bool]:
    """The grid the original gives this image (reference behaviours 2 and 3), and whether it had to be reduced.

    `hd_num` steers the scale and is no upper bound on tiles: an image wider than `scale` tiles gets one tile per
    `tile_px` of its long side. With `max_image_tokens` (and the `tokens_per_side` to count with) the largest scale
    whose tokens fit is taken; PromptTooLongError when none does, OptionError or ImageError for bad arguments.
    """
    check_size(width_px, height_px)
    hd_num = check_integer("hd_num", hd_num, 1, limits.MAX_HD_NUM)
    tile_px = check_integer("tile_px", tile_px, 1, limits.MAX_IMAGE_SIDE_PX)
    long_px, short_px = max(width_px, height_px), min(width_px, height_px)
    scale = 1
    while (scale + 1) * math.ceil((scale + 1) / (long_px / short_px)) <= hd_num:
        scale += 1
    asked = max(long_px // tile_px, scale)
    if max_image_tokens is None:
        return _grid(width_px, height_px, asked, tile_px), False
    if tokens_per_side is None:
        raise OptionError("max_image_tokens needs tokens_per_side to count with; give both or neither")
    for candidate in range(asked, 0, -1):
        grid = _grid(width_px, height_px, candidate, tile_px)
        if grid.image_tokens(tokens_per_side) <= max_image_tokens:
            return grid, candidate != asked
    raise PromptTooLongError(
        f"even one tile of this {width_px} x {height_px} image needs more than the {max_image_tokens} tokens left for "
        f"it; shorten the question or history"
    )


def _check_out(out: object, dtype: type[np.floating[Any]], shape: tuple[int, ...]) -> None:
    if out is None:
        return
    name = np.dtype(dtype).name
    if not isinstance(out, np.ndarray) or out.dtype != dtype or out.shape != shape:
        found = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise OptionError(f"out is {found}; give a {name} array of shape {shape}, or None for a new one")
    if not (out.flags.c_contiguous and out.flags.writeable):
        raise OptionError("out is not C-contiguous and writeable; give a fresh array, or None for a new one")


def _divide(
    image: U8,
    grid: Grid,
    normalisation: Normalisation,
    pad_value: int,
    threads: int,
    out: NDArray[Any] | None,
    half: bool,
) -> NDArray[Any]:
    image = check_image(image)
    _check_grid(grid)
    _check_normalisation(normalisation)
    pad_value = check_integer("pad_value", pad_value, 0, 255)
    threads = check_integer("threads", threads, 0, limits.MAX_THREADS)
    _check_out(out, np.float16 if half else np.float32, (1 + grid.tiles, 3, grid.tile_px, grid.tile_px))
    return native.divide(
        image,
        grid.rows,
        grid.cols,
        grid.resized_w_px,
        grid.resized_h_px,
        grid.transposed,
        grid.tile_px,
        normalisation.mean,
        normalisation.std,
        pad_value,
        threads,
        out,
        half,
    )


def divide(
    image: U8,
    grid: Grid,
    normalisation: Normalisation,
    pad_value: int = 255,
    threads: int = 0,
    out: F32 | None = None,
) -> F32:
    """uint8 (H, W, 3) -> float32 (1 + tiles, 3, tile_px, tile_px): global view first, then tiles row by row.

    Resized as Pillow BILINEAR does bit for bit, padded below (a portrait image: at the right) with `pad_value`,
    normalised; the global view is a bicubic sample of the padded image (reference behaviours 2, 4, 5 and 6).
    `threads=0` uses every core; `out` takes the result in place of a new array, whose fresh pages can cost more than
    the work. ImageError or OptionError for bad arguments.
    """
    views: F32 = _divide(image, grid, normalisation, pad_value, threads, out, half=False)
    return views


def divide_half(
    image: U8,
    grid: Grid,
    normalisation: Normalisation,
    pad_value: int = 255,
    threads: int = 0,
    out: F16 | None = None,
) -> F16:
    """As `divide`, each value rounded to float16 (to nearest, ties to even): half the memory to write."""
    views: F16 = _divide(image, grid, normalisation, pad_value, threads, out, half=True)
    return views


def grounding_input(
    image: U8, side_px: int, normalisation: Normalisation, threads: int = 0, out: F32 | None = None
) -> F32:
    """uint8 (H, W, 3) -> float32 (1, 3, side_px, side_px), SAM 2's input (reference behaviour 21).

    The image is squashed, aspect not kept, by antialiased bilinear, then normalised. `out` and errors as `divide`.
    """
    image = check_image(image)
    _check_normalisation(normalisation)
    side_px = check_integer("side_px", side_px, 1, limits.MAX_IMAGE_SIDE_PX)
    threads = check_integer("threads", threads, 0, limits.MAX_THREADS)
    _check_out(out, np.float32, (1, 3, side_px, side_px))
    return native.grounding_input(image, side_px, normalisation.mean, normalisation.std, threads, out)
