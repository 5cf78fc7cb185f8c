"""Large Language Model: torch module and exported graph against the reference, cache behaviour of the graph."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from export.checkpoint import Checkpoint
from export.language_model_graph import unpacked_order
from export.reference import hidden_states
from export.torch_model.language_model import LanguageModel
from geopixel_edge.blocks.kv_cache import KVCache
from geopixel_edge.blocks.language_model import LanguageModel as Runtime
from geopixel_edge.blocks.language_model import Outputs, Rows
from geopixel_edge.engine.directory import read_manifest
from geopixel_edge.pipeline import Pipeline

from ..conftest import CHECKPOINT
from ..support.reference_prompts import prompt_of
from ..support.sam2_reference import golden

TOLERANCE = 2e-5


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return Checkpoint(CHECKPOINT)


@pytest.fixture(scope="module")
def module(checkpoint: Checkpoint) -> LanguageModel:
    loaded = checkpoint.load("language_model")
    assert isinstance(loaded, LanguageModel)
    return loaded


@pytest.mark.parametrize("name", ["s2_tall_hd9_seg_last", "s4_square_hd1_eos", "s8_text_only"])
@torch.no_grad()
def test_every_layer_equals_the_original(checkpoint: Checkpoint, module: LanguageModel, name: str) -> None:
    case = golden(name)
    embeds, image_rows = prompt_of(case, checkpoint)
    seen: dict[str, torch.Tensor] = {}
    hooks = [
        layer.register_forward_hook(lambda _m, _a, out, key=f"prefill_layer{index}": seen.update({key: out[None]}))
        for index, layer in enumerate(module.layers)
    ]
    seen["prefill_final_norm"] = module(embeds[None], image_rows)
    for hook in hooks:
        hook.remove()
    for key, value in seen.items():
        assert case.distance(key, value) <= TOLERANCE
        assert case.distance(f"{key}_last", value[0, -1]) <= TOLERANCE
    logits = module.output(seen["prefill_final_norm"][0, -1])
    first = case.arrays["step_logits"][0]
    assert np.abs(logits.numpy() - first).max() <= 5e-5 * np.abs(first).max()


@torch.no_grad()
def test_layer_by_layer_loading_gives_the_same(checkpoint: Checkpoint, module: LanguageModel) -> None:
    embeds, image_rows = prompt_of(golden("s8_text_only"), checkpoint)
    assert torch.equal(hidden_states(checkpoint, embeds, image_rows), module(embeds[None], image_rows)[0])


CHUNK = 512


def language_model(pipeline: Pipeline) -> Runtime:
    model = pipeline.model
    runner = model.residency.load(frozenset({"language_model"}))["language_model"]
    return Runtime(runner, model.embeddings, model.manifest.sizes)


def random_rows(model: Runtime, length: int) -> Rows:
    random = np.random.default_rng(7)
    embeds = random.standard_normal((length, model.sizes.hidden)).astype(np.float32)
    is_image = np.zeros(length, bool)
    is_image[1 : length // 2] = True
    rows = Rows.of(model.device, model.embed, [model.device.put(embeds)])
    rows.is_image[:] = is_image
    return rows


def new_cache(model: Runtime, capacity: int, batch: int = 1) -> KVCache:
    return KVCache.new(model.device, model.runner.spec, -(-capacity // 256) * 256, batch)


def values(outputs: Outputs) -> tuple[np.ndarray, np.ndarray]:
    return np.array(outputs.logits), np.array(outputs.hidden.numpy())


def read_all(model: Runtime, rows: Rows, cuts: list[int]) -> tuple[np.ndarray, np.ndarray]:
    cache = new_cache(model, len(rows))
    for start, stop in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        result = model.read(rows.part(start, stop), cache, CHUNK)
    return values(result)


@pytest.mark.parametrize("cuts", [[1], [37, 38, 100], list(range(1, 60)), [150]])
def test_chunked_prefill_equals_one_shot(pipeline_of_form: Pipeline, cuts: list[int]) -> None:
    model = language_model(pipeline_of_form)
    rows = random_rows(model, 200)
    whole, parts = read_all(model, rows, []), read_all(model, rows, cuts)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5 * np.abs(one).max(), rtol=0)


@pytest.mark.parametrize("chunk", [1, 7, 64, 199])
def test_smaller_chunks_give_the_same(pipeline_of_form: Pipeline, chunk: int) -> None:
    model = language_model(pipeline_of_form)
    rows = random_rows(model, 200)
    found = values(model.read(rows, new_cache(model, 200), chunk))
    for one, other in zip(read_all(model, rows, []), found, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5 * np.abs(one).max(), rtol=0)


def test_only_the_rows_asked_for_come_back(pipeline_of_form: Pipeline) -> None:
    model = language_model(pipeline_of_form)
    rows = random_rows(model, 60)
    every = values(model.read(rows, new_cache(model, 60), CHUNK, wanted=range(60)))
    some = values(model.read(rows, new_cache(model, 60), CHUNK, wanted=(59, 3, 3)))
    none = model.read(rows, new_cache(model, 60), CHUNK, wanted=())
    assert (every[0].shape, every[1].shape) == ((60, model.sizes.vocabulary), (60, model.sizes.hidden))
    for all_rows, few in zip(every, some, strict=True):
        np.testing.assert_allclose(few, all_rows[[59, 3, 3]], atol=2e-5 * np.abs(all_rows).max(), rtol=0)
    assert len(none.logits) == none.hidden.shape[0] == 0


def test_decode_with_the_cache_equals_full_recompute(pipeline_of_form: Pipeline, module: LanguageModel) -> None:
    model = language_model(pipeline_of_form)
    rows = random_rows(model, 40)
    embeds, is_image = rows.embeds.numpy(), rows.is_image
    tokens = [5, 900, 1000, 17, 3]
    cache = new_cache(model, len(rows) + len(tokens))
    model.read(rows, cache, CHUNK)
    for count, token in enumerate(tokens, 1):
        logits, hidden = values(model.step([token], cache))
        together = torch.from_numpy(np.concatenate([embeds, model.embed(tokens[:count])]))
        with torch.no_grad():
            full = module(together[None], torch.from_numpy(np.flatnonzero(is_image)))[0, -1]
            expected = module.output(full)
        np.testing.assert_allclose(hidden[0], full.numpy(), atol=2e-5 * full.abs().max().item(), rtol=0)
        np.testing.assert_allclose(logits[0], expected.numpy(), atol=5e-5 * expected.abs().max().item(), rtol=0)


def test_a_batch_steps_sequences_of_their_own_lengths(pipeline_of_form: Pipeline) -> None:
    model = language_model(pipeline_of_form)
    rows = random_rows(model, 90)
    lengths, tokens = (90, 17, 55), [[5, 900, 1000], [17, 3, 8], [1, 2, 4]]
    batch = new_cache(model, 100, batch=3)
    for index, length in enumerate(lengths):
        sequence = batch.sequence(index)
        model.read(rows.part(0, length), sequence, CHUNK)
        batch.adopt(index, sequence)
    alone = [new_cache(model, 100) for _ in lengths]
    for cache, length in zip(alone, lengths, strict=True):
        model.read(rows.part(0, length), cache, CHUNK)
    for step in zip(*tokens, strict=True):
        logits, hidden = values(model.step(step, batch))
        for index, (token, cache) in enumerate(zip(step, alone, strict=True)):
            expected = values(model.step([token], cache))
            for found, wanted in zip((logits[index], hidden[index]), expected, strict=True):
                np.testing.assert_allclose(found, wanted[0], atol=2e-5 * np.abs(wanted).max(), rtol=0)
    assert batch.lengths == [length + 3 for length in lengths]


def test_stale_slots_behind_the_mask_do_not_matter(pipeline_of_form: Pipeline) -> None:
    model = language_model(pipeline_of_form)
    rows = random_rows(model, 30)
    clean, stale = new_cache(model, 256), new_cache(model, 256)
    model.read(random_rows(model, 200), stale, CHUNK)
    stale.rewind(0)
    found = [values(model.read(rows, cache, CHUNK)) for cache in (clean, stale)]
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_larger_cache_begins_with_what_was_read(pipeline_of_form: Pipeline) -> None:
    model = language_model(pipeline_of_form)
    rows = random_rows(model, 60)
    small, large = new_cache(model, 50), new_cache(model, 700)
    model.read(rows.part(0, 50), small, CHUNK)
    large.copy_prefix(small, 50)
    assert (small.capacity, large.capacity, large.length) == (256, 768, 50)
    grown = values(model.read(rows.part(50, 60), large, CHUNK))
    for one, other in zip(read_all(model, rows, [50]), grown, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5 * np.abs(one).max(), rtol=0)


def test_the_cache_is_written_in_place(pipeline_of_form: Pipeline) -> None:
    """The buffers handed out before the run hold the keys afterwards, and only in the slots of this run."""
    model = language_model(pipeline_of_form)
    cache = new_cache(model, 256)
    buffer = cache.buffers["past_key_0"].numpy()
    model.read(random_rows(model, 5), cache, CHUNK)
    assert np.abs(buffer[:, :, :5]).min() > 0
    assert not buffer[:, :, 5:].any()


def graph_of(root: Path) -> onnx.ModelProto:
    return onnx.load(str(root / "language_model.onnx"), load_external_data=False)


def test_the_portable_graph_keeps_to_what_both_runtimes_accept(engine_portable: Path) -> None:
    model = graph_of(engine_portable)
    kinds = Counter(node.op_type for node in model.graph.node)
    assert {opset.domain: opset.version for opset in model.opset_import} == {"": 24}
    assert {"Attention", "TensorScatter", "RotaryEmbedding", "RMSNormalization"} <= kinds.keys()
    assert not kinds.keys() & {"If", "Loop", "Scan", "GroupQueryAttention", "MatMulNBits", "ScatterND"}
    assert kinds["ScatterElements"] == 1, "whole numbers, once; rows are gathered"
    for node in model.graph.node:
        names = {attribute.name for attribute in node.attribute}
        if node.op_type == "Attention":
            assert "is_causal" not in names
            assert len(node.output) == 1
            assert list(node.input)[3:] == ["attention_mask"]


def test_a_ready_engine_is_of_opset_21_at_most(engine_fp32: Path) -> None:
    assert read_manifest(engine_fp32).form == "ready"
    for path in sorted(engine_fp32.glob("*.onnx")):
        model = onnx.load(str(path), load_external_data=False)
        opsets = {opset.domain: opset.version for opset in model.opset_import}
        assert opsets.pop("") <= 21
        assert opsets.keys() <= {"com.microsoft"}
        assert model.ir_version <= 10
    kinds = Counter(node.op_type for node in graph_of(engine_fp32).graph.node)
    layers = read_manifest(engine_fp32).sizes.layers
    assert (kinds["GroupQueryAttention"], kinds["SkipSimplifiedLayerNormalization"]) == (layers, 2 * layers)
    assert not kinds.keys() & {"Attention", "TensorScatter", "RotaryEmbedding", "RMSNormalization"}


def test_unpacked_order_takes_apart_the_packed_projection() -> None:
    # 2 KV heads, 2 query heads each, head size 1: packed as q0 q1 k0 v0 q2 q3 k1 v1.
    assert unpacked_order(heads=4, kv_heads=2, head_dim=1).tolist() == [0, 1, 4, 5, 2, 6, 3, 7]
