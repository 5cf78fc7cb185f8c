"""One picture: from its instances to sentences with masks."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from . import filters, marks, merge
from .asking import Asker, image_hash, mask_hash, seed_of
from .describers.base import Request, Words, read_reply
from .facts import Facts, facts_of_scene
from .groups import units_of
from .items import Instance, Item, centre_of
from .marks import Mark
from .names import plain
from .naming import Told, tell
from .picture import Picture
from .records import Description, Sentence, describe, draft

MAX_TOKENS = {"scene": 300, "instance": 120, "group": 120, "merge": 1_500}


@dataclass(frozen=True)
class Annotated:
    """A picture's sentences in the order in which they are told, its description, what was asked for it, and the marks
    of each picture that was shown with marks."""

    item: Item
    sentences: tuple[Sentence, ...]
    description: Description
    smooth: str | None
    keys: tuple[str, ...]
    boards: tuple[tuple[Mark, ...], ...] = ()

    @property
    def state(self) -> str:
        """drop if nothing with a mask is told, review if any sentence is to be reviewed, else keep."""
        if not self.description.masks:
            return "drop"
        return "review" if any(one.state == "review" for one in self.sentences) else "keep"


def planned(picture: Picture, input_side_px: int | None = None) -> tuple[list[Told], list[list[Mark]]]:
    """The units of a picture with their phrases, and the marks of its pictures; what cannot be marked is in a group."""
    without: set[int | str] = set()
    while True:
        units = units_of(picture, frozenset(without))
        told = tell(picture, units)
        things = [one.unit.members[0] for one in told if one.unit.level == "instance"]
        pictures, left = marks.place_marks(picture.item, things, input_side_px)
        if not left:
            return told, pictures
        without |= {one.id for one in left}


def annotate(item: Item, asker: Asker, known: Sequence[str]) -> Annotated:
    """Annotate a picture; `known` are the classes of its source. DescriberError once the describer fails for good."""
    return _Annotation(item, asker, known).run()


class _Annotation:
    """One picture on its way; `look` names what was drawn into the picture for a question."""

    def __init__(self, item: Item, asker: Asker, known: Sequence[str]) -> None:
        self.item, self.asker, self.settings = item, asker, asker.settings
        self.picture = Picture(item, self.settings.profile)
        self.known = tuple(sorted({plain(name, self.settings.profile) for name in known}))
        self.hash = image_hash(item)
        self.keys: list[str] = []

    def run(self) -> Annotated:
        told, boards = planned(self.picture, self.asker.describer.input_side_px)
        marked = {mark.instance: (board, mark.number) for board in boards for mark in board}
        scene = self._scene() if told else []
        units = [self._unit(one, *marked.get(one.unit.members[0].id, ([], None))) for one in told]
        if self.settings.profile == "strict":
            scene, units = merge.ground_in_scene(scene, units)
        sentences = filters.check_together(merge.merged(scene, units))
        told_any = any(one.masks for one in sentences if one.state != "drop")
        smooth = self._smooth(sentences) if self.settings.smooth and told_any else None
        described = describe(sentences, smooth) if told_any else Description("", (), ())
        shown = tuple(tuple(board) for board in boards)
        return Annotated(self.item, tuple(sentences), described, smooth, tuple(self.keys), shown)

    def _scene(self) -> list[Sentence]:
        facts = facts_of_scene(self.picture)
        words, key = self._ask(Request("scene", self.settings.prompts.ask(facts), facts), [], [])
        lines = merge.scene_sentences(words, facts, key)
        context = filters.Context(facts, (0.5, 0.5), tuple(self.picture.by_class), self.known)
        return [_checked(line, context) for line in lines]

    def _unit(self, told: Told, board: Sequence[Mark], number: int | None) -> Sentence:
        unit = told.unit
        alone = unit.level == "instance"
        request = Request(unit.level, self.settings.prompts.ask(told.facts, number), told.facts, told.phrase, told.used)
        things = unit.members if self.settings.tint else ()
        words, key = self._ask(request, board if alone else [], things, [mask_hash(mask) for mask in unit.masks])
        sentence = merge.sentence_for(told, words, key, seed_of(key))
        x, y = centre_of(unit.whole)
        centre = x / self.picture.width_px, y / self.picture.height_px
        return _checked(sentence, filters.Context(told.facts, centre, tuple(self.picture.by_class), self.known))

    def _smooth(self, sentences: Sequence[Sentence]) -> str | None:
        text = draft(sentences)
        request = Request("merge", self.settings.prompts.smooth(text), Facts("merge", "", 0))
        words, _ = self._ask(request, [], [])
        return None if words.fault else merge.smoothed(sentences, words.sentence)

    def _ask(
        self, request: Request, board: Sequence[Mark], things: Sequence[Instance], masks: Sequence[str] = ()
    ) -> tuple[Words, str]:
        """The words of the reply, and the key of the question."""
        look = f"{[(mark.number, mark.box) for mark in board]} tint {self.settings.tint if things else 0}"
        key = self.asker.key(self.hash, list(masks), request, look)
        self.keys.append(key)
        if self.asker.describer.looks and request.level != "merge" and self.asker.ledger.get(key) is None:
            request = replace(request, png=_drawn(self.item.image, board, things, self.settings.tint))
        request = replace(request, max_tokens=MAX_TOKENS[request.level])
        return read_reply(self.asker.ask(key, self.item.id, request), request.level), key


def _checked(sentence: Sentence, context: filters.Context) -> Sentence:
    """The sentence with what its words show; one that was rebuilt is judged by what the describer said."""
    if sentence.state == "drop":
        return sentence
    for finding in filters.check(sentence.said, context):
        sentence = sentence.found(finding)
    return sentence


def _drawn(image: NDArray[np.uint8], board: Sequence[Mark], things: Sequence[Instance], strength: float) -> bytes:
    """The picture for a describer that looks, as PNG."""
    tinted = marks.tint(image, things, strength) if things else image
    stream = io.BytesIO()
    Image.fromarray(marks.draw(tinted, board)).save(stream, "PNG", compress_level=4)
    return stream.getvalue()
