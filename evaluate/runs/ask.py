"""Asking an engine about a data set's images: resumed, shared out, with the time left."""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from geopixel_edge import Answer, Pipeline
from geopixel_edge.errors import OptionError
from geopixel_edge.options import AskOptions
from geopixel_edge.version import __version__

from ..data.dataset import Dataset, Item
from .ledger import Run

_SHARD = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")


@dataclass(frozen=True)
class Settings:
    """How an engine is asked; part of a run's key, but for `threads`."""

    engine: Path | None = None
    device: str = "auto"
    threads: int | None = None
    hd_num: int = 9
    max_new_tokens: int = 300
    compat: bool = False

    @property
    def options(self) -> AskOptions:
        """Greedy, as the tables were made."""
        return AskOptions(max_new_tokens=self.max_new_tokens, compat=self.compat)


def run_key(dataset: Dataset, question: str, settings: Settings, manifest: Any, digest: str) -> dict[str, Any]:
    """What `run.json` says: everything on which an answer may depend."""
    return {
        "task": dataset.task,
        "dataset": dataset.name,
        "fingerprint": dataset.fingerprint,
        "question": question,
        "engine_sha256": digest,
        "precision": manifest.precision,
        "family": manifest.family,
        "device": settings.device,
        "hd_num": settings.hd_num,
        "max_new_tokens": settings.max_new_tokens,
        "compat": settings.compat,
        "version": __version__,
    }


def parse_shard(text: str) -> tuple[int, int]:
    """ "3/8" -> (3, 8), the third of eight; OptionError for anything else."""
    found = _SHARD.fullmatch(text)
    number, count = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= number <= count:
        raise OptionError(f"shard={text!r} is no part; give one of 1/N to N/N, as in 3/8")
    return number, count


def chosen(items: Sequence[Item], shard: tuple[int, int] = (1, 1), limit: int | None = None) -> list[Item]:
    """A shard's items, at most `limit`: which shard an image is in depends on its id alone."""
    number, count = shard
    mine = [one for one in items if zlib.crc32(one.image_id.encode()) % count == number - 1]
    return mine[:limit]


def answer_record(key: str, answer: Answer) -> dict[str, Any]:
    """One answer as the ledger keeps it."""
    return {
        "key": key,
        "query": answer.query,
        "response": answer.response,
        "finish_reason": answer.finish_reason,
        "phrases": [region.phrase for region in answer.regions],
        "masks": [region.mask.to_coco() for region in answer.regions],
        "scores": [float(region.score) for region in answer.regions],
    }


Answered = tuple[str, list[Mapping[str, Any]], float]


def answers_here(pipe: Pipeline, items: Iterable[Item], settings: Settings) -> Iterator[Answered]:
    """Image id, its answers and their seconds, by an engine in this process; an image is opened once."""
    for item in items:
        start = time.perf_counter()
        with pipe.open(item.path, hd_num=settings.hd_num) as image:
            answers: list[Mapping[str, Any]] = [
                answer_record(one.key, image.ask(one.text, settings.options)) for one in item.questions
            ]
        yield item.image_id, answers, time.perf_counter() - start


def waiting(run: Run, items: Sequence[Item]) -> list[Item]:
    """Those without a whole prediction of all their questions yet."""
    return [one for one in items if not run.finished(one.image_id, [question.key for question in one.questions])]


def keep(run: Run, answered: Iterable[Answered], count: int) -> None:
    """Record every image as it is answered, with progress and the time left on standard error."""
    for image_id, answers, seconds in tqdm(answered, total=count, disable=None, unit="image", leave=False):
        run.record(image_id, answers, seconds)
