"""RRSIS-D in the refer layout: `rrsisd/{instances.json, refs(unc).p}` and `images/rrsisd/JPEGImages/`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from geopixel_edge.masks import Mask

from ..errors import DataError
from ..files import write_json
from .dataset import Item, Question, Split, fingerprint_of, named
from .glamm import check_unique, load_json, records_of
from .refer import SPLITS, check_references, of_split, parts_of
from .safe_pickle import MAX_BYTES, load_plain

ANNOTATIONS, REFERENCES, IMAGES = "rrsisd/instances.json", "rrsisd/refs(unc).p", "images/rrsisd/JPEGImages"
QUESTION = "Could you provide a segmentation mask for {} in this image?"


@dataclass(frozen=True)
class Expression:
    """One sentence of a reference: what is asked and which annotation is its truth."""

    key: str
    ref_id: int
    sent_id: int
    sentence: str
    ann_id: int
    class_name: str


@dataclass
class RrsisD(Split):
    """One or several splits together, grouped by image."""

    root: Path
    splits: tuple[str, ...] = ("test",)
    question: str = QUESTION
    allow_missing: bool = False
    cache: Path | None = None
    task: str = field(default="rrsisd", init=False)

    @property
    def name(self) -> str:
        """Layout and splits."""
        return f"RRSIS-D {' + '.join(self.splits)}"

    @cached_property
    def _instances(self) -> Mapping[str, Any]:
        found = load_json(self.root / ANNOTATIONS)
        if not isinstance(found, dict):
            raise DataError(f"{self.root / ANNOTATIONS} is a {type(found).__name__}, not COCO's layout; fetch it again")
        return found

    @cached_property
    def references(self) -> list[dict[str, Any]]:
        """Those of all splits; the pickle is read without running it."""
        path = self.root / REFERENCES
        return check_references(read_references(path, self.cache), str(path))

    @cached_property
    def by_image(self) -> dict[str, tuple[Path, tuple[Expression, ...]]]:
        """Image id -> its file and its expressions."""
        if unknown := [split for split in self.splits if split not in SPLITS]:
            raise DataError(f"split={unknown[0]!r} is unknown; give one of {', '.join(SPLITS)}")
        if empty := [split for split in self.splits if not of_split(self.references, split)]:
            raise DataError(f"{self.name}: split={empty[0]!r} is empty; give another")
        names, files = self._named("categories", "name"), self._named("images", "file_name")
        found: dict[str, tuple[Path, list[Expression]]] = {}
        for reference in (one for split in self.splits for one in of_split(self.references, split)):
            self._check(reference, files)
            path = self.root / IMAGES / files[reference["image_id"]]
            class_name = str(names.get(reference["category_id"], "unknown"))
            _, expressions = found.setdefault(str(reference["image_id"]), (path, []))
            for one in reference["sentences"]:
                ids = reference["ref_id"], one["sent_id"]
                expressions.append(Expression(f"{ids[0]}-{ids[1]}", *ids, one["sent"], reference["ann_id"], class_name))
        return {image: (path, tuple(ones)) for image, (path, ones) in sorted(found.items(), key=_by_number)}

    def _named(self, kind: str, field_name: str) -> dict[int, str]:
        """Id -> name of the images, or of the categories, which may be absent."""
        where = str(self.root / ANNOTATIONS)
        listed = records_of(self._instances, kind, where) if kind in self._instances or kind == "images" else []
        check_unique((one.get("id") for one in listed), f"{where}: {kind}:")
        if wrong := [one for one in listed if not isinstance(one.get(field_name), str)]:
            raise DataError(f"{where}: {kind}: id {wrong[0]['id']} has no text {field_name}; fetch it again")
        return {one["id"]: one[field_name] for one in listed}

    @cached_property
    def _image_of(self) -> dict[int, Any]:
        """Annotation id -> the image that it says it is of."""
        return {one["id"]: one.get("image_id") for one in self._instances["annotations"]}

    def _check(self, reference: Mapping[str, Any], files: Mapping[int, str]) -> None:
        """DataError for a reference to what is not there, or that names one image and is of another."""
        told, image_id = f"{self.root / REFERENCES}: reference {reference['ref_id']}", reference["image_id"]
        if reference["ann_id"] not in self.parts or image_id not in files:
            raise DataError(f"{told} names an annotation or image that is not in {ANNOTATIONS}; fetch both again")
        of_annotation = self._image_of[reference["ann_id"]]
        if of_annotation is not None and of_annotation != image_id:
            raise DataError(f"{told} is of image {image_id}, its annotation of {of_annotation!r}; fetch both again")
        # The refer layout's own file names add the annotation's number: what counts is that it is no other image's.
        file_name = reference.get("file_name")
        if file_name != files[image_id] and file_name in self._file_names:
            raise DataError(f"{told} names the file {file_name!r}, its image is {files[image_id]!r}; fetch both again")

    @cached_property
    def _file_names(self) -> frozenset[str]:
        return frozenset(self._named("images", "file_name").values())

    @cached_property
    def parts(self) -> dict[int, list[Mask]]:
        """Annotation id -> its masks. DataError where they differ in size."""
        found = parts_of(self._instances, str(self.root / ANNOTATIONS))
        unlike = [str(key) for key, parts in found.items() if len({(one.height_px, one.width_px) for one in parts}) > 1]
        if unlike:
            raise DataError(f"{self.root / ANNOTATIONS}: {named(unlike, 'annotation')} made of masks of several sizes")
        return found

    def listed(self) -> list[Item]:
        """Every image of the splits, in the order of ids, with a question for each expression."""
        return [
            Item(image, path, tuple(self._question(one) for one in expressions))
            for image, (path, expressions) in self.by_image.items()
        ]

    def _question(self, one: Expression) -> Question:
        return Question(one.key, self.question.replace("{}", one.sentence))

    @cached_property
    def fingerprint(self) -> str:
        """As of `Dataset`; the question is not part of it."""
        files = [self.root / ANNOTATIONS, self.root / REFERENCES]
        return fingerprint_of(files, (path for path, _ in self.by_image.values()), self.task, *self.splits)


def _by_number(entry: tuple[str, Any]) -> tuple[int, str]:
    return (int(entry[0]) if entry[0].isdigit() else 0, entry[0])


def read_references(path: Path, cache: Path | None = None) -> Any:
    """The records of a reference pickle, or those kept in the folder `cache` of a pickle of the same SHA-256."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path} has more than {MAX_BYTES:,} bytes; the real one has a few million")
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); give the folder that holds {REFERENCES}") from None
    kept = cache and cache / f"references-{hashlib.sha256(data).hexdigest()}.json"
    if kept and kept.is_file():
        return load_json(kept)
    records = load_plain(data, str(path))
    if kept:
        write_json(kept, records)
    return records
