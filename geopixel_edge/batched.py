"""Several questions written together: a decoded token of many sequences reads the weights once."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np

from .answer import Answer
from .arrays import F32
from .blocks.kv_cache import KVCache
from .errors import MemoryBudgetError, QueryError
from .memory.plan import MOST_BATCHED, Layout, Plan, Request
from .model import Model
from .options import AskOptions
from .question import Asked
from .resources import shortage_told
from .runtimes import Tensor
from .session import OpenedImage
from .stop import Stopped, StopToken, Watch


class Question(NamedTuple):
    """A prepared question about an opened image; `ours`: the image was opened here, and is closed here."""

    image: OpenedImage
    asked: Asked
    ours: bool


def answer_in_batches(
    model: Model,
    pairs: Iterable[tuple[Any, str]],
    open_image: Callable[[Any], OpenedImage],
    options: AskOptions,
    stop: StopToken,
) -> Iterator[Answer]:
    """Answers to (image, question) pairs, in order; as many are written at once as pays and the plan has room for.

    `open_image` gives back an image that is opened already; such a one stays open.
    """
    waiting = iter(pairs)
    while some := list(itertools.islice(waiting, MOST_BATCHED)):
        with ExitStack() as images, shortage_told("the questions cannot be answered"):
            questions = list(_prepared(some, open_image, options, stop, images))
            while questions:
                plan = _next_plan(model, [one.asked for one in questions])
                now, questions = questions[: plan.dims.batch], questions[plan.dims.batch :]
                yield from _together(model, now, plan) if len(now) > 1 else map(_alone, now)
                _let_go(now, questions)


def _prepared(
    pairs: Iterable[tuple[Any, str]],
    open_image: Callable[[Any], OpenedImage],
    options: AskOptions,
    stop: StopToken,
    images: ExitStack,
) -> Iterator[Question]:
    """Every question checked and planned; neighbours about one image share what is known of it."""
    source, opened = None, None
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise QueryError(f"pairs holds {str(pair)[:80]!r}; give (image, question) pairs")
        if opened is None or not _same(source, pair[0]):
            source, opened = pair[0], open_image(pair[0])
            if opened is not source:
                images.enter_context(opened)
        yield Question(opened, opened.prepare(pair[1], options, stop), opened is not source)


def _same(one: object, other: object) -> bool:
    return one is other or (isinstance(one, (str, os.PathLike)) and one == other)


def _alone(question: Question) -> Answer:
    with question.image.lock:  # from the beginning on: else it would end what another thread is asking
        return question.image.running(question.asked).answer


def _let_go(answered: list[Question], left: list[Question]) -> None:
    """Free what is kept of images that no question asks about any more."""
    wanted = {id(one.image) for one in left}
    for one in answered:
        if one.ours and id(one.image) not in wanted:
            one.image.close()


def _next_plan(model: Model, asked: list[Asked]) -> Plan:
    """How the first question is answered: alone where its answer is drafted, else with the ones behind it.

    A drafted answer is read in one run or two, the eight of a batch take a run for each token of the longest; and each
    teaches the next one its form.
    """
    if asked[0].turn.draft is not None and model.takes_batches:
        return asked[0].plan
    return _shared_plan(model, asked)


def _shared_plan(model: Model, asked: list[Asked]) -> Plan:
    """The plan of the first question or, with as many more as fit beside it, of the longest prompt among them."""
    allowed = model.budget_bytes or model.device.free_bytes()
    for count in range(len(asked) if model.takes_batches else 1, 1, -1):
        layouts = [one.plan.layout for one in asked[:count]]
        longest = Layout(
            layouts[0].hd_num, max(one.views for one in layouts), max(one.prompt_tokens for one in layouts)
        )
        most = max(one.turn.options.max_new_tokens for one in asked[:count])
        try:
            plan = model.planned(Request((longest,), most, batch=count), allowed)
        except MemoryBudgetError:
            continue
        if plan.all_resident:
            return plan
    return asked[0].plan


def _together(model: Model, questions: list[Question], plan: Plan) -> Iterator[Answer]:
    """Read each prompt into its part of one cache, then write all answers in step.

    Nobody else asks about these images meanwhile; in the order of their addresses, so that no two batches wait for
    each other.
    """
    with ExitStack() as locks:
        for image in sorted({one.image for one in questions}, key=id):
            locks.enter_context(image.lock)
        _write(model, questions, plan)
        for image in {one.image for one in questions if not one.ours}:
            image.settle()
    for image, asked, _ in questions:
        asked.turn.finish()
        yield image.result(asked)


def _write(model: Model, questions: list[Question], plan: Plan) -> None:
    """See, read and write; the turns hold what was said."""
    for image, asked, _ in questions if plan.ground_first else ():
        if asked.turn.grounded:
            image.ground(asked)
    cache = model.new_cache(plan.dims.capacity, len(questions))
    turns = [one.asked.turn for one in questions]
    logits = [_begun(question, cache, index) for index, question in enumerate(questions)]
    watch = Watch()  # what the steps cost belongs to all
    while True:
        for turn, row in zip(turns, logits, strict=True):
            if not turn.ended:
                turn.take(row)
        if all(turn.ended for turn in turns):
            break
        # A sequence that has ended goes on with its last token, into slots that nothing reads.
        outputs = model.step([turn.token_ids[-1] if turn.token_ids else 0 for turn in turns], cache, plan, watch)
        logits = list(outputs.logits)
        _, hidden = outputs.hidden.shape
        for index, (image, asked, _) in enumerate(questions):
            if not asked.turn.ended:
                _stepped(image, asked, outputs.hidden.view(1, hidden, offset=index * hidden))
    for one in questions:
        one.asked.turn.watch.timings.blocks.update(watch.timings.blocks)


def _begun(question: Question, cache: KVCache, index: int) -> F32:
    """See and read one prompt; the logits (vocabulary,) of its last row, or zeros when it was stopped."""
    (image, asked, _), sequence = question, cache.sequence(index)
    try:
        asked.turn.watch.check()
        outputs, _ = image.begin(asked, sequence)
    except Stopped as stopped:
        asked.turn.stop(stopped)
        return np.zeros(1, np.float32)
    cache.adopt(index, sequence)
    logits: F32 = outputs.logits[0]
    return logits


def _stepped(image: OpenedImage, asked: Asked, hidden: Tensor) -> None:
    """After a step: the mask of a `[SEG]` that it consumed, and whether to stop."""
    try:
        if asked.turn.wants_mask:
            image.point(hidden, asked)
        asked.turn.watch.check()
        image.model.check_usable()
    except Stopped as stopped:
        asked.turn.stop(stopped)
