"""One opened image (or several, or none): what does not depend on the question is computed once and kept."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

from .answer import Answer, Event, MaskFound, Region
from .blocks.divider import Grid
from .blocks.kv_cache import KVCache
from .blocks.language_model import Outputs
from .errors import SessionClosedError
from .images import LoadedImage
from .memory.plan import Plan
from .model import Features, Model
from .options import AskOptions
from .question import Asked, prepare, result
from .resources import shortage_told
from .runtimes import Tensor
from .stop import Stopped, StopToken
from .turn import AnswerStream
from .writing import write


class OpenedImage:
    """Made by `Pipeline.open`; a context manager.

    The tiles, the image tokens, the KV prefix (BOS and the image) and SAM 2's features are computed when first needed
    and reused by every later question. The grid depends on the question only where image and text together would
    exceed the prompt limit. Threads take turns: a question waits until the one before it is answered, and a batch holds
    `lock` on its images until these are; a stream is ended by what is asked after it.
    """

    def __init__(self, model: Model, images: Sequence[LoadedImage], hd_num: int) -> None:
        self.model, self.images, self.hd_num = model, tuple(images), hd_num
        self._grids: tuple[Grid, ...] | None = None
        self._image_tokens: list[Tensor] = []
        self._cache: KVCache | None = None
        self.lock, self._prefix_length, self._closed = threading.RLock(), 0, False
        self._features: Features | None = None
        self._current: Asked | None = None

    def __enter__(self) -> OpenedImage:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        names = ", ".join(f"{image.name} ({image.width_px} x {image.height_px} px)" for image in self.images)
        return f"<OpenedImage {names or 'of text alone'}{', closed' if self._closed else ''}>"

    def __reduce__(self) -> tuple[Any, ...]:
        if self._closed:
            raise SessionClosedError("this image was closed; open it again before it is pickled")
        return OpenedImage, (self.model, self.images, self.hd_num)

    def close(self) -> None:
        """Free everything kept for this image; later questions raise SessionClosedError."""
        self._closed = True
        self._forget_tokens()
        self._features = None

    @property
    def kept(self) -> list[Tensor]:
        """What is kept for later questions beside the pixels: image tokens, KV cache, features."""
        cache = self._cache.buffers.values() if self._cache is not None else ()
        return [*self._image_tokens, *cache, *(self._features or {}).values()]

    def ask(
        self, query: str, options: AskOptions | None = None, *, stop: StopToken | None = None, **overrides: Any
    ) -> Answer:
        """Answer one question; options, `stop` and errors as of `Pipeline.__call__`."""
        with self.lock:
            return self.stream(query, options, stop=stop, **overrides).answer

    def segment(
        self, phrase: str, options: AskOptions | None = None, *, stop: StopToken | None = None, **overrides: Any
    ) -> tuple[Region, ...]:
        """The regions of what `phrase` names, without prose; empty when the model points at nothing."""
        answer = self.ask(self.model.family.segment_query(phrase), options, stop=stop, **overrides)
        return answer.with_phrase(phrase).regions

    def stream(
        self, query: str, options: AskOptions | None = None, *, stop: StopToken | None = None, **overrides: Any
    ) -> AnswerStream:
        """Like `ask`, event by event: a mask comes as soon as the step that consumes its `[SEG]` has run."""
        with self.lock:
            return self.running(self.prepare(query, AskOptions.of(options, overrides), stop or StopToken()))

    def running(self, asked: Asked) -> AnswerStream:
        """The answer to a prepared question, not begun; it ends whatever was asked before."""
        self._current = asked
        return AnswerStream(self._run(asked), lambda: self.result(asked), asked.turn, self.lock)

    def prepare(self, query: str, options: AskOptions, stop: StopToken) -> Asked:
        """Check a question and plan it; nothing is computed yet."""
        if self._closed:
            raise SessionClosedError("this image was closed; open it again before asking")
        self.model.check_usable()
        return prepare(self.model, self.images, self.hd_num, query, options, stop)

    def _run(self, asked: Asked) -> Iterator[Event]:
        """See, read, then write and point at each `[SEG]`."""
        self._check_current(asked)
        with shortage_told("the question cannot be answered"):
            try:
                asked.turn.watch.check()
                if asked.plan.ground_first and asked.turn.grounded:
                    self.ground(asked)
                yield from self._write(asked, *self.begin(asked))
            except Stopped as stopped:
                asked.turn.stop(stopped)
            yield from asked.turn.finish()

    def begin(self, asked: Asked, target: KVCache | None = None) -> tuple[Outputs, KVCache]:
        """See and read; the outputs of the prompt's last row. `target`: the cache to read into, one sequence."""
        self._see(asked)
        if asked.turn.grounded and asked.plan.all_resident and self.model.residency.grounds_beside:
            self.ground(asked)  # queued, and done beside the prefill
        return self._read(asked, target)

    def _see(self, asked: Asked) -> None:
        """Image tokens of every image, unless they are known for these grids."""
        if asked.grids == self._grids:
            return
        self._forget_tokens()
        watch, tokens = asked.turn.watch, []
        for image, grid in zip(self.images, asked.grids, strict=True):
            watch.check()
            views = self.model.divide(image, grid, asked.plan, watch)
            tokens.append(self.model.see(views, grid, asked.plan, watch))
        self._image_tokens, self._grids = tokens, asked.grids

    def _forget_tokens(self) -> None:
        self._grids, self._image_tokens, self._cache, self._prefix_length = None, [], None, 0

    def _read(self, asked: Asked, target: KVCache | None) -> tuple[Outputs, KVCache]:
        """Prefill; the prefix of BOS and image is read once and kept."""
        model, watch, plan = self.model, asked.turn.watch, asked.plan
        shared = model.family.shared_rows(asked.prompt, [tokens.shape[0] for tokens in self._image_tokens])
        if self._cache is not None and self._cache.dtype != plan.kv_dtype:
            self._cache, self._prefix_length = None, 0
        known = self._prefix_length if shared else 0
        cache = self._cache_for(plan, known, target)
        rows = model.rows(asked.prompt, self._image_tokens, 1 if known else 0)
        watch.timings.prompt_tokens, watch.timings.reused_tokens = known + len(rows), known
        if shared and not known:
            # In runs of its own, so that reading it once or again gives the same numbers to the last bit.
            model.read(rows.part(0, shared), cache, plan, watch, wanted=())
            rows = rows.part(shared, len(rows))
        outputs = model.read(rows, cache, plan, watch)
        self._prefix_length, self._cache = shared, cache
        return outputs, cache

    def settle(self) -> None:
        """Keep what was read into one cache of several sequences apart from it."""
        self._cache = self._cache.copied(self._prefix_length) if self._cache and self._prefix_length else None

    def _cache_for(self, plan: Plan, known: int, target: KVCache | None) -> KVCache:
        """A cache that is long enough and holds the first `known` positions: the kept one, `target` or a new one."""
        # Until the reading is done nothing is kept: a run that stops half-way must not leave a half-read prefix behind.
        kept, self._cache, self._prefix_length = self._cache, None, 0
        if target is None and kept is not None and kept.capacity >= plan.dims.capacity:
            kept.rewind(known)
            return kept
        cache = target or self.model.new_cache(plan.dims.capacity, dtype=plan.kv_dtype)
        if kept is not None and known:
            cache.copy_prefix(kept, known)
        return cache

    def _write(self, asked: Asked, outputs: Outputs, cache: KVCache) -> Iterator[Event]:
        def check() -> None:
            asked.turn.watch.check()
            self._check_current(asked)

        return write(self.model, asked, outputs, cache, check, lambda state: self.point(state, asked))

    def _check_current(self, asked: Asked) -> None:
        self.model.check_usable()
        if self._closed or asked is not self._current:
            raise SessionClosedError("this stream ended because the image was closed or asked something newer")

    def point(self, states: Tensor, asked: Asked) -> MaskFound:
        """The mask of one `[SEG]`, from the hidden state (1, hidden) where it was the input."""
        asked.turn.watch.check()
        features, size_px = self.ground(asked), (self.images[0].width_px, self.images[0].height_px)
        ((mask, score),) = self.model.point(states, features, size_px, asked.plan, asked.turn.watch)
        return asked.turn.assembler.attach(mask, score)

    def ground(self, asked: Asked) -> Features:
        """SAM 2's features of the first image, made once."""
        if self._features is None:
            self._features = self.model.ground(self.images[0], asked.plan, asked.turn.watch)
        return self._features

    def result(self, asked: Asked) -> Answer:
        """The typed result of a finished question."""
        return result(self.model, self.images, asked.turn)
