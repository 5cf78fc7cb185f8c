"""Stored scenes are the drawn ones, and turning a scene turns everything in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synthetic.expressions import Expression, referents
from synthetic.questions import conversation, referring
from synthetic.scenes import Scene, make_scene
from training.errors import DatasetError
from training.store import ORIENTATIONS, SceneStore, oriented

SIDE_PX = 192


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SceneStore:
    kept = SceneStore(tmp_path_factory.mktemp("store"), SIDE_PX)
    kept.fill(range(4), 2)
    return kept


def same(first: Scene, second: Scene) -> None:
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.owners, second.owners)
    assert len(first.instances) == len(second.instances)
    for one, other in zip(first.instances, second.instances, strict=True):
        plain = {name: value for name, value in vars(one).items() if name != "crop"}
        assert plain == {name: value for name, value in vars(other).items() if name != "crop"}
        np.testing.assert_array_equal(one.crop, other.crop)


@pytest.mark.parametrize("seed", range(4))
def test_a_stored_scene_is_the_drawn_one(store: SceneStore, seed: int) -> None:
    same(store.load(seed), make_scene(seed, SIDE_PX))


def test_what_is_there_is_not_drawn_again(store: SceneStore) -> None:
    before = {path: path.stat().st_mtime_ns for path in store.folder.iterdir()}
    store.fill(range(4), 2)
    assert {path: path.stat().st_mtime_ns for path in store.folder.iterdir()} == before


def test_a_damaged_or_missing_file_is_named(store: SceneStore, tmp_path: Path) -> None:
    other = SceneStore(tmp_path, SIDE_PX)
    with pytest.raises(DatasetError, match=r"0000007\.npz"):
        other.load(7)
    other.folder.mkdir()
    whole = store.path(0).read_bytes()
    for damaged in (b"", b"no archive", whole[: len(whole) // 2], whole[:-2000] + bytes(2000)):
        other.path(7).write_bytes(damaged)
        with pytest.raises(DatasetError, match="remove it"):
            other.load(7)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="choose another place"):
        SceneStore(tmp_path / "file", SIDE_PX).fill([0], 1)


@pytest.mark.parametrize("turn", range(ORIENTATIONS))
def test_a_turned_scene_is_whole(turn: int) -> None:
    scene = oriented(make_scene(3, SIDE_PX), turn)
    assert scene.instances
    for one in scene.instances:
        mask = scene.owners == one.number
        np.testing.assert_array_equal(one.mask, mask)
        ys, xs = np.nonzero(mask)
        assert one.bbox == (xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1)
        assert one.centre == pytest.approx((xs.mean() + 0.5, ys.mean() + 0.5))


def test_the_turns_are_the_eight_of_a_square() -> None:
    scene = make_scene(3, SIDE_PX)
    pictures = {oriented(scene, turn).image.tobytes() for turn in range(ORIENTATIONS)}
    assert len(pictures) == ORIENTATIONS
    np.testing.assert_array_equal(oriented(scene, 2).image, scene.image[:, ::-1])
    np.testing.assert_array_equal(oriented(scene, 4).image, scene.image[::-1])
    np.testing.assert_array_equal(oriented(scene, 1).image, scene.image.transpose(1, 0, 2))


def test_left_and_right_change_places_in_a_mirror() -> None:
    found = 0
    for scene in (make_scene(seed, SIDE_PX) for seed in range(8)):
        mirrored = oriented(scene, 2)
        for name in {one.class_name for one in scene.instances}:
            left = referents(scene, Expression(name, place="left"))
            right = referents(mirrored, Expression(name, place="right"))
            assert (left is None) == (right is None)
            if left and right:
                assert {one.number for one in left} == {one.number for one in right}
                found += 1
    assert found > 2


def test_other_draws_ask_other_questions_and_draw_0_is_the_default() -> None:
    scene = make_scene(3, SIDE_PX)
    assert referring(scene, 6) == referring(scene, 6, 0) != referring(scene, 6, 1)
    assert conversation(scene) == conversation(scene, 0)
    assert len({conversation(scene, draw).question for draw in range(12)}) > 1
    assert {conversation(scene, draw).targets for draw in range(12)} == {conversation(scene).targets}
