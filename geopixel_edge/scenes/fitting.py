"""What an engine takes at once: the side of a window, and how many of them. Arithmetic over its manifest alone."""

from __future__ import annotations

from ..engine.manifest import Manifest
from ..errors import MemoryBudgetError, OptionError
from ..memory.plan import MOST_BATCHED, Plan, Request, make_plan
from ..memory.preview import layout_of
from .options import SceneOptions
from .windows import MIN_OVERLAP_PX


def window_of(manifest: Manifest, options: SceneOptions) -> int:
    """The side of a window, in pixels as the model sees them: what is asked for, else the engine's own.

    The engine's is the one it was measured at, else five quarters of what SAM 2 sees; smaller where its prompt has no
    room for as fine a grid. OptionError where a window that is asked for has none.
    """
    sizes, hd_num = manifest.sizes, options.hd_num
    side_px = options.window or manifest.scene_window_px or sizes.grounding_px * 5 // 4
    while side_px > 2 * MIN_OVERLAP_PX and layout_of(sizes, side_px, side_px, hd_num)[1]:
        if options.window is not None:
            raise OptionError(
                f"window={side_px}: the engine's prompt has no room for as fine a grid of it; give a smaller window or "
                f"hd_num ({hd_num})"
            )
        side_px = max(side_px - sizes.tile_px, 2 * MIN_OVERLAP_PX)
    return side_px


def plan_of(manifest: Manifest, window_px: int, options: SceneOptions, batch: int, budget_bytes: int | None) -> Plan:
    """The memory plan of `batch` questions about windows. MemoryBudgetError where they do not fit."""
    layout, _ = layout_of(manifest.sizes, window_px, window_px, options.hd_num)
    return make_plan(manifest, Request((layout,), image_px=window_px**2, batch=batch), budget_bytes)


def batch_of(manifest: Manifest, window_px: int, phrases: int, options: SceneOptions, budget_bytes: int | None) -> int:
    """How many windows are asked together where the user does not say.

    One for phrases: their answers are drafted, so the model reads each in a run or two and there is nothing to share.
    With descriptions, which are written token by token, as many as fit beside each other with every block loaded.
    """
    if options.batch is not None or not options.describe:
        return options.batch or 1
    questions = phrases + 1
    for windows in range(MOST_BATCHED // questions, 1, -1):
        try:
            plan = plan_of(manifest, window_px, options, windows * questions, budget_bytes)
        except MemoryBudgetError:
            continue
        if plan.all_resident and plan.dims.batch == windows * questions:
            return windows
    return 1
