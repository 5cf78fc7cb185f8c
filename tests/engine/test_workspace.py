"""A run that took a lot of memory gives it back; a small one keeps it for the next."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import onnxruntime as ort
import pytest

from geopixel_edge.arrays import Floats
from geopixel_edge.blocks.divider import plan_grid
from geopixel_edge.blocks.vision_encoder import VisionEncoder
from geopixel_edge.engine import BUNDLED
from geopixel_edge.engine.directory import Engine
from geopixel_edge.engine.manifest import Footprint, Term
from geopixel_edge.resources import return_heap
from geopixel_edge.runtimes import onnx
from geopixel_edge.runtimes.host import HostDevice
from geopixel_edge.runtimes.onnx import OnnxRunner
from geopixel_edge.runtimes.workspace import LARGE_RUN_BYTES, is_large, kept_bytes

STATUS = Path("/proc/self/status")
VIEWS = 8


def resident_bytes() -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def encoder(bytes_a_view: float) -> OnnxRunner:
    """The vision encoder, with such a footprint."""
    engine = Engine(BUNDLED)
    footprint = Footprint(weights_bytes=1, workspace=(Term(bytes=bytes_a_view, dims=("n",)),))
    spec = msgspec.structs.replace(engine.manifest.blocks["vision_encoder"], footprint=footprint)
    return OnnxRunner(engine.path(spec.files[0]), spec, "vision_encoder", HostDevice(), 2)


def random_views() -> Floats:
    side = Engine(BUNDLED).manifest.sizes.tile_px
    return np.random.default_rng(5).standard_normal((VIEWS, 3, side, side), np.float32)


def run(bytes_a_view: float) -> tuple[np.ndarray, int]:
    """Its tokens of random views, and what stays resident of the run."""
    runner, views = encoder(bytes_a_view), HostDevice().put(random_views())
    runner.run({"views": runner.device.put(views.numpy()[:1])})
    return_heap(collecting=True)
    before = resident_bytes()
    tokens = runner.run({"views": views})["tokens"].numpy()
    return_heap(collecting=True)
    return tokens, resident_bytes() - before


@pytest.mark.skipif(not STATUS.is_file(), reason="the system does not say what is resident")
def test_a_large_run_gives_its_memory_back_and_gives_the_same_numbers() -> None:
    small, kept = run(1.0)
    large, left = run(2.0 * LARGE_RUN_BYTES / VIEWS)
    assert np.array_equal(small, large)
    assert kept > 20e6
    assert left < 0.5 * kept


@pytest.mark.parametrize(("views_per_run", "runs"), [(1, 8), (3, 3), (8, 1)])
def test_an_image_gives_it_back_once(views_per_run: int, runs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its last views: the runs before leave what they took to the next one."""
    started, given_back = list[None](), list[int]()
    options = onnx.giving_back()

    def giving_back() -> ort.RunOptions:
        given_back.append(len(started))
        return options

    monkeypatch.setattr(onnx, "giving_back", giving_back)
    grid = plan_grid(7 * 560, 560, VIEWS - 1, 560)[0]
    VisionEncoder(encoder(2.0 * LARGE_RUN_BYTES)).encode(
        random_views(), grid, views_per_run, lambda: started.append(None)
    )
    assert len(started) == runs
    assert given_back == [runs]


@pytest.mark.skipif(not STATUS.is_file(), reason="the system does not say what is resident")
def test_an_image_that_is_given_up_gives_it_back() -> None:
    runner, views = encoder(2.0 * LARGE_RUN_BYTES), random_views()
    runner.run({"views": runner.device.put(views[:1])})
    return_heap(collecting=True)
    before = resident_bytes()
    runner.run({"views": runner.device.put(views[:4])}, more_follow=True)
    return_heap(collecting=True)
    kept, runs = resident_bytes() - before, iter((False, True))

    def give_up() -> None:
        if next(runs):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        VisionEncoder(runner).encode(views, plan_grid(7 * 560, 560, VIEWS - 1, 560)[0], 4, give_up)
    return_heap(collecting=True)
    assert kept > 5e6
    assert resident_bytes() - before < 0.5 * kept


def test_what_was_not_measured_is_not_large() -> None:
    spec = Engine(BUNDLED).manifest.blocks["vision_encoder"]
    large = msgspec.structs.replace(
        spec, footprint=Footprint(weights_bytes=1, workspace=(Term(bytes=300e6, dims=("n",)),))
    )
    assert is_large(large, {"n": 1})
    assert kept_bytes(large, 300_000_000, {"n": 1}) == 51_000_000
    assert not is_large(msgspec.structs.replace(spec, footprint=None), {"n": 10**9})
    assert kept_bytes(spec, 5, {"n": 1}) == 5
