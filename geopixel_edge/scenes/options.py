"""How a scene is looked at: one frozen record for the API and the command line."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from .. import limits
from ..checks import check_integer
from ..errors import OptionError
from ..memory.plan import MOST_BATCHED
from ..rasters.georeference import Ground
from ..rasters.given import GivenPlace, given_place


@dataclass(frozen=True)
class SceneOptions:
    """How a scene is looked at. OptionError names the field that is out of range.

    `window`, `overlap`: pixels; None takes the engine's window and a quarter of it. `bands`, `stretch`: the bands that
    are shown, counted from 1, and the (low, high) samples that the stretch starts from. `min_valid`: windows with less
    than this part of valid pixels are not asked. `min_area`: objects of fewer pixels are dropped after merging; None is
    0.002 % of a window. `min_score`: objects of a lower estimated IoU are dropped. `per_window`: also ask phrases that
    compare. `describe`: ask for a description of the whole and of every window, whose phrases become objects, too.
    `simplify`: vertices are dropped while outlines keep within so many pixels. `ids`: a mask holds ids of objects, not
    of phrases. `jobs`: processes; `batch`: windows asked together, None leaves it to the memory plan. `restart` forgets
    an earlier job of these outputs, `retry_failed` asks failed windows again, `keep_job` keeps the ledger.

    `gsd`: metres a pixel that the model is shown; None shows the scene's own pixels. `aoi`: a vector file whose
    polygons say which windows are asked and which objects are kept. `bounds` (west, south, east, north) or `transform`
    (six numbers), in `crs`, place a scene whose file does not. `rpc_height`, metres, or `dem`, a height model's TIFF:
    what a sensor's polynomials lay it on. `page`: also write a page to look at beside the first output.
    """

    window: int | None = None
    overlap: int | None = None
    bands: tuple[int, ...] | None = None
    stretch: tuple[tuple[float, float], ...] | None = None
    hd_num: int = 9
    min_valid: float = 0.0
    min_area: int | None = None
    min_score: float = 0.0
    per_window: bool = False
    describe: bool = False
    simplify: float = 0.0
    ids: bool = False
    jobs: int = 1
    batch: int | None = None
    restart: bool = False
    retry_failed: bool = False
    keep_job: bool = False
    gsd: float | None = None
    aoi: Path | None = None
    bounds: Sequence[float] | None = None
    transform: Sequence[float] | None = None
    crs: Any = None
    rpc_height: float | None = None
    dem: Path | None = None
    page: bool = True

    def __post_init__(self) -> None:
        for name, low, high in (
            ("window", 1, limits.MAX_SCENE_WINDOW_PX),
            ("overlap", 1, limits.MAX_SCENE_WINDOW_PX),
            ("min_area", 0, limits.MAX_SCENE_WINDOW_PX**2),
        ):
            if getattr(self, name) is not None:
                check_integer(name, getattr(self, name), low, high)
        check_integer("hd_num", self.hd_num, 1, limits.MAX_HD_NUM)
        check_integer("jobs", self.jobs, 1, limits.MAX_JOBS)
        if self.batch is not None:
            check_integer("batch", self.batch, 1, MOST_BATCHED)
        for name, least, most in (
            ("min_valid", 0.0, 1.0),
            ("min_score", 0.0, 1.0),
            ("simplify", 0.0, limits.MAX_TOLERANCE_PX),
            ("gsd", 1e-4, 1e5),
            ("rpc_height", -1e4, 1e5),
        ):
            value = getattr(self, name)
            if value is not None:
                _check_number(name, value, least, most)
        for name in ("aoi", "dem"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, (str, os.PathLike)) and os.fspath(value)):
                raise OptionError(f"{name}={value!r} names no file; give a path")
        if self.dem is not None and self.rpc_height is not None:
            raise OptionError("dem and rpc_height both say how high the ground is; give one of them")
        self.given()

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> SceneOptions:
        """Options by name; OptionError for one there is not."""
        known = [field.name for field in fields(cls)]
        if unknown := sorted(values.keys() - set(known)):
            raise OptionError(f"option {unknown[0]!r} is unknown; give one of {', '.join(known)}")
        return cls(**values)

    def given(self) -> GivenPlace | None:
        """The place that the user gave. OptionError, or GeoReferenceError for a CRS that is none."""
        return given_place(self.bounds, self.crs, self.transform)

    def ground(self) -> Ground | None:
        """What polynomials lay the scene on, where it is said."""
        if self.dem is None and self.rpc_height is None:
            return None
        return Ground(self.rpc_height, None if self.dem is None else os.fspath(self.dem))

    def smallest_px(self, window_px: int) -> int:
        """The least pixels of an object that is kept."""
        return self.min_area if self.min_area is not None else window_px * window_px // 50_000


def _check_number(name: str, value: object, low: float, most: float) -> None:
    known = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not known or not low <= value <= most:  # type: ignore[operator]
        raise OptionError(f"{name}={value!r} is out of range; give a number from {low:g} to {most:g}")
