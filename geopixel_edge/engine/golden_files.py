"""The golden records in an engine's `golden/` folder, and how they are read."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from ..arrays import F32, Array
from ..errors import EngineCorruptError
from .directory import Engine
from .manifest import Distance, Struct

GOLDEN_FILES = {"image": "golden/image.png", "arrays": "golden/arrays.npz", "facts": "golden/facts.json"}
RECORD_FILE = "golden/blocks.npz"
# In the order the blocks run; the value is the block whose output it is.
ARRAYS = {
    "views": "divider",
    "image_tokens": "vision_encoder",
    "logits": "language_model",
    "hidden": "language_model",
    "image_embed": "grounding_encoder",
    "high_res0": "grounding_encoder",
    "high_res1": "grounding_encoder",
    "low_res_masks": "pixel_decoder",
    "iou": "pixel_decoder",
}
SAMPLES = 4096


class Record(Struct, frozen=True):
    """What was measured when `blocks.npz` was made: each quantity's distance to torch float32, and by what."""

    distance: dict[str, Distance]
    made_by: str


class Golden(Struct, frozen=True):
    """`golden/facts.json`: the question, its token ids, and the greedy answer's first token ids.

    Engines of before the second record have no `record`.
    """

    query: str
    hd_num: int
    text_parts: tuple[tuple[int, ...], ...]
    token_ids: tuple[int, ...]
    record: Record | None = None


def subsample(array: Array) -> F32:
    """At most 2 x SAMPLES values at an even stride over the flattened array."""
    flat = array.reshape(-1)
    return flat[:: max(1, flat.size // SAMPLES)].astype(np.float32)


def read_golden(engine: Engine) -> tuple[Golden, dict[str, F32], Path]:
    """The golden facts, arrays and image file of an engine; EngineCorruptError when they are not whole."""
    specs = {spec.path: spec for spec in engine.manifest.golden}
    if missing := [name for name in GOLDEN_FILES.values() if name not in specs]:
        raise EngineCorruptError(f"{engine.root} lists no {missing}; export the engine again")
    paths = {role: engine.path(specs[name]) for role, name in GOLDEN_FILES.items()}
    try:
        facts = msgspec.json.decode(paths["facts"].read_bytes(), type=Golden)
        with np.load(paths["arrays"], allow_pickle=False) as stored:
            return facts, {name: stored[name].astype(np.float32) for name in ARRAYS}, paths["image"]
    except Exception as error:  # NumPy's and zip's readers raise nearly any class on damaged bytes
        raise EngineCorruptError(f"{engine.root / 'golden'} cannot be read: {error}; export the engine again") from None


def read_record(engine: Engine, facts: Golden) -> dict[str, F32] | None:
    """The second record's sketches, None for an engine without one; EngineCorruptError when it is not whole."""
    specs = {spec.path: spec for spec in engine.manifest.golden}
    if facts.record is None and RECORD_FILE not in specs:
        return None
    if facts.record is None or RECORD_FILE not in specs or set(facts.record.distance) != set(ARRAYS):
        raise EngineCorruptError(f"{engine.root} holds half of its second golden record; export the engine again")
    path = engine.path(specs[RECORD_FILE])
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name].astype(np.float32) for name in stored.files}
    except Exception as error:  # NumPy's and zip's readers raise nearly any class on damaged bytes
        raise EngineCorruptError(f"{path} cannot be read: {error}; export the engine again") from None
