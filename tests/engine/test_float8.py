"""An engine in float8: answers on the CPU within what it states, becomes plans for Ada, and for nothing older."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path

import pytest

from geopixel_edge import Pipeline
from geopixel_edge.build import float8, float8_engine, tensorrt
from geopixel_edge.build.float8_engine import BLOCKS, build_float8
from geopixel_edge.build.forms import build_form
from geopixel_edge.build.tensorrt import build_tensorrt
from geopixel_edge.build.tensorrt_builder import Wanted
from geopixel_edge.build.tensorrt_target import Library
from geopixel_edge.build.traced import TracedGraph
from geopixel_edge.cli import main
from geopixel_edge.engine.directory import Engine, read_manifest
from geopixel_edge.errors import ExportError, OptionError

IMAGE = Path(__file__).parents[1] / "data" / "tiny-geopixel" / "images" / "tiny.png"


@pytest.fixture(scope="module")
def portable(engine_fp16: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("portable") / "engine"
    build_form(engine_fp16, target, "portable")
    return target


@pytest.fixture(scope="module")
def narrow(portable: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("float8") / "engine"
    assert all(check.passed for check in build_float8(portable, target, BLOCKS))
    return target


def test_it_states_how_far_it_is_and_answers(portable: Path, narrow: Path) -> None:
    before, after = Engine(portable).manifest, Engine(narrow).manifest
    for name in BLOCKS:
        assert (after.blocks[name].precision.weights, after.blocks[name].precision.compute) == ("float8", "float16")
        # Three bits behind the point instead of ten: tens of times as far, and no further than rounding explains.
        assert 5 * before.distance[name] < after.distance[name] < 0.5
        assert after.blocks[name].footprint is not None
    assert after.blocks["pixel_decoder"] == before.blocks["pixel_decoder"]
    weights = TracedGraph(narrow / "language_model.onnx")
    kept = {name for name in weights.names if name == "output.weight" or "Plora_A" in name}
    assert len(kept) == 1 + 5 * after.sizes.layers
    assert not any(name.endswith(".float8") for name in kept)
    with Pipeline(narrow, device="cpu") as pipe:
        assert len(pipe(IMAGE, "What?", max_new_tokens=4, hd_num=1).token_ids) == 4


def test_nothing_is_left_of_the_record_of_other_weights(portable: Path, narrow: Path) -> None:
    assert (portable / "golden" / "blocks.npz").is_file()
    assert not (narrow / "golden" / "blocks.npz").exists()
    assert "golden/blocks.npz" not in {spec.path for spec in read_manifest(narrow).files()}
    assert main(["verify", str(narrow)]) == 0


@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="TensorRT-RTX has wheels for Linux on x86-64"
)
def test_plans_of_it_are_for_ada_alone(portable: Path, narrow: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"'vision_encoder' is float8, which GPUs of compute capability 86 do not"):
        build_tensorrt(narrow, tmp_path / "old", Wanted("tensorrt-rtx", sm=86))
    assert list(tmp_path.iterdir()) == []
    report = build_tensorrt(narrow, tmp_path / "plans", Wanted("tensorrt-rtx", BLOCKS, 89))
    for one in report.blocks:
        changed = float8.products(TracedGraph(portable / f"{one.block}.onnx"))
        rows, weights = ({node.inputs[place] for node in changed} for place in (0, 1))
        assert (one.layers["QUANTIZE"], one.layers["DEQUANTIZE"]) == (len(rows), len(rows) + len(weights))
        assert len(weights) > 4
    assert Engine(tmp_path / "plans").manifest.blocks["language_model"].precision.name == "fp8"


def test_a_parser_without_attention_has_no_float8(
    narrow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorrt, "library_of", lambda runtime: None)
    monkeypatch.setattr(tensorrt, "choose", lambda *_: Library("tensorrt", "10.3.0", 89, True))
    with pytest.raises(OptionError, match=r"TensorRT 10\.3\.0 needs a language model without attention operators"):
        build_tensorrt(narrow, tmp_path / "plans", Wanted("tensorrt"))


def test_what_cannot_be_used_is_refused_before_anything_is_written(
    engine_fp16: Path, portable: Path, narrow: Path, tmp_path: Path
) -> None:
    target = tmp_path / "engine"
    with pytest.raises(OptionError, match=r"not in the portable form; run `geopixel-edge build .* --form portable`"):
        build_float8(engine_fp16, target, BLOCKS)
    with pytest.raises(OptionError, match=r"float8='pixel_decoder': no block that float8 is for; give some of vision"):
        build_float8(portable, target, ["pixel_decoder"])
    with pytest.raises(OptionError, match=r"its weights are float8 in .*; give an engine exported with fp16"):
        build_float8(narrow, target, ["language_model"])
    with pytest.raises(ExportError, match=r"block 'vision_encoder' is float8, which TensorRT alone multiplies"):
        build_form(narrow, target, "ready")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_too_far_from_torch_is_not_published(portable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows measured a thousand times too quiet are cut."""
    measured = float8_engine.loudest_of

    def quiet(source: Path, blocks: tuple[str, ...]) -> dict[str, dict[str, float]]:
        found = measured(source, blocks)
        return {block: {row: 1e-3 * value for row, value in rows.items()} for block, rows in found.items()}

    monkeypatch.setattr(float8_engine, "loudest_of", quiet)
    with pytest.raises(ExportError, match=r"nothing was published: .* leave that block at float16"):
        build_float8(portable, tmp_path / "engine", BLOCKS)
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_what_it_did(portable: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "engine"
    assert main(["build", str(portable), str(target), "--float8", "vision_encoder", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["float8"] == ["vision_encoder"]
    assert all(check["passed"] for check in told["checks"])
    assert read_manifest(target).blocks["language_model"].precision.name == "fp16"
    for more, reason in (
        (["--form", "ready"], "--form has no effect beside --float8"),
        (["--sm", "89"], "--sm has no effect beside --float8"),
        (["--runtime", "tensorrt-rtx"], "--float8 makes an ONNX engine: leave --runtime out"),
    ):
        assert main(["build", str(portable), str(tmp_path / "other"), "--float8", *more]) == 3
        assert reason in capsys.readouterr().err
