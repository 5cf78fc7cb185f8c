"""A scene from its file to its layers: windows asked, recorded and merged; a job that was ended goes on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import limits
from ..errors import ImageError, InferenceError, OptionError, SceneIncompleteError
from ..rasters.place import Place
from ..rasters.raster import Raster
from ..stop import StopToken
from ..version import __version__
from .acquired import acquired
from .asking import Asker
from .clock import Clock, OnProgress, States
from .interest import OUTSIDE, Interest, interest_of
from .ledger import Ledger
from .ledger_file import ledger_path
from .opening import FileState, Scene
from .options import SceneOptions
from .scale import Scale, scale_of
from .windows import Grid, make_grid
from .working import Result, Work, Workers, work_through, work_together


@dataclass(frozen=True)
class Header:
    """What is known of a scene before any window is read; `scale` is how it is shown."""

    scale: Scale
    place: Place
    bands: tuple[int, ...]
    stretch: tuple[tuple[float, float], ...] | None
    notes: tuple[str, ...]


def header_of(scene: Scene, raster: Raster) -> Header:
    """What an opened scene says of itself. OptionError where it cannot be shown as asked."""
    notes = tuple(raster.notes)
    if scene.given is not None:
        notes += (f"the place of {scene.path.name} is the one given",)
    return Header(scale_of(raster.place, scene.gsd_m), raster.place, tuple(raster.bands), raster.stretch, notes)


@dataclass(frozen=True)
class Job:
    """One scene, what is asked about it, and where it is kept meanwhile: `ledger_path`."""

    scene: Scene
    header: Header
    grid: Grid
    asker: Asker
    phrases: tuple[str, ...]
    options: SceneOptions
    engine: dict[str, Any]
    state: tuple[FileState, ...]
    ledger_path: Path
    interest: Interest | None = None

    def key(self) -> dict[str, Any]:
        """What a window's answer depends on, plain values: another key is another job."""
        return {
            "scene bytes": self.state[0].bytes,
            "scene time": self.state[0].time_ns,
            "sidecars": {one.name: [one.bytes, one.time_ns] for one in self.state[1:]} or None,
            "scene digest": self.scene.digest(),
            "size": list(self.header.scale.scene_px),
            "seen": list(self.header.scale.seen_px),
            "aoi": self.interest and self.interest.digest,
            "bands": list(self.header.bands),
            "stretch": self.header.stretch and [list(ends) for ends in self.header.stretch],
            "window": self.grid.window_px,
            "overlap": self.grid.overlap_px,
            "phrases": list(self.phrases),
            "describe": self.options.describe,
            "min_valid": self.options.min_valid,
            "hd_num": self.options.hd_num,
            "engine": self.asker.name(),
            "version": __version__,
        }

    def record(self) -> dict[str, Any]:
        """What every output says of how it was made."""
        place, scale = self.header.place, self.header.scale
        operation, gsd, taken = place.operation(), place.gsd_m, acquired(self.scene.path)
        shown = zip(gsd or (), scale.scene_px, scale.seen_px, strict=False)
        return {
            "geopixel_edge": __version__,
            "scene": self.scene.path.name,
            **self.key(),
            "engine": self.engine,
            "min_area": self.options.smallest_px(self.grid.window_px),
            "min_score": self.options.min_score,
            "simplify": self.options.simplify,
            "georeferencing": place.georeferencing,
            "approximate": place.approximate,
            "operation": operation and operation.name,
            "accuracy_m": operation and operation.accuracy_m,
            "source_wkt": place.source_wkt,
            "gsd_m": gsd,
            "gsd_seen_m": [one * scene / seen for one, scene, seen in shown] or None,
            "aoi_file": self.interest and self.interest.name,
            "acquired": taken and taken.moment,
            "acquired_from": taken and taken.source,
            "notes": list(self.header.notes),
        }

    def describe(self, ledger: Ledger) -> None:
        """Ask once for a description of the whole scene, at the scale of an overview, where descriptions are asked."""
        if not self.options.describe or ledger.told("description") is not None:
            return
        with self.scene.open() as raster:
            overview = raster.overview(limits.MAX_OVERVIEW_SIDE_PX)
        try:
            text = self.asker.describe(overview.rgb) if overview.valid.any() else ""
        except InferenceError as error:
            text = ""
            ledger.tell("not described", f"the whole scene was not described: {error}")
        ledger.tell("description", text)

    def ask(
        self, ledger: Ledger, stop: StopToken, on_progress: OnProgress | None, workers: Workers | None = None
    ) -> None:
        """Ask every window that is not in the ledger yet, here or by `workers`, and record each.

        SceneIncompleteError when `stop` is set, after the window that is asked; ImageError when the scene changes.
        """
        if self.options.retry_failed:
            ledger.forget_failed()
        states = States(len(self.grid), ledger.known())
        if self.interest is not None:
            outside = [number for number in self.interest.outside() if not states.seen[number]]
            ledger.record_empty(outside, OUTSIDE)
            states.add_empty(outside)
        todo = (number for number in range(len(self.grid)) if not states.seen[number])
        clock = Clock(states, on_progress, 2 * self.grid.columns, self._unstored() if on_progress else ())
        clock.tell()
        with contextlib.closing(self._results(todo, workers)) as results:
            for some in results:
                self._check_unchanged()
                _record(ledger, some)
                clock.add(some)
                if stop.reason is not None and states.done < states.total:
                    raise SceneIncompleteError(
                        f"ended after {states.done} of {states.total} windows ({stop.reason}); the same command "
                        f"goes on from {str(self.ledger_path)!r}"
                    )

    def _unstored(self) -> list[int]:
        """Windows that hold no data as far as the file's index tells."""
        if not self.scene.by_gdal():
            return []
        with self.scene.unread().open() as raster:
            return [n for n in range(len(self.grid)) if not raster.stored(*self.header.scale.box(self.grid.box(n)))]

    def _results(self, todo: Iterator[int], workers: Workers | None) -> Any:
        asked = (self.phrases, self.options.describe, self.options.min_valid)
        work = Work(self.scene, self.header.scale, self.grid, self.asker, *asked)
        if workers is not None:
            return workers(work, todo, self.options.batch or 1)
        if self.options.jobs > 1:
            return work_together(work, todo, self.options.batch or 1, self.options.jobs)
        return work_through(work, todo, self.options.batch or 1)

    def _check_unchanged(self) -> None:
        if (now := self.scene.state()) != self.state:
            named = sorted({one.name for one in {*now} ^ {*self.state}})
            raise ImageError(
                f"image={str(self.scene.path)!r} changed while it was read ({', '.join(named)}); leave it as it is, "
                "and begin anew with restart=True (--restart)"
            )


def _record(ledger: Ledger, results: Sequence[Result]) -> None:
    """Windows without pixels at once, every other in a transaction of its own."""
    plain = [window.number for window, _ in results if window.state == "empty" and not window.note]
    if plain:
        ledger.record_empty(plain)
    for window, views in results:
        if window.state != "empty" or window.note:
            ledger.record(window, views)


def make_job(
    scene: Scene,
    asker: Asker,
    phrases: tuple[str, ...],
    options: SceneOptions,
    window_px: int,
    engine: dict[str, Any],
    out: Path,
) -> Job:
    """A job about a scene; `window_px` is the engine's own window. ImageError or OptionError for what cannot be."""
    if options.overlap is not None and options.overlap * 2 > (options.window or window_px):
        raise OptionError(f"overlap={options.overlap} is over half of the window of {options.window or window_px} px")
    with scene.open() as raster:
        header = header_of(scene, raster)
    grid = make_grid(*header.scale.seen_px, options.window or window_px, options.overlap)
    interest = None
    if options.aoi is not None:
        interest = interest_of(Path(os.path.abspath(options.aoi)), header.place, grid, header.scale)
    return Job(scene, header, grid, asker, phrases, options, engine, scene.state(), ledger_path(out), interest)
