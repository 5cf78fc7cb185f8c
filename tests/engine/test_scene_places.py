"""Scenes shown at another resolution, and placed by what the user knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from PIL import Image
from rasterio import Affine
from rasterio.rpc import RPC
from rasterio.transform import RPCTransformer

from geopixel_edge.errors import GeoPixelError, GeoReferenceError, OptionError
from geopixel_edge.scenes.opening import Scene
from geopixel_edge.scenes.options import SceneOptions
from geopixel_edge.scenes.scale import scale_of
from geopixel_edge.scenes.windows import Grid

from ..support.geo_fixtures import FOLDER
from ..support.scene_jobs import COLOURS, OVERLAP, SHIP, UTM, WINDOW, dump, run, write_scene
from ..support.scene_oracle import TruthAsker
from ..support.scene_truths import truth_of


def blocks(path: Path, width: int, height: int, where: tuple[str, Affine], side: int) -> np.ndarray:
    """A scene of ships that are put together of squares; their mask."""
    rng = np.random.default_rng(5)
    coarse = rng.random((-(-height // side), -(-width // side))) < 0.06
    mask = np.kron(coarse, np.ones((side, side), np.bool_))[:height, :width]
    picture = np.full((height, width, 3), (90, 100, 80), np.uint8)
    picture[mask] = SHIP
    tiles = {"tiled": True, "blockxsize": 64, "blockysize": 64, "photometric": "RGB", "dtype": "uint8", "count": 3}
    shape: dict[str, Any] = {"width": width, "height": height, "crs": where[0], "transform": where[1]}
    with rasterio.open(path, "w", driver="GTiff", **shape, **tiles) as out:
        out.write(np.moveaxis(picture, -1, 0))
    return mask


def record_of(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))["geopixel_edge"]["record"]
    return found


# --- Resolution ---------------------------------------------------------------------------------------------------


def test_masks_seen_at_half_the_resolution_come_back_in_the_scenes_own_pixels(tmp_path: Path) -> None:
    mask = blocks(tmp_path / "s.tif", 800, 620, UTM, 4)
    log = tmp_path / "log"
    found = run(tmp_path / "s.tif", tmp_path / "o.geojson", TruthAsker(COLOURS, log), phrases=["ships"], gsd=1.0)
    assert {(one.bbox, one.area_px) for one in found.objects} == {(o.box, o.area_px) for o in truth_of(mask)}
    assert len(log.read_text().split()) == found.windows == len(Grid(400, 310, WINDOW, OVERLAP))
    record = record_of(tmp_path / "o.geojson")
    assert record["seen"] == [400, 310]
    assert record["gsd_m"] == pytest.approx([0.5, 0.5], rel=2e-3)
    assert record["gsd_seen_m"] == pytest.approx([1.0, 1.0], rel=2e-3)


def test_pixels_become_square_on_the_ground_and_objects_of_several_pieces_share_none(tmp_path: Path) -> None:
    degrees = ("EPSG:4326", Affine(5e-6, 0, 54.3, 0, -4.5e-6, 60.0))  # 0.28 m along a row, 0.50 along a column
    mask = blocks(tmp_path / "s.tif", 700, 400, degrees, 24)
    found = run(tmp_path / "s.tif", tmp_path / "o.geojson", phrases=["ships"], gsd=1.0)
    painted = np.zeros(mask.shape, np.int32)
    for one in found.objects:
        x, y, w, h = one.bbox
        painted[y : y + h, x : x + w] += one.mask()
    assert painted.max() == 1
    inner = np.s_[8:-8, 8:-8]
    far = mask[inner] != (painted[inner] > 0)
    assert far.mean() < 0.06  # what lies within a seen pixel of a border is not told apart
    assert record_of(tmp_path / "o.geojson")["gsd_seen_m"] == pytest.approx([1.0, 1.0], rel=0.01)


def test_windows_overlap_bit_for_bit_when_they_are_shrunk(tmp_path: Path) -> None:
    blocks(tmp_path / "s.tif", 800, 620, UTM, 5)
    scene = Scene(tmp_path / "s.tif", gsd_m=1.3)
    with scene.open() as raster:
        scale = scale_of(raster.place, 1.3)
    with scene.seen(scale) as seen:
        one, other = seen.read(0, 0, 128, 128).rgb, seen.read(64, 64, 128, 128).rgb
    assert np.abs(one[64:, 64:].astype(int) - other[:64, :64]).max() <= 1  # sums of parts of pixels are rounded


@pytest.mark.parametrize(("gsd", "told"), [(0.2, "finer"), (0, "gsd=0"), (float("nan"), "gsd=nan")])
def test_a_resolution_that_cannot_be_is_refused(gsd: float, told: str, tmp_path: Path) -> None:
    write_scene(tmp_path / "s.tif", 200, 180)
    with pytest.raises(OptionError, match=told):
        run(tmp_path / "s.tif", tmp_path / "o.geojson", gsd=gsd)
    write_scene(tmp_path / "s.tif", 200, 180, where=None)
    with pytest.raises(OptionError, match="no size on the ground"):
        run(tmp_path / "s.tif", tmp_path / "o.geojson", gsd=2.0)


# --- A place that the user knows ----------------------------------------------------------------------------------


def test_bounds_place_a_plain_picture(tmp_path: Path) -> None:
    write_scene(tmp_path / "s.tif", 200, 180)
    with rasterio.open(tmp_path / "s.tif") as file:
        Image.fromarray(np.moveaxis(file.read(), 0, -1)).save(tmp_path / "s.png")
    placed = run(tmp_path / "s.tif", tmp_path / "a.geojson")
    bounds = (*(UTM[1] @ (0, 180)), *(UTM[1] @ (200, 0)))
    found = run(tmp_path / "s.png", tmp_path / "b.geojson", bounds=bounds, crs=UTM[0])
    assert len(found.objects) == len(placed.objects) > 0
    for one, other in zip(dump(tmp_path / "a.geojson"), dump(tmp_path / "b.geojson"), strict=True):
        mine, theirs = (shapely.geometry.shape(feature["geometry"]) for feature in (one, other))
        assert shapely.hausdorff_distance(mine, theirs) < 2e-8
    assert any("is the one given" in note for note in found.notes)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"bounds": (1, 2, 3, 4)}, "crs= is missing"),
        ({"crs": "EPSG:4326"}, "places nothing"),
        ({"bounds": (3, 2, 1, 4), "crs": "EPSG:3857"}, "west < east"),
        ({"rpc_height": 5.0}, "no rational polynomials"),
        ({"dem": "nowhere.tif"}, "no rational polynomials"),
        ({"rpc_height": 5.0, "dem": "nowhere.tif"}, "give one of them"),
        ({"rpc_height": "high"}, "rpc_height='high'"),
        ({"aoi": 5}, "aoi=5"),
    ],
)
def test_places_that_cannot_be_are_refused(options: dict[str, Any], told: str, tmp_path: Path) -> None:
    write_scene(tmp_path / "s.tif", 200, 180)
    with pytest.raises(GeoPixelError, match=told):
        run(tmp_path / "s.tif", tmp_path / "o.geojson", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["s.tif"]


def height_model(
    path: Path, corner: tuple[float, float], height_m: float, gone: float | None = None, nodata: float | None = None
) -> None:
    """A flat height model of 0.2 degrees around a corner, where four cells have the height `gone` if that is given."""
    profile = {"driver": "GTiff", "width": 40, "height": 40, "count": 1, "dtype": "float32", "crs": "EPSG:4326"}
    where = Affine(0.005, 0, corner[0] - 0.1, 0, -0.005, corner[1] + 0.1)
    heights = np.full((1, 40, 40), height_m, np.float32)
    if gone is not None:
        heights[:, 19:21, 19:21] = gone
    with rasterio.open(path, "w", **profile, transform=where, nodata=nodata) as out:
        out.write(heights)


def test_polynomials_lie_on_the_height_that_is_given(tmp_path: Path) -> None:
    scene = FOLDER / "rpc_1.tif"
    with rasterio.open(scene) as file:
        rpcs = file.rpcs
    points = np.array([[0.0, 0.0], [10.0, 5.0], [40.0, 30.0]])
    assert isinstance(rpcs, RPC)
    for height in (-20.0, rpcs.height_off, 600.0):
        with Scene(scene, ground=SceneOptions(rpc_height=height).ground()).open() as raster:
            found = raster.place.to_crs(points)
            assert any(f"{height:g} m" in note for note in raster.notes)
        with RPCTransformer(rpcs, rpc_height=height) as twin:
            x, y = twin.xy(points[:, 1], points[:, 0], offset="ul")
        assert np.allclose(found, np.column_stack([x, y]), atol=1e-9)
        height_model(tmp_path / "dem.tif", tuple(found[0]), height)
        with Scene(scene, ground=SceneOptions(dem=tmp_path / "dem.tif").ground()).open() as raster:
            assert np.allclose(raster.place.to_crs(points), found, atol=1e-7)
    height_model(tmp_path / "away.tif", (0.0, 0.0), 0.0)
    with pytest.raises(GeoReferenceError, match="does not cover"):
        Scene(scene, ground=SceneOptions(dem=tmp_path / "away.tif").ground()).open()
    height_model(tmp_path / "beside.tif", (found[0][0] + 0.05, found[0][1]), 600.0, 99.0, 99.0)
    with Scene(scene, ground=SceneOptions(dem=tmp_path / "beside.tif").ground()).open() as raster:
        assert np.allclose(raster.place.to_crs(points), found, atol=1e-7)
    for gone, nodata in ((-32_768.0, -32_768.0), (99.0, 99.0), (float("nan"), None)):
        height_model(tmp_path / "holes.tif", tuple(found[0]), 600.0, gone, nodata)
        with pytest.raises(GeoReferenceError, match=r"tells no height at 4 of its pixels under it.*gdal_fillnodata"):
            Scene(scene, ground=SceneOptions(dem=tmp_path / "holes.tif").ground()).open()
    (tmp_path / "vrt.tif").write_text("<VRTDataset></VRTDataset>")
    with pytest.raises(OptionError, match="no TIFF"):
        Scene(scene, ground=SceneOptions(dem=tmp_path / "vrt.tif").ground()).open()
