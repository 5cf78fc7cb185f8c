"""How long a window takes, by asking about one: what a job's time is estimated from."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from ..rasters.raster import Raster
from .asking import PipelineAsker
from .fitting import window_of
from .opening import Scene
from .options import SceneOptions
from .pipeline_scene import reading_of
from .scale import scale_of
from .windows import Grid, make_grid

# How long an answer about a kind of thing takes hardly depends on the kind.
_PHRASE = "buildings"


def measure_window(
    pipeline: Any, image: str | os.PathLike[str], options: SceneOptions, phrases: int = 1
) -> float | None:
    """Seconds that a window takes with so many phrases, by one near the middle; None where no pixel is valid.

    `pipeline`: a Pipeline. It is asked twice, so that what is done once a process does not count. Raises as
    `Pipeline.scene`.
    """
    if not phrases and not options.describe:
        raise OptionError("phrases=0 asks nothing that takes time; give at least 1, or describe=True")
    path, manifest = Path(os.path.abspath(os.fspath(image))), pipeline.engine.manifest
    scene = Scene(path, reading_of(manifest, options), options.given(), options.ground(), options.gsd)
    with scene.open() as raster:
        scale = scale_of(raster.place, options.gsd)
    grid = make_grid(*scale.seen_px, window_of(manifest, options), options.overlap)
    with scene.seen(scale) as raster:
        window = next(_windows(raster, grid), None)
    if window is None:
        return None
    asker, seconds = PipelineAsker(pipeline, options.hd_num), 0.0
    for _ in range(2):
        started = time.perf_counter()
        asker.ask([window], (_PHRASE,) * phrases, options.describe)
        seconds = time.perf_counter() - started
    return seconds


def _windows(raster: Raster, grid: Grid) -> Iterator[NDArray[np.uint8]]:
    """Pixels of windows that hold any, those in the middle of the grid first."""
    half = len(grid) // 2
    for number in (*range(half, len(grid)), *range(half - 1, -1, -1)):
        box = grid.box(number)
        if raster.stored(*box) and (window := raster.read(*box)).valid.any():
            yield window.rgb
