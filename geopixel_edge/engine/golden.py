"""The engine's own self-check: every block must give what torch gave, and what it gave itself when exported.

Two records are kept in `golden/`. `arrays.npz` holds torch float32's values on a small picture that goes through all
blocks in turn; from them an engine is as far as its precision puts it. `blocks.npz` holds this engine's own answer to
fixed inputs (probes.py); from it only another machine's arithmetic can lead away, and that not far.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from .. import limits
from ..arrays import F32
from ..blocks.divider import divide, grounding_input, plan_grid
from ..checks import check_integer
from ..errors import EngineCorruptError, EngineMismatchError, EngineSchemaError, ImageError, OptionError, QueryError
from ..families.prompt import Prompt, build_prompt
from ..images import load_image
from . import probes
from .directory import Engine
from .manifest import Distance, Struct

if TYPE_CHECKING:
    from ..pipeline import Pipeline

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
# Publication's ceilings on the largest difference from torch float32 over the largest value. Rounding to int8 moves
# random weights' mask logits by up to 4e-1; what holds int8 tightly is export/rounded.py.
TOLERANCES = {"fp32": 2e-4, "fp16": 5e-2, "int8": 6e-1}
# `verify` allows the distance measured at export, MARGIN times, and FLOOR: see docs/verification.md.
MARGIN = 2.0
FLOOR = 2e-4  # float32's noise: 1.5e-4 in the mask logits of random weights
HALF_FLOOR = 5e-2  # float16 summed in float16, as on ARM: 1.6e-2
# Measured: 0 over threads and releases; on aarch64 7.4e-7 for trained weights and 3.0e-6 for random ones, so that three
# times that is allowed. Of 684 planted faults 680 move a record further, half of them 400 times as far.
DRIFT = {"fp32": 1e-5, "fp16": 1e-5, "int8": 1e-5}
NO_RECORD = "this engine holds no record of what its blocks gave at export, so only gross faults show; export it again"


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


@dataclass(frozen=True)
class Check:
    """One compared quantity, by both records.

    `distance` is the largest difference from torch's golden values over their largest. `drift` is the difference from
    what the block itself gave at export, as probes.drift measures it; None where no such record is.
    """

    block: str
    quantity: str
    distance: float
    tolerance: float
    drift: float | None = None
    drift_allowed: float | None = None

    @property
    def passed(self) -> bool:
        """Whether distance and drift are within what is allowed (a NaN is not)."""
        steady = self.drift is None or (self.drift_allowed is not None and self.drift <= self.drift_allowed)
        return self.distance <= self.tolerance and steady


def subsample(array: NDArray[np.generic]) -> F32:
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


def verify(pipeline: Pipeline) -> list[Check]:
    """Hold every block to both golden records.

    The list has one Check per quantity in ARRAYS, and for float32 one for the greedy token ids. EngineCorruptError
    when the golden files are damaged; EngineMismatchError when the tokenizer gives other ids, since nothing after
    that could be compared.
    """
    checks, views = measure(pipeline)
    facts = read_golden(pipeline.engine)[0]
    record, manifest = read_record(pipeline.engine, facts), pipeline.engine.manifest
    drifts = {} if record is None else _drifts(pipeline, views, record)
    allowed, floor = DRIFT.get(manifest.precision), _floor(pipeline)
    stated = manifest.distance if facts.record is None else facts.record.distance
    held = []
    for check in checks:
        distance = stated.get(check.block if facts.record is None else check.quantity)
        tolerance = check.tolerance if distance is None else MARGIN * distance + floor
        drift = drifts.get(check.quantity)
        limit = None if drift is None else allowed
        held.append(Check(check.block, check.quantity, check.distance, tolerance, drift, limit))
    return held


def _floor(pipeline: Pipeline) -> float:
    """What this machine's arithmetic may add to the distances measured at export."""
    on_cpu = getattr(pipeline.vision_encoder.runner, "place", ("cpu", 0))[0] == "cpu"
    halves = not on_cpu or platform.machine().lower() in ("aarch64", "arm64")
    return HALF_FLOOR if halves and pipeline.engine.manifest.precision == "fp16" else FLOOR


def measure(pipeline: Pipeline) -> tuple[list[Check], NDArray[np.generic]]:
    """Run the golden picture through every block, each fed by the one before it, and compare at each border.

    Each distance to torch float32 with publication's ceiling; and the divider's views of the picture.
    """
    facts, golden, image_path = read_golden(pipeline.engine)
    try:
        return _compare(pipeline, facts, golden, image_path)
    except (ImageError, QueryError, OptionError) as error:
        raise EngineCorruptError(f"the golden question cannot be put: {error}; export the engine again") from None


def compare(pipeline: Pipeline, arrays: dict[str, F32]) -> dict[str, float]:
    """The distance of each quantity to other values for the engine's own golden picture and question."""
    facts, _, image_path = read_golden(pipeline.engine)
    prompt = build_prompt(facts.query, (), 1, pipeline.tokenizer, pipeline.engine.manifest.tokens)
    found = _outputs(pipeline, image_path, facts, prompt)
    return {name: _distance(found[name], arrays[name]) for name in ARRAYS}


def _compare(
    pipeline: Pipeline, facts: Golden, golden: dict[str, F32], image_path: Path
) -> tuple[list[Check], NDArray[np.generic]]:
    precision = pipeline.engine.manifest.precision
    if precision not in TOLERANCES:
        raise EngineSchemaError(f"this version knows no tolerance for precision {precision!r}; upgrade the package")
    prompt = build_prompt(facts.query, (), 1, pipeline.tokenizer, pipeline.engine.manifest.tokens)
    if prompt.parts != facts.text_parts:
        raise EngineMismatchError(f"the tokenizer gives {prompt.parts} for the golden question, not {facts.text_parts}")
    found = _outputs(pipeline, image_path, facts, prompt)
    tolerance = TOLERANCES[precision]
    checks = [Check(ARRAYS[name], name, _distance(found[name], golden[name]), tolerance) for name in ARRAYS]
    if precision == "fp32":
        answer = pipeline(image_path, facts.query, hd_num=facts.hd_num, max_new_tokens=len(facts.token_ids))
        same = tuple(answer.token_ids) == facts.token_ids
        checks.append(Check("language_model", "token_ids", 0.0 if same else 1.0, 0.0))
    return checks, found["views"]


def sketches(pipeline: Pipeline, views: NDArray[np.generic]) -> dict[str, F32]:
    """What the second record holds, by name: the divider's views of the golden picture, and probes.probe's."""
    return {"views": probes.sketch(views.reshape(-1, views.shape[-1])), **probes.probe(pipeline)}


def _drifts(pipeline: Pipeline, views: NDArray[np.generic], record: dict[str, F32]) -> dict[str, float]:
    """The largest drift of each quantity; a NaN stays one."""
    found = sketches(pipeline, views)
    if odd := sorted(found.keys() ^ record.keys()):
        raise EngineCorruptError(f"{pipeline.engine.root / RECORD_FILE} has not {odd[:3]}; export the engine again")
    drifts: dict[str, list[float]] = {}
    for name, value in found.items():
        drifts.setdefault(name.partition(".")[0], []).append(probes.drift(value, record[name]))
    return {quantity: float(np.max(values)) for quantity, values in drifts.items()}


def _outputs(pipeline: Pipeline, image_path: Path, facts: Golden, prompt: Prompt) -> dict[str, NDArray[np.generic]]:
    manifest, image = pipeline.engine.manifest, load_image(image_path)
    sizes, preprocessing = manifest.sizes, manifest.preprocessing
    check_integer("hd_num", facts.hd_num, 1, limits.MAX_HD_NUM)
    grid, _ = plan_grid(image.width_px, image.height_px, facts.hd_num, sizes.tile_px)
    views = divide(image.pixels, grid, preprocessing.vision, preprocessing.pad_value)
    tokens = pipeline.vision_encoder.encode(views, grid)
    model = pipeline.language_model
    before, after = (model.embed(part) for part in prompt.parts)
    embeds = np.concatenate([before, tokens, after])
    marks = np.zeros(len(embeds), bool)
    marks[len(before) : len(before) + len(tokens)] = True
    logits, hidden = model.read(embeds, marks, model.new_cache(len(embeds)))
    pixels = grounding_input(image.pixels, sizes.grounding_px, preprocessing.grounding)
    features = pipeline.grounding_encoder.encode(pixels)
    masks, iou = pipeline.pixel_decoder.low_res(hidden[None], features)
    outputs = {"views": views, "image_tokens": tokens, "logits": logits, "hidden": hidden}
    return {**outputs, **features, "low_res_masks": masks, "iou": iou}


def _distance(found: NDArray[np.generic], golden: F32) -> float:
    sampled = subsample(found)
    if sampled.shape != golden.shape:
        return float("inf")
    with np.errstate(all="ignore"):  # a distance that is no number fails its check
        return float(np.abs(sampled - golden).max()) / max(float(np.abs(golden).max()), 1e-6)
