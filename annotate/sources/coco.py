"""Instances in COCO's format, iSAID's among them: `coco:FILE` or FILE.json."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from geopixel_edge.errors import GeoPixelError, OptionError
from geopixel_edge.masks import Mask

from ..errors import SourceError
from ..items import MAX_INSTANCES, Instance, Item
from .pictures import check_class, find_picture, ids_of, pixels_of, size_of

MAX_JSON_BYTES = 4 << 30
# How far a polygon may reach beyond its picture, in parts of the side and at least in pixels; it is cut off there.
MAX_BEYOND, MIN_BEYOND_PX = 0.05, 8
_Entry = TypeVar("_Entry")


class CocoSource:
    """The pictures of a COCO file that have instances. Polygons are filled as pycocotools fills them."""

    name = "coco"

    def __init__(self, path: Path, images: Path) -> None:
        """SourceError for anything but pixels that is not as COCO has it; `images` is the folder of the pictures."""
        self.path, self.images = path, images
        found, self._digest = _read(path)
        self._classes = _classes(path, found["categories"])
        self._pictures = _by_id(path, "images", found["images"])
        self._annotations: dict[Any, list[dict[str, Any]]] = {}
        self._crowds: Counter[Any] = Counter()
        for one in _by_id(path, "annotations", found["annotations"]).values():
            self._take(one)
        licences = [str(one.get("name", "")) for one in _licences(path, found) if isinstance(one, dict)]
        self.licence = (
            f"Pictures and masks come from {path.name}" + (f" ({'; '.join(licences)})" if any(licences) else "")
        ) + "; their own licence holds for them."
        names = {self._pictures[key]["file_name"]: key for key in self._annotations}
        if len(names) < len(self._annotations):
            raise SourceError(f"{path}: two entries of images have the same file_name; make them one")
        self._keys = {made: names[name] for made, name in ids_of(sorted(names), str(path)).items()}
        self.ids = tuple(self._keys)
        self.classes = tuple(sorted({*self._classes.values()}))
        for key in self._keys.values():
            self._check_picture(self._pictures[key])
        if not self.ids:
            raise SourceError(f"{path}: no picture has an instance; give a file with annotations")

    def _take(self, one: dict[str, Any]) -> None:
        what = f"{self.path}: annotation {one['id']!r}"
        picture = _known(self._pictures, one.get("image_id"))
        if picture is None:
            raise SourceError(f"{what} is of image_id={one.get('image_id')!r}, which is not listed; list or remove it")
        if _known(self._classes, one.get("category_id")) is None:
            raise SourceError(f"{what} has category_id={one.get('category_id')!r}, a class without a name; name it")
        _check_shape(what, one.get("segmentation"), picture)
        if one.get("iscrowd"):
            self._crowds[one["image_id"]] += 1
        else:
            self._annotations.setdefault(one["image_id"], []).append(one)
            if len(self._annotations[one["image_id"]]) > MAX_INSTANCES:
                raise SourceError(
                    f"{self.path}: picture {picture['file_name']!r} has over {MAX_INSTANCES} instances; cut it up"
                )

    def _check_picture(self, picture: dict[str, Any]) -> None:
        name, wanted = picture["file_name"], (picture["width"], picture["height"])
        found = size_of(find_picture(self.images, name, str(self.path)))
        if found != wanted:
            raise SourceError(
                f"{self.path}: picture {name!r} is {found[0]} x {found[1]} px, its entry says {wanted[0]} x "
                f"{wanted[1]}; correct the entry or fetch the picture again"
            )

    def fingerprint(self) -> str:
        """The digest of the file; pictures are part of each question by their own."""
        return f"coco sha256:{self._digest}"

    def item(self, item_id: str) -> Item:
        """A picture with its instances; empty masks and crowds (one mask for an unknown number) are only counted."""
        key = self._keys[item_id]
        picture = self._pictures[key]
        dropped: Counter[str] = Counter({"crowd": self._crowds[key]} if self._crowds[key] else {})
        instances = []
        for one in self._annotations[key]:
            mask = self._mask(one, picture)
            if mask.area_px:
                instances.append(Instance(one["id"], self._classes[one["category_id"]], mask))
            else:
                dropped["empty"] += 1
        pixels = pixels_of(self.images / picture["file_name"], picture["width"], picture["height"])
        return Item(item_id, pixels, tuple(instances), dict(dropped))

    def _mask(self, one: dict[str, Any], picture: dict[str, Any]) -> Mask:
        shape = one["segmentation"]
        if isinstance(shape, list):
            shape = _filled(shape, picture["height"], picture["width"])
        return _decoded(f"{self.path}: annotation {one['id']!r}", shape)


def _check_shape(what: str, shape: object, picture: dict[str, Any]) -> None:
    """SourceError for what is no mask of the picture: run lengths are read, polygons have numbers near it."""
    width, height = picture["width"], picture["height"]
    if not shape or not isinstance(shape, (list, dict)):
        raise SourceError(f"{what} has no mask (segmentation={shape!r}); remove it or give it one")
    if isinstance(shape, dict):
        if shape.get("size") != [height, width]:
            raise SourceError(
                f"{what} has a mask of size {shape.get('size')!r} (height, width), its picture "
                f"{picture['file_name']!r} {[height, width]}; correct it"
            )
        _decoded(what, shape)
        return
    for ring in shape:
        if not isinstance(ring, list) or len(ring) < 6 or len(ring) % 2:
            raise SourceError(f"{what} has a polygon of fewer than three points, or half a point; correct it")
        for at, value in enumerate(ring):
            side = height if at % 2 else width
            beyond = max(MIN_BEYOND_PX, MAX_BEYOND * side)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
                raise SourceError(f"{what} has a polygon with {value!r} for a number; correct it")
            if not -beyond <= value <= side + beyond:
                raise SourceError(
                    f"{what} has a polygon that reaches {'xy'[at % 2]}={str(value)[:20]}, well beyond its "
                    f"picture {picture['file_name']!r} of {width} x {height} px; give this picture's polygons, cut off "
                    "at its border"
                )


def _decoded(what: str, rle: dict[str, Any]) -> Mask:
    try:
        return Mask.from_coco(rle)
    except (TypeError, ValueError, GeoPixelError) as error:
        raise SourceError(f"{what} has a damaged mask ({error}); correct it") from None


def _known(entries: Mapping[Any, _Entry], key: object) -> _Entry | None:
    """The entry of an id; None for one that is not there, or can be no id."""
    return entries.get(key) if isinstance(key, (int, str)) else None


def _filled(rings: list[list[float]], height_px: int, width_px: int) -> dict[str, Any]:
    """The union of polygons as COCO RLE."""
    try:
        from pycocotools import mask as coco
    except ImportError:
        raise OptionError(
            "source: its masks are polygons, and pycocotools, which fills them as COCO does, is not installed; "
            "pip install 'geopixel-edge[annotate]'"
        ) from None
    found: dict[str, Any] = coco.merge(
        coco.frPyObjects([[float(v) for v in ring] for ring in rings], height_px, width_px)
    )
    return found


def _read(path: Path) -> tuple[dict[str, Any], str]:
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise SourceError(f"{path}: is larger than {MAX_JSON_BYTES} bytes; split it")
        data = path.read_bytes()
        found = json.loads(data)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror}); correct the path or fetch it again") from None
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path}: is no JSON ({str(error)[:200]}); fetch it again") from None
    missing = [
        key
        for key in ("images", "annotations", "categories")
        if not isinstance(found, dict) or not isinstance(found.get(key), list)
    ]
    if missing:
        raise SourceError(f"{path}: has no list {', '.join(missing)}; give a COCO file of instances")
    return found, hashlib.sha256(data).hexdigest()


def _licences(path: Path, found: dict[str, Any]) -> list[Any]:
    """The file's list of licences, which may be missing or null."""
    listed = found.get("licenses")
    if listed is not None and not isinstance(listed, list):
        raise SourceError(f"{path}: licenses={str(listed)[:100]!r} is no list; correct or remove it")
    return listed or []


def _by_id(path: Path, what: str, entries: list[Any]) -> dict[Any, dict[str, Any]]:
    found: dict[Any, dict[str, Any]] = {}
    for place, one in enumerate(entries):
        key = one.get("id") if isinstance(one, dict) else None
        if not isinstance(key, (int, str)) or isinstance(key, bool):
            raise SourceError(f"{path}: {what}[{place}] has no id; give each a number")
        if key in found:
            raise SourceError(f"{path}: {what} has id {key!r} twice; make ids unique")
        if what == "images":
            sides = [one.get("width"), one.get("height")]
            whole = all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in sides)
            if not isinstance(one.get("file_name"), str) or not one["file_name"] or not whole:
                raise SourceError(f"{path}: images[{place}] has no file_name, width or height; add them")
        found[key] = one
    return found


def _classes(path: Path, entries: list[Any]) -> dict[Any, str]:
    return {
        key: check_class(one.get("name"), f"{path}: category {key!r}")
        for key, one in _by_id(path, "categories", entries).items()
    }
