"""Engines checked with one block, or one piece of a block, in memory: the same values as loaded whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from export.golden import SparingModel
from geopixel_edge.arrays import Array
from geopixel_edge.engine import BUNDLED
from geopixel_edge.engine.directory import Engine, read_manifest
from geopixel_edge.engine.golden import verify
from geopixel_edge.engine.probes import drift, probe
from geopixel_edge.memory import footprint, sparing
from geopixel_edge.memory.footprint import measure
from geopixel_edge.model import Model
from geopixel_edge.runtimes import onnx_in_pieces
from geopixel_edge.runtimes.host import HostDevice
from geopixel_edge.runtimes.loading import load_in_pieces
from geopixel_edge.runtimes.onnx_in_pieces import PieceRunner
from geopixel_edge.runtimes.onnx_pieces import Piece, Pieces

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


@pytest.mark.long
@pytest.mark.parametrize("engine", ["engine_fp32", "engine_fp16"])
def test_an_engine_in_pieces_passes_its_own_check(engine: str, cut_small: None, request: pytest.FixtureRequest) -> None:
    model = SparingModel.open(request.getfixturevalue(engine), "cpu")
    assert not model.residency.loaded
    checks = verify(model)
    assert {check.block for check in checks} >= {"vision_encoder", LANGUAGE, "grounding_encoder", "pixel_decoder"}
    assert [check for check in checks if not check.passed] == []
    assert len(model.residency.loaded) <= 1
    model.close()


@pytest.mark.parametrize("probed", [False, True])
def test_no_weight_is_handed_from_piece_to_piece(engine_fp16: Path, cut_small: None, probed: bool) -> None:
    """Float16 weights are cast where they are read: all of them cast first would have to be kept at once."""
    runner = load_in_pieces(Engine(engine_fp16), LANGUAGE, HostDevice(), None, probed)
    assert isinstance(runner, PieceRunner)
    weights = {name for piece in runner.cut.pieces for name in piece.weights}
    assert len(weights) > 20
    handed = {name for piece in runner.cut.pieces for name in piece.inputs}
    assert not [name for name in handed if name in weights or f"{name}.half" in weights]


def test_a_fault_in_a_late_piece_is_found(engine_fp32: Path, cut_small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, cut = Model.open(engine_fp32, "cpu"), SparingModel.open(engine_fp32, "cpu")
    exact = probe(whole)
    assert max(drift(value, exact[name]) for name, value in probe(cut).items()) < 1e-5
    real = PieceRunner.run_piece

    def damaged(runner: PieceRunner, piece: Piece, values: Mapping[str, Array]) -> dict[str, Array]:
        found = real(runner, piece, values)
        factor = np.float32(1.01 if piece is runner.cut.pieces[-1] else 1)
        return {name: value * factor if value.dtype == np.float32 else value for name, value in found.items()}

    monkeypatch.setattr(PieceRunner, "run_piece", damaged)
    assert max(drift(value, exact[name]) for name, value in probe(cut).items()) > 1e-4


def test_the_first_piece_says_what_the_whole_takes(cut_small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the language model of the package: within a factor of the same block measured whole."""
    whole = read_manifest(BUNDLED).blocks[LANGUAGE].footprint
    assert whole is not None
    monkeypatch.setattr(onnx_in_pieces, "PIECE_BYTES", 2_000_000)
    found = measure(BUNDLED, LANGUAGE)
    assert 0.4 < found.footprint.weights_bytes / whole.weights_bytes < 2.5
    assert found.footprint.workspace
    assert found.peak_bytes > found.footprint.weights_bytes / 10
