"""An engine of this project as describer: `engine:DIR`."""

from __future__ import annotations

import io
import time
from pathlib import Path

from PIL import Image

from geopixel_edge.engine import BUNDLED
from geopixel_edge.engine.directory import manifest_digest
from geopixel_edge.errors import GeoPixelError, OptionError, ResourceError
from geopixel_edge.pipeline import Pipeline
from geopixel_edge.session import OpenedImage

from .base import Reply, Request


class EngineDescriber:
    """Questions put to an engine directory. A picture is opened once for all questions that show it alike."""

    looks = True
    levels: tuple[str, ...] = ("scene", "instance", "group", "marks", "merge")
    input_side_px: int | None = None  # it sees a picture in tiles of its own pixels

    def __init__(self, engine: Path) -> None:
        """EngineError for a directory that fails its check; OptionError for the engine in the package, which knows two
        forms of question only and would answer every other with what it learnt for those."""
        pipeline = Pipeline(engine)
        digest = manifest_digest(engine)
        if digest == manifest_digest(BUNDLED):
            pipeline.close()
            raise OptionError(
                f"describer='engine:{engine}' is the engine in the package, which was not taught to describe single "
                "things; give a larger model's, or the describer `rules`"
            )
        self.name, self._digest = f"engine:{engine.name}", digest
        self._pipeline, self._picture = pipeline, b""
        self._opened: OpenedImage | None = None

    def fingerprint(self) -> str:
        """The digest of the engine's manifest, which holds those of its files."""
        return f"engine sha256:{self._digest}"

    def describe(self, request: Request) -> Reply:
        """The answer's text without its tags; a question that the engine refuses costs its sentence alone."""
        start = time.monotonic()
        try:
            answer = self._shown(request.png or b"").ask(request.prompt, max_new_tokens=request.max_tokens)
        except ResourceError:
            raise
        except GeoPixelError as error:
            return Reply("", fault=f"refused: {error}")
        used = answer.timings
        return Reply(answer.text, used.prompt_tokens, used.new_tokens, round(time.monotonic() - start, 3))

    def _shown(self, png: bytes) -> OpenedImage:
        """The picture, opened; it stays open until another is asked about."""
        if self._opened is None or png != self._picture:
            if self._opened is not None:
                self._opened.close()
            self._opened = self._pipeline.open(Image.open(io.BytesIO(png)) if png else None)
            self._picture = png
        return self._opened

    def close(self) -> None:
        """Free the engine."""
        self._pipeline.close()
