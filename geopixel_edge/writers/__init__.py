"""Results out: overlay.png, regions.geojson, answer.json (COCO RLE) and report.html."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from . import answer_json, geojson, overlay, report
from .files import publish

if TYPE_CHECKING:
    from ..answer import Answer

__all__ = ["answer_json", "geojson", "overlay", "report", "save"]


def save(answer: Answer, pixels: NDArray[np.uint8] | None, directory: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Write the answer's files to `directory`; without exactly one image only answer.json and report.html.

    OutputError as of `files.publish`.
    """
    contents = {"answer.json": answer_json.encode(answer), "report.html": report.encode(answer, pixels)}
    if pixels is not None:
        contents["overlay.png"] = overlay.encode(pixels, answer.regions)
        contents["regions.geojson"] = geojson.encode(answer.regions, (pixels.shape[1], pixels.shape[0]))
    return publish(directory, contents, answer.inputs)
