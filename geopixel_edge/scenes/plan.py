"""What a scene will take, before anything is loaded or read: windows, batches, memory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from .. import limits
from ..engine.manifest import Manifest
from ..memory.plan import Plan
from ..rasters.colouring import Reading
from ..rasters.gdal import CACHE_BYTES
from ..rasters.raster import Raster
from .fitting import batch_of, plan_of, window_of
from .interest import interest_of
from .opening import Scene
from .options import SceneOptions
from .scale import Scale, scale_of
from .windows import Grid, make_grid

_BYTES_OF_A_PIXEL = 4  # red, green, blue, and whether it is there


@dataclass(frozen=True)
class ScenePlan:
    """A scene's windows, and the memory plan `engine` of those that are asked together.

    `empty` windows hold no data as far as the file's index tells, `outside` ones do not meet the area of interest.
    `row_bytes`: a row of the blocks that the file is stored in, 0 where it is held in memory whole.
    """

    scale: Scale
    crs: str | None
    gsd_m: tuple[float, float] | None
    grid: Grid
    empty: int
    outside: int
    batch: int
    jobs: int
    row_bytes: int
    engine: Plan

    @property
    def asked(self) -> int:
        """Windows that are read and, where they hold a valid pixel, asked."""
        return len(self.grid) - self.empty - self.outside

    @property
    def batches(self) -> int:
        """How often windows are asked together."""
        return -(-self.asked // self.batch)

    @property
    def peak_bytes(self) -> int:
        """The most that all processes take: each has an engine, two batches of windows and GDAL's blocks."""
        windows = 2 * self.batch * self.grid.window_px**2 * _BYTES_OF_A_PIXEL
        return self.jobs * (self.engine.peak_bytes + windows + CACHE_BYTES)

    @property
    def reads_again(self) -> bool:
        """Whether a row of windows needs more blocks than GDAL keeps, so that they are decoded several times."""
        return self.row_bytes > CACHE_BYTES


def is_scene(image: str | os.PathLike[str]) -> bool:
    """Whether an image is over the bound of `Pipeline.open`, by its header."""
    scene = _unread(image, SceneOptions())
    if not scene.by_gdal():
        return False
    with scene.open() as raster:
        width, height = raster.width_px, raster.height_px
    return width * height > limits.MAX_IMAGE_PIXELS or max(width, height) > limits.MAX_IMAGE_SIDE_PX


def plan_scene(
    image: str | os.PathLike[str],
    manifest: Manifest,
    options: SceneOptions,
    phrases: int = 1,
    budget_bytes: int | None = None,
) -> ScenePlan:
    """How a scene would be asked for so many phrases. Its header and index are read, no pixel is.

    ImageError, OptionError and GeoReferenceError as of `Pipeline.scene`; MemoryBudgetError where nothing fits.
    """
    window_px = window_of(manifest, options)
    with _unread(image, options).open() as raster:
        place, scale = raster.place, scale_of(raster.place, options.gsd)
        grid = make_grid(*scale.seen_px, window_px, options.overlap)
        outside = bytes(len(grid)) if options.aoi is None else _outside(options.aoi, raster, grid, scale)
        empty = 0
        for number, left_out in enumerate(outside):
            empty += not left_out and not raster.stored(*scale.box(grid.box(number)))
        row_bytes = int(getattr(raster, "row_bytes", 0))
    batch = batch_of(manifest, window_px, phrases, options, budget_bytes)
    questions = batch * (phrases + options.describe) if batch > 1 else 1
    engine = plan_of(manifest, window_px, options, questions, budget_bytes and budget_bytes // options.jobs)
    gsd, crs = place.gsd_m, place.crs_name if place.has_crs else None
    return ScenePlan(scale, crs, gsd, grid, empty, sum(outside), batch, options.jobs, row_bytes, engine)


def _unread(image: str | os.PathLike[str], options: SceneOptions) -> Scene:
    path = Path(os.path.abspath(os.fspath(image)))
    return Scene(path, Reading(options.bands), options.given(), options.ground(), options.gsd).unread()


def _outside(aoi: Path, raster: Raster, grid: Grid, scale: Scale) -> bytes:
    """A byte for each window, 1 where it does not meet the area."""
    windows = interest_of(Path(os.path.abspath(aoi)), raster.place, grid, scale).windows
    return bytes(1 - one for one in windows)
