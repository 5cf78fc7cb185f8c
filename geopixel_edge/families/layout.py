"""How finely images are divided so that they and the text fit the prompt: nothing is cut silently."""

from __future__ import annotations

from collections.abc import Sequence

from .. import limits
from ..blocks.divider import Grid, plan_grid
from ..engine.manifest import Sizes
from ..errors import PromptTooLongError
from ..images import LoadedImage


def plan_images(
    images: Sequence[LoadedImage], hd_num: int, text_tokens: int, max_new_tokens: int, sizes: Sizes, compat: bool
) -> tuple[tuple[Grid, ...], list[str]]:
    """The grid of each image, and what had to be done differently.

    The original cuts a prompt at its limit, image first, and so loses the question (reference behaviour 11). Here the
    grid becomes the largest that fits, and a note says so; with `compat` PromptTooLongError refuses instead.
    PromptTooLongError too when the text alone leaves no room.
    """
    limit = min(sizes.max_prompt_tokens, sizes.max_positions - max_new_tokens)
    room = limit - text_tokens
    if room < 0 or (images and room == 0):
        raise PromptTooLongError(
            f"query and history take {text_tokens} tokens, with max_new_tokens={max_new_tokens} the prompt may have "
            f"{max(limit, 0)}; shorten them"
        )
    notes: list[str] = []
    if len(images) > 1:
        hd_num = limits.HD_NUM_SEVERAL_IMAGES
        notes.append(f"{len(images)} images: as in the original, hd_num={hd_num} for each, and no masks")
    grids = []
    for image in images:
        size_px = (image.width_px, image.height_px)
        grid, reduced = plan_grid(*size_px, hd_num, sizes.tile_px, room // len(images), sizes.tokens_per_side)
        if reduced:
            asked, _ = plan_grid(*size_px, hd_num, sizes.tile_px)
            notes.append(_reduction(image, asked, grid, limit, sizes, compat))
        grids.append(grid)
    return tuple(grids), notes


def _reduction(image: LoadedImage, asked: Grid, taken: Grid, limit: int, sizes: Sizes, compat: bool) -> str:
    text = (
        f"{image.name} ({image.width_px} x {image.height_px} px): {asked.rows} x {asked.cols} tiles take "
        f"{asked.image_tokens(sizes.tokens_per_side)} tokens of a prompt of {limit}"
    )
    if compat:
        raise PromptTooLongError(
            f"{text}, where the original loses the question; scale the image down, or compat=False"
        )
    return f"{text}, so it was divided into {taken.rows} x {taken.cols} and the question is read whole"
