"""GeoPixelD: a picture and a JSON file of the same name each, in `train/` and `test/`.

`GeoPixelD.json`, where it is there, lists the training split; the test split is the files of its folder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import DataError
from ..metrics.captions import caption_of, phrases_in
from ..metrics.grounding import Grounding
from .dataset import Item, Question, Split, check_ids, fingerprint_of, named, size_of
from .glamm import load_json
from .questions import DEFAULT, INDEX, PUBLISHED
from .raster import RASTERS, check_parts, rasterise

SPLITS = ("test", "train")
_TILE = re.compile(r"P[^_]+_(\d+)_(\d+)_(\d+)_(\d+)")  # P<source>_<y0>_<y1>_<x0>_<x1>, in pixels of the source


@dataclass
class GeoPixelD(Split):
    """A split, checked as a whole when its items are first asked for; truth is drawn when it is asked for."""

    root: Path
    split: str = "test"
    question: str = PUBLISHED[DEFAULT]
    allow_missing: bool = False
    task: str = field(default="rsgcg", init=False)

    @property
    def name(self) -> str:
        """Layout and split."""
        return f"GeoPixelD {self.split}"

    @cached_property
    def annotations(self) -> dict[str, Path]:
        """Image id -> its JSON file."""
        index = self.root / INDEX
        if self.split == "train" and index.is_file():
            paths = [self.root / self.split / name for name in _listed(index)]
            if absent := [str(path) for path in paths if not path.is_file()]:
                raise DataError(f"{index}: {named(absent, 'annotation file')} missing; fetch them")
        else:
            paths = sorted((self.root / self.split).glob("*.json"))
        if not paths:
            raise DataError(
                f"{self.root / self.split}: the split is empty; give the folder that holds {self.split}/*.json"
            )
        check_ids([path.stem for path in paths], str(self.root))
        return {path.stem: path for path in sorted(paths, key=lambda path: path.stem)}

    def listed(self) -> list[Item]:
        """Every image of the split, in the order of ids."""
        asked = (Question("", self.question),)
        return [Item(image_id, _image(path), asked) for image_id, path in self.annotations.items()]

    @cached_property
    def fingerprint(self) -> str:
        """As of `Dataset`; the question is not part of it."""
        paths = self.annotations.values()
        return fingerprint_of(paths, (_image(path) for path in paths), self.task, self.split)

    def truth(self, image_id: str, raster: str) -> tuple[Grounding, int]:
        """One image's truth, and the parts that `raster` cannot draw; DataError names what contradicts itself."""
        if raster not in RASTERS:
            raise DataError(f"truth_raster={raster!r} is unknown; give one of {', '.join(RASTERS)}")
        path = self.annotations[image_id]
        record, size = read_annotation(path), self.size(image_id)
        polygons = check_parts(record["polygons"], *size, str(path))
        if (stated := _stated(image_id)) and stated != size:
            both = f"{size[1]} x {size[0]} px and by its name {stated[1]} x {stated[0]}"
            raise DataError(f"{_image(path)} has {both}; its polygons are of another size, so fetch it again")
        drawn = [rasterise(parts, *size, raster) for parts in polygons]
        described = record["gcg_description"]
        masks, objects = tuple(mask for mask, _ in drawn), tuple(len(parts) for parts in polygons)
        said = tuple(phrases_in(described))
        return Grounding(caption_of(described), said, masks, objects=objects), sum(lost for _, lost in drawn)

    def size(self, image_id: str) -> tuple[int, int]:
        """Height and width of an image; where it is missing, what its name says, or 800 x 800, as all of them are."""
        image = _image(self.annotations[image_id])
        return size_of(image) if image.is_file() else _stated(image_id) or (800, 800)


def _stated(image_id: str) -> tuple[int, int] | None:
    """Height and width of the window that a name in the published form is of."""
    found = _TILE.fullmatch(image_id)
    if found is None:
        return None
    y0, y1, x0, x1 = map(int, found.groups())
    return y1 - y0, x1 - x0


def _image(annotation: Path) -> Path:
    return annotation.with_suffix(".png")


def _listed(index: Path) -> list[str]:
    """Names of annotation files: its paths begin in whatever folder the data was in when the index was written."""
    entries = load_json(index)
    if not isinstance(entries, list) or not all(
        isinstance(one, dict) and isinstance(one.get("polygons"), str) for one in entries
    ):
        raise DataError(f"{index} is no list of entries with a path `polygons`; fetch it again")
    return [PurePosixPath(one["polygons"]).name for one in entries]


def read_annotation(path: Path) -> Mapping[str, Any]:
    """One image's record, its phrases, `[SEG]` and polygons counted against each other."""
    record = load_json(path)
    if not isinstance(record, dict) or not isinstance(record.get("gcg_description"), str):
        raise DataError(f"{path} has no text `gcg_description`; fetch it again")
    if not isinstance(record.get("polygons"), list):
        raise DataError(f"{path} has no list `polygons`; fetch it again")
    # `id` is a number that counts the records, or a name: it is not read.
    told = record.get("img")
    if isinstance(told, str) and PurePosixPath(told.replace("\\", "/")).stem != path.stem:
        raise DataError(f"{path} is of img={told!r}; it was renamed, so fetch it again")
    text = record["gcg_description"]
    counts = len(record["polygons"]), text.count("[SEG]"), len(phrases_in(text))
    if len(set(counts)) > 1:
        polygons, marks, phrases = counts
        raise DataError(
            f"{path} has {marks} [SEG], {phrases} phrases and {polygons} entries of polygons; each phrase needs one"
        )
    return record
