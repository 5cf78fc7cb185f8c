"""From runs, or anyone's prediction files, to one report: global, since rankings and word weights need every image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.dataset import Exclusion, named
from ..data.geopixeld import GeoPixelD
from ..data.glamm import load_json, prediction_of, truth_names, truths
from ..data.rle import resized
from ..data.rrsisd import RrsisD
from ..errors import DataError, IncompleteRunError, RunError
from ..metrics.grounding import Grounding, Judged
from ..metrics.java import Java
from ..metrics.similarity import Similarity
from ..scoring import rrsisd, rsgcg, texts
from .ledger import FREE, Run

Report = dict[str, Any]
EMPTY = Grounding()


@dataclass(frozen=True)
class Measures:
    """How texts are compared: phrases by `similarity`, captions through `java` or, in words, why it is not there."""

    similarity: Similarity
    java: Java | str


@dataclass(frozen=True)
class Predictions:
    """Image id -> prediction, whence they came, and whether the model's own scores are known."""

    by_image: Mapping[str, Any]
    origin: Mapping[str, Any]
    own_scores: bool

    @classmethod
    def of_runs(cls, runs: Sequence[Run]) -> Predictions:
        """Shards put together; RunError where they are of different runs, or contradict each other."""
        first, found = runs[0], dict[str, Any]()
        for run in runs:
            for name in sorted(set(first.key) | set(run.key)):
                if name not in FREE and run.key.get(name) != first.key.get(name):
                    raise RunError(
                        f"{run.root} has {name}={run.key.get(name)!r}, {first.root} has {first.key.get(name)!r}; "
                        "score runs of one engine and data set together"
                    )
            for image_id in run.ids():
                prediction = run.prediction(image_id)
                if found.setdefault(image_id, prediction) != prediction:
                    raise RunError(f"image {image_id!r} has another prediction in {run.root} than before; keep one")
        origin = {name: value for name, value in first.key.items() if name not in FREE}
        return cls(found, origin, True)

    @classmethod
    def of_files(cls, folder: Path) -> Predictions:
        """groundingLMM's prediction files; RunError where there is none or one is torn."""
        paths = sorted(folder.glob("*.json"))
        if not paths:
            raise RunError(f"predictions={str(folder)!r} holds no prediction file; give the folder of <image_id>.json")
        found = {}
        for path in paths:
            image_id, prediction = prediction_of(load_json(path, RunError), str(path))
            if str(image_id) != path.stem:
                raise RunError(f"{path} is the prediction of image {image_id!r}; name it so")
            found[path.stem] = prediction
        return cls(found, {"task": "rsgcg", "predictions": "files"}, False)

    def check(self, wanted: Sequence[str], missing: Sequence[str], partial: bool) -> list[str]:
        """The images to score, in order. RunError for foreign images, IncompleteRunError for lacking ones."""
        known = {*wanted, *missing}
        if foreign := sorted(set(self.by_image) - known):
            raise RunError(f"{named(foreign, 'prediction')} of no image of this data set; give the set that was asked")
        lacking = [image for image in wanted if image not in self.by_image]
        if lacking and not partial:
            told = named(lacking, "image")
            raise IncompleteRunError(f"{told} without a prediction; run the same command again, or score --partial")
        if len(lacking) == len(wanted):
            raise RunError("no image has a prediction yet; run the engine first")
        return [image for image in (*wanted, *missing) if image in self.by_image or image in missing]


def score_geopixeld(
    data: GeoPixelD,
    predictions: Predictions,
    measures: Measures,
    partial: bool,
    rasters: Sequence[str],
) -> Report:
    """GeoPixelD's report; `rasters` are how its truth is drawn, the last one for the strict figures."""
    missing = [image for one in data.exclusions for image in one.images]
    images = predictions.check([one.image_id for one in data.items], missing, partial)
    by_raster, told = judge(data, predictions, images, rasters)
    short = len(images) - len(missing) < len(data.items)
    return _rsgcg(by_raster, predictions, measures, [*data.exclusions, *told], short)


def judge(
    data: GeoPixelD, predictions: Predictions, images: Sequence[str], rasters: Sequence[str]
) -> tuple[dict[str, list[Judged]], list[Exclusion]]:
    """Each image beside its truth by raster, and what could not be drawn; no prediction is an empty one."""
    by_raster: dict[str, list[Judged]] = {raster: [] for raster in rasters}
    undrawn = []
    for image in images:
        for raster in rasters:
            truth, lost = data.truth(image, raster)
            by_raster[raster].append(Judged(image, truth, predictions.by_image.get(image, EMPTY)))
            undrawn += [image] * bool(lost)
    told = Exclusion("parts of one or two points, which pycocotools cannot draw, left out of its truth", tuple(undrawn))
    return by_raster, [told] if undrawn else []


def score_coco_truth(folder: Path, split: str, predictions: Predictions, measures: Measures, partial: bool) -> Report:
    """The report over groundingLMM's truth files, which hold masks as run lengths."""
    masks, captions = (load_json(folder / name) for name in truth_names(split))
    truth = truths(masks, captions)
    images = set(predictions.check([str(image) for image in truth], [], partial))
    judged = [
        Judged(image, wanted, predictions.by_image[str(image)], areas)
        for image, (wanted, areas) in truth.items()
        if str(image) in images
    ]
    unlike = tuple(str(one.image_id) for one in judged if len(one.truth.phrases) != len(one.truth.masks))
    told = [Exclusion("truth with another number of labels than of masks, kept as it is", unlike)] if unlike else []
    return _rsgcg({"as given": judged}, predictions, measures, told, len(judged) < len(truth))


def _rsgcg(
    by_raster: Mapping[str, Sequence[Judged]],
    predictions: Predictions,
    measures: Measures,
    excluded: Sequence[Exclusion],
    partial: bool,
) -> Report:
    *_, judged = by_raster.values()
    said = texts.score([one.truth.caption for one in judged], [one.predicted.caption for one in judged], measures.java)
    found = rsgcg.score(by_raster, measures.similarity, predictions.own_scores)
    return {**_head(predictions, len(judged), partial, excluded), "captions": said, **found}


def _head(predictions: Predictions, images: int, partial: bool, excluded: Sequence[Exclusion]) -> Report:
    told = as_told(excluded)
    return {"report": 1, **predictions.origin, "images": images, "partial": partial, "exclusions": told}


def as_told(excluded: Sequence[Exclusion]) -> list[Report]:
    """As reports hold them."""
    return [{"what": one.what, "count": len(one.images), "images": list(one.images)} for one in excluded]


def score_rrsisd(data: RrsisD, predictions: Predictions, partial: bool) -> Report:
    """RRSIS-D's report; masks of another size than their truth are resized to it and counted."""
    missing = [image for one in data.exclusions for image in one.images]
    images = predictions.check([one.image_id for one in data.items], missing, partial)
    found, told = express(data, predictions, images)
    short = len(images) - len(missing) < len(data.items)
    return {**_head(predictions, len(images), short, [*data.exclusions, *told]), **rrsisd.score(found)}


def express(
    data: RrsisD, predictions: Predictions, images: Sequence[str]
) -> tuple[list[rrsisd.Expressed], list[Exclusion]]:
    """Each expression beside its truth, and what was resized; an image without a prediction is answered with nothing.

    RunError where an image was asked other expressions.
    """
    found, unlike = [], []
    for image in images:
        _, expressions = data.by_image[image]
        answered = predictions.by_image.get(image, {one.key: EMPTY for one in expressions})
        if set(answered) != {one.key for one in expressions}:
            raise RunError(f"image {image!r} was asked other expressions than this data set has; run it again")
        for one in expressions:
            parts = tuple(data.parts[one.ann_id])
            size = parts[0].height_px, parts[0].width_px
            shown = answered[one.key].masks
            unlike += [image] * any((mask.height_px, mask.width_px) != size for mask in shown)
            fitted = tuple(resized(mask, *size) for mask in shown)
            found.append(rrsisd.Expressed(image, one.key, one.class_name, fitted, parts))
    told = Exclusion("image of another size than its truth: masks resized to the truth", tuple(dict.fromkeys(unlike)))
    return found, [told] if unlike else []


def check_same_data(data: GeoPixelD | RrsisD, runs: Sequence[Run]) -> None:
    """RunError where a run was over other data than `data`."""
    for run in runs:
        if run.key.get("fingerprint") != data.fingerprint:
            over = f"{run.root} is a run over {run.key.get('dataset')!r}"
            raise RunError(f"{over}, with other files than data={str(data.root)!r} has; give its own")
        if run.task != data.task:
            raise DataError(f"{run.root} is a run of {run.task}, the data are of {data.task}; give its own")
