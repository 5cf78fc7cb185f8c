"""A manifest and the result of a verification, put for people to read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..engine.manifest import Manifest, TensorSpec
from .terminal import human_bytes, printable, table

if TYPE_CHECKING:
    from ..engine.golden import Check


def describe(root: Path, manifest: Manifest) -> str:
    """What `geopixel-edge info` prints: where the engine came from, the model's sizes, every block and file."""
    source, sizes = manifest.provenance, manifest.sizes
    total = sum(spec.bytes for spec in manifest.files())
    facts = {
        "engine": str(root),
        "family": f"{manifest.family}, schema {manifest.schema_version}",
        "precision": f"{manifest.precision}, quantisation {source.quantisation}",
        "source": f"{source.source_name}, sha256 {source.source_sha256}",
        **({"adapter": f"{source.adapter_name}, sha256 {source.adapter_sha256}"} if source.adapter_name else {}),
        "exported": f"{source.created_utc} by geopixel_edge {source.exporter_version}",
        "with": ", ".join(f"{name} {version}" for name, version in source.packages.items()) or "-",
        "language": f"{sizes.layers} layers, hidden {sizes.hidden}, {sizes.heads} heads ({sizes.kv_heads} of keys and "
        f"values) of {sizes.head_dim}, vocabulary {sizes.vocabulary}",
        "prompt": f"at most {sizes.max_prompt_tokens} tokens; an image takes {sizes.tokens_per_side**2} per "
        f"{sizes.tile_px} px tile and its separators",
        "grounding": f"{sizes.grounding_px} px in, masks of {sizes.mask_px} px",
        "golden": _golden(manifest),
        "size": f"{human_bytes(total)} in {len(manifest.files())} files",
    }
    width = max(map(len, facts))
    lines = [f"{name.ljust(width)}  {printable(value)}" for name, value in facts.items()]
    return "\n".join([*lines, "", _blocks(manifest), "", _borders(manifest)])


def _golden(manifest: Manifest) -> str:
    from ..engine.golden_files import RECORD_FILE  # loads NumPy, which the rest of this file does without

    whole = any(spec.path == RECORD_FILE for spec in manifest.golden)
    return f"torch's values, and {'' if whole else 'no record of '}what these blocks gave at export"


def _blocks(manifest: Manifest) -> str:
    rows = [
        (name, "built in", "-", "-", f"{distance:.1e}")
        for name, distance in manifest.distance.items()
        if name not in manifest.blocks
    ]
    for name, block in manifest.blocks.items():
        size = human_bytes(sum(spec.bytes for spec in block.files))
        distance = f"{manifest.distance[name]:.1e}" if name in manifest.distance else "not measured"
        rows.append((name, printable(block.runtime), printable(block.precision.name), size, distance))
    for name, spec in (("token embeddings", manifest.embeddings.file), ("tokenizer", manifest.tokenizer)):
        rows.append((name, "-", "-", human_bytes(spec.bytes), "-"))
    return table(("block", "runtime", "precision", "size", "distance to torch"), rows)


def _borders(manifest: Manifest) -> str:
    """Inputs and outputs of every block; the pairs of KV buffers, one per layer, are counted and not listed."""
    rows = []
    for name, block in manifest.blocks.items():
        for side, tensors in (("in", block.inputs), ("out", block.outputs)):
            caches = [tensor for tensor in tensors if tensor.name.startswith(("past_", "present_"))]
            for tensor in tensors:
                if tensor not in caches[1:]:
                    more = f" and {len(caches) - 1} more" if tensor in caches and len(caches) > 1 else ""
                    rows.append((name, side, printable(tensor.name) + more, *_form(tensor)))
    return table(("block", "", "tensor", "dtype", "shape"), rows, left=5)


def _form(tensor: TensorSpec) -> tuple[str, str]:
    return tensor.dtype, printable(" x ".join(str(side) for side in tensor.shape)) or "scalar"


def describe_checks(checks: Sequence[Check]) -> str:
    """What `geopixel-edge verify` prints: one line per compared quantity, with both comparisons."""
    rows = [
        (
            check.block,
            check.quantity,
            f"{check.distance:.1e}",
            f"{check.tolerance:.1e}",
            "-" if check.drift is None else f"{check.drift:.1e}",
            "-" if check.drift_allowed is None else f"{check.drift_allowed:.0e}",
            "ok" if check.passed else "FAILED",
        )
        for check in checks
    ]
    header = ("block", "quantity", "distance to torch", "allowed", "drift since export", "allowed", "")
    return table(header, rows, left=2)
