"""DOTA's oriented boxes as instances: `dota:FOLDER`, a folder of label files. Their masks are the boxes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from geopixel_edge.masks import Mask

from ..errors import SourceError
from ..items import MAX_INSTANCES, Instance, Item
from .pictures import check_class, find_picture, ids_of, pixels_of, size_of

_ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
Box = tuple[str, tuple[float, ...]]


class DotaSource:
    """The pictures that label files name. A line is eight coordinates, the class, and perhaps a difficulty."""

    name = "dota"
    licence = "DOTA's pictures are for academic use and may not be passed on; masks are its oriented boxes, filled."

    def __init__(self, labels: Path, images: Path) -> None:
        """SourceError for a line that is no box, a picture that is missing, or a folder without label files."""
        self.labels, self.images = labels, images
        files = sorted(path for path in labels.glob("*.txt"))
        self._boxes: dict[str, list[Box]] = {}
        self._paths: dict[str, Path] = {}
        digest = hashlib.sha256()
        for made, name in ids_of((path.name for path in files), str(labels)).items():
            data = (labels / name).read_bytes()
            digest.update(f"{name}\n".encode() + data)
            if boxes := _boxes(labels / name, data):
                self._boxes[made] = boxes
                self._paths[made] = self._picture(Path(name).stem)
        if not self._boxes:
            raise SourceError(f"{labels}: has no label file with a box; give DOTA's folder of .txt files")
        self._digest = digest.hexdigest()
        self.ids = tuple(self._boxes)
        self.classes = tuple(sorted({name for boxes in self._boxes.values() for name, _ in boxes}))

    def _picture(self, stem: str) -> Path:
        name = next((stem + end for end in _ENDINGS if (self.images / (stem + end)).is_file()), f"{stem}.png")
        return find_picture(self.images, name, str(self.labels))

    def fingerprint(self) -> str:
        """The digest of the label files."""
        return f"dota sha256:{self._digest}"

    def item(self, item_id: str) -> Item:
        """A picture with its boxes as masks; those outside it are counted, not taken."""
        path = self._paths[item_id]
        width, height = size_of(path)
        instances, empty = [], 0
        for number, (name, corners) in enumerate(self._boxes[item_id], 1):
            canvas = Image.new("1", (width, height))
            ImageDraw.Draw(canvas).polygon(corners, fill=1, outline=1)
            mask = Mask.from_array(np.array(canvas, np.bool_))
            if mask.area_px:
                instances.append(Instance(number, name, mask))
            else:
                empty += 1
        return Item(item_id, pixels_of(path, width, height), tuple(instances), {"empty": empty} if empty else {})


def _boxes(path: Path, data: bytes) -> list[Box]:
    """The boxes of a label file; its two lines of source and resolution are left out."""
    found: list[Box] = []
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        words = line.split()
        if not words or ":" in words[0]:
            continue
        try:
            corners = tuple(float(word) for word in words[:8])
            finite = len(corners) == 8 and bool(np.isfinite(corners).all()) and max(map(abs, corners)) < 1 << 20
        except ValueError:
            finite = False
        if not finite or len(words) not in (9, 10):
            raise SourceError(f"{path}: line {number} is no box of eight coordinates and a class; correct it")
        found.append((check_class(words[8], f"{path}: line {number}"), corners))
    if len(found) > MAX_INSTANCES:
        raise SourceError(f"{path}: has over {MAX_INSTANCES} boxes; cut the picture to patches")
    return found
