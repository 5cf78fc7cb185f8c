"""ONNX Runtime: loads a block, checks that it is the one the manifest describes, runs it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn
from weakref import WeakSet

import numpy as np
import onnxruntime as ort

from ..engine.manifest import BlockSpec, TensorSpec
from ..errors import EngineMismatchError, GeoPixelError, InferenceError, RuntimeUnavailableError
from ..processes import Owner, keep_in_children, refuse_pickle
from ..resources import return_heap, shortage
from ..timings import book
from . import ANEW, NONE, Device, Tensor
from .devices import PROVIDERS
from .onnx_errors import ERRORS, reason_of
from .onnx_locations import check_locations
from .shapes import made, sides_of
from .workspace import is_large

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(bool)": "bool",
}
# What a manifest may set: other entries name files, libraries or formats.
_OPTIONS = {"session.disable_quant_qdq", "session.qdq_matmulnbits_accuracy_level"}
_ONLY_FATAL = 4  # errors arrive as exceptions; ONNX Runtime would also print them
_NO_OPTIONS: Mapping[str, str] = MappingProxyType({})
Providers = list[tuple[str, dict[str, str]]]


def providers(device: Device) -> Providers:
    """The execution providers for a device, the fallback for single operators last."""
    cpu: tuple[str, dict[str, str]] = ("CPUExecutionProvider", {})
    if device.memory == "cpu":
        return [cpu]
    options = {
        "device_id": str(device.index),
        "user_compute_stream": str(device.stream),  # runs and copies are in order without waiting for each other
        "use_tf32": "0",  # it would round float32's 23 bits to 10 before each product: blocks that say float32 mean it
    }
    cuda = (PROVIDERS["cuda"], options)
    if device.kind != "tensorrt":
        return [cuda, cpu]
    # What TensorRT does not take goes to CUDA. No plan is kept on disk: a plan is executable code.
    shared = {name: options[name] for name in ("device_id", "user_compute_stream")}
    return [(PROVIDERS["tensorrt"], {**shared, "trt_engine_cache_enable": "0"}), cuda, cpu]


def session_settings(
    spec: BlockSpec, block: str, threads: int | None, options: Mapping[str, str] = _NO_OPTIONS
) -> ort.SessionOptions:
    """What a session of a block is opened with; EngineMismatchError for a setting that no engine may make."""
    settings = ort.SessionOptions()
    settings.log_severity_level = _ONLY_FATAL
    # A second run of the same sizes would take its memory in one piece, beside all that the first one left.
    settings.enable_mem_pattern = False
    if strange := sorted(spec.session_options.keys() - _OPTIONS):
        raise EngineMismatchError(f"block {block!r} sets {strange[0]!r}, which no engine may; do not use it")
    for name, value in {"session.load_model_format": "ONNX", **spec.session_options, **options}.items():
        settings.add_session_config_entry(name, value)
    if threads is not None:
        settings.intra_op_num_threads = threads
    return settings


class OnnxRunner:
    """One block in an ONNX Runtime session.

    `path` must have been verified. `options` are session entries that come before the manifest's. Raises
    EngineMismatchError when the graph's inputs and outputs differ from the manifest's, RuntimeUnavailableError when
    the device is absent.
    """

    def __init__(
        self,
        path: Path,
        spec: BlockSpec,
        block: str,
        device: Device,
        threads: int | None,
        options: Mapping[str, str] = _NO_OPTIONS,
    ) -> None:
        self.spec, self.block, self.device = spec, block, device
        self._steps: WeakSet[OnnxStep] = WeakSet()
        self._owner = Owner(f"block {block!r}")
        check_locations(path, spec, block)
        settings = session_settings(spec, block, threads, options)
        chosen = providers(device)
        self.session = self._open(path, settings, chosen)
        keep_in_children(self.session)
        if chosen[0][0] not in (used := self.session.get_providers()):
            fallen = used[0].removesuffix("ExecutionProvider")
            raise RuntimeUnavailableError(
                f"device={self._device_name()}: it fell back to {fallen}; check its libraries "
                "(`geopixel-edge doctor`), or give another device"
            )
        self.inputs = {tensor.name: tensor for tensor in spec.inputs}
        self._check(spec.inputs, self.session.get_inputs(), "inputs")
        self._check(spec.outputs, self.session.get_outputs(), "outputs")

    def _device_name(self) -> str:
        return repr("cpu" if self.device.memory == "cpu" else f"{self.device.kind}:{self.device.index}")

    def _model(self, path: Path) -> str | bytes:
        """What is opened: the file."""
        return str(path)

    def _open(self, path: Path, options: ort.SessionOptions, chosen: Providers) -> ort.InferenceSession:
        try:
            # Its own fallback would print, and run on the CPU what was meant for a GPU.
            return ort.InferenceSession(self._model(path), options, providers=chosen, enable_fallback=0)
        except ERRORS as error:
            if len(chosen) > 1:
                self._open(path, options, chosen[1:])  # raises when the block is at fault, not the device
                message = f"device={self._device_name()} cannot be used: {reason_of(error)}"
                raise RuntimeUnavailableError(message) from None
            if told := shortage(error, f"block {self.block!r} does not load"):
                raise told from None
            reason = f"{reason_of(error)} (ONNX Runtime {ort.__version__})"
            raise EngineMismatchError(f"block {self.block!r} does not load: {reason}") from None

    def _check(self, expected: tuple[TensorSpec, ...], found: list[ort.NodeArg], kind: str) -> None:
        # A dimension the runtime infers only at run time has no number here; it constrains nothing.
        described = {(t.name, t.dtype, _known(t.shape)) for t in expected}
        actual = {(t.name, _DTYPES.get(t.type, t.type), _known(tuple(t.shape))) for t in found}
        if described != actual:
            in_file, in_manifest = sorted(actual - described)[:3], sorted(described - actual)[:3]
            raise EngineMismatchError(
                f"block {self.block!r}: the file's {kind} {in_file} are not those of the manifest {in_manifest}; the "
                "engine was put together from different exports"
            )

    def run(
        self, feeds: Mapping[str, Tensor], into: Mapping[str, Tensor] = NONE, more_follow: bool = False
    ) -> dict[str, Tensor]:
        """Run once; several threads may. What a large one took of the host is given back unless `more_follow`."""
        step = self.bind(feeds, into)
        if self.device.memory == "cpu" and not more_follow and is_large(self.spec, sides_of(self.spec, feeds)):
            step.run(giving_back())
            return_heap()
        else:
            step.run()
        return dict(step.outputs)

    def give_back(self, feeds: Mapping[str, Tensor]) -> None:
        """The host's memory that runs kept: a run that ends before its first operator shrinks the arena, too."""
        if self.device.memory == "cpu" and "session" in self.__dict__:
            options = giving_back()
            options.terminate = True
            with suppress(GeoPixelError):  # it ends by one, and what gave up has its own
                self.bind(feeds).run(options)
            return_heap()

    def bind(self, feeds: Mapping[str, Tensor], into: Mapping[str, Tensor] = NONE) -> OnnxStep:
        """A saved binding to these addresses."""
        self._owner.check()
        step = OnnxStep(self, feeds, {**made(self.spec, self.device, feeds, into), **into})
        self._steps.add(step)
        return step

    def close(self) -> None:
        """Give the weights back, which bindings hold, too; neither these nor the runner can be used again."""
        for step in self._steps:
            step.close()
        self.__dict__.pop("session", None)

    def __reduce__(self) -> NoReturn:
        refuse_pickle(f"block {self.block!r}", "pickle the Pipeline, which opens its engine again")


class OnnxStep:
    """A binding of one block to fixed memory. Outputs are held to their declared shapes: the memory has them."""

    def __init__(self, runner: OnnxRunner, feeds: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> None:
        self.feeds, self.outputs = feeds, outputs
        self._runner = runner
        given = {id(tensor) for tensor in feeds.values()}
        self._output_bytes = sum(one.nbytes for one in outputs.values() if id(one) not in given)
        self._binding = runner.session.io_binding()
        try:
            for name, tensor in feeds.items():
                self._binding.bind_input(name, *place_of(tensor))
            for name, tensor in outputs.items():
                self._binding.bind_output(name, *place_of(tensor))
        except ERRORS as error:
            raise self._failed(error) from None

    def close(self) -> None:
        """Let the session go."""
        self.__dict__.pop("_binding", None)

    def run(self, options: ort.RunOptions | None = None) -> None:
        """Run with what stands in the feeds now."""
        self._runner._owner.check()
        start = time.perf_counter()
        try:
            self._runner.session.run_with_iobinding(self._binding, options)
        except ERRORS as error:
            raise self._failed(error) from None
        book(time.perf_counter() - start, self._output_bytes)

    def _failed(self, error: Exception) -> Exception:
        doing = f"block {self._runner.block!r} failed in ONNX Runtime {ort.__version__}"
        remedy = "run `geopixel-edge verify` on the engine" if self._runner.device.memory == "cpu" else ANEW
        return shortage(error, doing) or InferenceError(f"{doing}: {reason_of(error)}; {remedy}")


def giving_back() -> ort.RunOptions:
    """Options of a run after which the arena returns every chunk that nothing lies in."""
    options = ort.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


def place_of(tensor: Tensor) -> tuple[str, int, type[np.generic], tuple[int, ...], int]:
    """What a binding wants to know of a tensor."""
    device = tensor.device
    return device.memory, device.index, np.dtype(tensor.dtype).type, tensor.shape, tensor.address


def _known(shape: tuple[int | str | None, ...]) -> tuple[int, ...]:
    return tuple(side if isinstance(side, int) else -1 for side in shape)
