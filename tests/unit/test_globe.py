"""Regions on the globe: across the antimeridian, over a pole, turned, and the marks that tell scale and north."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from geopixel_edge.answer import Region
from geopixel_edge.masks import Mask
from geopixel_edge.rasters.lonlat import bounds, lonlat_polygons, unwrapped
from geopixel_edge.rasters.pixel_map import Affine
from geopixel_edge.rasters.place import Place, make_place
from geopixel_edge.rasters.region_place import region_place
from geopixel_edge.writers import geojson, located
from geopixel_edge.writers.ground_marks import bar_length_m, ground_marks, north_degrees

from ..support.geo_fixtures import block


def degrees(west: float, north: float, size: tuple[int, int], step: float) -> Place:
    return make_place(size, Affine(step, 0, west, 0, -step, north), "EPSG:4326", "it")


def test_a_hole_stays_in_its_piece_of_a_cut_polygon() -> None:
    size = (80, 40)
    bits = np.zeros(size[::-1], np.bool_)
    bits[5:35, 5:75] = True
    bits[10:20, 10:20] = bits[10:30, 35:45] = bits[15:25, 60:70] = False
    polygons = lonlat_polygons(degrees(179.6, 10, size, 0.01), Mask.from_array(bits).polygons(), 7)
    assert polygons is not None
    shape = shapely.MultiPolygon([(rings[0], rings[1:]) for rings in polygons])
    assert shape.is_valid
    assert [len(rings) - 1 for rings in polygons] == [1, 1]  # the middle hole lies on the cut
    assert shape.area == pytest.approx(int(bits.sum()) * 0.01**2, rel=1e-9)
    assert bounds([unwrapped(rings[0]) for rings in polygons]) == pytest.approx((179.65, 9.65, -179.65, 9.95))


def test_a_region_over_the_pole_holds_it() -> None:
    place = make_place((100, 100), Affine(1000, 0, -50_000, 0, -1000, 50_000), "EPSG:3413", "it")
    mask = block((100, 100), (30, 30, 40, 40))
    polygons = lonlat_polygons(place, mask.polygons(), 7)
    assert polygons is not None
    shape = shapely.MultiPolygon([(rings[0], rings[1:]) for rings in polygons])
    assert shape.is_valid
    assert all(shape.covers(shapely.Point(lon, 89.99)) for lon in (-170, -90, 0, 90, 170))
    assert not shape.covers(shapely.Point(0, 89.5))
    where = region_place(place, mask.polygons())
    assert where is not None
    assert where.lonlat_bbox is not None
    assert where.lonlat_bbox[0::2] == (-180.0, 180.0)
    assert where.lonlat_bbox[3] == 90.0
    assert where.area_m2 == pytest.approx(1.6e9, rel=0.07)


def test_scattered_parts_have_the_narrowest_box() -> None:
    def ring(west: float, east: float) -> np.ndarray:
        return np.array([[west, 0], [east, 0], [east, 1], [west, 1], [west, 0]], dtype=float)

    assert bounds([ring(10, 20), ring(30, 40)]) == (10, 0, 40, 1)
    assert bounds([ring(170, 180), ring(-180, -175)]) == (170, 0, -175, 1)
    assert bounds([ring(175, 185)]) == (175, 0, -175, 1)
    assert bounds([ring(-170, -160), ring(0, 10), ring(150, 170)]) == (0, 0, -160, 1)


def test_sides_follow_the_region_not_the_axes() -> None:
    turned = Affine(*(float(value) for value in (0.26, 0.15, 250_000, 0.15, -0.26, 2_711_000)))
    place = make_place((100, 100), turned, "EPSG:32640", "it")
    where = region_place(place, block((100, 100), (10, 40, 80, 6)).polygons())
    assert where is not None
    gsd = place.gsd_m
    assert gsd is not None
    assert where.length_m == pytest.approx(80 * gsd[0], rel=1e-4)
    assert where.width_m == pytest.approx(6 * gsd[1], rel=1e-4)


def test_the_scale_bar_and_the_north_arrow() -> None:
    assert [bar_length_m(width) for width in (4.0, 19.9, 20.0, 1000.0)] == [1.0, 2.0, 5.0, 200.0]
    size = (100, 80)
    for numbers, turn in (
        (Affine(1, 0, 5e5, 0, -1, 2e6), 0),
        (Affine(0, 1, 5e5, 1, 0, 2e6), 90),
        (Affine(1, 0, 5e5, 0, 1, 2e6), 180),
    ):
        place = make_place(size, numbers, "EPSG:32640", "it")
        found = north_degrees(place)
        assert found is not None
        assert abs((found - turn + 180) % 360 - 180) < 0.01
        assert "20 m" in ground_marks(place)
    assert ground_marks(make_place(size, Affine(1, 0, 0, 0, -1, 0), None, "it")) == ""
    assert ground_marks(None) == ""


def test_many_regions_of_a_phrase_are_counted() -> None:
    place = degrees(10, 10, (50, 50), 1e-5)
    masks = [block((50, 50), (10 * n, 10 * n, 5, 5)) for n in range(5)]
    regions = [Region("ships", (0, 5), mask, 0.5, region_place(place, mask.polygons())) for mask in masks]
    told = located.text("ships lie here", regions)
    assert told.startswith("ships (10.0000 N, 10.0000 E; ")
    assert told.endswith(") and 2 more lie here")
    alone = [Region("", (14, 14), masks[0], 0.5, regions[0].place)]
    assert located.text("ships lie here", alone).startswith("ships lie here (")
    assert located.area(3.26) == "3.3 m2"
    assert geojson.document(regions, (50, 50), place)["features"][4]["properties"]["lon"] == pytest.approx(10.000425)
