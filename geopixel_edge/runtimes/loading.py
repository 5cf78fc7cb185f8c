"""Chooses memory and runner by their names: the only place that says `if runtime ==` or `if kind ==`."""

from __future__ import annotations

import re
from typing import Any

from ..engine.directory import Engine
from ..errors import OptionError, RuntimeUnavailableError
from ..resources import shortage
from . import Device, Runner
from .host import HostDevice
from .onnx_import import import_onnxruntime, prepare_cuda

_DEVICE = re.compile("auto|cpu|cuda(?::([0-9]{1,3}))?")


def check_device(device: object) -> str:
    """`device` when it names one; OptionError otherwise."""
    if not isinstance(device, str):
        raise OptionError(f"device={device!r} is not a string; give 'auto', 'cpu', 'cuda' or 'cuda:N'")
    if _DEVICE.fullmatch(device) is None:
        raise OptionError(f"device={device!r} is unknown; give 'auto', 'cpu', 'cuda' or 'cuda:N'")
    return device


def open_device(device: str) -> Device:
    """The memory that `device` ("auto", "cpu", "cuda", "cuda:N") means on this machine.

    OptionError for another name, RuntimeUnavailableError when it is absent.
    """
    check_device(device)
    if device == "cpu":
        return HostDevice()
    runtime = _onnxruntime("a device")
    providers = runtime.get_available_providers()
    if "CUDAExecutionProvider" in providers:
        from .cuda import CudaDevice

        prepare_cuda(runtime)
        return CudaDevice(int(device.partition(":")[2] or 0))
    if device == "auto":
        return HostDevice()
    raise RuntimeUnavailableError(f"device={device!r}: this onnxruntime has {providers}; install onnxruntime-gpu")


def load_block(engine: Engine, block: str, device: Device, threads: int | None) -> Runner:
    """Load one block with the runtime its manifest entry names.

    EngineMismatchError when the file is not the one that the manifest describes; RuntimeUnavailableError when the
    runtime is absent.
    """
    spec = engine.manifest.blocks[block]
    paths = [engine.path(file) for file in spec.files]
    if spec.runtime == "onnx":
        _onnxruntime(f"block {block!r}")
        from .onnx import OnnxRunner

        return OnnxRunner(paths[0], spec, block, device, threads)
    raise RuntimeUnavailableError(f"block {block!r} is for runtime {spec.runtime!r}; this version runs 'onnx' engines")


def _onnxruntime(what: str) -> Any:
    try:
        return import_onnxruntime()
    except (ImportError, MemoryError) as error:
        doing = f"{what} needs onnxruntime, which cannot be loaded ({error})"
        missing = RuntimeUnavailableError(f"{doing}; pip install onnxruntime")
        raise shortage(error, doing) or missing from None
