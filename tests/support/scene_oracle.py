"""An engine that answers from the truth of a scene: it knows which window it is shown by the pixels alone."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geopixel_edge.errors import InferenceError
from geopixel_edge.masks import Mask
from geopixel_edge.scenes.asking import Answered
from geopixel_edge.scenes.views import Found


class TruthAsker:
    """Finds the colour of a phrase: a scene is drawn so that every kind of thing has its own.

    `log` gets a line for every window asked, by its digest; windows whose first pixel is `failing` in blue fail. An
    answer takes `wait_s` seconds more.
    """

    def __init__(
        self, colours: dict[str, tuple[int, int, int]], log: Path | None = None, failing: int = -1, wait_s: float = 0.0
    ) -> None:
        self.colours, self.log, self.failing, self.wait_s = colours, log, failing, wait_s

    def name(self) -> str:
        return "truth"

    def check(self, phrases: Sequence[str]) -> None:
        assert set(phrases) <= set(self.colours)

    def ask(self, windows: Sequence[NDArray[np.uint8]], phrases: Sequence[str], describe: bool) -> list[Answered]:
        return [self._answer(window, phrases, describe) for window in windows]

    def _answer(self, window: NDArray[np.uint8], phrases: Sequence[str], describe: bool) -> Answered:
        if self.log is not None:
            with self.log.open("a", encoding="ascii") as file:
                file.write(hashlib.sha256(window.tobytes()).hexdigest() + "\n")
        time.sleep(self.wait_s)
        if int(window[0, 0, 2]) == self.failing:
            raise InferenceError("a block gave numbers that are not finite")
        found = []
        for phrase in phrases:
            mask = (window == self.colours[phrase]).all(axis=2)
            if mask.any():
                found.append((phrase, Found(Mask.from_array(mask), 0.9)))
        return Answered(tuple(found), "a picture" if describe else "")

    def describe(self, picture: NDArray[np.uint8]) -> str:
        return f"a scene of {picture.shape[1]} x {picture.shape[0]} px"
