"""Pixel decoder: the reference's values, the choice of a mask, keys of the real model, and the ONNX file."""

from __future__ import annotations

import copy
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from export.precision import parse_precision
from export.torch_model.grounding_encoder import HIERA_LARGE
from export.torch_model.pixel_decoder import PixelDecoder, stability
from export.writers import write_pixel_decoder
from geopixel_edge.engine.precision import PRECISIONS
from geopixel_edge.errors import CheckpointError, ExportError
from tests.support.sam2_reference import CONFIG, SHAPES_7B, cases, claimed, decoder, encoder, golden, pyramid, run_onnx

CASES = cases("decoder_masks4")
# Measured distance to the reference, of the largest logit, and share of pixels that change sides. Stable cases are
# the worse ones: their mask 0 has smaller logits, and random weights amplify float32's noise there too.
FP16_MEASURED = {
    "s1_wide_hd9": (1.4e-2, 2.4e-3),
    "s2_tall_hd9_seg_last": (1.4e-3, 4e-4),
    "s4_square_hd1_eos": (2.5e-2, 4.4e-3),
    "s5_square_hd1_single_seg": (1e-3, 2e-4),
    "s7_big_hd9": (1.7e-3, 7e-4),
}
NAMES = ("image_embed", "high_res0", "high_res1")


def states(case: str) -> Tensor:
    return torch.from_numpy(golden(case).arrays["seg_hidden"])


def features(case: str) -> tuple[Tensor, Tensor, Tensor]:
    return pyramid(golden(case).facts["image"])


def feeds(case: str, seg_hidden: Tensor | None = None) -> dict[str, Tensor]:
    hidden = states(case) if seg_hidden is None else seg_hidden
    return {"seg_hidden": hidden, **dict(zip(NAMES, features(case), strict=True))}


def flipped_pixels(case: str, masks: np.ndarray | Tensor) -> int:
    bits = np.packbits(np.asarray(masks) > 0)
    return int(np.unpackbits(bits ^ golden(case).arrays["low_res_masks_bits"]).sum())


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pixel_decoder")
    paths = {precision: folder / f"{precision}.onnx" for precision in ("fp32", "fp16")}
    for precision, path in paths.items():
        write_pixel_decoder(decoder(), path, PRECISIONS[precision])
    return paths


def test_the_cases_cover_one_and_several_segs_with_and_without_fallback() -> None:
    assert [len(states(case)) for case in CASES] == [4, 2, 2, 1, 1]
    chosen = np.concatenate([golden(case).arrays["selected_mask_token"] for case in CASES])
    assert set(chosen.tolist()) == {0, 2, 3}


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_torch_matches_reference(case: str) -> None:
    reference, module = golden(case), decoder()
    masks, iou, tokens = module.all_masks(states(case), *features(case))
    low_res, score = module(states(case), *features(case))
    dense = module.no_mask_embed.weight.reshape(1, -1, 1, 1).expand(1, -1, module.side, module.side)
    steady = stability(masks[:, 0], module.delta)
    found = {
        "text_fc_out": module.text_hidden_fcs(states(case)),
        "dense_pe": module.dense_position(),
        "dense_embed": dense,
        "decoder_masks4": masks,
        "decoder_iou4": iou,
        "mask_tokens_out": tokens,
        "stability_score": steady,
        "low_res_masks": low_res[:, None],
    }
    assert {key: reference.distance(key, x) for key, x in found.items() if not reference.agrees(key, x)} == {}
    token = module.choose(masks, iou).numpy()
    assert token.tolist() == reference.arrays["selected_mask_token"].tolist()
    assert (steady < module.threshold).tolist() == reference.arrays["fallback_used"].tolist()
    assert np.array_equal(score.numpy(), np.take_along_axis(iou.numpy(), token[:, None], 1)[:, 0])
    assert flipped_pixels(case, low_res) <= 2


@pytest.mark.parametrize("case", CASES)
def test_onnx_fp32_matches_reference(files: dict[str, Path], case: str) -> None:
    reference = golden(case)
    low_res, iou = run_onnx(files["fp32"], feeds(case))
    assert (low_res.dtype, iou.dtype) == (np.float32, np.float32)
    assert reference.agrees("low_res_masks", low_res[:, None])
    assert flipped_pixels(case, low_res) <= 2
    chosen = reference.arrays["selected_mask_token"][:, None]
    assert np.abs(iou - np.take_along_axis(reference.arrays["decoder_iou4"], chosen, 1)[:, 0]).max() <= 1e-4


def test_onnx_takes_any_number_of_segs_and_treats_each_alone(files: dict[str, Path]) -> None:
    hidden = torch.cat([states(case) for case in CASES])
    together = run_onnx(files["fp32"], feeds("s1_wide_hd9", hidden))
    for index in range(len(hidden)):
        alone = run_onnx(files["fp32"], feeds("s1_wide_hd9", hidden[index : index + 1]))
        assert [output.shape for output in alone] == [(1, 256, 256), (1,)]
        for one, all_ in zip(alone, together, strict=True):
            assert np.abs(one[0] - all_[index]).max() <= 1e-4 * np.abs(all_[index]).max()


@pytest.mark.parametrize("case", CASES)
def test_onnx_fp16_stays_near(files: dict[str, Path], case: str) -> None:
    low_res, _ = run_onnx(files["fp16"], feeds(case))
    distance = golden(case).distance("low_res_masks", low_res[:, None])
    measured, share = FP16_MEASURED[case]
    assert 1e-4 < distance < 2 * measured
    assert flipped_pixels(case, low_res) < 2 * share * low_res.size


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_onnx_file_is_plain(files: dict[str, Path], precision: str) -> None:
    path = files[precision]
    model = onnx.load(str(path), load_external_data=False)
    onnx.checker.check_model(str(path), full_check=True)
    operators = Counter(node.op_type for node in model.graph.node)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 20)]
    assert not {"If", "Loop", "Scan", "Resize", "Sin", "Cos", "Pow"} & operators.keys()
    kind = onnx.TensorProto.FLOAT16 if precision == "fp16" else onnx.TensorProto.FLOAT
    weights = [t for t in model.graph.initializer if t.external_data]
    assert {t.data_type for t in weights} == {kind}
    assert {e.value for t in weights for e in t.external_data if e.key == "location"} == {path.name + ".data"}
    shapes = {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {
        "seg_hidden": ["n", 64],
        "image_embed": [1, 64, 64, 64],
        "high_res0": [1, 8, 256, 256],
        "high_res1": [1, 16, 128, 128],
        "low_res_masks": ["n", 256, 256],
        "iou": ["n"],
    }
    borders = {value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)}
    assert borders == {onnx.TensorProto.FLOAT}


def test_export_refuses_unknown_precision() -> None:
    with pytest.raises(ExportError, match="precision='int3'"):
        parse_precision("pixel_decoder=int3")


def test_onnx_can_choose_mask_1(tmp_path: Path) -> None:
    """No reference case falls back to mask 1; a raised IoU bias makes it the best."""
    case = "s2_tall_hd9_seg_last"
    module = copy.deepcopy(decoder())
    with torch.no_grad():
        last = module.iou_prediction_head.layers[-1]
        assert isinstance(last, nn.Linear)
        last.bias[1] += 50
        masks, iou, _ = module.all_masks(states(case), *features(case))
    write_pixel_decoder(module, tmp_path / "x.onnx", PRECISIONS["fp32"])
    low_res, score = run_onnx(tmp_path / "x.onnx", feeds(case))
    assert np.abs(low_res - masks[:, 1].numpy()).max() < 1e-3
    assert np.allclose(score, iou[:, 1].numpy(), atol=1e-6)


def test_stability_counts_exactly_at_half_precision() -> None:
    logits = torch.full((3, 256, 257), -1.0)
    logits[1] = 1.0
    logits[1, 0, 0] = 0.0
    logits[2, :3, 0] = torch.tensor([0.051, 0.05, -0.05])
    pixels = 256 * 257
    for value in (logits, logits.half()):
        surely = int((value[2] > 0.05).sum())
        found = stability(value, 0.05).tolist()
        assert found == pytest.approx([1.0, (pixels - 1) / pixels, surely / int((value[2] > -0.05).sum())], abs=1e-7)
    assert stability(logits, 0.05)[2] == 0.5


def test_choice_is_made_for_each_seg() -> None:
    masks = torch.ones(4, 4, 10, 10)
    masks[1:, 0, :2] = 0.0  # a fifth of mask 0 is within the margin: 0.8 < 0.98
    iou = torch.tensor([[0.1, 0.9, 0.2, 0.3], [0.9, 0.5, 0.2, 0.3], [0.9, 0.1, 0.2, 0.0], [0.9, 0.1, 0.7, 0.8]])
    assert decoder().choose(masks, iou).tolist() == [0, 1, 2, 3]
    exactly = torch.ones(1, 4, 10, 10)
    exactly[0, 0, 0, :2] = 0.0  # 0.98 itself is stable
    assert decoder().choose(exactly, iou[1:2]).tolist() == [0]


def test_keys_and_shapes_are_the_real_models() -> None:
    with torch.device("meta"):
        module = PixelDecoder(HIERA_LARGE, 4096, 256)
    names = claimed(PixelDecoder.KEYS, SHAPES_7B)
    assert len(names) > 100
    assert {local: SHAPES_7B[key] for local, key in names.items()} == {
        name: list(value.shape) for name, value in module.state_dict().items()
    }


def test_gradients_reach_every_parameter() -> None:
    module = copy.deepcopy(decoder()).train()
    masks, iou, _ = module.all_masks(states("s1_wide_hd9"), *features("s1_wide_hd9"))
    ((masks**2).mean() + (iou**2).mean()).backward()
    silent = [name for name, p in module.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    still = [name for name, p in module.named_parameters() if p.grad is not None and not p.grad.any()]
    assert (silent, still) == ([], [])


@torch.no_grad()
def test_planted_mistakes_are_caught() -> None:
    for case in ("s2_tall_hd9_seg_last", "s5_square_hd1_single_seg", "s7_big_hd9"):
        plain = copy.deepcopy(decoder())
        plain.falls_back = False
        assert not golden(case).agrees("low_res_masks", plain(states(case), *features(case))[0][:, None])
    case = "s2_tall_hd9_seg_last"
    somebody_elses = decoder()(states(case).roll(1, 0), *features(case))[0]
    assert not golden(case).agrees("low_res_masks", somebody_elses[:, None])
    embed, *finer = features(case)
    forgotten = decoder()(states(case), embed - encoder().no_mem_embed.reshape(1, -1, 1, 1), *finer)[0]
    assert not golden(case).agrees("low_res_masks", forgotten[:, None])
    aliased = decoder()(states(case), *pyramid("tall.png", antialias=False))[0]
    assert not golden(case).agrees("low_res_masks", aliased[:, None])


@pytest.mark.parametrize(
    ("change", "out_dim", "message"),
    [
        ({}, 128, "out_dim=128 is not SAM 2's width 256"),
        ({"mask_decoder": {}}, 256, "mask_decoder'] lacks"),
        ({"mask_decoder": {**HIERA_LARGE["mask_decoder"], "pred_obj_scores": False}}, 256, "pred_obj_scores=False"),
        ({"mask_decoder": {**HIERA_LARGE["mask_decoder"], "use_high_res_features": False}}, 256, "use_high_res"),
    ],
)
def test_other_models_are_refused(change: dict[str, Any], out_dim: int, message: str) -> None:
    with torch.device("meta"), pytest.raises(CheckpointError, match=message):
        PixelDecoder({**HIERA_LARGE, **change}, 4096, out_dim)


def test_tiny_and_large_configurations_have_the_same_fields() -> None:
    tiny = CONFIG["sam2_config"]
    for part in ("hiera", "neck", "mask_decoder"):
        assert tiny[part].keys() == HIERA_LARGE[part].keys()
