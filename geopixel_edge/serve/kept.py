"""The images that a worker keeps open, least recently used first, bounded by the bytes that they take."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from ..images import LoadedImage
from ..model import Model
from ..pipeline import Pipeline
from ..session import OpenedImage
from .jobs import Picture
from .problems import RequestError
from .uploads import check_pixels, digest_of, load_upload

# Of what is free once the engine is loaded, where no memory was allowed by number.
FREE_SHARE = 4


@dataclass
class Held:
    """An opened image, or several of one question, and their ids."""

    ids: tuple[str, ...]
    opened: OpenedImage

    @property
    def bytes(self) -> int:
        """Pixels, and what questions have had computed of them."""
        pixels = sum(image.pixels.nbytes for image in self.opened.images)
        return pixels + sum(tensor.nbytes for tensor in self.opened.kept)


class KeptImages:
    """Opened images by their ids and how finely they are divided; `allowed_bytes` in all, the latest always stays."""

    def __init__(self, pipe: Pipeline, prefix: str, allowed_bytes: int | None = None) -> None:
        self.pipe, self.prefix = pipe, prefix
        self.allowed_bytes = allowed_of(pipe.model) if allowed_bytes is None else allowed_bytes
        self.hits = self.misses = 0
        self._held: OrderedDict[tuple[tuple[str, ...], int], Held] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    @property
    def bytes(self) -> int:
        """What they take by now: questions make it grow."""
        return sum(held.bytes for held in self._held.values())

    def get(self, pictures: Sequence[Picture], hd_num: int) -> Held:
        """The opened images of a question; those that are kept are neither decoded nor computed again.

        RequestError 404 for an id that is not here; ImageError and others as of `load_upload`.
        """
        ids = tuple(self.id_of(picture) for picture in pictures)
        if found := self._held.get((ids, hd_num)):
            self._held.move_to_end((ids, hd_num))
            self.hits += 1
            return found
        self.misses += 1
        held = Held(ids, self.pipe.open(self.images(pictures) or None, hd_num=hd_num))
        if ids:
            self._held[ids, hd_num] = held
            self.shrink(self.allowed_bytes)
        return held

    def images(self, pictures: Sequence[Picture]) -> list[LoadedImage]:
        """The pixels of several, of those that are the same once; their bounds are checked before any is decoded."""
        check_pixels(pictures)
        found = {self.id_of(picture): picture for picture in pictures}
        loaded = {one: self.image(picture) for one, picture in found.items()}
        return [loaded[self.id_of(picture)] for picture in pictures]

    def image(self, picture: Picture) -> LoadedImage:
        """One image's pixels, kept ones as they are."""
        wanted = self.id_of(picture)
        for held in self._held.values():
            if wanted in held.ids:
                return held.opened.images[held.ids.index(wanted)]
        if picture.id:
            raise RequestError(
                404,
                f"image {picture.id!r} is not kept here (let go for others, deleted, or its worker was started anew); "
                "upload it again",
                code="image_not_found",
            )
        return load_upload(picture, self.pipe.engine.manifest.pixel_percentiles)

    def id_of(self, picture: Picture) -> str:
        """The id a picture has, or will have once it is kept."""
        return picture.id or f"{self.prefix}{digest_of(picture)}"

    def forget(self, image_id: str) -> bool:
        """Let every opened image go that this id is part of; whether there was one."""
        gone = [key for key, held in self._held.items() if image_id in held.ids]
        for key in gone:
            self._held.pop(key).opened.close()
        return bool(gone)

    def shrink(self, allowed_bytes: int) -> None:
        """Let the least recently used go until the others fit; the latest stays.

        They are not closed: a question of the same request may be about one, and it is freed with that.
        """
        while len(self._held) > 1 and self.bytes > allowed_bytes:
            self._held.popitem(last=False)

    def make_room(self, taken_bytes: int) -> None:
        """Before a question that takes so much: what is kept beside it stays within the memory that was allowed."""
        budget = self.pipe.model.budget_bytes
        self.shrink(self.allowed_bytes if budget is None else min(self.allowed_bytes, max(0, budget - taken_bytes)))

    def clear(self) -> None:
        """Let all go."""
        for held in self._held.values():
            held.opened.close()
        self._held.clear()


def allowed_of(model: Model) -> int:
    """Bytes for kept images: what the plan of a usual question leaves of the memory allowed, or a share of the free."""
    if model.budget_bytes is not None:
        return max(0, model.budget_bytes - model.plan.peak_bytes)
    return model.device.free_bytes() // FREE_SHARE
