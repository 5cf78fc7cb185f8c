"""TensorRT: loads a block's plan once it is proved to be the manifest's, and runs it on the device's stream."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, Protocol

from ..engine.digests import checked_bytes
from ..engine.manifest import BlockSpec, EnginePlan
from ..errors import EngineMismatchError, GeoPixelError, InferenceError, ResourceError
from ..processes import Owner, keep_in_children, refuse_pickle
from ..resources import shortage
from ..timings import book
from . import ANEW, NONE, Device, Tensor
from .shapes import made, sides_of
from .tensorrt_import import import_tensorrt

log = logging.getLogger(__name__)
_REBUILD = "build the engine again on the machine that is to run it: `geopixel-edge build ENGINE OUT --runtime {}`"


class Gpu(Device, Protocol):
    """Memory of a GPU, with what a plan needs to know of it."""

    @property
    def compute_capability(self) -> int:
        """87 for 8.7."""
        ...

    def capture(self, action: Callable[[], object]) -> Callable[[], None] | None:
        """What `action` queues, to be queued again by one call; None where it cannot be captured."""
        ...


class TensorRtRunner:
    """One block's plan, with an execution context for each profile it is run at.

    `path` is read again and held to the manifest's digests before TensorRT sees it: a plan is executable code.
    EngineMismatchError for a plan of another version or GPU, EngineCorruptError for one that was changed.
    """

    def __init__(self, path: Path, spec: BlockSpec, block: str, device: Gpu) -> None:
        self.spec, self.block, self.gpu = spec, block, device
        self.device: Device = device
        self._owner = Owner(f"block {block!r}")
        self._trt = import_tensorrt(spec.runtime)
        self.plan = self._checked_plan(self._trt.__version__)
        self._log = _log(self._trt)
        self._engine = self._load(path)
        keep_in_children(self._engine)
        self._contexts: dict[int, Any] = {}
        self._lock = threading.Lock()  # of the contexts: from setting addresses until the run is queued

    def _checked_plan(self, version: str) -> EnginePlan:
        plan, remedy = self.spec.plan, _REBUILD.format(self.spec.runtime)
        if plan is None:
            raise EngineMismatchError(f"block {self.block!r} says nothing of its plan; {remedy}")
        if plan.version != version:
            told = f"was built by {self.spec.runtime} {plan.version}, and {version} is installed"
            raise EngineMismatchError(f"block {self.block!r} {told}: no other version loads it; {remedy}")
        if plan.sm != self.gpu.compute_capability:
            told = f"is for a GPU of compute capability {plan.sm}, and this one has {self.gpu.compute_capability}"
            raise EngineMismatchError(f"block {self.block!r} {told}; {remedy}")
        known = {side for one in self.spec.inputs for side in one.shape if isinstance(side, str)}
        if strange := sorted({side for profile in plan.profiles for side in profile} - known):
            told = f"has a profile of {strange[0]!r}, which is a side of none of its inputs"
            raise EngineMismatchError(f"block {self.block!r} {told}; {remedy}")
        return plan

    def _load(self, path: Path) -> Any:
        runtime = self._trt.Runtime(self._log)
        runtime.engine_host_code_allowed = False  # a plan with plugins or a runtime of its own is refused
        with checked_bytes(path, self.spec.files[0]) as data:
            engine = runtime.deserialize_cuda_engine(data)
        if engine is None:
            told = self._log.last()
            doing = f"block {self.block!r} does not load in {self.spec.runtime} {self._trt.__version__}"
            remedy = _REBUILD.format(self.spec.runtime)
            raise _short(told, doing) or EngineMismatchError(f"{doing}: {told}; {remedy}")
        found = {engine.get_tensor_name(index) for index in range(engine.num_io_tensors)}
        if found != {one.name for one in (*self.spec.inputs, *self.spec.outputs)}:
            raise EngineMismatchError(
                f"block {self.block!r}: the plan's tensors {sorted(found)} are not the manifest's"
            )
        return engine

    def run(
        self, feeds: Mapping[str, Tensor], into: Mapping[str, Tensor] = NONE, more_follow: bool = False
    ) -> dict[str, Tensor]:
        """Queue one run; several threads may."""
        outputs = {**made(self.spec, self.device, feeds, into), **into}
        profile = self.profile_of(feeds)
        with self._lock:
            context = self._contexts.get(profile) or self._contexts.setdefault(profile, self.context(profile))
            TensorRtStep(self, context, feeds, outputs).run()
        return outputs

    def give_back(self, feeds: Mapping[str, Tensor]) -> None:
        """Nothing: a context's memory is its own."""

    def bind(self, feeds: Mapping[str, Tensor], into: Mapping[str, Tensor] = NONE) -> TensorRtStep:
        """A context of its own with these addresses; its second run is captured, and replayed from then on."""
        outputs = {**made(self.spec, self.device, feeds, into), **into}
        context = self.context(self.profile_of(feeds))
        return TensorRtStep(self, context, feeds, outputs, repeats=True)

    def profile_of(self, feeds: Mapping[str, Tensor]) -> int:
        """The last profile that allows these sizes: the narrowest stands last. InferenceError where none does."""
        self._owner.check()
        sides = sides_of(self.spec, feeds)
        profiles = self.plan.profiles
        for index in reversed(range(len(profiles))):
            if all(least <= sides[name] <= most for name, (least, _, most) in profiles[index].items()):
                break
        else:
            if profiles:
                bounds = "; or ".join(
                    ", ".join(f"{name} {least}..{most}" for name, (least, _, most) in one.items()) for one in profiles
                )
                raise InferenceError(
                    f"block {self.block!r} takes no run of {sides}, but {bounds}; give a smaller request"
                )
            index = 0
        capacity = self.spec.dims.get("capacity")
        if sides.get("capacity", capacity) != capacity:
            told = f"block {self.block!r} was built for a cache of {capacity} positions, not {sides['capacity']}"
            raise InferenceError(f"{told}; build the engine again with --capacity {sides['capacity']}")
        return index

    def context(self, profile: int) -> Any:
        """A new execution context at a profile, with memory for that profile alone."""
        self._owner.check()
        strategy = self._trt.ExecutionContextAllocationStrategy.ON_PROFILE_CHANGE
        stream = self.device.stream  # first: asking for it makes the GPU this thread's
        context = self._engine.create_execution_context(strategy)
        if context is None or not context.set_optimization_profile_async(profile, stream):
            doing = f"block {self.block!r} finds no memory on the GPU for its workspace"
            raise ResourceError(f"{doing} ({self._log.last()}); give a smaller image or engine")
        return context

    def failed(self, doing: str) -> Exception:
        """The error of a call that TensorRT refused."""
        told = f"block {self.block!r} failed in {self.spec.runtime} {self._trt.__version__} ({doing})"
        said = self._log.last()
        return _short(said, told) or InferenceError(f"{told}: {said}; {ANEW}")

    def close(self) -> None:
        """Give the plan's memory back once what is queued is done, or lost with the GPU; the runner has ended."""
        try:
            self.device.wait()
        except GeoPixelError as error:
            log.warning("block %r was closed without waiting: %s", self.block, error)
        self._contexts.clear()
        self.__dict__.pop("_engine", None)

    def __reduce__(self) -> NoReturn:
        refuse_pickle(f"block {self.block!r}", "pickle the Pipeline, which opens its engine again")


class TensorRtStep:
    """A context with every shape and address set. The tensors live as long as the step.

    Where a plan may not write the cache in place, its outputs have memory of their own and are copied back.
    """

    def __init__(
        self,
        runner: TensorRtRunner,
        context: Any,
        feeds: Mapping[str, Tensor],
        outputs: Mapping[str, Tensor],
        repeats: bool = False,
    ) -> None:
        self.feeds, self.outputs = feeds, outputs
        self._runner, self._context, self._repeats = runner, context, repeats
        self._runs = 0
        self._graph: Callable[[], None] | None = None
        given = {id(tensor) for tensor in feeds.values()}
        shared = {name: one for name, one in outputs.items() if id(one) in given}
        self._output_bytes = sum(one.nbytes for name, one in outputs.items() if name not in shared)
        self._twins: dict[str, Tensor] = {}
        if not runner.plan.in_place:
            self._twins = {name: runner.device.empty(one.dtype, one.shape) for name, one in shared.items()}
        self._bind()

    def _bind(self) -> None:
        wanted = {one.name: one.dtype for one in (*self._runner.spec.inputs, *self._runner.spec.outputs)}
        for name, tensor in self.feeds.items():
            if not self._context.set_input_shape(name, tensor.shape):
                raise self._runner.failed(f"{name} of shape {tensor.shape}")
        for name, tensor in {**self.feeds, **self.outputs, **self._twins}.items():
            if not _shared(tensor.device, self._runner.device) or tensor.dtype != wanted[name]:
                told = f"{name} is {tensor.dtype} on another device or not {wanted[name]}"
                raise InferenceError(f"block {self._runner.block!r}: {told}; report this")
            if not self._context.set_tensor_address(name, tensor.address):
                raise self._runner.failed(f"the address of {name}")

    def run(self) -> None:
        """Queue the run with what stands in the feeds then."""
        self._runner._owner.check()
        start = time.perf_counter()
        if self._graph is None and self._repeats and self._runs == 1:  # the first run made what is made once
            self._graph = self._runner.gpu.capture(self._queue)
            self._repeats = self._graph is not None
        if self._graph is not None:
            self._graph()
        else:
            self._queue()
        self._runs += 1
        book(time.perf_counter() - start, self._output_bytes)

    def _queue(self) -> None:
        if not self._context.execute_async_v3(self._runner.device.stream):
            raise self._runner.failed("a run")
        for name, twin in self._twins.items():
            self._runner.device.copy(twin, self.outputs[name])


def _shared(one: Device, other: Device) -> bool:
    """Whether both are of one memory, whatever their queues are."""
    return one is other or (one.kind, one.memory, one.index) == (other.kind, other.memory, other.index)


def _log(trt: Any) -> Any:
    class Log(trt.ILogger):
        """Keeps the last errors, and prints none."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self._said: list[str] = []

        def log(self, severity: Any, text: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR:
                self._said = [*self._said[-2:], text]

        def last(self) -> str:
            """What was said last."""
            return " | ".join(self._said)[-420:] or "no reason was given"

    return Log()


def _short(told: str, doing: str) -> ResourceError | None:
    return shortage(RuntimeError(told), doing)
