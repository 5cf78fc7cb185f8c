"""Damaged, incomplete and hostile checkpoints: each refused by name, and nothing published."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from tqdm import tqdm

from export.__main__ import main
from export.checkpoint import Checkpoint
from export.onnx_file import save_module
from export.writers import WRITERS
from geopixel_edge.errors import CheckpointError, ExportError
from tests.support import random_checkpoint
from tests.support.checkpoints import INDEX, SHARDS, SOURCE, edit_json, linked, put, single, tensors, without_weights

FIRST, LAST = SHARDS
NORM, EMBEDDINGS = "model.norm.weight", "model.tok_embeddings.weight"
FLIPS = 60


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return linked(tmp_path)


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Runs the command on a checkpoint, and wants one line that names what is wrong and nothing left behind."""

    def check(checkpoint: Path, *fragments: str) -> None:
        before = sorted(tmp_path.iterdir())
        assert main([str(checkpoint), str(tmp_path / "engine")]) == CheckpointError.exit_code
        line = capsys.readouterr().err.strip().splitlines()[-1]
        assert line.startswith("error: ")
        for fragment in fragments:
            assert fragment in line
        assert len(line) < 700
        assert sorted(tmp_path.iterdir()) == before

    return check


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the slow steps of an export."""
    for block in WRITERS:
        monkeypatch.setitem(WRITERS, block, lambda *_: None)


# --- Files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["absent", "file", "a\0b", "x" * 300, "\udcff"])
def test_no_directory(tmp_path: Path, refused: Callable[..., None], path: str) -> None:
    (tmp_path / "file").touch()
    refused(tmp_path / path, "checkpoint=")


@pytest.mark.parametrize("name", ["config.json", INDEX, FIRST, LAST, "tokenizer.model", "added_tokens.json"])
def test_a_file_is_missing(root: Path, refused: Callable[..., None], name: str) -> None:
    (root / name).unlink()
    refused(root, "model.safetensors nor pytorch_model.bin" if name == INDEX else name)


@pytest.mark.parametrize("name", ["config.json", INDEX, "added_tokens.json", "tokenizer_config.json"])
@pytest.mark.parametrize("data", [b"", b"[]", b"null", b'"x"', b"{", b"\xff\xfe", b"[" * 100_000, b"9" * 5000])
def test_a_json_file_is_damaged(root: Path, refused: Callable[..., None], name: str, data: bytes) -> None:
    put(root, name, data)
    refused(root, name)


# --- Keys and shards ----------------------------------------------------------------------------------------


def renamed(state: dict[str, Tensor], old: str, new: str) -> dict[str, Tensor]:
    return {new if key == old else key: value for key, value in state.items()}


STATES: dict[str, tuple[Callable[[dict[str, Tensor]], dict[str, Tensor]], str]] = {
    "missing": (lambda s: {key: value for key, value in s.items() if key != NORM}, "norm.weight"),
    "missing adapter": (
        lambda s: {key: value for key, value in s.items() if "layers.0.attention.wqkv.Plora_A" not in key},
        "layers.0.attention.wqkv.Plora_A.weight",
    ),
    "empty": (lambda s: {}, "model.layers.0"),
    "wrong shape": (lambda s: {**s, NORM: s[NORM][:-1].clone()}, NORM),
    "no shape": (lambda s: {**s, NORM: torch.tensor(1.0)}, NORM),
    "adapter without shape": (
        lambda s: {**s, "model.layers.0.attention.wqkv.Plora_A.weight": torch.tensor(1.0)},
        "layers.0.attention.wqkv.Plora_A.weight",
    ),
    "wrong vocabulary": (lambda s: {**s, EMBEDDINGS: s[EMBEDDINGS][1:].clone()}, EMBEDDINGS),
    "integers": (lambda s: {**s, NORM: s[NORM].to(torch.int64)}, NORM),
    "double": (lambda s: {**s, EMBEDDINGS: s[EMBEDDINGS].double()}, EMBEDDINGS),
    "extra": (lambda s: {**s, "model.layers.3.ffn_norm.weight": s[NORM].clone()}, "model.layers.3.ffn_norm.weight"),
    "extra elsewhere": (lambda s: {**s, "optimizer.step": torch.ones(1)}, "optimizer.step"),
    "misspelt": (lambda s: renamed(s, NORM, "model.Norm.weight"), "model.Norm.weight"),
}


@pytest.mark.parametrize("name", STATES)
def test_keys_and_shapes(tmp_path: Path, refused: Callable[..., None], name: str) -> None:
    change, named = STATES[name]
    refused(single(tmp_path / "s", change(tensors())), named)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda m: m.pop(NORM), NORM),
        (lambda m: m.update(ghost=FIRST), "ghost"),
        (lambda m: m.update({NORM: LAST if m[NORM] == FIRST else FIRST}), NORM),
        (lambda m: m.update({NORM: "model-00003-of-00003.safetensors"}), "00003"),
        *((lambda m, name=name: m.update({NORM: name}), "outside") for name in ("../x", "/etc/hostname", "a/b")),
        *((lambda m, name=name: m.update({NORM: name}), "shard") for name in ("", ".", "..", "a\0b", "x" * 300)),
        (lambda m: m.update({NORM: "config.json"}), "config.json"),
        (lambda m: m.update({NORM: [FIRST]}), INDEX),
        (lambda m: m.update({NORM: 3}), INDEX),
    ],
)
def test_the_index_lies(
    root: Path, refused: Callable[..., None], change: Callable[[dict[str, Any]], object], named: str
) -> None:
    edit_json(root, INDEX, lambda index: change(index["weight_map"]))
    refused(root, named)


def test_shards_that_are_damaged(root: Path, refused: Callable[..., None]) -> None:
    data = (SOURCE / LAST).read_bytes()
    noise = np.random.default_rng(1).bytes(len(data))
    short = (data[:0], data[:7], data[:8], data[:1000], data[: len(data) // 2], data[:-1])
    huge = struct.pack("<Q", 2**63) + data[8:]
    for bad in (*short, noise, data + b"\0", huge):
        put(root, LAST, bad)
        refused(root, LAST, "corrupt")
    (root / LAST).unlink()
    (root / LAST).mkdir()
    refused(root, LAST)


def test_bit_flips_in_a_header(root: Path) -> None:
    data, rng = (SOURCE / FIRST).read_bytes(), np.random.default_rng(2)
    header_bytes = 8 + struct.unpack("<Q", data[:8])[0]
    for _ in range(FLIPS):
        bad = bytearray(data)
        bad[int(rng.integers(header_bytes))] ^= 1 << int(rng.integers(8))
        put(root, FIRST, bytes(bad))
        with pytest.raises(CheckpointError):
            Checkpoint(root).check_all()


# --- Damage that only reading shows -------------------------------------------------------------------------


@pytest.mark.parametrize("key", [NORM, "output.weight", EMBEDDINGS, "model.layers.2.feed_forward.w2.Plora_B.weight"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_in_a_tensor_read_late(
    tmp_path: Path, refused: Callable[..., None], quick: None, key: str, value: float
) -> None:
    state = tensors()
    state[key].view(-1)[-1] = value
    refused(single(tmp_path / "s", state), key, "finite")


def test_numbers_beyond_float16(tmp_path: Path, capsys: pytest.CaptureFixture[str], quick: None) -> None:
    state = tensors()
    state[EMBEDDINGS][-1, -1] = 1e6  # in a row that no golden value depends on
    source = single(tmp_path / "s", state)
    assert main([str(source), str(tmp_path / "engine"), "--precision", "fp16"]) == ExportError.exit_code
    assert EMBEDDINGS in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_a_weight_beyond_float16_is_named(tmp_path: Path) -> None:
    module = torch.nn.Linear(64, 64)
    module.weight.data[3, 3] = 1e6
    with pytest.raises(ExportError, match=r"^weight exceeds float16"):
        save_module(module, tmp_path / "x.onnx", "float16", {"x": (1, 64)}, ["y"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_shard_of_ten_gigabytes_that_ends_early(
    tmp_path: Path, refused: Callable[..., None], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Sparse files: the directory of tensors is whole, or stood at the end that is missing."""
    root = without_weights(tmp_path / "s")
    shapes = {f"model.layers.{index}.attention.wqkv.weight": (6144, 65536) for index in range(12)}
    monkeypatch.setattr(random_checkpoint, "fill", lambda *_: None)
    write = random_checkpoint.write_bin if name.endswith(".bin") else random_checkpoint.write_safetensors
    write(root / name, shapes, tqdm(disable=True))
    os.truncate(root / name, 9 * 10**9)
    monkeypatch.setattr(Checkpoint, "tensor", lambda *_: pytest.fail("a tensor was read"))
    refused(root, name, "corrupt")


@pytest.mark.parametrize("name", ["tokenizer.model", "added_tokens.json"])
def test_a_damaged_tokenizer(root: Path, refused: Callable[..., None], name: str) -> None:
    data, rng = (SOURCE / name).read_bytes(), np.random.default_rng(3)
    for bad in (b"", data[: len(data) // 2], rng.bytes(len(data)), b"{}", b'{"[SEG]": -1}', b'{"[SEG]": "x"}'):
        put(root, name, bad)
        refused(root, name)


def test_the_command_itself_prints_one_line(root: Path, tmp_path: Path) -> None:
    put(root, LAST, (SOURCE / LAST).read_bytes()[:-1])
    command = [sys.executable, "-m", "export", str(root), str(tmp_path / "engine")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=Path(__file__).parents[2])
    assert (done.returncode, done.stdout) == (CheckpointError.exit_code, "")
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("error: shard")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]
