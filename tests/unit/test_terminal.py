"""What reaches a terminal: colours, numbers, tables, and nothing the terminal would obey."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest

from geopixel_edge.answer import MaskFound, Phrase, Region, Text
from geopixel_edge.cli.terminal import Painter, human_bytes, regions_table, table, wants_colour, write_stream
from geopixel_edge.masks import Mask


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_phrases_are_underlined_and_numbered_when_their_mask_comes() -> None:
    mask = Mask.from_array(np.ones((2, 2), bool))
    pier = Region("pier", (2, 6), mask, 0.9)
    events: list[Text | Phrase | MaskFound] = [
        Text("A "),
        Phrase("pier", (2, 6)),
        MaskFound(pier),
        Text(" and a "),
        Phrase("ship", (13, 17)),
    ]
    coloured, plain = io.StringIO(), io.StringIO()
    write_stream(events, coloured, Painter(True))
    write_stream(events, plain, Painter(False))
    assert plain.getvalue() == "A pier[1] and a ship\n"
    assert "\x1b[4mpier\x1b[0m" in coloured.getvalue()
    assert coloured.getvalue().count("38;2;255;107;107") == 2
    assert coloured.getvalue().count("\x1b[0m") == 3


def test_a_model_cannot_drive_the_terminal() -> None:
    stream = io.StringIO()
    write_stream([Text("a\x1b]0;title\x07\x9b2Jb"), Phrase("\x1b[31mred", (0, 8))], stream, Painter(False))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", stream.getvalue())


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_can_be_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert wants_colour(Terminal())
    assert not wants_colour(io.StringIO())
    monkeypatch.setenv(name, value)
    assert not wants_colour(Terminal())


def test_tables_and_sizes() -> None:
    assert table(("a", "b"), [("long", "1"), ("x", "23")]) == "a      b\nlong   1\nx     23"
    assert [human_bytes(n) for n in (0, 999, 1000, 29190, 999_600, 17_828_910_312)] == [
        "0 B",
        "999 B",
        "1 kB",
        "29.2 kB",
        "1 MB",
        "17.8 GB",
    ]


def test_regions_are_listed_with_number_box_area_and_score() -> None:
    bits = np.zeros((20, 30), bool)
    bits[4:9, 10:20] = True
    regions = [
        Region("a \x1b\n pier", (0, 4), Mask.from_array(bits), 0.5),
        Region("", (4, 4), Mask.from_array(~bits), 1),
    ]
    lines = regions_table(regions, Painter(False)).splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["1", "a", "\ufffd", "pier", "10", "x", "5", "at", "10,", "4", "50", "0.500"],
        ["2", "-", "30", "x", "20", "at", "0,", "0", "550", "1.000"],
    ]
