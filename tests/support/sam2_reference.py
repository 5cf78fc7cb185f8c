"""The reference's SAM 2 values, and what the tests of both SAM 2 blocks need to compare with them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnxruntime
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from export.torch_model.grounding_encoder import GroundingEncoder
from export.torch_model.pixel_decoder import PixelDecoder

DATA = Path(__file__).parents[1] / "data" / "tiny-geopixel"
CONFIG: dict[str, Any] = json.loads((DATA / "checkpoint" / "config.json").read_text())
SHAPES_7B: dict[str, list[int]] = json.loads((DATA.parent / "geopixel-7b-shapes.json").read_text())["shapes"]
Block = TypeVar("Block", bound=nn.Module)

# Relative to the largest magnitude of the golden array (REFERENCE.md); iou and stability are absolute.
TOLERANCES = {
    "sam_in": 1e-5,
    "dense_pe": 1e-5,
    "dense_embed": 1e-5,
    "text_fc_out": 5e-5,
    "sam_image_embed": 2e-5,
    "sam_high_res0": 2e-5,
    "sam_high_res1": 2e-5,
    **{f"{kind}{i}": 2e-5 for kind in ("hiera_stage", "fpn") for i in range(4)},
    "decoder_masks4": 1e-4,
    "decoder_iou4": 1e-4,
    "mask_tokens_out": 1e-4,
    "low_res_masks": 1e-4,
    "stability_score": 2e-4,
}
_ABSOLUTE = ("decoder_iou4", "stability_score")


class Golden:
    """One reference case: its arrays, its facts, and the distance of a full tensor to a subsampled array."""

    def __init__(self, case: str) -> None:
        with np.load(DATA / "goldens" / f"{case}.npz") as arrays:
            self.arrays = dict(arrays)
        self.facts: dict[str, Any] = json.loads((DATA / "goldens" / f"{case}.json").read_text())

    def distance(self, key: str, value: Tensor | np.ndarray) -> float:
        """Largest difference over the stored samples, by the key's own measure; the shape must be the stored one."""
        array = np.asarray(value.detach() if isinstance(value, Tensor) else value)
        golden, sampling = self.arrays[key], self.facts["subsample"].get(key)
        if sampling is None:
            assert array.shape == golden.shape
        else:
            assert list(array.shape) == sampling["shape"]
            array = array.ravel()[:: sampling["stride"]]
            assert array.size == golden.size
        difference = float(np.abs(array.ravel().astype(np.float64) - golden.ravel()).max())
        return difference if key in _ABSOLUTE else difference / float(np.abs(golden).max())

    def agrees(self, key: str, value: Tensor | np.ndarray) -> bool:
        """Whether `value` is within the reference's tolerance."""
        return self.distance(key, value) <= TOLERANCES[key]


@cache
def golden(case: str) -> Golden:
    """A reference case by name."""
    return Golden(case)


def cases(key: str) -> list[str]:
    """The reference cases that hold an array `key`."""
    names = sorted(path.stem for path in (DATA / "goldens").glob("s*.npz"))
    return [name for name in names if key in golden(name).arrays]


@cache
def _checkpoint() -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for shard in sorted((DATA / "checkpoint").glob("*.safetensors")):
        state.update(load_file(shard))
    return state


def claimed(keys: tuple[tuple[str, str], ...], names: Any) -> dict[str, str]:
    """{local name: checkpoint key} of the keys that a block's KEYS claim; no key is claimed twice."""
    found: dict[str, str] = {}
    for key in names:
        local = [mine + key[len(theirs) :] for theirs, mine in keys if key.startswith(theirs)]
        assert len(local) <= 1, key
        found.update(dict.fromkeys(local, key))
    return found


def load(module: Block) -> Block:
    """`module` with the reference checkpoint's weights in float32, in evaluation mode; strict."""
    state = _checkpoint()
    names = claimed(module.KEYS, state)  # type: ignore[arg-type]
    module.load_state_dict({local: state[key].float() for local, key in names.items()}, strict=True)
    return module.eval()


@cache
def encoder() -> GroundingEncoder:
    """The reference's grounding encoder; do not change it."""
    return load(GroundingEncoder(CONFIG["sam2_config"]))


@cache
def decoder() -> PixelDecoder:
    """The reference's pixel decoder; do not change it."""
    return load(PixelDecoder(CONFIG["sam2_config"], CONFIG["hidden_size"], CONFIG["out_dim"]))


@cache
def sam_input(image: str, antialias: bool = True) -> Tensor:
    """Reference behaviour 21, composed with torch: (1, 3, 1024, 1024)."""
    pixels = torch.from_numpy(np.array(Image.open(DATA / "images" / image)))
    unit = pixels.permute(2, 0, 1)[None].float() / 255
    squashed = F.interpolate(unit, (1024, 1024), mode="bilinear", align_corners=False, antialias=antialias)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (squashed - mean.reshape(1, 3, 1, 1)) / std.reshape(1, 3, 1, 1)


@cache
def pyramid(image: str, antialias: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    """The reference encoder's three outputs for an image."""
    with torch.no_grad():
        levels: tuple[Tensor, Tensor, Tensor] = encoder()(sam_input(image, antialias))
    return levels


def run_onnx(path: Path, feeds: dict[str, Tensor]) -> list[np.ndarray]:
    """All outputs of an ONNX file on the CPU, one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    outputs: list[np.ndarray] = session.run(None, {name: value.numpy() for name, value in feeds.items()})
    return outputs
