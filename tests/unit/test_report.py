"""report.html: one page that ties phrases to masks, escapes everything and needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from PIL import Image

from geopixel_edge.answer import Answer, Region
from geopixel_edge.masks import Mask
from geopixel_edge.writers import report
from geopixel_edge.writers.outlines import svg_path
from tests.support.answers import EMPTY, HEIGHT, MASKS, PIXELS, RING, WIDTH, answer, disc, picture, sample


class Page(HTMLParser):
    """Tags in order, with every open tag closed in order; text of the marked answer."""

    VOID = ("meta", "img", "input", "path", "rect")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: dict[str, str] = {}
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in self.open:
            self.words[tag] = self.words.get(tag, "") + data

    def all(self, tag: str, kind: str = "") -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag and kind in (attrs.get("class") or "").split(" ")]


def page_of(found: Answer, pixels: Any = PIXELS) -> Page:
    return Page(report.encode(found.to_dict(), found.regions, pixels).decode("utf-8"))


def test_report_ties_phrases_to_masks() -> None:
    page = page_of(sample())
    phrases = page.all("span", "phrase")
    assert [attrs["data-regions"] for attrs in phrases] == ["0 1", "2"]
    assert all(attrs["role"] == "button" and attrs["tabindex"] == "0" for attrs in phrases)
    assert sorted(attrs["data-regions"] or "" for attrs in page.all("path", "mask")) == ["0", "1", "2"]
    assert [attrs["data-regions"] for attrs in page.all("button")] == ["0", "1", "2"]
    assert page.words["p"] == "Two storage tanks near a ship3."
    assert "1.50 s" in page.words["header"]


def test_report_needs_no_other_resource_and_runs_only_its_script() -> None:
    page = page_of(sample())
    for _, attrs in page.tags:
        assert not {"srcset", "action", "onclick", "onload"} & set(attrs)
        assert (attrs.get("src") or "data:").startswith("data:")
        assert "href" not in attrs
    policy = next(a["content"] or "" for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(page.words["script"].encode()).digest()).decode()
    assert policy.startswith("default-src 'none'")
    assert f"script-src 'sha256-{digest}'" in policy
    assert "url(http" not in page.words["style"]
    assert "prefers-color-scheme:dark" in page.words["style"]


def test_report_escapes_every_text() -> None:
    evil = '</script><img src=x onerror="alert(1)">\'&\x00'
    found = sample(query=evil, notes=(evil,), provenance={evil: evil}, finish_reason=evil)
    found.regions = (Region(evil, (4, 17), MASKS[0], 0.5), Region(evil, (0, 0), MASKS[1], 0.5))
    found.text = "Two " + evil[:13] + " & <b>"
    found.response = evil
    page = page_of(found)
    assert len(page.all("img")) == 1
    assert len(page.all("script")) == 1
    assert page.all("b") == [{}]
    assert "\x00" not in "".join(page.words.values())
    assert "onerror" in page.words["h1"]


@pytest.mark.parametrize("pixels", [None, PIXELS], ids=["text", "image"])
def test_report_of_an_answer_without_regions(pixels: Any) -> None:
    page = page_of(answer("There is no ship.", [], pixels), pixels)
    assert len(page.all("img")) == (pixels is not None)
    assert page.all("path", "mask") == page.all("button") == []
    assert page.words["p"] == "There is no ship."
    assert "gave no text" in page_of(answer("", [], pixels), pixels).words["p"]


def test_report_of_fifty_masks_and_spans_that_make_no_sense() -> None:
    masks = [disc(HEIGHT, WIDTH, 8 + index, 20 + index % 20, 6) for index in range(50)]
    found = answer("<p> ship </p> [SEG] " * 50, masks, PIXELS)
    page = page_of(found)
    assert len(page.all("path", "mask")) == len(page.all("span", "phrase")) == len(page.all("button")) == 50
    shared = [Region("a", (2, 9), mask, 0.1) for mask in masks[:3]]
    overlapping, beyond = Region("overlaps", (5, 12), masks[3], 0.1), Region("beyond", (0, 10**6), masks[4], 0.1)
    found.regions = (*shared, overlapping, beyond)
    page = page_of(found)
    assert [attrs["data-regions"] for attrs in page.all("span", "phrase")] == ["0 1 2"]
    assert page.words["p"] == found.text
    assert len(page.all("button")) == 5


def test_large_images_are_shown_smaller_and_ragged_masks_coarser() -> None:
    pixels = picture(1000, 4000)
    noise = Mask.from_array(np.random.default_rng(1).random((1000, 4000)) > 0.5)
    speck = Mask.from_array(np.arange(4_000_000).reshape(1000, 4000) == 1_234_567)
    found = answer("[SEG] [SEG]", [noise, speck], pixels)
    data = report.encode(found.to_dict(), found.regions, pixels).decode()
    shown = Image.open(io.BytesIO(base64.b64decode(re.findall(r"base64,([^\"]+)", data)[0])))
    assert shown.size == (1600, 400)
    assert [len(path) > 0 for path in re.findall(r' d="([^"]*)"/>', data)] == [True, True]
    assert len(data) < 4_000_000


def test_svg_path_at_full_size_is_the_outline() -> None:
    square = Mask.from_array(np.pad(np.ones((2, 3), bool), 1))
    assert svg_path(square, (5, 4), 1) in ("M1 1h3v2h-3z", "M1 1v2h3v-2z")
    assert svg_path(EMPTY, (WIDTH, HEIGHT), 1) == ""
    assert svg_path(RING, (WIDTH, HEIGHT), 1).count("M") == 2
