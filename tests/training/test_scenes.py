"""Scenes: the same from the same seed, masks exact, every class drawn, held-out colours kept out of training."""

from __future__ import annotations

import zlib
from collections import Counter
from functools import cache

import numpy as np
import pytest

from geopixel_edge.errors import OptionError
from synthetic.scenes import CLASS_NAMES, EVALUATION_SEED, HELD_OUT_COLOURS, KINDS, Scene, make_scene
from synthetic.scenes import air as air_module
from synthetic.scenes.canvas import Canvas, box, place, ribbon, ring, shoelace
from synthetic.scenes.generate import ANY_COLOUR_SEED, TUNING_SEED, colours_of
from synthetic.scenes.palette import CLASSES, GRAIN, plural
from synthetic.scenes.plants import tree
from synthetic.scenes.scene import collect, shrink_owners
from training.contact_sheet import contact_sheet, main

SIZE_PX = 192


@cache
def scene(seed: int, kind: str | None = None) -> Scene:
    return make_scene(seed, SIZE_PX, kind)


def small_canvas(turn: float = 0.0) -> Canvas:
    """64 x 64 pixels of one metre."""
    return Canvas(np.random.default_rng(0), 64, 1.0, turn, (0.6, 0.4))


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_always_gives_the_same_scene(kind: str) -> None:
    again = make_scene(5, SIZE_PX, kind)
    first = scene(5, kind)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.owners, again.owners)
    assert [one.bbox for one in first.instances] == [one.bbox for one in again.instances]
    assert not np.array_equal(first.image, scene(6, kind).image)
    assert first.image.shape == (SIZE_PX, SIZE_PX, 3)
    assert first.image.dtype == np.uint8


def test_the_seed_chooses_among_all_kinds() -> None:
    assert {make_scene(seed, 128).kind for seed in range(30)} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_masks_are_the_pixels_each_thing_owns(kind: str) -> None:
    found = scene(11, kind)
    total = np.zeros((SIZE_PX, SIZE_PX), int)
    for one in found.instances:
        mask = one.mask
        rows, columns = np.nonzero(mask)
        assert np.array_equal(mask, found.owners == one.number)
        assert mask.sum() == one.area_px > 0
        assert one.bbox == (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)
        assert one.centre == (pytest.approx(columns.mean() + 0.5), pytest.approx(rows.mean() + 0.5))
        assert one.full_area_px > 0
        total += mask
    assert total.max() <= 1
    assert set(np.unique(found.owners)) - {0} == {one.number for one in found.instances}
    assert np.array_equal(found.mask(found.instances), total == 1)
    assert not found.mask([]).any()


def test_what_covers_a_thing_is_cut_out_of_its_mask() -> None:
    canvas = small_canvas()
    field = canvas.new("crop field", "green", box(0, 0, 40, 40))
    canvas.flat(box(0, 0, 40, 40), (90, 120, 60), field)
    house = canvas.new("building", "red", box(0, 0, 20, 10))
    canvas.rise(box(0, 0, 20, 10), (160, 80, 60), 5, house, 1)
    crown = tree(canvas, 9, 4, 4)
    canvas.stand()
    owners, instances = collect(shrink_owners(canvas), canvas.things)
    by_number = {one.number: one for one in instances}
    assert int((owners > 0).sum()) == 40 * 40
    assert by_number[field].bbox == (12, 12, 40, 40)
    assert owners[32, 32] == house
    assert owners[32 + 4, 32 + 9] == crown
    assert by_number[field].area_px < by_number[field].full_area_px - 150
    assert by_number[house].area_px + 10 < by_number[house].full_area_px
    assert 20 < by_number[crown].area_px < 60


def test_shadows_darken_the_ground_and_belong_to_nobody() -> None:
    canvas = small_canvas()
    canvas.image.paste((150, 150, 150), (0, 0, 128, 128))
    canvas.rise(box(0, 0, 10, 10), (200, 0, 0), 20, canvas.new("building", "red", 100.0), 1)
    canvas.stand()
    owners = shrink_owners(canvas)
    shade = np.asarray(canvas.image)[::2, ::2]
    assert owners[32 + 7, 32 + 11] == 0
    assert shade[32 + 7, 32 + 11].max() < 100 < shade[32 - 20, 32 - 20].min()


def test_slivers_go_back_to_the_ground() -> None:
    canvas = small_canvas()
    canvas.flat(box(0.2, 0.2, 1, 1), (9, 9, 9), canvas.new("car", "black", box(0, 0, 1, 1)))
    owners, instances = collect(shrink_owners(canvas), canvas.things)
    assert instances == ()
    assert not owners.any()


@pytest.mark.parametrize("turn", [0.0, 33.0, 90.0])
def test_geometry_keeps_lengths_and_areas(turn: float) -> None:
    outline = box(3, -4, 12, 5, 20)
    assert shoelace(outline) == pytest.approx(60)
    assert shoelace(small_canvas(turn).pixels(outline)) == pytest.approx(60 * 4)
    assert shoelace(ring(0, 0, 10, 200)) == pytest.approx(np.pi * 100, rel=0.001)
    assert shoelace(ribbon([(0, 0), (20, 0)], 4)) == pytest.approx(80)
    assert place([(0.5, 0)], 1, 1, 10, 3, 90)[0] == pytest.approx((1, 6))


def test_claimed_ground_is_refused() -> None:
    canvas = small_canvas()
    assert canvas.claim(box(0, 0, 20, 20))
    assert not canvas.claim(box(8, 8, 20, 20))
    assert not canvas.claim(box(0, 0, 60, 60))
    assert canvas.claim(box(0, 24, 20, 10))
    assert canvas.claim(box(0, 0, 20, 20), force=True)


def test_every_class_and_named_colour_is_drawn() -> None:
    drawn = Counter(one.class_name for kind in KINDS for seed in range(1, 6) for one in scene(seed, kind).instances)
    assert set(drawn) == set(CLASS_NAMES)
    assert len(CLASS_NAMES) >= 14
    assert set(GRAIN) == set(CLASSES)
    for kind in KINDS:
        for one in scene(3, kind).instances:
            assert one.colour is None if not CLASSES[one.class_name] else one.colour in CLASSES[one.class_name]


def test_held_out_colours_are_never_drawn_for_training_but_are_for_evaluation() -> None:
    def pairs(first: int) -> set[tuple[str, str | None]]:
        seeds = range(first, first + 4)
        return {(one.class_name, one.colour) for kind in KINDS for seed in seeds for one in scene(seed, kind).instances}

    assert not pairs(0) & HELD_OUT_COLOURS
    assert len(pairs(EVALUATION_SEED) & HELD_OUT_COLOURS) >= 4
    for class_name, colour in HELD_OUT_COLOURS:
        left = [one for one in CLASSES[class_name] if (class_name, one) not in HELD_OUT_COLOURS]
        assert colour in CLASSES[class_name]
        assert len(left) >= 2


def test_scenes_of_any_colour_know_no_palette_but_what_is_held_out() -> None:
    scenes = [make_scene(ANY_COLOUR_SEED + number, 192) for number in range(60)]
    pairs = {(one.class_name, str(one.colour)) for scene in scenes for one in scene.instances if one.colour}
    assert not pairs & HELD_OUT_COLOURS
    usual = {(name, colour) for name, colours in CLASSES.items() for colour in colours}
    assert len(pairs - usual) > 25
    assert {name for name, _ in pairs - usual} <= {name for name, _ in HELD_OUT_COLOURS}
    for name, colour in pairs:
        assert colour in colours_of(ANY_COLOUR_SEED)[name]
    assert colours_of(ANY_COLOUR_SEED - 1) == colours_of(TUNING_SEED) == colours_of(EVALUATION_SEED) == CLASSES


def test_scenes_vary_in_scale_and_light() -> None:
    scenes = [scene(seed, "farmland") for seed in range(6)]
    assert max(one.gsd for one in scenes) > 1.2 * min(one.gsd for one in scenes)
    assert np.ptp([one.image.mean() for one in scenes]) > 8
    # Half the ground and half the detail of a doubled side, so that big scenes are no mere enlargements.
    assert make_scene(0, 512).gsd == pytest.approx(make_scene(0, 128).gsd / 2)


def test_the_generator_is_the_version_it_says() -> None:
    # Who draws differs for a seed must count GENERATOR_VERSION up, then renew these.
    found = {kind: zlib.crc32(scene(1, kind).owners.astype("<i4").tobytes()) for kind in KINDS}
    assert found == DIGESTS


def test_develop_keeps_the_picture_in_range() -> None:
    canvas = small_canvas()
    canvas.image.paste((255, 255, 255), (0, 0, 128, 64))
    picture = air_module.develop(canvas, np.zeros((64, 64), np.int32))
    assert picture.shape == (64, 64, 3)
    assert picture.dtype == np.uint8
    assert picture[:20].mean() > picture[44:].mean() + 60


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((-1,), "seed=-1"),
        ((1.5,), "seed=1.5"),
        ((1, 100), "size_px=100"),
        ((1, 9999), "9999"),
        ((1, 256, "moon"), "moon"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments: tuple[object, ...], named: str) -> None:
    with pytest.raises(OptionError, match=named):
        make_scene(*arguments)  # type: ignore[arg-type]


def test_plurals() -> None:
    assert [plural(name) for name in ("ship", "bridge", "bus", "tree group")] == [
        "ships",
        "bridges",
        "buses",
        "tree groups",
    ]


def test_contact_sheet(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    plain, outlined = contact_sheet(3, 2, 128), contact_sheet(3, 2, 128, outlines=True)
    assert plain.size == outlined.size == (2 * 128 + 6, 128)
    changed = (np.asarray(plain) != np.asarray(outlined)).any(axis=2).mean()
    assert 0.002 < changed < 0.4
    assert main([str(tmp_path / "sheet.png"), "--scenes", "1", "--size", "128"]) == 0
    assert (tmp_path / "sheet.png").stat().st_size > 10_000
    assert main([str(tmp_path / "sheet.png"), "--scenes", "0"]) == 3
    assert main([str(tmp_path / "sheet.none"), "--scenes", "1", "--size", "128"]) == 6
    assert "scenes=0" in capsys.readouterr().err


DIGESTS = {
    "port": 263599027,
    "river": 1785952581,
    "urban": 1457643749,
    "residential": 3843566793,
    "farmland": 471360976,
    "airfield": 1649900577,
    "desert": 2262827938,
}
