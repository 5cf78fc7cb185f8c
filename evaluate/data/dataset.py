"""What every data set gives: images with their questions, and a fingerprint that says which data they are."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

from PIL import Image

from ..errors import DataError

MAX_NAMED = 10
MAX_ID_LENGTH = 200


@dataclass(frozen=True)
class Question:
    """What an image is asked; `key` tells the questions of an image apart."""

    key: str
    text: str


@dataclass(frozen=True)
class Item:
    """One image: its id, which is also its prediction's file name, its file, and what it is asked."""

    image_id: str
    path: Path
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class Exclusion:
    """What was left out or treated otherwise, and of which images; every report counts it."""

    what: str
    images: tuple[str, ...] = field(default=())


class Dataset(Protocol):
    """A split of a data set, its structure checked."""

    @property
    def task(self) -> str:
        """ "rsgcg" or "rrsisd": how it is asked and scored."""

    @property
    def name(self) -> str:
        """Layout and split, as reports say it."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of its annotations and images, names and contents."""

    @property
    def items(self) -> tuple[Item, ...]:
        """Its images, in the order of their ids; those that are missing left out."""

    @property
    def exclusions(self) -> tuple[Exclusion, ...]:
        """What of it is not as it should be, and allowed."""


class Split(ABC):
    """A split whose images are looked for once, when its items or exclusions are first asked for."""

    allow_missing: bool

    @property
    @abstractmethod
    def name(self) -> str:
        """As of `Dataset`."""

    @abstractmethod
    def listed(self) -> Sequence[Item]:
        """Every image of the split, those that are missing, too."""

    @cached_property
    def _found(self) -> tuple[tuple[Item, ...], tuple[Exclusion, ...]]:
        return split_missing(self.listed(), self.allow_missing, self.name)

    @property
    def items(self) -> tuple[Item, ...]:
        """Its images; DataError lists those that are missing."""
        return self._found[0]

    @property
    def exclusions(self) -> tuple[Exclusion, ...]:
        """Missing images, where they are allowed."""
        return self._found[1]


def check_ids(ids: Iterable[str], where: str) -> None:
    """DataError for an id that occurs twice or is no file name."""
    seen: set[str] = set()
    for one in ids:
        bad = not one or one.startswith(".") or any(sign in one for sign in "/\\\0:") or len(one) > MAX_ID_LENGTH
        if bad:
            raise DataError(f"{where}: image id {one!r} is no file name; rename the image")
        if one in seen:
            raise DataError(f"{where}: image id {one!r} occurs twice; remove one")
        seen.add(one)


def split_missing(
    items: Sequence[Item], allow_missing: bool, where: str
) -> tuple[tuple[Item, ...], tuple[Exclusion, ...]]:
    """The items whose image is there, and the others as an exclusion.

    DataError lists the missing ones where they are not allowed, and says so where none is left.
    """
    missing = [item for item in items if not item.path.is_file()]
    if len(missing) == len(items):
        raise DataError(f"{where}: none of its {len(items)} images is there; fetch them, or give another folder")
    if missing and not allow_missing:
        listed = named([str(one.path) for one in missing], "image")
        raise DataError(f"{where}: {listed} missing; fetch them, or count them as failures with --allow-missing")
    told = Exclusion("image missing, counted as unanswered", tuple(one.image_id for one in missing))
    return tuple(one for one in items if one.path.is_file()), (told,) if missing else ()


def named(things: Sequence[str], noun: str) -> str:
    """ "3 images (a, b, c) are", the first ten named."""
    more = f", and {len(things) - MAX_NAMED} more" if len(things) > MAX_NAMED else ""
    plural, are = ("s", "are") if len(things) > 1 else ("", "is")
    return f"{len(things)} {noun}{plural} ({', '.join(things[:MAX_NAMED])}{more}) {are}"


def size_of(path: Path) -> tuple[int, int]:
    """Height and width in pixels, from the file's header."""
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} is no readable image ({error}); fetch it again") from None


def fingerprint_of(annotations: Iterable[Path], images: Iterable[Path], *more: str) -> str:
    """SHA-256 over names and contents of annotation files and images, those that are missing as such, and words."""
    digest = hashlib.sha256()
    for path in (*sorted(annotations), *sorted(images)):
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"
        digest.update(f"{path.name}\0{content}\0".encode())
    digest.update("\0".join(more).encode())
    return digest.hexdigest()
