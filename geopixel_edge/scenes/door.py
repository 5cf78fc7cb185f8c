"""The door to scenes: from a file and phrases to layers of objects."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..rasters.colouring import Reading
from ..rasters.region_place import region_place
from ..stop import StopToken
from ..writers.layers.feature import Feature, Layer, SceneObject, WindowFeature, outlines
from ..writers.layers.publishing import check_outputs, check_picture, publish
from . import object_table
from .asking import Asker
from .clock import OnProgress
from .job import Job, make_job
from .ledger import Ledger
from .merging import Merged
from .opening import Scene
from .options import SceneOptions
from .phrases import check_phrases, comparing
from .result import SceneResult, counted
from .sweep import Sweep
from .views import make_view
from .working import Workers

Out = str | os.PathLike[str]


def run_scene(
    image: Out,
    phrases: Sequence[str],
    out: Out | Sequence[Out],
    asker: Asker,
    options: SceneOptions,
    *,
    window_px: int,
    engine: dict[str, Any],
    reading: Reading,
    on_progress: OnProgress | None = None,
    stop: StopToken | None = None,
    keep_objects: bool = True,
    workers: Workers | None = None,
) -> SceneResult:
    """Ask every window of a scene for phrases, merge what they show, and write layers; as of `Pipeline.scene`.

    `window_px` is the engine's window, `engine` what outputs say of it, `reading` how samples are shown.
    `workers` ask in place of this process.
    """
    outs = [out] if isinstance(out, (str, os.PathLike)) else list(out)
    asked = check_phrases(phrases, options.per_window) if phrases or not options.describe else ()
    asker.check(asked)
    path = Path(os.path.abspath(os.fspath(image)))
    scene = Scene(path, reading, options.given(), options.ground(), options.gsd)
    paths = check_outputs(outs, scene.path, options.page)
    job = make_job(scene, asker, asked, options, window_px, engine, paths[0])
    check_picture(paths, job.header.scale.scene_px, options.ids)
    with Ledger(job.ledger_path, job.key(), options.restart) as ledger:
        job.describe(ledger)
        job.ask(ledger, stop or StopToken(), on_progress, workers)
        object_table.store(ledger, _found(job, ledger))
        objects: list[SceneObject] = []
        layer, states = _layer(job, ledger), ledger.states()
        features = _features(job, ledger, objects if keep_objects else None)
        with job.scene.open() if options.page else contextlib.nullcontext() as raster:
            written = publish(paths, layer, features, _Windows(job, ledger), options.ids, raster)
        counts = counted(dict(ledger.counts()), asked)
        if not states["failed"] and not options.keep_job:
            ledger.remove()
    told = (states["empty"], states["failed"], tuple(layer.record["notes"]), written)
    return SceneResult(tuple(objects), counts, len(job.grid), *told, layer.record["description"] or "")


def _found(job: Job, ledger: Ledger) -> Iterator[tuple[str, Merged]]:
    """The merged objects of every phrase, as the sweep settles them; small and weak ones left out."""
    looked = bytearray(len(job.grid))
    for number, state in ledger.known():
        looked[number] = state == "done"
    smallest, grid = job.options.smallest_px(job.grid.window_px), job.grid
    for phrase in ledger.phrases():
        sweep = Sweep(grid, lambda number: bool(looked[number]))
        for row in range(grid.rows):
            rows = ledger.views(phrase, row * grid.columns, (row + 1) * grid.columns)
            for one in sweep.add(row, [make_view(grid, view.window, view.runs, view.score) for view in rows]):
                if one.area_px >= smallest and not one.score < job.options.min_score:  # an unknown score is kept
                    kept = one._replace(pieces=job.header.scale.pieces(one.pieces))
                    if job.interest is None or job.interest.holds(outlines(kept.pieces, 0.0)):
                        yield phrase, kept


def _features(job: Job, ledger: Ledger, kept: list[SceneObject] | None) -> Iterator[Feature]:
    """The objects as writers take them; those of the result are kept by the way."""
    chosen = {phrase for phrase in job.phrases if job.options.per_window and comparing(phrase)}
    for row in object_table.stored(ledger):
        polygons = outlines(row.pieces, job.options.simplify)
        place = region_place(job.header.place, polygons)
        scope = "window" if row.phrase in chosen else "scene"
        seen = (row.score, row.area_px, row.whole, row.views)
        thing = SceneObject(row.number, row.phrase, *seen, place, row.pieces)
        if kept is not None:
            kept.append(thing)
        yield Feature(thing, scope, polygons)


class _Windows:
    """The windows of a ledger as writers take them, read anew by each."""

    def __init__(self, job: Job, ledger: Ledger) -> None:
        self._job, self._ledger = job, ledger

    def __iter__(self) -> Iterator[WindowFeature]:
        for row in self._ledger.windows():
            box = self._job.header.scale.box(self._job.grid.box(row.number))
            yield WindowFeature(row.number, box, row.state, row.seconds, row.text, row.note)


def _layer(job: Job, ledger: Ledger) -> Layer:
    record, states = job.record(), ledger.states()
    record["windows"], record["description"] = states, ledger.told("description")
    record["objects"] = counted(dict(ledger.counts()), job.phrases)
    if not states["done"] and not states["failed"]:
        record["notes"].append("no pixel of the scene is valid: nothing was asked")
    record["notes"] += [note for note in (ledger.told("not described"),) if note]
    if states["failed"]:
        record["notes"].append(f"{states['failed']} windows failed: see the layer `windows`")
    header, phrases = job.header, (*job.phrases, *(one for one in ledger.phrases() if one not in job.phrases))
    return Layer(job.scene.path, header.scale.scene_px, header.place, phrases, ledger.started, record)
