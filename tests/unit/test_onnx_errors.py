"""A run that ONNX Runtime refuses ends in an error with what helps: of a GPU that was lost, and of the CPU."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from geopixel_edge.runtimes.onnx import OnnxStep


@pytest.mark.parametrize(("memory", "remedy"), [("cuda", "; make a new Pipeline"), ("cpu", "geopixel-edge verify")])
def test_a_failed_run_names_a_remedy(memory: str, remedy: str) -> None:
    step: Any = OnnxStep.__new__(OnnxStep)
    step._runner = SimpleNamespace(block="vision_encoder", device=SimpleNamespace(memory=memory))
    told = str(step._failed(RuntimeError("CUDA failure 700: an illegal memory access was encountered")))
    assert "block 'vision_encoder' failed in ONNX Runtime" in told
    assert "illegal memory access" in told
    assert remedy in told
