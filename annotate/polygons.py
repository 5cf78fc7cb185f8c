"""Masks as GeoPixelD's polygons: borders through pixel centres that `cv2.fillPoly` fills to the same mask, bit for bit.

Parts are filled one by one and united, and what a border encloses is filled. A part with holes is therefore cut into
parts without.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from geopixel_edge.errors import OutputError
from geopixel_edge.masks import Mask, Ring

Polygon = list[list[int]]
Bits = NDArray[np.bool_]


def polygons_of(mask: Mask) -> list[Polygon]:
    """The polygons of a mask, [x, y] of pixels, steps of at most one pixel in x and y; filled again they equal it.

    OutputError for an empty mask, and if a polygon would not fill to its part, which no mask is known to cause.
    """
    if not mask.area_px:
        raise OutputError("mask is empty; leave out what shows nothing")
    found = [border for rings in mask.polygons() for border in _borders(rings)]
    if filled(found, mask.width_px, mask.height_px) != mask:
        raise OutputError(f"mask with box {mask.bbox} does not come back from its polygons; report this mask")
    return found


def _borders(rings: list[Ring]) -> list[Polygon]:
    """The borders of one 4-connected part, given by its outline and its holes."""
    if len(rings) == 1:
        return [_through_centres(rings[0])]
    x, y = rings[0].min(axis=0)
    bits = _bits([ring - (x, y) for ring in rings])
    middle = bits.shape[1] / 2  # the hole nearest to it: halves of like size
    hole = min((ring[:, 0] - x for ring in rings[1:]), key=lambda across: abs(float(across.mean()) - middle))
    cut = (int(hole.min()) + int(hole.max())) // 2 + 1  # at least one column of the hole on the left of the cut
    found = []
    for first, half in ((0, bits[:, :cut]), (cut, bits[:, cut:])):
        if half.any():
            corner = np.array([x + first, y], np.int32)
            for part in Mask.from_array(np.ascontiguousarray(half)).polygons():
                found += _borders([ring + corner for ring in part])
    return found


def _bits(rings: list[Ring]) -> Bits:
    """bool (h, w): what rings on pixel edges enclose, by the even-odd rule."""
    width, height = (int(value) for value in rings[0].max(axis=0))
    crossings = np.zeros((height, width + 1), np.int64)
    for ring in rings:
        for (x, y), (next_x, next_y) in zip(ring[:-1].tolist(), ring[1:].tolist(), strict=True):
            if x == next_x:
                crossings[min(y, next_y) : max(y, next_y), x] += 1
    return np.asarray(np.cumsum(crossings, axis=1)[:, :-1] % 2 == 1)


def _through_centres(ring: Ring) -> Polygon:
    """The pixels inside an outline along it, each step to a neighbour, at least three entries."""
    steps = np.diff(ring, axis=0)
    lengths = np.abs(steps).sum(axis=1)
    unit = np.repeat(np.sign(steps), lengths, axis=0)
    place = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    along = np.arange(lengths.sum()) - np.repeat(place, lengths)
    starts = np.repeat(ring[:-1], lengths, axis=0) + unit * along[:, None]
    # The inside is on the side that outlines keep it on: x and y of the pixel beside each unit of the edge.
    x = starts[:, 0] - (unit[:, 0] < 0) - (unit[:, 1] > 0)
    y = starts[:, 1] - (unit[:, 1] < 0) - (unit[:, 0] < 0)
    pixels = np.stack([x, y], axis=1)
    moved = np.ones(len(pixels), np.bool_)
    moved[1:] = (pixels[1:] != pixels[:-1]).any(axis=1)
    found: Polygon = pixels[moved].tolist()
    return found if len(found) > 2 else (found * 3)[:3]


def filled(polygons: list[Polygon], width_px: int, height_px: int) -> Mask:
    """The union of borders through pixel centres with what each encloses; for such borders Pillow fills as OpenCV."""
    canvas = Image.new("1", (width_px, height_px))
    pen = ImageDraw.Draw(canvas)
    for polygon in polygons:
        pen.polygon([(x, y) for x, y in polygon], fill=1, outline=1)
    return Mask.from_array(np.array(canvas, np.bool_))
