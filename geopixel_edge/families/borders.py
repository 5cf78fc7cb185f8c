"""The borders of each block: what the pipeline feeds it and reads back, whatever runtime executes it."""

from __future__ import annotations

from ..engine.manifest import BlockSpec, Sizes, TensorSpec
from ..engine.names import SEQLENS_K, TOTAL_LENGTH

Shape = tuple[int | str | None, ...]
Borders = tuple[dict[str, Shape], dict[str, Shape]]
# SAM 2's widths are not among the manifest's sizes, and nothing here depends on them.
_FEATURES: dict[str, Shape] = dict.fromkeys(("image_embed", "high_res0", "high_res1"), (1, None, None, None))
_INTEGERS = ("position_ids", "write_index", "image_rows", "output_rows")
_SHORT_INTEGERS = (SEQLENS_K, TOTAL_LENGTH)
_PORTABLE_ALONE = ("position_ids", "write_index", "attention_mask")
_WIDTHS = ("float32", "float16")
_PIXELS = ("views", "image")  # of either width, too


def _borders(block: str, sizes: Sizes) -> Borders:
    """Inputs and outputs, name to shape; a string is a symbolic dimension, None any fixed one."""
    side, hidden = sizes.tokens_per_side, sizes.hidden
    if block == "vision_encoder":
        views: Shape = ("n", 3, sizes.tile_px, sizes.tile_px)
        return {"views": views}, {"tokens": ("n", side, side, hidden), "separators": (2, hidden)}
    if block == "grounding_encoder":
        return {"image": (1, 3, sizes.grounding_px, sizes.grounding_px)}, dict(_FEATURES)
    if block == "pixel_decoder":
        masks: Shape = ("n", sizes.mask_px, sizes.mask_px)
        return {"seg_hidden": ("n", hidden), **_FEATURES}, {"low_res_masks": masks, "iou": ("n",)}
    return _language_model(sizes)


def _language_model(sizes: Sizes) -> Borders:
    cache: Shape = ("B", sizes.kv_heads, "capacity", sizes.head_dim)
    slots = [f"{kind}_{index}" for index in range(sizes.layers) for kind in ("key", "value")]
    inputs: dict[str, Shape] = {
        "inputs_embeds": ("B", "S", sizes.hidden),
        "position_ids": ("B", "S"),
        "write_index": ("B",),
        "attention_mask": ("B", 1, "S", "capacity"),
        "image_rows": ("image_rows",),
        "output_rows": ("output_rows",),
        **{f"past_{slot}": cache for slot in slots},
    }
    outputs: dict[str, Shape] = {
        "logits": ("output_rows", sizes.vocabulary),
        "hidden": ("output_rows", sizes.hidden),
    }
    return inputs, {**outputs, **{f"present_{slot}": cache for slot in slots}}


def _ready(borders: Borders) -> Borders:
    """The language model of the ready form: lengths say where a run is, in place of positions, slots and mask."""
    inputs = {name: shape for name, shape in borders[0].items() if name not in _PORTABLE_ALONE}
    return {**inputs, SEQLENS_K: ("B",), TOTAL_LENGTH: (1,)}, borders[1]


def _of_one_sequence(borders: Borders) -> Borders:
    """The language model of schema 1: one sequence, logits of its last row, hidden states of all."""
    inputs, outputs = (
        {name: tuple(1 if side == "B" else side for side in shape) for name, shape in one.items()} for one in borders
    )
    del inputs["output_rows"]
    hidden = inputs["inputs_embeds"]
    return inputs, {**outputs, "logits": (1, outputs["logits"][1]), "hidden": hidden}


def differences(block: str, spec: BlockSpec, sizes: Sizes) -> list[str]:
    """How a block's inputs and outputs differ from what the pipeline needs; empty when they do not."""
    found = []
    borders = _borders(block, sizes)
    given_names = {one.name for one in spec.inputs}
    if block == "language_model" and SEQLENS_K in given_names:
        borders = _ready(borders)
    elif block == "language_model" and "output_rows" not in given_names:
        borders = _of_one_sequence(borders)
    for side, expected, tensors in zip(("input", "output"), borders, _sides(spec), strict=True):
        given = {tensor.name: tensor for tensor in tensors}
        found += [f"{side} {name!r} is missing" for name in expected if name not in given]
        found += [f"{side} {name!r} is unknown" for name in given if name not in expected]
        for name in expected.keys() & given.keys():
            if not _fits(given[name], expected[name]):
                found.append(f"{side} {name!r} is {given[name].dtype} {given[name].shape}, not {expected[name]}")
    return found


def _sides(spec: BlockSpec) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    return spec.inputs, spec.outputs


def _fits(tensor: TensorSpec, shape: Shape) -> bool:
    dtypes: tuple[str, ...] = ("float32",)
    if tensor.name.startswith(("past_", "present_")) or tensor.name in _PIXELS:
        dtypes = _WIDTHS
    elif tensor.name == "attention_mask":
        dtypes = ("bool",)
    elif tensor.name in _INTEGERS:
        dtypes = ("int64",)
    elif tensor.name in _SHORT_INTEGERS:
        dtypes = ("int32",)
    same = len(tensor.shape) == len(shape) and all(
        isinstance(found, int) if wanted is None else found == wanted
        for found, wanted in zip(tensor.shape, shape, strict=True)
    )
    return same and tensor.dtype in dtypes
