"""A folder of scenes: which files are scenes, and where the layers of each go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import ImageError, OptionError
from ..writers.layers.publishing import check_outputs

SUFFIXES = (".tif", ".tiff", ".jp2", ".png", ".jpg", ".jpeg", ".webp", ".bmp")
# What stands for a scene's name without its ending in the name of an output.
NAME = "{}"


class OneOf(NamedTuple):
    """A scene and its outputs, absolute paths."""

    scene: Path
    outs: tuple[Path, ...]


def scenes_of(image: Path, outs: Sequence[str], page: bool) -> list[OneOf]:
    """The scene `image`, or every scene in the folder `image`, sorted by name, each with its outputs.

    ImageError for a folder without scenes. OptionError where two scenes would write the same file, or where a picture
    written into the folder would be the next run's scene. Otherwise raises as `check_outputs`, before any work.
    """
    image = image.absolute()
    if not image.is_dir():
        named = [out.replace(NAME, image.stem) for out in outs]
        return [OneOf(image, check_outputs(named, image, page))]
    found = sorted(
        path for path in image.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )
    if not found:
        raise ImageError(f"image={str(image)!r} is a folder without scenes; give one with files {' '.join(SUFFIXES)}")
    for out in outs:
        if NAME not in Path(out).name:
            raise OptionError(
                f"out={out!r} would be the same for every scene; put {NAME} in the name, as in {NAME}.gpkg"
            )
        if Path(out).suffix.lower() in SUFFIXES and Path(out).absolute().parent == image:
            raise OptionError(f"out={out!r} would be taken for a scene the next time; choose another folder")
    by_stem: dict[str, Path] = {}
    for path in found:
        if (other := by_stem.setdefault(path.stem, path)) != path:
            raise OptionError(
                f"image={str(image)!r} has {other.name} and {path.name}, whose outputs are one; rename one"
            )
    return [OneOf(path, check_outputs([out.replace(NAME, path.stem) for out in outs], path, page)) for path in found]
