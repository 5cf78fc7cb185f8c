"""A block as the second golden record runs it: on the CPU, in float32 also where it computes otherwise.

How float16 rounds differs between releases and processors by more than one wrong weight does, so that a comparison in
float16 could not tell them apart. A choice that rounding could turn is left out: what it chooses from are outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime as ort

from ..arrays import Array
from ..engine.directory import Engine
from ..engine.manifest import BlockSpec, TensorSpec
from ..engine.precision import EXACT
from ..errors import EngineMismatchError, InferenceError, RuntimeUnavailableError
from ..resources import shortage
from .host import HostDevice
from .onnx import OnnxRunner, Providers
from .onnx_edit import expose, widen
from .onnx_errors import ERRORS, reason_of


class ProbedBlock(OnnxRunner):
    """As OnnxRunner; borders and KV cache are float32, and `choices` names the outputs that the file hides."""

    choices: list[str]

    def _open(self, path: Path, options: ort.SessionOptions, chosen: Providers) -> ort.InferenceSession:
        doing = f"block {self.block!r} does not load for its record"
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path.parent))
        try:
            model, self.choices = expose(path.read_bytes())
            return ort.InferenceSession(widen(model), options, providers=chosen, enable_fallback=0)
        except ERRORS as error:
            raise shortage(error, doing) or EngineMismatchError(f"{doing}: {reason_of(error)}") from None

    def _check(self, expected: tuple[TensorSpec, ...], found: list[ort.NodeArg], kind: str) -> None:
        super()._check(expected, [one for one in found if one.name not in self.choices], kind)

    def all_choices(self, feeds: Mapping[str, Array]) -> list[Array]:
        """What the block chooses its outputs from, in the order of `choices`; its outputs where it has no choice."""
        self._owner.check()
        wanted = self.choices or [tensor.name for tensor in self.spec.outputs]
        bound = {name: np.ascontiguousarray(value, self.inputs[name].dtype) for name, value in feeds.items()}
        try:
            found: list[Array] = self.session.run(wanted, bound)
        except ERRORS as error:
            doing = f"block {self.block!r} failed in ONNX Runtime {ort.__version__}"
            raise shortage(error, doing) or InferenceError(f"{doing}: {reason_of(error)}") from None
        return found


def load_probed(engine: Engine, block: str, threads: int | None) -> ProbedBlock:
    """One block for its record; RuntimeUnavailableError when it is for another runtime."""
    spec = engine.manifest.blocks[block]
    if spec.runtime != "onnx":
        raise RuntimeUnavailableError(
            f"block {block!r} is for runtime {spec.runtime!r}; this version records 'onnx' only"
        )

    return ProbedBlock(engine.path(spec.files[0]), widened(spec), block, HostDevice(), threads, EXACT)


def widened(spec: BlockSpec) -> BlockSpec:
    """The block with float32 at its borders and in its KV cache."""

    def wide(tensors: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
        return tuple(
            msgspec.structs.replace(one, dtype="float32") if one.dtype == "float16" else one for one in tensors
        )

    return msgspec.structs.replace(spec, inputs=wide(spec.inputs), outputs=wide(spec.outputs))
