"""A small georeferenced scene, a job about it in a process of its own, and what a layer holds."""

from __future__ import annotations

import json
import multiprocessing
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio import Affine

from geopixel_edge.rasters.colouring import Reading
from geopixel_edge.scenes.door import run_scene
from geopixel_edge.scenes.options import SceneOptions
from geopixel_edge.scenes.result import SceneResult

from .scene_oracle import TruthAsker
from .scene_truths import Bits, random_mask

SHIP, PLANE = (250, 0, 0), (0, 250, 0)
COLOURS = {"ships": SHIP, "planes": PLANE}
WINDOW, OVERLAP = 128, 64
UTM = ("EPSG:32640", Affine(0.5, 0, 250_000.25, 0, -0.5, 2_712_000.75))


def write_scene(
    path: Path, width: int = 380, height: int = 330, seed: int = 1, where: tuple[str, Affine] | None = UTM
) -> dict[str, Bits]:
    """A tiled RGB GeoTIFF of red ships and green planes, its lower right corner without data; the masks of both."""
    rng = np.random.default_rng(seed)
    picture = np.full((height, width, 3), (90, 100, 80), np.uint8)
    picture[..., 2] = rng.integers(60, 90, (height, width))
    ships = np.zeros((height, width), np.bool_)
    for _ in range(2):
        ships |= random_mask(rng, width, height)
    planes = random_mask(rng, width, height) & ~ships
    picture[ships], picture[planes] = SHIP, PLANE
    gone = np.s_[max(0, height - 140) :, max(0, width - 140) :]
    picture[gone], ships[gone], planes[gone] = 0, False, False
    place: dict[str, Any] = {} if where is None else {"crs": where[0], "transform": where[1]}
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=width,
        height=height,
        count=3,
        dtype="uint8",
        nodata=0,
        tiled=True,
        blockxsize=64,
        blockysize=64,
        photometric="RGB",
        **place,
    ) as out:
        out.write(np.moveaxis(picture, -1, 0))
    return {"ships": ships, "planes": planes}


def run(scene: Path, out: Path | list[Path], asker: TruthAsker | None = None, **options: Any) -> SceneResult:
    """The job, in this process."""
    hooks = {name: options.pop(name) for name in ("on_progress", "stop", "workers") if name in options}
    phrases = options.pop("phrases", ["ships", "planes"])
    chosen = SceneOptions(**{"window": WINDOW, "overlap": OVERLAP, "min_area": 0, "page": False, **options})
    told: dict[str, Any] = {"window_px": 640, "engine": {"name": "truth"}, "reading": Reading()}
    return run_scene(scene, phrases, out, asker or TruthAsker(COLOURS), chosen, **told, **hooks)


def start(scene: Path, out: Path, log: Path, **options: Any) -> ForkServerProcess:
    """The job in a process of its own, whose asker logs every window that it is asked about, begun."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    job = context.Process(target=_run, args=(scene, out, log, options))
    job.start()
    return job


def _run(scene: Path, out: Path, log: Path, options: dict[str, Any]) -> None:
    run(scene, out, TruthAsker(COLOURS, log, wait_s=options.pop("wait_s", 0.0)), **options)


def dump(path: Path) -> list[Any]:
    """What a GeoJSON layer holds but for seconds and times: features by id."""
    return list(json.loads(path.read_text("utf-8"))["features"])
