"""Vision Encoder (paper block 2): views of an image become the image tokens of the prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..arrays import Floats
from ..runtimes import Runner, Tensor
from .divider import Grid


class VisionEncoder:
    """CLIP, 2x2 merge and projector run per view; rows are stitched here (reference behaviours 6 to 8)."""

    def __init__(self, runner: Runner) -> None:
        self.runner, self.device = runner, runner.device

    def encode(
        self, views: Floats, grid: Grid, views_per_run: int, before_run: Callable[[], None] = lambda: None
    ) -> Tensor:
        """Views (1 + tiles, 3, S, S), global view first -> image tokens (T, hidden) float32 in prompt order.

        `before_run` is called before each run over a few views, and may raise to stop.
        """
        _, side, _, hidden = next(one.shape for one in self.runner.spec.outputs if one.name == "tokens")
        assert isinstance(side, int)
        assert isinstance(hidden, int)
        tokens = self.device.empty("float32", (len(views), side, side, hidden))
        try:
            for start in range(0, len(views), views_per_run):
                before_run()
                some = views[start : start + views_per_run]
                place = tokens.view(len(some), side, side, hidden, offset=start * side * side * hidden)
                more_follow = start + views_per_run < len(views)
                outputs = self.runner.run({"views": self.device.put(some)}, {"tokens": place}, more_follow)
        except BaseException:  # the last run, which gives back what all took, does not come
            self.runner.give_back({"views": self.device.put(views[:1])})
            raise
        return self._stitched(tokens, outputs["separators"], grid)

    def _stitched(self, tokens: Tensor, separators: Tensor, grid: Grid) -> Tensor:
        """Tokens (1 + tiles, G, G, C) and separators (2, C) -> (T, C), without leaving the device."""
        _, side, _, hidden = tokens.shape
        stitched = self.device.empty("float32", (grid.image_tokens(side), hidden))
        sources, row = (tokens, separators), 0
        for source, first, count in stitching(grid.rows, grid.cols, side):
            piece = sources[source].view(count, hidden, offset=first * hidden)
            self.device.copy(piece, stitched.view(count, hidden, offset=row * hidden))
            row += count
        return stitched


TOKENS, SEPARATORS = 0, 1


def stitching(rows: int, cols: int, side: int) -> Iterator[tuple[int, int, int]]:
    """Where the image tokens of the prompt lie, in order: (TOKENS or SEPARATORS, first row, number of rows).

    The global view's rows come first, then the rows of all tiles laid side by side. Separator 0 ends every row,
    separator 1 stands once between the two grids (reference behaviour 8).
    """
    for line in range(side):
        yield TOKENS, line * side, side
        yield SEPARATORS, 0, 1
    yield SEPARATORS, 1, 1
    for row in range(rows):
        for line in range(side):
            for col in range(cols):
                view = 1 + row * cols + col
                yield TOKENS, (view * side + line) * side, side
            yield SEPARATORS, 0, 1
