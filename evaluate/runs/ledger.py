"""A run's folder: what it asked with, and one file per image whose presence says that it is finished.

`predictions/ID.json` holds what is scored, for RS-GCG in groundingLMM's own format; `answers/ID.json` holds the model's
words, scores and seconds. Both are written aside and renamed, the prediction last.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.glamm import load_json, prediction_of, prediction_record
from ..data.rle import mask_of
from ..errors import DataError, RunError
from ..files import clear_leftovers, write_json
from ..metrics.captions import caption_of, phrases_in
from ..metrics.grounding import Grounding

FORMAT = 1
RUN, PREDICTIONS, ANSWERS = "run.json", "predictions", "answers"
# What may differ between runs of one folder: where it ran, not what was asked.
FREE = ("data", "engine")

Answers = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Run:
    """An opened folder; `key` is what `run.json` holds."""

    root: Path
    key: Mapping[str, Any]

    @classmethod
    def begin(cls, root: Path, key: Mapping[str, Any]) -> Run:
        """Open the folder of the run that `key` describes, or make it; RunError where it is another run's."""
        key = {"format": FORMAT, **key}
        for folder in (root, root / PREDICTIONS, root / ANSWERS):
            clear_leftovers(folder)
        if (root / RUN).is_file():
            there = cls.open(root)
            for name in sorted(set(key) | set(there.key)):
                if name not in FREE and there.key.get(name) != key.get(name):
                    raise RunError(
                        f"out={str(root)!r} is a run with {name}={there.key.get(name)!r}, this one has "
                        f"{key.get(name)!r}; choose another folder"
                    )
            return there
        if (root / PREDICTIONS).exists():
            raise RunError(f"out={str(root)!r} has predictions and no {RUN}; choose another folder")
        write_json(root / RUN, key, indent=1)
        return cls(root, key)

    @classmethod
    def open(cls, root: Path) -> Run:
        """A folder that is there; RunError where it is no run."""
        key = load_json(root / RUN, RunError)
        if not isinstance(key, dict) or key.get("format") != FORMAT or key.get("task") not in ("rsgcg", "rrsisd"):
            raise RunError(f"{root / RUN} is of no run that this version knows; choose another folder")
        return cls(root, key)

    @property
    def task(self) -> str:
        """rsgcg or rrsisd."""
        return str(self.key["task"])

    def setting(self, name: str) -> Any:
        """What the run was asked with; RunError where `run.json` does not say it, or says it wrongly."""
        value = self.key.get(name)
        right = isinstance(value, list) and value and all(isinstance(one, str) for one in value)
        if not (right if name == "splits" else isinstance(value, str)):
            raise RunError(f"{self.root / RUN} has {name}={value!r}; it is damaged, so ask again in another folder")
        return value

    def finished(self, image_id: str, keys: Sequence[str]) -> bool:
        """Whether the image has a whole prediction of the questions `keys`. Another is removed, to be asked again."""
        path = self.root / PREDICTIONS / f"{image_id}.json"
        if not path.is_file():
            return False
        try:
            self.prediction(image_id)
            whole = [one["key"] for one in self.answers(image_id)] == list(keys)
        except RunError:
            whole = False
        if not whole:
            path.unlink(missing_ok=True)
        return whole

    def record(self, image_id: str, answers: Answers, seconds: float) -> None:
        """Keep an image's answers: each with key, query, response, phrases, masks (COCO RLE) and scores."""
        write_json(self.root / ANSWERS / f"{image_id}.json", {"answers": list(answers), "seconds": seconds})
        write_json(self.root / PREDICTIONS / f"{image_id}.json", prediction_document(self.task, image_id, answers))

    def ids(self) -> list[str]:
        """Images with a prediction file."""
        return sorted(path.stem for path in (self.root / PREDICTIONS).glob("*.json"))

    def answers(self, image_id: str) -> list[Mapping[str, Any]]:
        """What the model said about an image; RunError where the file is missing or torn."""
        path = self.root / ANSWERS / f"{image_id}.json"
        found = load_json(path, RunError)
        answers = found.get("answers") if isinstance(found, dict) else None
        if not isinstance(answers, list) or not answers or not all(map(_is_answer, answers)):
            raise RunError(
                f"{path} holds no answers, or torn ones; remove it and the image's prediction, and run again"
            )
        return answers

    def prediction(self, image_id: str) -> Any:
        """RS-GCG: its Grounding, with scores. RRSIS-D: key -> Grounding. RunError where it is torn or another's."""
        path = self.root / PREDICTIONS / f"{image_id}.json"
        record = load_json(path, RunError)
        answers = self.answers(image_id)
        if self.task == "rsgcg":
            found: tuple[Any, Any] = prediction_of(record, str(path), answers[0]["scores"])
        else:
            found = expressions_of(record, str(path))
        if str(found[0]) != image_id:
            raise RunError(f"{path} is the prediction of image {found[0]!r}; it was renamed, so put it back")
        try:
            same = record == prediction_document(self.task, image_id, answers)
        except (DataError, ValueError) as error:
            raise RunError(f"{path}: its answers are torn ({error}); remove it and run again") from None
        if not same:
            raise RunError(f"{path} is not what {ANSWERS}/{path.name} says; remove it and run again")
        return found[1]


def _is_answer(one: object) -> bool:
    """Whether it is a record of an answer, each mask with a finite score."""
    if not isinstance(one, dict) or not all(isinstance(one.get(name), str) for name in ("key", "response")):
        return False
    masks, scores, phrases = one.get("masks"), one.get("scores"), one.get("phrases", [])
    lists = isinstance(masks, list) and isinstance(scores, list) and len(masks) == len(scores)
    said = isinstance(phrases, list) and all(isinstance(phrase, str) for phrase in phrases)
    return lists and said and all(type(value) in (int, float) and math.isfinite(value) for value in scores or ())


def prediction_document(task: str, image_id: str, answers: Answers) -> dict[str, Any]:
    """What `predictions/ID.json` holds: groundingLMM's record, or one entry for each expression."""
    if task == "rsgcg":
        (answer,) = answers
        masks = tuple(mask_of(rle, image_id) for rle in answer["masks"])
        said = Grounding(caption_of(answer["response"]), tuple(phrases_in(answer["response"])), masks)
        return prediction_record(image_id, said)
    entries = [{"key": one["key"], "pred_masks": one["masks"], "scores": one["scores"]} for one in answers]
    return {"image_id": image_id, "expressions": entries}


def expressions_of(record: object, where: str) -> tuple[str, dict[str, Grounding]]:
    """Image id and key -> masks of an RRSIS-D prediction; RunError where it is torn."""
    entries = record.get("expressions") if isinstance(record, dict) else None
    if not isinstance(record, dict) or not isinstance(entries, list) or "image_id" not in record:
        raise RunError(f"{where} holds no record of a prediction; remove it and run again")
    found: dict[str, Grounding] = {}
    for one in entries:
        right = isinstance(one, dict) and isinstance(one.get("pred_masks"), list) and isinstance(one.get("key"), str)
        if not right or one["key"] in found or not isinstance(one.get("scores"), list):
            raise RunError(f"{where} has an expression without key, masks or scores, or twice; remove it and run again")
        try:
            masks = tuple(mask_of(rle, f"{where}: {one.get('key')}") for rle in one["pred_masks"])
        except DataError as error:
            raise RunError(f"{error}; remove it and run again") from None
        found[one["key"]] = Grounding(masks=masks, scores=tuple(one["scores"]))
    return str(record["image_id"]), found
