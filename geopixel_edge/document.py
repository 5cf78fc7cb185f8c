"""An answer in plain values, as `Answer.to_dict` makes it and answer.json holds it: its schema, and the way back."""

from __future__ import annotations

import contextlib
import math
import re
import reprlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import msgspec
from msgspec import Meta

from .checks import check_size
from .errors import GeoPixelError, OutputError
from .image_ref import ImageRef
from .json_text import finite, plain
from .masks import Mask
from .rasters.colouring import Reading
from .rasters.place import Place, plain_values
from .rasters.region_place import RegionPlace
from .timings import Timings

if TYPE_CHECKING:
    from .regions import Region

SCHEMA = "geopixel-edge/answer"
SCHEMA_VERSION = 1
REMEDY = "give a document as Answer.to_dict() makes it and answer.json holds it"

_Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
_TokenId = Annotated[int, Meta(ge=0, lt=2**31)]


class SegmentationEntry(msgspec.Struct, frozen=True):
    """COCO RLE: height, width, and the run lengths as pycocotools writes them."""

    size: tuple[int, int]
    counts: str


class RegionEntry(msgspec.Struct, frozen=True):
    """`span` is a character range of `text`, `bbox` x, y, width, height in pixels; `score` null where not finite."""

    phrase: str
    span: tuple[int, int]
    score: float | None
    bbox: tuple[int, int, int, int]
    area_px: int
    segmentation: SegmentationEntry
    place: RegionPlace | None = None


class ImageEntry(msgspec.Struct, frozen=True):
    """Where the one image asked about was, the digest of its pixels, its place and how a raster became them."""

    path: str | None
    sha256: _Digest | None
    place: Place | None = None
    reading: Reading | None = None


RegionFields = tuple[str, tuple[int, int], Mask, float, RegionPlace | None]  # as of `Region`; a score of null is NaN


class Document(msgspec.Struct, frozen=True):
    """The fields of an answer. Further ones are ignored; those with a default came later within version 1."""

    query: str
    text: str
    response: str
    token_ids: list[_TokenId]
    finish_reason: str
    image_size: tuple[int, int] | None  # width, height
    regions: list[RegionEntry]
    notes: tuple[str, ...]
    timings: Timings
    provenance: dict[str, Any]
    image: ImageEntry | None = None
    inputs: tuple[str, ...] = ()


def region_entry(region: Region) -> dict[str, Any]:
    """Plain values of one region, as `RegionEntry` has them; `place` where there is one."""
    place = {} if region.place is None else {"place": plain_values(region.place)}
    return {
        "phrase": region.phrase,
        "span": list(region.span),
        "score": finite(float(region.score)),
        "bbox": list(region.bbox),
        "area_px": region.area_px,
        "segmentation": region.mask.to_coco(),
        **place,
    }


def image_entry(image: ImageRef) -> dict[str, Any]:
    """Plain values of an image, as `ImageEntry` has them; `place` and `reading` where they say something."""
    place = {} if image.place is None else {"place": image.place.to_dict()}
    reading = {} if image.reading is None else {"reading": plain_values(image.reading)}
    return {"path": image.path and str(image.path), "sha256": image.sha256, **place, **reading}


def read(document: object, what: str = "document") -> tuple[dict[str, Any], list[RegionFields]]:
    """The checked fields of an answer by name, and of each region in order; nothing is shared with `document`.

    OutputError names the first field that is missing, of another type, or contradicts the others, after `what`.
    """
    if not isinstance(document, dict):
        raise OutputError(f"{what} is a {type(document).__name__}, not a dict; {REMEDY}")
    if document.get("schema") != SCHEMA:
        _refuse(what, "schema", document.get("schema"), f"an answer has {SCHEMA!r}")
    version = document.get("schema_version")
    if type(version) is not int or version != SCHEMA_VERSION:
        raise OutputError(
            f"{what}: schema_version={_short(version)} is unknown, this package reads {SCHEMA_VERSION}; upgrade it, "
            "or save the answer again with the version that you have"
        )
    for name in ("timings", "provenance"):
        _check_plain(document.get(name), what, name)
    try:
        found = msgspec.convert(document, Document)
    except msgspec.ValidationError as error:
        _refuse_type(what, document, str(error))
    _check_paths(found, what)
    _check_size(found, what)
    regions = [_region(entry, found, f"regions[{index}]", what) for index, entry in enumerate(found.regions)]
    return _fields(found), regions


def _fields(found: Document) -> dict[str, Any]:
    """The fields of `Answer` by name, but for its regions."""
    image = None
    if found.image_size:
        digests = found.provenance.get("image_sha256")  # all that the first documents tell of their image
        digest = digests[0] if isinstance(digests, list) and len(digests) == 1 else None
        entry = found.image or ImageEntry(None, digest if isinstance(digest, str) else None)
        path = Path(entry.path) if entry.path else None
        image = ImageRef(path, entry.sha256, found.image_size, entry.place, entry.reading)
    same = ("query", "text", "response", "token_ids", "finish_reason", "notes", "timings")
    return {
        **{name: getattr(found, name) for name in same},
        "provenance": plain(found.provenance),
        "image": image,
        "inputs": tuple(Path(path) for path in found.inputs),
    }


# --- Checks ---------------------------------------------------------------------------------------------------


def _check_plain(value: object, what: str, name: str, depth: int = 0) -> None:
    """Only values that JSON has, numbers finite and of 64 bits, at most eight levels."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return
    if isinstance(value, (int, float)):
        if not -(2**63) <= value < 2**63:  # NaN too
            _refuse(what, name, value, "expected a finite number of at most 64 bits")
        if name.startswith("timings") and value < 0:
            _refuse(what, name, value, "expected 0 or more")
    elif isinstance(value, (dict, list)) and depth < 8:
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(value, dict) and not isinstance(key, str):
                _refuse(what, name, key, "expected names that are text")
            inner = f"[{key}]" if isinstance(value, list) else f".{str(key)[:60]}"
            _check_plain(part, what, name + inner, depth + 1)
    else:
        reason = "nested too deeply" if isinstance(value, (dict, list)) else f"JSON has no {type(value).__name__}"
        _refuse(what, name, value, reason)


def _check_paths(found: Document, what: str) -> None:
    image = [] if found.image is None or found.image.path is None else [("image.path", found.image.path)]
    for name, path in [*image, *((f"inputs[{index}]", path) for index, path in enumerate(found.inputs))]:
        if not path or "\0" in path:
            _refuse(what, name, path, "expected a path")


def _check_size(found: Document, what: str) -> None:
    if found.image_size is None:
        if found.image is not None:
            _refuse(what, "image_size", None, "an answer with an image has its width and height")
        return
    place = found.image and found.image.place
    if place and place.size_px != found.image_size:
        _refuse(what, "image.place.size_px", place.size_px, f"width and height of image_size {found.image_size}")
    try:
        check_size(*found.image_size)
    except GeoPixelError as error:
        _refuse(what, "image_size", found.image_size, str(error))


def _region(entry: RegionEntry, found: Document, name: str, what: str) -> RegionFields:
    start, end = entry.span
    if not 0 <= start <= end <= len(found.text):
        _refuse(what, f"{name}.span", entry.span, f"expected a range within the {len(found.text)} characters of text")
    if entry.score is not None and not math.isfinite(entry.score):
        _refuse(what, f"{name}.score", entry.score, "expected a finite number or null")
    size = entry.segmentation.size
    if found.image_size is None:
        _refuse(what, "image_size", None, "an answer with regions has its image's width and height")
    if size[::-1] != found.image_size:
        _refuse(what, f"{name}.segmentation.size", size, f"height and width of image_size {found.image_size}")
    try:
        mask = Mask.from_coco({"size": size, "counts": entry.segmentation.counts})
    except GeoPixelError as error:
        _refuse(what, f"{name}.segmentation", entry.segmentation.counts, str(error))
    if entry.bbox != mask.bbox:
        _refuse(what, f"{name}.bbox", entry.bbox, f"its mask has {mask.bbox}")
    if entry.area_px != mask.area_px:
        _refuse(what, f"{name}.area_px", entry.area_px, f"its mask has {mask.area_px}")
    return entry.phrase, entry.span, mask, math.nan if entry.score is None else entry.score, entry.place


# --- Errors ---------------------------------------------------------------------------------------------------


def _refuse(what: str, name: str, value: object, reason: str) -> NoReturn:
    raise OutputError(f"{what}: {name}={_short(value)} is not what an answer holds ({reason}); {REMEDY}") from None


def _refuse_type(what: str, document: object, message: str) -> NoReturn:
    """Raise what msgspec says at its path, `$.regions[0].span[1]`, with the value found there."""
    reason, _, path = message.partition(" - at ")
    value = document
    # The path through a table of names, `$.timings.blocks[...].runs`, tells no name: the table is shown.
    keys = re.findall(r"\.(\w+)|\[(\d+)\]", path.partition("[...]")[0])
    with contextlib.suppress(KeyError, IndexError, TypeError):
        for name, index in keys:
            value = value[name] if name else value[int(index)]  # type: ignore[index]
    field = "".join(f".{name}" if name else f"[{index}]" for name, index in keys).removeprefix(".")
    if missing := re.search(r"missing required field `(\w+)`", reason):
        raise OutputError(f"{what}: {field + '.' if field else ''}{missing[1]} is missing; {REMEDY}") from None
    _refuse(what, field or "document", value, reason.replace("`", ""))


def _short(value: object) -> str:
    """At most some 100 characters of a value of any size and depth."""
    if isinstance(value, int) and value.bit_length() > 64:
        return f"a number of {value.bit_length()} bits"
    short = reprlib.Repr()
    short.maxstring = short.maxother = 60
    try:
        return short.repr(value)[:200]
    except (ValueError, RecursionError):  # a number of more digits than Python writes, inside
        return f"<{type(value).__name__}>"
