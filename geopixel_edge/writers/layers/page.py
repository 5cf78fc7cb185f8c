"""NAME.html beside a layer: the scene at a glance, its objects on it, and what a window of each looks like.

Bounded whatever the scene: so many outlines, rows and crops, the largest objects first.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from ... import limits
from ...errors import GeoPixelError, OutputError
from ...rasters.raster import Raster
from ..page import jpeg
from .feature import Feature, Layer, SceneObject, WindowFeature, outlines
from .gpkg import cannot_write
from .page_html import render
from .sheet import GENERATOR, Crop, Sheet, Shown

MOST_DRAWN, MOST_CROPS, MOST_CROP_BYTES = 1_000, 60, 6 * 1024 * 1024
CROP_PX = 640
_QUALITY = 80


class Page:
    """The page of a scene that is made at `path`; `raster` is the scene, read again for its pictures."""

    def __init__(self, path: Path, layer: Layer, raster: Raster) -> None:
        self.path, self.layer, self._raster = path, layer, raster
        self._counts: Counter[str] = Counter()
        self._largest: list[tuple[int, int, SceneObject]] = []

    def add(self, features: Sequence[Feature]) -> None:
        """The next objects: the largest are kept."""
        for feature in features:
            thing = feature.thing
            self._counts[thing.phrase] += 1
            entry = (thing.area_px, -thing.id, thing)
            push = heapq.heappush if len(self._largest) < MOST_DRAWN else heapq.heappushpop
            push(self._largest, entry)

    def finish(self, windows: Iterable[WindowFeature]) -> None:
        """Read the pictures and write the page. A scene that cannot be read any more is shown without them."""
        overview, missing = None, ""
        try:
            overview = self._raster.overview(limits.MAX_OVERVIEW_SIDE_PX).rgb
        except GeoPixelError as error:
            missing = str(error)
        things = [thing for _, _, thing in sorted(self._largest, reverse=True)]
        crops, crop_of = self._crops(things) if overview is not None else ([], {})
        step_px = max(self.layer.size_px) / limits.MAX_OVERVIEW_SIDE_PX
        tolerance = min(limits.MAX_TOLERANCE_PX, step_px / 2) if step_px > 1 else 0.0
        shown = [Shown(one, outlines(one.pieces, tolerance), crop_of.get(one.id)) for one in things]
        asked = {phrase: self._counts.pop(phrase, 0) for phrase in self.layer.phrases}
        sheet = Sheet(self.layer, overview, shown, crops, {**asked, **dict(sorted(self._counts.items()))}, missing)
        try:
            self.path.write_bytes(render(sheet))
        except OSError as error:
            raise cannot_write(self.path, error) from None

    def _crops(self, things: Sequence[SceneObject]) -> tuple[list[Crop], dict[int, int]]:
        """Crops that hold the largest objects of every phrase in turn, and which one holds an object."""
        crops: list[Crop] = []
        held: dict[int, int] = {}
        left = MOST_CROP_BYTES
        for thing in _in_turn(things):
            inside = next((k for k, crop in enumerate(crops) if _within(thing.bbox, crop.box)), None)
            if inside is None:
                if len(crops) == MOST_CROPS or left <= 0:
                    continue
                crop = self._crop(thing)
                left -= len(crop.picture)
                crops.append(crop)
                inside = len(crops) - 1
            held[thing.id] = inside
        return crops, held

    def _crop(self, thing: SceneObject) -> Crop:
        (x, y, w, h), (width, height) = thing.bbox, self.layer.size_px
        side_w, side_h = min(CROP_PX, width), min(CROP_PX, height)
        left = max(0, min(x + w // 2 - side_w // 2, width - side_w))
        top = max(0, min(y + h // 2 - side_h // 2, height - side_h))
        box = (left, top, side_w, side_h)
        return Crop(box, jpeg(self._raster.read(*box).rgb, (side_w, side_h), _QUALITY))


def _in_turn(things: Sequence[SceneObject]) -> Iterable[SceneObject]:
    """The first of every phrase, then the second of each, and so on."""
    by_phrase: dict[str, list[SceneObject]] = {}
    for thing in things:
        by_phrase.setdefault(thing.phrase, []).append(thing)
    for some in itertools.zip_longest(*by_phrase.values()):
        yield from (thing for thing in some if thing is not None)


def _within(inner: tuple[int, int, int, int], outer: tuple[int, int, int, int]) -> bool:
    (x, y, w, h), (left, top, width, height) = inner, outer
    return left <= x and top <= y and x + w <= left + width and y + h <= top + height


def page_beside(output: Path) -> Path:
    """Where the page of a layer lies. OutputError where another file has its name."""
    path = output.with_suffix(".html")
    if path.is_file():
        with path.open("rb") as stream:
            if GENERATOR.encode() not in stream.read(1024):
                raise OutputError(
                    f"out={str(output)!r}: {path.name!r} beside it is another page and would be replaced; give another "
                    "name, or page=False (--no-page)"
                )
    elif path.exists():
        raise OutputError(f"out={str(output)!r}: {path.name!r} beside it is no file; give another name, or --no-page")
    return path
