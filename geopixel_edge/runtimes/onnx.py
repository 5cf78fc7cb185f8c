"""ONNX Runtime: loads a block, checks that it is the one the manifest describes, runs it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from ..engine import BlockSpec, TensorSpec
from ..errors import EngineMismatchError, InferenceError, OptionError, RuntimeUnavailableError
from . import Array, State

# ONNX Runtime's errors have no common base.
_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    ValueError,
    *(error for error in vars(ort_errors).values() if isinstance(error, type) and issubclass(error, Exception)),
)
_DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(int64)": "int64", "tensor(bool)": "bool"}
_ONLY_ERRORS = 3


def providers(device: str) -> list[tuple[str, dict[str, str]]]:
    """Execution providers for `device`: "auto", "cpu", "cuda" or "cuda:N"."""
    available = ort.get_available_providers()
    kind, _, index = device.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (index and (kind != "cuda" or not index.isdecimal())):
        raise OptionError(f"device={device!r} is unknown; give 'auto', 'cpu', 'cuda' or 'cuda:N'")
    if kind == "cuda" and "CUDAExecutionProvider" not in available:
        raise RuntimeUnavailableError(f"device={device!r}: this onnxruntime has {available}; install onnxruntime-gpu")
    cpu: tuple[str, dict[str, str]] = ("CPUExecutionProvider", {})
    if kind == "cpu" or "CUDAExecutionProvider" not in available:
        return [cpu]
    return [("CUDAExecutionProvider", {"device_id": index or "0"}), cpu]


class OnnxState:
    """Named buffers on the session's device, bound as input and output at once."""

    def __init__(self, specs: Mapping[str, TensorSpec], pairs: Mapping[str, str], dims: Mapping[str, int],
                 place: tuple[str, int]) -> None:  # fmt: skip
        self.specs, self.pairs, self.place = specs, dict(pairs), place
        self.buffers: dict[str, ort.OrtValue] = {}
        # On the CPU an OrtValue borrows NumPy's memory; keeping the array keeps it alive.
        self._arrays: dict[str, Array] = {}
        for name in pairs:
            shape = tuple(dims[side] if isinstance(side, str) else side for side in specs[name].shape)
            self._put(name, np.zeros(shape, specs[name].dtype))

    def _put(self, name: str, array: Array) -> None:
        self.buffers[name] = ort.OrtValue.ortvalue_from_numpy(array, *self.place)
        if self.place[0] == "cpu":
            self._arrays[name] = array

    def numpy(self, name: str) -> Array:
        """A buffer's content; on the CPU the very memory the block writes."""
        value: Array = self._arrays[name] if name in self._arrays else self.buffers[name].numpy()
        return value

    def grown(self, dims: Mapping[str, int], keep: int) -> OnnxState:
        """Zeroed buffers with other `dims`; the first `keep` slots along the symbolic axis are copied."""
        larger = OnnxState(self.specs, self.pairs, dims, self.place)
        for name in self.pairs:
            axis = next(i for i, side in enumerate(self.specs[name].shape) if isinstance(side, str))
            head = (slice(None),) * axis + (slice(0, keep),)
            array = larger.numpy(name)
            array[head] = self.numpy(name)[head]
            larger._put(name, array)
        return larger


class OnnxBlock:
    """One block in an ONNX Runtime session.

    `path` must have been verified. Raises EngineMismatchError when the graph's inputs and outputs differ from the
    manifest's, RuntimeUnavailableError when the device is absent.
    """

    def __init__(self, path: Path, spec: BlockSpec, block: str, device: str, threads: int | None) -> None:
        self.spec, self.block = spec, block
        chosen = providers(device)
        options = ort.SessionOptions()
        options.log_severity_level = _ONLY_ERRORS
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self.session = ort.InferenceSession(str(path), options, providers=chosen)
        except _ERRORS as error:
            raise EngineMismatchError(
                f"block {block!r} does not load in ONNX Runtime {ort.__version__}: {error}"
            ) from None
        if chosen[0][0] not in self.session.get_providers():
            raise RuntimeUnavailableError(f"device={device!r}: it fell back to the CPU; check CUDA's libraries")
        on_gpu = chosen[0][0].startswith("CUDA")
        self.place = ("cuda", int(chosen[0][1]["device_id"])) if on_gpu else ("cpu", 0)
        self._inputs = {tensor.name: tensor for tensor in spec.inputs}
        self._check(spec.inputs, self.session.get_inputs(), "inputs")
        self._check(spec.outputs, self.session.get_outputs(), "outputs")

    def _check(self, expected: tuple[TensorSpec, ...], found: list[ort.NodeArg], kind: str) -> None:
        # A dimension the runtime infers only at run time has no number here; it constrains nothing.
        described = {(t.name, t.dtype, _known(t.shape)) for t in expected}
        actual = {(t.name, _DTYPES.get(t.type, t.type), _known(tuple(t.shape))) for t in found}
        if described != actual:
            raise EngineMismatchError(
                f"block {self.block!r}: the file's {kind} {sorted(actual - described)} are not those of the manifest "
                f"{sorted(described - actual)}; the engine was put together from different exports"
            )

    def new_state(self, pairs: Mapping[str, str], dims: Mapping[str, int]) -> OnnxState:
        """Zeroed buffers for the inputs in `pairs`, each written through the output it maps to."""
        return OnnxState(self._inputs, pairs, dims, self.place)

    def run(self, feeds: Mapping[str, Array], state: State | None = None) -> dict[str, Array]:
        """Run once and return the outputs that are not state, on the host; `state` must be of `new_state`."""
        if state is not None and not isinstance(state, OnnxState):
            raise InferenceError(f"block {self.block!r}: a {type(state).__name__} is not a state of this runtime")
        binding = self.session.io_binding()
        written = set(state.pairs.values()) if state else set()
        wanted = [tensor.name for tensor in self.spec.outputs if tensor.name not in written]
        try:
            for name, value in feeds.items():
                binding.bind_cpu_input(name, np.ascontiguousarray(value, dtype=self._inputs[name].dtype))
            for name in wanted:
                binding.bind_output(name, "cpu")
            if state is not None:
                for source, target in state.pairs.items():
                    binding.bind_ortvalue_input(source, state.buffers[source])
                    binding.bind_ortvalue_output(target, state.buffers[source])
            self.session.run_with_iobinding(binding)
            outputs = binding.get_outputs()
        except _ERRORS as error:
            raise InferenceError(f"block {self.block!r} failed in ONNX Runtime {ort.__version__}: {error}") from None
        return dict(zip(wanted, (value.numpy() for value in outputs[: len(wanted)]), strict=True))


def _known(shape: tuple[int | str | None, ...]) -> tuple[int, ...]:
    return tuple(side if isinstance(side, int) and not math.isnan(side) else -1 for side in shape)
