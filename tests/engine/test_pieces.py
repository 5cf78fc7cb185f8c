"""Engines checked with one block, or one piece of a block, in memory: the same values as loaded whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.golden import SparingModel
from geopixel_edge.engine import BUNDLED
from geopixel_edge.engine.directory import read_manifest
from geopixel_edge.engine.golden import verify
from geopixel_edge.memory import footprint, sparing
from geopixel_edge.memory.footprint import measure
from geopixel_edge.runtimes import onnx_in_pieces
from geopixel_edge.runtimes.onnx_pieces import Pieces

LANGUAGE = "language_model"


@pytest.fixture
def cut_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every block counts as large, and is cut into several pieces."""
    monkeypatch.setattr(sparing, "LARGE_BYTES", 1000)
    monkeypatch.setattr(footprint, "LARGE_BYTES", 1000)
    monkeypatch.setattr(onnx_in_pieces, "PIECE_BYTES", 400_000)


@pytest.mark.parametrize("block", ["vision_encoder", LANGUAGE, "grounding_encoder", "pixel_decoder"])
def test_pieces_hold_every_node_and_weight_within_the_limit(engine_fp32: Path, block: str) -> None:
    data = (engine_fp32 / f"{block}.onnx").read_bytes()
    whole, cut = Pieces(data, 10**12).pieces, Pieces(data, 400_000).pieces
    assert len(whole) == 1
    assert len(cut) > 2
    assert [node for piece in cut for node in piece.nodes] == whole[0].nodes
    assert {name for piece in cut for name in piece.weights} == set(whole[0].weights)
    assert all(piece.weight_bytes <= 400_000 or len(piece.nodes) == 1 for piece in cut)
    assert sum(piece.weight_bytes for piece in cut) >= whole[0].weight_bytes


@pytest.mark.parametrize("engine", ["engine_fp32", "engine_fp16"])
def test_an_engine_in_pieces_passes_its_own_check(engine: str, cut_small: None, request: pytest.FixtureRequest) -> None:
    model = SparingModel.open(request.getfixturevalue(engine), "cpu")
    assert not model.residency.loaded
    checks = verify(model)
    assert {check.block for check in checks} >= {"vision_encoder", LANGUAGE, "grounding_encoder", "pixel_decoder"}
    assert [check for check in checks if not check.passed] == []
    assert len(model.residency.loaded) <= 1
    model.close()


def test_the_first_piece_says_what_the_whole_takes(cut_small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the language model of the package: within a factor of the same block measured whole."""
    whole = read_manifest(BUNDLED).blocks[LANGUAGE].footprint
    assert whole is not None
    monkeypatch.setattr(onnx_in_pieces, "PIECE_BYTES", 2_000_000)
    found = measure(BUNDLED, LANGUAGE)
    assert 0.4 < found.footprint.weights_bytes / whole.weights_bytes < 2.5
    assert found.footprint.workspace
    assert found.peak_bytes > found.footprint.weights_bytes / 10
