"""The main path, read top to bottom: divide, see, read, write, point. `session.py` keeps what can be reused."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from . import limits
from .answer import Answer
from .blocks.grounding_encoder import GroundingEncoder
from .blocks.language_model import LanguageModel, TokenEmbeddings
from .blocks.pixel_decoder import PixelDecoder
from .blocks.vision_encoder import VisionEncoder
from .checks import check_integer
from .engine import BUNDLED
from .engine.directory import Engine, manifest_digest
from .errors import EngineMismatchError, ImageError, OptionError
from .images import LoadedImage, load_image
from .processes import Owner
from .resources import shortage_told
from .runtimes import load_block
from .session import OpenedImage
from .text.tokenizer import Tokenizer
from .version import __version__

ImageSource = str | os.PathLike[str] | Image.Image | np.ndarray


class Pipeline:
    """A GeoPixel engine, verified and loaded.

    `engine_dir`: what `geopixel-edge export` wrote; None takes the small trained engine in the package. `device`:
    "auto", "cpu", "cuda" or "cuda:N". `threads`: CPU threads per block; None takes every core. Raises an EngineError
    when the directory cannot be trusted or used, RuntimeUnavailableError when the device or runtime is absent, and
    ResourceError where memory or threads run out.

    A pickled Pipeline opens the same engine again where it is unpickled. A forked child cannot use its parent's: it
    gets a ProcessError.
    """

    def __init__(
        self, engine_dir: str | os.PathLike[str] | None = None, *, device: str = "auto", threads: int | None = None
    ) -> None:
        if not isinstance(device, str):
            raise OptionError(f"device={device!r} is not a string; give 'auto', 'cpu', 'cuda' or 'cuda:N'")
        if threads is not None:
            threads = check_integer("threads", threads, 1, limits.MAX_THREADS)
        self.threads, self.native_threads = threads, threads or 0
        self.device = device
        self.owner = Owner("this Pipeline")
        with shortage_told(f"engine_dir={str(BUNDLED if engine_dir is None else engine_dir)!r} cannot be loaded"):
            self._load(Engine(BUNDLED if engine_dir is None else engine_dir))

    def _load(self, engine: Engine) -> None:
        self.engine = engine
        manifest, device, threads = engine.manifest, self.device, self.threads
        self.tokenizer = Tokenizer(self.engine.path(manifest.tokenizer), manifest.tokens)
        if self.tokenizer.size > manifest.sizes.vocabulary:
            raise EngineMismatchError(
                f"the tokenizer has {self.tokenizer.size} ids, the model {manifest.sizes.vocabulary}; export again"
            )
        embeddings = TokenEmbeddings(self.engine.path(manifest.embeddings.file), manifest.sizes)
        self.vision_encoder = VisionEncoder(load_block(self.engine, "vision_encoder", device, threads))
        language_model = load_block(self.engine, "language_model", device, threads)
        self.language_model = LanguageModel(language_model, embeddings, manifest.sizes)
        self.grounding_encoder = GroundingEncoder(load_block(self.engine, "grounding_encoder", device, threads))
        self.pixel_decoder = PixelDecoder(load_block(self.engine, "pixel_decoder", device, threads))

    def __call__(
        self,
        image: ImageSource | Sequence[ImageSource] | None,
        query: str,
        *,
        hd_num: int = 9,
        max_new_tokens: int = 1024,
        history: Sequence[tuple[str, str]] = (),
        deadline_s: float | None = None,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int | None = None,
        compat: bool = False,
    ) -> Answer:
        """Answer one question about an image.

        `image`: path, PIL image, uint8 array (H, W, 3), a list of them with as many `<ImageHere>` marks in `query`, or
        None for text alone. `hd_num` steers how finely the image is divided. `history`: earlier (question, answer)
        pairs. `deadline_s`: seconds, counted from the loaded image, after which the answer ends with what is known.
        `temperature` 0 is greedy; `top_p` and `seed` shape sampling. `compat=True` keeps two habits of the original:
        a prompt over its limit is refused, and a `[SEG]` that is the last allowed token gets no mask.

        Raises ImageError, QueryError or OptionError naming the argument, its value and the remedy.
        """
        with self.open(image, hd_num=hd_num) as opened:
            return opened.ask(
                query,
                max_new_tokens=max_new_tokens,
                history=history,
                deadline_s=deadline_s,
                temperature=temperature,
                top_p=top_p,
                seed=seed,
                compat=compat,
            )

    def open(self, image: ImageSource | Sequence[ImageSource] | None, *, hd_num: int = 9) -> OpenedImage:
        """An image to ask several questions about; what depends on the image alone is computed once."""
        self.owner.check()
        check_integer("hd_num", hd_num, 1, limits.MAX_HD_NUM)
        return OpenedImage(self, _load(image), hd_num)

    def __reduce__(self) -> tuple[Any, ...]:
        root = None if self.engine.root == BUNDLED else self.engine.root
        return _reopen, (root, self.engine.digest, self.device, self.threads)

    def provenance(self, image_sha256: list[str]) -> dict[str, Any]:
        """What an answer rests on: versions, engine and image digests."""
        manifest = self.engine.manifest
        return {
            "geopixel_edge": __version__,
            "engine_source": manifest.provenance.source_name,
            "engine_source_sha256": manifest.provenance.source_sha256,
            "precision": manifest.precision,
            "device": self.device,
            "image_sha256": image_sha256,
        }


def _reopen(root: Path | None, digest: str, device: str, threads: int | None) -> Pipeline:
    """The pickled Pipeline, made anew: by the path of its engine, proved by the digest of its manifest."""
    if manifest_digest(BUNDLED if root is None else root) != digest:
        place = "the engine in the package" if root is None else f"engine_dir={str(root)!r}"
        raise EngineMismatchError(f"{place} is another one here than the Pipeline that was pickled had; copy that one")
    return Pipeline(root, device=device, threads=threads)


def _load(image: ImageSource | Sequence[ImageSource] | None) -> list[LoadedImage]:
    if image is None:
        return []
    sources = list(image) if isinstance(image, (list, tuple)) else [image]
    if not sources or len(sources) > limits.MAX_IMAGES:
        raise ImageError(f"image holds {len(sources)} images; give 1 to {limits.MAX_IMAGES}, or None for text alone")
    return [load_image(source) for source in sources]  # type: ignore[arg-type]
