"""Where no ONNX Runtime is, an engine of TensorRT's answers all the same: nothing on its way imports one."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import pytest

from geopixel_edge.errors import RuntimeUnavailableError
from geopixel_edge.pipeline import Pipeline

from ..support.fake_trt import FakeTrt
from ..support.tensorrt_engines import NEW

SCENE = Path(__file__).parents[2] / "examples" / "scene.png"


class Blocker(MetaPathFinder):
    """As if the package were not installed; counts who asks for it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.partition(".")[0] == "onnxruntime":
            self.asked.append(name)
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.fixture
def blocker(monkeypatch: pytest.MonkeyPatch) -> Blocker:
    """The fake of TensorRT keeps the ONNX Runtime that it computes with; nobody else finds one."""
    for name in list(sys.modules):
        ours = name.startswith("geopixel_edge.runtimes.onnx") and not name.endswith("onnx_import")
        if ours or name.partition(".")[0] == "onnxruntime":
            monkeypatch.delitem(sys.modules, name)
    found = Blocker()
    monkeypatch.setattr(sys, "meta_path", [found, *sys.meta_path])
    return found


def test_it_answers(engines: dict[str, Path], trt: FakeTrt, blocker: Blocker) -> None:
    with Pipeline(engines[NEW]) as pipe:
        answer = pipe(SCENE, "Describe this image with interleaved segmentation masks.", max_new_tokens=8)
        assert pipe.placement == "cuda: plans of tensorrt run on a GPU alone"
    assert len(answer.token_ids) == 8
    assert blocker.asked == []


def test_the_blocker_blocks(blocker: Blocker) -> None:
    with pytest.raises(RuntimeUnavailableError, match=r"needs onnxruntime, which cannot be loaded \(No module named"):
        Pipeline()
    assert blocker.asked == ["onnxruntime"]
