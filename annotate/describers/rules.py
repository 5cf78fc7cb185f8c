"""The describer of rules: facts become sentences, every word of which comes from the masks. It looks at nothing."""

from __future__ import annotations

import json

from synthetic.wording import where

from ..facts import Facts
from .base import Reply, Request

NAME = "rules-2"
_KINDS = ("no", "one kind", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_ARRANGED = {"row": "in a row", "rows": "in rows", "cluster": "close together", "scattered": "far apart"}
_BESIDE = {"left of": "to the left of", "right of": "to the right of"}


class Rules:
    """Deterministic and offline; a useful baseline, and what stands in where a model's sentence cannot be used."""

    name = NAME
    looks = False
    input_side_px: int | None = None
    levels: tuple[str, ...] = ("scene", "instance", "group")

    def fingerprint(self) -> str:
        """The version of the rules."""
        return NAME

    def describe(self, request: Request) -> Reply:
        """A sentence about a unit, with its phrase; up to four about a scene."""
        if request.level == "scene":
            return Reply(scene_text(request.facts))
        sentence = sentence_of(request.facts, request.phrase, request.used, request.seed)
        return Reply(json.dumps({"sentence": sentence, "phrase": request.phrase}, ensure_ascii=False))

    def close(self) -> None:
        """Nothing is held."""


def sentence_of(facts: Facts, phrase: str, used: tuple[str, ...], seed: int) -> str:
    """One sentence about a unit that holds its phrase once; `seed` chooses among wordings."""
    place = "" if "place" in used or not facts.place else where(facts.place)
    if facts.half:
        place = f"across the {facts.half} half of the image"
    arranged = _ARRANGED.get(facts.arrangement or "", "")
    position = " ".join(word for word in (arranged, place) if word)
    extra = _extra(facts)
    tail = f", {extra}" if extra else ""
    one = facts.level == "instance" or facts.count_word in ("one", None)
    start = phrase[0].upper() + phrase[1:]
    wordings = [
        f"There {'is' if one else 'are'} {phrase}{' ' + position if position else ''}{tail}.",
        f"The image shows {phrase}{' ' + position if position else ''}{tail}.",
    ]
    if position:
        wordings.append(f"{start} {'is' if one else 'are'} {position}{tail}.")
    return wordings[seed % len(wordings)]


def _extra(facts: Facts) -> str:
    """What is told beyond the place: the most telling fact alone."""
    if facts.relation:
        word, *names = facts.relation
        if word == "surrounded by":
            return f"{word} {names[0]}"
        before = "in" if (word, *names) == ("on", "parking lot") else _BESIDE.get(word, word)
        return f"{before} {' and '.join(f'the {name}' for name in names)}"
    if facts.axis:
        return f"running {facts.axis}"
    if facts.edges:
        edges = " and ".join(f"the {edge}" for edge in facts.edges)
        return f"reaching {edges} edge{'s' if len(facts.edges) > 1 else ''} of the image"
    return ""


def scene_text(facts: Facts) -> str:
    """Up to four short sentences about the whole picture that name no class: their things are told one by one."""
    few = facts.count_word == "one"
    things = {None: "objects", "one": "one object"}.get(facts.count_word, f"{facts.count_word} objects")
    kinds = len(facts.classes)
    number = _KINDS[kinds] if kinds < len(_KINDS) else "many"
    of_kinds = "" if few or not kinds else f" of {number}{'' if kinds == 1 else ' kinds'}"
    lines = [f"This aerial image shows {things}{of_kinds}."]
    if facts.spread:
        everywhere = facts.spread == "everywhere"
        lines.append(
            "They are spread over the whole image."
            if everywhere
            else f"Most of them are in the {facts.spread} half of the image."
        )
    parts = ((0.25, "less than a quarter"), (0.5, "less than half"), (0.75, "more than half"))
    part = next((words for limit, words in parts if facts.share < limit), "more than three quarters")
    if facts.share not in (0.25, 0.5, 0.75):
        lines.append(f"{'It covers' if few else 'Together they cover'} {part} of the image.")
    if not few:
        some = "Some of them reach" if facts.edges else "None of them reaches"
        lines.append(f"{some} the edge of the image.")
    return " ".join(lines)
