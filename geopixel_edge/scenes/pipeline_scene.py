"""A scene asked with a Pipeline: its engine's window, and what it learnt to see samples as."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import OptionError
from ..rasters.colouring import Reading
from ..rasters.scene_stretch import FULL_RANGE
from .asking import PipelineAsker
from .door import Out, run_scene
from .fitting import batch_of, window_of
from .options import SceneOptions

if TYPE_CHECKING:
    from ..engine.manifest import Manifest
    from ..stop import StopToken
    from .clock import OnProgress
    from .result import SceneResult
    from .working import Workers


def scene_of(
    pipeline: Any,
    image: str | os.PathLike[str],
    phrases: str | Sequence[str],
    out: Out | Sequence[Out],
    options: SceneOptions | None = None,
    *,
    on_progress: OnProgress | None = None,
    stop: StopToken | None = None,
    keep_objects: bool = True,
    workers: Workers | None = None,
    **more: Any,
) -> SceneResult:
    """`Pipeline.scene`; without `keep_objects` the result lists none, so that no more than a few are held at once."""
    if options is not None and more:
        raise OptionError(f"options are given beside {sorted(more)}; give one of the two")
    chosen = SceneOptions.of(more) if options is None else options
    pipeline.model.check_usable()
    manifest: Manifest = pipeline.engine.manifest
    source, asked = manifest.provenance, [phrases] if isinstance(phrases, str) else list(phrases)
    window_px = window_of(manifest, chosen)
    if pipeline.model.takes_batches:
        room = pipeline.model.budget_bytes or pipeline.model.device.free_bytes()
        chosen = replace(chosen, batch=batch_of(manifest, window_px, len(asked), chosen, room))
    return run_scene(
        image,
        asked,
        out,
        PipelineAsker(pipeline, chosen.hd_num),
        chosen,
        window_px=window_px,
        engine={"source": source.source_name, "digest": pipeline.engine.digest, "precision": manifest.precision},
        reading=reading_of(manifest, chosen),
        on_progress=on_progress,
        stop=stop,
        keep_objects=keep_objects,
        workers=workers,
    )


def reading_of(manifest: Manifest, options: SceneOptions) -> Reading:
    """How samples are shown to an engine."""
    return Reading(options.bands, options.stretch, manifest.pixel_percentiles or FULL_RANGE)
