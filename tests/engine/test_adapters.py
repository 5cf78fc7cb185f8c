"""Fine-tuned models: an adapter merged while the export reads is what PEFT itself merges, in every form."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch import Tensor
from tqdm import tqdm

from export.__main__ import main
from export.adapter import PARTS, Adapter
from export.checkpoint import Checkpoint
from export.language_model_graph import LanguageModelGraph
from export.rounded import RoundedCheckpoint, rounded
from geopixel_edge.engine.digests import sha256_of
from geopixel_edge.engine.directory import read_manifest
from geopixel_edge.engine.precision import PRECISIONS

from ..support.adapters import contents, fine_tuned, is_trained, merged
from ..support.checkpoints import SOURCE

WQKV = "model.layers.1.attention.wqkv.weight"


def state(wrapped: PeftModel) -> dict[str, Tensor]:
    """Copies: merging changes the module."""
    return {key: value.clone() for key, value in wrapped.state_dict().items()}


def directory(wrapped: PeftModel, root: Path) -> Path:
    wrapped.save_pretrained(str(root))
    return root


def pickled_directory(wrapped: PeftModel, root: Path) -> Path:
    root.mkdir()
    (directory(wrapped, root / "saved") / "adapter_config.json").rename(root / "adapter_config.json")
    from safetensors.torch import load_file

    torch.save(load_file(root / "saved" / "adapter_model.safetensors"), root / "adapter_model.bin")
    return root


def whole_file(wrapped: PeftModel, root: Path) -> Path:
    torch.save(state(wrapped), root.with_suffix(".bin"))
    return root.with_suffix(".bin")


def trained_file(wrapped: PeftModel, root: Path) -> Path:
    root.mkdir()
    torch.save({key: value for key, value in state(wrapped).items() if is_trained(key)}, root / "pytorch_model.bin")
    return root


FORMS = (directory, pickled_directory, whole_file, trained_file)


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert [key for key, value in found.items() if not torch.equal(value, expected[key])] == []


@pytest.mark.parametrize("whole", [PARTS, ()], ids=["modules_to_save", "as_the_scripts"])
@pytest.mark.parametrize("form", FORMS)
def test_an_adapter_is_what_peft_merges(
    tmp_path: Path, form: Callable[[PeftModel, Path], Path], whole: tuple[str, ...]
) -> None:
    wrapped = fine_tuned(whole)
    found, base = contents(SOURCE, form(wrapped, tmp_path / "tuned")), contents(SOURCE)
    moved = [key for key, value in found.items() if not torch.equal(value, base[key])]
    parts = [key for key in base if any(f".{part}." in f".{key}" for part in PARTS)]
    saves_parts = whole or form in (whole_file, trained_file)
    assert len(moved) == 3 * 5 + (len(parts) if saves_parts else 0)
    expected = contents(merged(tmp_path / "m", wrapped))
    if not saves_parts:  # PEFT saves what it was told of and no more
        expected |= {key: base[key] for key in parts}
    assert_same(found, expected)


@pytest.mark.parametrize(
    "changes",
    [
        {"r": 4, "lora_alpha": 3},
        {"use_rslora": True},
        {"rank_pattern": {"attention.wo": 2, r"layers\.[01]\..*w2": 5}, "alpha_pattern": {"feed_forward.w1": 40}},
        {"target_modules": r"model\.layers\.\d\.attention\.(wqkv|wo)"},
        {"target_modules": ["wqkv", "w1"], "exclude_modules": ["model.layers.0.attention.wqkv"]},
        {"layers_to_transform": [0, 2], "layers_pattern": "layers"},
        {"layers_to_transform": 1},
        {"init_lora_weights": "gaussian", "lora_dropout": 0.1},
    ],
    ids=str,
)
def test_other_configs_are_what_peft_merges(tmp_path: Path, changes: dict[str, Any]) -> None:
    wrapped = fine_tuned((), **changes)
    found = contents(SOURCE, directory(wrapped, tmp_path / "tuned"))
    expected = contents(merged(tmp_path / "m", wrapped))
    adapted = {key: value for key, value in expected.items() if ".attention.w" in key or ".feed_forward.w" in key}
    assert_same({key: found[key] for key in adapted}, adapted)


def test_half_precision_adapters_are_added_in_float32(tmp_path: Path) -> None:
    wrapped = fine_tuned(())
    half = {key: value.bfloat16() for key, value in state(wrapped).items() if is_trained(key)}
    torch.save(half, tmp_path / "tuned.bin")
    wrapped.load_state_dict({key: value.float() for key, value in half.items()}, strict=False)
    assert_same(contents(SOURCE, tmp_path / "tuned.bin"), contents(merged(tmp_path / "m", wrapped)))


def test_what_is_not_said_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = whole_file(fine_tuned(()), tmp_path / "tuned")
    Checkpoint(SOURCE, Adapter(path))
    (told,) = caplog.messages
    assert told.startswith("no adapter_config.json beside tuned.bin: merged with rank 8 and alpha 16, as")
    caplog.clear()
    Checkpoint(SOURCE, Adapter(directory(fine_tuned(()), tmp_path / "tuned")))
    (told,) = caplog.messages
    assert told == f"adapter_model.safetensors holds no {', '.join(PARTS)}; the checkpoint's stay"


def test_a_config_beside_a_wrapped_model_decides(tmp_path: Path) -> None:
    wrapped = fine_tuned((), lora_alpha=64)
    path = trained_file(wrapped, tmp_path / "tuned")
    directory(wrapped, tmp_path / "saved")
    (tmp_path / "saved" / "adapter_config.json").rename(path / "adapter_config.json")
    assert_same(contents(SOURCE, path), contents(merged(tmp_path / "m", wrapped)))


def test_int8_rounds_the_merged_weights(tmp_path: Path) -> None:
    adapter = directory(fine_tuned(), tmp_path / "tuned")
    checkpoint = Checkpoint(SOURCE, Adapter(adapter))
    found = RoundedCheckpoint(checkpoint, {"language_model": PRECISIONS["int8"]}).tensor(WQKV)
    assert torch.equal(found, rounded(checkpoint.tensor(WQKV), 0))
    assert not torch.equal(found, rounded(Checkpoint(SOURCE).tensor(WQKV), 0))


def language_model(checkpoint: Checkpoint, root: Path) -> str:
    """Digest of the language model's exported weights."""
    root.mkdir()
    LanguageModelGraph(checkpoint, root / "language_model.onnx", PRECISIONS["int8"]).write(tqdm(disable=True))
    return sha256_of(root / "language_model.onnx.data")


def test_an_exported_block_is_the_merged_models(tmp_path: Path) -> None:
    wrapped = fine_tuned()
    adapted = Checkpoint(SOURCE, Adapter(directory(wrapped, tmp_path / "tuned")))
    found = language_model(adapted, tmp_path / "found")
    assert found == language_model(Checkpoint(merged(tmp_path / "m", wrapped)), tmp_path / "expected")
    assert found != language_model(Checkpoint(SOURCE), tmp_path / "base")


@pytest.mark.long
def test_the_engine_is_the_merged_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrapped = fine_tuned()
    adapter = directory(wrapped, tmp_path / "tuned")
    assert main([str(SOURCE), str(tmp_path / "engine"), "--adapter", str(adapter), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["checks"]
    assert main([str(merged(tmp_path / "m", wrapped)), str(tmp_path / "expected")]) == 0
    found, expected = read_manifest(tmp_path / "engine"), read_manifest(tmp_path / "expected")
    weights = [spec for spec in found.files() if not spec.path.startswith("golden")]
    assert len(weights) > 8
    assert weights == [spec for spec in expected.files() if not spec.path.startswith("golden")]
    told = found.provenance
    assert (told.source_sha256, told.adapter_sha256) == (Checkpoint(SOURCE).digest(), Adapter(adapter).digest())
    assert (told.source_name, told.adapter_name) == ("checkpoint", "tuned")
    assert expected.provenance.adapter_name is None
    assert "adapter_name" not in (tmp_path / "expected" / "manifest.json").read_text()
