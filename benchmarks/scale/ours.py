"""Our language model through the verbs of the main path: decode steps at a cached length, and prefill."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.scale.shapes import Shapes
from geopixel_edge.blocks.language_model import Rows
from geopixel_edge.build.onnx_reader import EngineWeights
from geopixel_edge.memory.capacity import cache_capacity
from geopixel_edge.model import Model

TEXT_TOKEN = 17  # any row of the table: what is read does not change what it costs


def decode(model: Model, cached: int, batch: int, steps: int) -> Callable[[], None]:
    """An action that runs one step of every sequence behind `cached` positions, at most `steps` times."""
    cache = model.new_cache(cache_capacity(model.manifest, cached + steps + 1), batch)
    cache.lengths[:] = [cached] * batch

    def step() -> None:
        model.step([TEXT_TOKEN] * batch, cache)

    return step


def prefill(model: Model, rows: int) -> Callable[[], None]:
    """An action that reads a prompt of `rows` text rows into an empty cache."""
    cache = model.new_cache(cache_capacity(model.manifest, rows))
    embedded = Rows.of(model.device, model.embeddings, [[TEXT_TOKEN] * rows])

    def read() -> None:
        cache.rewind(0)
        model.read(embedded, cache)

    return read


def step_bytes(model: Model, shapes: Shapes) -> int:
    """Bytes of weights that a step has to read: all but the rotary tables and what acts on image rows alone.

    A plan does not say what lies in it: there they follow from the sizes and the precision.
    """
    block = model.manifest.blocks["language_model"]
    if block.plan is not None:
        head = block.precision.parts.get("head")
        head_bytes = block.precision.bytes_per_number if head in (None, "int4") else np.dtype(head).itemsize
        numbers = shapes.layers * shapes.layer_weights * block.precision.bytes_per_number
        return round(numbers + shapes.head_weights * head_bytes)
    stored = EngineWeights(model.engine.path(block.files[0])).stored_bytes
    return sum(size for name, size in stored.items() if "Plora_" not in name and name not in ("cos", "sin"))
