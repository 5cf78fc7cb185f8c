"""One torch module to one ONNX file: quiet, without traces of the machine that wrote it, weights beside it."""

from __future__ import annotations

import contextlib
import copy
import itertools
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from geopixel_edge.errors import ExportError

OPSET = 20  # keeps Gelu and LayerNormalization whole, and is the newest that TensorRT 10.3 parses
# Inside the graphs; int8 is what weights are stored at, see int8.py.
DTYPES = {"float32": torch.float32, "float16": torch.float16}
_LOGGERS = ("torch.onnx", "torch.export", "torch._dynamo", "onnxscript", "onnx_ir")


def at_dtype(value: Tensor, dtype: str, name: str) -> np.ndarray:
    """The weight `name` as NumPy array; ExportError when a number in it exceeds float16's range."""
    cast = value.to(DTYPES[dtype])
    if not torch.isfinite(cast).all():
        raise ExportError(f"{name} exceeds {dtype}'s range; export with --precision fp32")
    return cast.numpy()


class BorderCast(nn.Module):
    """A copy of `module` for export: in evaluation mode, at `dtype` inside, float32 at its inputs and outputs.

    A module with a `fold` method is folded first. ExportError for a weight that `dtype` does not hold.
    """

    def __init__(self, module: nn.Module, dtype: str) -> None:
        super().__init__()
        self.inner = DTYPES[dtype]
        self.module = copy.deepcopy(module).eval().float().requires_grad_(False)
        fold = getattr(self.module, "fold", None)
        if fold is not None:
            fold()
        self.module.to(self.inner)
        for name, value in itertools.chain(self.module.named_parameters(), self.module.named_buffers()):
            if not torch.isfinite(value).all():
                raise ExportError(f"{name} exceeds {dtype}'s range; export with --precision fp32")

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


def save_module(
    module: nn.Module,
    args: tuple[Tensor, ...],
    path: Path,
    input_names: Sequence[str],
    output_names: Sequence[str],
    dynamic_shapes: Sequence[Mapping[int, Any]] | None = None,
    opset: int = OPSET,
) -> None:
    """Export `module(*args)` to `path`, its weights to `<path's name>.data` in the same directory.

    `dynamic_shapes` gives {axis: torch.export.Dim} for each input; every other axis keeps the size it has in `args`.
    An example size of 1 on such an axis would be baked in. ExportError names the file and the exporter's own reason.
    """
    shapes: tuple[Any, ...] | None = None
    if dynamic_shapes is not None:
        # BorderCast takes *inputs, which the exporter sees as one argument that holds a tuple.
        specs = tuple(dict(axes) for axes in dynamic_shapes)
        shapes = (specs,) if isinstance(module, BorderCast) else specs
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                module,
                args,
                dynamo=True,
                opset_version=opset,
                input_names=list(input_names),
                output_names=list(output_names),
                dynamic_shapes=shapes,
                verbose=False,
            )
            if program is None:
                raise ExportError(f"{path.name} was not exported; see torch.onnx.export's own log")
            _anonymise(program.model)
            program.save(str(path), external_data=True)
    except (RuntimeError, ValueError, TypeError, OSError) as error:
        raise ExportError(f"{path.name} was not written: {error}") from error
