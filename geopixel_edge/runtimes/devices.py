"""Which memory a device's name means on this machine, and why: the only place that says `if kind ==`."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass

from ..engine.directory import Engine
from ..errors import OptionError, RuntimeUnavailableError
from . import Device
from .host import HostDevice
from .onnx_import import needed_onnxruntime, prepare_cuda
from .tensorrt_import import MODULES

log = logging.getLogger(__name__)
_NAMES = "'auto', 'cpu', 'cuda', 'cuda:N', 'tensorrt' or 'tensorrt:N'"
_DEVICE = re.compile("auto|cpu|(?:cuda|tensorrt)(?::([0-9]{1,3}))?")
# ONNX Runtime's provider for a kind of device.
PROVIDERS = {"cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}


@dataclass(frozen=True)
class Placement:
    """A device, and why it is this one, in words for people."""

    device: Device
    why: str


def check_device(device: object) -> str:
    """`device` when it names one; OptionError otherwise."""
    if not isinstance(device, str):
        raise OptionError(f"device={device!r} is not a string; give {_NAMES}")
    if _DEVICE.fullmatch(device) is None:
        raise OptionError(f"device={device!r} is unknown; give {_NAMES}")
    return device


def place(device: str) -> Placement:
    """The memory that `device` means for blocks of ONNX Runtime's.

    OptionError for another name, RuntimeUnavailableError when it is absent. "auto" is the first GPU that answers, else
    the CPU: with a warning where ONNX Runtime has a provider for GPUs, since one was meant to be used then.
    """
    kind, index = _parts(device)
    if kind == "cpu":
        return Placement(HostDevice(), "it was asked for")
    runtime = needed_onnxruntime("a device")
    names = [name.removesuffix("ExecutionProvider") for name in runtime.get_available_providers()]
    if f"{PROVIDERS[kind]}" not in runtime.get_available_providers():
        told = f"this onnxruntime has {', '.join(names)} alone"
        if device == "auto":
            return Placement(HostDevice(), told)
        raise RuntimeUnavailableError(f"device={device!r}: {told}; install onnxruntime-gpu in its place")
    from .cuda import CudaDevice

    prepare_cuda(runtime)
    found = CudaDevice(index, kind)
    if device != "auto":
        return Placement(found, "it was asked for")
    try:
        sm = found.compute_capability
    except RuntimeUnavailableError as error:
        log.warning("device='auto' is the CPU: %s", error)
        return Placement(HostDevice(), str(error))
    return Placement(found, f"the first GPU answers, of compute capability {sm}")


def place_for(engine: Engine, device: str) -> Placement:
    """`place`, for an engine that is to run there.

    A language model in the ready form attends in its cache's dtype, and no GPU does so in float32: "auto" is then the
    CPU, with a warning, and a GPU asked for is a RuntimeUnavailableError. One with plans of TensorRT runs on a GPU
    alone, and needs no ONNX Runtime where all its blocks are plans. Others as place's.
    """
    runtimes = {block.runtime for block in engine.manifest.blocks.values()}
    if planned := sorted(runtimes & MODULES.keys()):
        return _gpu(device, planned[0], alone="onnx" not in runtimes)
    found = place(device)
    cache = next(one for one in engine.manifest.blocks["language_model"].inputs if one.name.startswith("past_"))
    if found.device.memory == "cpu" or engine.manifest.form != "ready" or cache.dtype != "float32":
        return found
    told = (
        f"{engine.root} is for a CPU: its language model has the ready form with a float32 cache; "
        f"`geopixel-edge build {engine.root} portable --form portable` makes one for a GPU"
    )
    if device != "auto":
        raise RuntimeUnavailableError(f"device={device!r}: {told}, or give device='cpu'")
    log.warning("device='auto' is the CPU: %s", told)
    return Placement(HostDevice(), told)


def _gpu(device: str, runtime: str, alone: bool) -> Placement:
    """The GPU that `device` means, for an engine with plans; RuntimeUnavailableError where none answers."""
    from .cuda import CudaDevice

    kind, index = _parts(device)
    if kind == "cpu":
        raise RuntimeUnavailableError(f"device='cpu': {runtime} engines run on an NVIDIA GPU; give 'cuda'")
    found = CudaDevice(index, kind)
    _ = found.compute_capability  # answers, or is told
    why = f"plans of {runtime} run on a GPU alone"
    return Placement(found, why) if alone else Placement(place(f"{kind}:{index}").device, why)


def _parts(device: str) -> tuple[str, int]:
    """Kind and number; "auto" is "cuda" where there is one."""
    kind, _, index = check_device(device).partition(":")
    return ("cuda" if kind == "auto" else kind), int(index or 0)
