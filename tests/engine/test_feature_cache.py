"""The pixel decoder alone: what it reads is scaled, what others read stays the same."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from export.torch_model.grounding_encoder import Lateral
from training.feature_cache import (
    MAX_NOISE,
    UNKNOWN_SHARE,
    CachedScene,
    cache_pointed_scene,
    cache_scene,
    cached_losses,
    noisy_locations,
    reinitialise,
    whiten,
)
from training.plan import Part, Phase
from training.run import Run
from training.step import capture_hidden, language_states
from training.store import SceneStore
from training.targets import position_encoding

from ..support.tiny_training import PLAN, samples_of


@pytest.fixture
def kept(tiny_run: Run, scene_store: SceneStore) -> list[CachedScene]:
    found = [cache_scene(tiny_run.model, sample) for sample in itertools.islice(samples_of(tiny_run, scene_store), 3)]
    return [one for one in found if one is not None]


def test_what_is_kept_is_what_the_decoder_would_read(tiny_run: Run, scene_store: SceneStore) -> None:
    sample = next(iter(samples_of(tiny_run, scene_store)))
    one = cache_scene(tiny_run.model, sample)
    assert one is not None
    with torch.no_grad():
        exact = tiny_run.model.grounding_encoder(sample.pixels)
    for level, wanted in zip(one.pyramid, exact, strict=True):
        assert level.shape == wanted.shape
        assert float((level.float() - wanted).abs().max()) <= 0.05 * float(wanted.abs().max())
    assert one.prompt_targets.equal(sample.prompt_targets[sample.supervised])
    torch.testing.assert_close(one.locations, sample.head_targets.locations[sample.supervised], equal_nan=True)
    torch.testing.assert_close(one.masks.float() / 255, sample.masks, atol=1 / 255, rtol=0)


def test_own_states_are_kept_where_the_language_model_points_rightly(
    tiny_run: Run, scene_store: SceneStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample, model, bos = next(iter(samples_of(tiny_run, scene_store))), tiny_run.model, tiny_run.tokenizer.tokens.bos
    pointers = sample.head_targets.pointers[sample.supervised]
    guesses = pointers.argmax(1)
    guesses[0] = pointers[0].argmin()
    monkeypatch.setattr(tiny_run.heads, "likeliest_token", lambda seg, states: guesses)
    one = cache_pointed_scene(model, tiny_run.heads, sample, bos)
    assert one is not None
    with torch.no_grad():
        image = model.see(sample.views[None], *sample.grid)
        exact = language_states(model, image, [sample], bos)[2][0][sample.seg_positions][sample.supervised][1:]
    assert one.states is not None
    assert one.states.shape == exact.shape == (len(one.masks), model.config.hidden)
    assert float((one.states - exact).abs().max()) <= 0.1 * float(exact.abs().max())
    torch.testing.assert_close(one.masks.float() / 255, sample.masks[1:], atol=1 / 255, rtol=0)
    assert one.prompt_targets.equal(sample.prompt_targets[sample.supervised][1:])
    given = replace(one, states=torch.zeros_like(one.states))
    with torch.no_grad():
        told, other, same = (
            float(cached_losses(model, tiny_run.heads, [kept], 8, random.Random(0))["total"])
            for kept in (one, given, one)
        )
    assert told == same != other
    monkeypatch.setattr(tiny_run.heads, "likeliest_token", lambda seg, states: pointers.argmin(1))
    assert cache_pointed_scene(model, tiny_run.heads, sample, bos) is None


def test_whitening_scales_what_the_decoder_reads_and_nothing_else(tiny_run: Run, scene_store: SceneStore) -> None:
    sample = next(iter(samples_of(tiny_run, scene_store)))
    model, heads = tiny_run.model, tiny_run.heads
    with torch.no_grad():  # as features grow in training
        for layer in (model.grounding_encoder.conv_s0, model.grounding_encoder.conv_s1):
            assert layer.bias is not None
            layer.weight *= 20
            layer.bias += 3
        for lateral in model.grounding_encoder.image_encoder.neck.convs:
            assert isinstance(lateral, Lateral)
            lateral.conv.weight *= 20
        before = model.grounding_encoder(sample.pixels)
        told = [head(level) for head, level in zip(heads.pyramid, (before[0], before[2], before[1]), strict=True)]
        one = cache_scene(model, sample)
        assert one is not None
        whiten(model, heads, [one])
        after = model.grounding_encoder(sample.pixels)
        again = [head(level) for head, level in zip(heads.pyramid, (after[0], after[2], after[1]), strict=True)]
    for level in after:
        assert float(level.mean((0, 2, 3)).abs().max()) < 0.1
        assert float(level.std((0, 2, 3)).median()) == pytest.approx(1.0, abs=0.1)
    for wanted, found in zip(told, again, strict=True):
        assert float((found - wanted).abs().max()) <= 0.02 * float(wanted.abs().max())


def _locations(points: NDArray[np.float64]) -> torch.Tensor:
    return torch.cat([torch.from_numpy(position_encoding(points)), torch.full((len(points), 1), -6.0)], dim=1)


def _nearest(codes: torch.Tensor) -> NDArray[np.float64]:
    """The points (n, 2) of a grid whose codes come nearest."""
    axis = np.linspace(-0.5, 1.5, 81)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    found: NDArray[np.float64] = grid[torch.cdist(codes, torch.from_numpy(position_encoding(grid))).argmin(1).numpy()]
    return found


def test_noisy_locations_stay_about_the_true_ones() -> None:
    points = np.random.default_rng(0).uniform(size=(2000, 2))
    locations = _locations(points)
    noisy = noisy_locations(locations, 7)
    torch.testing.assert_close(noisy, noisy_locations(locations, 7), equal_nan=True, rtol=0, atol=0)
    unknown = noisy.isnan()
    assert unknown.all(1).equal(unknown.any(1))
    assert float(unknown[:, 0].float().mean()) == pytest.approx(UNKNOWN_SHARE, abs=0.03)
    known = ~unknown[:, 0]
    off = np.linalg.norm(_nearest(noisy[known, :-1]) - points[known.numpy()], axis=1)
    assert np.median(off) < MAX_NOISE / 2
    assert 0.02 < np.mean(off > MAX_NOISE) < 0.4  # now and then another thing is taken for it
    assert float((noisy[known, -1] - locations[known, -1]).abs().max()) <= 0.5
    lengths = noisy[known, :-1].norm(dim=1) / locations[known, :-1].norm(dim=1)
    assert float(lengths.max()) <= 1 + 1e-5  # a mean of codes is never longer than one of them
    assert float(lengths.min()) < 0.8


def test_locations_of_groups_stay_unknown() -> None:
    locations = _locations(np.random.default_rng(1).uniform(size=(8, 2)))
    locations[3] = torch.nan
    noisy = noisy_locations(locations, 1)
    assert noisy[3].isnan().all()
    assert not noisy[~noisy[:, 0].isnan()].isnan().any()


def test_a_renewed_decoder_starts_of_moderate_size(tiny_run: Run, kept: list[CachedScene]) -> None:
    decoder, heads = tiny_run.model.pixel_decoder, tiny_run.heads
    before = {name: value.clone() for name, value in decoder.state_dict().items()}
    whiten(tiny_run.model, heads, kept)
    reinitialise(decoder, heads)
    for name, value in decoder.state_dict().items():
        if value.ndim > 1 and "gaussian" not in name:
            assert not value.equal(before[name]), name
    with torch.no_grad(), capture_hidden(decoder) as steps:
        states = heads.prompt_states(kept[0].prompt_targets, kept[0].locations)
        masks, _, _ = decoder.all_masks(states, *(level.float() for level in kept[0].pyramid))
    assert 0.5 < float(decoder.text_hidden_fcs(states).std()) < 5
    assert 0.1 < float(masks.std()) < 20
    assert [len(images) for images in steps] == [1, 1]


def test_the_decoder_learns_and_nothing_else_changes(run_directory: Path, kept: list[CachedScene]) -> None:
    phase = Phase(Part.MASKS, 60, 3e-3, 1e-3, batch=1, masks=3, kept_scenes=1)
    run = Run(run_directory, replace(PLAN, phases=(phase,)), "cpu")
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    lines = [run.train_step(kept[:1]) for _ in range(60)]
    assert lines[-1]["selection"] < 0.8 * lines[0]["selection"]
    now = run.model.state_dict()
    changed = {name.partition(".")[0] for name, value in now.items() if not value.equal(before[name])}
    assert changed == {"pixel_decoder"}
