"""What a scene's page shows, before it is markup."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .feature import Layer, Polygons, SceneObject

# A page that says so was made here, and may be replaced.
GENERATOR = "geopixel-edge scene"


class Crop(NamedTuple):
    """A part of the scene at full resolution: its box in pixels, and its JPEG."""

    box: tuple[int, int, int, int]
    picture: bytes


class Shown(NamedTuple):
    """An object that the page shows, its outlines on the overview, and the crop that holds it, None without one."""

    thing: SceneObject
    outline: Polygons
    crop: int | None


class Sheet(NamedTuple):
    """All that the page shows: `shown` objects by id of `total`, `counts` of all by phrase."""

    layer: Layer
    overview: NDArray[np.uint8] | None  # uint8 (height, width, 3)
    shown: Sequence[Shown]
    crops: Sequence[Crop]
    counts: dict[str, int]
    missing: str = ""  # why there is no overview

    @property
    def total(self) -> int:
        """How many objects the layer has."""
        return sum(self.counts.values())
