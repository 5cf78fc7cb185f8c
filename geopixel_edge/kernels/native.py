"""The handle to the C++ kernels; `GEOPIXEL_EDGE_NATIVE=0` swaps in their NumPy twins, which give the same bits."""

from __future__ import annotations

import importlib
import os
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..errors import NativeMissingError
from ..resources import shortage

SWITCH = "GEOPIXEL_EDGE_NATIVE"
HERE = Path(__file__).resolve().parents[1]


class _Handle:
    """Loads the kernels at their first use, so that a missing extension is a typed error and not a failed import."""

    _module: ModuleType | None = None

    def __getattr__(self, name: str) -> Any:
        if self._module is None:
            self._module = load()
        return getattr(self._module, name)


def load() -> ModuleType:
    """The module the switch asks for: `geopixel_edge._native`, or `geopixel_edge.kernels.twins` when it is "0"."""
    if os.environ.get(SWITCH, "1") == "0":
        return importlib.import_module("geopixel_edge.kernels.twins")
    try:
        return importlib.import_module("geopixel_edge._native")
    except ImportError as error:
        if told := shortage(error, "geopixel_edge._native cannot be loaded"):
            raise told from None
        place = hidden_install()
        if place is not None:
            raise NativeMissingError(
                f"{HERE.parent} holds the sources of geopixel_edge and hides the package installed in {place.parent}; "
                f"run `geopixel-edge ...`, start Python in another folder, or run `pip install -e .` in {HERE.parent}"
            ) from None
        raise NativeMissingError(
            f"geopixel_edge._native cannot be loaded ({error}); install a wheel, run `pip install .` with a C++17 "
            f"compiler, or set {SWITCH}=0 for the slower NumPy twins"
        ) from None


def load_or_exit() -> None:
    """Load the kernels; a program of the clone that cannot run without them ends with one line on standard error."""
    try:
        load()
    except NativeMissingError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None


def hidden_install() -> Path | None:
    """The folder of another geopixel_edge with its extension, which this one keeps from being imported, or None.

    This is so where Python starts in a clone: the current folder comes before the installed packages.
    """
    specs = [PathFinder.find_spec(HERE.name, [entry or os.getcwd()]) for entry in sys.path]
    # Editable installs are found by finders of their own, and not through sys.path.
    finders = [finder for finder in sys.meta_path if finder is not PathFinder and hasattr(finder, "find_spec")]
    specs += [finder.find_spec(HERE.name, None) for finder in finders]
    for spec in specs:
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            place = Path(folder).resolve()
            if place != HERE and PathFinder.find_spec(f"{HERE.name}._native", [str(place)]):
                return place
    return None


if TYPE_CHECKING:
    from .. import _native

    native = _native
else:
    native = _Handle()
