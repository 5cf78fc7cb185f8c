"""The engine in the package as plans of a fake TensorRT's, and what loads one of their blocks."""

from __future__ import annotations

from pathlib import Path

import pytest

from geopixel_edge.build import tensorrt as door
from geopixel_edge.build import tensorrt_builder, tensorrt_target
from geopixel_edge.build.tensorrt import build_tensorrt
from geopixel_edge.build.tensorrt_block import Outcome
from geopixel_edge.build.tensorrt_builder import Wanted
from geopixel_edge.engine import BUNDLED
from geopixel_edge.engine.directory import Engine
from geopixel_edge.runtimes import Tensor, cuda, tensorrt
from geopixel_edge.runtimes.tensorrt import TensorRtRunner

from .fake_gpu import SM, FakeGpu
from .fake_trt import FakeTrt, fake_build

NEW, OLD = "10.16.0", "10.3.0"
CAPACITY = 2176


def patched(patch: pytest.MonkeyPatch, version: str, stash: Path) -> FakeTrt:
    """A GPU and a TensorRT of this version, here and where engines are built."""
    trt = FakeTrt(FakeGpu(), version)
    patch.setattr(tensorrt, "import_tensorrt", lambda runtime: trt)
    patch.setattr(cuda, "CudaDevice", lambda index, kind="cuda": trt.gpu)
    patch.setattr(door, "library_of", lambda runtime: Outcome(version=version))
    patch.setattr(tensorrt_target, "compute_capability", lambda: SM)
    patch.setattr(tensorrt_builder, "run", fake_build(stash))
    return trt


def plans_of(version: str, root: Path) -> Path:
    """Build it in `root` with a TensorRT of this version, and verify it on the fake GPU."""
    (root / "stash").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patched(patch, version, root / "stash")
        report = build_tensorrt(BUNDLED, root / "engine", Wanted("tensorrt"))
    assert report.verified
    assert all(check.passed for check in report.checks)
    return root / "engine"


def vision(root: Path, trt: FakeTrt) -> TensorRtRunner:
    """The Vision Encoder of an engine."""
    engine = Engine(root)
    spec = engine.manifest.blocks["vision_encoder"]
    return TensorRtRunner(engine.path(spec.files[0]), spec, "vision_encoder", trt.gpu)


def views(trt: FakeTrt, count: int = 1) -> Tensor:
    """Black views, on the GPU."""
    return trt.gpu.zeros("float32", (count, 3, 336, 336))
