"""Generated scenes as a source: every instance is exactly known. `scenes:FIRST-LAST[,SIDE]`."""

from __future__ import annotations

import re

import numpy as np

from geopixel_edge.errors import OptionError
from geopixel_edge.masks import Mask
from synthetic.scenes import CLASS_NAMES, GENERATOR_VERSION, Scene, make_scene

from ..items import Instance, Item

_SPEC = re.compile(r"(\d+)(?:-(\d+))?(?:,(\d+))?")
MAX_SCENES = 1_000_000


class ScenesSource:
    """The scenes of the seeds `first`..`last`, `side_px` wide and high."""

    name = "scenes"
    licence = "Pictures and masks were drawn by this project's scene generator; they show no real place."
    classes = CLASS_NAMES

    def __init__(self, first: int, last: int, side_px: int = 640) -> None:
        if not 128 <= side_px <= 4096:
            raise OptionError(f"source=scenes:...,{side_px}: a scene has a side of 128 to 4096 px; give one")
        if not first <= last < first + MAX_SCENES:
            raise OptionError(f"source=scenes:{first}-{last} holds no seeds, or over {MAX_SCENES}; give FIRST-LAST")
        self.first, self.last, self.side_px = first, last, side_px
        self.ids = tuple(f"scene_{seed:07d}" for seed in range(first, last + 1))

    @classmethod
    def parse(cls, words: str) -> ScenesSource:
        """`FIRST-LAST[,SIDE]` as a source; OptionError for anything else."""
        found = _SPEC.fullmatch(words)
        if not found:
            raise OptionError(
                f"source='scenes:{words}' names no seeds; give scenes:FIRST-LAST or scenes:FIRST-LAST,SIDE"
            )
        return cls(int(found[1]), int(found[2] or found[1]), int(found[3] or 640))

    def fingerprint(self) -> str:
        """What the pictures and masks follow from."""
        return f"scenes {self.first}-{self.last} at {self.side_px} px, generator {GENERATOR_VERSION}"

    def item(self, item_id: str) -> Item:
        """The scene of an id of `ids`."""
        return item_of(make_scene(int(item_id.removeprefix("scene_")), self.side_px), item_id)


def item_of(scene: Scene, item_id: str) -> Item:
    """A scene as what is annotated; colours and kinds that the drawing knows are left out."""
    instances = tuple(
        Instance(one.number, one.class_name, Mask.from_array(np.ascontiguousarray(one.mask)), one.full_area_px)
        for one in scene.instances
    )
    return Item(item_id, scene.image, instances)
