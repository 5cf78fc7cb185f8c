"""`PYTHON -m benchmarks.scene_peers NAME VIEWS.npz`: how a peer makes objects of the views of windows; prints one JSON.

It runs under an interpreter of the peer's own and imports nothing of this project but this file: `sahi` needs sahi,
`samgeo` the file samgeo/common.py of segment-geospatial and geopandas. What they do not use of torch may be missing.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import json
import sys
import tempfile
import time
import types
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

REPEAT = 3


class Told(NamedTuple):
    """What a peer took, without and within its files, and x0, y0, x1, y1 of every object that it made."""

    seconds: float
    files_s: float
    boxes: list[list[float]]


def sahi(views: dict[str, Any]) -> Told:
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
    return Told(seconds, 0.0, [list(map(float, one.bbox.to_xyxy())) for one in found])


def samgeo(views: dict[str, Any]) -> Told:
    """The middle of every window, as `tiff_to_tiff` keeps it, in one raster of the scene, and its outlines.

    It takes the raster from a file and writes the outlines to one.
    """
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
        merged = time.perf_counter()
        place = {"transform": rasterio.Affine(1, 0, 0, 0, -1, height), "crs": "EPSG:32640"}
        with rasterio.open(
            raster, "w", driver="GTiff", width=width, height=height, count=1, dtype="uint8", **place
        ) as out:
            out.write(whole, 1)
        files = time.perf_counter() - merged
        with _Clock(geopandas.GeoDataFrame, "to_file") as written:
            common.raster_to_vector(raster, vector)
        files += written.seconds
        seconds = time.perf_counter() - started - files
        bounds = geopandas.read_file(vector).bounds.to_numpy()
    flipped = np.column_stack([bounds[:, 0], height - bounds[:, 3], bounds[:, 2], height - bounds[:, 1]])
    return Told(seconds, files, flipped.tolist())


class _Clock:
    """How long a method of a class takes while this context is open."""

    def __init__(self, of: type, name: str) -> None:
        self._of, self._name, self._method, self.seconds = of, name, getattr(of, name), 0.0

    def __enter__(self) -> _Clock:
        def timed(*arguments: Any, **more: Any) -> Any:
            started = time.perf_counter()
            try:
                return self._method(*arguments, **more)
            finally:
                self.seconds += time.perf_counter() - started

        setattr(self._of, self._name, timed)
        return self

    def __exit__(self, *_: object) -> None:
        setattr(self._of, self._name, self._method)


@functools.cache
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
PACKAGES = {"sahi": "sahi", "samgeo": "segment-geospatial"}


def main(name: str, path: str) -> None:
    """Run one peer some times and print its median run, and which release it is."""
    with np.load(path) as views:
        told = sorted((PEERS[name](dict(views)) for _ in range(REPEAT)), key=lambda one: one.seconds)[REPEAT // 2]
    print(json.dumps({**told._asdict(), "version": importlib.metadata.version(PACKAGES[name])}))


if __name__ == "__main__":
    main(*sys.argv[1:])
