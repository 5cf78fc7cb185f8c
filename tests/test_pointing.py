"""The phase in which the pixel decoder learns alone: what it reads is scaled, what others read stays the same."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import pytest
import torch

from training.pointing import Kept, Lesson, keep, learn, renew, whiten
from training.run import Run
from training.step import watched
from training.store import SceneStore

from .tiny_training import PLAN, samples_of


@pytest.fixture
def kept(tiny_run: Run, scene_store: SceneStore) -> list[Kept]:
    found = [keep(tiny_run.model, sample, tiny_run.tokenizer.tokens.bos)
             for sample in itertools.islice(samples_of(tiny_run, scene_store), 3)]  # fmt: skip
    return [one for one in found if one is not None]


def test_what_is_kept_is_what_the_decoder_would_read(tiny_run: Run, scene_store: SceneStore) -> None:
    sample = next(iter(samples_of(tiny_run, scene_store)))
    one = keep(tiny_run.model, sample, tiny_run.tokenizer.tokens.bos)
    assert one is not None
    with torch.no_grad():
        exact = tiny_run.model.grounding_encoder(sample.pixels)
    for level, wanted in zip(one.pyramid, exact, strict=True):
        assert level.shape == wanted.shape
        assert float((level.float() - wanted).abs().max()) <= 0.05 * float(wanted.abs().max())
    assert one.states.shape == (len(sample.chosen), tiny_run.model.config.hidden)
    torch.testing.assert_close(one.masks.float() / 255, sample.masks, atol=1 / 255, rtol=0)


def test_whitening_scales_what_the_decoder_reads_and_nothing_else(tiny_run: Run, scene_store: SceneStore) -> None:
    sample = next(iter(samples_of(tiny_run, scene_store)))
    model, heads = tiny_run.model, tiny_run.heads
    with torch.no_grad():  # as features grow in training
        for layer in (model.grounding_encoder.conv_s0, model.grounding_encoder.conv_s1):
            layer.weight *= 20
            layer.bias += 3
        for lateral in model.grounding_encoder.image_encoder.neck.convs:
            lateral.conv.weight *= 20
        model.pixel_decoder.text_hidden_fcs[-1].weight *= 50
        before = model.grounding_encoder(sample.pixels)
        told = [head(level) for head, level in zip(heads.pyramid, (before[0], before[2], before[1]), strict=True)]
        one = keep(model, sample, tiny_run.tokenizer.tokens.bos)
        assert one is not None
        whiten(model, heads, [one])
        after = model.grounding_encoder(sample.pixels)
        again = [head(level) for head, level in zip(heads.pyramid, (after[0], after[2], after[1]), strict=True)]
        prompt = model.pixel_decoder.text_hidden_fcs(one.states.float())
    for level, same in zip(after, one.pyramid, strict=True):
        assert float(level.mean((0, 2, 3)).abs().max()) < 0.1
        assert float(level.std((0, 2, 3)).median()) == pytest.approx(1.0, abs=0.1)
        assert float((level - same.float()).abs().mean()) < 0.05
    for wanted, found in zip(told, again, strict=True):
        assert float((found - wanted).abs().max()) <= 0.02 * float(wanted.abs().max())
    assert float(prompt.mean(0).abs().max()) < 0.1


def test_a_renewed_decoder_keeps_its_prompt_and_starts_of_moderate_size(tiny_run: Run, kept: list[Kept]) -> None:
    decoder = tiny_run.model.pixel_decoder
    before = {name: value.clone() for name, value in decoder.state_dict().items()}
    whiten(tiny_run.model, tiny_run.heads, kept)
    scaled = {name: value.clone() for name, value in decoder.state_dict().items()}
    renew(decoder)
    for name, value in decoder.state_dict().items():
        if name.startswith("text_hidden_fcs"):
            torch.testing.assert_close(value, scaled[name])
        elif value.ndim > 1 and "gaussian" not in name:
            assert not value.equal(before[name]), name
    with torch.no_grad(), watched(decoder) as steps:
        masks, _, _ = decoder.all_masks(kept[0].states.float(), *(level.float() for level in kept[0].pyramid))
    assert 0.1 < float(masks.std()) < 20
    assert [len(images) for images in steps] == [1, 1]


def test_the_decoder_learns_and_nothing_else_changes(tiny_run: Run, kept: list[Kept]) -> None:
    before = {name: value.clone() for name, value in tiny_run.model.state_dict().items()}
    lines = list(learn(tiny_run.model, tiny_run.heads, kept[:1], Lesson(60, 3e-3, 1e-3, 1, 3), 0, 1))
    assert [line["step"] for line in lines] == list(range(1, 61))
    assert lines[-1]["selection"] < 0.8 * lines[0]["selection"]
    now = tiny_run.model.state_dict()
    changed = {name.partition(".")[0] for name, value in now.items() if not value.equal(before[name])}
    assert changed == {"pixel_decoder"}


def test_a_run_passes_through_the_phase_once(run_directory: Path, scene_store: SceneStore) -> None:
    first = Run(run_directory, PLAN, "cpu")
    first.train(scene_store, save_every_s=1e9)
    assert first.pointed
    assert len((run_directory / "pointing.jsonl").read_text().splitlines()) == PLAN.pointing_steps
    steps = [json.loads(line)["step"] for line in (run_directory / "curve.jsonl").read_text().splitlines()]
    assert steps == list(range(1, PLAN.steps + 1))
    assert Run(run_directory, PLAN, "cpu").pointed


def test_a_run_stopped_in_the_phase_begins_it_again(
    run_directory: Path, prepared_run: Path, scene_store: SceneStore, tmp_path: Path
) -> None:
    whole = Run(shutil.copytree(prepared_run, tmp_path / "whole"), PLAN, "cpu")
    whole.train(scene_store, save_every_s=1e9)
    first = Run(run_directory, PLAN, "cpu")
    save = first.save

    def stopping() -> None:  # what is saved first is the state before the phase
        save()
        first.stop()

    first.save = stopping  # type: ignore[method-assign]
    first.train(scene_store, save_every_s=1e9)
    assert (first.step, first.pointed) == (PLAN.pointing_at, False)
    resumed = Run(run_directory, PLAN, "cpu")
    assert (resumed.step, resumed.pointed) == (PLAN.pointing_at, False)
    resumed.train(scene_store, save_every_s=1e9)
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(resumed.model.state_dict()[name], value, msg=name)
