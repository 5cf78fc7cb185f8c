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
import mmap
import os
import sys
from types import ModuleType

from ..errors import RuntimeUnavailableError
from ..resources import share_heap_where_limited, shortage

log = logging.getLogger(__name__)
SWITCH = "ORT_DISABLE_TELEMETRY"
_ONLY_FATAL = 4  # errors arrive as exceptions
# What its import takes of the address space is 60 MB (1.32). With a little less its own start ends the process.
_IMPORT_BYTES = 64 << 20


def import_onnxruntime() -> ModuleType:
    """The module `onnxruntime`, with its telemetry off; ImportError and MemoryError as Python raises them.

    Where another package that filled the same folder was removed, Python finds an empty one: an ImportError, too.
    """
    loaded = sys.modules.get("onnxruntime")
    if os.environ.setdefault(SWITCH, "1") == "1" and loaded is not None:
        loaded.disable_telemetry_events()  # what it reported before somebody else imported it is sent
    importlib.import_module("numpy")  # or its failure would be printed by onnxruntime's own C code
    if loaded is None:
        _check_room()
        share_heap_where_limited()  # before it starts a thread
    with contextlib.redirect_stderr(io.StringIO()) as said:
        module = importlib.import_module("onnxruntime")
    print(said.getvalue(), end="", file=sys.stderr)
    if not hasattr(module, "InferenceSession"):
        sys.modules.pop("onnxruntime", None)
        raise ImportError("its folder holds no InferenceSession: its files went with another package of this folder")
    return module


def _check_room() -> None:
    """MemoryError where the address space has no room for it; nothing is touched, so that no memory is taken."""
    try:
        mmap.mmap(-1, _IMPORT_BYTES).close()
    except OSError as error:
        raise MemoryError(f"{_IMPORT_BYTES >> 20} MiB of address space are not free") from error


def needed_onnxruntime(what: str) -> ModuleType:
    """The module, for something that cannot do without; RuntimeUnavailableError or ResourceError where it is not."""
    try:
        return import_onnxruntime()
    except (ImportError, MemoryError) as error:
        doing = f"{what} needs onnxruntime, which cannot be loaded ({error})"
        missing = RuntimeUnavailableError(f"{doing}; pip install onnxruntime, or see `geopixel-edge doctor`")
        raise shortage(error, doing) or missing from None


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
