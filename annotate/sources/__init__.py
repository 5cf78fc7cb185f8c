"""Where pictures and their instances come from."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from geopixel_edge.errors import OptionError

from ..items import Item


class Source(Protocol):
    """`ids` are those of its pictures, in order; `classes` every class that it may hold, as it names them."""

    name: str
    licence: str
    ids: tuple[str, ...]
    classes: tuple[str, ...]

    def fingerprint(self) -> str:
        """What its pictures and instances follow from."""

    def item(self, item_id: str) -> Item:
        """One picture with its instances; SourceError where they are not as they should be."""


def open_source(words: str, images: str | Path | None = None) -> Source:
    """The source that SOURCE names: `scenes:FIRST-LAST[,SIDE]`, `coco:FILE` or FILE.json, `dota:FOLDER` or a folder.

    `images` is the folder of the pictures, by default the file's own, or `images` beside the labels. OptionError for
    other words, SourceError for what is damaged: everything but pixels is checked here, before any work starts.
    """
    kind, separated, rest = words.partition(":")
    if kind == "scenes" and separated:
        from .scenes import ScenesSource

        if images is not None:
            raise OptionError(f"images={str(images)!r} is of no use with generated scenes; leave --images out")
        return ScenesSource.parse(rest)
    path = Path(rest if separated and kind in ("coco", "dota") else words)
    if not path.exists():
        raise OptionError(
            f"source={words!r} is no file or folder, and no scenes:FIRST-LAST; give a COCO .json or DOTA labels"
        )
    folder = None if images is None else Path(images)
    if kind == "coco" or path.is_file():
        from .coco import CocoSource

        return CocoSource(path, folder or path.parent)
    from .dota import DotaSource

    return DotaSource(path, folder or path.parent / "images")
