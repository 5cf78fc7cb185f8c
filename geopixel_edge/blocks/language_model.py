"""Large Language Model (paper block 3): prompt rows in, logits and hidden states out, its KV cache kept in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from ..arrays import F32, Bool
from ..checks import finite
from ..engine.manifest import Sizes
from ..engine.names import IMAGE_ROWS, LOGITS
from ..runtimes import Device, Runner, Step, Tensor
from .embeddings import TokenEmbeddings
from .kv_cache import KVCache
from .places import places_of

OUTPUT_ROWS = "output_rows"  # graphs of schema 1 lack it: they give the logits of the last row and every hidden state


@dataclass(frozen=True)
class Rows:
    """Rows of a prompt: token ids and image tokens (n, hidden) in order, and which rows hold the latter, bool (n,).

    Text is embedded and laid beside image tokens when a part is read, so that no prompt stands in memory twice.
    """

    device: Device
    embed: TokenEmbeddings
    pieces: tuple[Sequence[int] | Tensor, ...]
    is_image: Bool

    def __len__(self) -> int:
        return len(self.is_image)

    @classmethod
    def of(cls, device: Device, embed: TokenEmbeddings, pieces: Sequence[Sequence[int] | Tensor]) -> Rows:
        """Of pieces in prompt order."""
        is_image = np.repeat([isinstance(piece, Tensor) for piece in pieces], [_length(piece) for piece in pieces])
        return cls(device, embed, tuple(pieces), is_image)

    @property
    def image_end(self) -> int:
        """The row behind the last that holds an image token; 0 where none does."""
        return int(np.flatnonzero(self.is_image)[-1]) + 1 if self.is_image.any() else 0

    @property
    def embeds(self) -> Tensor:
        """All rows, (n, hidden) float32 on the device: new memory, or that of the only image."""
        if len(self.pieces) == 1 and isinstance(piece := self.pieces[0], Tensor):
            return piece
        hidden, start = self.embed.hidden, 0
        embeds = self.device.empty("float32", (len(self), hidden))
        for piece in self.pieces:
            place = embeds.view(_length(piece), hidden, offset=start * hidden)
            if isinstance(piece, Tensor):
                self.device.copy(piece, place)
            else:
                place.write(self.embed(piece))
            start += _length(piece)
        return embeds

    def part(self, start: int, stop: int) -> Rows:
        """Rows start..stop; image tokens are the same memory."""
        pieces: list[Sequence[int] | Tensor] = []
        first = 0
        for piece in self.pieces:
            begin, end = (min(max(side - first, 0), _length(piece)) for side in (start, stop))
            if begin < end:
                pieces.append(_rows_of(piece, begin, end) if isinstance(piece, Tensor) else piece[begin:end])
            first += _length(piece)
        return Rows(self.device, self.embed, tuple(pieces), self.is_image[start:stop])


def _length(piece: Sequence[int] | Tensor) -> int:
    return piece.shape[0] if isinstance(piece, Tensor) else len(piece)


def _rows_of(tokens: Tensor, start: int, stop: int) -> Tensor:
    _, hidden = tokens.shape
    return tokens.view(stop - start, hidden, offset=start * hidden)


@dataclass(frozen=True)
class Outputs:
    """Logits (n, vocabulary) on the host and final-normed hidden states (n, hidden) on the device, float32.

    Both are memory of the cache that was read into: the next run on it writes them anew.
    """

    logits: F32
    hidden: Tensor


class LanguageModel:
    """InternLM2 with partial LoRA; one graph serves prefill and decode."""

    def __init__(self, runner: Runner, embeddings: TokenEmbeddings, sizes: Sizes) -> None:
        self.runner, self.embed, self.sizes = runner, embeddings, sizes
        self.device = runner.device
        # The decode run bound to each cache's memory; it ends with the cache, or with this block when that is freed.
        self._steps: WeakKeyDictionary[KVCache, Step] = WeakKeyDictionary()
        self._places = places_of(runner)
        self._asks_rows = any(tensor.name == OUTPUT_ROWS for tensor in runner.spec.inputs)

    def read(
        self,
        rows: Rows,
        cache: KVCache,
        chunk: int,
        wanted: Sequence[int] | None = None,
        before_run: Callable[[], None] = lambda: None,
    ) -> Outputs:
        """Append prompt rows to a cache of one sequence, `chunk` at a time.

        `rows.is_image` marks those that partial LoRA acts on (reference behaviour 14). The outputs are those of the
        last row, or of the rows `wanted`, which must all lie in the last chunk. `before_run` may raise to stop between
        chunks. InferenceError for logits that are not finite.
        """
        starts = range(0, len(rows), chunk)
        for start in starts:
            before_run()
            part = rows.part(start, min(start + chunk, len(rows)))
            if start != starts[-1]:
                self._run(part, cache, [])
            else:
                asked = [len(part) - 1] if wanted is None else [row - start for row in wanted]
                outputs = self._run(part, cache, asked)
        return outputs

    def _run(self, part: Rows, cache: KVCache, asked: Sequence[int]) -> Outputs:
        embeds = part.embeds
        count, hidden = embeds.shape
        feeds = {
            "inputs_embeds": embeds.view(1, count, hidden),
            IMAGE_ROWS: self.device.put(np.flatnonzero(part.is_image)),
            **self._places.of_rows(cache, count),
            **cache.buffers,
        }
        if self._asks_rows:
            feeds[OUTPUT_ROWS] = self.device.put(np.array(asked, np.int64))
        outputs = self.runner.run(feeds, cache.into)
        cache.lengths[0] += count
        if not asked:  # a reader of images has no head
            return Outputs(np.empty((0, 0), np.float32), outputs["hidden"])
        return self._outputs(outputs[LOGITS], outputs["hidden"], asked)

    def _outputs(self, logits: Tensor, hidden: Tensor, asked: Sequence[int]) -> Outputs:
        if not self._asks_rows:
            # (1, rows, hidden) of every row: the last one asked for, or all.
            _, _, size = hidden.shape
            hidden = hidden.view(len(asked), size, offset=asked[0] * size)
        return Outputs(finite(logits.numpy(), "the language model"), hidden)

    def step(self, token_ids: Sequence[int], cache: KVCache) -> Outputs:
        """Read one generated token of each sequence: logits of the next, hidden states where these are the input."""
        step = self._steps.get(cache) or self._bind(cache)
        step.feeds["inputs_embeds"].write(self.embed(token_ids))
        self._places.move(step.feeds, cache)
        step.run()
        cache.lengths[:] = [length + 1 for length in cache.lengths]
        return self._outputs(step.outputs[LOGITS], step.outputs["hidden"], range(cache.batch))

    def _bind(self, cache: KVCache) -> Step:
        """The run of one token a sequence, with every address fixed."""
        zeros, batch = self.device.zeros, cache.batch
        feeds = {
            "inputs_embeds": zeros("float32", (batch, 1, self.sizes.hidden)),
            IMAGE_ROWS: zeros("int64", (0,)),
            **self._places.of_step(cache),
            **cache.buffers,
        }
        if self._asks_rows:
            feeds[OUTPUT_ROWS] = self.device.put(np.arange(batch))
        return self._steps.setdefault(cache, self.runner.bind(feeds, cache.into))
