"""One ONNX file parsed and built by TensorRT, in a process of its own: its peak is measured, and an abort stays here.

`python -m geopixel_edge.build.tensorrt_block` reads a Request from standard input and prints an Outcome.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from ..engine.manifest import Range, TensorSpec
from ..errors import GeoPixelError
from ..processes import end_with_parent
from ..runtimes.tensorrt_import import import_tensorrt
from .onnx_dims import fixed
from .tensorrt_profiles import shapes

DTYPES = {"FLOAT": "float32", "HALF": "float16", "INT64": "int64", "INT32": "int32", "BOOL": "bool", "INT8": "int8"}
_PLUGINS = ("PLUGIN", "PLUGIN_V2", "PLUGIN_V3")


class Request(msgspec.Struct, frozen=True):
    """What to build; without `model` only what the library is, is asked."""

    runtime: str
    model: str = ""
    plan: str = ""
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    fixed: dict[str, int] = {}
    halves: tuple[str, ...] = ()  # inputs that the file takes as float32 and casts: the plan takes float16
    profiles: tuple[dict[str, Range], ...] = ()
    sm: int = 0
    memory_bytes: int = 0  # 0: no limit
    parent: int = 0  # the process that waits for the outcome; 0: nobody's


class Outcome(msgspec.Struct):
    """What came of it: a plan written, or why not. `layers` counts the parsed network's layers by kind."""

    version: str = ""
    targets: tuple[int, ...] = ()  # compute capabilities that it builds for anywhere; none: for its own GPU alone
    error: str = ""
    layers: dict[str, int] = {}
    seconds: float = 0.0
    peak_bytes: int = 0


class Refused(GeoPixelError):
    """The library does not take the file, or builds no plan of it."""


def build(request: Request) -> Outcome:
    """Parse, build and write the plan. Refused says what the library said."""
    trt = import_tensorrt(request.runtime)
    capabilities = getattr(trt, "ComputeCapability", None)
    names = capabilities.__members__ if capabilities is not None else {}
    targets = tuple(int(name.removeprefix("SM")) for name in names if name.startswith("SM"))
    outcome = Outcome(version=trt.__version__, targets=targets)
    if request.model:
        start = time.perf_counter()
        log = _log(trt)
        network, kept = _parsed(trt, log, request)
        layers = [network.get_layer(index) for index in range(network.num_layers)]
        outcome.layers = dict(Counter(layer.type.name for layer in layers))
        check_network(network, layers, request)
        _make_decomposable(trt, layers)
        _write(kept[0], network, _config(trt, kept[0], network, request), request, log)
        outcome.seconds = time.perf_counter() - start
    outcome.peak_bytes = _peak_bytes()
    return outcome


def _log(trt: Any) -> Any:
    class Log(trt.ILogger):
        """Keeps warnings and errors, and prints none."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.said: list[str] = []

        def log(self, severity: Any, text: str) -> None:
            if severity <= trt.ILogger.Severity.WARNING:
                self.said.append(text)

    return Log()


def _parsed(trt: Any, log: Any, request: Request) -> tuple[Any, tuple[Any, ...]]:
    """The network, and what must live as long."""
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    builder = trt.Builder(log)
    network = builder.create_network(0 if flag is None else 1 << int(flag))
    parser = trt.OnnxParser(network, log)
    path = Path(request.model)
    if not parser.parse(fixed(path.read_bytes(), request.fixed, request.halves), str(path.absolute())):
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        told = "; ".join(f"{one.node_operator()} ({one.node_name()}): {one.desc()}" for one in errors)
        raise Refused(f"it does not parse {path.name}: {told[:600]}")
    return network, (builder, parser)


def check_network(network: Any, layers: list[Any], request: Request) -> None:
    """The network reads every input, takes and gives what the manifest says, and holds no plugin.

    A parser drops what it does not know of an operator's inputs with no more than a warning; a plugin's code would be
    in the plan.
    """
    if plugins := sorted({layer.type.name for layer in layers} & set(_PLUGINS)):
        raise Refused(f"the network holds layers of kind {plugins}; a plan must not carry code")
    read = {one.name for layer in layers for i in range(layer.num_inputs) if (one := layer.get_input(i)) is not None}
    if dropped := {network.get_input(i).name for i in range(network.num_inputs)} - read:
        raise Refused(f"it would drop the inputs {sorted(dropped)}; report this, with the engine's manifest")
    for kind, count, get, wanted in (
        ("inputs", network.num_inputs, network.get_input, request.inputs),
        ("outputs", network.num_outputs, network.get_output, request.outputs),
    ):
        found = {(one.name, DTYPES.get(one.dtype.name, one.dtype.name)) for one in (get(i) for i in range(count))}
        if found != {(one.name, one.dtype) for one in wanted}:
            raise Refused(f"its {kind} {sorted(found)} are not those of the manifest; export the engine again")


def _make_decomposable(trt: Any, layers: list[Any]) -> None:
    """Every attention may fall back to several kernels where no fused one fits."""
    kind = getattr(trt.LayerType, "ATTENTION_INPUT", None)
    for layer in layers:
        if kind is not None and layer.type == kind:
            layer.__class__ = trt.IAttentionInputLayer
            layer.attention.decomposable = True


def _config(trt: Any, builder: Any, network: Any, request: Request) -> Any:
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)  # it would round float32's 23 bits to 10 before each product
    if request.memory_bytes:
        for pool in ("WORKSPACE", "TACTIC_DRAM"):
            config.set_memory_pool_limit(getattr(trt.MemoryPoolType, pool), request.memory_bytes)
    if hasattr(trt, "ComputeCapability"):
        config.num_compute_capabilities = 1
        if not config.set_compute_capability(trt.ComputeCapability.__members__[f"SM{request.sm}"], 0):
            raise Refused(f"it takes no target sm={request.sm}")
    by_name = {one.name: one for one in request.inputs}
    for bounds in request.profiles:
        profile = builder.create_optimization_profile()
        for index in range(network.num_inputs):
            tensor = network.get_input(index)
            if -1 in tuple(tensor.shape):
                profile.set_shape(tensor.name, *shapes(by_name[tensor.name], bounds, request.fixed))
        if config.add_optimization_profile(profile) < 0:
            raise Refused(f"it takes no profile {bounds}")
    return config


def _write(builder: Any, network: Any, config: Any, request: Request, log: Any) -> None:
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise Refused(f"it builds no plan: {' | '.join(log.said[-3:])[-600:]}")
    with open(request.plan, "wb") as stream:
        stream.write(plan)


def _peak_bytes() -> int:
    """The most memory that this process had; `ru_maxrss` would count what started it, too. 0 where it is not told."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def main() -> None:
    """As the module says; whatever stops the build is told in the Outcome."""
    end_with_parent()
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    if request.parent not in (0, os.getppid()):  # it ended before this process was to end with it
        return
    try:
        outcome = build(request)
    except GeoPixelError as error:
        outcome = Outcome(error=str(error))
    sys.stdout.buffer.write(msgspec.json.encode(outcome))


if __name__ == "__main__":
    main()
