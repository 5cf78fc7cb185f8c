"""Writing an answer: a token a run, or as many as were drafted and prove to be what the model says itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from .answer import Event, MaskFound
from .arrays import F32
from .blocks.kv_cache import KVCache
from .blocks.language_model import Outputs, Rows
from .model import Model
from .question import Asked
from .runtimes import Tensor
from .timings import DECODE

# Part of the largest logit. A run of several rows rounds otherwise than a run of one, so that the row alone decides
# where its best two logits lie closer than this.
NEAR_TIE = 0.01


def write(
    model: Model,
    asked: Asked,
    outputs: Outputs,
    cache: KVCache,
    check: Callable[[], None],
    point: Callable[[Tensor], MaskFound],
) -> Iterator[Event]:
    """From the outputs of the prompt's last row to EOS or the limit; the tokens are the same with a draft and without.

    `check` raises where the answer has to end before the next token. `point` takes the hidden state (1, hidden) where
    a `[SEG]` was the input.
    """
    turn = asked.turn
    yield from turn.take(outputs.logits[0])
    while not turn.ended:
        for logits, hidden in _rows(model, asked, cache, check):
            if turn.wants_mask:
                yield point(hidden)
            yield from turn.take(logits)


def _rows(model: Model, asked: Asked, cache: KVCache, check: Callable[[], None]) -> Iterator[tuple[F32, Tensor]]:
    """Read the last token and what is drafted behind it: logits (vocabulary,) and hidden state (1, hidden) of each.

    It ends at the first token that the answer, which grows in between, has otherwise; the cache then ends before that.
    """
    check()
    turn, start = asked.turn, cache.length
    drafted = turn.drafted(asked.plan.dims.prompt_chunk - 1) if model.takes_batches else []
    fed = [turn.token_ids[-1], *drafted]
    if not drafted:
        outputs = model.step(fed, cache, asked.plan, turn.watch)
        yield outputs.logits[0], outputs.hidden
        return
    rows = Rows.of(model.device, model.embeddings, [fed])
    outputs = model.read(rows, cache, asked.plan, turn.watch, range(len(fed)), DECODE)
    turn.watch.timings.drafted_tokens += len(drafted)
    _, hidden = outputs.hidden.shape
    for row, token in enumerate(fed):
        if row:
            if turn.ended:
                return
            check()
            if turn.token_ids[-1] != token:
                cache.rewind(start + row)
                return
            turn.watch.timings.accepted_tokens += 1
        if is_near_tie(outputs.logits[row]):
            cache.rewind(start + row)
            alone = model.step([token], cache, asked.plan, turn.watch)
            yield alone.logits[0], alone.hidden
            return
        yield outputs.logits[row], outputs.hidden.view(1, hidden, offset=row * hidden)


def is_near_tie(logits: F32) -> bool:
    """Whether the best two of logits (vocabulary,) lie so close that rounding could exchange them."""
    second, first = np.partition(logits, -2)[-2:]
    return bool(first - second <= NEAR_TIE * np.abs(logits).max())
