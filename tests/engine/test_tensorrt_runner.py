"""Engines of TensorRT's, run by a fake of it on a fake GPU: addresses, lifetimes, captured runs, and every refusal."""

from __future__ import annotations

import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from geopixel_edge.arrays import Array
from geopixel_edge.build.tensorrt import build_tensorrt
from geopixel_edge.build.tensorrt_builder import Wanted
from geopixel_edge.engine import BUNDLED
from geopixel_edge.engine.directory import Engine
from geopixel_edge.errors import (
    ExportError,
)
from geopixel_edge.images import load_image
from geopixel_edge.model import Model
from geopixel_edge.pipeline import Pipeline
from geopixel_edge.runtimes import Tensor

from ..support.fake_gpu import SM, FakeLane
from ..support.fake_trt import Context, FakeTrt
from ..support.sam2_reference import DATA
from ..support.tensorrt_engines import CAPACITY, NEW, OLD, patched, views, vision

SQUARE = DATA / "images" / "square.png"
SCENE = Path(__file__).parents[2] / "examples" / "scene.png"


def test_an_engine_built_for_this_gpu_is_verified(engines: dict[str, Path]) -> None:
    for version, root in engines.items():
        manifest = Engine(root).manifest
        assert manifest.verified
        plan = manifest.blocks["language_model"].plan
        assert plan is not None
        assert (plan.version, plan.sm, plan.in_place) == (version, SM, version == NEW)


def test_wrong_numbers_are_not_published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "stash").mkdir()
    patched(monkeypatch, NEW, tmp_path / "stash")
    read = Context.read
    monkeypatch.setattr(Context, "read", lambda self, name: read(self, name) * (name != "views"))
    with pytest.raises(ExportError, match=r"nothing was published: vision_encoder image_tokens, .* differ"):
        build_tensorrt(BUNDLED, tmp_path / "out", Wanted("tensorrt"))
    assert not (tmp_path / "out").exists()


def test_blocks_of_both_runtimes_need_both(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "stash").mkdir()
    patched(monkeypatch, NEW, tmp_path / "stash")
    with pytest.raises(ExportError, match=r"does not run: device='cuda:0': this onnxruntime has .*onnxruntime-gpu"):
        build_tensorrt(BUNDLED, tmp_path / "out", Wanted("tensorrt", ("vision_encoder",)))


@pytest.mark.parametrize("version", [NEW, OLD])
def test_it_answers_as_on_the_cpu(
    version: str, engines: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trt = patched(monkeypatch, version, tmp_path)
    query = "Describe this image with interleaved segmentation masks."
    with Pipeline(device="cpu") as plain, Pipeline(engines[version], device="cuda") as planned:
        wanted = plain(SCENE, query, max_new_tokens=24)
        found = planned(SCENE, query, max_new_tokens=24)
    assert found.token_ids == wanted.token_ids
    assert len(found.regions) == len(wanted.regions)
    assert trt.gpu.launches > 10, "tokens are replayed"


def test_a_token_makes_no_memory_and_binds_nothing(engines: dict[str, Path], trt: FakeTrt) -> None:
    model = Model.open(engines[NEW], "cuda")
    cache = model.new_cache(CAPACITY)
    for token in (5, 6):
        model.step([token], cache)
    made, counts, down = trt.gpu.made, trt.counts.copy(), len(trt.gpu.down)
    for token in (7, 8, 9):
        model.step([token], cache)
    assert trt.gpu.made == made
    assert [trt.counts[name] - counts[name] for name in ("addresses", "contexts", "queued", "executed")] == [0, 0, 0, 3]
    assert trt.gpu.launches == 4
    vocabulary = model.manifest.sizes.vocabulary
    assert trt.gpu.down[down:] == [(1, vocabulary)] * 3


def test_what_cannot_be_captured_is_queued(engines: dict[str, Path], trt: FakeTrt) -> None:
    trt.gpu.captures = False
    model = Model.open(engines[NEW], "cuda")
    cache = model.new_cache(CAPACITY)
    queued = trt.counts["queued"]
    logits = [model.step([5], cache).logits.copy() for _ in range(3)]
    assert (trt.counts["queued"] - queued, trt.gpu.launches) == (3, 0)
    assert not np.array_equal(logits[0], logits[1])


def test_a_step_keeps_what_it_is_bound_to(engines: dict[str, Path], trt: FakeTrt) -> None:
    runner = vision(engines[NEW], trt)
    step = runner.bind({"views": views(trt)})
    gc.collect()
    for _ in range(3):
        step.run()
    context = runner.context(0)
    feeds = {"views": views(trt)}
    outputs = {name: trt.gpu.zeros("float32", one.shape) for name, one in step.outputs.items()}
    for name, tensor in {**feeds, **outputs}.items():
        if name in feeds:
            context.set_input_shape(name, tensor.shape)
        context.set_tensor_address(name, tensor.address)
    del tensor, feeds
    with pytest.raises(AssertionError, match="views was freed while it is bound"):
        context.execute_async_v3(trt.gpu.stream)


def test_a_thread_that_makes_a_context_has_the_gpu_first(engines: dict[str, Path], trt: FakeTrt) -> None:
    runner = vision(engines[NEW], trt)
    trt.gpu.threads.clear()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(runner.context, 0).result()


def test_the_grounding_encoder_runs_beside_the_prefill(engines: dict[str, Path], trt: FakeTrt) -> None:
    """Queued before the prompt is read, on a stream of its own; waited for by the first mask, and by nothing else."""
    with Pipeline(engines[NEW], device="cuda") as pipe, pipe.open(SCENE) as image:
        trt.gpu.order.clear()
        answer = image.ask("Describe this image with interleaved segmentation masks.", max_new_tokens=24)
        assert answer.regions
        beside, waits = "queues on the other stream", "waits for the other stream"
        first, second = trt.gpu.order.index(beside), trt.gpu.order.index(waits)
        assert trt.gpu.order.count(beside) == 1
        assert trt.gpu.order.count(waits) == len(answer.regions)
        assert 0 < first < second
        assert trt.gpu.order[first:second].count("runs") > 3, "the vision encoder, the prompt and tokens were not"
        image.ask("What is here?", max_new_tokens=1)
        assert trt.gpu.order.count(beside) == 1


def test_a_mask_that_did_not_wait_would_be_seen(
    engines: dict[str, Path], trt: FakeTrt, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, image = Model.open(engines[NEW], "cuda"), load_image(SCENE)
    states = trt.gpu.put(np.full((1, model.manifest.sizes.hidden), 0.1, np.float32))
    right, _ = model.mask_logits(states, model.ground(image))
    again, _ = model.mask_logits(states, model.ground(image))
    assert np.array_equal(right, again)
    monkeypatch.setattr(trt.gpu, "after", lambda other: None)
    wrong, _ = model.mask_logits(states, model.ground(image))
    assert not np.allclose(right, wrong)


def test_pixels_cross_at_the_width_that_the_encoders_compute_in(
    engine_fp16: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The divider writes float16; the CPU's answer, whose graph casts them itself, is the same."""
    (tmp_path / "stash").mkdir()
    trt = patched(monkeypatch, NEW, tmp_path / "stash")
    build_tensorrt(engine_fp16, tmp_path / "out", Wanted("tensorrt"))
    widths: dict[str, list[str]] = {}
    put, lane_put = trt.gpu.put, FakeLane.put

    def counted(value: Array, action: Callable[[Array], Tensor]) -> Tensor:
        if value.ndim == 4 and value.dtype.kind == "f":
            widths.setdefault(value.dtype.name, []).append(str(value.shape))
        return action(value)

    monkeypatch.setattr(trt.gpu, "put", lambda value: counted(value, put))
    monkeypatch.setattr(FakeLane, "put", lambda self, value: counted(value, lambda one: lane_put(self, one)))
    query = "Describe this image with interleaved segmentation masks."
    with Pipeline(engine_fp16, device="cpu") as plain, Pipeline(tmp_path / "out", device="cuda") as planned:
        wanted = plain(SQUARE, query, hd_num=1, max_new_tokens=8)
        found = planned(SQUARE, query, hd_num=1, max_new_tokens=8)
    assert found.token_ids == wanted.token_ids
    assert widths.keys() == {"float16"}
    assert len(widths["float16"]) == 2
