"""When a scene was taken, where its file or a STAC item beside it says so."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

from ..rasters import tiff_tags as tags

_TIFF_TIME = re.compile(r"(\d{4}):(\d\d):(\d\d) (\d\d):(\d\d):(\d\d)")
_MAX_ITEM_BYTES = 1024 * 1024


class Acquired(NamedTuple):
    """A moment as RFC 3339 in UTC, and who says so."""

    moment: str
    source: str


def acquired(path: Path) -> Acquired | None:
    """The DateTime tag of a TIFF, else `datetime` of a STAC item beside the file; None where neither says it.

    A tag has no time zone: it is taken for UTC.
    """
    return _of_tag(path) or _of_item(path.with_name(path.name + ".stac.json")) or _of_item(path.with_suffix(".json"))


def _of_tag(path: Path) -> Acquired | None:
    try:
        with path.open("rb") as stream:
            if not tags.is_tiff(stream.read(4)):
                return None
            text = tags.read_pages(stream)[0].texts.get(tags.DATE_TIME, "")
    except (OSError, tags.DamagedTiff):
        return None
    found = _TIFF_TIME.match(text)
    return None if found is None else _told(*map(int, found.groups()), source="TIFFTAG_DATETIME")


def _told(*numbers: int, source: str) -> Acquired | None:
    try:
        moment = datetime(*numbers, tzinfo=timezone.utc)  # type: ignore[misc,arg-type]
    except ValueError:
        return None
    return Acquired(moment.strftime("%Y-%m-%dT%H:%M:%SZ"), source)


def _of_item(beside: Path) -> Acquired | None:
    try:
        if not beside.is_file() or beside.stat().st_size > _MAX_ITEM_BYTES:
            return None
        item = json.loads(beside.read_text("utf-8"))
        told = item["properties"]["datetime"] if "stac_version" in item else None
        moment = datetime.fromisoformat(str(told).replace("Z", "+00:00"))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    if moment.tzinfo is None:
        return None
    return Acquired(moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"), "source STAC item")
