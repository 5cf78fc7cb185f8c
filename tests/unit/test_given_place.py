"""A place that a user gives: bounds or a transform in a CRS, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from geopixel_edge.errors import GeoReferenceError, OptionError
from geopixel_edge.images import load_image
from geopixel_edge.rasters.given import given_place
from geopixel_edge.rasters.pixel_map import Affine

from ..support.geo_fixtures import FOLDER


def test_bounds_lie_on_the_outer_edges() -> None:
    given = given_place((54.0, 24.0, 54.1, 24.2), "EPSG:4326")
    assert given is not None
    place = given.place((200, 400))
    np.testing.assert_allclose(
        place.to_lonlat([[0, 0], [200, 400], [100, 200]]), [[54, 24.2], [54.1, 24], [54.05, 24.1]]
    )
    across = given_place([179.5, -18, -179.5, -17], "EPSG:4326")
    assert across is not None
    np.testing.assert_allclose(across.place((10, 10)).to_lonlat([[9, 5]]), [[-179.6, -17.5]])


def test_a_transform_is_taken_as_rasterio_writes_it() -> None:
    from rasterio.transform import Affine as Written

    numbers = Written(0.3, 0.1, 251_000, 0.1, -0.3, 2_711_000)
    for transform in (numbers, tuple(numbers)[:6]):
        given = given_place(crs=32640, transform=transform)
        assert given is not None
        place = given.place((9, 9))
        assert place.map == Affine(0.3, 0.1, 251_000.0, 0.1, -0.3, 2_711_000.0)
        assert place.crs_name == "EPSG:32640"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"bounds": (0, 0, 1, 1)}, "crs= is missing"),
        ({"crs": "EPSG:4326"}, "places nothing alone"),
        ({"bounds": (0, 0, 1, 1), "transform": (1, 0, 0, 0, 1, 0), "crs": "EPSG:4326"}, "both place the image"),
        ({"bounds": (0, 0, 1), "crs": "EPSG:4326"}, r"bounds=\(0, 0, 1\): give 4 finite numbers"),
        ({"bounds": "0,0,1,1", "crs": "EPSG:4326"}, "give 4 finite numbers"),
        ({"bounds": (0, 0, 1, float("nan")), "crs": "EPSG:4326"}, "give 4 finite numbers"),
        ({"transform": (1, 0, 0, 0, 1), "crs": "EPSG:4326"}, "give 6 finite numbers"),
        ({"bounds": (0, 0, 1, 1), "crs": 1.5}, "crs=1.5: give a code"),
    ],
)
def test_a_place_that_is_given_wrong_is_refused(more: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError, match=told):
        given_place(**more)


@pytest.mark.parametrize(
    ("box", "crs", "told"),
    [
        ((24, 54, 25, 124), "EPSG:4326", "a latitude is over 90 degrees"),
        ((0, 5, 1, 5), "EPSG:4326", "west < east and south < north"),
        ((5, 0, 1, 5), "EPSG:3857", "west < east and south < north"),
    ],
)
def test_bounds_that_enclose_nothing_are_refused(box: tuple[float, ...], crs: str, told: str) -> None:
    given = given_place(box, crs)
    assert given is not None
    with pytest.raises(OptionError, match=told):
        given.place((10, 10))


def test_a_given_place_replaces_the_files_own_with_a_note() -> None:
    given = given_place((54.0, 24.0, 54.1, 24.2), "EPSG:4326")
    image = load_image(FOLDER / "rgb_utm_1.tif", given=given)
    assert image.place is not None
    assert image.place.crs_name == "EPSG:4326"
    assert image.notes[-1] == "the place given replaces that of rgb_utm_1.tif"
    with pytest.raises(GeoReferenceError, match="is no coordinate reference system"):
        given_place((0, 0, 1, 1), "EPSG:1")
