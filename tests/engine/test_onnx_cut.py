"""A graph that is cut as it is opened: what is left gives the whole's numbers, and what is left out is not loaded."""

from __future__ import annotations

import weakref
from pathlib import Path

import numpy as np
import onnx
import pytest

from geopixel_edge.blocks.embeddings import TokenEmbeddings
from geopixel_edge.blocks.kv_cache import KVCache
from geopixel_edge.blocks.language_model import LanguageModel, Rows
from geopixel_edge.engine import BUNDLED
from geopixel_edge.engine.directory import read_manifest
from geopixel_edge.errors import EngineMismatchError
from geopixel_edge.memory.parts import PARTS
from geopixel_edge.runtimes.cut import WHOLE, Cut
from geopixel_edge.runtimes.host import HostDevice
from geopixel_edge.runtimes.onnx_cut import CutRunner, cut_model, left_out_bytes

MANIFEST = read_manifest(BUNDLED)
SPEC = MANIFEST.blocks["language_model"]
PATH = BUNDLED / SPEC.files[0].path
HALF = Cut(half_cache=True)
ROWS, IMAGE = 40, slice(1, 30)


def language_model(cut: Cut) -> LanguageModel:
    runner = CutRunner(PATH, SPEC, "language_model", HostDevice(), 1, cut)
    return LanguageModel(
        runner, TokenEmbeddings(BUNDLED / MANIFEST.embeddings.file.path, MANIFEST.sizes), MANIFEST.sizes
    )


def prompt(model: LanguageModel, with_image: bool) -> Rows:
    """Rows 1 to 29 of an image, the others of text."""
    rows = Rows.of(model.device, model.embed, [list(range(100, 100 + ROWS))])
    rows.is_image[IMAGE] = with_image
    return rows


def read(model: LanguageModel, with_image: bool, wanted: list[int] | None = None) -> tuple[np.ndarray, KVCache]:
    cache = KVCache.new(model.device, model.runner.spec, 64)
    outputs = model.read(prompt(model, with_image), cache, 16, wanted)
    return np.array(outputs.logits), cache


def cached(cache: KVCache) -> np.ndarray:
    return np.stack([tensor.numpy()[0, :, :ROWS] for tensor in cache.buffers.values()])


@pytest.fixture(scope="module")
def whole() -> LanguageModel:
    return language_model(WHOLE)


def test_what_reads_images_fills_the_cache_alike(whole: LanguageModel) -> None:
    reading = language_model(PARTS["reading"])
    assert "logits" not in {one.name for one in reading.runner.spec.outputs}
    logits, cache = read(reading, True, [])
    assert logits.size == 0
    assert np.array_equal(cached(cache), cached(read(whole, True)[1]))


def test_what_writes_gives_the_same_logits_for_text(whole: LanguageModel) -> None:
    writing = language_model(PARTS["writing"])
    (logits, cache), (wanted, _) = read(writing, False), read(whole, False)
    assert np.array_equal(logits, wanted)
    assert np.array_equal(writing.step([7], cache).logits, whole.step([7], read(whole, False)[1]).logits)
    # It has no partial LoRA: rows of an image would come out as text does, and otherwise than the whole's.
    assert np.array_equal(read(writing, True)[0], wanted)
    assert not np.allclose(read(whole, True)[0], wanted, atol=1e-3)


def test_a_cache_of_float16_rounds_and_no_more(whole: LanguageModel) -> None:
    half = language_model(HALF)
    logits, cache = read(half, True)
    wanted, wide = read(whole, True)
    assert cache.dtype == "float16"
    assert cached(cache).dtype == np.float16
    largest = np.abs(cached(wide)).max()
    assert 0 < np.abs(cached(cache) - cached(wide)).max() <= 5e-3 * largest
    assert 0 < np.abs(logits - wanted).max() <= 1e-2 * np.abs(wanted).max()
    assert logits.argmax() == wanted.argmax()


def test_weights_that_are_left_out_are_those_that_are_named_so() -> None:
    """Counted by ONNX's own reader."""

    def stored(model: onnx.ModelProto, words: str) -> int:
        return sum(
            int(entry.value)
            for tensor in model.graph.initializer
            if words in tensor.name
            for entry in tensor.external_data
            if entry.key == "length"
        )

    data = PATH.read_bytes()
    model = onnx.load(PATH, load_external_data=False)
    for part, words in (("reading", "output.weight"), ("writing", "Plora_")):
        assert stored(model, words) > 0
        assert 0 <= left_out_bytes(data, PARTS[part]) - stored(model, words) <= 64  # and constants of the graph
        left = onnx.load_from_string(cut_model(data, PARTS[part]))
        assert stored(left, words) == 0
        assert stored(left, "") == stored(model, "") - stored(model, words)
    assert left_out_bytes(data, HALF) == left_out_bytes(data, WHOLE) == 0


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    for index, data in enumerate((b"", b"\xff" * 64, PATH.read_bytes()[:1000])):
        path = tmp_path / f"{index}.onnx"
        path.write_bytes(data)
        with pytest.raises(EngineMismatchError, match="language_model"):
            CutRunner(path, SPEC, "language_model", HostDevice(), 1, PARTS["writing"])


def test_weights_go_with_the_runner_though_a_binding_is_held() -> None:
    """A binding of ONNX Runtime keeps its session, and so two language models would be in memory at once."""
    model = language_model(PARTS["writing"])
    _, cache = read(model, False)
    model.step([7], cache)  # bound for as long as the cache lives
    runner = model.runner
    assert isinstance(runner, CutRunner)
    session = weakref.ref(runner.session._sess)
    runner.close()
    assert session() is None
