"""Checks of a describer's sentences against the facts. Each is named, and says what follows: "review" or "drop"."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .colour import NAMES as COLOURS
from .facts import Facts
from .names import forms, mention, plural
from .places import opposite, verdict
from .records import Finding, Sentence

MAX_WORDS = 40
MAX_REPEAT = 0.8  # of the runs of three words of two sentences, in both
MAX_OVERLAP = 0.5  # IoU of the masks of two phrases
_MARKS = re.compile(r"\b(?:marked|marker|labell?ed|label|numbered|annotated)\b|#|\d|\bnumber(?! of)\b", re.IGNORECASE)
_HEDGES = re.compile(
    r"\b(?:unclear|cannot|can't|can not|unable to|not visible|as an ai|language model|i am sorry|i'm sorry|"
    r"apologi[sz]e|appears? to be unclear|hard to (?:say|tell|see)|not sure|impossible to)\b",
    re.IGNORECASE,
)
# Words for sides that do not say where the thing is in the picture.
_ELSEWHERE = re.compile(
    r"\b(?:to the (?:left|right|top|bottom) of|(?:left|right|top|bottom) of the|left of|right of"
    r"|from (?:the )?[\w ]{4,16} to (?:the )?(?:bottom right|top right|bottom left|top left|right|bottom|left|top)"
    r"|reaching [\w ]+? edges?|(?:left|right|top|bottom|upper|lower) (?:edge|side|end|half|part|corner|lane)s? of the "
    r"(?!image|picture|photo|scene|frame)|on (?:its|their) (?:left|right))\b",
    re.IGNORECASE,
)
_SIDES = {
    "left": r"left|leftmost|western",
    "right": r"right|rightmost|eastern",
    "top": r"top|upper|topmost|northern",
    "bottom": r"bottom|lower|bottommost|southern",
}
_NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
# Least and most that a word for a number may stand for.
_COUNTS: dict[str, tuple[int, int]] = {
    **{word: (value, value) for value, word in enumerate(_NUMBERS, 1)},
    "a pair of": (2, 2),
    "a couple of": (2, 3),
    "a few": (2, 6),
    "several": (3, 15),
    "many": (7, 1_000_000),
    "numerous": (10, 1_000_000),
    "dozens of": (20, 1_000_000),
    "countless": (20, 1_000_000),
    "hundreds of": (80, 1_000_000),
}
# Words of every description, which no class can claim.
_GENERAL = frozenset({"image", "picture", "scene", "object", "objects", "edge", "place", "area"})
_COUNT_WORDS = "|".join(sorted((re.escape(word) for word in _COUNTS), key=len, reverse=True))
_WHOLE = r"group|row|rows|cluster|number|lot|collection|line|set|pair|couple|fleet"


@dataclass(frozen=True)
class Context:
    """What a sentence is judged by: the unit's facts and class, its centre in parts of the picture, the classes of the
    picture, and every class that the source knows."""

    facts: Facts
    centre: tuple[float, float]
    present: tuple[str, ...]
    known: tuple[str, ...]


Check = Callable[[str, Context], "Finding | None"]


def no_class(said: str, context: Context) -> Finding | None:
    """The sentence names neither the class nor a synonym; what is told is then the rules' sentence."""
    if mention([context.facts.class_name]).search(said):
        return None
    return Finding("no-class", f"does not name the {context.facts.class_name}", "review")


def other_class(said: str, context: Context) -> Finding | None:
    """The sentence names a class that is not in the picture."""
    allowed = {word for name in context.present for word in forms(name)}
    absent = [name for name in context.known if name not in allowed and name not in _GENERAL]
    banned = {word: name for name in absent for word in (name, plural(name)) if word not in allowed}
    words = sorted((re.escape(word) for word in {*allowed, *banned}), key=lambda word: (-len(word), word))
    for hit in re.finditer(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)" if words else r"(?!)", said, re.IGNORECASE):
        if name := banned.get(hit[0].lower()):
            return Finding("other-class", f"names a {name}, and there is none", "drop")
    return None


def mark_said(said: str, context: Context) -> Finding | None:
    """The sentence speaks of marks or numbers."""
    hit = _MARKS.search(mention([context.facts.class_name, *context.present]).sub(" ", said))
    return Finding("mark-said", f"says {hit[0]!r}", "drop") if hit else None


def hedge(said: str, context: Context) -> Finding | None:
    """The describer says that it cannot see it."""
    hit = _HEDGES.search(said)
    return Finding("hedge", f"says {hit[0]!r}", "drop") if hit else None


def too_long(said: str, context: Context) -> Finding | None:
    """More than MAX_WORDS words."""
    count = len(said.split())
    return Finding("too-long", f"{count} words", "drop") if count > MAX_WORDS else None


def place_conflict(said: str, context: Context) -> Finding | None:
    """The sentence says left where the thing is clearly right, or top where it is clearly at the bottom, and so on."""
    own = _ELSEWHERE.sub(" ", said)
    for side, words in _SIDES.items():
        there = opposite(side)
        if not re.search(rf"\b(?:{words})\b", own, re.IGNORECASE):
            continue
        if re.search(rf"\b(?:{_SIDES[there]})\b", own, re.IGNORECASE):
            continue
        if verdict(*context.centre, side) is False and verdict(*context.centre, there):
            return Finding("place-conflict", f"says {side}, and it is {there}", "drop")
    return None


def count_conflict(said: str, context: Context) -> Finding | None:
    """The sentence says how many there are, and it is another number."""
    facts = context.facts
    if facts.count_word is None:
        return None
    nouns = "|".join(map(re.escape, forms(facts.class_name)))
    number = re.search(
        rf"\b({_COUNT_WORDS})\s+(?!can\b|sees?\b|may\b|of\b)(?:[\w-]+\s+){{0,4}}?(?:{nouns})\b", said, re.IGNORECASE
    )
    if number:
        least, most = _COUNTS[number[1].lower()]
        if not least <= facts.count <= most:
            return Finding("count-conflict", f"says {number[1]}, and there are {facts.count}", "drop")
        return None
    single = re.search(
        rf"\ban? (?!(?:[\w-]+ ){{0,2}}(?:{_WHOLE}) of\b)(?:[\w-]+ ){{0,4}}?({nouns})\b", said, re.IGNORECASE
    )
    if (
        facts.count > 1
        and single
        and single[1].lower() in {one for one in forms(facts.class_name) if plural(one) != one}
    ):
        plurals = {plural(one) for one in forms(facts.class_name)}
        if single[1].lower() not in plurals:
            return Finding("count-conflict", f"speaks of one, and there are {facts.count}", "drop")
    return None


def colour_conflict(said: str, context: Context) -> Finding | None:
    """The sentence gives the thing another colour than the one that is clearly measured."""
    facts = context.facts
    if not facts.colour:
        return None
    nouns = "|".join(map(re.escape, forms(facts.class_name)))
    found = re.search(rf"\b({'|'.join(COLOURS)}|gray)\s+(?:{nouns})\b", said, re.IGNORECASE)
    colour = found[1].lower().replace("gray", "grey") if found else facts.colour
    if colour == facts.colour:
        return None
    return Finding("colour-conflict", f"says {colour}, and it is {facts.colour}", "drop")


UNIT_CHECKS: tuple[Check, ...] = (
    no_class,
    other_class,
    mark_said,
    place_conflict,
    count_conflict,
    colour_conflict,
    hedge,
    too_long,
)
SCENE_CHECKS: tuple[Check, ...] = (other_class, hedge, too_long)


def check(said: str, context: Context) -> list[Finding]:
    """Everything that one sentence alone shows."""
    checks = SCENE_CHECKS if context.facts.level == "scene" else UNIT_CHECKS
    return [finding for one in checks if (finding := one(said, context))]


def check_together(sentences: Sequence[Sentence]) -> list[Sentence]:
    """The sentences with what shows between them: repeated words, and phrases that share a mask."""
    seen: list[set[tuple[str, ...]]] = []
    shown: list[Sentence] = []
    result = []
    for one in sentences:
        if one.state != "drop":
            words = re.findall(r"[\w-]+", one.plain.lower())
            runs = {tuple(words[at : at + 3]) for at in range(len(words) - 2)}
            if runs and any(len(runs & other) > MAX_REPEAT * len(runs | other) for other in seen):
                one = one.found(Finding("repeat", "says what another sentence says", "review"))
            if any(_overlap(one, other) for other in shown):
                one = one.found(Finding("overlap", f"shares over {MAX_OVERLAP:.0%} of a mask", "review"))
            seen.append(runs)
            shown.append(one)
        result.append(one)
    return result


def _overlap(first: Sentence, second: Sentence) -> bool:
    return any(mask.iou(other) > MAX_OVERLAP for mask in first.masks for other in second.masks)
