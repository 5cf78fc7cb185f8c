"""What answers about windows: a protocol, and a Pipeline as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .views import Found

DESCRIBE = "Can you give a thorough description of this image, with interleaved segmentation masks for the objects?"


class Answered(NamedTuple):
    """What was found in one window, by phrase, and its description where one was asked for."""

    found: tuple[tuple[str, Found], ...]
    text: str = ""


class Asker(Protocol):
    """Answers phrases about windows. It is pickled where several processes ask."""

    def name(self) -> str:
        """What tells engines apart: a digest."""

    def check(self, phrases: Sequence[str]) -> None:
        """Raise QueryError for a phrase that cannot be put."""

    def ask(self, windows: Sequence[NDArray[np.uint8]], phrases: Sequence[str], describe: bool) -> list[Answered]:
        """One Answered for each window, uint8 (height, width, 3). InferenceError where a block fails."""

    def describe(self, picture: NDArray[np.uint8]) -> str:
        """What a picture of the whole scene, uint8 (height, width, 3), shows. Raises as `ask`."""


@dataclass(frozen=True)
class PipelineAsker:
    """A Pipeline that is asked about windows; several together where more than one is given."""

    pipeline: Any  # geopixel_edge.pipeline.Pipeline, which stands above this room
    hd_num: int = 9

    def name(self) -> str:
        """SHA-256 of the engine's manifest."""
        return str(self.pipeline.engine.digest)

    def check(self, phrases: Sequence[str]) -> None:
        """Raise QueryError for a phrase that cannot be put."""
        for phrase in phrases:
            self.pipeline.model.family.segment_query(phrase)

    def ask(self, windows: Sequence[NDArray[np.uint8]], phrases: Sequence[str], describe: bool) -> list[Answered]:
        """See `Asker`. Every window is opened once, and what depends on it alone is computed once."""
        query = self.pipeline.model.family.segment_query
        questions = [query(phrase) for phrase in phrases] + ([DESCRIBE] if describe else [])
        if len(windows) == 1:
            with self.pipeline.open(windows[0], hd_num=self.hd_num) as opened:
                answers = [opened.ask(question) for question in questions]
        else:
            pairs = [(window, question) for window in windows for question in questions]
            answers = list(self.pipeline.batch(pairs, hd_num=self.hd_num))
        each = len(questions)
        return [_answered(answers[k : k + each], phrases) for k in range(0, len(answers), each)]

    def describe(self, picture: NDArray[np.uint8]) -> str:
        """See `Asker`."""
        with self.pipeline.open(picture, hd_num=self.hd_num) as opened:
            return str(opened.ask(DESCRIBE).text)


def _answered(answers: Sequence[Any], phrases: Sequence[str]) -> Answered:
    """Regions of a phrase's own answer have its name; a description's have those that the model gave them."""
    found = [
        (phrase, Found(region.mask, region.score))
        for phrase, answer in zip(phrases, answers, strict=False)
        for region in answer.regions
    ]
    described = answers[len(phrases) :]
    found += [
        (region.phrase or "(no phrase)", Found(region.mask, region.score))
        for answer in described
        for region in answer.regions
    ]
    return Answered(tuple(found), described[0].text if described else "")
