"""The main path on a device whose memory the host cannot see: the same answers, and little that crosses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from geopixel_edge.answer import Answer
from geopixel_edge.engine.directory import Engine
from geopixel_edge.images import load_image
from geopixel_edge.model import Model
from geopixel_edge.options import AskOptions
from geopixel_edge.pipeline import Pipeline, with_model
from geopixel_edge.runtimes.host import HostDevice
from geopixel_edge.session import OpenedImage

from ..support.fake_cuda import FakeCuda
from ..support.sam2_reference import DATA

SQUARE = DATA / "images" / "square.png"
DESCRIBE = (
    "Can you provide a thorough description of the this image? Please output with interleaved segmentation masks for "
    "the corresponding phrases."
)


@pytest.fixture(scope="module")
def device() -> FakeCuda:
    return FakeCuda()


@pytest.fixture(scope="module")
def model(engine_fp32: Path, device: FakeCuda) -> Model:
    return Model(Engine(engine_fp32), device)


def ask(model: Model, image: OpenedImage, tokens: int) -> Answer:
    return image.ask(DESCRIBE, AskOptions(max_new_tokens=tokens))


def test_answers_equal_those_of_the_host(model: Model, pipeline: Pipeline) -> None:
    on_host = pipeline(SQUARE, DESCRIBE, hd_num=1, max_new_tokens=24)
    with OpenedImage(model, [load_image(SQUARE)], 1) as image:
        on_device = ask(model, image, 24)
        again = ask(model, image, 24)
    assert on_host.regions
    for answer in (on_device, again):
        assert answer.token_ids == on_host.token_ids
        assert [one.mask for one in answer.regions] == [one.mask for one in on_host.regions]
    assert on_device.provenance["device"] == "cuda"


def test_a_decoded_token_brings_one_row_of_logits_up_and_nothing_else(model: Model, device: FakeCuda) -> None:
    sizes = model.manifest.sizes
    logits, masks = (1, sizes.vocabulary), (1, sizes.mask_px, sizes.mask_px)
    with OpenedImage(model, [load_image(SQUARE)], 1) as image:
        ask(model, image, 24)
        device.down.clear()
        device.up.clear()
        answer = ask(model, image, 24)
    steps = answer.timings.blocks["language_model.decode"].runs
    found = {shape: device.down.count(shape) for shape in set(device.down)}
    # The prompt's last row, then one row a step; of each mask its logits and its score.
    assert found == {logits: 1 + steps, masks: len(answer.regions), (1,): len(answer.regions)}
    assert len(answer.regions) >= 1
    # Down: the embedding, position, slot and mask of a step, small all of them; the prompt once.
    largest = max(int(np.prod(shape)) for shape in device.up[-4 * steps :])
    assert largest <= max(sizes.hidden, sizes.max_prompt_tokens)


def test_a_first_question_brings_no_feature_map_and_no_cache_up(model: Model, device: FakeCuda) -> None:
    """The one that sees, grounds and reads: what comes up is still rows of logits, and masks with their scores."""
    sizes = model.manifest.sizes
    device.down.clear()
    with OpenedImage(model, [load_image(SQUARE)], 1) as image:
        answer = ask(model, image, 24)
    blocks = answer.timings.blocks
    assert {"vision_encoder", "grounding_encoder", "language_model.prefill"} <= blocks.keys()
    logits, masks, regions = (1, sizes.vocabulary), (1, sizes.mask_px, sizes.mask_px), len(answer.regions)
    found = {shape: device.down.count(shape) for shape in set(device.down)}
    assert found == {logits: 1 + blocks["language_model.decode"].runs, masks: regions, (1,): regions}
    assert regions >= 1


def test_a_batch_brings_rows_of_logits_up_and_masks(model: Model, device: FakeCuda) -> None:
    sizes, pixels = model.manifest.sizes, np.random.default_rng(8).integers(0, 255, (2, 60, 80, 3), np.uint8)
    pipe = with_model(model, "auto", 1, None)
    device.down.clear()
    answers = list(pipe.batch([(one, DESCRIBE) for one in pixels], hd_num=1, max_new_tokens=12))
    allowed = {(1, sizes.vocabulary), (2, sizes.vocabulary), (1, sizes.mask_px, sizes.mask_px), (1,)}
    assert set(device.down) <= allowed
    assert device.down.count((2, sizes.vocabulary)) == answers[0].timings.blocks["language_model.decode"].runs > 1


def test_a_bound_step_is_bound_once(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = model.residency.load(frozenset({"language_model"}))["language_model"]
    bind, bound = runner.bind, []
    monkeypatch.setattr(runner, "bind", lambda *feeds: bound.append(1) or bind(*feeds))  # type: ignore[func-returns-value]
    with OpenedImage(model, [load_image(SQUARE)], 1) as image:
        answer = ask(model, image, 12)
    runs = answer.timings.blocks["language_model.decode"].runs
    # Two prefill runs (prefix, question), each its own; the steps share one.
    assert runs >= 8
    assert len(bound) < 6


def test_views_share_memory_and_end_inside_it() -> None:
    device = HostDevice()
    tensor = device.put(np.arange(12, dtype=np.float32).reshape(3, 4))
    row = tensor.view(1, 4, offset=4)
    row.write(np.full((1, 4), 9, np.float32))
    assert tensor.numpy()[1].tolist() == [9, 9, 9, 9]
    assert row.numpy().base is not None
    for shape, offset in (((4, 4), 0), ((1,), 12), ((13,), 0), ((1,), -1)):
        with pytest.raises(ValueError, match="outside"):
            tensor.view(*shape, offset=offset)
    with pytest.raises(ValueError, match="not written"):
        row.write(np.zeros((1, 4)))
    with pytest.raises(ValueError, match="not written"):
        row.write(np.zeros(3, np.float32))


@pytest.mark.parametrize("make", [HostDevice, FakeCuda])
def test_what_a_device_promises(make: type[HostDevice] | type[FakeCuda]) -> None:
    device = make()
    source = device.put(np.arange(6, dtype=np.int64))
    target = device.zeros("int64", (2, 5))
    device.copy(source, target.view(6, offset=2))
    assert target.numpy().ravel().tolist() == [0, 0, 0, 1, 2, 3, 4, 5, 0, 0]
    empty = device.zeros("int64", (0,))
    assert (empty.nbytes, empty.numpy().shape) == (0, (0,))
    assert device.free_bytes() > 1 << 20
    device.wait()
