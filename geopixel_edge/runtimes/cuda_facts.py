"""What the NVIDIA driver and its GPUs are, told without opening one: no memory of theirs is taken."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import reason

Version = tuple[int, int]
_DRIVER = re.compile(r"\b([0-9]{3}\.[0-9.]+[0-9])\b")
UPDATE = "update the driver, or pip install 'cuda-core[cu{}]'"


@dataclass(frozen=True)
class GpuFacts:
    """One GPU. `sm` is its compute capability, 87 for 8.7; `integrated`: it shares the CPU's memory."""

    name: str
    sm: int
    total_bytes: int
    integrated: bool


@dataclass(frozen=True)
class CudaFacts:
    """The newest CUDA that the driver serves, the one that cuda-core here is for, and the GPUs.

    None where there is no driver or no package; `problem` says in words what keeps the GPUs from being used.
    """

    served: Version | None = None
    wanted: Version | None = None
    gpus: tuple[GpuFacts, ...] = ()
    problem: str = ""


def driver_version(root: Path = Path("/")) -> str:
    """The kernel driver's version, "550.54.15"; "" where none is loaded."""
    try:
        text = (root / "proc/driver/nvidia/version").read_text(errors="replace")
    except OSError:
        return ""
    found = _DRIVER.search(text.partition("\n")[0])
    return found[1] if found else ""


def cuda_facts() -> CudaFacts:
    """As the CUDA runtime tells them; nothing is raised."""
    try:
        from cuda.bindings import runtime
    except Exception as error:  # a package that is damaged may raise anything
        return CudaFacts(problem=f"cuda-core cannot be imported ({reason(error)})")
    try:
        served, wanted = _versions(runtime)
        if fault := driver_fault(served, wanted):
            return CudaFacts(served, wanted, problem=fault)
        told, count = runtime.cudaGetDeviceCount()
        if told != runtime.cudaError_t.cudaSuccess:
            return CudaFacts(served, wanted, problem=f"CUDA finds no GPU ({told.name})")
        return CudaFacts(served, wanted, tuple(_gpu(runtime, index) for index in range(count)))
    except Exception as error:  # cuda-bindings' errors have no common base
        return CudaFacts(problem=f"CUDA cannot be asked ({reason(error)})")


def check_driver(runtime: Any) -> str:
    """What is wrong with the driver in words, "" where nothing is. `runtime` is cuda.bindings.runtime."""
    return driver_fault(*_versions(runtime))


def driver_fault(served: Version | None, wanted: Version | None) -> str:
    """No driver, or one that serves an older CUDA than the package is for."""
    if served is None:
        return "no NVIDIA driver is loaded"
    if wanted is not None and served[0] < wanted[0]:
        told = f"the driver serves CUDA {_dotted(served)} and cuda-core is for CUDA {_dotted(wanted)}"
        return f"{told}: it is too old; {UPDATE.format(served[0])}"
    return ""


def _versions(runtime: Any) -> tuple[Version | None, Version | None]:
    return _version(runtime.cudaDriverGetVersion()), _version(runtime.cudaRuntimeGetVersion())


def _version(told: tuple[Any, int]) -> Version | None:
    """1000 * major + 10 * minor; 0 where there is none."""
    number = int(told[1])
    return (number // 1000, number % 1000 // 10) if number else None


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))


def _gpu(runtime: Any, index: int) -> GpuFacts:
    told, found = runtime.cudaGetDeviceProperties(index)
    if told != runtime.cudaError_t.cudaSuccess:
        raise RuntimeError(f"GPU {index}: {told.name}")
    name = found.name.decode() if isinstance(found.name, bytes) else str(found.name)
    return GpuFacts(name, 10 * int(found.major) + int(found.minor), int(found.totalGlobalMem), bool(found.integrated))
