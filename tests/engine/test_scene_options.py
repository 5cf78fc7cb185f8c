"""Options of a scene that choose windows, objects and vertices: what they leave out, and that they can be typed."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from numpy.typing import NDArray

from geopixel_edge.cli import scene as verb
from geopixel_edge.cli.scene_arguments import options_of
from geopixel_edge.scenes.asking import Answered
from geopixel_edge.scenes.views import Found
from geopixel_edge.scenes.windows import Grid

from ..support.scene_jobs import COLOURS, OVERLAP, WINDOW, dump, run, write_scene
from ..support.scene_oracle import TruthAsker

SCORES = {"ships": 0.75, "planes": float("nan")}  # an engine without scores gives NaN


class Scored(TruthAsker):
    """As the truth, each phrase with a score of its own."""

    def ask(self, windows: Sequence[NDArray[np.uint8]], phrases: Sequence[str], describe: bool) -> list[Answered]:
        told = super().ask(windows, phrases, describe)
        return [Answered(tuple((one, Found(seen.mask, SCORES[one])) for one, seen in each.found)) for each in told]


@pytest.mark.parametrize(("least", "kept"), [(0.75, True), (0.76, False)])
def test_objects_of_a_lower_score_are_dropped_and_an_unknown_one_is_none(
    least: float, kept: bool, tmp_path: Path
) -> None:
    write_scene(tmp_path / "s.tif", 200, 180)
    found = run(tmp_path / "s.tif", tmp_path / "o.geojson", Scored(COLOURS), min_score=least)
    whole = run(tmp_path / "s.tif", tmp_path / "all.geojson", Scored(COLOURS))
    assert found.counts == {"ships": whole.counts["ships"] if kept else 0, "planes": whole.counts["planes"]}
    assert min(whole.counts.values()) > 0
    assert {one["properties"]["phrase"] for one in dump(tmp_path / "o.geojson")} == {"planes", *(["ships"] * kept)}


def test_windows_with_too_few_valid_pixels_are_not_asked(tmp_path: Path) -> None:
    write_scene(tmp_path / "s.tif")
    with rasterio.open(tmp_path / "s.tif") as file:
        valid, grid = file.dataset_mask() > 0, Grid(file.width, file.height, WINDOW, OVERLAP)
    boxes = [grid.box(number) for number in range(len(grid))]
    parts = np.array([valid[y : y + h, x : x + w].mean() for x, y, w, h in boxes])
    assert 0 < (parts == 0).sum() < (parts < 0.4).sum() < (parts < 0.9).sum() < len(parts)
    for least in (0.0, 0.4, 0.9, 1.0):
        log = tmp_path / f"log{least}"
        found = run(tmp_path / "s.tif", tmp_path / f"{least}.geojson", TruthAsker(COLOURS, log), min_valid=least)
        asked = int(((parts >= least) & (parts > 0)).sum())
        assert (found.windows - found.empty, len(log.read_text().split())) == (asked, asked)


def vertices(path: Path) -> list[shapely.Geometry]:
    return [shapely.geometry.shape(one["geometry"]) for one in dump(path)]


def test_simplified_outlines_have_fewer_vertices_and_are_off_by_no_more(tmp_path: Path) -> None:
    write_scene(tmp_path / "s.tif", where=None)  # in pixels
    exact = run(tmp_path / "s.tif", tmp_path / "exact.geojson")
    simple = run(tmp_path / "s.tif", tmp_path / "simple.geojson", simplify=2.0)
    assert [(one.bbox, one.area_px) for one in simple.objects] == [(one.bbox, one.area_px) for one in exact.objects]
    before, after = vertices(tmp_path / "exact.geojson"), vertices(tmp_path / "simple.geojson")
    assert sum(map(shapely.get_num_coordinates, after)) < 0.7 * sum(map(shapely.get_num_coordinates, before))
    for one, other in zip(before, after, strict=True):
        assert other.is_valid
        assert shapely.hausdorff_distance(one, other) <= 2.0 + 1e-6


def test_each_can_be_typed() -> None:
    parser = argparse.ArgumentParser()
    verb.configure(parser)
    plain = options_of(parser.parse_args(["s.tif", "ships", "--out", "o.gpkg"]))
    assert (plain.min_score, plain.min_valid, plain.simplify) == (0, 0, 0)
    words = ["--min-score", "0.5", "--min-valid", "0.05", "--simplify", "1.5"]
    typed = options_of(parser.parse_args(["s.tif", "ships", "--out", "o.gpkg", *words]))
    assert (typed.min_score, typed.min_valid, typed.simplify) == (0.5, 0.05, 1.5)
