"""The precisions this version knows, each a record; nowhere else does a name of one decide anything."""

from __future__ import annotations

from .manifest import Precision

# Rounding to int8 moves random weights' mask logits by up to 4e-1 of their largest.
_INT8_TOLERANCE = 6e-1
# Weights become float32 when the block is loaded: exact products, four times the memory.
WIDENED = {"session.disable_quant_qdq": "1"}
# Weights stay int8 in memory and activations are rounded to int8 before each product. Level 1 would not round them.
QUANTISED = {"session.qdq_matmulnbits_accuracy_level": "4"}
EXACT = {"session.qdq_matmulnbits_accuracy_level": "1"}

PRECISIONS = {
    one.name: one
    for one in (
        Precision(name="fp32", weights="float32", compute="float32", bytes_per_number=4.0, tolerance=2e-4),
        Precision(name="fp16", weights="float16", compute="float16", bytes_per_number=2.0, tolerance=5e-2),
        Precision(
            name="int8",
            weights="int8",
            compute="int8",
            bytes_per_number=1.0,
            tolerance=_INT8_TOLERANCE,
            ort_options=QUANTISED,
        ),
        Precision(
            name="int8-widened",
            weights="int8",
            compute="float32",
            bytes_per_number=1.0,
            tolerance=_INT8_TOLERANCE,
            ort_options=WIDENED,
        ),
    )
}
# ONNX Runtime keeps int8 weights in memory for matrix products alone; blocks with convolutions widen all of them.
KEEPS_INT8 = ("language_model",)


def precision_of(block: str, name: str) -> Precision:
    """The record for a block; KeyError for an unknown name."""
    widened = name == "int8" and block not in KEEPS_INT8
    return PRECISIONS["int8-widened" if widened else name]
