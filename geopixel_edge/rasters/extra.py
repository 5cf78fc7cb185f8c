"""The libraries of the extra `geo`, imported when first needed: whoever needs none of them pays for none."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from ..errors import RuntimeUnavailableError

REMEDY = "pip install 'geopixel-edge[geo]'"


def missing(library: str, error: ImportError) -> RuntimeUnavailableError:
    """The error for a library of the extra that cannot be imported."""
    detail = "" if isinstance(error, ModuleNotFoundError) else f" ({error})"
    return RuntimeUnavailableError(
        f"{library} is needed for georeferenced images and map layers, and is not installed{detail}: {REMEDY}"
    )


def load_rasterio() -> ModuleType:
    """rasterio; RuntimeUnavailableError without it."""
    try:
        import rasterio
    except ImportError as error:
        raise missing("rasterio", error) from None
    module: ModuleType = rasterio
    return module


def load_shapely() -> ModuleType:
    """shapely; RuntimeUnavailableError without it."""
    try:
        import shapely
    except ImportError as error:
        raise missing("shapely", error) from None
    module: ModuleType = shapely
    return module


def load_pyogrio() -> ModuleType:
    """pyogrio with its functions for arrays; RuntimeUnavailableError without it."""
    try:
        import pyogrio
        import pyogrio.raw
    except ImportError as error:
        raise missing("pyogrio", error) from None
    module: ModuleType = pyogrio
    return module


def load_pyproj() -> ModuleType:
    """pyproj, fetching no grids over the network; RuntimeUnavailableError without it."""
    try:
        import pyproj

        network: Any = importlib.import_module("pyproj.network")
    except ImportError as error:
        raise missing("pyproj", error) from None
    if network.is_network_enabled():
        network.set_network_enabled(False)
    module: ModuleType = pyproj
    return module


def brought_along(library: str) -> str:
    """ ", GDAL 3.10.3" or the like: what a wheel of the extra brings inside, and for PROJ where its data is."""
    try:
        if library == "rasterio":
            return f", GDAL {load_rasterio().__gdal_version__}"
        if library == "pyproj":
            pyproj = load_pyproj()
            return f", PROJ {pyproj.proj_version_str}, data in {pyproj.datadir.get_data_dir()}"
        if library == "shapely":
            return f", GEOS {load_shapely().geos_version_string}"
    except (RuntimeUnavailableError, AttributeError) as error:
        return f", unusable: {error}"
    return ""
