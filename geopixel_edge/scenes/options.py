"""How a scene is looked at: one frozen record for the API and the command line."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from .. import limits
from ..checks import check_integer
from ..errors import OptionError
from ..memory.plan import MOST_BATCHED


@dataclass(frozen=True)
class SceneOptions:
    """How a scene is looked at. OptionError names the field that is out of range.

    `window`, `overlap`: pixels; None takes the engine's window and a quarter of it. `bands`, `stretch`: the bands that
    are shown, counted from 1, and the (low, high) samples that the stretch starts from. `min_valid`: windows with less
    than this part of valid pixels are not asked. `min_area`: objects of fewer pixels are dropped after merging; None is
    0.002 % of a window. `min_score`: objects of a lower estimated IoU are dropped. `per_window`: also ask phrases that
    compare. `describe`: ask for a description of every window, whose phrases become objects, too. `simplify`: vertices
    are dropped while outlines keep within so many pixels. `ids`: a mask holds ids of objects, not of phrases. `jobs`:
    processes; `batch`: windows asked together. `restart` forgets an earlier job of these outputs, `retry_failed` asks
    failed windows again, `keep_job` keeps the ledger.
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
    batch: int = 1
    restart: bool = False
    retry_failed: bool = False
    keep_job: bool = False

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
        check_integer("batch", self.batch, 1, MOST_BATCHED)
        for name, most in (("min_valid", 1.0), ("min_score", 1.0), ("simplify", limits.MAX_TOLERANCE_PX)):
            value = getattr(self, name)
            known = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            if not known or not 0 <= value <= most:
                raise OptionError(f"{name}={value!r} is out of range; give a number from 0 to {most:g}")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> SceneOptions:
        """Options by name; OptionError for one there is not."""
        known = [field.name for field in fields(cls)]
        if unknown := sorted(values.keys() - set(known)):
            raise OptionError(f"option {unknown[0]!r} is unknown; give one of {', '.join(known)}")
        return cls(**values)

    def smallest_px(self, window_px: int) -> int:
        """The least pixels of an object that is kept."""
        return self.min_area if self.min_area is not None else window_px * window_px // 50_000
