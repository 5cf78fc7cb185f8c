"""How ONNX Runtime is imported: silent towards its maker, and without a traceback of its own when it cannot be.

Its official Linux builds report sessions (file names, graph digests) to their maker unless told not to, and keep a
device id and a database in the user's cache folder, and a thread. On a device that works offline none of it is wanted:
it is off here, unless whoever starts the process sets `ORT_DISABLE_TELEMETRY` to another value.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import sys
from types import ModuleType

log = logging.getLogger(__name__)
SWITCH = "ORT_DISABLE_TELEMETRY"
_ONLY_FATAL = 4  # errors arrive as exceptions


def import_onnxruntime() -> ModuleType:
    """The module `onnxruntime`, with its telemetry off; ImportError and MemoryError as Python raises them."""
    if os.environ.setdefault(SWITCH, "1") == "1" and (loaded := sys.modules.get("onnxruntime")) is not None:
        loaded.disable_telemetry_events()  # what it reported before somebody else imported it is sent
    importlib.import_module("numpy")  # or its failure would be printed by onnxruntime's own C code
    with contextlib.redirect_stderr(io.StringIO()) as said:
        module = importlib.import_module("onnxruntime")
    print(said.getvalue(), end="", file=sys.stderr)
    return module


def prepare_cuda(module: ModuleType) -> None:
    """Find CUDA and cuDNN where pip put them, and keep ONNX Runtime's warnings from the terminal.

    What is missing is told by the session that needs it; the CUDA provider warns on its default logger, which options
    of a session do not reach.
    """
    module.set_default_logger_severity(_ONLY_FATAL)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        module.preload_dlls()
    for line in said.getvalue().splitlines():
        log.debug("%s", line)
