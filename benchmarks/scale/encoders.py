"""The two encoders at their real size: ours beside OpenVINO in bfloat16 and torch in float32, and how near they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from export.checkpoint import Checkpoint
from export.writers import WRITERS
from geopixel_edge.arrays import F32, Array
from geopixel_edge.engine.precision import PRECISIONS
from geopixel_edge.model import Model

from .operators import seconds_by_operator
from .turns import in_turn

ENCODERS = {"vision_encoder": "views", "grounding_encoder": "image"}


def picture(block: str, model: Model) -> F32:
    """Normalised pixels of the size that the encoder takes: one view, or the squashed image."""
    sizes = model.manifest.sizes
    side = sizes.tile_px if block == "vision_encoder" else sizes.grounding_px
    coarse = np.random.default_rng(3).standard_normal((1, 3, side // 20, side // 20), dtype=np.float32)
    whole = np.repeat(np.repeat(coarse, 20, axis=2), 20, axis=3)
    missing = side - whole.shape[-1]
    return np.ascontiguousarray(np.pad(whole, ((0, 0), (0, 0), (0, missing), (0, missing)), mode="edge"))


def cosine(one: Array, other: Array) -> float:
    """Cosine of the angle between two arrays taken as vectors."""
    a, b = (np.asarray(values, np.float64).ravel() for values in (one, other))
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def _openvino(path: Path, threads: int, precision: str) -> Callable[[F32], Any]:
    """The float32 file, compiled for the CPU."""
    import openvino

    core = openvino.Core()
    settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    compiled = core.compile_model(core.read_model(path), "CPU", settings)
    request = compiled.create_infer_request()
    return lambda pixels: request.infer([pixels])


def compare(block: str, model: Model, checkpoint: Checkpoint, work: Path, threads: int, turns: int) -> dict[str, Any]:
    """Time one run of an encoder against its peers; `cosine` is ours to torch's float32, of the first output."""
    import torch

    path = work / f"{block}.fp32.onnx"
    if not path.is_file():
        WRITERS[block](checkpoint, block, path, PRECISIONS["fp32"], tqdm(disable=True), "ready")
    pixels = picture(block, model)
    resident = model.plan.resident("see" if block == "vision_encoder" else "ground")
    device, name = model.device, ENCODERS[block]
    with model.residency.stage(resident) as runners, torch.inference_mode():
        runner = runners[block]
        module = checkpoint.load(block)
        peer = _openvino(path, threads, "bf16")
        given = torch.from_numpy(pixels)
        torch.set_num_threads(threads)
        actions: dict[str, Callable[[], Any]] = {
            "ours": lambda: runner.run({name: device.put(pixels)}),
            "openvino_bf16": lambda: peer(pixels),
            "torch": lambda: module(given),
        }
        exact = module(given)[0].numpy()
        first = runner.run({name: device.put(pixels)})[runner.spec.outputs[0].name].numpy()
        found = in_turn(actions, turns)
    onnx = model.engine.path(model.manifest.blocks[block].files[0])
    return {
        "seconds": found,
        "ratio_openvino_bf16": found["openvino_bf16"] / found["ours"],
        "ratio_torch": found["torch"] / found["ours"],
        "cosine": cosine(first, exact),
        "precision": model.manifest.blocks[block].precision.name,
        "operators": seconds_by_operator(onnx, model.manifest.blocks[block], block, {name: pixels}, threads),
    }
