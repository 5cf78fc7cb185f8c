"""Datasets on disk in GeoPixelD's layout: `load_dataset` reads the real one and what `write.py` makes.

An index is a JSON list; each entry has `id`, `image` (path), `conversations` (turns `{"from": "human" | "bot",
"value"}`) and its masks, one for each `[SEG]`: either `segmentation`, a list of COCO RLEs, or `polygons`, the path of a
JSON file whose key `polygons` holds masks as lists of polygons of integer [x, y] pixels. A folder of such JSON files,
each with `img` and `gcg_description`, is read as well. The README says what of this is verified.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from geopixel_edge.errors import GeoPixelError
from geopixel_edge.masks import Mask
from synthetic.tags import phrases_of
from synthetic.wording import CONVERSATION_QUESTIONS

from .errors import DatasetError

MAX_JSON_BYTES = 1 << 30  # the real index holds some 50,000 phrases; anything near this is not one
UNREADABLE = (OSError, ValueError, Image.DecompressionBombError)


@dataclass(frozen=True, eq=False)
class Sample:
    """One entry, checked: `masks` and `phrases` have one item for each `[SEG]` of the answers, in order.

    `turns` are pairs of question and answer; `facts` holds the entry's other keys.
    """

    id: str
    image: Path
    width_px: int
    height_px: int
    turns: tuple[tuple[str, str], ...]
    masks: tuple[Mask, ...]
    phrases: tuple[str, ...]
    facts: dict[str, Any]

    def pixels(self) -> NDArray[np.uint8]:
        """uint8 (height, width, 3); DatasetError when the image cannot be decoded."""
        try:
            with Image.open(self.image) as image:
                return np.asarray(image.convert("RGB"))
        except UNREADABLE as error:
            raise DatasetError(f"{self.image}: the image cannot be decoded ({error}); fetch it again") from None


class Dataset:
    """A split. Its structure is checked when it is loaded, an entry's files when it is taken."""

    def __init__(self, source: Path, entries: list[dict[str, Any]]) -> None:
        self.source, self._entries = source, entries

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> Sample:
        """The entry, with its image's size and its masks read; DatasetError naming file and entry."""
        return _sample(self.source, self._entries[index])

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def usable(self) -> tuple[list[int], list[DatasetError]]:
        """Indices of the entries that can be used, and what is wrong with each of the others."""
        good, bad = [], []
        for index in range(len(self)):
            try:
                self[index]
            except DatasetError as error:
                bad.append(error)
            else:
                good.append(index)
        return good, bad


def load_dataset(path: str | Path) -> Dataset:
    """An index file, or a folder of GeoPixelD's files one per image; DatasetError if it is none or empty."""
    source = Path(path)
    if source.is_dir():
        files = sorted(source.glob("*.json"))
        entries = [_single(file) for file in files]
    elif source.is_file():
        entries = _read_json(source)
        if not isinstance(entries, list):
            raise DatasetError(f"{source}: holds a {type(entries).__name__}; an index is a list of entries")
    else:
        raise DatasetError(f"{source}: there is no such file or folder; give an index .json or a split's folder")
    if not entries:
        raise DatasetError(f"{source}: the split is empty; write or fetch it again")
    for number, entry in enumerate(entries):
        _check_shape(source, number, entry)
    return Dataset(source, entries)


def _read_json(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise DatasetError(f"{path}: is larger than {MAX_JSON_BYTES} bytes; split it")
        return json.loads(path.read_bytes())
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}); correct the path or fetch it again") from None
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: is no valid JSON ({error}); write or fetch it again") from None


def _single(path: Path) -> dict[str, Any]:
    """One of GeoPixelD's files for one image, as an entry."""
    found = _read_json(path)
    if (
        not isinstance(found, dict)
        or not isinstance(found.get("gcg_description"), str)
        or not isinstance(found.get("img"), str)
    ):
        raise DatasetError(f"{path}: has no text `gcg_description` or `img`; this is no file of GeoPixelD")
    turns = [{"from": "human", "value": CONVERSATION_QUESTIONS[0]}, {"from": "bot", "value": found["gcg_description"]}]
    return {"id": found.get("id", path.stem), "image": found["img"], "conversations": turns, "polygons": path.name}


def _check_shape(source: Path, number: int, entry: Any) -> None:
    def fail(what: str) -> NoReturn:
        name = entry.get("id", number) if isinstance(entry, dict) else number
        raise DatasetError(f"{source}: entry {number} (id {name!r}) {what}")

    if not isinstance(entry, dict):
        fail("is no object; write it again")
    if not isinstance(entry.get("image"), str):
        fail("has no `image` path; add it")
    turns = entry.get("conversations")
    if not isinstance(turns, list) or len(turns) < 2 or len(turns) % 2:
        fail("has no `conversations` of a question and an answer each; add them")
    for place, turn in enumerate(turns):
        sides = ("human", "user") if place % 2 == 0 else ("bot", "assistant", "gpt")
        if not isinstance(turn, dict) or turn.get("from") not in sides or not isinstance(turn.get("value"), str):
            fail(f"has a turn {place} that is no {sides[0]}'s text; correct it")
    if not isinstance(entry.get("segmentation"), list) and not isinstance(entry.get("polygons"), str):
        fail("has neither `segmentation` (RLEs) nor `polygons` (a path); add its masks")


def _resolve(source: Path, name: str) -> Path | None:
    """Where a path of an entry leads: from the index's own folder or one of the two above, whatever their names are
    now, or beside a lone file."""
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise DatasetError(f"{source}: path {name!r} leaves the dataset; write paths relative to it")
    folder = source if source.is_dir() else source.parent
    for base in (folder, folder.parent, folder.parent.parent):
        if (base / name).is_file():
            return base / name
    parts = Path(name).parts  # data/GeoPixelD/train/NAME: the first two may be called otherwise here
    moved = [folder.joinpath(*parts[at:]) for at in (1, 2) if len(parts) > at + 1]
    return next((path for path in (*moved, folder / parts[-1]) if path.is_file()), None)


def _sample(source: Path, entry: dict[str, Any]) -> Sample:
    where = f"{source}: entry id {entry.get('id')!r}"
    image = _resolve(source, entry["image"])
    if image is None:
        raise DatasetError(f"{where}: its image {entry['image']!r} is missing; fetch it or remove the entry")
    try:
        with Image.open(image) as opened:
            width, height = opened.size
    except UNREADABLE as error:
        raise DatasetError(f"{where}: image {image} cannot be read ({error}); fetch it again") from None
    values = [turn["value"].strip() for turn in entry["conversations"]]
    turns = tuple(zip(values[::2], values[1::2], strict=True))
    try:
        phrases = [phrase for _, answer in turns for phrase in phrases_of(answer)]
    except ValueError as error:
        raise DatasetError(f"{where}: {error}; correct its answer") from None
    masks = _masks(source, where, entry, width, height)
    if len(masks) != len(phrases):
        raise DatasetError(
            f"{where}: its answer has {len(phrases)} [SEG] but there are {len(masks)} masks; give one each"
        )
    known = ("id", "image", "conversations", "segmentation", "polygons")
    facts = {key: value for key, value in entry.items() if key not in known}
    return Sample(str(entry.get("id")), image, width, height, turns, tuple(masks), tuple(phrases), facts)


def _masks(source: Path, where: str, entry: dict[str, Any], width: int, height: int) -> list[Mask]:
    if isinstance(entry.get("segmentation"), list):
        return [
            _from_rle(f"{where}: mask {number}", rle, width, height) for number, rle in enumerate(entry["segmentation"])
        ]
    path = _resolve(source, entry["polygons"])
    if path is None:
        raise DatasetError(f"{where}: its masks {entry['polygons']!r} are missing; fetch them or remove the entry")
    found = _read_json(path)
    if not isinstance(found, dict) or not isinstance(found.get("polygons"), list):
        raise DatasetError(f"{where}: {path} has no list `polygons`; fetch it again")
    return [
        _from_polygons(f"{where}: {path}: mask {number}", polygons, width, height)
        for number, polygons in enumerate(found["polygons"])
    ]


def _from_rle(where: str, rle: Any, width: int, height: int) -> Mask:
    try:
        mask = Mask.from_coco(rle)
    except (GeoPixelError, TypeError) as error:
        raise DatasetError(f"{where} is damaged ({error}); write it again") from None
    if (mask.width_px, mask.height_px) != (width, height):
        raise DatasetError(
            f"{where} is {mask.width_px} x {mask.height_px} px, its image {width} x {height}; make it anew"
        )
    return mask


def _from_polygons(where: str, polygons: Any, width: int, height: int) -> Mask:
    """The union of polygons of pixel centres, their borders included, without holes, as the original fills them."""
    canvas = Image.new("1", (width, height))
    pen = ImageDraw.Draw(canvas)
    try:
        rings = [np.asarray(ring, np.float64) for ring in polygons]
    except (TypeError, ValueError):
        raise DatasetError(f"{where} is no list of polygons of [x, y]; fetch it again") from None
    if not rings:
        raise DatasetError(f"{where} has no polygon; remove its [SEG] or give one")
    for ring in rings:
        if ring.ndim != 2 or ring.shape[1] != 2 or not np.isfinite(ring).all() or np.abs(ring).max() > 1 << 20:
            raise DatasetError(f"{where} has a polygon that is no list of [x, y] pixels; fetch it again")
        points = [(float(x), float(y)) for x, y in ring]
        if len(points) > 1:
            pen.polygon(points, fill=1, outline=1)
        else:
            pen.point(points, fill=1)
    return Mask.from_array(np.array(canvas, np.bool_))
