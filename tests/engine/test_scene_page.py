"""The page beside a layer: its structure, its bounds, and what a browser makes of it."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from geopixel_edge.errors import OutputError
from geopixel_edge.writers.layers import page as pages

from ..support.scene_jobs import SHIP, run, write_scene


class Tags(HTMLParser):
    """Every tag of a page with its attributes, and that all are closed in turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "input"):
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def of(self, kind: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.found if kind in str(attrs.get("class", "")).split()]


def picture(url: str | None) -> np.ndarray:
    assert url is not None
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition("base64,")[2]))))


def test_the_page_shows_every_object_its_counts_and_crops_at_full_resolution(tmp_path: Path) -> None:
    write_scene(tmp_path / "s.tif", 900, 700, seed=4)
    found = run(tmp_path / "s.tif", [tmp_path / "o.geojson", tmp_path / "o.fgb"], page=True, min_area=30)
    assert found.paths[-1] == tmp_path / "o.html"
    text = (tmp_path / "o.html").read_text("utf-8")
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", text)
    tags = Tags(text)
    drawn = [attrs for attrs in tags.of("mask") if attrs.get("data-regions")]
    ids = {str(one.id) for one in found.objects}
    assert {attrs["data-regions"] for attrs in drawn} == ids
    listed = {attrs["data-regions"] for tag, attrs in tags.found if tag == "button"}
    assert listed == ids
    counts = dict(re.findall(r'</span>([^<]+)</td><td class="n">([\d,]+)</td>', text))
    assert counts == {phrase: str(number) for phrase, number in found.counts.items()}
    with rasterio.open(tmp_path / "s.tif") as file:
        pixels = np.moveaxis(file.read(), 0, -1)
    images = [attrs for tag, attrs in tags.found if tag == "img"]
    assert picture(images[0]["src"]).shape == (700, 900, 3)
    for attrs in images[1:]:
        x, right, y, bottom = map(int, re.findall(r"\d+", str(attrs["alt"])))
        shown = pixels[y:bottom, x:right].copy()
        shown[(shown == 0).all(axis=2)] = 255
        assert np.abs(picture(attrs["src"]).astype(int) - shown).mean() < 12
    crops = {attrs["id"] for attrs in tags.of("crop")}
    opened = {f"crop-{attrs['data-crop']}" for attrs in drawn if "data-crop" in attrs}
    assert opened == crops
    assert 1 <= len(crops) <= pages.MOST_CROPS


def test_the_page_is_bounded_whatever_the_scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MOST_DRAWN", 50)
    monkeypatch.setattr(pages, "MOST_CROPS", 2)
    monkeypatch.setattr(pages, "CROP_PX", 64)
    side = 500
    scene = np.full((3, side, side), 90, np.uint8)
    for number, (y, x) in enumerate(np.argwhere(np.ones((20, 20))) * 24):
        scene[:, y + 2 : y + 6 + number % 7, x + 2 : x + 10] = np.array(SHIP)[:, None, None]
    shape = {"width": side, "height": side, "count": 3, "dtype": "uint8", "photometric": "RGB"}
    with rasterio.open(tmp_path / "s.tif", "w", driver="GTiff", **shape) as out:
        out.write(scene)
    found = run(tmp_path / "s.tif", tmp_path / "o.geojson", phrases=["ships"], page=True)
    text = (tmp_path / "o.html").read_text("utf-8")
    tags = Tags(text)
    assert len(found.objects) == 400
    shown = {int(str(attrs["data-regions"])) for attrs in tags.of("mask")}
    largest = sorted(found.objects, key=lambda one: (-one.area_px, one.id))[:50]
    assert shown == {one.id for one in largest}
    assert len(tags.of("crop")) == 2
    assert "350 more are in the layer" in text
    assert '<td class="n">400</td>' in text


def test_another_page_of_that_name_is_kept(tmp_path: Path) -> None:
    write_scene(tmp_path / "s.tif", 200, 180)
    (tmp_path / "o.html").write_text("<html>mine</html>")
    with pytest.raises(OutputError, match="is another page"):
        run(tmp_path / "s.tif", tmp_path / "o.geojson", page=True)
    assert (tmp_path / "o.html").read_text() == "<html>mine</html>"
    assert not (tmp_path / "o.geojson").exists()
    (tmp_path / "o.html").unlink()
    first = run(tmp_path / "s.tif", tmp_path / "o.geojson", page=True).paths
    assert run(tmp_path / "s.tif", tmp_path / "o.geojson", page=True).paths == first


def test_a_phrase_with_markup_is_text(tmp_path: Path) -> None:
    write_scene(tmp_path / "s<b>.tif", 200, 180)
    run(tmp_path / "s<b>.tif", tmp_path / "o.geojson", page=True)
    text = (tmp_path / "o.html").read_text("utf-8")
    assert "s<b>" not in text
    assert "s&lt;b&gt;.tif" in text


def test_the_whole_is_described_once_and_the_text_is_kept(tmp_path: Path) -> None:
    write_scene(tmp_path / "s.tif", 3_300, 200)
    found = run(tmp_path / "s.tif", tmp_path / "o.geojson", page=True, describe=True, window=1_024, overlap=64)
    assert re.fullmatch(r"a scene of 1100 x \d+ px", found.description)
    record = json.loads((tmp_path / "o.geojson").read_text("utf-8"))["geopixel_edge"]["record"]
    assert record["description"] == found.description
    assert found.description in (tmp_path / "o.html").read_text("utf-8")


@pytest.mark.long
def test_a_browser_opens_the_crop_of_the_object_that_is_clicked(tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    assert chromium, "chromium is in the system's packages: apt-get install chromium"
    write_scene(tmp_path / "s.tif", 900, 700, seed=4)
    found = run(tmp_path / "s.tif", tmp_path / "o.geojson", page=True, min_area=30)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": 1400, "height": 900})
        problems: list[str] = []
        view.on("pageerror", lambda error: problems.append(str(error)))
        view.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        view.on(
            "request", lambda request: None if request.url.startswith(("file:", "data:")) else problems.append("net")
        )
        view.goto((tmp_path / "o.html").as_uri())
        assert view.locator(".crop:visible").count() == 0
        for one in found.objects[:5]:
            view.locator(f'button[data-regions="{one.id}"]').click()
            crop = view.locator(".crop:visible")
            assert crop.count() == 1
            lit = crop.locator(".mask.lit")
            assert lit.get_attribute("data-regions") == str(one.id)
            assert crop.locator("img").evaluate("image => image.naturalWidth") == min(pages.CROP_PX, 900)
            assert view.locator(f'.stage .mask.lit[data-regions="{one.id}"]').count() == 1
        # Two boxes agree: of the outline on the overview, and of the object in pixels of the scene.
        stage, one = view.locator(".stage").bounding_box(), max(found.objects, key=lambda thing: thing.area_px)
        box = view.locator(f'.stage .mask[data-regions="{one.id}"]').bounding_box()
        assert stage is not None
        assert box is not None
        scale, (x, y, w, h) = stage["width"] / 900, one.bbox
        assert box["x"] - stage["x"] == pytest.approx(x * scale, abs=3)
        assert box["y"] - stage["y"] == pytest.approx(y * scale, abs=3)
        assert box["width"] == pytest.approx(w * scale, abs=5)
        assert box["height"] == pytest.approx(h * scale, abs=5)
        browser.close()
    assert problems == []
