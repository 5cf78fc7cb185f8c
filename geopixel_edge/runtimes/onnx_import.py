"""How ONNX Runtime is imported: silent towards its maker, and without a traceback of its own when it cannot be.

Its official Linux builds report sessions (file names, graph digests) to their maker unless told not to, and keep a
device id and a database in the user's cache folder, and a thread. On a device that works offline none of it is wanted:
it is off here, unless whoever starts the process sets `ORT_DISABLE_TELEMETRY` to another value.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
from types import ModuleType

SWITCH = "ORT_DISABLE_TELEMETRY"


def import_onnxruntime() -> ModuleType:
    """The module `onnxruntime`, with its telemetry off; ImportError and MemoryError as Python raises them."""
    if os.environ.setdefault(SWITCH, "1") == "1" and (loaded := sys.modules.get("onnxruntime")) is not None:
        loaded.disable_telemetry_events()  # what it reported before somebody else imported it is sent
    importlib.import_module("numpy")  # or its failure would be printed by onnxruntime's own C code
    with contextlib.redirect_stderr(io.StringIO()) as said:
        module = importlib.import_module("onnxruntime")
    print(said.getvalue(), end="", file=sys.stderr)
    return module
