"""The page in a browser: drop, ask, stream, light, follow up, download, at a phone's width and in the dark.

Screenshots go to build/page/. Chromium is the system's; the test fails without it.
"""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from rasterio.transform import Affine

from synthetic.scenes import make_scene

from ..support.rasters import write_tiff
from ..support.servers import ROOT, Server, png, tile

pytestmark = pytest.mark.long
SHOTS = ROOT / "build" / "page"
WAIT_MS = 60_000
# When the first mask and the end of an answer come, seen by the page itself: a driver may look too late.
TIMES_MS = """() => { window.times = {};
    new MutationObserver(() => { for (const [name, which] of [['mask', '.mask'], ['end', '.tools']])
        if (!times[name] && document.querySelector(which)) times[name] = performance.now();
    }).observe(document.body, {childList: true, subtree: true}); }"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert found, "install the system's chromium, as `apt install chromium` does"
    SHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    """The page, ready; nothing it does may be an error in the console or ask another machine."""
    page = browser.new_page(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(server.url)
    page.wait_for_selector("#model:not(:empty)", timeout=WAIT_MS)
    yield page
    assert [text for text in said if "Failed to load resource" not in text] == []
    assert [url for url in asked if not url.startswith((server.url, "data:", "blob:"))] == []
    page.close()


def ask(page: Page, question: str) -> Any:
    """Ask, and wait for the end of the answer: its card."""
    page.fill("#question", question)
    page.press("#question", "Enter")
    page.wait_for_selector(".card:last-child .tools", timeout=WAIT_MS)
    return page.locator(".card").nth(page.locator(".card").count() - 1)


def drop(page: Page, data: bytes, name: str = "dropped.png") -> None:
    """Drop a file on the page, as a hand would."""
    text = base64.b64encode(data).decode()
    transfer = page.evaluate_handle(
        """([text, name]) => { const transfer = new DataTransfer();
        const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
        transfer.items.add(new File([bytes], name)); return transfer; }""",
        [text, name],
    )
    page.dispatch_event("body", "dragenter", {"dataTransfer": transfer})
    assert page.locator("#drop").is_visible()
    page.dispatch_event("body", "drop", {"dataTransfer": transfer})


def centre(page: Page) -> tuple[float, float]:
    """Of the stage, in the window."""
    box = page.locator("#stage").bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_one_click_and_masks_appear_while_the_text_is_written(page: Page) -> None:
    assert page.locator(".chip").count() == 3
    page.screenshot(path=SHOTS / "first.png")
    page.evaluate(TIMES_MS)
    page.click(".chip >> nth=0")
    page.wait_for_selector(".mask", timeout=WAIT_MS)
    page.screenshot(path=SHOTS / "writing.png")
    page.wait_for_selector(".tools", timeout=WAIT_MS)
    mask_ms, end_ms = page.evaluate("[times.mask, times.end]")
    assert mask_ms + 50 < end_ms, "the first mask came only with the end"
    page.screenshot(path=SHOTS / "answer.png")
    assert page.locator(".mask").count() == page.locator(".regions li").count() == page.locator(".phrase").count() >= 4
    size = page.locator("#masks").get_attribute("viewBox")
    assert size == "0 0 640 640"


def test_phrases_and_masks_light_each_other_by_pointer_and_key(page: Page) -> None:
    page.click(".chip >> nth=0")
    page.wait_for_selector(".tools", timeout=WAIT_MS)
    phrase = page.locator(".phrase").first
    number = phrase.get_attribute("data-regions")
    phrase.hover()
    assert page.locator(".mask.lit").get_attribute("data-regions") == number
    page.screenshot(path=SHOTS / "lit.png")
    page.mouse.move(1, 1)
    assert page.locator(".mask.lit").count() == 0
    phrase.focus()
    page.keyboard.press("Enter")
    assert phrase.get_attribute("aria-pressed") == "true"
    page.keyboard.press("Escape")
    assert phrase.get_attribute("aria-pressed") == "false"
    page.locator(".mask").last.hover(force=True)
    assert page.locator(".phrase.lit").count() == 1
    page.uncheck("#show")
    assert not page.locator(".mask").first.is_visible()


def test_a_dropped_picture_a_follow_up_and_history(page: Page, server: Server) -> None:
    drop(page, png(tile(2)))
    first = ask(page, "Could you provide a segmentation mask for the bridge in this image?")
    assert first.locator(".regions li").count() == 1
    outline = page.locator(".mask").first.get_attribute("d")
    second = ask(page, "Could you provide a segmentation mask for the buildings in this image?")
    assert second.locator(".regions li").count() == 1
    assert page.locator(".mask").first.get_attribute("d") != outline
    assert len([line for line in server.events("request") if line["path"] == "/v1/images"]) >= 1
    first.locator("h2 button").click()
    assert page.locator(".mask").first.get_attribute("d") == outline
    assert server.metric('images_total{cache="hit"}') >= 1


def test_what_was_asked_of_another_picture_stays_and_brings_it_back(page: Page) -> None:
    drop(page, png(tile(2)))
    bridge = "Could you provide a segmentation mask for the bridge in this image?"
    first = ask(page, bridge)
    outline, seen = page.locator(".mask").first.get_attribute("d"), "picture => picture.naturalWidth"
    drop(page, png(tile(1, 320)))
    assert page.locator(".card").count() == 1
    assert page.locator(".mask").count() == 0
    second = ask(page, bridge)
    assert page.locator(".card").count() == 2
    assert page.locator("#masks").get_attribute("viewBox") == "0 0 320 320"
    assert page.locator("#picture").evaluate(seen) == 320
    first.locator("h2 button").click()
    page.wait_for_selector('#masks[viewBox="0 0 256 256"]', timeout=WAIT_MS)
    assert page.locator(".mask").first.get_attribute("d") == outline
    assert page.locator("#picture").evaluate(seen) == 256
    with page.expect_download() as download:
        second.locator(".tools button", has_text="PNG").click()
    assert Image.open(download.value.path()).size == (320, 320)
    ask(page, "Could you provide a segmentation mask for the buildings in this image?")  # of the one that is shown
    assert (page.locator(".card").count(), page.locator("#picture").evaluate(seen)) == (3, 320)


def test_zoom_and_pan_by_hand(page: Page) -> None:
    scale, left = (f"sheet => new DOMMatrix(getComputedStyle(sheet).transform).{one}" for one in "ae")
    page.hover("#stage")
    page.mouse.wheel(0, -400)
    page.wait_for_function("new DOMMatrix(getComputedStyle(document.getElementById('sheet')).transform).a > 2")
    before = page.locator("#sheet").evaluate(left)
    page.mouse.down()
    page.mouse.move(*[one - 40 for one in centre(page)], steps=4)
    page.mouse.up()
    assert page.locator("#sheet").evaluate(left) == pytest.approx(before - 40, abs=1)
    assert page.locator("#sheet").evaluate(scale) > 2


def test_a_georeferenced_picture_is_shown_when_it_is_dropped_and_has_a_scale_bar(page: Page, tmp_path: Path) -> None:
    where = {"crs": "EPSG:32640", "transform": Affine(0.3, 0, 251_000, 0, -0.3, 2_711_000)}
    pixels = make_scene(1_000_003, 640, "port").image.transpose(2, 0, 1)
    drop(page, write_tiff(tmp_path / "geo.tif", pixels, photometric="rgb", **where).read_bytes(), "geo.tif")
    page.wait_for_selector("#scale:visible", timeout=WAIT_MS)
    assert page.locator("#scale").inner_text() == "20 m"  # of the 192 m that are seen
    # Two and a half degrees west of its meridian, the grid of UTM is turned by one from north.
    assert page.locator("#north").get_attribute("aria-label") == "North, 1 degrees clockwise from upwards"
    assert page.locator("#picture").evaluate("picture => picture.naturalWidth") == 640
    page.focus("#stage")
    for _ in range(4):
        page.keyboard.press("+")
    assert page.locator("#scale").inner_text() == "5 m"
    card = ask(page, "Could you provide a segmentation mask for the ships in this image?")
    assert "m\u00b2" in card.locator(".regions li").first.inner_text()
    page.screenshot(path=SHOTS / "georeferenced.png")
    with page.expect_download() as download:
        page.locator(".tools button", has_text="GeoJSON").click()
    west, south, *_ = json.loads(Path(download.value.path()).read_bytes())["features"][0]["bbox"]
    assert 54.5 < west < 54.6
    assert 24.4 < south < 24.6


def test_strength_of_the_masks(page: Page) -> None:
    page.click(".chip >> nth=1")
    page.wait_for_selector(".tools", timeout=WAIT_MS)
    opacity = "mask => Number(getComputedStyle(mask).fillOpacity)"
    before = page.locator(".mask").first.evaluate(opacity)
    page.locator("#strength").fill("90")
    assert page.locator(".mask").first.evaluate(opacity) > before


def test_downloads(page: Page) -> None:
    page.click(".chip >> nth=1")
    page.wait_for_selector(".tools", timeout=WAIT_MS)
    found = {}
    for name in ("GeoJSON", "COCO", "PNG"):
        with page.expect_download() as download:
            page.locator(".tools button", has_text=name).click()
        found[name] = Path(download.value.path()).read_bytes()
    assert json.loads(found["GeoJSON"])["type"] == "FeatureCollection"
    assert json.loads(found["COCO"])["annotations"]
    assert found["PNG"].startswith(b"\x89PNG")


def test_zoom_and_pan_by_key(page: Page) -> None:
    page.focus("#stage")
    page.keyboard.press("+")
    page.keyboard.press("ArrowRight")
    zoomed = page.locator("#sheet").evaluate("sheet => getComputedStyle(sheet).transform")
    assert zoomed != "none"
    assert float(zoomed[7:].split(",")[0]) > 1.2
    page.keyboard.press("0")
    assert page.locator("#sheet").evaluate("sheet => new DOMMatrix(getComputedStyle(sheet).transform).a") == 1


def test_a_phones_width_in_the_dark(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme="dark")
    page.click(".chip >> nth=1")
    page.wait_for_selector(".tools", timeout=WAIT_MS)
    page.screenshot(path=SHOTS / "phone.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(13, 17, 23)"


def test_a_file_that_is_no_picture_is_told(page: Page) -> None:
    drop(page, b"PK\3\4 no picture")
    page.fill("#question", "What is here?")
    page.press("#question", "Enter")
    page.wait_for_selector(".error", timeout=WAIT_MS)
    assert "are no PNG" in page.locator(".error").inner_text()
