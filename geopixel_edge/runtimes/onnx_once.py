"""An ONNX graph in memory, run once on the CPU by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import onnxruntime as ort

from ..arrays import Array
from ..errors import InferenceError
from .onnx_errors import ERRORS, reason_of

_ONLY_FATAL = 4  # errors arrive as exceptions


def run_once(graph: bytes, weights: Path, outputs: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
    """The named outputs; data files of the graph lie in the folder `weights`. InferenceError when it does not run."""
    settings = ort.SessionOptions()
    settings.log_severity_level = _ONLY_FATAL
    settings.add_session_config_entry("session.model_external_initializers_file_folder_path", str(weights))
    try:
        session = ort.InferenceSession(graph, settings, providers=["CPUExecutionProvider"])
        return cast("list[Array]", session.run(list(outputs), dict(feeds)))
    except ERRORS as error:
        raise InferenceError(f"a graph made of {weights} does not run: {reason_of(error)}") from None
