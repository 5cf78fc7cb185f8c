"""A TensorRT and a GPU for machines without either: plans are paths of ONNX files, run on the addresses that are bound.

Memory that is freed is known to be, a captured run is done when its graph is launched, and every call is counted.
"""

from __future__ import annotations

import ctypes
import enum
import json
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort

from geopixel_edge.arrays import Array
from geopixel_edge.build.onnx_dims import fixed
from geopixel_edge.build.tensorrt_block import Outcome, Request

from .fake_gpu import FakeGpu


class Logger:
    """TensorRT's ILogger."""

    class Severity(enum.IntEnum):
        INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

    def log(self, severity: Severity, text: str) -> None:
        raise NotImplementedError


class FakeTrt(SimpleNamespace):
    """The module; `gpu` is whose memory plans run on."""

    def __init__(self, gpu: FakeGpu, version: str = "10.16.0") -> None:
        counts: Counter[str] = Counter()
        strategy = SimpleNamespace(ON_PROFILE_CHANGE="on profile change")
        super().__init__(
            __version__=version,
            ILogger=Logger,
            ExecutionContextAllocationStrategy=strategy,
            Runtime=lambda log: Runtime(self, log),
            gpu=gpu,
            counts=counts,
            fails=False,
            runtimes=[],
        )

    def lose(self) -> None:
        """The GPU is gone: no run is queued, none is launched, and waiting fails."""
        for one in (self, self.gpu, self.gpu.lane):
            if one is not None:
                one.fails = True


class Runtime:
    def __init__(self, trt: FakeTrt, log: Logger) -> None:
        self._trt, self._log = trt, log
        self.engine_host_code_allowed = True
        trt.runtimes.append(self)

    def deserialize_cuda_engine(self, data: Any) -> Engine | None:
        self._trt.counts["deserialised"] += 1
        try:
            return Engine(self._trt, self._log, json.loads(data[:]))
        except ValueError:
            self._log.log(Logger.Severity.ERROR, "magic tag does not match")
            return None


class Engine:
    def __init__(self, trt: FakeTrt, log: Logger, plan: dict[str, Any]) -> None:
        self.trt, self.log, self.profiles = trt, log, plan["profiles"]
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        self.session = ort.InferenceSession(plan["model"], options)
        self.inputs = {one.name: one for one in self.session.get_inputs()}
        self.outputs = [one.name for one in self.session.get_outputs()]
        self.num_io_tensors = len(self.inputs) + len(self.outputs)

    def get_tensor_name(self, index: int) -> str:
        return [*self.inputs, *self.outputs][index]

    def create_execution_context(self, strategy: object) -> Context:
        assert strategy == "on profile change"
        assert threading.get_ident() in self.trt.gpu.threads, "made for another device than the plan's"
        self.trt.counts["contexts"] += 1
        return Context(self)


DTYPES: Mapping[str, str] = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}


class Context:
    def __init__(self, engine: Engine) -> None:
        self._engine, self._trt = engine, engine.trt
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._profile = 0

    def set_optimization_profile_async(self, profile: int, stream: int) -> bool:
        assert stream in self._streams
        self._profile = profile
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        bounds = self._engine.profiles[self._profile] if self._engine.profiles else {}
        for side, symbol in zip(shape, self._engine.inputs[name].shape, strict=True):
            least, _, most = bounds.get(symbol, (0, 0, 1 << 40))
            if not least <= side <= most:
                return False
        self._shapes[name] = shape
        return True

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._trt.counts["addresses"] += 1
        assert self._trt.gpu.holds(address)
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        place = self._streams[stream]
        assert self._addresses.keys() == {*self._engine.inputs, *self._engine.outputs}
        if self._trt.fails:
            self._engine.log.log(Logger.Severity.ERROR, "an illegal memory access was encountered")
            return False
        self._trt.counts["queued"] += 1
        place.queue(self._execute)
        return True

    @property
    def _streams(self) -> dict[int, FakeGpu]:
        gpu = self._trt.gpu
        return {one.stream: one for one in (gpu, gpu.lane) if one is not None}

    def _execute(self) -> None:
        self._trt.counts["executed"] += 1
        for name, address in self._addresses.items():
            assert self._trt.gpu.holds(address), f"{name} was freed while it is bound"
        feeds = {name: self.read(name) for name in self._engine.inputs}
        for name, value in zip(
            self._engine.outputs, self._engine.session.run(self._engine.outputs, feeds), strict=True
        ):
            ctypes.memmove(self._addresses[name], np.ascontiguousarray(value).ctypes.data, value.nbytes)

    def read(self, name: str) -> Array:
        shape, dtype = self._shapes[name], np.dtype(DTYPES[self._engine.inputs[name].type])
        size = int(np.prod(shape)) * dtype.itemsize
        return np.frombuffer(ctypes.string_at(self._addresses[name], size), dtype).reshape(shape)


def fake_build(stash: Path) -> Callable[..., Outcome]:
    """`tensorrt_child.run` that keeps the ONNX file in `stash`, and whose plan names it."""

    def run(request: Request, block: str, library: str, tick: Callable[[], object]) -> Outcome:
        place = stash / f"{len(list(stash.iterdir()))}"
        place.mkdir(parents=True)
        model = Path(request.model)
        for path in (model, model.with_name(f"{model.name}.data")):
            if path.exists():
                shutil.copyfile(path, place / path.name)
        put = place / model.name
        put.write_bytes(fixed(put.read_bytes(), {}, request.halves))
        plan = {"model": str(place / model.name), "profiles": request.profiles}
        Path(request.plan).write_text(json.dumps(plan))
        return Outcome(version="10.16.0", seconds=0.1, peak_bytes=1)

    return run
