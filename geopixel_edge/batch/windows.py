"""Windows of scenes asked by the actors of a Ray cluster; every ledger stays with the driver."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from itertools import islice
from typing import Any

from ..errors import GeoPixelError, ResourceError
from ..rasters.raster import Raster
from ..scenes.asking import Asker
from ..scenes.working import Result, Work, answered
from .cluster import Share, joined, share_of

# How often windows are asked again whose worker died over them.
_TRIES = 3
# So many steps wait at each worker, so that it is never idle.
_AHEAD = 2


class WindowWorker:
    """An actor: it loads its engine once, and opens a scene when it is first given windows of it."""

    def __init__(self, asker: Asker) -> None:
        self._asker, self._job = asker, ""
        self._work: Work
        self._raster: Raster

    def answer(self, job: str, shown: Mapping[str, Any], numbers: list[int]) -> list[list[Result]]:
        """Results of windows of the scene that `shown` says, all of `Work` but the asker; `job` tells scenes apart."""
        if job != self._job:
            if self._job:
                self._raster.close()
                self._job = ""
            self._work = Work(asker=self._asker, **shown)
            self._raster = self._work.open()
            self._job = job
        return answered(self._work, self._raster, numbers)


class RayWorkers:
    """`workers=` of `Pipeline.scene`, for one scene after another: the same actors answer them all.

    Scenes must be readable by the same path on every machine, and engines, too. A worker that dies is started again
    and asked what it had not answered.
    """

    def __init__(self, ray: Any, share: Share) -> None:
        self._ray, self.share = ray, share
        self._asker: Asker | None = None
        self._actors: list[Any] = []

    def __call__(self, work: Work, numbers: Iterable[int], batch: int) -> Generator[list[Result]]:
        """The results of windows, `batch` asked together, as soon as they are known.

        ResourceError where a worker dies again and again over the same windows.
        """
        self._begin(work.asker)
        shown = self._ray.put({one.name: getattr(work, one.name) for one in fields(work) if one.name != "asker"})
        job, todo = uuid.uuid4().hex, iter(numbers)
        idle, waiting = deque(self._actors * _AHEAD), dict[Any, Any]()
        while True:
            while idle and (some := list(islice(todo, batch))):
                actor = idle.popleft()
                waiting[actor.answer.remote(job, shown, some)] = actor
            if not waiting:
                return
            (ready, *_), _ = self._ray.wait(list(waiting), num_returns=1)
            idle.append(waiting.pop(ready))
            yield from self._results(ready)

    def _begin(self, asker: Asker) -> None:
        """Start the actors, unless they ask this engine already."""
        if self._actors and asker == self._asker:
            return
        self.close()
        place = {"num_cpus": self.share.cpus, "num_gpus": self.share.gpus}
        kind = self._ray.remote(**place, max_restarts=-1, max_task_retries=_TRIES)(WindowWorker)
        self._actors = [kind.remote(asker) for _ in range(self.share.workers)]
        self._asker = asker

    def _results(self, ready: Any) -> list[list[Result]]:
        errors = self._ray.exceptions
        try:
            found: list[list[Result]] = self._ray.get(ready)
        except errors.RayTaskError as error:
            if isinstance(error.cause, GeoPixelError):
                raise error.cause from None
            raise
        except errors.RayActorError as error:
            told = str(error).strip().splitlines()[-1]
            raise ResourceError(
                f"ray: a worker ended {_TRIES + 1} times over the same windows, or could not load its engine ({told}); "
                "give fewer of them with --jobs, then the same command: what is recorded is kept"
            ) from None
        return found

    def close(self) -> None:
        """End the actors."""
        for actor in self._actors:
            self._ray.kill(actor)
        self._actors, self._asker = [], None


@contextmanager
def ray_workers(
    workers: int = 1,
    *,
    address: str | None = None,
    threads: int | None = None,
    gpus: float | None = None,
    device: str = "auto",
) -> Iterator[RayWorkers]:
    """Workers for `pipe.scene(..., workers=...)`; arguments as of `ask_rows`. A Pipeline's own threads hold in each.

    RuntimeUnavailableError without Ray or where the cluster cannot be reached.
    """
    with joined(address) as ray:
        found = RayWorkers(ray, share_of(ray, workers, threads, gpus, device))
        try:
            yield found
        finally:
            found.close()
