"""One torch module to one ONNX file, traced without numbers; its weights then stream from their source to the disk.

Quiet, and without traces of the machine that wrote it.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from geopixel_edge.errors import ExportError, GeoPixelError

from .lazy_weights import attach, fold_transposes

OPSET = 20  # keeps Gelu and LayerNormalization whole, and is the newest that TensorRT 10.3 parses
# Inside the graphs; int8 is what weights are stored at, see int8.py.
DTYPES = {"float32": torch.float32, "float16": torch.float16}
# The value of a module's parameter or buffer by its name, read when it is asked for.
Weights = Callable[[str], Tensor]
_LOGGERS = ("torch.onnx", "torch.export", "torch._dynamo", "onnxscript", "onnx_ir")
_NUMBERS_AT_ONCE = 1 << 24


def at_dtype(value: Tensor, dtype: str, name: str) -> np.ndarray:
    """The weight `name` as NumPy array; ExportError when a number in it exceeds float16's range."""
    cast = value.to(DTYPES[dtype])
    if not is_finite(cast):
        raise ExportError(f"{name} exceeds {dtype}'s range; export with --precision fp32")
    return cast.numpy()


def is_finite(value: Tensor) -> bool:
    """Whether every number is; looked at in parts, since the test makes several copies of what it looks at."""
    rows = value if value.ndim else value[None]
    count = max(1, _NUMBERS_AT_ONCE * len(rows) // max(1, value.numel()))
    return all(bool(torch.isfinite(part).all()) for part in rows.split(count))


def own_weights(module: nn.Module) -> Weights:
    """The numbers that a module itself holds."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}.__getitem__


def constants(module: nn.Module, weights: Weights) -> dict[str, Tensor]:
    """What a module computes of its weights once and for all, by the name of the buffer that holds it."""
    computed = getattr(module, "constants", None)
    return {} if computed is None else {name: value.detach() for name, value in computed(weights).items()}


class BorderCast(nn.Module):
    """The structure of `module` for export: in evaluation mode, at `dtype` inside, float32 at its inputs and outputs.

    It holds no numbers, only fake tensors of `mode`; `module` stays as it is. `fixed` are its constants.
    """

    def __init__(self, module: nn.Module, dtype: str, fixed: Mapping[str, Tensor], mode: FakeTensorMode) -> None:
        super().__init__()
        self.inner = DTYPES[dtype]
        with mode:
            fakes: dict[int, Any] = {id(one): nn.Parameter(self._fake(one)) for one in module.parameters()}
            fakes |= {id(one): self._fake(one) for one in module.buffers()}
            self.module = copy.deepcopy(module, fakes).eval().requires_grad_(False)
            for name, value in fixed.items():
                owner, _, leaf = name.rpartition(".")
                setattr(self.module.get_submodule(owner), leaf, self._fake(value))

    def _fake(self, value: Tensor) -> Tensor:
        return torch.empty(value.shape, dtype=self.inner if value.is_floating_point() else value.dtype)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Float32 in, float32 out; a single output becomes a 1-tuple."""
        outputs = self.module(*(tensor.to(self.inner) for tensor in inputs))
        return tuple(tensor.float() for tensor in ((outputs,) if isinstance(outputs, Tensor) else outputs))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Exporter chatter off for the block, on again afterwards; its errors still raise."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.setLevel(logging.CRITICAL)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _anonymise(model: Any) -> None:
    """Drop stack traces and module paths: they name files of this machine and change from run to run."""
    model.metadata_props.clear()
    model.doc_string = None
    for graph in (model.graph, *(function.graph for function in model.functions.values())):
        graph.doc_string = None
        graph.metadata_props.clear()
        for node in graph:
            node.metadata_props.clear()
            node.doc_string = None
        for value in (*graph.inputs, *graph.outputs, *graph.initializers.values()):
            value.metadata_props.clear()
            value.doc_string = None


def _traced(module: nn.Module, inputs: Mapping[str, Sequence[int | str]], outputs: Sequence[str], mode: Any) -> Any:
    """The exporter's program of a fake module, as it was traced; a symbolic side is traced with two examples, since
    one would be baked in."""
    symbols = {
        side: torch.export.Dim(side, min=1) for shape in inputs.values() for side in shape if isinstance(side, str)
    }
    axes = tuple(
        {i: symbols[side] for i, side in enumerate(shape) if isinstance(side, str)} for shape in inputs.values()
    )
    with mode:
        args = tuple(torch.zeros([2 if isinstance(side, str) else side for side in shape]) for shape in inputs.values())
    return torch.onnx.export(
        module,
        args,
        dynamo=True,
        opset_version=OPSET,
        input_names=list(inputs),
        output_names=list(outputs),
        # `forward` takes *inputs, which the exporter sees as one argument that holds a tuple.
        dynamic_shapes=(axes,) if symbols else None,
        optimize=False,  # which looks into weights: not before they are attached
        verbose=False,
    )


def save_module(
    module: nn.Module,
    path: Path,
    dtype: str,
    inputs: Mapping[str, Sequence[int | str]],
    outputs: Sequence[str],
    weights: Weights | None = None,
) -> None:
    """Export `module` to `path`, its weights at `dtype` to `<path's name>.data` in the same directory.

    `inputs` gives names and shapes, with a name where a side is symbolic; all are float32, and so are the outputs.
    `weights` gives the numbers one tensor at a time, where the module has none of its own. ExportError names the file
    and the exporter's own reason, or a weight that `dtype` does not hold.
    """
    read = weights or own_weights(module)
    fixed = constants(module, read)
    mode = FakeTensorMode()

    def value(name: str) -> np.ndarray:
        local = name.removeprefix("module.")
        found = fixed[local] if local in fixed else read(local).detach()
        return at_dtype(found, dtype, local) if found.is_floating_point() else found.numpy()

    try:
        with _quiet(), torch.no_grad():
            program = _traced(BorderCast(module, dtype, fixed, mode), inputs, outputs, mode)
            if program is None:
                raise ExportError(f"{path.name} was not exported; see torch.onnx.export's own log")
            attach(program.model.graph, value)
            fold_transposes(program.model.graph)  # before the optimiser, which would keep what it transposes in memory
            program.optimize()
            _anonymise(program.model)
            program.save(str(path), external_data=True)
    except (RuntimeError, ValueError, TypeError, OSError, GeoPixelError) as error:
        _raise_own(error)
        raise ExportError(f"{path.name} was not written: {error}") from error


def _raise_own(error: BaseException | None) -> None:
    """Raise what our own reading of a weight said, which libraries on the way may have wrapped."""
    while error is not None:
        if isinstance(error, GeoPixelError):
            raise error
        error = error.__cause__
