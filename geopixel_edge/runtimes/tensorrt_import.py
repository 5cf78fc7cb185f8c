"""How TensorRT is imported: the board's own, or TensorRT-RTX by either of its two names. One API serves all."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

from ..errors import RuntimeUnavailableError

MODULES = {"tensorrt": ("tensorrt",), "tensorrt-rtx": ("tensorrt_rtx", "tensorrt_rtx_bindings")}
REMEDIES = {
    "tensorrt": (
        "on a Jetson it comes with JetPack (sudo apt install nvidia-jetpack, and an environment made with "
        "--system-site-packages), elsewhere pip install 'geopixel-edge[tensorrt]'"
    ),
    "tensorrt-rtx": "pip install 'geopixel-edge[tensorrt-rtx]' (Linux x86-64)",
}


def import_tensorrt(runtime: str) -> ModuleType:
    """The module of `runtime`, a key of MODULES; RuntimeUnavailableError says how to install it."""
    said = []
    for name in MODULES[runtime]:
        try:
            return importlib.import_module(name)
        except (ImportError, OSError) as error:  # OSError: a shared library that is not there
            sys.modules.pop(name, None)
            said.append(str(error))
    raise RuntimeUnavailableError(
        f"runtime={runtime!r} cannot be loaded ({'; '.join(said)[:300]}); {REMEDIES[runtime]}"
    )


def release_of(version: str) -> tuple[int, ...]:
    """Major and minor number of a version."""
    return tuple(int(part) for part in version.split(".")[:2])
