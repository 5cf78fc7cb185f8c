"""`adapter_config.json`, as PEFT writes it: which matrices an adapter moves, at which rank, by which factor."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from geopixel_edge.errors import CheckpointError, reason

# What GeoPixel's training scripts adapt, and with what.
TARGETS = ("attention.wqkv", "attention.wo", "feed_forward.w1", "feed_forward.w2", "feed_forward.w3")
SCRIPT_RANK, SCRIPT_ALPHA = 8, 16.0

Rank = Annotated[int, Meta(ge=1, le=65_536)]
Alpha = Annotated[float, Meta(gt=0, le=1e6)]
Text = Annotated[str, Meta(max_length=1000)]
Names = Text | list[Text]

# Fields that say how an adapter was trained, or what PEFT is to do with one; none changes what it stands for.
_INERT = {
    *("peft_version", "task_type", "base_model_name_or_path", "revision", "auto_mapping", "inference_mode"),
    *("lora_dropout", "megatron_core", "qalora_group_size", "runtime_config", "ensure_weight_tying"),
    *("eva_config", "velora_config"),
}
# Starting values that leave the base as it is; the others (PiSSA, OLoRA, CorDA, LoftQ) change it.
_NEUTRAL_STARTS = (True, False, "gaussian", "orthogonal", "eva")


class _Fields(msgspec.Struct):
    """The fields that are understood."""

    peft_type: Literal["LORA"]
    r: Rank
    lora_alpha: Alpha
    target_modules: Names
    exclude_modules: Names | None = None
    modules_to_save: list[Text] | None = None
    use_rslora: bool = False
    rank_pattern: dict[Text, Rank] | None = None
    alpha_pattern: dict[Text, Alpha] | None = None
    layers_to_transform: int | list[int] | None = None
    layers_pattern: Names | None = None
    bias: Literal["none"] = "none"
    init_lora_weights: bool | str = True


@dataclass(frozen=True)
class LoraConfig:
    """How the matrices of an adapter become a change of the base's. Modules are named as the base names them.

    `targets` and `excluded` are a regular expression for whole names, or a list of names or their ends; `whole` names
    modules that were trained whole; `layers` are the layers that were adapted, None for all.
    """

    source: str
    rank: int
    alpha: float
    targets: str | list[str]
    excluded: str | list[str] = field(default_factory=list)
    whole: tuple[str, ...] = ()
    layers: frozenset[int] | None = None
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)
    rslora: bool = False

    def rank_of(self, module: str) -> int:
        """The rank that the module's update was trained at."""
        return _by_pattern(self.rank_pattern, module, self.rank)

    def scaling(self, module: str) -> float:
        """What B A is multiplied by: alpha / rank, or alpha / sqrt(rank) if stabilised."""
        rank = self.rank_of(module)
        return _by_pattern(self.alpha_pattern, module, self.alpha) / (math.sqrt(rank) if self.rslora else rank)

    def adapted(self, modules: Iterable[str]) -> set[str]:
        """Which of the base's modules the adapter moves.

        CheckpointError names a target that the base has not, or one that is not among TARGETS.
        """
        modules = list(modules)
        wanted: set[str] = set()
        for target in [self.targets] if isinstance(self.targets, str) else [[name] for name in self.targets]:
            found = {name for name in modules if _named(target, name) and not _named(self.excluded, name)}
            told = target if isinstance(target, str) else target[0]
            if not found:
                raise CheckpointError(f"{self.source}: target_modules={told!r} names nothing that the base has")
            if others := sorted(name for name in found if not name.endswith(tuple(f".{end}" for end in TARGETS))):
                raise CheckpointError(
                    f"{self.source}: target_modules={told!r} adapts {others[0]!r}; only {', '.join(TARGETS)} are merged"
                )
            # As PEFT does, which asks for the layer where a name's end was matched, and there alone.
            all_layers = self.layers is None or isinstance(target, str)
            wanted |= {name for name in found if all_layers or name == told or _layer(name) in (self.layers or ())}
        return wanted


def read_lora_config(path: Path) -> LoraConfig:
    """What `adapter_config.json` says; CheckpointError naming the field that is missing, wrong or not supported."""
    try:
        data = path.read_bytes()
        raw = msgspec.json.decode(data, type=dict[str, Any])
        fields = msgspec.json.decode(data, type=_Fields)
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be used as the config of a LoRA adapter: {reason(error)}") from None
    for name in sorted(raw.keys() - _INERT - set(_Fields.__struct_fields__)):
        if raw[name]:
            raise CheckpointError(
                f"{path}: {name}={str(raw[name])[:80]} is not supported; merge with PEFT and export that"
            )
    if fields.init_lora_weights not in _NEUTRAL_STARTS:
        told = f"init_lora_weights={str(fields.init_lora_weights)[:80]!r} changed the base that it began with"
        raise CheckpointError(f"{path}: {told}; merge with PEFT and export that")
    if fields.layers_pattern not in (None, [], "layers", ["layers"]):
        raise CheckpointError(f"{path}: layers_pattern={str(fields.layers_pattern)[:80]!r}; GeoPixel's is 'layers'")
    for name in ("target_modules", "exclude_modules", "rank_pattern", "alpha_pattern"):
        _check_patterns(path, name, getattr(fields, name))
    layers = fields.layers_to_transform
    return LoraConfig(
        source=str(path),
        rank=fields.r,
        alpha=fields.lora_alpha,
        targets=fields.target_modules,
        excluded=fields.exclude_modules or [],
        whole=tuple(fields.modules_to_save or ()),
        layers=None if layers in (None, []) else frozenset([layers] if isinstance(layers, int) else layers or ()),
        rank_pattern=fields.rank_pattern or {},
        alpha_pattern=fields.alpha_pattern or {},
        rslora=fields.use_rslora,
    )


def _check_patterns(path: Path, name: str, value: str | list[str] | dict[str, Any] | None) -> None:
    patterns = [value] if isinstance(value, str) else list(value) if isinstance(value, dict) else []
    for pattern in patterns:
        try:
            re.compile(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            raise CheckpointError(f"{path}: {name} holds {pattern[:80]!r}, no regular expression: {error}") from None


def _named(names: str | list[str], module: str) -> bool:
    """PEFT's rule: a string matches the whole name, an entry of a list the name or its end."""
    if isinstance(names, str):
        return re.fullmatch(names, module) is not None
    return any(module == name or module.endswith(f".{name}") for name in names)


def _by_pattern(patterns: Mapping[str, Any], module: str, default: Any) -> Any:
    """PEFT's rule: the first pattern that matches the name's end from a dot on decides."""
    return next((value for key, value in patterns.items() if re.match(rf"(.*\.)?({key})$", module)), default)


def _layer(module: str) -> int | None:
    found = re.match(r".*?\.[^.]*\.(\d+)\.", module)
    return int(found[1]) if found else None
