"""Pickle `.bin` checkpoints: they load and export equal to safetensors; a hostile or damaged one is refused unrun."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from tqdm import tqdm

from export.__main__ import main
from export.checkpoint import Checkpoint
from export.language_model_graph import LanguageModelGraph
from geopixel_edge.engine.digests import sha256_of
from geopixel_edge.engine.precision import PRECISIONS
from geopixel_edge.errors import CheckpointError
from tests.support.checkpoints import SOURCE, pickled, put, single, tensors, without_weights

NORM = "model.norm.weight"
FLIPS = 40


def contents(root: Path) -> dict[str, Tensor]:
    """Every tensor a block takes, by key."""
    checkpoint = Checkpoint(root)
    checkpoint.check_all()
    return {key: checkpoint.tensor(key) for names in checkpoint.claims.values() for key in names.values()}


def language_model(root: Path, out: Path) -> str:
    """Digest of the language model's exported weights."""
    out.mkdir()
    LanguageModelGraph(Checkpoint(root), out / "language_model.onnx", PRECISIONS["fp32"]).write(tqdm(disable=True))
    return sha256_of(out / "language_model.onnx.data")


@pytest.mark.parametrize("shards", [1, 3])
def test_a_pickle_equals_safetensors(tmp_path: Path, shards: int) -> None:
    root = pickled(tmp_path / "p", tensors(), shards)
    expected, found = contents(SOURCE), contents(root)
    assert found.keys() == expected.keys()
    assert all(found[key].dtype == value.dtype and torch.equal(found[key], value) for key, value in expected.items())
    assert language_model(root, tmp_path / "one") == language_model(SOURCE, tmp_path / "two")
    assert Checkpoint(root).digest() != Checkpoint(SOURCE).digest()  # over the files, which are others


def test_one_safetensors_file_equals_shards(tmp_path: Path) -> None:
    expected, found = contents(SOURCE), contents(single(tmp_path / "s", tensors()))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], value) for key, value in expected.items())


def test_parameters_and_strides_of_a_saved_module(tmp_path: Path) -> None:
    state = tensors()
    state[NORM] = torch.nn.Parameter(state[NORM])
    key = "model.layers.0.attention.wo.weight"
    state[key] = state[key].T.contiguous().T
    found = contents(pickled(tmp_path / "p", state))
    assert torch.equal(found[NORM], state[NORM].data)
    assert not found[NORM].requires_grad
    assert torch.equal(found[key], state[key])


class Hostile:
    """Runs a command when unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


@pytest.mark.parametrize("shards", [1, 2])
def test_a_malicious_pickle_is_refused_without_running(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], shards: int
) -> None:
    proof = tmp_path / "it-ran"
    state = {**tensors(), "zz": Hostile(f"touch {proof}")}
    root = pickled(tmp_path / "p", state, shards)
    assert main([str(root), str(tmp_path / "engine")]) == CheckpointError.exit_code
    assert "pytorch_model" in capsys.readouterr().err
    assert not proof.exists()
    # That it would have run shows that the attack was one.
    torch.load(next(path for path in root.glob("*.bin") if b"touch" in path.read_bytes()), weights_only=False)
    assert proof.exists()


def test_a_plain_pickle_is_refused_without_running(tmp_path: Path) -> None:
    proof = tmp_path / "it-ran"
    root = without_weights(tmp_path / "p")
    put(root, "pytorch_model.bin", pickle.dumps(Hostile(f"touch {proof}")))
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin is corrupt"):
        Checkpoint(root)
    assert not proof.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([torch.ones(1)], "does not hold a dictionary"),
        (torch.ones(1), "does not hold a dictionary"),
        ({"state_dict": {NORM: torch.ones(1)}}, "does not hold a dictionary"),
        ({1: torch.ones(1)}, "does not hold a dictionary"),
        ({NORM: 1.0}, "does not hold a dictionary"),
        ({}, "is missing"),
        (None, "does not hold a dictionary"),
        ({NORM: torch.ones(64).to_sparse()}, "does not hold a dictionary"),
        ({NORM: torch.ones(64, device="meta")}, "is missing"),
    ],
    ids=range(9),
)
def test_a_pickle_of_something_else(tmp_path: Path, content: Any, said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        Checkpoint(pickled(tmp_path / "p", content))


def test_a_pickled_shard_that_is_damaged(tmp_path: Path) -> None:
    root = pickled(tmp_path / "p", tensors())
    data, rng = (root / "pytorch_model.bin").read_bytes(), np.random.default_rng(4)
    with zipfile.ZipFile(root / "pytorch_model.bin") as archive:
        pickle_bytes, directory = archive.infolist()[0].file_size, archive.start_dir
    for bad in (b"", data[:10], data[: len(data) // 2], data[:-1], rng.bytes(10_000), b"PK\x03\x04" + rng.bytes(99)):
        put(root, "pytorch_model.bin", bad)
        with pytest.raises(CheckpointError, match=r"pytorch_model\.bin is corrupt"):
            Checkpoint(root)
    refused = 0
    for turn in range(FLIPS):
        flipped = bytearray(data)
        low, high = (0, pickle_bytes) if turn % 2 else (directory, len(data))
        flipped[int(rng.integers(low, high))] ^= 1 << int(rng.integers(8))
        put(root, "pytorch_model.bin", bytes(flipped))
        try:
            Checkpoint(root).check_all()
        except CheckpointError:
            refused += 1
    assert refused > FLIPS // 2  # the others hit time stamps and checksums nothing reads
