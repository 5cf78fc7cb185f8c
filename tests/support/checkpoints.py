"""Copies of the reference checkpoint to damage: unchanged files are linked, so that a copy costs nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

SOURCE = Path(__file__).parents[1] / "data" / "tiny-geopixel" / "checkpoint"
INDEX = "model.safetensors.index.json"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def linked(parent: Path) -> Path:
    """`parent/checkpoint`, each file a link to the reference's."""
    root = parent / "checkpoint"
    root.mkdir(parents=True)
    for path in SOURCE.iterdir():
        os.symlink(path, root / path.name)
    return root


def put(root: Path, name: str, data: bytes) -> None:
    """Replace a file (never what it links to)."""
    (root / name).unlink(missing_ok=True)
    (root / name).write_bytes(data)


def edit_json(root: Path, name: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a JSON file in place."""
    value = json.loads((root / name).read_text())
    change(value)
    put(root, name, json.dumps(value).encode())


def tensors() -> dict[str, Tensor]:
    """Every tensor of the reference checkpoint."""
    return {name: value for shard in SHARDS for name, value in load_file(SOURCE / shard).items()}


def without_weights(parent: Path) -> Path:
    """The checkpoint's other files only."""
    root = linked(parent)
    for name in (INDEX, *SHARDS):
        (root / name).unlink()
    return root


def single(parent: Path, state: dict[str, Tensor]) -> Path:
    """The checkpoint with `state` in one model.safetensors."""
    root = without_weights(parent)
    save_file(state, root / "model.safetensors")
    return root


def pickled(parent: Path, state: Any, shards: int = 1) -> Path:
    """The checkpoint with `state` in pytorch_model.bin, or in numbered shards with an index."""
    root = without_weights(parent)
    if shards == 1:
        torch.save(state, root / "pytorch_model.bin")
        return root
    names = [f"pytorch_model-{i + 1:05d}-of-{shards:05d}.bin" for i in range(shards)]
    where = {key: names[place % shards] for place, key in enumerate(state)}
    for name in names:
        torch.save({key: value for key, value in state.items() if where[key] == name}, root / name)
    put(root, "pytorch_model.bin.index.json", json.dumps({"metadata": {}, "weight_map": where}).encode())
    return root
