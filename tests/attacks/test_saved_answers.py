"""A saved answer that was edited, cut, swapped or made up: an OutputError that names the field and its value."""

from __future__ import annotations

import math
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geopixel_edge.answer import Answer
from geopixel_edge.errors import GeoPixelError, OutputError
from tests.support.answers import MASKS, disc, sample

Plain = dict[str, Any]
DROP = object()


def nested(levels: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(levels):
        found = [found]
    return found


def changed(path: str, value: object) -> Plain:
    """The sample's document with one field replaced or dropped; `path` as in `regions.0.span`."""
    document: Any = sample().to_dict()
    *parents, last = [int(key) if key.isdecimal() else key for key in path.split(".")]
    at = document
    for key in parents:
        at = at[key]
    if value is DROP:
        del at[last]
    else:
        at[last] = value
    return dict(document)


OTHER_SIZE = disc(50, 90, 20, 20, 9).to_coco()
# Field, value, and what the message says of both.
MUTATIONS: list[tuple[str, object, str]] = [
    ("schema", "coco", "schema='coco' is not"),
    ("schema", DROP, "schema=None is not"),
    ("schema_version", 2, "schema_version=2 is unknown, this package reads 1; upgrade it"),
    ("schema_version", True, "schema_version=True is unknown"),
    ("schema_version", "1", "schema_version='1' is unknown"),
    ("schema_version", DROP, "schema_version=None is unknown"),
    ("text", DROP, "text is missing"),
    ("text", 7, "text=7 is not what an answer holds (Expected str, got int)"),
    ("text", nested(5000), "text=[[[[[[[...]]]]]]] is not"),
    ("text", "short", "regions[0].span=(4, 17) is not what an answer holds (expected a range within the 5"),
    ("query", None, "query=None is not"),
    ("response", ["a"], "response=['a'] is not"),
    ("finish_reason", {}, "finish_reason={} is not"),
    ("token_ids", "1,2", "token_ids='1,2' is not"),
    ("token_ids.0", 1.5, "token_ids[0]=1.5 is not"),
    ("token_ids.0", -1, "token_ids[0]=-1 is not"),
    ("token_ids.0", 10**5000, "token_ids[0]=a number of 16610 bits is not"),
    ("image_size", None, "image_size=None is not"),
    ("image_size", [90], "image_size=[90] is not"),
    ("image_size", [0, 60], "image_size=(0, 60) is not"),
    ("image_size", [90_000, 60], "image_size=(90000, 60) is not"),
    ("image_size", [65_535, 65_535], "image_size=(65535, 65535) is not"),
    ("image_size", [90.0, 60.5], "image_size[0]=90.0 is not"),
    ("image_size", [60, 90], "regions[0].segmentation.size=(60, 90) is not"),
    ("image", "a.png", "image='a.png' is not"),
    ("image.path", 7, "image.path=7 is not"),
    ("image.path", "", "image.path='' is not what an answer holds (expected a path)"),
    ("image.path", "a\0b", r"image.path='a\x00b' is not"),
    ("image.sha256", "abc", "image.sha256='abc' is not"),
    ("image.sha256", DROP, "image.sha256 is missing"),
    ("inputs", "a.png", "inputs='a.png' is not"),
    ("inputs", ["a", None], "inputs[1]=None is not"),
    ("inputs", ["\0"], r"inputs[0]='\x00' is not"),
    ("regions", {}, "regions={} is not"),
    ("regions", DROP, "regions is missing"),
    ("regions.1", None, "regions[1]=None is not"),
    ("regions.1.phrase", DROP, "regions[1].phrase is missing"),
    ("regions.1.phrase", b"x", "regions[1].phrase=b'x' is not"),
    ("regions.1.span", [4], "regions[1].span=[4] is not"),
    ("regions.1.span", [4, "17"], "regions[1].span[1]='17' is not"),
    ("regions.1.span", [17, 4], "regions[1].span=(17, 4) is not"),
    ("regions.1.span", [-3, 4], "regions[1].span=(-3, 4) is not"),
    ("regions.1.span", [4, 10**30], "regions[1].span=(4, "),
    ("regions.1.score", "high", "regions[1].score='high' is not"),
    ("regions.1.score", math.nan, "regions[1].score=nan is not"),
    ("regions.1.score", math.inf, "regions[1].score=inf is not"),
    ("regions.1.score", DROP, "regions[1].score is missing"),
    ("regions.1.bbox", [0, 0, 9, 9], "regions[1].bbox=(0, 0, 9, 9) is not what an answer holds (its mask has"),
    ("regions.1.area_px", 3, "regions[1].area_px=3 is not what an answer holds (its mask has"),
    ("regions.1.segmentation", DROP, "regions[1].segmentation is missing"),
    ("regions.1.segmentation", OTHER_SIZE, "regions[1].segmentation.size=(50, 90) is not"),
    ("regions.1.segmentation.size", [60, -90], "regions[1].segmentation.size=(60, -90) is not"),
    ("regions.1.segmentation.counts", "", "regions[1].segmentation='' is not"),
    ("regions.1.segmentation.counts", "\u2603", "regions[1].segmentation='\u2603' is not"),
    ("regions.1.segmentation.counts", "0" * 10**6, "regions[1].segmentation='000"),
    ("regions.1.segmentation.counts", "ooooooooooo0", "regions[1].segmentation='ooooooooooo0' is not"),
    ("regions.1.segmentation.counts", MASKS[0].to_coco()["counts"], "regions[1].bbox="),
    ("regions.1.segmentation.counts", OTHER_SIZE["counts"], "regions[1].segmentation="),
    ("regions.1.segmentation.counts", [5400], "regions[1].segmentation.counts=[5400] is not"),
    ("notes", "one", "notes='one' is not"),
    ("notes", [1], "notes[0]=1 is not"),
    ("timings", DROP, "timings is missing"),
    ("timings", [], "timings=[] is not"),
    ("timings.total_s", "1", "timings.total_s='1' is not"),
    ("timings.total_s", math.nan, "timings.total_s=nan is not"),
    ("timings.total_s", -1.0, "timings.total_s=-1.0 is not"),
    ("timings.blocks.divider.runs", 10**400, "timings.blocks.divider.runs=a number of"),
    ("timings.blocks.divider.runs", 0.5, "timings.blocks={'divider':"),
    ("timings.blocks.divider", None, "timings.blocks={'divider': None} is not"),
    ("provenance", [], "provenance=[] is not"),
    ("provenance", nested(50), "provenance[0][0]"),
    ("provenance.precision", nested(5000), "(nested too deeply)"),
    ("provenance.precision", {1, 2}, "provenance.precision={1, 2} is not what an answer holds (JSON has no set)"),
    ("provenance.precision", 10**5000, "provenance.precision=a number of 16610 bits is not"),
    ("provenance.precision", [math.nan], "provenance.precision[0]=nan is not"),
    ("provenance", {3: 4}, "provenance=3 is not what an answer holds (expected names that are text)"),
]


@pytest.mark.parametrize(("path", "value", "told"), MUTATIONS, ids=[f"{i}-{row[0]}" for i, row in enumerate(MUTATIONS)])
def test_a_document_that_was_changed(path: str, value: object, told: str) -> None:
    with pytest.raises(OutputError) as raised:
        Answer.from_dict(changed(path, value))
    message = str(raised.value)
    assert told in message
    assert message.startswith("document: ")
    assert "Answer.to_dict()" in message or "save the answer again" in message
    assert len(message) < 700


@pytest.mark.parametrize("document", [None, [], "text", 7])
def test_what_is_no_document(document: Any) -> None:
    with pytest.raises(OutputError, match=f"document is a {type(document).__name__}, not a dict"):
        Answer.from_dict(document)


def test_further_fields_are_left_alone() -> None:
    document = changed("mood", nested(3))
    document["regions"][0]["colour"] = "red"
    assert Answer.from_dict(document).to_dict() == sample().to_dict()


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
PLACES = sorted({row[0] for row in MUTATIONS})


@settings(max_examples=300, deadline=None)
@given(place=st.sampled_from(PLACES), value=JSON_VALUES)
def test_any_value_anywhere_is_read_or_refused(place: str, value: object) -> None:
    try:
        found = Answer.from_dict(changed(place, value))
    except GeoPixelError:
        return
    again = found.to_dict()
    assert Answer.from_dict(again).to_dict() == again
    assert found._repr_html_()


def test_a_recorded_path_opens_nothing_but_image_files(tmp_path: Path) -> None:
    """A document from elsewhere may name any path: no pipe is waited for, no other file's content shown."""
    pipe = tmp_path / "a.png"
    os.mkfifo(pipe)
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s.png"))
        for path in (pipe, secret, tmp_path / "s.png", Path("/dev/zero"), tmp_path):
            made = Answer.from_dict(changed("image.path", str(path)))
            pixels, missing = made.image.find() if made.image else (None, "")
            assert pixels is None
            assert str(path) in missing
