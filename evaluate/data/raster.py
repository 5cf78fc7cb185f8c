"""GeoPixelD's polygons to masks, in the two ways its authors' code has.

`fill`: borders run through pixel centres and belong to the object, as training fills them (`cv2.fillPoly`).
`pycocotools`: `polygons_to_rle`, which loses half a pixel all round and cannot rasterise a part of one or two points.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from geopixel_edge.masks import Mask

from ..errors import DataError, EvaluationError

RASTERS = ("pycocotools", "fill")
Part = Sequence[Sequence[int]]


def filled(parts: Sequence[Part], height_px: int, width_px: int) -> Mask:
    """Each part filled with its border, and all united.

    Pillow draws what `cv2.fillPoly` draws where each step of a border is at most a pixel; other polygons need OpenCV.
    """
    bits = np.zeros((height_px, width_px), np.uint8)
    for part in parts:
        if _dense(part):
            bits |= _with_pillow(part, height_px, width_px)
        else:
            _with_opencv(bits, part)
    return Mask.from_array(bits > 0)


def _dense(part: Part) -> bool:
    points = np.asarray(part)
    return len(points) > 0 and bool((np.abs(points - np.roll(points, 1, 0)) <= 1).all())


def _with_pillow(part: Part, height_px: int, width_px: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    canvas = Image.new("L", (width_px, height_px))
    points = [(int(x), int(y)) for x, y in part]
    ImageDraw.Draw(canvas).polygon(points if len(points) > 1 else points * 2, fill=1, outline=1)
    return np.asarray(canvas)


def _with_opencv(bits: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], part: Part) -> None:
    try:
        import cv2
    except ImportError:
        raise EvaluationError("polygons with steps of over a pixel need OpenCV; pip install '.[eval]'") from None
    cv2.fillPoly(bits, [np.asarray(part, np.int32).reshape(-1, 2)], 1)


def by_pycocotools(parts: Sequence[Part], height_px: int, width_px: int) -> Mask:
    """`frPyObjects` of each part, united. TypeError or Exception for parts of two points or one, as the original."""
    try:
        from pycocotools import mask as tools
    except ImportError:
        raise EvaluationError("raster='pycocotools' needs that package; pip install '.[eval]', or fill") from None
    found = [
        one
        for part in parts
        for one in tools.frPyObjects([[value for point in part for value in point]], height_px, width_px)
    ]
    if not found:
        return Mask.from_array(np.zeros((height_px, width_px), bool))
    return Mask.from_coco(tools.merge(found))


def rasterise(parts: Sequence[Part], height_px: int, width_px: int, raster: str) -> tuple[Mask, int]:
    """The mask of one `[SEG]`, and how many of its parts `raster` cannot draw and so left out."""
    if raster == "fill":
        return filled(parts, height_px, width_px), 0
    drawn = [part for part in parts if len(part) > 2]
    return by_pycocotools(drawn, height_px, width_px), len(parts) - len(drawn)


def check_parts(polygons: object, height_px: int, width_px: int, where: str) -> list[list[Part]]:
    """Parts by `[SEG]`; DataError naming what is no list of points within the image."""
    if not isinstance(polygons, list):
        raise DataError(f"{where}: polygons are a {type(polygons).__name__}; give a list of parts for each [SEG]")
    for number, parts in enumerate(polygons):
        if not isinstance(parts, list) or not parts:
            raise DataError(f"{where}: polygons[{number}] has no part; give each [SEG] its polygons")
        for part in parts:
            try:
                points = np.asarray(part)
                right = points.ndim == 2 and points.shape[1] == 2 and len(points) and points.dtype.kind in "iu"
            except ValueError:
                right = False
            if not right:
                raise DataError(f"{where}: polygons[{number}] has a part that is no list of [x, y] in whole pixels")
            if points.min() < 0 or (points.max(0) >= (width_px, height_px)).any():
                raise DataError(f"{where}: polygons[{number}] leaves the image of {width_px} x {height_px} px")
    return polygons
