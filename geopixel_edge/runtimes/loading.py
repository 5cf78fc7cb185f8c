"""Chooses memory and runner by their names: the only place that says `if runtime ==` or `if kind ==`."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any, cast

from ..engine.directory import Engine
from ..engine.precision import EXACT
from ..errors import OptionError, RuntimeUnavailableError
from ..resources import shortage
from . import Device, Runner
from .host import HostDevice
from .onnx_import import import_onnxruntime, prepare_cuda
from .tensorrt_import import MODULES

if TYPE_CHECKING:
    from .tensorrt import Gpu

log = logging.getLogger(__name__)
_VERIFY = "geopixel-edge verify ENGINE --device cuda"
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


def device_for(engine: Engine, device: str) -> Device:
    """`open_device`, for an engine that is to run there.

    A language model in the ready form attends in its cache's dtype, and no GPU does so in float32: "auto" is then the
    CPU, with a warning, and a GPU asked for is a RuntimeUnavailableError. One with plans of TensorRT runs on a GPU
    alone, and needs no ONNX Runtime where all its blocks are plans. Others as open_device's.
    """
    runtimes = {block.runtime for block in engine.manifest.blocks.values()}
    if planned := sorted(runtimes & MODULES.keys()):
        return _gpu(engine, device, planned[0], alone="onnx" not in runtimes)
    found = open_device(device)
    cache = next(one for one in engine.manifest.blocks["language_model"].inputs if one.name.startswith("past_"))
    if found.memory == "cpu" or engine.manifest.form != "ready" or cache.dtype != "float32":
        return found
    told = (
        f"{engine.root} is for a CPU: its language model has the ready form with a float32 cache; "
        f"`geopixel-edge build {engine.root} portable --form portable` makes one for a GPU"
    )
    if device != "auto":
        raise RuntimeUnavailableError(f"device={device!r}: {told}, or give device='cpu'")
    log.warning("device='auto' is the CPU: %s", told)
    return HostDevice()


def _gpu(engine: Engine, device: str, runtime: str, alone: bool) -> Device:
    """The GPU that `device` means, for an engine with plans; RuntimeUnavailableError where none answers."""
    from .cuda import CudaDevice

    if check_device(device) == "cpu":
        raise RuntimeUnavailableError(f"device='cpu': {runtime} engines run on an NVIDIA GPU; give 'cuda'")
    found = CudaDevice(int(device.partition(":")[2] or 0))
    _ = found.compute_capability  # answers, or is told
    if not engine.manifest.verified:
        log.warning("%s was built on another machine: hold it to its golden values, `%s`", engine.root, _VERIFY)
    return found if alone else open_device(f"cuda:{found.index}")


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
    if spec.runtime in MODULES:
        from .tensorrt import TensorRtRunner

        return TensorRtRunner(paths[0], spec, block, cast("Gpu", device))
    known = ", ".join(["onnx", *MODULES])
    raise RuntimeUnavailableError(f"block {block!r} is for runtime {spec.runtime!r}; this version runs {known}")


def load_probed(engine: Engine, block: str, threads: int | None) -> Runner:
    """One block as its record is made, see probed.py; errors as `load_block`."""
    _onnxruntime(f"block {block!r}")
    from .probed import load_probed as load

    return load(engine, block, threads)


def load_in_pieces(engine: Engine, block: str, device: Device, threads: int | None, probed: bool = False) -> Runner:
    """One block, of which a piece is in memory at a time; in float32 where it is `probed`, as probed.py says.

    Errors as `load_block`.
    """
    spec = engine.manifest.blocks[block]
    path = engine.path(spec.files[0])
    _onnxruntime(f"block {block!r}")
    from .onnx_edit import widen
    from .onnx_in_pieces import UNPACKED, PieceRunner
    from .probed import widened

    options = {} if spec.precision.weights.startswith("int") else UNPACKED
    if not probed:
        return PieceRunner(path, spec, block, device, threads, options)
    return PieceRunner(path, widened(spec), block, device, threads, {**options, **EXACT}, widen)


def load_first_piece(engine: Engine, block: str, device: Device) -> tuple[Runner, float]:
    """The first piece of a large block as a user would load it, and its share of the block's bytes."""
    spec = engine.manifest.blocks[block]
    _onnxruntime(f"block {block!r}")
    from .onnx_in_pieces import FirstPiece

    runner = FirstPiece(engine.path(spec.files[0]), spec, block, device, None, {})
    return runner, runner.share


def _onnxruntime(what: str) -> Any:
    try:
        return import_onnxruntime()
    except (ImportError, MemoryError) as error:
        doing = f"{what} needs onnxruntime, which cannot be loaded ({error})"
        missing = RuntimeUnavailableError(f"{doing}; pip install onnxruntime")
        raise shortage(error, doing) or missing from None
