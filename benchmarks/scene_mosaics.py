"""Georeferenced mosaics of generated scenes whose every object is known: `benchmarks.scene_quality` asks about them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyproj
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.features import shapes
from rasterio.shutil import copy as gdal_copy
from rasterio.transform import Affine

from synthetic.scenes import Scene, make_scene

PATCH_PX, PITCH_PX = 640, 768
_LATTICE_PX = 128  # windows tend to meet on lines of such a lattice
_KINDS = ("port", None, "river", "port", "airfield")  # None: the seed chooses
_ANCHORS = ("ship", "plane", "helicopter", "storage tank", "tennis court", "building", "truck")
# Of blue, green, red and near infrared, 11 bits: each of the picture's bytes times a gain of its own, above the dark.
_DARK, _GAINS = 150, ((2, 5), (1, 6), (0, 7), (1, 8))
Bits = NDArray[np.bool_]
Shapes = NDArray[np.object_]


class Variant(NamedTuple):
    """Size, CRS and place of a mosaic; `wide` ones have four bands of 16 bits."""

    size_px: tuple[int, int]
    crs: str
    transform: Affine
    wide: bool = False


def variants() -> dict[str, Variant]:
    """In metres; turned, of 16 bits; in degrees; across the antimeridian."""
    x, y = pyproj.Transformer.from_crs(4326, 3832, always_xy=True).transform(180, -17)
    turned = Affine.translation(251_000, 2_711_000) @ Affine.rotation(17) @ Affine.scale(0.3, -0.3)
    return {
        "utm": Variant((12_000, 9_000), "EPSG:32640", Affine(0.5, 0, 250_000.25, 0, -0.5, 2_712_000.75)),
        "rot": Variant((6_144, 4_608), "EPSG:32640", turned, wide=True),
        "wgs84": Variant((6_144, 4_608), "EPSG:4326", Affine(5e-6, 0, 54.30000013, 0, -4.5e-6, 24.51)),
        "dateline": Variant((3_072, 3_072), "EPSG:3832", Affine(0.5, 0, x - 500.1, 0, -0.5, y + 500)),
    }


@dataclass(frozen=True, eq=False)
class Mosaic:
    """A scene's file and its truth by class: pixels, and 8-connected parts as polygons in pixel edges of the scene."""

    path: Path
    width_px: int
    height_px: int
    crs: str
    transform: Affine
    masks: dict[str, Bits]
    truth: dict[str, Shapes]


def build(folder: Path, name: str, classes: tuple[str, ...], scale: float = 1.0, seed: int = 1_000_000) -> Mosaic:
    """Write FOLDER/NAME.tif, a tiled COG, `scale` times as wide and high as the whole mosaic."""
    made = variants()[name]
    width, height = (int(side * scale) for side in made.size_px)
    ground = np.random.default_rng(seed).normal([104, 112, 92], 4, (PITCH_PX, PITCH_PX, 3))
    tile = np.clip(ground, 1, 255).astype(np.uint8)
    image = np.tile(tile, (-(-height // PITCH_PX), -(-width // PITCH_PX), 1))[:height, :width]
    masks = {one: np.zeros((height, width), np.bool_) for one in classes}
    columns, rows = width // PITCH_PX, height // PITCH_PX
    first = seed + 7_000 * list(variants()).index(name)
    for number in range(rows * columns):
        row, column = divmod(number, columns)
        x, y = column * PITCH_PX, row * PITCH_PX
        if row >= rows - 2 and column >= columns - 2 and rows > 3:  # a corner without data: windows that are not asked
            image[y:, x:] = 0
            continue
        scene = make_scene(first + number, PATCH_PX, _KINDS[number % len(_KINDS)])
        across, down = _shift(scene, x, y, number)
        x, y = min(x + across, width - PATCH_PX), min(y + down, height - PATCH_PX)
        here = np.s_[y : y + PATCH_PX, x : x + PATCH_PX]
        image[here] = np.maximum(scene.image, 1)
        for one in classes:
            masks[one][here] = scene.mask([thing for thing in scene.instances if thing.class_name == one])
    path = folder / f"{name}.tif"
    _write(path, image, made)
    truth = {one: parts_of(mask) for one, mask in masks.items()}
    return Mosaic(path, width, height, made.crs, made.transform, masks, truth)


def _shift(scene: Scene, x: int, y: int, number: int) -> tuple[int, int]:
    """How far a scene is moved, so that one of its things is centred on a line, or a corner, of the lattice."""
    fit = [
        one for one in scene.instances if one.class_name in _ANCHORS and one.area_px > 200 and max(one.bbox[2:]) < 250
    ]
    if not fit:
        return 0, 0
    anchor = max(fit, key=lambda one: (-_ANCHORS.index(one.class_name), one.area_px))
    across = round(-(x + anchor.centre[0])) % _LATTICE_PX if number % 3 != 1 else 37
    down = round(-(y + anchor.centre[1])) % _LATTICE_PX if number % 3 != 0 else 53
    return across, down


def parts_of(mask: Bits) -> Shapes:
    """The 8-connected parts of a mask as valid shapes."""
    bits = mask.astype(np.uint8)
    found = [shapely.make_valid(shapely.geometry.shape(one)) for one, _ in shapes(bits, mask=mask, connectivity=8)]
    out = np.empty(len(found), object)
    out[:] = found
    return out


def _write(path: Path, image: NDArray[np.uint8], made: Variant) -> None:
    bands: NDArray[Any] = np.moveaxis(image, -1, 0)
    colours = ["red", "green", "blue"]
    if made.wide:
        there = image.any(axis=2)
        bands = np.stack([np.where(there, _DARK + bands[k].astype(np.uint16) * gain, 0) for k, gain in _GAINS])
        bands, colours = bands.astype(np.uint16), ["blue", "green", "red", "undefined"]
    height, width, _ = image.shape
    shape: dict[str, Any] = {"width": width, "height": height, "count": len(bands), "dtype": bands.dtype, "nodata": 0}
    where = {"crs": made.crs, "transform": made.transform, "photometric": "MINISBLACK" if made.wide else "RGB"}
    plain = path.with_name(f".{path.name}")
    with rasterio.open(plain, "w", driver="GTiff", tiled=True, **shape, **where) as out:
        out.colorinterp = [rasterio.enums.ColorInterp[colour] for colour in colours]
        out.write(bands)
    gdal_copy(plain, path, driver="COG", COMPRESS="DEFLATE", LEVEL=1, PREDICTOR="YES", OVERVIEW_RESAMPLING="AVERAGE")
    plain.unlink()
