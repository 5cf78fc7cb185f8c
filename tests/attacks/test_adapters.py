"""Adapters of other models, incomplete, damaged and hostile: each refused by name before anything is written."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from export.__main__ import main
from geopixel_edge.errors import CheckpointError

from ..support.adapters import fine_tuned, is_trained
from ..support.checkpoints import SOURCE

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
LAYER = "base_model.model.model.layers.1."
WO_A, WO_B = f"{LAYER}attention.wo.lora_A.weight", f"{LAYER}attention.wo.lora_B.weight"
OUTPUT, FCS = "base_model.model.output.weight", "base_model.model.model.text_hidden_fcs.0.2.bias"
Change = Callable[[dict[str, Any]], object]
Refused = Callable[..., None]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("adapters")
    wrapped = fine_tuned()
    wrapped.save_pretrained(str(root / "directory"))
    torch.save(wrapped.state_dict(), root / "whole.bin")
    return root


@pytest.fixture
def root(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound / "directory", tmp_path / "tuned"))


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Runs the command with an adapter, and wants one line that names what is wrong and nothing left behind."""

    def check(adapter: Path, *fragments: str) -> None:
        before = sorted(tmp_path.rglob("*"))
        code = main([str(SOURCE), str(tmp_path / "engine"), "--adapter", str(adapter)])
        assert code == CheckpointError.exit_code
        line = capsys.readouterr().err.strip().splitlines()[-1]
        assert line.startswith("error: ")
        for fragment in fragments:
            assert fragment in line
        assert len(line) < 900
        assert sorted(tmp_path.rglob("*")) == before

    return check


def edit(root: Path, change: Change) -> None:
    state = load_file(root / WEIGHTS)
    change(state)
    save_file(state, root / WEIGHTS)


# --- Files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["absent", "tuned/README.md", "a\0b", "x" * 300, "\udcff"])
def test_no_adapter(root: Path, refused: Refused, path: str) -> None:
    refused(root.parent / path, "adapter=")


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_file_is_missing(root: Path, refused: Refused, name: str) -> None:
    (root / name).unlink()
    refused(root, name)


def test_two_files_of_weights(root: Path, refused: Refused) -> None:
    (root / "pytorch_model.bin").touch()
    refused(root, f"{WEIGHTS} and pytorch_model.bin", "give the file itself")


@pytest.mark.parametrize("part", [0, 7, 0.5, -1])
def test_truncated_weights(root: Path, sound: Path, refused: Refused, part: float) -> None:
    for data, path in (
        ((root / WEIGHTS).read_bytes(), root / WEIGHTS),
        ((sound / "whole.bin").read_bytes(), root.parent / "whole.bin"),
    ):
        path.write_bytes(data[: int(part * len(data)) if isinstance(part, float) else part])
        refused(root if path.parent == root else path, path.name, "corrupt")


class Hostile:
    """Runs a command when unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


def test_a_malicious_pickle_is_refused_without_running(tmp_path: Path, sound: Path, refused: Refused) -> None:
    proof, path = tmp_path / "it-ran", tmp_path / "whole.bin"
    state = torch.load(sound / "whole.bin", weights_only=True)
    torch.save({**state, "zz": Hostile(f"touch {proof}")}, path)
    refused(path, "whole.bin is corrupt")
    torch.load(path, weights_only=False)
    assert proof.exists()  # that it would have run shows that the attack was one


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{", b"\xff\xfe", b"[" * 100_000, b'{"r": NaN}'])
def test_the_config_is_damaged(root: Path, refused: Refused, data: bytes) -> None:
    (root / CONFIG).write_bytes(data)
    refused(root, CONFIG)


# --- The config -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"peft_type": "IA3"}, "peft_type"),
        ({"r": 0}, "$.r"),
        ({"r": "8"}, "$.r"),
        ({"r": 4}, "shape"),
        ({"lora_alpha": 0}, "lora_alpha"),
        ({"lora_alpha": 1e30}, "lora_alpha"),
        ({"target_modules": None}, "target_modules"),
        ({"target_modules": ["attention.wqkv"]}, "leave it out"),
        ({"target_modules": ["attention.wqkv", "k_projection"]}, "k_projection"),
        ({"target_modules": ["wqkv", "wo", "w1", "w2", "w3", "q_proj"]}, "q_proj"),
        ({"target_modules": "(layers"}, "target_modules"),
        ({"rank_pattern": {"attention.wo": 2}}, "attention.wo.lora_A"),
        ({"rank_pattern": {"(": 2}}, "rank_pattern"),
        ({"alpha_pattern": {"wo": "x"}}, "alpha_pattern"),
        ({"layers_to_transform": [0, 1]}, "layers.2."),
        ({"layers_pattern": "blocks"}, "layers_pattern"),
        ({"modules_to_save": ["output", "norm", "tok_embeddings"]}, "norm.weight"),
        ({"modules_to_save": ["classifier"]}, "classifier"),
        ({"use_dora": True}, "use_dora"),
        ({"lora_bias": True}, "lora_bias"),
        ({"bias": "lora_only"}, "bias"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights"),
        ({"target_parameters": ["w"]}, "target_parameters"),
        ({"something_new": {"x": 1}}, "something_new"),
    ],
    ids=str,
)
def test_a_config_that_is_not_supported_or_another_models(
    root: Path, refused: Refused, changes: dict[str, Any], named: str
) -> None:
    config = json.loads((root / CONFIG).read_text())
    (root / CONFIG).write_text(json.dumps({**config, **changes}))
    refused(root, named)


@pytest.mark.parametrize("field", ["r", "lora_alpha", "target_modules", "peft_type"])
def test_a_config_that_lacks_a_field(root: Path, refused: Refused, field: str) -> None:
    config = json.loads((root / CONFIG).read_text())
    del config[field]
    (root / CONFIG).write_text(json.dumps(config))
    refused(root, CONFIG, field)


# --- The tensors ----------------------------------------------------------------------------------------------


def rename(old: str, new: str) -> Change:
    return lambda state: state.__setitem__(new, state.pop(old))


def put(key: str, value: Tensor) -> Change:
    return lambda state: state.__setitem__(key, value)


@pytest.mark.parametrize(
    ("change", "fragments"),
    [
        (lambda state: state.pop(WO_A), (WO_A, "missing")),
        (lambda state: state.pop(WO_B), (WO_B, "missing")),
        (lambda state: [state.pop(key) for key in list(state) if "lora" in key and "w1" in key], ("w1", "missing")),
        (lambda state: state.pop(FCS), (FCS, "missing")),
        (lambda state: state.clear(), ("nothing that was trained",)),
        (put(WO_A, torch.ones(4, 64)), (WO_A, "(4, 64)", "(8, 64)")),
        (put(WO_A, torch.ones(8, 48)), (WO_A, "(8, 48)")),
        (put(WO_B, torch.ones(8)), (WO_B, "(8,)")),
        (put(OUTPUT, torch.ones(1004, 64)), (OUTPUT, "(1004, 64)")),
        (put(WO_A, torch.full((8, 64), torch.nan)), (WO_A, "not finite")),
        (put(OUTPUT, torch.full((1003, 64), torch.inf)), (OUTPUT, "not finite")),
        (put(WO_A, torch.ones(8, 64, dtype=torch.int8)), (WO_A, "I8")),
        (put(f"{LAYER}attention.wo.lora_magnitude_vector", torch.ones(64)), ("lora_magnitude_vector",)),
        (put(f"{LAYER}attention.wo.lora_B.bias", torch.ones(64)), ("lora_B.bias",)),
        (put(f"{LAYER}attention.wo.lora_A.other.weight", torch.ones(8, 64)), ("lora_A", "second adapter")),
        (put("base_model.model.output.modules_to_save.weight", torch.ones(1003, 64)), (OUTPUT, "says the same")),
        (put("base_model.model.extra.weight", torch.ones(2)), ("extra.weight", "no part")),
        (rename(OUTPUT, "output.weight"), ("'output.weight'", "base_model.model.")),
        (rename(WO_A, WO_A.replace("layers.1", "layers.9")), ("layers.9.attention.wo",)),
        (rename(WO_A, WO_A.replace("wo", "wqkv.Plora_A")), ("Plora_A",)),
    ],
    ids=range(20),
)
def test_tensors_that_do_not_fit(root: Path, refused: Refused, change: Change, fragments: tuple[str, ...]) -> None:
    edit(root, change)
    refused(root, *fragments)


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        (".layers.2.ffn_norm.weight", "layers.2.ffn_norm.weight"),
        (".layers.0.attention.wo.base_layer.weight", "layers.0.attention.wo.weight"),
        (".layers.0.attention.wo.base_layer.Plora_A.weight", "layers.0.attention.wo.Plora_A.weight"),
        (".feed_forward.w3.lora_A.default.weight", "w3.lora_A"),
    ],
)
def test_a_wrapped_model_that_is_not_whole(
    tmp_path: Path, sound: Path, refused: Refused, missing: str, named: str
) -> None:
    state = torch.load(sound / "whole.bin", weights_only=True)
    torch.save({key: value for key, value in state.items() if missing not in key}, tmp_path / "whole.bin")
    refused(tmp_path / "whole.bin", named, "missing")


def test_another_rank_needs_its_config(tmp_path: Path, refused: Refused) -> None:
    state = fine_tuned((), r=16).state_dict()
    torch.save({key: value for key, value in state.items() if is_trained(key)}, tmp_path / "tuned.bin")
    refused(tmp_path / "tuned.bin", "lora_A", "(16, ", CONFIG)
