"""ONNX Runtime in the report: which package fills its folder, and whether a second one has broken it."""

from __future__ import annotations

import importlib.metadata

from ..resources import shortage
from ..runtimes.onnx_import import import_onnxruntime
from .finding import Finding

FOLDER, CPU, GPU = "onnxruntime", "onnxruntime", "onnxruntime-gpu"
# A board's own build comes from no index that pip knows by itself.
BOARDS_WHEEL = "the onnxruntime_gpu wheel that was made for this JetPack"


def packages() -> dict[str, str]:
    """Distributions that fill the folder, with their versions."""
    names = importlib.metadata.packages_distributions().get(FOLDER, [])
    return {name: importlib.metadata.version(name) for name in sorted(set(names))}


def examine_onnxruntime(has_gpu: bool, on_jetson: bool, needed: bool = True) -> list[Finding]:
    """One finding, or more where it works; `needed`: whether what is to run here needs one.

    The packages for a CPU and for a GPU fill one folder: whichever is installed last leaves files of both, and removing
    either takes the other's along. Both states are told with the two commands that mend them.
    """
    found = packages()
    keep = GPU if has_gpu or on_jetson else CPU
    if len(found) > 1:
        both = " and ".join(f"{name} {version}" for name, version in found.items())
        return [Finding("onnxruntime", f"{both} in one folder", False, _mended(found, keep, on_jetson))]
    try:
        runtime = import_onnxruntime()
    except (ImportError, MemoryError) as error:
        if told := shortage(error, "onnxruntime"):
            return [Finding("onnxruntime", "cannot be loaded", False, str(told))]
        if found:
            return [Finding("onnxruntime", f"damaged ({error})", False, _mended(found, next(iter(found)), on_jetson))]
        remedy = f"pip install {keep}" if needed else "not needed: TensorRT's engines run without it"
        return [Finding("onnxruntime", f"missing ({error})", not needed, remedy)]
    names = [name.removesuffix("ExecutionProvider") for name in runtime.get_available_providers()]
    remedy = "" if "CUDA" in names else _for_a_gpu(on_jetson)
    return [
        Finding("onnxruntime", f"{runtime.__version__} ({', '.join(found) or 'no package of pip'})"),
        Finding("providers", ", ".join(names), True, remedy),
    ]


def _mended(found: dict[str, str], keep: str, on_jetson: bool) -> str:
    removed = f"pip uninstall --yes {' '.join(found)}"
    return f"{removed}, then {_installed(keep, found.get(keep, ''), on_jetson)}"


def _installed(keep: str, version: str, on_jetson: bool) -> str:
    if keep == GPU and on_jetson:
        return f"pip install --no-deps WHEEL, WHEEL being {BOARDS_WHEEL}"
    return f"pip install {keep}" + (f"=={version}" if version else "")


def _for_a_gpu(on_jetson: bool) -> str:
    return f"for an NVIDIA GPU: pip uninstall --yes {CPU}, then {_installed(GPU, '', on_jetson)} 'cuda-core[cu13]'"
