"""One opened image (or several, or none): what does not depend on the question is computed once and kept."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .answer import Answer, Event, MaskFound, Region
from .arrays import F32, Array
from .blocks.divider import Grid, divide, grounding_input
from .blocks.language_model import KVCache
from .errors import SessionClosedError
from .families.layout import plan_images
from .families.prompt import Prompt, build_prompt, check_phrase
from .image_ref import ImageRef
from .images import LoadedImage
from .resources import shortage_told
from .text.assembler import AnswerAssembler
from .text.sampling import Sampler
from .turn import AnswerStream, AskArguments, DeadlinePassed, Turn, check_options

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .pipeline import Pipeline

SEGMENT_QUERY = "Could you provide a segmentation mask for {} in this image?"


class OpenedImage:
    """Made by `Pipeline.open`; a context manager. Not for two threads at once.

    The tiles, the image tokens, the KV prefix (BOS and the image) and SAM 2's features are computed when first needed
    and reused by every later question. The grid depends on the question only where image and text together would
    exceed the prompt limit.
    """

    def __init__(self, pipeline: Pipeline, images: Sequence[LoadedImage], hd_num: int) -> None:
        self.pipeline, self.images, self.hd_num = pipeline, tuple(images), hd_num
        self._grids: tuple[Grid, ...] | None = None
        self._image_tokens: list[F32] = []
        self._cache: KVCache | None = None
        self._prefix_length = 0
        self._features: dict[str, Array] | None = None
        self._turns = 0
        self._closed = False

    def __enter__(self) -> OpenedImage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        if self._closed:
            raise SessionClosedError("this image was closed; open it again before it is pickled")
        return OpenedImage, (self.pipeline, self.images, self.hd_num)

    def close(self) -> None:
        """Free everything kept for this image; later questions raise SessionClosedError."""
        self._closed = True
        self._forget_tokens()
        self._features = None

    # --- Asking -------------------------------------------------------------------------------------------

    def ask(self, query: str, **options: Unpack[AskArguments]) -> Answer:
        """Answer one question; options and errors as of `Pipeline.__call__`."""
        return self.stream(query, **options).answer

    def segment(
        self, phrase: str, *, max_new_tokens: int = 1024, deadline_s: float | None = None
    ) -> tuple[Region, ...]:
        """The regions of what `phrase` names, without prose; empty when the model points at nothing."""
        check_phrase(phrase)
        answer = self.ask(SEGMENT_QUERY.format(phrase), max_new_tokens=max_new_tokens, deadline_s=deadline_s)
        return answer.with_phrase(phrase).regions

    def stream(self, query: str, **options: Unpack[AskArguments]) -> AnswerStream:
        """Like `ask`, event by event: a mask comes as soon as the step that consumes its `[SEG]` has run."""
        if self._closed:
            raise SessionClosedError("this image was closed; open it again before asking")
        self.pipeline.owner.check()
        turn = Turn(check_options(**options), AnswerAssembler(self.pipeline.tokenizer))
        manifest = self.pipeline.engine.manifest
        prompt = build_prompt(query, turn.options.history, len(self.images), self.pipeline.tokenizer, manifest.tokens)
        turn.notes += [note for image in self.images for note in image.notes]
        new_tokens, compat = turn.options.max_new_tokens, turn.options.compat
        grids, notes = plan_images(self.images, self.hd_num, prompt.text_tokens, new_tokens, manifest.sizes, compat)
        turn.notes += notes
        self._turns += 1
        events = self._run(turn, prompt, grids, self._turns)
        return AnswerStream(events, lambda: self._answer(turn, query))

    # --- The main path ------------------------------------------------------------------------------------

    def _run(self, turn: Turn, prompt: Prompt, grids: tuple[Grid, ...], number: int) -> Iterator[Event]:
        """Divide, see, read, then write token by token and point at each `[SEG]`."""
        self._check_current(number)
        with shortage_told("the question cannot be answered"):
            yield from self._run_stages(turn, prompt, grids, number)

    def _run_stages(self, turn: Turn, prompt: Prompt, grids: tuple[Grid, ...], number: int) -> Iterator[Event]:
        try:
            self._see(grids, turn)
            logits, cache = self._read(prompt, turn)
            yield from self._write(logits, cache, turn, number)
        except DeadlinePassed:
            turn.finish_reason = "deadline"
            turn.notes.append(f"deadline: stopped after {len(turn.token_ids)} tokens")
        yield from turn.assembler.finish()
        turn.timings.new_tokens = len(turn.token_ids)
        turn.timings.total_s = time.perf_counter() - turn.started_s

    def _see(self, grids: tuple[Grid, ...], turn: Turn) -> None:
        """Image tokens of every image, unless they are known for these grids."""
        if grids == self._grids:
            return
        self._forget_tokens()
        preprocessing = self.pipeline.engine.manifest.preprocessing
        tokens = []
        for image, grid in zip(self.images, grids, strict=True):
            turn.check_deadline()
            with turn.timings.measure("divider") as cost:
                views = divide(
                    image.pixels, grid, preprocessing.vision, preprocessing.pad_value, self.pipeline.native_threads
                )
                cost.output_bytes += views.nbytes
            with turn.timings.measure("vision_encoder") as cost:
                tokens.append(self.pipeline.vision_encoder.encode(views, grid, turn.check_deadline))
                cost.output_bytes += tokens[-1].nbytes
        self._image_tokens, self._grids = tokens, grids

    def _forget_tokens(self) -> None:
        self._grids, self._image_tokens, self._cache, self._prefix_length = None, [], None, 0

    def _read(self, prompt: Prompt, turn: Turn) -> tuple[F32, KVCache]:
        """Prefill; the prefix of BOS and image is read once and kept. Returns the first token's logits."""
        model = self.pipeline.language_model
        length = prompt.text_tokens + sum(len(tokens) for tokens in self._image_tokens)
        positions = length + turn.options.max_new_tokens
        shared = 1 + len(self._image_tokens[0]) if prompt.starts_with_image and len(self.images) == 1 else 0
        known = self._prefix_length if shared else 0
        # A run that stops half-way must not leave a half-read prefix behind.
        cache, self._cache, self._prefix_length = self._cache, None, 0
        cache = model.with_room(cache, positions, known) if cache else model.new_cache(positions)
        turn.timings.prompt_tokens, turn.timings.reused_tokens = length, known
        with turn.timings.measure("language_model.prefill") as cost:
            embeds, is_image = self._embed(prompt, 1 if known else 0)
            if shared and not known:
                # In runs of its own, so that reading it once or again gives the same numbers to the last bit.
                model.read(embeds[:shared], is_image[:shared], cache, turn.check_deadline)
                embeds, is_image = embeds[shared:], is_image[shared:]
            logits, _ = model.read(embeds, is_image, cache, turn.check_deadline)
            cost.output_bytes += logits.nbytes
        self._prefix_length, self._cache = shared, cache
        return logits, cache

    def _embed(self, prompt: Prompt, first_part: int) -> tuple[F32, NDArray[np.bool_]]:
        """Embeddings (n, hidden) from a text part on, and which rows hold image tokens."""
        pieces, marks = [], []
        for index, part in enumerate(prompt.parts[first_part:], first_part):
            pieces.append(self.pipeline.language_model.embed(part))
            marks.append(np.zeros(len(part), bool))
            if index < len(self._image_tokens):
                pieces.append(self._image_tokens[index])
                marks.append(np.ones(len(self._image_tokens[index]), bool))
        return np.concatenate(pieces), np.concatenate(marks)

    def _write(self, logits: F32, cache: KVCache, turn: Turn, number: int) -> Iterator[Event]:
        """Token by token until EOS or the limit; each `[SEG]` is pointed at when the next step has consumed it."""
        tokens, model = self.pipeline.engine.manifest.tokens, self.pipeline.language_model
        sampler = Sampler(turn.options.sampling)
        grounded = len(self.images) == 1
        while True:
            token = sampler.choose(logits)
            turn.token_ids.append(token)
            if turn.timings.first_token_s is None:
                turn.timings.first_token_s = time.perf_counter() - turn.started_s
            if token == tokens.eos:
                turn.finish_reason = "eos"
                return
            yield from turn.assembler.push(token)
            last = len(turn.token_ids) == turn.options.max_new_tokens
            wants_mask = grounded and token == tokens.seg
            if last and (not wants_mask or turn.options.compat):
                return
            if last:
                turn.notes.append("the last allowed token is [SEG]: one more step was run for its mask")
            turn.check_deadline()
            self._check_current(number)
            with turn.timings.measure("language_model.decode") as cost:
                logits, hidden = model.step(token, cache)
                cost.output_bytes += logits.nbytes + hidden.nbytes
            if wants_mask:
                yield self._point(hidden, turn)
            if last:
                return

    def _check_current(self, number: int) -> None:
        self.pipeline.owner.check()
        if self._closed or number != self._turns:
            raise SessionClosedError("this stream ended because the image was closed or asked something newer")

    def _point(self, hidden: F32, turn: Turn) -> MaskFound:
        """The mask of one `[SEG]`, from the hidden state where it was the input (reference behaviour 19)."""
        turn.check_deadline()
        image = self.images[0]
        features = self._ground(image, turn)
        with turn.timings.measure("pixel_decoder") as cost:
            decoded = self.pipeline.pixel_decoder.decode(
                hidden[None], features, image.height_px, image.width_px, self.pipeline.native_threads
            )
            mask, score = next(decoded)
            cost.output_bytes += mask.counts.nbytes
        return turn.assembler.attach(mask, score)

    def _ground(self, image: LoadedImage, turn: Turn) -> dict[str, Array]:
        if self._features is None:
            sizes, preprocessing = self.pipeline.engine.manifest.sizes, self.pipeline.engine.manifest.preprocessing
            with turn.timings.measure("grounding_encoder") as cost:
                pixels = grounding_input(
                    image.pixels, sizes.grounding_px, preprocessing.grounding, self.pipeline.native_threads
                )
                self._features = self.pipeline.grounding_encoder.encode(pixels)
                cost.output_bytes += sum(value.nbytes for value in self._features.values())
        return self._features

    def _answer(self, turn: Turn, query: str) -> Answer:
        """The typed result of a finished turn."""
        image = self.images[0] if len(self.images) == 1 else None
        return Answer(
            text=turn.assembler.text,
            response=turn.assembler.response,
            token_ids=list(turn.token_ids),
            regions=turn.assembler.regions,
            finish_reason=turn.finish_reason,
            timings=turn.timings,
            notes=tuple(turn.notes),
            image=ImageRef.of(image) if image else None,
            provenance=self.pipeline.provenance([image.sha256 for image in self.images]),
            query=query,
            inputs=tuple(image.path for image in self.images if image.path is not None),
        )
