"""What this machine offers and what is missing, each with its remedy."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import EngineError, NativeMissingError, RuntimeUnavailableError
from ..kernels.native import SWITCH, load
from ..rasters.extra import brought_along
from ..runtimes.cuda_facts import cuda_facts, driver_version
from ..runtimes.devices import place
from ..version import __version__
from .board import ROOT, read_board
from .finding import Finding
from .machine_engine import Machine, examine_engine, runtimes_of
from .machine_gpu import examine_board, examine_gpus, examine_tensorrt, tensorrt_versions
from .machine_onnxruntime import examine_onnxruntime
from .terminal import human_bytes

PACKAGES = ("numpy", "Pillow", "sentencepiece", "msgspec")
GEO_PACKAGES = ("rasterio", "pyogrio", "pyproj", "shapely")
# As `requires-python` says; older ones have no wheel of the ONNX Runtime that is needed.
OLDEST_PYTHON = (3, 10)
# GeoPixel-7B has 8,914,455,156 parameters; two bytes each, and as much again as a fifth of them for cache and views.
COMFORTABLE_BYTES = 21_400_000_000


def examine(engines: Sequence[Path] = (), root: Path = ROOT) -> list[Finding]:
    """Look at interpreter, packages, runtimes, board, GPUs, C++ kernels, cores and memory, and at what engines need.

    Where engines are named and none of them runs on ONNX Runtime, it may be absent. `root` is the system's.
    """
    board, facts, tensorrt = read_board(root), cuda_facts(), tensorrt_versions()
    needed = not engines or any("onnx" in runtimes_of(place) for place in engines)
    onnxruntime = examine_onnxruntime(bool(facts.gpus or driver_version(root)), board is not None, needed)
    versions = {**tensorrt, **({"onnx": onnxruntime[0].value} if len(onnxruntime) > 1 else {})}
    machine = Machine(versions, facts.gpus, total_bytes() or 0)
    return [
        Finding("geopixel-edge", __version__),
        _python(),
        *(_package(name) for name in PACKAGES),
        *_geo(),
        *onnxruntime,
        *examine_board(board),
        *examine_gpus(facts, root),
        *examine_tensorrt(tensorrt, board, root),
        _auto(),
        _kernels(),
        _bundled(),
        Finding("cpu cores", str(usable_cores())),
        _memory(),
        *(examine_engine(place, machine) for place in engines),
    ]


def _auto() -> Finding:
    """What device="auto" comes to for an ONNX engine, and why."""
    try:
        found = place("auto")
    except RuntimeUnavailableError as error:
        return Finding("device auto", "none", True, str(error))
    return Finding("device auto", f"{found.device.kind}: {found.why}")


def _python() -> Finding:
    value = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info[:2] >= OLDEST_PYTHON:
        return Finding("python", value)
    needed = ".".join(map(str, OLDEST_PYTHON))
    return Finding("python", value, False, f"install Python {needed} or newer and make a new environment with it")


def usable_cores() -> int:
    """Cores this process may run on."""
    affinity: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _package(name: str) -> Finding:
    try:
        return Finding(name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "missing", False, f"pip install {name}")


def _geo() -> list[Finding]:
    """The libraries of the extra `geo`, with the GDAL and PROJ that they bring; nothing stops without them."""
    found = []
    for name in GEO_PACKAGES:
        try:
            value = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found.append(
                Finding(name, "not installed", True, "to read where images are: pip install 'geopixel-edge[geo]'")
            )
            continue
        found.append(Finding(name, value + brought_along(name)))
    return found


def _kernels() -> Finding:
    try:
        module = load()
    except NativeMissingError as error:
        return Finding("C++ kernels", "missing", False, str(error))
    if module.__name__.endswith("_native"):
        return Finding("C++ kernels", "loaded")
    return Finding("C++ kernels", "NumPy twins instead", True, f"slower; unset {SWITCH} for the C++ kernels")


def _bundled() -> Finding:
    from ..engine import BUNDLED
    from ..engine.directory import Engine

    try:
        manifest = Engine(BUNDLED).manifest
    except EngineError as error:
        return Finding("bundled engine", "unusable", False, f"install the package again: {error}")
    size = sum(spec.bytes for spec in manifest.files())
    return Finding("bundled engine", f"{manifest.precision}, {human_bytes(size)}")


def _memory() -> Finding:
    """Physical memory, and what is available now where Linux tells."""
    total = total_bytes()
    if total is None:
        return Finding("memory", "unknown on this system")
    remedy = "" if total >= COMFORTABLE_BYTES else "small engines only; GeoPixel-7B in fp16 has 17.8 GB of weights"
    available = available_bytes()
    value = human_bytes(total) + (f", {human_bytes(available)} available" if available is not None else "")
    return Finding("memory", value, True, remedy)


def total_bytes() -> int | None:
    """Physical memory; None where the system does not tell."""
    names: dict[str, int] = getattr(os, "sysconf_names", {})
    if not {"SC_PAGE_SIZE", "SC_PHYS_PAGES"} <= names.keys():
        return None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def available_bytes() -> int | None:
    """Memory a new process could use now; None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)
