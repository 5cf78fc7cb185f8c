"""The precisions this version knows, each a record; nowhere else does a name of one decide anything."""

from __future__ import annotations

from .manifest import Dtype, Precision

# Rounding to int8 moves random weights' mask logits by up to 4e-1 of their largest.
_INT8_TOLERANCE = 6e-1
# Random weights rounded to int4 give other logits altogether; `check_rounding` says whether the graph is right.
_INT4_TOLERANCE = 2.0
# Three bits behind the point, of rows and weights: 1.6e-1 in the mask logits of random weights.
_FLOAT8_TOLERANCE = 6e-1
# Weights become float32 when the block is loaded: exact products, four times the memory.
WIDENED = {"session.disable_quant_qdq": "1"}
# Weights stay quantised in memory, and activations are rounded to int8 before each product; at level 1 they are not.
QUANTISED = {"session.qdq_matmulnbits_accuracy_level": "4"}
EXACT = {"session.qdq_matmulnbits_accuracy_level": "1"}
GROUPS = (32, 64, 128)
_GROUP = 128  # the fastest and smallest; a scale takes 4 bytes


def _int4(group: int, ending: str, compute: Dtype, options: dict[str, str]) -> list[Precision]:
    """int4 with a scale for each `group` inputs; the name without a group stands for 128."""
    names = [f"int4:{group}{ending}", *([f"int4{ending}"] if group == _GROUP else [])]
    return [
        Precision(
            name=name,
            weights="int4",
            compute=compute,
            bytes_per_number=0.5 + 4 / group,
            tolerance=_INT4_TOLERANCE,
            group=group,
            ort_options=options,
            parts={"lora": "int8"},
        )
        for name in names
    ]


def _int8(ending: str, compute: Dtype, options: dict[str, str]) -> Precision:
    return Precision(
        name=f"int8{ending}",
        weights="int8",
        compute=compute,
        bytes_per_number=1.0,
        tolerance=_INT8_TOLERANCE,
        ort_options=options,
    )


PRECISIONS = {
    one.name: one
    for one in (
        Precision(name="fp32", weights="float32", compute="float32", bytes_per_number=4.0, tolerance=2e-4),
        Precision(name="fp16", weights="float16", compute="float16", bytes_per_number=2.0, tolerance=5e-2),
        _int8("", "int8", QUANTISED),
        _int8("-exact", "float32", EXACT),
        _int8("-widened", "float32", WIDENED),
        *(one for group in GROUPS for one in _int4(group, "", "int8", QUANTISED)),
        *(one for group in GROUPS for one in _int4(group, "-exact", "float32", EXACT)),
        *(one for group in GROUPS for one in _int4(group, "-fp16", "float16", EXACT)),
    )
}
# Products in float8, the rest float16; ONNX Runtime computes in float32 on the same numbers. No export writes it: it
# is built of an engine (build/float8_engine.py).
FLOAT8 = Precision(
    name="fp8",
    weights="float8",
    compute="float16",
    bytes_per_number=1.0,
    tolerance=_FLOAT8_TOLERANCE,
    ort_options=WIDENED,
)
# ONNX Runtime keeps quantised weights in memory for matrix products alone; what is mostly convolutions widens them.
_WIDENS = ("pixel_decoder",)
# Only here are all weights those of products, and large enough for a scale in each block of inputs.
TAKES_INT4 = ("language_model",)


def precision_of(block: str, name: str) -> Precision:
    """The record for a block; KeyError for an unknown name or one that the block cannot take."""
    record = PRECISIONS[name]
    if record.weights == "int4" and block not in TAKES_INT4:
        raise KeyError(name)
    return PRECISIONS["int8-widened"] if record.weights == "int8" and block in _WIDENS else record
