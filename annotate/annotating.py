"""One picture: from its instances to sentences with masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from . import filters, marks, merge
from .asking import Asker, image_hash, mask_hash, seed_of
from .describers.base import Reply, Request, Words, read_replies, read_reply
from .facts import Facts, facts_of_scene
from .groups import units_of
from .items import Instance, Item, centre_of
from .marks import Mark, png_of
from .names import plain
from .naming import Told, tell
from .picture import Picture
from .records import Description, Sentence, describe, draft
from .round_trip import RoundTrip

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


def annotate(item: Item, asker: Asker, known: Sequence[str], round_trip: RoundTrip | None = None) -> Annotated:
    """Annotate a picture; `known` are the classes of its source. DescriberError once the describer fails for good."""
    return _Annotation(item, asker, known).run(round_trip)


class _Annotation:
    """One picture on its way; `look` names what was drawn into the picture for a question."""

    def __init__(self, item: Item, asker: Asker, known: Sequence[str]) -> None:
        self.item, self.asker, self.settings = item, asker, asker.settings
        self.picture = Picture(item, self.settings.profile)
        self.known = tuple(sorted({plain(name, self.settings.profile) for name in known}))
        self.hash = image_hash(item)
        self.keys: list[str] = []

    def run(self, round_trip: RoundTrip | None) -> Annotated:
        told, boards = planned(self.picture, self.asker.describer.input_side_px)
        marked = {mark.instance: (board, mark.number) for board in boards for mark in board}
        scene = self._scene() if told else []
        together = self._together(told, boards) if self.settings.batch_marks else {}
        units = []
        for one in told:
            first = one.unit.members[0].id
            words, key = together.get(first) or self._ask_unit(one, *marked.get(first, ([], None)))
            units.append(self._sentence(one, words, key))
        if self.settings.profile == "strict":
            scene, units = merge.ground_in_scene(scene, units, [self._context(one) for one in told])
        sentences = filters.check_together(merge.merged(scene, units))
        if round_trip is not None:
            sentences = round_trip.check(self.item, sentences)
        told_any = any(one.masks for one in sentences if one.state != "drop")
        smooth = self._smooth(sentences) if self.settings.smooth and told_any else None
        described = describe(sentences, smooth) if told_any else Description("", (), ())
        shown = tuple(tuple(board) for board in boards)
        hidden = len(self.item.instances) - sum(len(one.unit.members) for one in told)
        dropped = {**self.item.dropped, **({"tiny": hidden} if hidden else {})}
        return Annotated(
            replace(self.item, dropped=dropped), tuple(sentences), described, smooth, tuple(self.keys), shown
        )

    def _scene(self) -> list[Sentence]:
        facts = facts_of_scene(self.picture)
        words, key = self._ask(Request("scene", self.settings.prompts.ask(facts), facts), [], [])
        lines = merge.scene_sentences(words, facts, key)
        context = filters.Context(facts, (0.5, 0.5), tuple(self.picture.by_class), self.known)
        return [_checked(line, context) for line in lines]

    def _together(self, told: Sequence[Told], boards: Sequence[Sequence[Mark]]) -> dict[int | str, tuple[Words, str]]:
        """Words and key for each marked thing, by its id: one question a marked picture."""
        alone = {one.unit.members[0].id: one for one in told if one.unit.level == "instance"}
        found: dict[int | str, tuple[Words, str]] = {}
        for board in boards:
            asked = [alone[mark.instance] for mark in board]
            prompt = self.settings.prompts.ask_together(
                [(mark.number, one.facts) for mark, one in zip(board, asked, strict=True)]
            )
            request = Request("marks", prompt, Facts("marks", "", len(board)))
            things = [one.unit.members[0] for one in asked] if self.settings.tint else []
            reply, key = self._reply(request, board, things, [mask_hash(one.unit.whole) for one in asked])
            words = read_replies(reply, [mark.number for mark in board])
            found |= {mark.instance: (words[mark.number], key) for mark in board}
        return found

    def _ask_unit(self, told: Told, board: Sequence[Mark], number: int | None) -> tuple[Words, str]:
        unit = told.unit
        request = Request(unit.level, self.settings.prompts.ask(told.facts, number), told.facts, told.phrase, told.used)
        things = unit.members if self.settings.tint else ()
        marks_shown = board if unit.level == "instance" else []
        return self._ask(request, marks_shown, things, [mask_hash(mask) for mask in unit.masks])

    def _sentence(self, told: Told, words: Words, key: str) -> Sentence:
        return _checked(merge.sentence_for(told, words, key, seed_of(key)), self._context(told))

    def _context(self, told: Told) -> filters.Context:
        x, y = centre_of(told.unit.whole)
        centre = x / self.picture.width_px, y / self.picture.height_px
        return filters.Context(told.facts, centre, tuple(self.picture.by_class), self.known)

    def _smooth(self, sentences: Sequence[Sentence]) -> str | None:
        text = draft(sentences)
        request = Request("merge", self.settings.prompts.smooth(text), Facts("merge", "", 0))
        words, _ = self._ask(request, [], [])
        return None if words.fault else merge.smoothed(sentences, words.sentence)

    def _ask(
        self, request: Request, board: Sequence[Mark], things: Sequence[Instance], masks: Sequence[str] = ()
    ) -> tuple[Words, str]:
        """The words of the reply, and the key of the question."""
        reply, key = self._reply(request, board, things, masks)
        return read_reply(reply, request.level), key

    def _reply(
        self, request: Request, board: Sequence[Mark], things: Sequence[Instance], masks: Sequence[str]
    ) -> tuple[Reply, str]:
        both = self.settings.both and bool(board)
        look = f"{[(mark.number, mark.box) for mark in board]} tint {self.settings.tint if things else 0}"
        look += " both" if both else ""
        key = self.asker.key(self.hash, list(masks), request, look)
        self.keys.append(key)
        if self.asker.describer.looks and request.level != "merge" and self.asker.ledger.get(key) is None:
            plain = png_of(self.item.image) if both else None
            shown = marks.tint(self.item.image, things, self.settings.tint) if things else self.item.image
            request = replace(request, png=png_of(marks.draw(shown, board)), plain=plain)
        tokens = MAX_TOKENS["instance"] * len(board) if request.level == "marks" else MAX_TOKENS[request.level]
        return self.asker.ask(key, self.item.id, replace(request, max_tokens=tokens)), key


def _checked(sentence: Sentence, context: filters.Context) -> Sentence:
    """The sentence with what its words show; one that was rebuilt is judged by what the describer said."""
    if sentence.state == "drop":
        return sentence
    for finding in filters.check(sentence.said, context):
        sentence = sentence.found(finding)
    return sentence
