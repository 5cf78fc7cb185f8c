"""A describer that lies at known rates, and remembers what it lied about."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable

from annotate.describers.base import Reply, Request
from annotate.describers.rules import Rules, sentence_of
from annotate.names import plural
from annotate.naming import Told
from synthetic.scenes import CLASS_NAMES

# Lie -> the check that should find it. `class` may show as no class of its own, or as one that is not there.
FOUND_BY = {
    "place": {"place-conflict"},
    "class": {"no-class", "other-class"},
    "count": {"count-conflict"},
    "mark": {"mark-said"},
    "colour": {"colour-conflict"},
    "hedge": {"hedge"},
    "long": {"too-long"},
}
_MIRRORED = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}
_WHERE = re.compile(r"\b(at|on) the ((?:top|bottom) (?:left|right)|top|bottom|left|right)\b")


class Liar(Rules):
    """The rules, with one kind of lie told in `rate` of the sentences where it can be told."""

    name = "liar"

    def __init__(self, lie: str, rate: float, seed: int = 0) -> None:
        self.lie, self.rate, self.rng = lie, rate, random.Random(seed)
        self.lies: set[int] = set()  # the seeds of the questions it lied to

    def fingerprint(self) -> str:
        """The lie and its rate."""
        return f"liar {self.lie} {self.rate}"

    def describe(self, request: Request) -> Reply:
        """The rules' reply, or a lie."""
        true = super().describe(request)
        if request.level == "scene":
            return true
        found = json.loads(true.text)
        said = LIES[self.lie](found["sentence"], request)
        if said == found["sentence"] or self.rng.random() >= self.rate:
            return true
        self.lies.add(request.seed)
        return Reply(json.dumps({"sentence": said, "phrase": ""}))


class SceneLiar(Liar):
    """Tells of each of `units` in the scene's text, a sentence each, and lies there alone."""

    def __init__(self, lie: str, rate: float, seed: int = 0) -> None:
        super().__init__(lie, rate, seed)
        self.units: list[Told] = []  # set before each picture, as are its classes
        self.present: frozenset[str] = frozenset()
        self.said: dict[str, bool] = {}  # sentence -> whether it is a lie, of the last picture

    def describe(self, request: Request) -> Reply:
        """The rules' reply about a unit; about a scene true sentences and lies."""
        if request.level != "scene":
            return Rules.describe(self, request)
        self.said = {}
        for one in self.units:
            asked = Request(one.unit.level, "", one.facts)
            true = sentence_of(one.facts, one.phrase, one.used, request.seed)
            lie = LIES[self.lie](true, asked)
            untold = lie == true or self.rng.random() >= self.rate
            if self.lie == "class" and any(name in lie for name in self.present):
                untold = True  # of two classes that are there either may be meant
            self.said[true if untold else lie] = not untold
        return Reply(" ".join(self.said) or "Nothing stands out.")


def _place(sentence: str, request: Request) -> str:
    def mirrored(hit: re.Match[str]) -> str:
        return f"{hit[1]} the {' '.join(_MIRRORED[word] for word in hit[2].split())}"

    return _WHERE.sub(mirrored, sentence, count=1)


def _class(sentence: str, request: Request) -> str:
    name = request.facts.class_name
    at = CLASS_NAMES.index(name) if name in CLASS_NAMES else 0
    other = next(one for one in (*CLASS_NAMES[at + 1 :], *CLASS_NAMES) if not {*one.split()} & {*name.split()})
    sentence = re.sub(rf"\b{plural(name)}\b", plural(other), sentence, count=1)
    return re.sub(rf"\b{name}\b", other, sentence, count=1) if other not in sentence else sentence


def _count(sentence: str, request: Request) -> str:
    facts = request.facts
    if facts.level != "group" or facts.count_word is None or facts.count < 2:
        return sentence
    return re.sub(
        rf"\b{facts.count_word}\b", "many" if facts.count < 6 else "two", sentence, flags=re.IGNORECASE, count=1
    )


def _mark(sentence: str, request: Request) -> str:
    return f"{sentence.rstrip('.')}, marked 4." if request.level == "instance" else sentence


def _colour(sentence: str, request: Request) -> str:
    other = "blue" if request.facts.colour != "blue" else "white"
    return sentence.replace(f" {request.facts.colour} ", f" {other} ", 1) if request.facts.colour else sentence


def _hedge(sentence: str, request: Request) -> str:
    return f"{sentence.rstrip('.')}, but the image is unclear."


def _long(sentence: str, request: Request) -> str:
    return f"{sentence.rstrip('.')}, {'which is a very remarkable and quite beautiful sight, ' * 6}indeed."


LIES: dict[str, Callable[[str, Request], str]] = {
    "place": _place,
    "class": _class,
    "count": _count,
    "mark": _mark,
    "colour": _colour,
    "hedge": _hedge,
    "long": _long,
}
