"""The door: a GeoPixel engine, verified and loaded, and the ways to ask it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any

from . import limits
from .answer import Answer, Region
from .batched import answer_in_batches
from .checks import check_integer
from .engine import BUNDLED
from .engine.directory import Engine
from .engine.first_load import hold_at_first_load
from .engine.scrub import Scrubber
from .images import Images, open_images
from .images import ImageSource as ImageSource
from .memory.amount import parse_memory
from .model import Model
from .options import AskOptions
from .rasters.given import given_place
from .scenes.pipeline_scene import scene_of
from .scenes.result import SceneResult
from .session import OpenedImage
from .stop import StopToken
from .turn import AnswerStream


class Pipeline:
    """A GeoPixel engine, verified and loaded; a context manager.

    `engine_dir`: what `geopixel-edge export` wrote; None takes the small trained engine in the package. `device`:
    "auto", "cpu", "cuda", "cuda:N", "tensorrt" or "tensorrt:N". `threads`: CPU threads per block; None takes every
    core. `memory`: what it may take in all, bytes or a string such as "6GB"; None is no limit. Raises an EngineError
    when the directory cannot be trusted or used, RuntimeUnavailableError when the device or runtime is absent,
    MemoryBudgetError before anything is loaded where `memory`, or what a GPU has free, cannot suffice, and
    ResourceError where memory or threads run out.

    Threads may share a Pipeline. A pickled one opens the same engine again where it is unpickled. A forked child cannot
    use its parent's: it gets a ProcessError.
    """

    def __init__(
        self,
        engine_dir: str | os.PathLike[str] | None = None,
        *,
        device: str = "auto",
        threads: int | None = None,
        memory: int | str | None = None,
    ) -> None:
        place = BUNDLED if engine_dir is None else engine_dir
        self.model = Model.open(place, device, threads, parse_memory(memory))
        self.device, self.threads, self.memory = device, self.model.threads, memory
        hold_at_first_load(self.model)

    # --- Asking -------------------------------------------------------------------------------------------

    def __call__(
        self,
        image: Images,
        query: str,
        options: AskOptions | None = None,
        *,
        hd_num: int = 9,
        stop: StopToken | None = None,
        **overrides: Any,
    ) -> Answer:
        """Answer one question about an image.

        `image`: path, PIL image, uint8 array (H, W, 3), a list of them with as many `<ImageHere>` marks in `query`, or
        None for text alone. `hd_num` steers how finely the image is divided. `options`, or single fields of AskOptions
        by name, say how it is answered. `stop` ends the answer early, from any thread, with what is known.

        Raises ImageError, QueryError or OptionError naming the argument, its value and the remedy.
        """
        with self.open(image, hd_num=hd_num) as opened:
            return opened.ask(query, options, stop=stop, **overrides)

    async def aask(self, image: Images, query: str, options: AskOptions | None = None, **more: Any) -> Answer:
        """Like calling the Pipeline, awaited: the answer is made in a thread. Cancelling the task stops the answer."""
        stop = more.pop("stop", None) or StopToken()
        try:
            return await asyncio.to_thread(self, image, query, options, stop=stop, **more)
        except asyncio.CancelledError:
            stop.set("cancelled")
            raise

    def open(
        self,
        image: Images,
        *,
        hd_num: int = 9,
        bands: Sequence[int] | None = None,
        bounds: Sequence[float] | None = None,
        transform: Sequence[float] | None = None,
        crs: Any = None,
    ) -> OpenedImage:
        """An image to ask several questions about; what depends on the image alone is computed once.

        `bands`: which band of a raster, or which three as red, green, blue. `bounds` (west, south, east, north) or
        `transform` (six numbers as of `rasterio.Affine`), in `crs`, place a picture whose file does not.
        """
        self.model.check_usable()
        check_integer("hd_num", hd_num, 1, limits.MAX_HD_NUM)
        learnt = self.engine.manifest.pixel_percentiles
        return OpenedImage(self.model, open_images(image, bands, given_place(bounds, crs, transform), learnt), hd_num)

    def segment(
        self, image: Images, phrase: str, options: AskOptions | None = None, *, hd_num: int = 9, **overrides: Any
    ) -> tuple[Region, ...]:
        """The regions of what `phrase` names, without prose; empty when the model points at nothing."""
        with self.open(image, hd_num=hd_num) as opened:
            return opened.segment(phrase, options, **overrides)

    def stream(
        self, image: Images, query: str, options: AskOptions | None = None, *, hd_num: int = 9, **overrides: Any
    ) -> AnswerStream:
        """The answer event by event; a mask comes as soon as it is known. The image is let go with the stream."""
        return self.open(image, hd_num=hd_num).stream(query, options, **overrides)

    def batch(
        self,
        pairs: Iterable[tuple[Images | OpenedImage, str]],
        options: AskOptions | None = None,
        *,
        hd_num: int = 9,
        stop: StopToken | None = None,
        **overrides: Any,
    ) -> Iterator[Answer]:
        """Answers to (image, question) pairs, in order, as soon as they are known.

        Up to eight are written together where the plan has room, so that the weights are read once for all of them;
        answers about a phrase, which are drafted and take less alone, follow one another. Questions in a row about one
        image (the same object or path) share what depends on the image alone; an `OpenedImage` stays open.
        """
        asked = AskOptions.of(options, overrides)
        check_integer("hd_num", hd_num, 1, limits.MAX_HD_NUM)

        def opened(image: Images | OpenedImage) -> OpenedImage:
            return image if isinstance(image, OpenedImage) else self.open(image, hd_num=hd_num)

        return answer_in_batches(self.model, pairs, opened, asked, stop or StopToken())

    def scene(
        self, image: str | os.PathLike[str], phrases: str | Sequence[str], out: Any, **options: Any
    ) -> SceneResult:
        """Ask every window of a scene of any size for kinds of things, and write a layer of the objects.

        `out`: one path or several, ending in .gpkg, .geojson, .fgb, .parquet, .tif or .png. `options`: those of
        SceneOptions, `on_progress`, called with a `Progress`, `stop`, and `workers`, those of `ray_workers` in
        `geopixel_edge.batch.windows`. The same call goes on where an earlier one ended. Raises what names the argument;
        SceneIncompleteError when stopped. The result counts windows that failed.
        """
        return scene_of(self, image, phrases, out, **options)

    # --- The engine ---------------------------------------------------------------------------------------

    @property
    def engine(self) -> Engine:
        """The verified engine directory."""
        return self.model.engine

    @property
    def placement(self) -> str:
        """The device, and why it is this one: what "auto" came to."""
        return f"{self.model.device.kind}: {self.model.placed_because}"

    def scrubber(self) -> Scrubber:
        """Re-checks the engine's files in small steps, beside answers that run."""
        return Scrubber(self.engine)

    def close(self) -> None:
        """Free the engine's memory; later questions raise SessionClosedError."""
        self.model.close()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        manifest, kind = self.engine.manifest, self.model.device.kind
        size = f"{sum(file.bytes for file in manifest.files()) / 1e6:.1f} MB"
        return f"<Pipeline {manifest.family} {manifest.precision}, {kind}, {len(manifest.blocks)} blocks, {size}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return with_model, (self.model, self.device, self.threads, self.memory)


def with_model(model: Model, device: str, threads: int | None, memory: int | str | None) -> Pipeline:
    """A Pipeline on a model that is loaded already."""
    pipeline = Pipeline.__new__(Pipeline)
    pipeline.model, pipeline.device, pipeline.threads, pipeline.memory = model, device, threads, memory
    return pipeline
