"""Layers of mosaics, judged without the package's code: right where an engine answers from the truth."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from benchmarks.scene_judge import judge
from benchmarks.scene_mosaics import Mosaic, build, variants
from benchmarks.scene_quality import PHRASES, ask, moved
from benchmarks.scene_read import rfc7946
from geopixel_edge.rasters.colouring import Reading

from ..support.mosaic_truth import MosaicAsker
from ..support.project import ROOT

CLASSES = tuple(PHRASES.values())
TOO_FEW = "too few to tell"  # of a shift: a small mosaic has few objects


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Mosaic:
    return build(tmp_path_factory.mktemp("mosaic"), "dateline", CLASSES, scale=0.5)


def wrong_checks(found: dict[str, dict[str, Any]], small: bool) -> list[str]:
    return [
        f"{name} {suffix} {check}: {told['told']}"
        for name, of in found.items()
        for suffix, checks in of["checks"].items()
        for check, told in checks.items()
        if not told["ok"] and not (small and TOO_FEW in told["told"])
    ]


def test_a_mosaic_across_the_antimeridian_is_right_in_every_check(small: Mosaic, tmp_path: Path) -> None:
    found = ask(small, MosaicAsker(small, 512, 128), tmp_path, 512, 128, Reading())
    assert wrong_checks(found, small=True) == []
    for of in found.values():
        assert of["merged"] == {"recall": 1, "precision": 1, "found_twice": 0}
        assert of["unmerged"]["found_twice"] > 0
        assert {"crs", "rfc7946"} <= {*of["checks"][".gpkg"], *of["checks"][".geojson"]}


def test_the_judge_sees_what_is_wrong(small: Mosaic, tmp_path: Path) -> None:
    """A layer of the truth passes, and each of these is caught by the check that is about it."""
    ask(small, MosaicAsker(small, 512, 128), tmp_path, 512, 128, Reading())
    path = tmp_path / "dateline.geojson"
    document = json.loads(path.read_text("utf-8"))
    features = [one for one in document["features"] if one["properties"]["phrase"] == "the buildings"]
    phrase, name = "the buildings", PHRASES["the buildings"]

    def failing(some: list[Any], **members: Any) -> set[str]:
        path.write_text(json.dumps({**document, "features": some, **members}), "utf-8")
        checks = judge(small, path, name, 512, 128, phrase)
        return {one for one, check in checks.items() if not check.ok and TOO_FEW not in check.told}

    def changed(change: Any) -> list[Any]:
        shapes = [shapely.geometry.shape(one["geometry"]) for one in features]
        there = [json.loads(shapely.to_geojson(change(one))) for one in shapes]
        return [{**one, "geometry": shape} for one, shape in zip(features, there, strict=True)]

    assert failing(features) == set()
    assert "duplicates" in failing(features + features[:1])
    assert failing(features, crs={"type": "name"}) == {"rfc7946"}
    assert "extent" in failing(changed(lambda shape: moved(shape, 0.5, 0)))
    assert "registration" in failing(changed(lambda shape: moved(shape, 0, 4e-6)))
    assert "area" in failing([{**one, "properties": {**one["properties"], "area_m2": 1.0}} for one in features])
    assert "rfc7946" in failing(changed(shapely.reverse))
    assert rfc7946({"type": "Feature"}) == {"not a FeatureCollection (3.3)"}


def test_answers_that_are_off_are_seen(small: Mosaic, tmp_path: Path) -> None:
    found = ask(small, MosaicAsker(small, 512, 128, wrong=2), tmp_path, 512, 128, Reading())
    checks = found["building"]["checks"][".gpkg"]
    assert not checks["registration"]["ok"]
    assert np.allclose(checks["registration"]["numbers"]["shift_px"], [2, 0], atol=0.3)


@pytest.mark.long
@pytest.mark.parametrize("name", variants())
def test_every_mosaic_is_right_at_every_window_and_overlap(name: str, tmp_path: Path) -> None:
    mosaic = build(tmp_path, name, CLASSES)
    for window, overlap in ((640, 160), (512, 128), (800, 300)):
        found = ask(mosaic, MosaicAsker(mosaic, window, overlap), tmp_path, window, overlap, Reading())
        assert wrong_checks(found, small=False) == []
        assert all(of["checks"][".gpkg"]["cuts"]["numbers"] == {"pieces": 0, "ends": 0} for of in found.values())
        assert all(of["merged"]["recall"] == 1 == of["merged"]["precision"] for of in found.values())


@pytest.mark.long
def test_the_command_tells_every_check_of_both_stretches() -> None:
    command = [sys.executable, "-m", "benchmarks.scene_quality", "--variant", "rot", "--scale", "0.25"]
    command += ["--single", "2", "--both-stretches", "--json"]
    found = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    assert set(found["mosaics"]) == {"rot", "rot, onto 0..255"}
    for one in found["mosaics"].values():
        for of in one["classes"].values():
            assert of["merged"]["found_twice"] == 0
            assert all(checks[check]["ok"] for checks in of["checks"].values() for check in ("validity", "area"))
    assert set(found["single_scenes"]["classes"]) == set(CLASSES)
