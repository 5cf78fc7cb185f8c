"""The handle to the C++ kernels; `GEOPIXEL_EDGE_NATIVE=0` swaps in their NumPy twins, which give the same bits."""

from __future__ import annotations

import importlib
import os
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .errors import NativeMissingError

SWITCH = "GEOPIXEL_EDGE_NATIVE"


class _Handle:
    """Loads the kernels at their first use, so that a missing extension is a typed error and not a failed import."""

    _module: ModuleType | None = None

    def __getattr__(self, name: str) -> Any:
        if self._module is None:
            self._module = load()
        return getattr(self._module, name)


def load() -> ModuleType:
    """The module the switch asks for: `geopixel_edge._native`, or `geopixel_edge.twins` when it is "0"."""
    if os.environ.get(SWITCH, "1") == "0":
        return importlib.import_module("geopixel_edge.twins")
    try:
        return importlib.import_module("geopixel_edge._native")
    except ImportError as error:
        raise NativeMissingError(
            f"geopixel_edge._native cannot be loaded ({error}); install a wheel, run `pip install .` with a C++17 "
            f"compiler, or set {SWITCH}=0 for the slower NumPy twins"
        ) from None


if TYPE_CHECKING:
    from . import _native

    native = _native
else:
    native = _Handle()
