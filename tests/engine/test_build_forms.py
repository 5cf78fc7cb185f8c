"""`geopixel-edge build`: the language model's other form, with the same numbers, and back again byte by byte."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec
import onnx
import onnxruntime as ort
import pytest

from export.publish import export_engine
from geopixel_edge.build.forms import build_form
from geopixel_edge.cli import main
from geopixel_edge.engine.directory import Engine, read_manifest
from geopixel_edge.engine.golden import verify
from geopixel_edge.errors import EngineCorruptError, EngineMismatchError, ExportError
from geopixel_edge.model import Model

from ..conftest import CHECKPOINT
from ..support.engines import linked, put, sign

OWN = ("language_model.onnx", "language_model.onnx.data")


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference checkpoint at the recommended mix."""
    target = tmp_path_factory.mktemp("int4") / "engine"
    export_engine(CHECKPOINT, target, "int4")
    return target


@pytest.fixture(scope="module")
def portable(mixed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("portable") / "engine"
    assert all(check.passed for check in build_form(mixed, target, "portable"))
    return target


def test_there_and_back_gives_the_same_bytes(mixed: Path, portable: Path, tmp_path: Path) -> None:
    build_form(portable, tmp_path / "engine", "ready")
    before, after = read_manifest(mixed), read_manifest(tmp_path / "engine")
    assert (before.form, read_manifest(portable).form) == ("ready", "portable")
    for spec in before.files():
        assert (tmp_path / "engine" / spec.path).read_bytes() == (mixed / spec.path).read_bytes(), spec.path
    first, second = (
        {name: msgspec.structs.replace(block, footprint=None) for name, block in one.blocks.items()}
        for one in (before, after)
    )
    assert first == second
    assert before.distance == after.distance


def test_int4_stays_int4_in_both_forms(mixed: Path, portable: Path, tmp_path: Path) -> None:
    layers = read_manifest(mixed).sizes.layers
    for root in (mixed, portable):
        options = ort.SessionOptions()
        options.log_severity_level = 3
        for name, value in read_manifest(root).blocks["language_model"].session_options.items():
            options.add_session_config_entry(name, value)
        options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
        ort.InferenceSession(str(root / OWN[0]), options)
        graph = onnx.load(str(tmp_path / "optimised.onnx"), load_external_data=False).graph
        products = [node for node in graph.node if node.op_type == "MatMulNBits"]
        found = [{one.name: one.i for one in node.attribute} for node in products]
        # Five linear layers at int4 with two of partial LoRA each at int8, and the head.
        assert Counter(one["bits"] for one in found) == {4: 5 * layers, 8: 10 * layers + 1}
        assert {one["accuracy_level"] for one in found} == {4}
        assert not {"DequantizeLinear", "MatMul", "Gemm"} & {node.op_type for node in graph.node}


def test_a_model_of_either_form_gives_its_golden_values(mixed: Path, portable: Path) -> None:
    for root in (mixed, portable):
        checks = verify(Model.open(root, "cpu"))
        assert all(check.passed for check in checks)
        assert all(check.drift is None or check.drift < 1e-5 for check in checks)


def test_it_needs_neither_torch_nor_onnx() -> None:
    code = (
        "import sys, geopixel_edge.build.forms\n"
        "found = {'torch', 'onnx', 'google', 'transformers'} & sys.modules.keys()\n"
        "raise SystemExit(f'loaded {found}' if found else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_cannot_be_built_leaves_nothing(mixed: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="has it already; copy the directory"):
        build_form(mixed, tmp_path / "out", "ready")
    (tmp_path / "taken").mkdir()
    with pytest.raises(ExportError, match="exists; give a new path"):
        build_form(mixed, tmp_path / "taken", "portable")
    damaged = linked(mixed, tmp_path / "a")
    put(damaged, OWN[1], bytes(read_manifest(mixed).blocks["language_model"].files[1].bytes))
    with pytest.raises(EngineCorruptError, match="another SHA-256"):
        build_form(damaged, tmp_path / "out", "portable")
    put(damaged, OWN[1], b"short")
    sign(damaged)
    with pytest.raises(EngineMismatchError, match="does not hold"):
        build_form(damaged, tmp_path / "out", "portable")
    put(damaged, OWN[0], (mixed / "vision_encoder.onnx").read_bytes())
    sign(damaged)
    with pytest.raises(EngineMismatchError, match=r"has no layers\.0\.attention_norm\.weight's epsilon"):
        build_form(damaged, tmp_path / "out", "portable")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "taken"]


def test_wrong_weights_are_not_published(mixed: Path, tmp_path: Path) -> None:
    changed = linked(mixed, tmp_path / "a")
    data = bytearray((mixed / OWN[1]).read_bytes())
    data[:100_000] = bytes(100_000)  # of the rotary tables, which come first
    put(changed, OWN[1], bytes(data))
    sign(changed)
    with pytest.raises(ExportError, match="nothing was published"):
        build_form(changed, tmp_path / "out", "portable")
    assert not (tmp_path / "out").exists()


def test_the_verb_says_what_it_checked(engine_fp32: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "portable"
    assert main(["build", str(engine_fp32), str(out), "--runtime", "onnx", "--form", "portable", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["engine_dir"], told["form"], told["runtime"]) == (str(out), "portable", "onnx")
    assert all(check["passed"] for check in told["checks"])
    assert Engine(out).manifest.form == "portable"
    assert main(["build", str(engine_fp32), str(out), "--form", "portable"]) == 6
    assert "exists; give a new path" in capsys.readouterr().err


@pytest.mark.long
def test_int4_beside_float16_arithmetic_scales_in_float16(tmp_path: Path) -> None:
    """What a GPU computes with: a contributed product takes scales of its activations' dtype alone."""
    export_engine(CHECKPOINT, tmp_path / "ready", "language_model=int4-fp16")
    assert all(check.passed for check in build_form(tmp_path / "ready", tmp_path / "portable", "portable"))
    for form, ending in (("ready", ".scales"), ("portable", ".scale")):
        graph = onnx.load(str(tmp_path / form / OWN[0]), load_external_data=False).graph
        kinds = {tensor.data_type for tensor in graph.initializer if tensor.name.endswith(ending)}
        assert kinds == {onnx.TensorProto.FLOAT16}
