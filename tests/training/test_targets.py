"""What the teaching heads learn from: exact counts of the scene, nothing smoothed or guessed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from synthetic.questions import conversation
from synthetic.scenes import CLASS_NAMES, make_scene
from training.targets import (
    FACTORS,
    LABELS,
    OFFSET_PART,
    POSITION_WIDTH,
    Targets,
    cell_counts,
    position_encoding,
    targets_of,
)

SIDE_PX, MASK_SIDE, TOKEN_SIDE = 192, 48, 12
SCENE = make_scene(3, SIDE_PX)
GROUPS = list(conversation(SCENE).targets)


@pytest.fixture(scope="module")
def targets() -> Targets:
    return targets_of(SCENE, GROUPS, MASK_SIDE, TOKEN_SIDE)


def test_labels_name_every_class_in_every_colour() -> None:
    assert {name for name, _ in LABELS} == {"ground", *CLASS_NAMES}
    assert len(set(LABELS)) == len(LABELS)


def test_a_label_is_told_by_its_class_and_its_colour_alone() -> None:
    assert FACTORS.sum(1).tolist() == [2.0] * len(LABELS)
    assert len(FACTORS.unique(dim=0)) == len(LABELS)
    for name in CLASS_NAMES:
        rows = FACTORS[[index for index, label in enumerate(LABELS) if label[0] == name]]
        assert int((rows.sum(0) == len(rows)).sum()) == (2 if len(rows) == 1 else 1)  # they share their class


def test_labels_are_what_stands_at_the_middle_of_each_cell(targets: Targets) -> None:
    by_number = {one.number: (one.class_name, one.colour) for one in SCENE.instances}
    step = SIDE_PX // MASK_SIDE
    for row, column in np.random.default_rng(0).integers(0, MASK_SIDE, (200, 2)).tolist():
        owner = int(SCENE.owners[row * step + step // 2, column * step + step // 2])
        assert LABELS[int(targets.labels[row, column])] == by_number.get(owner, ("ground", None))


def test_an_offset_leads_to_the_centre_of_the_thing(targets: Targets) -> None:
    known = (targets.labels > 0).numpy()
    assert np.array_equal(~torch.isnan(targets.offsets[0]).numpy(), known)
    step = SIDE_PX // MASK_SIDE
    centres = {one.number: one.centre for one in SCENE.instances}
    for row, column in np.argwhere(known)[::37].tolist():
        x, y = targets.offsets[:, row, column].numpy() * OFFSET_PART + (np.array([column, row]) + 0.5) / MASK_SIDE
        owner = int(SCENE.owners[row * step + step // 2, column * step + step // 2])
        assert (x * SIDE_PX, y * SIDE_PX) == pytest.approx(centres[owner], abs=1e-2)


def test_shares_are_parts_of_each_patch(targets: Targets) -> None:
    assert targets.patch_shares.shape == (2 * TOKEN_SIDE, 2 * TOKEN_SIDE, len(LABELS))
    torch.testing.assert_close(targets.patch_shares.sum(-1), torch.ones(2 * TOKEN_SIDE, 2 * TOKEN_SIDE))
    ground = float((SCENE.owners == 0).mean())
    assert float(targets.patch_shares[..., 0].mean()) == pytest.approx(ground, abs=1e-6)


def test_pointers_spread_each_mask_over_the_tokens_it_covers(targets: Targets) -> None:
    assert targets.pointers.shape == (len(GROUPS), TOKEN_SIDE**2)
    step = SIDE_PX // TOKEN_SIDE
    for pointer, numbers in zip(targets.pointers, GROUPS, strict=True):
        mask = np.isin(SCENE.owners, numbers)
        counts = mask.reshape(TOKEN_SIDE, step, TOKEN_SIDE, step).sum((1, 3)).ravel()
        np.testing.assert_allclose(pointer.numpy(), counts / counts.sum(), rtol=1e-6)


def test_names_are_what_each_mask_shows_by_area(targets: Targets) -> None:
    assert targets.label_shares.shape == (len(GROUPS), len(LABELS))
    for shares, numbers in zip(targets.label_shares, GROUPS, strict=True):
        members = [one for one in SCENE.instances if one.number in numbers]
        total = sum(one.area_px for one in members)
        for index in np.flatnonzero(shares.numpy()).tolist():
            own = sum(one.area_px for one in members if (one.class_name, one.colour) == LABELS[index])
            assert float(shares[index]) == pytest.approx(own / total, abs=1e-6)
        assert float(shares.sum()) == pytest.approx(1.0)


def test_a_spot_is_the_centre_and_size_of_one_thing(targets: Targets) -> None:
    assert targets.locations.shape == (len(GROUPS), POSITION_WIDTH + 1)
    assert {len(numbers) == 1 for numbers in GROUPS} == {True, False}
    by_number = {one.number: one for one in SCENE.instances}
    for spot, numbers in zip(targets.locations, GROUPS, strict=True):
        if len(numbers) > 1:
            assert bool(spot.isnan().all())
            continue
        one = by_number[numbers[0]]
        code = position_encoding(np.array(one.centre) / SIDE_PX)
        np.testing.assert_allclose(spot[:-1].numpy(), code, atol=1e-5)
        assert float(spot[-1]) == pytest.approx(np.log(one.area_px / SIDE_PX**2), rel=1e-5)


def test_a_scene_of_ground_alone_has_no_things() -> None:
    empty = type(SCENE)(0, "desert", 0.3, SCENE.image, np.zeros_like(SCENE.owners), ())
    found = targets_of(empty, [], MASK_SIDE, TOKEN_SIDE)
    assert found.pointers.shape == (0, TOKEN_SIDE**2)
    assert bool(torch.isnan(found.centres).all())
    assert bool(torch.isnan(found.offsets).all())
    assert float(found.patch_shares[..., 0].min()) == 1.0


def test_cells_of_a_side_that_does_not_divide_still_count_every_pixel() -> None:
    values = np.random.default_rng(1).integers(0, 5, (50, 50))
    counts = cell_counts(values, 7, 5)
    assert counts.shape == (49, 5)
    np.testing.assert_array_equal(counts.sum(0), np.bincount(values.ravel(), minlength=5))


def test_codes_tell_places_apart() -> None:
    side = np.linspace(0, 1, 21)
    points = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    codes = position_encoding(points)
    distance = np.linalg.norm(codes[:, None] - codes[None], axis=-1)
    np.fill_diagonal(distance, 9)
    assert distance.min() > 0.3
