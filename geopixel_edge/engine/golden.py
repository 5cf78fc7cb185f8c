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

import numpy as np

from .. import limits
from ..arrays import F32, Array, Floats
from ..blocks.kv_cache import KVCache
from ..blocks.language_model import Outputs
from ..checks import check_integer
from ..errors import EngineCorruptError, EngineMismatchError, ImageError, OptionError, QueryError
from ..families.prompt import Prompt
from ..images import LoadedImage, load_image
from ..memory.capacity import cache_capacity
from ..runtimes import Tensor
from . import probes
from .golden_files import ARRAYS, RECORD_FILE, Golden, read_golden, read_record, subsample
from .manifest import Manifest

if TYPE_CHECKING:
    from ..model import Model

# `verify` allows the distance measured at export, MARGIN times, and FLOOR: see docs/verification.md.
MARGIN = 2.0
FLOOR = 2e-4  # float32's noise: 1.5e-4 in the mask logits of random weights
HALF_FLOOR = 5e-2  # float16 summed in float16, as on ARM: 1.6e-2
# Measured: 0 over threads and releases; on aarch64 7.4e-7 for trained weights and 3.0e-6 for random ones, so that three
# times that is allowed. Of 684 planted faults 680 move a record further, half of them 400 times as far.
DRIFT = 1e-5
NO_RECORD = "this engine holds no record of what its blocks gave at export, so only gross faults show; export it again"


@dataclass(frozen=True)
class _Read:
    """The golden question, read: the divider's views, the image tokens, and the outputs of the prompt's last row."""

    views: Floats
    tokens: Tensor
    outputs: Outputs
    cache: KVCache


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


def verify(model: Model) -> list[Check]:
    """Hold every block to both golden records.

    The list has one Check per quantity in ARRAYS, and for float32 one for the greedy token ids. EngineCorruptError
    when the golden files are damaged; EngineMismatchError when the tokenizer gives other ids, since nothing after
    that could be compared.
    """
    checks, views = measure(model)
    facts = read_golden(model.engine)[0]
    manifest = model.manifest
    # TensorRT's plans compute as they were built, and are not run in float32 on the CPU: distance alone counts.
    built = any(block.plan is not None for block in manifest.blocks.values())
    record = None if built else read_record(model.engine, facts)
    drifts = {} if record is None else _drifts(model, views, record)
    floor = _floor(model)
    stated = manifest.distance if facts.record is None else facts.record.distance
    held = []
    for check in checks:
        distance = stated.get(check.block if facts.record is None else check.quantity)
        tolerance = check.tolerance if distance is None else MARGIN * distance + floor
        drift = drifts.get(check.quantity)
        limit = None if drift is None else DRIFT
        held.append(Check(check.block, check.quantity, check.distance, tolerance, drift, limit))
    return held


def _floor(model: Model) -> float:
    """What this machine's arithmetic may add to the distances measured at export."""
    halves = model.device.memory != "cpu" or platform.machine().lower() in ("aarch64", "arm64")
    computes = {block.precision.compute for block in model.manifest.blocks.values()}
    return HALF_FLOOR if halves and "float16" in computes else FLOOR


def measure(model: Model) -> tuple[list[Check], Array]:
    """Run the golden picture through every block, each fed by the one before it, and compare at each border.

    Each distance to torch float32 with publication's ceiling; and the divider's views of the picture.
    """
    facts, golden, image_path = read_golden(model.engine)
    try:
        return _compare(model, facts, golden, image_path)
    except (ImageError, QueryError, OptionError) as error:
        raise EngineCorruptError(f"the golden question cannot be put: {error}; export the engine again") from None


def compare(model: Model, arrays: dict[str, F32]) -> dict[str, float]:
    """The distance of each quantity to other values for the engine's own golden picture and question."""
    facts, _, image_path = read_golden(model.engine)
    prompt = model.family.prompt(facts.query, (), 1, model.tokenizer, model.manifest.tokens)
    found = _outputs(model, image_path, facts, prompt)
    return {name: _distance(found[name], arrays[name]) for name in ARRAYS}


def _compare(model: Model, facts: Golden, golden: dict[str, F32], image_path: Path) -> tuple[list[Check], Array]:
    prompt = model.family.prompt(facts.query, (), 1, model.tokenizer, model.manifest.tokens)
    if prompt.parts != facts.text_parts:
        raise EngineMismatchError(f"the tokenizer gives {prompt.parts} for the golden question, not {facts.text_parts}")
    found = _outputs(model, image_path, facts, prompt)
    checks = [
        Check(block, name, _distance(found[name], golden[name]), _ceiling(model.manifest, block))
        for name, block in ARRAYS.items()
    ]
    if model.manifest.precision == "fp32":
        same = _greedy(model, image_path, facts, prompt) == facts.token_ids
        checks.append(Check("language_model", "token_ids", 0.0 if same else 1.0, 0.0))
    return checks, found["views"]


def _ceiling(manifest: Manifest, block: str) -> float:
    """The largest distance that publication allows: that of the block's precision and of those that feed it."""
    feeding = {"language_model": ("vision_encoder",), "pixel_decoder": tuple(manifest.blocks)}
    names = (block, *feeding.get(block, ()))
    return max([FLOOR, *(manifest.blocks[name].precision.tolerance for name in names if name in manifest.blocks)])


def sketches(model: Model, views: Array) -> dict[str, F32]:
    """What the second record holds, by name: the divider's views of the golden picture, and probes.probe's."""
    return {"views": probes.sketch(views.reshape(-1, views.shape[-1])), **probes.probe(model)}


def _drifts(model: Model, views: Array, record: dict[str, F32]) -> dict[str, float]:
    """The largest drift of each quantity; a NaN stays one."""
    found = sketches(model, views)
    if odd := sorted(found.keys() ^ record.keys()):
        raise EngineCorruptError(f"{model.engine.root / RECORD_FILE} has not {odd[:3]}; export the engine again")
    drifts: dict[str, list[float]] = {}
    for name, value in found.items():
        drifts.setdefault(name.partition(".")[0], []).append(probes.drift(value, record[name]))
    return {quantity: float(np.max(values)) for quantity, values in drifts.items()}


def _read(model: Model, image: LoadedImage, facts: Golden, prompt: Prompt) -> _Read:
    """See and read the golden question, into a cache with room for its answer."""
    check_integer("hd_num", facts.hd_num, 1, limits.MAX_HD_NUM)
    asked = (facts.hd_num, prompt.text_tokens, len(facts.token_ids), model.manifest.sizes)
    ((grid,), _) = model.family.layout([image], *asked, compat=False)
    views = model.divide(image, grid)
    tokens = model.see(views, grid)
    rows = model.rows(prompt, [tokens])
    cache = model.new_cache(cache_capacity(model.manifest, len(rows) + len(facts.token_ids)))
    return _Read(views, tokens, model.read(rows, cache), cache)


def _outputs(model: Model, image_path: Path, facts: Golden, prompt: Prompt) -> dict[str, Array]:
    """The main path once, and what stands at each of its borders."""
    image = load_image(image_path)
    read = _read(model, image, facts, prompt)
    features = model.ground(image)
    masks, iou = model.mask_logits(read.outputs.hidden, features)
    return {
        "views": read.views,
        "image_tokens": read.tokens.numpy(),
        "logits": read.outputs.logits,
        "hidden": read.outputs.hidden.numpy(),
        **{name: one.numpy() for name, one in features.items()},
        "low_res_masks": masks,
        "iou": iou,
    }


def _greedy(model: Model, image_path: Path, facts: Golden, prompt: Prompt) -> tuple[int, ...]:
    """The first token ids of the greedy answer, as many as the record has."""
    check_integer("token_ids", len(facts.token_ids), 1, limits.MAX_NEW_TOKENS)
    read = _read(model, load_image(image_path), facts, prompt)
    token_ids, outputs = [int(read.outputs.logits[0].argmax())], read.outputs
    while len(token_ids) < len(facts.token_ids):
        outputs = model.step(token_ids[-1:], read.cache)
        token_ids.append(int(outputs.logits[0].argmax()))
    return tuple(token_ids)


def _distance(found: Array, golden: F32) -> float:
    sampled = subsample(found)
    if sampled.shape != golden.shape:
        return float("inf")
    if found.dtype == np.float16:  # views that a block takes so
        golden = golden.astype(np.float16).astype(np.float32)
    with np.errstate(all="ignore"):  # a distance that is no number fails its check
        return float(np.abs(sampled - golden).max()) / max(float(np.abs(golden).max()), 1e-6)
