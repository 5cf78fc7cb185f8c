"""Windows looked at and asked about: by one process that reads one step ahead, or by several."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from multiprocessing.process import BaseProcess
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import GeoPixelError, ImageError, InferenceError, ResourceError
from ..rasters.raster import Raster, Window
from .asking import Answered, Asker
from .ledger import ViewRow, WindowRow
from .opening import Scene
from .scale import Scale
from .views import view_parts
from .windows import Grid


class Result(NamedTuple):
    """What a window ended as, for the ledger."""

    window: WindowRow
    views: tuple[ViewRow, ...] = ()


class Look(NamedTuple):
    """A window's pixels, or why there are none: `ended` is its whole result then."""

    number: int
    pixels: Window | None
    ended: Result | None
    seconds: float


@dataclass(frozen=True)
class Work:
    """All that is needed to look at windows of a scene and ask about them; pickled where several processes do."""

    scene: Scene
    scale: Scale
    grid: Grid
    asker: Asker
    phrases: tuple[str, ...]
    describe: bool
    min_valid: float

    def open(self) -> Raster:
        """The scene as it is shown, for one thread."""
        return self.scene.seen(self.scale)

    def look(self, raster: Raster, number: int) -> Look:
        """Read a window; empty where no pixel is valid, failed where it cannot be read."""
        started, box = time.perf_counter(), self.grid.box(number)
        ended: Result | None = None
        window: Window | None = None
        try:
            if raster.stored(*box):
                window = raster.read(*box)
        except ImageError as error:
            ended = Result(WindowRow(number, "failed", time.perf_counter() - started, str(error)))
        if ended is None and (window is None or not window.valid.any()):
            ended = Result(WindowRow(number, "empty", 0.0))
        elif window is not None and self.min_valid and window.valid.mean() < self.min_valid:
            ended = Result(WindowRow(number, "empty", 0.0, f"{window.valid.mean():.1%} of its pixels are valid"))
        return Look(number, None if ended else window, ended, time.perf_counter() - started)

    def answer(self, looks: Sequence[Look]) -> list[Result]:
        """Ask about windows that hold pixels, together; one by one where that fails."""
        started = time.perf_counter()
        windows = [look.pixels for look in looks if look.pixels is not None]
        answered: list[Answered] | InferenceError | ImageError
        try:
            answered = self.asker.ask([window.rgb for window in windows], self.phrases, self.describe)
        except (InferenceError, ImageError) as error:
            if len(looks) > 1:
                return [result for look in looks for result in self.answer([look])]
            answered = error
        each_s = (time.perf_counter() - started) / max(1, len(looks))
        if isinstance(answered, GeoPixelError):
            return [Result(WindowRow(looks[0].number, "failed", looks[0].seconds + each_s, str(answered)))]
        return [
            Result(
                WindowRow(look.number, "done", look.seconds + each_s, "", one.text),
                tuple(_views(self.grid, look.number, one, window.valid)),
            )
            for look, window, one in zip(looks, windows, answered, strict=True)
        ]


def _views(grid: Grid, number: int, answered: Answered, valid: NDArray[np.bool_]) -> Iterator[ViewRow]:
    x, y, _, _ = grid.box(number)
    by_phrase: dict[str, list[int]] = {}
    for index, (phrase, _) in enumerate(answered.found):
        by_phrase.setdefault(phrase, []).append(index)
    for phrase, indices in by_phrase.items():
        for runs, score in view_parts([answered.found[k][1] for k in indices], valid):
            yield ViewRow(number, phrase, runs.moved(x, y), score)


# --- One process ------------------------------------------------------------------------------------------------------


def work_through(work: Work, numbers: Iterable[int], batch: int) -> Iterator[list[Result]]:
    """The results of windows, `batch` asked together; a thread reads the next ones meanwhile."""
    todo = iter(numbers)
    with ThreadPoolExecutor(1, "scene-reader") as reader:
        raster = reader.submit(work.open).result()
        try:
            ahead = reader.submit(_read, work, raster, todo, batch)
            while looks := ahead.result():
                ahead = reader.submit(_read, work, raster, todo, batch)
                yield from _answered_in_turn(work, looks)
        finally:
            reader.submit(raster.close).result()


# So many windows without pixels are recorded together.
_EMPTY_AT_ONCE = 4_096


def _read(work: Work, raster: Raster, todo: Iterator[int], batch: int) -> list[Look]:
    """The next windows, until `batch` of them hold pixels or many hold none; nothing where all are read."""
    looks: list[Look] = []
    full = 0
    for number in todo:
        looks.append(work.look(raster, number))
        full += looks[-1].pixels is not None
        if full == batch or len(looks) == _EMPTY_AT_ONCE:
            break
    return looks


def _answered_in_turn(work: Work, looks: Sequence[Look]) -> Iterator[list[Result]]:
    if ended := [look.ended for look in looks if look.ended is not None]:
        yield ended
    if full := [look for look in looks if look.pixels is not None]:
        yield work.answer(full)


def answered(work: Work, raster: Raster, numbers: Iterable[int]) -> list[list[Result]]:
    """The results of windows, asked together, by a worker that is given them."""
    return list(_answered_in_turn(work, [work.look(raster, number) for number in numbers]))


# Whoever works elsewhere: like `work_through`, in any order.
Workers = Callable[[Work, Iterable[int], int], Generator[list[Result]]]

# --- Several processes ------------------------------------------------------------------------------------------------

_work: Work
_raster: Raster


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def _prepare(work: Work) -> None:
    """In a new process: open the scene, leave Ctrl-C to the parent, and end when it ends, however it ends."""
    global _work, _raster
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _work, _raster = work, work.open()


def _work_on(numbers: list[int]) -> list[list[Result]]:
    return answered(_work, _raster, numbers)


def work_together(work: Work, numbers: Iterable[int], batch: int, jobs: int) -> Iterator[list[Result]]:
    """Like `work_through`, by `jobs` processes; each is given one step ahead. ResourceError where one dies."""
    todo = iter(numbers)
    waiting: deque[Future[list[list[Result]]]] = deque()
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _prepare, (work,))
    try:
        while True:
            while len(waiting) < 2 * jobs and (some := list(islice(todo, batch))):
                waiting.append(pool.submit(_work_on, some))
            if not waiting:
                return
            yield from waiting.popleft().result()
    except BrokenProcessPool:
        raise ResourceError(
            f"jobs={jobs}: a process ended unexpectedly, for want of memory or with an error; give fewer jobs, "
            "then the same command: what is recorded is kept"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
