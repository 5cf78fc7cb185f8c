"""Our language model through the verbs of the main path: decode steps at a cached length, and prefill."""

from __future__ import annotations

from collections.abc import Callable

from geopixel_edge.blocks.language_model import Rows
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


def step_bytes(model: Model) -> int:
    """Bytes of weights that a step has to read: all but the rotary tables and what acts on image rows alone."""
    import onnx

    path = model.engine.path(model.manifest.blocks["language_model"].files[0])
    graph = onnx.load(str(path), load_external_data=False).graph
    skipped = ("cos", "sin")
    return sum(
        int(entry.value)
        for tensor in graph.initializer
        if "Plora_" not in tensor.name and tensor.name not in skipped
        for entry in tensor.external_data
        if entry.key == "length"
    )
