"""The area of interest of a job: which windows meet it, and which objects."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import OptionError
from ..rasters.area import Area, read_area
from ..rasters.place import Place
from ..writers.layers.feature import Polygons
from .scale import Scale
from .windows import Grid

OUTSIDE = "outside the area of interest"
_AT_ONCE = 4_096
# Borders of windows are curves in another CRS: so many points stand for each.
_POINTS = 5


@dataclass(frozen=True, eq=False)
class Interest:
    """An area of interest over a grid: `windows` has a byte for each window, 1 where the two meet."""

    name: str
    area: Area
    place: Place
    windows: bytes

    @property
    def digest(self) -> str:
        """What tells apart areas that lead to other windows."""
        return hashlib.sha256(self.windows).hexdigest()

    def outside(self) -> Iterator[int]:
        """The windows that do not meet the area."""
        return (number for number, meets in enumerate(self.windows) if not meets)

    def holds(self, polygons: Polygons) -> bool:
        """Whether any polygon of an object, in pixels of the scene, meets the area."""
        rings = (np.asarray(polygon[0], np.float64) for polygon in polygons)
        return any(bool(self.area.meets(self.place, ring[None])[0]) for ring in rings)


def interest_of(path: Path, place: Place, grid: Grid, scale: Scale) -> Interest:
    """The area of a vector file over a scene.

    OptionError where the file or the scene says no place, or the two have nothing in common.
    """
    if not place.has_crs:
        raise OptionError(f"aoi={str(path)!r}: the scene has no place ({place.reason}); leave it out, or give --bounds")
    area = read_area(path)
    windows = bytearray(len(grid))
    for first in range(0, len(grid), _AT_ONCE):
        numbers = range(first, min(first + _AT_ONCE, len(grid)))
        rings = np.stack([_outline(scale.box(grid.box(number))) for number in numbers])
        windows[first : numbers.stop] = area.meets(place, rings).astype(np.uint8).tobytes()
    if not any(windows):
        raise OptionError(f"aoi={str(path)!r} and the scene have nothing in common; is one of them elsewhere?")
    return Interest(path.name, area, place, bytes(windows))


def _outline(box: tuple[int, int, int, int]) -> np.ndarray:
    """A closed ring (4 * _POINTS + 1, 2) along a box's border."""
    x, y, w, h = box
    along = np.arange(_POINTS) / _POINTS
    sides = [(along, 0 * along), (1 + 0 * along, along), (1 - along, 1 + 0 * along), (0 * along, 1 - along)]
    ring = np.concatenate([np.column_stack(side) for side in sides])
    return np.vstack([ring, ring[:1]]) * np.array([w, h]) + np.array([x, y])
