"""Results out: overlay.png, regions.geojson, answer.json (COCO RLE) and report.html.

Every writer takes the plain document that answer.json holds, the regions and the pixels; none knows the answer itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..json_text import encode_json
from . import geojson, located, notebook, overlay, report
from .files import FILES, publish

if TYPE_CHECKING:
    from ..rasters.place import Place
    from ..regions import Region

__all__ = ["geojson", "located", "notebook", "overlay", "report", "save"]


def save(
    document: Mapping[str, Any],
    regions: Sequence[Region],
    directory: str | os.PathLike[str],
    pixels: NDArray[np.uint8] | None,
    missing: str = "",
    place: Place | None = None,
) -> tuple[Path, ...]:
    """Write an answer's files to `directory`; without exactly one image only answer.json and report.html.

    `place` is where the image is. `missing` says why the image's `pixels` are not there: there is no overlay.png then.
    OutputError as of `files.publish`.
    """
    contents = {"answer.json": b"", "report.html": report.encode(document, regions, pixels, missing, place=place)}
    if pixels is not None:
        contents["overlay.png"] = overlay.encode(pixels, regions)
    if document["image_size"]:
        contents["regions.geojson"] = geojson.encode(regions, document["image_size"], place)
    partial = {FILES: list(contents)} if missing else {}
    contents["answer.json"] = encode_json({**document, **partial}, indent=1)
    image = document["image"] or {}
    inputs = [*document["inputs"], *filter(None, [image.get("path")])]
    return publish(directory, contents, [Path(path) for path in inputs])
