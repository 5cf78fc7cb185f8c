"""Where a raster is: coordinates and sizes of every georeferenced fixture, and maps that place nothing."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import msgspec
import numpy as np
import pytest

from geopixel_edge.errors import GeoReferenceError
from geopixel_edge.masks import Mask
from geopixel_edge.rasters.pixel_map import Affine, Gcps, jacobian
from geopixel_edge.rasters.place import Place, densified, make_place, signed_area

from ..support.geo_fixtures import FIXTURES, MAPPED, corners, place_of

ROOT = Path(__file__).parents[2]
NORTH_UP = Affine(0.5, 0.0, 345678.4, 0.0, -0.5, 2712345.6)
SIZE = (96, 72)


@pytest.mark.parametrize("name", MAPPED)
def test_coordinates_of_a_fixture(name: str) -> None:
    entry, place = FIXTURES[name], place_of(name)
    truth = entry["region"]
    found = place.to_crs(corners(truth["bbox_px"])[:4])
    assert place.map is not None
    pixel = abs(jacobian(place.map, *truth["bbox_px"][:2])) ** 0.5
    assert np.abs(found - truth["crs_corners"]).max() / pixel <= truth["tol_px"]
    known = [one for one in entry["coords"] if "lon" in one]
    assert bool(known) == place.located
    centres = np.array([[one["col"] + 0.5, one["row"] + 0.5] for one in known]).reshape(-1, 2)
    if known:
        np.testing.assert_allclose(place.to_lonlat(centres), [(one["lon"], one["lat"]) for one in known], atol=1.5e-8)


@pytest.mark.parametrize("name", MAPPED)
def test_sizes_of_a_fixture(name: str) -> None:
    entry, place = FIXTURES[name], place_of(name)
    truth, outline = entry["region"], corners(entry["region"]["bbox_px"])
    size = place.geodesic([[outline]])
    if "area_m2" not in truth:
        assert size is None
        assert place.gsd_m is None
        return
    assert size is not None
    assert size.area_m2 == pytest.approx(truth["area_m2"], rel=1e-3)
    assert place.gsd_m == pytest.approx(entry["gsd_m"], rel=1e-3)
    w, h = truth["bbox_px"][2:]
    assert size.perimeter_m == pytest.approx(2 * (w * entry["gsd_m"][0] + h * entry["gsd_m"][1]), rel=0.02)


@pytest.mark.parametrize("name", MAPPED)
def test_a_fixtures_place_travels_as_plain_values(name: str) -> None:
    place = place_of(name)
    assert Place.from_dict(json.loads(json.dumps(place.to_dict()))) == place
    assert pickle.loads(pickle.dumps(place)) == place
    assert place.approximate == (FIXTURES[name]["georef"] in ("gcps", "rpc"))


def test_rings_are_clockwise_where_the_map_mirrors() -> None:
    bits = np.zeros((SIZE[1], SIZE[0]), np.bool_)
    bits[20:40, 30:60] = True
    ((outline,),) = Mask.from_array(bits).polygons()
    for numbers in (NORTH_UP, Affine(0.5, 0, 0, 0, 0.5, 0), Affine(-0.5, 0, 0, 0, -0.5, 0), Affine(0, 1, 0, 1, 0, 0)):
        place = make_place(SIZE, numbers, "EPSG:32640", "it")
        assert (signed_area(place.to_crs(outline)) < 0) == place.clockwise


def test_holes_are_left_out_and_bound() -> None:
    place = make_place(SIZE, NORTH_UP, "EPSG:32640", "it")
    outline, hole = corners((0, 0, 40, 40)), corners((10, 10, 20, 20))
    whole, inner = place.geodesic([[outline]]), place.geodesic([[hole]])
    both = place.geodesic([[outline, hole[::-1]]])
    assert whole is not None
    assert inner is not None
    assert both is not None
    assert both.area_m2 == pytest.approx(whole.area_m2 - inner.area_m2)
    assert both.perimeter_m == pytest.approx(whole.perimeter_m + inner.perimeter_m)
    assert place.area_crs([[outline, hole]]) == pytest.approx(1200 * 0.25)


def test_a_place_without_a_crs_keeps_pixels_or_the_transforms_numbers() -> None:
    nowhere, unnamed = make_place(SIZE, None, None, "it"), make_place(SIZE, NORTH_UP, None, "it")
    np.testing.assert_array_equal(nowhere.to_crs([[3, 4]]), [[3.0, 4.0]])
    np.testing.assert_array_equal(unnamed.to_crs([[2, 2]]), [[345679.4, 2712344.6]])
    for place in (nowhere, unnamed):
        assert (place.has_crs, place.located, place.gsd_m) == (False, False, None)
        with pytest.raises(GeoReferenceError, match="no longitude and latitude: it has"):
            place.to_lonlat([[1, 1]])


@pytest.mark.parametrize(
    ("numbers", "what"),
    [((1, 2, 0, 2, 4, 0), "singular"), ((0, 0, 0, 0, 0, 0), "singular"), ((1, 0, float("nan"), 0, 1, 0), "not finite")],
)
def test_a_transform_that_places_nothing_is_refused(numbers: tuple[float, ...], what: str) -> None:
    with pytest.raises(GeoReferenceError, match=rf"^it: transform .*{what}"):
        make_place(SIZE, Affine(*numbers), "EPSG:32640", "it")


@pytest.mark.parametrize(
    ("points", "what"),
    [
        (((0, 0, 1, 1), (5, 5, 2, 2)), "has 2 ground control points"),
        (((0, 0, 1, 1), (5, 5, 2, 2), (9, 9, 3, 3)), "on one line"),
        (((0, 0, 1, 1), (5, 0, 2, 2), (0, 5, float("inf"), 3)), "not finite"),
    ],
)
def test_control_points_that_place_nothing_are_refused(points: tuple[tuple[float, ...], ...], what: str) -> None:
    with pytest.raises(GeoReferenceError, match=what):
        make_place(SIZE, msgspec.convert({"kind": "gcps", "points": points}, Gcps), "EPSG:32640", "it")


@pytest.mark.parametrize("crs", ["", "EPSG:0", "not a crs", "x" * 70_000, "EPSG:5773"])
def test_text_that_is_no_horizontal_crs_is_refused(crs: str) -> None:
    with pytest.raises(GeoReferenceError, match=r"^it: crs=.*; give a ") as caught:
        make_place(SIZE, NORTH_UP, crs, "it")
    assert len(str(caught.value)) < 200


def test_where_the_crs_ends_there_are_no_numbers() -> None:
    half_the_earth = "+proj=ortho +lat_0=20 +lon_0=50 +ellps=GRS80 +units=m"
    place = make_place(SIZE, Affine(2e5, 0, -9.6e6, 0, -2e5, 7.2e6), half_the_earth, "it")
    assert np.isnan(place.to_lonlat([[0, 0]])).all()
    assert np.isfinite(place.to_lonlat([[48, 36]])).all()
    assert place.geodesic([[corners((0, 0, 9, 9))]]) is None
    assert place.geodesic([[corners((44, 32, 9, 9))]]) is not None


def test_areas_in_degrees_of_another_unit_are_metres() -> None:
    """NTF (Paris) counts grads: 1 grad is 0.9 degrees."""
    place = make_place(SIZE, Affine(1e-5, 0, 0.1, 0, -1e-5, 54.0), "EPSG:4807", "it")
    assert place.gsd_m == pytest.approx((1e-5 * 111_320 * 0.9 * np.cos(np.radians(48.6)), 1.0007), rel=3e-3)


def test_an_unknown_datum_shift_is_told() -> None:
    unknown = "+proj=tmerc +lon_0=12 +ellps=bessel +units=m"
    told = make_place(SIZE, Affine(1, 0, 0, 0, -1, 5e6), unknown, "it").operation()
    assert told is not None
    assert told.ballpark
    exact = make_place(SIZE, NORTH_UP, "EPSG:32640", "it").operation()
    assert exact is not None
    assert not exact.ballpark


def test_edges_are_divided_evenly_and_corners_stay() -> None:
    ring = corners((0, 0, 40, 10))
    dense = densified(ring, 16.0)
    steps = np.hypot(*np.diff(dense, axis=0).T)
    assert steps.max() <= 16.0
    assert len(dense) == 3 + 1 + 3 + 1 + 1
    assert {tuple(point) for point in ring.tolist()} <= {tuple(point) for point in dense.tolist()}


def test_transformers_are_made_in_one_place() -> None:
    sources = [path for path in (ROOT / "geopixel_edge").rglob("*.py") if "Transformer.from_" in path.read_text()]
    assert [path.name for path in sources] == ["crs.py"]
    assert sources[0].read_text().count("Transformer.from_") == 1
