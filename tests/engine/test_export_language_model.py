"""Large Language Model: torch module and exported graph against the reference, cache behaviour of the graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from export.checkpoint import Checkpoint
from export.language_model_graph import unpacked_order
from export.reference import hidden_states
from export.torch_model.language_model import LanguageModel
from geopixel_edge.blocks.language_model import LanguageModel as Runtime
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


def random_rows(model: Runtime, length: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(7)
    embeds = random.standard_normal((length, model.sizes.hidden)).astype(np.float32)
    is_image = np.zeros(length, bool)
    is_image[1 : length // 2] = True
    return embeds, is_image


def read_all(
    model: Runtime, embeds: np.ndarray, is_image: np.ndarray, cuts: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    cache = model.new_cache(len(embeds))
    for start, stop in zip([0, *cuts], [*cuts, len(embeds)], strict=True):
        result = model.read(embeds[start:stop], is_image[start:stop], cache)
    return result


@pytest.mark.parametrize("cuts", [[1], [37, 38, 100], list(range(1, 60)), [150]])
def test_chunked_prefill_equals_one_shot(pipeline: Pipeline, cuts: list[int]) -> None:
    model = pipeline.language_model
    embeds, is_image = random_rows(model, 200)
    whole, parts = read_all(model, embeds, is_image, []), read_all(model, embeds, is_image, cuts)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5 * np.abs(one).max(), rtol=0)


def test_decode_with_the_cache_equals_full_recompute(pipeline: Pipeline, module: LanguageModel) -> None:
    model = pipeline.language_model
    embeds, is_image = random_rows(model, 40)
    tokens = [5, 900, 1000, 17, 3]
    cache = model.new_cache(len(embeds) + len(tokens))
    model.read(embeds, is_image, cache)
    for count, token in enumerate(tokens, 1):
        logits, hidden = model.step(token, cache)
        rows = torch.from_numpy(np.concatenate([embeds, model.embed(tokens[:count])]))
        with torch.no_grad():
            full = module(rows[None], torch.from_numpy(np.flatnonzero(is_image)))[0, -1]
            expected = module.output(full)
        np.testing.assert_allclose(hidden, full.numpy(), atol=2e-5 * full.abs().max().item(), rtol=0)
        np.testing.assert_allclose(logits, expected.numpy(), atol=5e-5 * expected.abs().max().item(), rtol=0)


def test_stale_slots_behind_the_mask_do_not_matter(pipeline: Pipeline) -> None:
    model = pipeline.language_model
    embeds, is_image = random_rows(model, 30)
    clean, stale = model.new_cache(256), model.new_cache(256)
    model.read(*random_rows(model, 200), stale)
    stale = model.with_room(stale, 256, 0)
    for one, other in zip(model.read(embeds, is_image, clean), model.read(embeds, is_image, stale), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_grown_cache_keeps_what_was_read(pipeline: Pipeline) -> None:
    model = pipeline.language_model
    embeds, is_image = random_rows(model, 60)
    small = model.new_cache(50)
    model.read(embeds[:50], is_image[:50], small)
    large = model.with_room(small, 700, 50)
    assert (small.capacity, large.capacity, large.length) == (256, 768, 50)
    grown = model.read(embeds[50:], is_image[50:], large)
    for one, other in zip(read_all(model, embeds, is_image, [50]), grown, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5 * np.abs(one).max(), rtol=0)


def test_the_cache_is_written_in_place(pipeline: Pipeline) -> None:
    """The buffers handed out before the run hold the keys afterwards, and only in the slots of this run."""
    model = pipeline.language_model
    cache = model.new_cache(256)
    buffer = cache.state.numpy("past_key_0")
    model.read(*random_rows(model, 5), cache)
    assert buffer is cache.state.numpy("past_key_0")
    assert np.abs(buffer[:, :, :5]).min() > 0
    assert not buffer[:, :, 5:].any()


def test_the_graph_keeps_to_what_both_runtimes_accept(engine_fp32: Path) -> None:
    model = onnx.load(str(engine_fp32 / "language_model.onnx"), load_external_data=False)
    kinds = {node.op_type for node in model.graph.node}
    assert {opset.domain: opset.version for opset in model.opset_import} == {"": 24}
    assert {"Attention", "TensorScatter", "RotaryEmbedding", "RMSNormalization"} <= kinds
    assert not kinds & {"If", "Loop", "Scan", "GroupQueryAttention", "MatMulNBits"}
    for node in model.graph.node:
        names = {attribute.name for attribute in node.attribute}
        if node.op_type == "ScatterND":
            assert "reduction" not in names
        if node.op_type == "Attention":
            assert "is_causal" not in names
            assert len(node.output) == 1
            assert list(node.input)[3:] == ["attention_mask"]


def test_unpacked_order_takes_apart_the_packed_projection() -> None:
    # 2 KV heads, 2 query heads each, head size 1: packed as q0 q1 k0 v0 q2 q3 k1 v1.
    assert unpacked_order(heads=4, kv_heads=2, head_dim=1).tolist() == [0, 1, 4, 5, 2, 6, 3, 7]
