"""ONNX Runtime: loads a block, checks that it is the one the manifest describes, runs it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import NoReturn

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from ..arrays import Array
from ..engine.manifest import BlockSpec, TensorSpec
from ..errors import EngineMismatchError, EnginePathError, InferenceError, OptionError, RuntimeUnavailableError
from ..processes import Owner, keep_in_children, refuse_pickle
from ..resources import shortage
from . import State

# ONNX Runtime's errors have no common base.
_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    ValueError,
    MemoryError,
    *(error for error in vars(ort_errors).values() if isinstance(error, type) and issubclass(error, Exception)),
)
_DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(int64)": "int64", "tensor(bool)": "bool"}
_DEVICE = re.compile("auto|cpu|cuda(?::([0-9]{1,3}))?")
_ONLY_FATAL = 4  # errors arrive as exceptions; ONNX Runtime would also print them
_LOCATION = b"\n\x08location\x12"  # an ONNX file's entry with the key "location"; length and value follow


def providers(device: str) -> list[tuple[str, dict[str, str]]]:
    """Execution providers for `device`: "auto", "cpu", "cuda" or "cuda:N"."""
    available = ort.get_available_providers()
    named = _DEVICE.fullmatch(device)
    if named is None:
        raise OptionError(f"device={device!r} is unknown; give 'auto', 'cpu', 'cuda' or 'cuda:N'")
    has_cuda = "CUDAExecutionProvider" in available
    if device.startswith("cuda") and not has_cuda:
        raise RuntimeUnavailableError(f"device={device!r}: this onnxruntime has {available}; install onnxruntime-gpu")
    cpu: tuple[str, dict[str, str]] = ("CPUExecutionProvider", {})
    if device == "cpu" or not has_cuda:
        return [cpu]
    return [("CUDAExecutionProvider", {"device_id": named[1] or "0"}), cpu]


def _reason(error: Exception) -> str:
    """The end of ONNX Runtime's message, which says most; before it stand names of its source files."""
    return " ".join(str(error).split())[-300:]


def check_locations(path: Path, spec: BlockSpec, block: str) -> None:
    """EnginePathError unless the ONNX file reads its weights from the block's own, verified files only.

    ONNX Runtime refuses what lies outside the directory, but reads what the manifest does not list.
    """
    here = PurePosixPath(spec.files[0].path).parent
    own = [PurePosixPath(file.path) for file in spec.files[1:]]
    names = [str(file.relative_to(here)).encode() for file in own if file.is_relative_to(here)]
    data = path.read_bytes()
    listed = sum(data.count(_LOCATION + bytes([len(name)]) + name) for name in names if len(name) < 128)
    # However an entry is encoded, the key itself must stand in the file.
    if data.count(b"location") != listed:
        raise EnginePathError(
            f"block {block!r}: {path} reads weights from a file that is not the block's; do not use it"
        )


class OnnxState:
    """Named buffers on the session's device, bound as input and output at once."""

    def __init__(
        self, specs: Mapping[str, TensorSpec], pairs: Mapping[str, str], dims: Mapping[str, int], place: tuple[str, int]
    ) -> None:
        self.specs, self.pairs, self.place = specs, dict(pairs), place
        self.buffers: dict[str, ort.OrtValue] = {}
        # On the CPU an OrtValue borrows NumPy's memory; keeping the array keeps it alive.
        self._arrays: dict[str, Array] = {}
        for name in pairs:
            shape = tuple(dims[side] if isinstance(side, str) else side for side in specs[name].shape)
            try:
                self._put(name, np.zeros(shape, specs[name].dtype))
            except _ERRORS as error:
                doing = f"{name} of shape {shape} finds no memory"
                raise shortage(error, doing) or InferenceError(f"{doing}; ask for less ({error})") from None

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
        self._owner = Owner(f"block {block!r}")
        chosen = providers(device)
        check_locations(path, spec, block)
        options = ort.SessionOptions()
        options.log_severity_level = _ONLY_FATAL
        options.add_session_config_entry("session.load_model_format", "ONNX")
        # int8 weights are widened once, at load, not in every run.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        if threads is not None:
            options.intra_op_num_threads = threads
        self.session = self._open(path, options, chosen, device)
        keep_in_children(self.session)
        if chosen[0][0] not in self.session.get_providers():
            raise RuntimeUnavailableError(
                f"device={device!r}: it fell back to the CPU; check CUDA's libraries, or give 'cpu'"
            )
        on_gpu = chosen[0][0].startswith("CUDA")
        self.place = ("cuda", int(chosen[0][1]["device_id"])) if on_gpu else ("cpu", 0)
        self._inputs = {tensor.name: tensor for tensor in spec.inputs}
        self._check(spec.inputs, self.session.get_inputs(), "inputs")
        self._check(spec.outputs, self.session.get_outputs(), "outputs")

    def _open(
        self, path: Path, options: ort.SessionOptions, chosen: list[tuple[str, dict[str, str]]], device: str
    ) -> ort.InferenceSession:
        try:
            # Its own fallback would print, and run on the CPU what was meant for a GPU.
            return ort.InferenceSession(str(path), options, providers=chosen, enable_fallback=0)
        except _ERRORS as error:
            if len(chosen) > 1:
                self._open(path, options, chosen[1:], device)  # raises when the block is at fault, not the device
                raise RuntimeUnavailableError(f"device={device!r} cannot be used: {_reason(error)}") from None
            if told := shortage(error, f"block {self.block!r} does not load"):
                raise told from None
            reason = f"{_reason(error)} (ONNX Runtime {ort.__version__})"
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

    def new_state(self, pairs: Mapping[str, str], dims: Mapping[str, int]) -> OnnxState:
        """Zeroed buffers for the inputs in `pairs`, each written through the output it maps to."""
        return OnnxState(self._inputs, pairs, dims, self.place)

    def run(self, feeds: Mapping[str, Array], state: State | None = None) -> dict[str, Array]:
        """Run once and return the outputs that are not state, on the host; `state` must be of `new_state`."""
        self._owner.check()
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
            doing = f"block {self.block!r} failed in ONNX Runtime {ort.__version__}"
            raise shortage(error, doing) or InferenceError(f"{doing}: {_reason(error)}") from None
        found = dict(zip(wanted, (value.numpy() for value in outputs[: len(wanted)]), strict=True))
        self._check_shapes(feeds, found)
        return found

    def __reduce__(self) -> NoReturn:
        refuse_pickle(f"block {self.block!r}", "pickle the Pipeline, which opens its engine again")

    def _check_shapes(self, feeds: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
        """ONNX Runtime does not hold a graph to the output shapes it declares."""
        known = {
            symbol: size
            for name, value in feeds.items()
            for symbol, size in zip(self._inputs[name].shape, value.shape, strict=True)
        }
        for tensor in self.spec.outputs:
            if tensor.name in outputs:
                wanted, found = tuple(known.get(side, side) for side in tensor.shape), outputs[tensor.name].shape
                if found != wanted:
                    raise InferenceError(f"block {self.block!r} gave {tensor.name!r} of shape {found}, not {wanted}")


def _known(shape: tuple[int | str | None, ...]) -> tuple[int, ...]:
    return tuple(side if isinstance(side, int) else -1 for side in shape)
