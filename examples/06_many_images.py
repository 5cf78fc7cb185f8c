"""A folder of images, one engine in each worker process: `python 06_many_images.py FOLDER [PHRASE] [WORKERS]`.

Prints one JSON object a line, in the order in which they are done. An image that cannot be used is a line, too.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from pathlib import Path

from geopixel_edge import GeoPixelError, Pipeline

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp")
pipe: Pipeline | None = None


def load() -> None:
    """Make this worker's own engine: its threads belong to the process that loads it."""
    global pipe
    pipe = Pipeline(device="cpu", threads=1)


def find(task: tuple[Path, str]) -> dict[str, object]:
    """What `phrase` names in one image, as plain values."""
    path, phrase = task
    assert pipe is not None, "load() runs first in every worker"
    try:
        with pipe.open(path) as opened:
            regions = opened.segment(phrase)
    except GeoPixelError as error:
        return {"image": path.name, "error": str(error)}
    return {"image": path.name, "regions": [{"bbox": one.bbox, "area_px": one.area_px} for one in regions]}


def main(folder: str, phrase: str = "the bridge", workers: str = "2") -> None:
    paths = sorted(path for path in Path(folder).iterdir() if path.suffix.lower() in SUFFIXES)
    with multiprocessing.get_context("spawn").Pool(int(workers), initializer=load) as pool:
        for found in pool.imap_unordered(find, [(path, phrase) for path in paths]):
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
