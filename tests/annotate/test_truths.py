"""What the rules say of generated scenes, judged by the scenes: nothing false, every mask bit for bit."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from annotate.colour import nearest
from annotate.names import PROFILES, Profile
from annotate.settings import Settings
from annotate.sources.scenes import item_of
from evaluate.data.geopixeld import GeoPixelD
from geopixel_edge.masks import Mask
from synthetic.scenes import EVALUATION_SEED, Scene, make_scene
from synthetic.tags import phrases_of
from training.dataset import load_dataset

from ..support.annotation_truths import Judged, judge
from ..support.annotations import annotated, records

# Three scenes of which every kind of thing is said that the rules say.
SEEDS = range(2_000_065, 2_000_068)
RARE = 2_000_122  # and one where one of many is the largest


@functools.lru_cache(maxsize=4)
def drawn_scene(seed: int) -> Scene:
    """A scene; the last few are kept."""
    return make_scene(seed)


def scene_of(record: dict[str, Any]) -> Scene:
    """The scene that a record is of."""
    return drawn_scene(int(record["id"].removeprefix("scene_")))


def judged(out: Path, profile: str) -> tuple[Judged, int]:
    """All claims of a data set of scenes, and how many masks came back from their polygons as they were."""
    found, masks = Judged(), 0
    for record in records(out):
        scene = scene_of(record)
        one = judge(scene, {**record, "profile": profile})
        found.claims += one.claims
        found.false += [f"{record['id']}: {claim}" for claim in one.false]
        masks += same_masks(out, record)
    return found, masks


def same_masks(out: Path, record: dict[str, Any]) -> int:
    """How many masks a picture has; each filled from its polygons by OpenCV equals the record's."""
    data = json.loads((out / "GeoPixelD" / "train" / f"{record['id']}.json").read_text())
    truths = [rle for one in record["sentences"] if one["state"] != "drop" for rle in one["masks"]]
    assert len(data["polygons"]) == data["gcg_description"].count("[SEG]") == len(truths)
    assert len(phrases_of(data["gcg_description"])) == data["gcg_description"].count("<p>") == len(truths)
    for parts, rle in zip(data["polygons"], truths, strict=True):
        canvas = np.zeros((record["height_px"], record["width_px"]), np.uint8)
        for part in parts:
            cv2.fillPoly(canvas, [np.array(part, np.int32)], 1)
            assert np.abs(np.diff(np.array(part), axis=0)).max() <= 1
        assert Mask.from_array(canvas.astype(np.bool_)) == Mask.from_coco(rle)
    return len(truths)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The scenes under each profile."""
    found: dict[str, Path] = {}
    for profile in PROFILES:
        found[profile] = tmp_path_factory.mktemp(profile) / "out"
        annotated(f"scenes:{SEEDS[0]}-{SEEDS[-1]}", found[profile], settings=Settings(profile=profile))
    return found


@pytest.mark.parametrize("profile", PROFILES)
def test_nothing_that_the_rules_say_is_false(profile: Profile, runs: dict[str, Path]) -> None:
    out = runs[profile]
    found, masks = judged(out, profile)
    assert found.false == []
    assert found.claims > 100
    assert masks > 20
    samples = list(load_dataset(out / "GeoPixelD" / "GeoPixelD.json"))
    assert sum(len(sample.masks) for sample in samples) == masks
    assert len(list(load_dataset(out / "GeoPixelD" / "train"))) == len(samples)
    data = GeoPixelD(out / "GeoPixelD", "train")
    for sample in samples:
        truth, lost = data.truth(sample.id, "fill")
        assert lost == 0
        assert tuple(truth.masks) == sample.masks
        assert tuple(truth.phrases) == sample.phrases


@pytest.mark.long
@pytest.mark.parametrize("profile", PROFILES)
def test_nothing_is_false_on_500_scenes(profile: Profile, tmp_path: Path) -> None:
    annotated(f"scenes:{EVALUATION_SEED}-{EVALUATION_SEED + 499}", tmp_path / "out", settings=Settings(profile=profile))
    found, masks = judged(tmp_path / "out", profile)
    assert found.false == []
    assert found.claims > 20_000
    assert masks > 4_000


def agreeing(seeds: range) -> tuple[int, int]:
    """How many things of over 200 pixels whose drawn colour is named measure as it, and of how many."""
    hits = total = 0
    for seed in seeds:
        scene = drawn_scene(seed)
        for one, drawn in zip(item_of(scene, "one").instances, scene.instances, strict=True):
            if drawn.colour and drawn.area_px > 200:
                hits += nearest(scene.image, one)[0] == drawn.colour
                total += 1
    return hits, total


def test_measured_colours_are_those_drawn() -> None:
    hits, total = agreeing(SEEDS)
    assert total > 30
    assert hits >= 0.95 * total


@pytest.mark.long
def test_measured_colours_are_those_drawn_on_500_scenes() -> None:
    hits, total = agreeing(range(EVALUATION_SEED, EVALUATION_SEED + 500))
    assert hits >= 0.95 * total


# --- The judge ------------------------------------------------------------------------------------------------------

LIES = (
    (" left", " right"),
    (" at the top", " at the bottom"),
    ("everal ", "ixty "),
    ("above", "below"),
    ("from top to bottom", "from left to right"),
    ("Some of them reach", "None of them reaches"),
    ("less than", "more than"),
    ("green", "blue"),
    ("the largest", "the smallest"),
    ("the smaller", "the larger"),
    ("between the ", "surrounded by the "),
    ("surrounded by ", "above the "),
    (" far apart", " close together"),
)


@pytest.fixture(scope="module")
def rare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rare") / "out"
    annotated(f"scenes:{RARE}-{RARE}", out, settings=Settings(profile="strict"))
    return out


@pytest.mark.parametrize(("word", "lie"), LIES, ids=lambda words: words.strip())
def test_the_judge_sees_a_lie(word: str, lie: str, runs: dict[str, Path], rare: Path) -> None:
    told, seen = 0, []
    for profile, out in [*runs.items(), ("strict", rare)]:
        for record in records(out):
            scene = scene_of(record)
            for one in record["sentences"]:
                said = {
                    **one,
                    "text": one["text"].replace(word, lie),
                    "phrases": [phrase.replace(word, lie) for phrase in one["phrases"]],
                }
                if said != one and told < 12:
                    told += 1
                    seen += judge(scene, {**record, "profile": profile, "sentences": [said]}).false[:1]
    assert told > 0
    assert len(seen) == told
