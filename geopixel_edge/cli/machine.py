"""What this machine offers and what is missing, each with its remedy."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import EngineError, NativeMissingError
from ..kernels.native import SWITCH, load
from ..rasters.extra import brought_along
from ..resources import shortage
from ..runtimes.onnx_import import import_onnxruntime
from ..version import __version__
from .terminal import human_bytes, table

PACKAGES = ("numpy", "Pillow", "sentencepiece", "msgspec")
GEO_PACKAGES = ("rasterio", "pyogrio", "pyproj", "shapely")
# As `requires-python` says; older ones have no wheel of the ONNX Runtime that is needed.
OLDEST_PYTHON = (3, 10)
# GeoPixel-7B has 8,914,455,156 parameters; two bytes each, and as much again as a fifth of them for cache and views.
COMFORTABLE_BYTES = 21_400_000_000


@dataclass(frozen=True)
class Finding:
    """One line of the report: `ok` False is something that stops the pipeline; `remedy` says what to do."""

    name: str
    value: str
    ok: bool = True
    remedy: str = ""


def examine() -> list[Finding]:
    """Look at interpreter, packages, ONNX Runtime's devices, C++ kernels, bundled engine, cores and memory."""
    findings = [
        Finding("geopixel-edge", __version__),
        _python(),
        *(_package(name) for name in PACKAGES),
        *_geo(),
        *_onnxruntime(),
        _kernels(),
        _bundled(),
        Finding("cpu cores", str(usable_cores())),
        _memory(),
    ]
    return findings


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


def _onnxruntime() -> list[Finding]:
    try:
        runtime = import_onnxruntime()
    except (ImportError, MemoryError) as error:
        if told := shortage(error, "onnxruntime"):
            return [Finding("onnxruntime", "cannot be loaded", False, str(told))]
        return [Finding("onnxruntime", f"missing ({error})", False, "pip install onnxruntime")]
    providers = runtime.get_available_providers()
    gpu = "CUDAExecutionProvider" in providers
    remedy = "" if gpu else "for an NVIDIA GPU: pip install onnxruntime-gpu 'cuda-core[cu13]' instead of onnxruntime"
    short = ", ".join(name.removesuffix("ExecutionProvider") for name in providers)
    return [Finding("onnxruntime", runtime.__version__), Finding("providers", short, True, remedy)]


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
    names: dict[str, int] = getattr(os, "sysconf_names", {})
    if not {"SC_PAGE_SIZE", "SC_PHYS_PAGES"} <= names.keys():
        return Finding("memory", "unknown on this system")
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    remedy = "" if total >= COMFORTABLE_BYTES else "small engines only; GeoPixel-7B in fp16 has 17.8 GB of weights"
    available = available_bytes()
    value = human_bytes(total) + (f", {human_bytes(available)} available" if available is not None else "")
    return Finding("memory", value, True, remedy)


def available_bytes() -> int | None:
    """Memory a new process could use now; None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def describe(findings: list[Finding]) -> str:
    """The report as a table."""
    rows = [("ok" if finding.ok else "MISSING", finding.name, finding.value, finding.remedy) for finding in findings]
    return table(("", "what", "found", "remedy"), rows, left=4)


def document(findings: list[Finding]) -> dict[str, Any]:
    """The report as plain values for JSON."""
    return {"ok": all(finding.ok for finding in findings), "findings": [asdict(finding) for finding in findings]}
