"""The second golden record: what the exported blocks themselves give, written beside torch's values."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import onnxruntime

from geopixel_edge.engine.digests import describe_file
from geopixel_edge.engine.directory import write_manifest
from geopixel_edge.engine.golden import Check, sketches
from geopixel_edge.engine.golden_files import ARRAYS, GOLDEN_FILES, RECORD_FILE, Golden, Record, read_golden
from geopixel_edge.model import Model


def write_record(model: Model, checks: Sequence[Check], views: npt.NDArray[np.generic]) -> None:
    """Write what the engine's blocks give to `golden/`, with the distances of `checks`, and a manifest that fits."""
    root, manifest = model.engine.root, model.engine.manifest
    facts = read_golden(model.engine)[0]
    arrays: dict[str, Any] = dict(sketches(model, views))
    np.savez_compressed(root / RECORD_FILE, **arrays)
    distance = {check.quantity: check.distance for check in checks if check.quantity in ARRAYS}
    made_by = f"onnxruntime {onnxruntime.__version__} on {platform.machine()}"
    write_facts(root, msgspec.structs.replace(facts, record=Record(distance=distance, made_by=made_by)))
    names = dict.fromkeys([*(spec.path for spec in manifest.golden), RECORD_FILE])
    golden = tuple(describe_file(root, name) for name in names)
    write_manifest(root, msgspec.structs.replace(manifest, golden=golden))


def write_facts(root: Path, facts: Golden) -> None:
    """Write `golden/facts.json`."""
    (root / GOLDEN_FILES["facts"]).write_bytes(msgspec.json.format(msgspec.json.encode(facts)))
