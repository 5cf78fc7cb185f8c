"""NVIDIA's part of the report: board, driver, GPUs, the packages that use them, TensorRT."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from ..errors import RuntimeUnavailableError
from ..runtimes.cuda_facts import CudaFacts, driver_version
from ..runtimes.tensorrt_import import MODULES, REMEDIES, import_tensorrt
from .board import Board, package_version
from .finding import Finding
from .terminal import human_bytes

ROOT = Path("/")
_SYSTEM = (
    "JetPack's TensorRT {} serves the system's Python: make the environment with python3 -m venv --system-site-packages"
)


def examine_board(board: Board | None) -> list[Finding]:
    """Nothing where this is no Jetson."""
    if board is None:
        return []
    remedy = "" if board.jetpack else "for TensorRT and CUDA: sudo apt install nvidia-jetpack"
    how = "sudo nvpmodel -m N sets it, sudo jetson_clocks holds the clocks"
    return [
        Finding("board", f"{board.model}, L4T {board.l4t}"),
        Finding("JetPack", board.jetpack or "not installed", True, remedy),
        Finding("power mode", board.power_mode or "not told", True, how),
    ]


def examine_gpus(facts: CudaFacts, root: Path = ROOT) -> list[Finding]:
    """The driver, cuda-core, and every GPU; a driver that is too old for the package stops what a GPU was meant for."""
    driver = driver_version(root)
    if not driver and facts.served is None:
        return [Finding("NVIDIA driver", "none")]
    serves = f", serves CUDA {_dotted(facts.served)}" if facts.served else ""
    findings = [Finding("NVIDIA driver", (driver or "loaded") + serves)]
    try:
        version = importlib.metadata.version("cuda-core")
    except importlib.metadata.PackageNotFoundError:
        remedy = "to use the GPU: pip install 'geopixel-edge[cuda]', on JetPack 6 'cuda-core[cu12]'"
        return [*findings, Finding("cuda-core", "not installed", True, remedy)]
    wanted = f", for CUDA {_dotted(facts.wanted)}" if facts.wanted else ""
    findings.append(Finding("cuda-core", version + wanted, not facts.problem, facts.problem))
    for index, gpu in enumerate(facts.gpus):
        memory = human_bytes(gpu.total_bytes) + (" shared with the CPU" if gpu.integrated else "")
        findings.append(Finding(f"cuda:{index}", f"{gpu.name}, compute capability {gpu.sm / 10:.1f}, {memory}"))
    return findings


def tensorrt_versions() -> dict[str, str]:
    """Runtime -> version of the library that loads here."""
    found = {}
    for runtime in MODULES:
        try:
            found[runtime] = str(import_tensorrt(runtime).__version__)
        except RuntimeUnavailableError:
            continue
    return found


def examine_tensorrt(versions: dict[str, str], board: Board | None, root: Path = ROOT) -> list[Finding]:
    """What of it loads; on a board that has it, why this Python does not see it."""
    found = [Finding(runtime, version) for runtime, version in versions.items()]
    if "tensorrt" in versions:
        return found
    remedy = f"to build and run its plans: {REMEDIES['tensorrt']}"
    if board is not None and (version := package_version("python3-libnvinfer", root)):
        remedy = _SYSTEM.format(version)
    return [Finding("tensorrt", "not installed", True, remedy), *found]


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
