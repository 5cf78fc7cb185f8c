"""Windows a second of scene jobs, and of the engine alone on the same windows held in memory."""

from __future__ import annotations

import hashlib
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geopixel_edge import Pipeline
from geopixel_edge.rasters.colouring import Reading
from geopixel_edge.scenes.asking import Answered, PipelineAsker
from geopixel_edge.scenes.door import run_scene
from geopixel_edge.scenes.opening import Scene
from geopixel_edge.scenes.options import SceneOptions
from geopixel_edge.scenes.windows import make_grid

BATCHES, PHRASES, WINDOW_PX = (1, 4, 8), ("ships", "buildings"), 640
Pixels = NDArray[np.uint8]


def rates(engine: Path | None, windows: int, repeat: int, threads: int | None, seed: int) -> dict[str, Any]:
    """Windows a second by batch: of whole jobs, and of the engine alone on the same windows in memory; medians.

    `without_model` is what a job takes whose answers are there already: reading, recording, merging and writing.
    """
    with tempfile.TemporaryDirectory() as folder, Pipeline(engine, threads=threads) as pipe:
        scene, out = Path(folder) / "scene.tif", Path(folder) / "objects.gpkg"
        _write_scene(scene, windows, seed)
        held = _held(scene)
        asker, seconds = PipelineAsker(pipe), _Seconds()
        told = {batch: _ask(asker, held, batch) for batch in BATCHES}
        answers = _Answers({_digest(window): one for window, one in zip(held, told[1], strict=True)})
        for _ in range(repeat):
            for batch in BATCHES:
                with seconds.of(f"memory {batch}"):
                    _ask(asker, held, batch)
                with seconds.of(f"job {batch}"):
                    pipe.scene(scene, PHRASES, out, window=WINDOW_PX, batch=batch, restart=True, page=False)
            with seconds.of("without model"):
                chosen = SceneOptions(window=WINDOW_PX, restart=True, page=False)
                run_scene(scene, PHRASES, out, answers, chosen, window_px=WINDOW_PX, engine={}, reading=Reading())
        by_batch = {}
        for batch in BATCHES:
            job, memory = seconds.median(f"job {batch}"), seconds.median(f"memory {batch}")
            rate = {"job_per_s": len(held) / job, "engine_per_s": len(held) / memory, "ratio": memory / job}
            by_batch[str(batch)] = {**rate, "answers_equal": _plain(told[batch]) == _plain(told[1])}
        alone = seconds.median("without model")
        share = alone / seconds.median("memory 1")
        own = {"seconds_a_window": alone / len(held), "share_of_engine": share}
        return {"windows": len(held), "by_batch": by_batch, "without_model": own}


def _held(scene: Path) -> list[Pixels]:
    with Scene(scene).open() as raster:
        grid = make_grid(raster.width_px, raster.height_px, WINDOW_PX)
        return [raster.read(*grid.box(number)).rgb for number in range(len(grid))]


def _ask(asker: PipelineAsker, held: Sequence[Pixels], batch: int) -> list[Answered]:
    found: list[Answered] = []
    for first in range(0, len(held), batch):
        found += asker.ask(held[first : first + batch], PHRASES, False)
    return found


def _plain(answers: Sequence[Answered]) -> list[Any]:
    return [[(phrase, one.mask) for phrase, one in each.found] for each in answers]


def _digest(window: Pixels) -> bytes:
    return hashlib.sha256(window.tobytes()).digest()


class _Answers:
    """What an engine answered about windows, by their pixels: it costs next to nothing."""

    def __init__(self, known: dict[bytes, Answered]) -> None:
        self._known = known

    def name(self) -> str:
        """Not the engine's."""
        return "answers"

    def check(self, phrases: Sequence[str]) -> None:
        """Nothing to object to."""

    def describe(self, picture: Pixels) -> str:
        """Nothing is described."""
        return ""

    def ask(self, windows: Sequence[Pixels], phrases: Sequence[str], describe: bool) -> list[Answered]:
        """What is known of each."""
        return [self._known[_digest(window)] for window in windows]


class _Seconds:
    """What each kind of run took."""

    def __init__(self) -> None:
        self._all: dict[str, list[float]] = {}

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """What is done meanwhile."""
        started = time.perf_counter()
        yield
        self._all.setdefault(name, []).append(time.perf_counter() - started)

    def median(self, name: str) -> float:
        """Of the runs of a kind."""
        return statistics.median(self._all[name])


def _write_scene(path: Path, windows: int, seed: int) -> None:
    """Generated scenes side by side, tiled, so that about so many windows cover them."""
    import rasterio
    from rasterio.transform import Affine

    from synthetic.scenes import make_scene

    across = max(1, round(np.sqrt(windows) * 0.75))
    rows = []
    for row in range(across):
        rows.append(np.concatenate([make_scene(seed + row * across + n, WINDOW_PX).image for n in range(across)], 1))
    image = np.concatenate(rows)
    shape: dict[str, Any] = {"count": 3, "height": image.shape[0], "width": image.shape[1], "dtype": "uint8"}
    where = {"crs": "EPSG:32640", "transform": Affine(0.3, 0, 251_000, 0, -0.3, 2_711_000)}
    with rasterio.open(path, "w", driver="GTiff", photometric="rgb", tiled=True, **shape, **where) as out:
        out.write(np.moveaxis(image, -1, 0))
