"""Generated scenes as a data set: `scenes:FIRST-LAST[,SIDE]`, written once into the run's folder, in its layout."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from ..errors import DataError
from ..files import aside_of
from .miniature import MAX_IMAGES, write_miniature

NAME = "data"
LAYOUT = {"rsgcg": "geopixeld", "rrsisd": "rrsisd"}
SIDE_PX = 256
_SCENES = re.compile(r"scenes:([0-9]{1,12})-([0-9]{1,12})(?:,([0-9]{1,5}))?")


def folder_of(data: Path, task: str, out: Path) -> Path:
    """The folder `data`, or where its scenes are written: `out`/data, whole or not there.

    DataError for a range that holds no scene or too many, and where `out`/data is of other scenes.
    """
    words = str(data)
    if not words.startswith("scenes:"):
        return data
    found = _SCENES.fullmatch(words)
    if found is None:
        raise DataError(f"data={words!r} names no scenes; give scenes:FIRST-LAST or scenes:FIRST-LAST,SIDE")
    first, last, side_px = int(found[1]), int(found[2]), int(found[3] or SIDE_PX)
    if not first <= last < first + MAX_IMAGES:
        raise DataError(f"data={words!r} holds no scene, or over {MAX_IMAGES}; give scenes:FIRST-LAST")
    target, source = out / NAME, out / NAME / "scenes.txt"
    if not target.exists():
        _write(target, task, words, (first, last - first + 1, side_px))
    if not source.is_file() or source.read_text(encoding="ascii") != words:
        raise DataError(f"{target} is not of data={words!r}; choose another --out")
    return target


def _write(target: Path, task: str, words: str, scenes: tuple[int, int, int]) -> None:
    """Aside, then renamed; another shard that was faster has written the same."""
    first, count, side_px = scenes
    aside = aside_of(target)
    try:
        write_miniature(aside, LAYOUT[task], count, first, side_px)
        (aside / "scenes.txt").write_text(words, encoding="ascii")
        if not target.exists():
            os.replace(aside, target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
