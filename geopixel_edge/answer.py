"""The one result type people hold: text, its regions, and what they cost."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import ImageError
from .image_ref import ImageRef
from .json_text import plain
from .parts import Event, MaskFound, Phrase, Region, Text
from .timings import Timings

if TYPE_CHECKING:
    from PIL.Image import Image
    from supervision import Detections

    from .rasters.place import Place

__all__ = ["Answer", "Event", "MaskFound", "Phrase", "Region", "Text"]


@dataclass(eq=False, repr=False)
class Answer:
    """The model's answer to one question about one image (or several, or none).

    `text` is readable, `response` the model's own string with its tags; every region's span points into `text`.
    `finish_reason` is "eos", "length" or "deadline"; `notes` says what was done differently from what was asked;
    `image` refers to the image, None without exactly one; `inputs` are the files the question was about, which `save`
    never replaces. A pickle holds no pixels: they are read again from `image.path` when they are needed.
    """

    text: str
    response: str
    token_ids: list[int]
    regions: tuple[Region, ...]
    finish_reason: str
    timings: Timings
    notes: tuple[str, ...] = ()
    image: ImageRef | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    query: str = ""
    inputs: tuple[Path, ...] = ()

    @property
    def image_size(self) -> tuple[int, int] | None:
        """Width, height in pixels; None without exactly one image."""
        return self.image.size if self.image else None

    @property
    def place(self) -> Place | None:
        """Where the image is; None without exactly one, or where nothing places it."""
        return self.image.place if self.image else None

    def located_text(self) -> str:
        """The text, with the centre and area of its regions behind each phrase: "a ship (24.4512 N, 54.3218 E; 1,240
        m2)". The text alone where the image has no longitude and latitude."""
        from .writers import located

        return located.text(self.text, self.regions)

    @property
    def masks(self) -> NDArray[np.bool_]:
        """bool (regions, height, width), built anew at each access; (0, 0, 0) without an image."""
        width_px, height_px = self.image_size or (0, 0)
        out = np.zeros((len(self.regions), height_px, width_px), np.bool_)
        for index, region in enumerate(self.regions):
            out[index] = region.mask.to_array()
        return out

    def with_phrase(self, phrase: str) -> Answer:
        """The same answer, with `phrase` for every region the model left without one."""
        regions = tuple(region if region.phrase else replace(region, phrase=phrase) for region in self.regions)
        return replace(self, regions=regions)

    def with_image(self, image: str | os.PathLike[str] | Image | NDArray[Any]) -> Answer:
        """The same answer with its image's pixels, where they are elsewhere now or were never in a file.

        ImageError when `image` cannot be read or is not the image that was asked about.
        """
        if self.image is None:
            raise ImageError("image cannot be given to an answer about no image or several; ask about one image")
        return replace(self, image=self.image.found_in(image))

    # --- Plain values and files -------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """What answer.json holds: plain values, masks as COCO RLE; `from_dict` is the way back.

        `image_size` is width, height; numbers that are not finite become None.
        """
        from .document import SCHEMA, SCHEMA_VERSION, image_entry, region_entry

        return {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "query": self.query,
            "text": self.text,
            "response": self.response,
            "token_ids": [int(token_id) for token_id in self.token_ids],
            "finish_reason": self.finish_reason,
            "image_size": list(self.image_size) if self.image_size else None,
            "image": self.image and image_entry(self.image),
            "inputs": [str(path) for path in self.inputs],
            "regions": [region_entry(region) for region in self.regions],
            "notes": list(self.notes),
            "timings": self.timings.to_dict(),
            "provenance": plain(self.provenance),
        }

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Answer:
        """The answer that `to_dict` made `document` of; a score of None becomes NaN.

        OutputError names the field that is missing, of another type, or contradicts the others.
        """
        return cls._read(document, "document")

    @classmethod
    def load(cls, directory: str | os.PathLike[str]) -> Answer:
        """The answer saved in `directory`; its image is found again, when needed, if it is still where it was.

        OutputError for a place without an answer.json, and as of `from_dict`.
        """
        from .writers.files import read

        return cls._read(*read(directory))

    @classmethod
    def _read(cls, document: object, what: str) -> Answer:
        from .document import read

        fields, regions = read(document, what)
        return cls(regions=tuple(Region(*region) for region in regions), **fields)

    def save(self, directory: str | os.PathLike[str]) -> tuple[Path, ...]:
        """Write answer.json and report.html, and with one image overlay.png and regions.geojson; returns their paths.

        Where the image cannot be read any more, report.html says why and there is no overlay.png. A directory holds
        one answer: an earlier one is replaced whole. OutputError when the place cannot be written, or holds files of
        these names that are an input or no earlier answer's; what was there before stays then.
        """
        from .writers import save

        pixels, missing = self.image.find() if self.image else (None, "")
        return save(self.to_dict(), self.regions, directory, pixels, missing, self.place)

    # --- Other forms ------------------------------------------------------------------------------------------

    def to_supervision(self) -> Detections:
        """`supervision.Detections`; as of `interop.supervision.detections`. RuntimeUnavailableError without it."""
        from .interop.supervision import detections

        return detections(self.regions, self.image_size)

    def to_coco(self) -> dict[str, Any]:
        """A COCO data set of this image, as of `interop.coco.dataset`."""
        from .interop.coco import dataset

        return dataset(self.regions, self.image_size, self.image.path.name if self.image and self.image.path else "")

    def to_geojson(self) -> dict[str, Any]:
        """What regions.geojson holds: a FeatureCollection, in longitude and latitude where the image has them.

        In pixels otherwise, and the member `geopixel_edge` says so. RuntimeUnavailableError without the extra `geo`
        where the image has a place.
        """
        from .writers import geojson

        return geojson.document(self.regions, self.image_size, self.place)

    def plot(self, *, labels: bool = True) -> Image:
        """The RGB image with its masks laid over it, by default each with its number and phrase.

        ImageError without exactly one image, or when its pixels cannot be read any more.
        """
        from .writers import overlay

        if self.image is None:
            raise ImageError("image: this answer is about no image or several, nothing can be drawn; ask about one")
        return overlay.render(self.image.pixels(), self.regions, labels=labels)

    def _repr_html_(self) -> str:
        """The report in a notebook, in a frame of its own."""
        from .writers import notebook

        pixels, missing = self.image.find() if self.image else (None, "")
        return notebook.frame(self.to_dict(), self.regions, pixels, missing, self.place)

    def __repr__(self) -> str:
        text = self.text if len(self.text) <= 80 else self.text[:79].rstrip() + "\u2026"
        named = ", ".join(repr(region.phrase) for region in self.regions[:4])
        more = f", {len(self.regions) - 4} more" if len(self.regions) > 4 else ""
        regions = f"{len(self.regions)} region{'' if len(self.regions) == 1 else 's'}"
        found = f"{regions}: {named}{more}" if self.regions else "no regions"
        return f"<Answer {text!r}; {found}; {len(self.token_ids)} tokens, {self.finish_reason}>"
