"""`benchmarks.gpu`, whole, on machines without a GPU: plans on a fake of TensorRT's, and ONNX on the CPU."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu import __main__ as benchmark
from benchmarks.gpu import blocks, rates, whole
from benchmarks.scale import ours
from benchmarks.scale.shapes import Shapes
from geopixel_edge.engine import BUNDLED
from geopixel_edge.model import Model

from ..support.fake_trt import FakeTrt
from ..support.tensorrt_engines import CAPACITY, NEW

INTERMEDIATE = 512


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few runs of small images and short answers."""
    monkeypatch.setattr(whole, "SIDE_PX", 336)
    monkeypatch.setattr(whole, "NEW_TOKENS", 3)
    monkeypatch.setattr(blocks, "wall_s", lambda device, action, repeat: _once(action))
    monkeypatch.setattr(blocks, "median_s", lambda device, action, repeat: _once(action))


def _once(action: Any) -> float:
    action()
    return 0.5


def _measured(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    assert benchmark.main([*argv, "--intermediate", str(INTERMEDIATE), "--repeat", "1", "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_plans_are_measured_at_the_sizes_they_were_built_for(
    engines: dict[str, Path],
    trt: FakeTrt,
    brief: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On a machine that has neither onnx nor torch for CUDA, as a board."""
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setattr(blocks, "PROMPTS", (4096,))
    monkeypatch.setattr(blocks, "CACHED", (4000,))
    monkeypatch.setattr(rates, "measured", lambda: {"matrix_flop_per_s": 1e12, "memory_bytes_per_s": 1e11})
    found = _measured(capsys, str(engines[NEW]), "--against")
    assert found["blocks"]["vision_encoder"]["views"] == 2
    assert found["blocks"]["pixel_decoder"]["masks"] == 8
    assert list(found["prefill"]) == [str(CAPACITY)]
    assert list(found["decode"]) == ["batch8", str(CAPACITY - 5)]
    assert found["decode"][str(CAPACITY - 5)]["ratio_floor"] > 0
    assert found["whole_answer"]["ours"]["new_tokens"] == 3


def test_it_tells_tables_of_an_onnx_engine(
    brief: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(blocks, "VIEWS", 3)
    monkeypatch.setattr(blocks, "PROMPTS", (64,))
    monkeypatch.setattr(blocks, "CACHED", (100,))
    assert benchmark.main([str(BUNDLED), "--device", "cpu", "--against", "--repeat", "1"]) == 0
    told = capsys.readouterr().out
    for words in ("vision_encoder, 3 views", "pixel_decoder, 8 masks", "prefill of 64", "8 x 100 cached"):
        assert f"{words} " in told
    assert "power: not measured" in told


def test_a_plans_step_reads_what_the_onnx_files_does(engines: dict[str, Path], trt: FakeTrt) -> None:
    plain, planned = Model.open(BUNDLED, "cpu"), Model.open(engines[NEW], "cuda")
    sizes = plain.manifest.sizes
    shapes = Shapes(sizes.hidden, INTERMEDIATE, sizes.layers, sizes.heads, sizes.kv_heads, sizes.vocabulary)
    assert ours.step_bytes(planned, shapes) == pytest.approx(ours.step_bytes(plain, shapes), rel=0.03)


@pytest.mark.parametrize(
    ("words", "peers"),
    [(["torch,ort"], ["torch", "ort"]), (["torch", "torch-compiled"], ["torch", "torch-compiled"]), ([], [])],
)
def test_peers_are_divided_by_commas_or_spaces(
    words: list[str], peers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def measure(args: Any) -> dict[str, Any]:
        asked.append(args.against)
        return {}

    monkeypatch.setattr(benchmark, "measure", measure)
    onnx = ["--onnx", "engine"] if "ort" in peers else []
    benchmark.main(["engine", "--json", "--against", *words, *onnx])
    assert asked == [peers]


def test_a_peer_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        benchmark.main(["engine", "--against", "torch,tf"])
    assert "'tf' is none of torch, torch-compiled, ort" in capsys.readouterr().err
