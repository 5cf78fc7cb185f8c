"""`PYTHON -m benchmarks.scene_peers NAME VIEWS.npz`: how a peer makes objects of the views of windows; prints one JSON.

It runs under an interpreter of the peer's own and imports nothing of this project but this file: `sahi` needs sahi,
`samgeo` the file samgeo/common.py of segment-geospatial and geopandas. What they do not use of torch may be missing.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
import time
import types
from pathlib import Path
from typing import Any

import numpy as np

Boxes = list[list[float]]  # x0, y0, x1, y1 of every object


def sahi(views: dict[str, Any]) -> tuple[float, Boxes]:
    """Greedy non-maximum merging at its usual threshold, of boxes and outlines in pixels of the scene."""
    from sahi.postprocess.combine import GreedyNMMPostprocess
    from sahi.prediction import ObjectPrediction

    shape = [int(side) for side in views["size"][::-1]]
    rings = np.split(views["points"], np.cumsum(views["corners"])[:-1])
    predictions = [
        ObjectPrediction(
            bbox=box.tolist(),
            category_id=0,
            category_name="thing",
            score=float(score),
            segmentation=[ring.reshape(-1).tolist()],
            full_shape=shape,
        )
        for box, score, ring in zip(views["boxes"], views["scores"], rings, strict=True)
    ]
    started = time.perf_counter()
    found = GreedyNMMPostprocess(match_threshold=0.5, match_metric="IOS")(predictions)
    seconds = time.perf_counter() - started
    return seconds, [list(map(float, one.bbox.to_xyxy())) for one in found]


def samgeo(views: dict[str, Any]) -> tuple[float, Boxes]:
    """The middle of every window, as `tiff_to_tiff` keeps it, in one raster of the scene, and its outlines."""
    import geopandas
    import rasterio
    from rasterio.features import rasterize

    common = _common_of_samgeo()
    (width, height), edge = map(int, views["size"]), int(views["overlap"]) // 2
    rings = np.split(views["points"], np.cumsum(views["corners"])[:-1])
    by_window: dict[int, list[Any]] = {}
    for window, ring in zip(views["windows"].tolist(), rings, strict=True):
        by_window.setdefault(window, []).append({"type": "Polygon", "coordinates": [ring.tolist()]})
    shown = {}
    for window, shapes in by_window.items():  # what the model gave of each window, before the clock
        x, y, w, h = views["grid"][window].tolist()
        shown[window] = rasterize(shapes, (h, w), transform=rasterio.Affine.translation(x, y), dtype="uint8")
    with tempfile.TemporaryDirectory() as folder:
        raster, vector = str(Path(folder) / "mask.tif"), str(Path(folder) / "objects.gpkg")
        started = time.perf_counter()
        whole = np.zeros((height, width), np.uint8)
        for window, mask in shown.items():
            x, y, w, h = views["grid"][window].tolist()
            left, top = (edge if x else 0), (edge if y else 0)
            right, bottom = w - (edge if x + w < width else 0), h - (edge if y + h < height else 0)
            whole[y + top : y + bottom, x + left : x + right] = mask[top:bottom, left:right]
        place = {"transform": rasterio.Affine(1, 0, 0, 0, -1, height), "crs": "EPSG:32640"}
        with rasterio.open(
            raster, "w", driver="GTiff", width=width, height=height, count=1, dtype="uint8", **place
        ) as out:
            out.write(whole, 1)
        common.raster_to_vector(raster, vector)
        seconds = time.perf_counter() - started
        bounds = geopandas.read_file(vector).bounds.to_numpy()
    flipped = np.column_stack([bounds[:, 0], height - bounds[:, 3], bounds[:, 2], height - bounds[:, 1]])
    return seconds, flipped.tolist()


def _common_of_samgeo() -> Any:
    """samgeo/common.py alone: the package itself imports models."""
    package = importlib.util.find_spec("samgeo")
    if package is None or package.origin is None:
        raise SystemExit("samgeo is not installed in this interpreter")
    for name in ("torch", "cv2"):
        if importlib.util.find_spec(name) is None:
            sys.modules[name] = _Unused(name)
    spec = importlib.util.spec_from_file_location("samgeo_common", Path(package.origin).with_name("common.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class _Unused(types.ModuleType):
    """A module whose names are only written down, as types of arguments."""

    def __getattr__(self, name: str) -> type:
        return type(name, (), {})


PEERS = {"sahi": sahi, "samgeo": samgeo}


def main(name: str, path: str) -> None:
    """Run one peer and print seconds and boxes."""
    with np.load(path) as views:
        seconds, boxes = PEERS[name](dict(views))
    print(json.dumps({"seconds": seconds, "boxes": boxes}))


if __name__ == "__main__":
    main(*sys.argv[1:])
