"""Fine-tuned weights over a checkpoint's: a LoRA adapter or a wrapped model, merged as each tensor is read.

W + scaling * B A in float32, as PEFT's `merge_and_unload` does; parts that were trained whole take the base's place.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geopixel_edge.engine.digests import sha256_of
from geopixel_edge.errors import CheckpointError, reason

from .checkpoint import STORED, Checkpoint
from .keys import is_dropped
from .lora_config import SCRIPT_ALPHA, SCRIPT_RANK, TARGETS, LoraConfig, read_lora_config

log = logging.getLogger(__name__)

CONFIG = "adapter_config.json"
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin", "pytorch_model.bin")
# What GeoPixel's training scripts train whole, beside the adapter.
PARTS = ("output", "tok_embeddings", "sam_mask_decoder", "text_hidden_fcs")
_PREFIX = "base_model.model."
_LORA = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])(?:\.(?P<name>[^.]+))?\.weight")


@dataclass(frozen=True)
class _Merged:
    """A base's matrix (outputs, inputs) with a low-rank update, in a shard's place."""

    base: Any
    shard: Any
    down: str  # key of A (rank, inputs)
    up: str  # key of B (outputs, rank)
    scaling: float

    def kind(self, key: str) -> tuple[str, tuple[int, ...]]:
        dtype, shape = self.base.kind(key)
        return "F32" if dtype in STORED else dtype, shape

    def tensor(self, key: str) -> Tensor:
        update = self.shard.tensor(self.up).float() @ self.shard.tensor(self.down).float()
        merged: Tensor = self.base.tensor(key).float() + update * self.scaling
        return merged


@dataclass(frozen=True)
class _Replaced:
    """A tensor that was trained whole, under another name, in a shard's place."""

    shard: Any
    stored: str

    def kind(self, key: str) -> tuple[str, tuple[int, ...]]:
        found: tuple[str, tuple[int, ...]] = self.shard.kind(self.stored)
        return found

    def tensor(self, key: str) -> Tensor:
        found: Tensor = self.shard.tensor(self.stored)
        return found


class Adapter:
    """A PEFT adapter directory, or one `.bin` or `.safetensors` file of a wrapped model: whole, or its trained parts.

    Opening it reads names, shapes and the config, which lies beside the weights as `adapter_config.json`; without one,
    rank and alpha are those of GeoPixel's training scripts. CheckpointError names the file or field that is wrong.
    """

    def __init__(self, path: Path) -> None:
        try:
            self.path = _weights(path)
            config = self.path.with_name(CONFIG)
            self.config = read_lora_config(config) if config.is_file() else None
            if self.config is None and self.path.stem == "adapter_model":
                raise CheckpointError(f"{config} is missing, which says how {self.path.name} is merged; copy it, too")
        except (OSError, ValueError) as error:  # a path that the system cannot take is a ValueError
            raise CheckpointError(f"adapter={str(path)[:200]!r} cannot be read: {reason(error)}") from None
        self.files = [self.path, *([config] if self.config else [])]
        self.name = path.resolve().name
        self.shard = Checkpoint.open_shard(self.path)

    def digest(self) -> str:
        """One SHA-256 over the weights and the config, for provenance."""
        whole = hashlib.sha256()
        for path in self.files:
            whole.update(f"{path.name} {sha256_of(path)}\n".encode())
        return whole.hexdigest()

    def over(self, base: Mapping[str, Any]) -> dict[str, Any]:
        """What replaces the shards of `base`, a checkpoint's claimed keys: key -> where its tensor comes from.

        Every tensor that counts is read once. CheckpointError names the key that is of another model, misshapen, not
        finite, left over or missing.
        """
        replaced, updates = self._sort(base)
        config = self.config or self._as_the_scripts(updates)
        self._check_complete(base, replaced, updates, config)
        found: dict[str, Any] = {}
        for key, stored in replaced.items():
            self._check_tensor(stored, base[key].kind(key)[1], "the checkpoint asks for")
            found[key] = _Replaced(self.shard, stored)
        for module, sides in sorted(updates.items()):
            key, rank = f"{module}.weight", config.rank_of(module)
            shape = base[key].kind(key)[1]
            if len(shape) != 2:
                raise CheckpointError(f"key {key!r} has shape {shape}, which is no matrix")
            asked = f"the checkpoint and rank {rank} ({config.source}) ask for"
            self._check_tensor(sides["A"], (rank, shape[1]), asked)
            self._check_tensor(sides["B"], (shape[0], rank), asked)
            found[key] = _Merged(found.get(key, base[key]), self.shard, sides["A"], sides["B"], config.scaling(module))
        if absent := [part for part in PARTS if not any(_within(key, part) for key in replaced)]:
            log.warning("%s holds no %s; the checkpoint's stay", self.path.name, ", ".join(absent))
        return found

    def _sort(self, base: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
        """Base key -> stored key of what was trained whole; module -> the stored keys of its A and B."""
        replaced: dict[str, str] = {}
        updates: dict[str, dict[str, str]] = {}
        adapters: set[str] = set()
        for stored in sorted(self.shard.names):
            if not stored.startswith(_PREFIX):
                raise self._error(stored, f"does not begin with {_PREFIX!r}, as a model wrapped by PEFT names it")
            key = stored.removeprefix(_PREFIX).replace(".base_layer.", ".")
            names = _unwrapped(key)
            if ".original_module." in key or any(map(is_dropped, names)):
                continue
            if lora := _LORA.fullmatch(key):
                adapters.add(lora["name"] or "")
                if len(adapters) > 1:
                    raise self._error(stored, "belongs to a second adapter; save the one that is wanted alone")
                taken = updates.setdefault(lora["module"], {}).setdefault(lora["side"], stored)
            else:
                key = next((name for name in names if name in base), "")
                if not key:
                    raise self._error(stored, "belongs to no part of this checkpoint")
                taken = replaced.setdefault(key, stored)
            if taken != stored:
                raise self._error(stored, f"says the same as {taken!r}; which of them counts is not known")
        if not replaced and not updates:
            raise CheckpointError(f"{self.path} holds nothing that was trained; is it the right file?")
        return replaced, updates

    def _as_the_scripts(self, updates: Mapping[str, object]) -> LoraConfig:
        ends = [end for end in TARGETS if any(module.endswith(f".{end}") for module in updates)]
        if updates:
            log.warning(
                "no %s beside %s: merged with rank %d and alpha %g, as GeoPixel's training scripts have them",
                *(CONFIG, self.path.name, SCRIPT_RANK, SCRIPT_ALPHA),
            )
        return LoraConfig(f"GeoPixel's scripts, without {CONFIG}", SCRIPT_RANK, SCRIPT_ALPHA, ends)

    def _check_complete(
        self,
        base: Mapping[str, Any],
        replaced: Mapping[str, str],
        updates: Mapping[str, Mapping[str, str]],
        config: LoraConfig,
    ) -> None:
        """Every matrix that the config adapts has its A and B and no other has; what is whole is whole."""
        wanted = config.adapted(key.removesuffix(".weight") for key in base if key.endswith(".weight"))
        for module, sides in sorted(updates.items()):
            if module not in wanted:
                left_out = f"the target_modules of {config.source} leave it out"
                told = left_out if self.config else f"only {', '.join(TARGETS)} of the checkpoint's layers are merged"
                raise self._error(next(iter(sides.values())), f"adapts {module!r}, but {told}")
        for module in sorted(wanted):
            for side in "AB":
                if side not in updates.get(module, {}):
                    raise self._error(f"{_PREFIX}{module}.lora_{side}.weight", "is missing; is the file whole?")
        owners = {part for part in PARTS if any(_within(key, part) for key in replaced)} | set(config.whole)
        # A file that holds a matrix and its update is the whole model's.
        if any(f"{module}.weight" in replaced for module in updates):
            owners |= {".".join(key.split(".")[: 2 if key.startswith("model.") else 1]) for key in replaced}
        for part in sorted(owners):
            theirs = [key for key in base if _within(key, part)]
            if not theirs:
                raise CheckpointError(f"{config.source}: modules_to_save={part!r} names nothing that the base has")
            for key in sorted(theirs):
                if key not in replaced:
                    raise self._error(_PREFIX + key, f"is missing, and others of {part!r} are there")

    def _check_tensor(self, stored: str, shape: tuple[int, ...], asked: str) -> None:
        dtype, found = self.shard.kind(stored)
        if found != shape:
            raise self._error(stored, f"has shape {found}, {asked} {shape}")
        if dtype not in STORED:
            raise self._error(stored, f"is stored as {dtype}; convert it to one of {STORED}")
        try:
            finite = bool(torch.isfinite(self.shard.tensor(stored)).all())
        except Exception as error:  # both readers raise nearly any class on damaged bytes
            raise self._error(stored, f"cannot be read ({reason(error)}); copy the file again") from None
        if not finite:
            raise self._error(stored, "holds numbers that are not finite; the training diverged or the file is damaged")

    def _error(self, key: str, state: str) -> CheckpointError:
        return CheckpointError(f"key {key[:300]!r} of {self.path} {state}")


def _weights(path: Path) -> Path:
    """The file that holds the weights: `path`, or the one such file in it."""
    if not path.is_dir():
        if path.is_file() and path.suffix in (".bin", ".safetensors"):
            return path
        raise CheckpointError(f"adapter={str(path)[:200]!r} is neither a directory nor a .bin or .safetensors file")
    found = [path / name for name in WEIGHTS if (path / name).is_file()]
    if len(found) != 1:
        told = " and ".join(file.name for file in found) or f"none of {', '.join(WEIGHTS)}"
        raise CheckpointError(f"adapter={str(path)[:200]!r} holds {told}; give the file itself")
    return found[0]


def _unwrapped(key: str) -> tuple[str, ...]:
    """What a key may be called in the base: PEFT puts `modules_to_save`, and mostly a name, inside those it wraps."""
    return key, key.replace(".modules_to_save.", ".", 1), re.sub(r"\.modules_to_save\.[^.]+\.", ".", key, count=1)


def _within(key: str, module: str) -> bool:
    """Whether the key is a parameter of the module, named whole or by its end."""
    return f".{module}." in f".{key}."
