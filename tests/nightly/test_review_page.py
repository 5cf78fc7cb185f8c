"""The review page in a real browser: keys, edits, and the patch it saves."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from annotate.patch import apply
from annotate.settings import Settings

from ..support.annotations import annotated, records

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.long
def test_a_reviewer_decides_and_saves(tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    out = tmp_path / "out"
    annotated("scenes:2000065-2000066,320", out, settings=Settings(split="test"))
    assert CHROMIUM is not None, "no Chromium is installed; apt install chromium"
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(accept_downloads=True)
        problems: list[str] = []
        asked: list[str] = []
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto((out / "review" / "page_001.html").as_uri())
        rows = page.locator(".row:has-text('[')")
        rows.first.focus()
        assert page.locator(".mask.lit").count() == 1
        page.keyboard.press("3")
        assert rows.first.get_attribute("data-decision") == "drop"
        assert page.locator(".row:focus").count() == 1
        rows.nth(1).focus()
        page.keyboard.press("2")
        page.keyboard.press("Home")
        page.keyboard.type("Look: ")
        assert page.locator("#save").is_disabled()
        page.fill("#who", "Ada")
        assert page.locator("#count").inner_text() == "2"
        with page.expect_download() as saved:
            page.click("#save")
        saved.value.save_as(out / "review" / saved.value.suggested_filename)
        browser.close()
    assert problems == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    done = apply(out / "review" / "patch_page_001.json")
    assert (done["pictures"], done["sentences"], done["reviewer"]) == (1, 2, "Ada")
    assert "Look: " in records(out)[0]["description"]
