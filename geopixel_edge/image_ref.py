"""The image an answer is about, by reference: where it is, its digest and size, and its pixels while they are here."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import ImageError, ResourceError

if TYPE_CHECKING:
    from PIL.Image import Image

    from .images import LoadedImage
    from .rasters.colouring import Reading
    from .rasters.place import Place


@dataclass(frozen=True)
class ImageRef:
    """An image without its bytes: a pickle and answer.json hold `path`, `sha256` and `size` (width, height) alone.

    `path` is absolute, None for an array or an image made in memory; `sha256` is `LoadedImage.sha256`, None where an
    older answer.json does not tell it. `place` is where it is, None for a picture that nothing places; `reading` how a
    raster is read again. `held` are the read-only uint8 (height, width, 3) pixels, shared, not copied.
    """

    path: Path | None
    sha256: str | None
    size: tuple[int, int]
    place: Place | None = None
    reading: Reading | None = None
    held: NDArray[np.uint8] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, image: LoadedImage) -> ImageRef:
        """A reference that shares the pixels of `image`."""
        size = (image.width_px, image.height_px)
        return cls(image.path, image.sha256, size, image.place, image.reading, image.pixels)

    def pixels(self) -> NDArray[np.uint8]:
        """uint8 (height, width, 3), read again from `path` where they are not held; they are held from then on.

        ImageError when there is no path, nothing readable there, or another image; ResourceError as of `load_image`.
        """
        if self.held is None:
            if self.path is None:
                raise ImageError(
                    "image: no file of it is known, and neither a saved nor a pickled answer holds pixels; give it "
                    "with answer.with_image(image)"
                )
            try:
                found = self.found_in(self.path)
            except ImageError as error:
                raise ImageError(f"{error}; or give the image with answer.with_image(image)") from None
            object.__setattr__(self, "held", found.held)
        assert self.held is not None
        return self.held

    def find(self) -> tuple[NDArray[np.uint8] | None, str]:
        """The pixels, or None and the words that say why they cannot be had."""
        try:
            return self.pixels(), ""
        except (ImageError, ResourceError) as error:
            return None, str(error)

    def found_in(self, source: str | os.PathLike[str] | Image | NDArray[Any]) -> ImageRef:
        """The same image, its pixels read from `source`; ImageError when that cannot be read or is another image."""
        from .images import load_image

        found = ImageRef.of(load_image(source, self.reading if isinstance(source, (str, os.PathLike)) else None))
        where = f"image={str(found.path or 'array')!r}"
        if found.size != self.size:
            raise ImageError(
                f"{where} has {found.size[0]} x {found.size[1]} px, the image asked about {self.size[0]} x "
                f"{self.size[1]}; bring that one back"
            )
        if self.sha256 is not None and found.sha256 != self.sha256:
            raise ImageError(
                f"{where} has other pixels (sha256 {str(found.sha256)[:12]}\u2026) than the image asked about "
                f"({self.sha256[:12]}\u2026); bring that one back"
            )
        return replace(found, place=self.place)  # it may have been given, not read

    def __copy__(self) -> ImageRef:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> ImageRef:
        return self

    def __reduce__(self) -> tuple[Callable[..., ImageRef], tuple[Any, ...]]:
        return ImageRef, (self.path, self.sha256, self.size, self.place, self.reading)
