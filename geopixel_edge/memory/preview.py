"""A memory plan for people: made from an engine's manifest alone, before anything is loaded."""

from __future__ import annotations

import re
from pathlib import Path

from .. import limits
from ..blocks.divider import plan_grid
from ..checks import check_integer, check_size
from ..engine import BUNDLED
from ..engine.directory import read_manifest
from ..engine.manifest import Sizes
from ..errors import OptionError
from .amount import parse_memory
from .plan import MOST_BATCHED, Layout, Plan, Request, make_plan

_SIZE = re.compile(r"([0-9]{1,6})[xX\u00d7]([0-9]{1,6})")
_DEFAULT_SIZE = "1024x1024"
# Of a usual question with its template.
TEXT_TOKENS = 64


def preview(
    engine_dir: Path | None,
    image: str | None,
    size: str | None,
    hd_num: int,
    max_new_tokens: int,
    batch: int,
    memory: str | int | None,
) -> Plan:
    """The plan of one question about an image, or one of a size "WxH" in pixels.

    MemoryBudgetError where no plan fits `memory`; OptionError, ImageError or EngineError for what cannot be used.
    """
    if image is not None and size is not None:
        raise OptionError(f"size={size!r} is given beside an image; give one of the two")
    check_integer("hd_num", hd_num, 1, limits.MAX_HD_NUM)
    check_integer("max_new_tokens", max_new_tokens, 1, limits.MAX_NEW_TOKENS)
    check_integer("batch", batch, 1, MOST_BATCHED)
    width_px, height_px = _size(size or _DEFAULT_SIZE) if image is None else _size_of(image)
    manifest = read_manifest(BUNDLED if engine_dir is None else engine_dir)
    budget_bytes = parse_memory(memory)
    finer = range(hd_num, 0, -1) if budget_bytes else (hd_num,)
    layouts = tuple(layout_of(manifest.sizes, width_px, height_px, one, max_new_tokens)[0] for one in finer)
    return make_plan(manifest, Request(layouts, max_new_tokens, width_px * height_px, batch=batch), budget_bytes)


def layout_of(
    sizes: Sizes, width_px: int, height_px: int, hd_num: int, max_new_tokens: int = 1024
) -> tuple[Layout, bool]:
    """How an image is divided beside a usual question, and whether less finely than asked for, to fit the prompt."""
    room = min(sizes.max_prompt_tokens, sizes.max_positions - max_new_tokens) - TEXT_TOKENS
    grid, reduced = plan_grid(width_px, height_px, hd_num, sizes.tile_px, room, sizes.tokens_per_side)
    return Layout(hd_num, 1 + grid.tiles, TEXT_TOKENS + grid.image_tokens(sizes.tokens_per_side)), reduced


def _size(size: str) -> tuple[int, int]:
    found = _SIZE.fullmatch(size.strip())
    if found is None:
        raise OptionError(f"size={size!r} is no size; give width and height in pixels, as 4000x3000")
    width_px, height_px = int(found[1]), int(found[2])
    check_size(width_px, height_px)
    return width_px, height_px


def _size_of(image: str) -> tuple[int, int]:
    from ..images import load_image

    loaded = load_image(image)
    return loaded.width_px, loaded.height_px
