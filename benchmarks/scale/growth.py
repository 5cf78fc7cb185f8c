"""How time grows with what is asked: rows of the prompt, new tokens, tiles, and `[SEG]` tokens."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from geopixel_edge.blocks.divider import Grid
from geopixel_edge.errors import OutputError
from geopixel_edge.images import load_image
from geopixel_edge.model import Model

from . import ours

SIZES = {
    "prompt_rows": (256, 512, 1024, 2048, 4096),
    "new_tokens": (4, 16, 64),
    "tiles": (1, 4, 9),
    "segs": (1, 2, 4, 8, 16),
}
LABELS = {"prompt_rows": "rows of the prompt", "new_tokens": "new tokens", "segs": "[SEG] tokens"}
_CACHED = 512  # behind which new tokens are written
_RUNS = 3


def measured(model: Model, sizes: Mapping[str, Sequence[int]] = SIZES) -> dict[str, dict[str, float]]:
    """Seconds of each size: the median of three runs, one uncounted before them."""
    made: dict[str, Callable[[int], Callable[[], Any]]] = {
        "prompt_rows": lambda count: ours.prefill(model, count),
        "new_tokens": lambda count: _new_tokens(model, count),
        "tiles": lambda count: _tiles(model, count),
        "segs": lambda count: _segs(model, count),
    }
    return {name: {str(count): _median_s(made[name](count)) for count in counts} for name, counts in sizes.items()}


def draw(found: dict[str, dict[str, float]], out: Path) -> None:
    """A panel a series, both axes from 0: what grows in proportion is a straight line through the corner."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(found), figsize=(3.2 * len(found), 3), layout="constrained")
    for axis, (name, series) in zip(np.atleast_1d(axes), found.items(), strict=True):
        axis.plot([int(count) for count in series], list(series.values()), marker="o")
        axis.set(xlabel=LABELS.get(name, name), ylabel="seconds", xlim=(0, None), ylim=(0, None))
        axis.grid(True, alpha=0.3)
    try:
        figure.savefig(out, dpi=80)
    except (OSError, ValueError) as error:
        raise OutputError(f"--plot {out} cannot be written ({error}); give another place, ending in .png") from None
    finally:
        pyplot.close(figure)


def _median_s(action: Callable[[], Any]) -> float:
    action()
    seconds = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _new_tokens(model: Model, count: int) -> Callable[[], None]:
    step = ours.decode(model, _CACHED, 1, count * (_RUNS + 1))

    def write() -> None:
        for _ in range(count):
            step()

    return write


def _tiles(model: Model, count: int) -> Callable[[], Any]:
    side = model.manifest.sizes.tile_px
    views = np.zeros((1 + count, 3, side, side), np.float32)
    grid = Grid(1, count, side * count, side, False, side)
    return lambda: model.see(views, grid)


def _segs(model: Model, count: int) -> Callable[[], Any]:
    features = model.ground(load_image(Path(__file__).parents[2] / "examples" / "scene.png"))
    states = model.device.put(np.zeros((count, model.manifest.sizes.hidden), np.float32))
    return lambda: model.mask_logits(states, features)
