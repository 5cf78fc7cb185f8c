"""A small writer of ONNX graphs whose weights stream to an external data file, one tensor in memory at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

# ONNX Runtime maps external data into memory; offsets at page borders keep that possible.
_PAGE_BYTES = 4096
_TYPES = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "int64": TensorProto.INT64,
    "int8": TensorProto.INT8,
    "bool": TensorProto.BOOL,
}


class GraphWriter:
    """Collects nodes; weights go to `<path>.data` at once. Use as a context manager, then `save`."""

    def __init__(self, path: Path, opset: int) -> None:
        self.path = path
        self.data_path = path.with_name(path.name + ".data")
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self._counter = 0

    def __enter__(self) -> GraphWriter:
        self._stream = self.data_path.open("wb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def op(self, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Append a node with one output and return the output's name."""
        return self.ops(kind, *inputs, names=(name or self._fresh(kind),), **attributes)[0]

    def ops(self, kind: str, *inputs: str, names: Sequence[str], **attributes: Any) -> list[str]:
        """Append a node with the outputs `names`."""
        self.nodes.append(helper.make_node(kind, list(inputs), list(names), name=f"n_{names[0]}", **attributes))
        return list(names)

    def _fresh(self, kind: str) -> str:
        self._counter += 1
        return f"{kind.lower()}_{self._counter}"

    def constant(self, name: str, value: npt.ArrayLike) -> str:
        """A small constant stored in the graph itself."""
        self.initializers.append(onnx.numpy_helper.from_array(np.asarray(value), name))
        return name

    def weight(self, name: str, value: npt.NDArray[np.generic]) -> str:
        """A weight written to the data file now; only its place is kept."""
        padding = -self._stream.tell() % _PAGE_BYTES
        self._stream.write(b"\0" * padding)
        tensor = TensorProto(name=name, data_type=_TYPES[value.dtype.name], data_location=TensorProto.EXTERNAL)
        tensor.dims.extend(value.shape)
        place = {"location": self.data_path.name, "offset": self._stream.tell(), "length": value.nbytes}
        for key, entry in place.items():
            tensor.external_data.add(key=key, value=str(entry))
        self._stream.write(np.ascontiguousarray(value).data)
        self.initializers.append(tensor)
        return name

    def input(self, name: str, dtype: str, shape: Sequence[int | str]) -> str:
        """Declare a graph input."""
        self.inputs.append(helper.make_tensor_value_info(name, _TYPES[dtype], list(shape)))
        return name

    def output(self, name: str, dtype: str, shape: Sequence[int | str]) -> str:
        """Declare a graph output."""
        self.outputs.append(helper.make_tensor_value_info(name, _TYPES[dtype], list(shape)))
        return name

    def save(self, graph_name: str) -> None:
        """Write the graph file; the data file is complete already."""
        graph = helper.make_graph(self.nodes, graph_name, self.inputs, self.outputs, self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        model.ir_version = helper.find_min_ir_version_for(list(model.opset_import))
        self._stream.flush()
        onnx.save(model, str(self.path))
        onnx.checker.check_model(str(self.path))
