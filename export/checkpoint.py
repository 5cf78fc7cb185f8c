"""Reading a Hugging Face checkpoint directory: safetensors or pickle shards, strict about keys and shapes."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import safe_open
from torch import Tensor, nn

from geopixel_edge import limits
from geopixel_edge.arrays import F32
from geopixel_edge.engine.digests import sha256_of
from geopixel_edge.errors import CheckpointError, reason

from . import keys
from .config import ModelConfig, read_config
from .onnx_file import Weights, constants, is_finite

# What the published checkpoint and its fine-tunings are stored in.
STORED = ("BF16", "F16", "F32")
_MAPPED_BYTES = 64 * 1024**2  # of each shard
_PICKLED = {torch.bfloat16: "BF16", torch.float16: "F16", torch.float32: "F32"}


class Overlay(Protocol):
    """Weights laid over a checkpoint's: `over` says, of the shards by key, which others take their place."""

    name: str

    def over(self, base: Mapping[str, Any]) -> dict[str, Any]: ...

    def digest(self) -> str: ...


class _Shard(ABC):
    """A file that is memory-mapped, and opened anew after some reading: mapped pages count as the process's memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open()
        self._read_bytes = 0

    @abstractmethod
    def _open(self) -> None:
        """Map the file, and read its names."""

    @abstractmethod
    def _view(self, key: str) -> Tensor:
        """One tensor, in mapped memory."""

    def tensor(self, key: str) -> Tensor:
        """A copy, which keeps nothing mapped."""
        value = self._view(key).clone()
        self._read_bytes += value.nbytes
        if self._read_bytes > _MAPPED_BYTES:
            self._open()
            self._read_bytes = 0
        return value


class _SafetensorsShard(_Shard):
    def _open(self) -> None:
        self.handle = safe_open(self.path, framework="pt")
        self.names = set(self.handle.keys())

    def kind(self, key: str) -> tuple[str, tuple[int, ...]]:
        found = self.handle.get_slice(key)
        return str(found.get_dtype()), tuple(found.get_shape())

    def _view(self, key: str) -> Tensor:
        return self.handle.get_tensor(key)


class _PickleShard(_Shard):
    """A `.bin` shard; only tensors are unpickled, never code."""

    def _open(self) -> None:
        loaded = torch.load(self.path, map_location="cpu", weights_only=True, mmap=True)
        plain = isinstance(loaded, dict) and all(
            isinstance(key, str) and isinstance(value, Tensor) and value.layout == torch.strided
            for key, value in loaded.items()
        )
        if not plain:
            raise ValueError("it does not hold a dictionary of dense tensors")
        self.state: dict[str, Tensor] = loaded
        self.names = set(loaded)

    def kind(self, key: str) -> tuple[str, tuple[int, ...]]:
        found = self.state[key]
        return _PICKLED.get(found.dtype, str(found.dtype)), tuple(found.shape)

    def _view(self, key: str) -> Tensor:
        return self.state[key].detach()


class Checkpoint:
    """A GeoPixel checkpoint. Opening it reads names and shapes only and checks them all.

    Raises CheckpointError naming the file or key: a missing directory, config, shard or key, a key no block knows,
    a corrupt shard. Tensors are read one at a time by `tensor`, as `adapter` lays others over them.
    """

    def __init__(self, root: Path, adapter: Overlay | None = None) -> None:
        self.root, self.adapter = root, adapter
        self.loudness: Mapping[str, F32] = {}  # of the inputs of linear layers, where calibration measured it
        try:
            if not root.is_dir():
                raise CheckpointError(f"checkpoint={str(root)!r} is not a directory; give a Hugging Face checkpoint")
            self.config: ModelConfig = read_config(root / "config.json")
            self.files, self._where = self._open_shards()
        except OSError as error:
            raise CheckpointError(f"checkpoint={str(root)[:200]!r} cannot be read: {reason(error)}") from None
        self.claims = keys.assign(self._where)
        self.rank = self._rank()
        if adapter is not None:
            self._where |= adapter.over(
                {key: self._where[key] for names in self.claims.values() for key in names.values()}
            )

    def _open_shards(self) -> tuple[list[Path], dict[str, Any]]:
        for stem, suffix in (("model", "safetensors"), ("pytorch_model", "bin")):
            index = self.root / f"{stem}.{suffix}.index.json"
            single = self.root / f"{stem}.{suffix}"
            if index.is_file():
                return self._open_indexed(index)
            if single.is_file():
                shard = self.open_shard(single)
                return [single], dict.fromkeys(shard.names, shard)
        raise CheckpointError(f"{self.root} holds neither model.safetensors nor pytorch_model.bin, single or sharded")

    def _open_indexed(self, index: Path) -> tuple[list[Path], dict[str, Any]]:
        try:
            weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
            names = sorted(set(weight_map.values()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise CheckpointError(f"{index} is not a shard index ({reason(error)}); download it again") from None
        if any(not isinstance(name, str) or Path(name).name != name for name in names):
            raise CheckpointError(f"{index} names a shard outside {self.root}")
        shards = {name: self.open_shard(self.root / name) for name in names}
        where: dict[str, Any] = {}
        for key, name in weight_map.items():
            if key not in shards[name].names:
                raise CheckpointError(f"key {key!r} is missing from {self.root / name}, where {index.name} puts it")
            where[key] = shards[name]
        for name, shard in shards.items():
            for key in sorted(shard.names - weight_map.keys()):
                raise CheckpointError(f"key {key!r} of {self.root / name} is not in {index.name}")
        return [self.root / name for name in names], where

    @staticmethod
    def open_shard(path: Path) -> _SafetensorsShard | _PickleShard:
        """A file of tensors, its names read; CheckpointError when it is missing or corrupt."""
        try:
            if not path.is_file():
                raise CheckpointError(f"shard {path} is missing; download it again")
            return _SafetensorsShard(path) if path.suffix == ".safetensors" else _PickleShard(path)
        except CheckpointError:
            raise
        except Exception as error:  # both readers raise nearly any class on damaged bytes
            raise CheckpointError(f"shard {path} is corrupt ({reason(error)}); download it again") from None

    def _rank(self) -> int:
        key = "model.layers.0.attention.wqkv.Plora_A.weight"
        if key not in self._where:
            raise CheckpointError(f"key {key!r} is missing; this is not a GeoPixel checkpoint")
        shape = self.shape(key)
        if len(shape) != 2 or not 1 <= shape[0] <= limits.MAX_MODEL_SIZE:
            raise CheckpointError(f"key {key!r} has shape {shape}, which is no low-rank matrix")
        return shape[0]

    def shape(self, key: str) -> tuple[int, ...]:
        """Shape of a tensor, without reading it."""
        found: tuple[int, ...] = self._where[key].kind(key)[1]
        return found

    def tensor(self, key: str) -> Tensor:
        """One tensor as stored (CPU); CheckpointError when its bytes cannot be read or are not finite."""
        try:
            value: Tensor = self._where[key].tensor(key)
        except Exception as error:  # as above
            raise CheckpointError(f"key {key!r} cannot be read ({reason(error)}); download it again") from None
        if not is_finite(value):
            raise CheckpointError(f"key {key!r} holds numbers that are not finite; the checkpoint is damaged")
        return value

    def check_all(self) -> None:
        """Compare every block's expected names, shapes and dtypes with the checkpoint's, without reading weights."""
        for block in keys.CLASSES:
            with torch.device("meta"):
                module = keys.build(block, self.config, self.rank)
            expected = {name: tuple(value.shape) for name, value in module.state_dict().items()}
            self._check_names(block, expected)
        embeddings = {"weight": (self.config.vocabulary, self.config.hidden)}
        self._check_names("token_embeddings", embeddings)

    def _check_names(self, block: str, expected: Mapping[str, tuple[int, ...]]) -> None:
        claimed = self.claims[block]
        for name in sorted(expected.keys() - claimed.keys()):
            raise CheckpointError(f"{block}: the checkpoint has no key for {name!r}")
        for name in sorted(claimed.keys() - expected.keys()):
            raise CheckpointError(f"{block}: key {claimed[name]!r} is not part of this model")
        for name, shape in expected.items():
            dtype, found = self._where[claimed[name]].kind(claimed[name])
            if found != shape:
                raise CheckpointError(f"key {claimed[name]!r} has shape {found}, the config asks for {shape}")
            if dtype not in STORED:
                raise CheckpointError(f"key {claimed[name]!r} is stored as {dtype}; convert it to one of {STORED}")

    def skeleton(self, block: str) -> nn.Module:
        """The block's torch module without numbers: every tensor is on the meta device."""
        with torch.device("meta"):
            return keys.build(block, self.config, self.rank)

    def weights(self, block: str) -> Weights:
        """The numbers of a block's module as stored, by their names in it, read when they are asked for."""
        names = self.claims[block]
        return lambda name: self.tensor(names[name])

    def load(self, block: str) -> nn.Module:
        """The block's torch module in float32 with the checkpoint's weights, in eval mode."""
        module = self.skeleton(block)
        state = {name: self.tensor(key).float() for name, key in self.claims[block].items()}
        module.load_state_dict(state, strict=True, assign=True)
        for name, value in constants(module, state.__getitem__).items():
            owner, _, leaf = name.rpartition(".")
            setattr(module.get_submodule(owner), leaf, value)
        return module.eval()

    def digest(self) -> str:
        """One SHA-256 over the config and all shards, for provenance."""
        whole = hashlib.sha256()
        for path in [self.root / "config.json", *self.files]:
            whole.update(f"{path.name} {sha256_of(path)}\n".encode())
        return whole.hexdigest()
