"""Vision Encoder (paper block 2): views of an image become the image tokens of the prompt."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import limits
from ..arrays import F32
from ..runtimes import BlockRunner
from .divider import Grid


class VisionEncoder:
    """CLIP, 2x2 merge and projector run per view; rows are stitched here (reference behaviours 6 to 8)."""

    def __init__(self, runner: BlockRunner) -> None:
        self.runner = runner

    def encode(self, views: F32, grid: Grid, before_run: Callable[[], None] = lambda: None) -> F32:
        """Views (1 + tiles, 3, S, S), global view first -> image tokens (T, hidden) in prompt order.

        `before_run` is called before each run over a few views, and may raise to stop.
        """
        parts = []
        for start in range(0, len(views), limits.VIEWS_PER_RUN):
            before_run()
            outputs = self.runner.run({"views": views[start : start + limits.VIEWS_PER_RUN]})
            parts.append(outputs["tokens"])
        tokens: F32 = np.concatenate(parts).astype(np.float32, copy=False)
        return stitch(tokens, outputs["separators"].astype(np.float32, copy=False), grid.rows, grid.cols)


def stitch(tokens: F32, separators: F32, rows: int, cols: int) -> F32:
    """Tokens (1 + rows * cols, G, G, C) and separators (2, C) -> (T, C).

    The global view's rows come first, then the rows of all tiles laid side by side. Separator 0 ends every row,
    separator 1 stands once between the two grids (reference behaviour 8).
    """
    side, channels = tokens.shape[1], tokens.shape[-1]
    tiles = tokens[1:].reshape(rows, cols, side, side, channels).swapaxes(1, 2)
    tiles = tiles.reshape(rows * side, cols * side, channels)

    def with_row_ends(grid: F32) -> F32:
        ends = np.broadcast_to(separators[0], (len(grid), 1, channels))
        return np.concatenate([grid, ends], axis=1).reshape(-1, channels)

    return np.concatenate([with_row_ends(tokens[0]), separators[1:], with_row_ends(tiles)])
