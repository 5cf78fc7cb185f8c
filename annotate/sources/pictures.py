"""Pictures on disk: their ids, their sizes before they are decoded, their pixels."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geopixel_edge.errors import ImageError
from geopixel_edge.images import load_image

from ..errors import SourceError

_UNSAFE = re.compile(r"[^\w.-]+")
_REFUSED = re.compile(r"[<>{}\[\]\x00-\x1f\x7f\ud800-\udfff]")


def ids_of(names: Iterable[str], what: str) -> dict[str, str]:
    """Id -> file name: the name without its ending, safe as a file's name; SourceError where two are the same."""
    found: dict[str, str] = {}
    for name in names:
        path = Path(name)
        made = _UNSAFE.sub("_", "__".join((*path.parent.parts, path.stem))).strip(".") or "_"
        if made in found:
            raise SourceError(f"{what}: pictures {found[made]!r} and {name!r} would both be {made!r}; rename one")
        found[made] = name
    return found


def find_picture(folder: Path, name: str, what: str) -> Path:
    """The file of a picture below a folder; SourceError where it is missing or leads elsewhere."""
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise SourceError(f"{what}: picture {name!r} leads out of its folder; name it relative to {str(folder)!r}")
    if not (folder / name).is_file():
        raise SourceError(f"{what}: picture {name!r} is not in {str(folder)!r}; fetch it, or give --images")
    return folder / name


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of a picture, read from its head; SourceError where it is none."""
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise SourceError(f"{path}: is no picture that can be read ({error}); fetch it again") from None


def pixels_of(path: Path, width_px: int, height_px: int) -> NDArray[np.uint8]:
    """uint8 (height, width, 3); SourceError where it cannot be decoded or has another size than its masks."""
    try:
        pixels = load_image(path).pixels
    except ImageError as error:
        raise SourceError(f"{path}: cannot be read ({error})") from None
    if pixels.shape[:2] != (height_px, width_px):
        raise SourceError(
            f"{path}: has {pixels.shape[1]} x {pixels.shape[0]} px as it is shown, its masks {width_px} x {height_px}; "
            "turn or scale it as the masks are"
        )
    return pixels


def check_class(name: object, what: str) -> str:
    """A class's name; SourceError where it is none, or holds brackets, control characters or half a surrogate pair."""
    if not isinstance(name, str) or not re.search(r"[^\W_]", name):
        raise SourceError(f"{what} has no name (name={name!r}); give each class one")
    if _REFUSED.search(name) or len(name) > 100:
        raise SourceError(
            f"{what}: name={name[:100]!r} holds brackets or what is no text, or is too long; give a plain name"
        )
    return name
