"""The oracle: cases whose figures the original scorers computed, and how far ours are from them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .data import glamm, refer
from .data.raster import by_pycocotools, filled
from .data.rle import covered_once, mask_of, union
from .data.safe_pickle import load_plain
from .errors import DataError
from .metrics import published, rrsis, strict
from .metrics.captions import cider
from .metrics.coco import coco_stats
from .metrics.java import Java
from .metrics.similarity import Table

MASKS, CIDER, METEOR = 1e-12, 1e-9, 0.0  # how far each kind of figure may be from the original's


@dataclass(frozen=True)
class Difference:
    """One figure of one case: how far it is, and how far it may be; `value` NaN where one of both is missing."""

    case: str
    figure: str
    value: float
    allowed: float

    @property
    def right(self) -> bool:
        """Within what is allowed; a missing figure is not."""
        return self.value <= self.allowed


Found = Iterator[Difference]


def check(folder: Path, java: Java | None) -> list[Difference]:
    """Every figure of every case in `folder`; DataError where there is none or a case is of no known kind."""
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise DataError(f"dir={str(folder)!r} holds no case; give the folder with the oracle's JSON files")
    found: list[Difference] = []
    for path in paths:
        case = glamm.load_json(path)
        kind = case.get("kind") if isinstance(case, dict) else None
        if kind not in KINDS:
            raise DataError(f"{path}: kind={kind!r} is unknown; give one of {', '.join(KINDS)}")
        found += KINDS[kind](case, path.stem, java)
    return found


def _number(case: str, figure: str, ours: float | None, theirs: float | None, allowed: float = MASKS) -> Difference:
    if ours is None or theirs is None:
        return Difference(case, figure, 0.0 if ours is theirs else float("nan"), allowed)
    return Difference(case, figure, abs(ours - theirs), allowed)


def _same(case: str, figure: str, ours: object, theirs: object) -> Difference:
    return Difference(case, figure, 0.0 if ours == theirs else float("inf"), 0.0)


def _gcg(case: dict[str, Any], name: str, java: Java | None) -> Found:
    similarity = Table({(first, second): value for first, second, value in case["similarity"]})
    judged = glamm.judged(glamm.truths(case["gt_masks"], case["gt_captions"]), case["predictions"])
    wanted = case["published"]
    try:
        stats: list[float] | None = coco_stats(judged)
    except IndexError:
        stats = None
    for at, value in enumerate(wanted["coco_stats"] or [None]):
        yield _number(name, f"COCO[{at}]", stats[at] if stats else None, value)
    if "miou" in wanted:
        mious = published.miou(judged)
        yield _number(name, "mIoU", float(np.mean(mious)), wanted["miou"])
        for one, value in zip(judged, mious, strict=True):
            yield _number(name, f"mIoU of {one.image_id}", value, wanted["miou_per_image"][str(one.image_id)])
    if "true_positives" in wanted:
        recalls = [published.image_recall(one, similarity) for one in judged]
        found, actual = sum(len(one.pairs) for one in recalls), sum(one.wanted for one in recalls)
        yield _number(name, "recall", found / actual if actual else None, wanted["recall"])
        yield _same(name, "positives", [found, actual], [wanted["true_positives"], wanted["actual_positives"]])
        for image, ours in zip(judged, recalls, strict=True):
            theirs = wanted["matches_per_image"][str(image.image_id)]
            if theirs["error"] is None:
                yield _same(name, f"pairs of {image.image_id}", [list(pair) for pair in ours.pairs], theirs["pairs"])
            else:
                yield _same(name, f"stop of {image.image_id}", ours.stopped == "index", True)
    if "strict" in case:
        yield from _strict(case["strict"], name, judged, similarity)
    if "captions" in wanted and java:
        texts = [case["gt_captions"]["annotations"], [case["predictions"][str(one.image_id)] for one in judged]]
        tokens = [java.tokenise([one["caption"] for one in part]) for part in texts]
        yield from _captions(wanted["captions"], name, [[one] for one in tokens[0]], tokens[1], java)


def _strict(wanted: dict[str, Any], name: str, judged: list[Any], similarity: Table) -> Found:
    images = [strict.judge(one, similarity) for one in judged]
    found, actual = sum(len(one.found) for one in images), sum(one.wanted for one in images)
    yield _number(name, "strict mIoU", float(np.mean([one.miou for one in images])), wanted["miou"])
    yield _number(name, "strict recall", found / actual if actual else None, wanted["recall"])


def _captions(
    wanted: dict[str, Any], name: str, references: list[list[str]], hypotheses: list[str], java: Java | None
) -> Found:
    values = cider(references, hypotheses)
    yield _number(name, "CIDEr", float(values.mean()), wanted["CIDEr"], CIDER)
    for at, value in enumerate(wanted.get("CIDEr_per_image", {}).values()):
        yield _number(name, f"CIDEr of image {at}", float(values[at]), value, CIDER)
    if java and wanted.get("METEOR") is not None:
        whole, each = java.meteor(references, hypotheses)
        yield _number(name, "METEOR", whole, wanted["METEOR"], METEOR)
        for at, value in enumerate(wanted.get("METEOR_per_image", {}).values()):
            yield _number(name, f"METEOR of image {at}", each[at], value, METEOR)


def _caption_case(case: dict[str, Any], name: str, java: Java | None) -> Found:
    images = list(case["references"])
    references = [case["tokenised_references"][image] for image in images]
    hypotheses = [case["tokenised_hypotheses"][image] for image in images]
    if java:
        flat = [text for image in images for text in [*case["references"][image], case["hypotheses"][image]]]
        told = [text for refs, said in zip(references, hypotheses, strict=True) for text in [*refs, said]]
        yield _same(name, "tokens", java.tokenise(flat), told)
    yield from _captions(case["published"], name, references, hypotheses, java)


def _rrsis(case: dict[str, Any], name: str, java: Java | None) -> Found:
    overlaps = [
        rrsis.Overlap.of(mask_of(one["prediction"], name), mask_of(one["truth"], name)) for one in case["expressions"]
    ]
    wanted, figures = case["published"], rrsis.figures(overlaps, empty=0.0)
    for figure, value in figures.items():
        yield _number(name, figure, value, wanted[figure])
    for at, (ours, theirs) in enumerate(zip(rrsis.ious(overlaps, 0.0).tolist(), wanted["ious"], strict=True)):
        yield _number(name, f"IoU of {at}", ours, theirs)
    counts = [sum(one.common for one in overlaps), sum(one.union for one in overlaps)]
    yield _same(name, "pixels", counts, [wanted["cum_I"], wanted["cum_U"]])


def _refer_tree(case: dict[str, Any], name: str, java: Java | None) -> Found:
    for protocol, data in case["refs_pickle_base64"].items():
        read = load_plain(base64.b64decode(data), f"{name}, protocol {protocol}")
        yield _same(name, f"references, protocol {protocol}", read, case["refs"])
    references = refer.check_references(case["refs"], name)
    for split, wanted in case["published"]["splits"].items():
        yield _same(name, f"split {split}", [one["ref_id"] for one in refer.of_split(references, split)], wanted)
    parts = refer.parts_of(case["instances"], name)
    for one in references:
        wanted, masks = case["published"]["masks"][str(one["ref_id"])], parts[one["ann_id"]]
        height, width = wanted["target"]["size"]
        yield _same(name, f"target of {one['ref_id']}", covered_once(masks, height, width).to_coco(), wanted["target"])
        yield _same(name, f"union of {one['ref_id']}", union(masks, height, width).to_coco(), wanted["union"])


def _fill_poly(case: dict[str, Any], name: str, java: Java | None) -> Found:
    height, width = case["size"]
    for at, parts in enumerate(case["polygons"]):
        ours = filled(parts, height, width).to_coco()
        yield _same(name, f"fill of {at}", ours, case["published"]["masks"][at])
        wanted = case["published"]["masks_polygons_to_rle"][at]
        try:
            rle: dict[str, Any] = by_pycocotools(parts, height, width).to_coco()
        except Exception as error:  # the original's own failures are part of the truth
            rle = {"error": type(error).__name__}
        yield _same(name, f"pycocotools of {at}", rle, wanted)


KINDS: dict[str, Callable[[dict[str, Any], str, Java | None], Found]] = {
    "gcg": _gcg,
    "captions": _caption_case,
    "rrsis": _rrsis,
    "refer_tree": _refer_tree,
    "fill_poly": _fill_poly,
}
