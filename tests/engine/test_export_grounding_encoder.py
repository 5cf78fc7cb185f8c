"""Grounding encoder: the reference's values, windows that do not fit, keys of the real model, and the ONNX file."""

from __future__ import annotations

import copy
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from export.precision import parse_precision
from export.torch_model.grounding_encoder import HIERA_LARGE, GroundingEncoder
from export.writers import write_grounding_encoder
from geopixel_edge.engine.precision import PRECISIONS
from geopixel_edge.errors import CheckpointError, ExportError
from tests.support.sam2_reference import (
    CONFIG,
    SHAPES_7B,
    cases,
    claimed,
    encoder,
    golden,
    pyramid,
    run_onnx,
    sam_input,
)

CASES = cases("sam_in")
BORDERS = ("sam_image_embed", "sam_high_res0", "sam_high_res1")


def small(**hiera: Any) -> dict[str, Any]:
    """The tiny model's SAM 2 for a 256-pixel image, with other trunk values."""
    sam2: dict[str, Any] = copy.deepcopy(CONFIG["sam2_config"])
    sam2["image_size"] = 256
    sam2["hiera"].update(hiera)
    return sam2


def seeded(sam2: dict[str, Any]) -> GroundingEncoder:
    torch.manual_seed(7)
    module = GroundingEncoder(sam2)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return module


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("grounding_encoder")
    paths = {precision: folder / f"{precision}.onnx" for precision in ("fp32", "fp16")}
    for precision, path in paths.items():
        write_grounding_encoder(encoder(), path, PRECISIONS[precision])
    return paths


def test_every_case_with_an_image_is_covered() -> None:
    assert len(CASES) == 7


@pytest.mark.parametrize("case", CASES)
def test_torch_matches_reference(case: str) -> None:
    reference = golden(case)
    image = sam_input(reference.facts["image"])
    with torch.no_grad():
        maps = encoder().image_encoder.trunk(image)
        levels = encoder().image_encoder.neck(maps)
    found = {"sam_in": image, **dict(zip(BORDERS, pyramid(reference.facts["image"]), strict=True))}
    found |= {f"hiera_stage{i}": x for i, x in enumerate(maps)} | {f"fpn{i}": x for i, x in enumerate(levels)}
    assert len(found) == 12
    assert {key: reference.distance(key, x) for key, x in found.items() if not reference.agrees(key, x)} == {}


@pytest.mark.parametrize(
    "case", ["s1_wide_hd9", "s2_tall_hd9_seg_last", "s3_tiny_hd4_no_seg_eos", "s4_square_hd1_eos", "s7_big_hd9"]
)
def test_onnx_fp32_matches_reference(files: dict[str, Path], case: str) -> None:
    reference = golden(case)
    outputs = run_onnx(files["fp32"], {"image": sam_input(reference.facts["image"])})
    for key, output in zip(BORDERS, outputs, strict=True):
        assert output.dtype == np.float32
        assert reference.agrees(key, output), (key, reference.distance(key, output))


def test_onnx_fp16_stays_near(files: dict[str, Path]) -> None:
    """Measured on this case: 1.8e-3, 1.1e-3 and 1.5e-3 of the largest value."""
    reference = golden("s2_tall_hd9_seg_last")
    outputs = run_onnx(files["fp16"], {"image": sam_input("tall.png")})
    distances = [reference.distance(key, output) for key, output in zip(BORDERS, outputs, strict=True)]
    assert max(distances) < 4e-3
    assert min(distances) > 1e-4


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_onnx_file_is_plain(files: dict[str, Path], precision: str) -> None:
    path = files[precision]
    model = onnx.load(str(path), load_external_data=False)
    onnx.checker.check_model(str(path), full_check=True)
    operators = Counter(node.op_type for node in model.graph.node)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 20)]
    assert not {"If", "Loop", "Scan", "Tile", "Pow", "Shape"} & operators.keys()
    weights = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    (resize,) = (node for node in model.graph.node if node.op_type == "Resize")
    assert resize.input[0] not in weights
    assert weights.pop(resize.input[2]) == onnx.TensorProto.FLOAT
    assert operators["Cast"] == (4 if precision == "fp16" else 0)
    kind = onnx.TensorProto.FLOAT16 if precision == "fp16" else onnx.TensorProto.FLOAT
    assert {t for t in weights.values() if t != onnx.TensorProto.INT64} == {kind}
    borders = [*model.graph.input, *model.graph.output]
    assert [value.name for value in borders] == ["image", "image_embed", "high_res0", "high_res1"]
    assert {value.type.tensor_type.elem_type for value in borders} == {onnx.TensorProto.FLOAT}
    located = {e.value for t in model.graph.initializer for e in t.external_data if e.key == "location"}
    assert located == {path.name + ".data"}
    assert all(not node.metadata_props and not node.doc_string for node in model.graph.node)
    assert b".py" not in path.read_bytes()


def test_export_is_reproducible_quiet_and_leaves_the_module(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    module = seeded(small()).train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    level = logging.getLogger("torch.onnx").level
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_grounding_encoder(module, tmp_path / name / "x.onnx", PRECISIONS["fp16"])
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["x.onnx", "x.onnx.data"]
    for name in ("x.onnx", "x.onnx.data"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert capfd.readouterr() == ("", "")
    assert [str(warning.message) for warning in recwarn] == []
    assert logging.getLogger("torch.onnx").level == level
    assert module.training
    assert module.image_encoder.trunk.position is None
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_export_refuses_unknown_precision_and_unwritable_path(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="precision='int3'"):
        parse_precision("int3")
    with pytest.raises(ExportError, match=r"x\.onnx was not written"):
        write_grounding_encoder(seeded(small()), tmp_path / "missing" / "x.onnx", PRECISIONS["fp32"])


def test_windows_that_do_not_divide_the_grid_export(tmp_path: Path) -> None:
    module = seeded(small(window_spec=[8, 4, 14, 7])).eval()
    write_grounding_encoder(module, tmp_path / "x.onnx", PRECISIONS["fp32"])
    graph = onnx.load(str(tmp_path / "x.onnx"), load_external_data=False).graph
    assert any(node.op_type == "Pad" for node in graph.node)
    image = torch.randn(1, 3, 256, 256)
    with torch.no_grad():
        expected = module(image)
    for output, value in zip(run_onnx(tmp_path / "x.onnx", {"image": image}), expected, strict=True):
        assert np.abs(output - value.numpy()).max() <= 2e-5 * float(value.abs().max())


def test_keys_and_shapes_are_the_real_models() -> None:
    with torch.device("meta"):
        module = GroundingEncoder(HIERA_LARGE)
    names = claimed(GroundingEncoder.KEYS, SHAPES_7B)
    assert {local: SHAPES_7B[key] for local, key in names.items()} == {
        name: list(value.shape) for name, value in module.state_dict().items()
    }


def test_gradients_reach_every_parameter() -> None:
    module = seeded(small())
    torch.stack([(output**2).mean() for output in module(torch.randn(1, 3, 256, 256))]).sum().backward()
    silent = [name for name, p in module.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert silent == []


def test_planted_mistakes_are_caught() -> None:
    reference = golden("s2_tall_hd9_seg_last")
    assert not reference.agrees("sam_in", sam_input("tall.png", antialias=False))
    blurred = pyramid("tall.png", antialias=False)
    assert not any(reference.agrees(key, x) for key, x in zip(BORDERS, blurred, strict=True))
    forgotten = pyramid("tall.png")[0] - encoder().no_mem_embed.reshape(1, -1, 1, 1)
    assert not reference.agrees("sam_image_embed", forgotten)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"neck": None}, "no section 'neck'"),
        ({"hiera": {}}, r"sam2_config\['hiera'\] lacks"),
        ({"neck": {**HIERA_LARGE["neck"], "fpn_interp_model": "bilinear"}}, "fpn_interp_model='bilinear'"),
        ({"neck": {**HIERA_LARGE["neck"], "scalp": 0}}, "leaves 4 levels"),
        ({"neck": {**HIERA_LARGE["neck"], "backbone_channel_list": [1, 2, 3, 4]}}, "backbone_channel_list"),
        ({"hiera": {**HIERA_LARGE["hiera"], "window_spec": [8, 7, 16, 8]}}, "window_spec holds 7"),
        ({"directly_add_no_mem_embed": False}, "directly_add_no_mem_embed=False"),
    ],
)
def test_other_models_are_refused(change: dict[str, Any], message: str) -> None:
    with torch.device("meta"), pytest.raises(CheckpointError, match=message):
        GroundingEncoder({**HIERA_LARGE, **change})
