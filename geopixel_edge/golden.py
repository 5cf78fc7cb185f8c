"""The engine's own self-check: its golden picture goes through every block and must give the golden values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from . import limits
from .divider import check_integer, divide, grounding_input, plan_grid
from .engine import Engine
from .errors import EngineCorruptError, EngineMismatchError, EngineSchemaError, ImageError, OptionError, QueryError
from .images import load_image
from .manifest import Struct
from .prompt import Prompt, build_prompt

if TYPE_CHECKING:
    from .pipeline import Pipeline

GOLDEN_FILES = {"image": "golden/image.png", "arrays": "golden/arrays.npz", "facts": "golden/facts.json"}
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
# Largest difference over the largest golden value. Float32 noise measures 1e-6 to 1e-5; float16 1e-3 to 2e-2;
# int8 weights 2e-2 and, where mask logits pass through the hypernetworks' products, up to 4e-1 on random weights.
TOLERANCES = {"fp32": 2e-4, "fp16": 5e-2, "int8": 6e-1}

F32 = NDArray[np.float32]


class Golden(Struct, frozen=True):
    """`golden/facts.json`: the question, its token ids, and the greedy answer's first token ids."""

    query: str
    hd_num: int
    text_parts: tuple[tuple[int, ...], ...]
    token_ids: tuple[int, ...]


@dataclass(frozen=True)
class Check:
    """One compared quantity: `distance` is the largest difference over the largest golden value."""

    block: str
    quantity: str
    distance: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the distance is within the tolerance (a NaN is not)."""
        return self.distance <= self.tolerance


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


def verify(pipeline: Pipeline) -> list[Check]:
    """Run the golden picture through every block, each fed by the one before it, and compare at each border.

    The list has one Check per quantity in ARRAYS, and for float32 one for the greedy token ids. EngineCorruptError
    when the golden files are damaged; EngineMismatchError when the tokenizer gives other ids, since nothing after
    that could be compared.
    """
    facts, golden, image_path = read_golden(pipeline.engine)
    try:
        return _compare(pipeline, facts, golden, image_path)
    except (ImageError, QueryError, OptionError) as error:
        raise EngineCorruptError(f"the golden question cannot be put: {error}; export the engine again") from None


def _compare(pipeline: Pipeline, facts: Golden, golden: dict[str, F32], image_path: Path) -> list[Check]:
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
    return checks


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
