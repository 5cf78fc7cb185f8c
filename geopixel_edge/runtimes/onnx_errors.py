"""ONNX Runtime's errors, which have no common base, and what of their messages is worth telling."""

from __future__ import annotations

from onnxruntime.capi import onnxruntime_pybind11_state

ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    ValueError,
    MemoryError,
    *(
        error
        for error in vars(onnxruntime_pybind11_state).values()
        if isinstance(error, type) and issubclass(error, Exception)
    ),
)


def reason_of(error: Exception) -> str:
    """The end of the message, which says most; before it stand names of its source files."""
    return " ".join(str(error).split())[-420:]
