"""Checks of a describer's sentences against the facts. Each is named, and says what follows: "review" or "drop"."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .facts import Facts
from .names import forms, mention, strict_forms
from .places import opposite, verdict
from .records import Finding, Sentence
from .said import colours, counts, doubt, mark, names_one, sides, speaks_of_one, speaks_of_several

MAX_WORDS = 40
MAX_REPEAT = 0.8  # of the runs of three words of two sentences, in both
MAX_OVERLAP = 0.5  # IoU of the masks of two phrases
# Words of every description, which no class can claim.
_GENERAL = frozenset({"image", "picture", "scene", "object", "objects", "edge", "place", "area"})


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
    banned = {word: name for name in absent for word in strict_forms(name) if word not in allowed}
    words = sorted((re.escape(word) for word in {*allowed, *banned}), key=lambda word: (-len(word), word))
    for hit in re.finditer(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)" if words else r"(?!)", said, re.IGNORECASE):
        if name := banned.get(hit[0].lower()):
            return Finding("other-class", f"names a {name}, and there is none", "drop")
    return None


def mark_said(said: str, context: Context) -> Finding | None:
    """The sentence speaks of marks or numbers."""
    hit = mark(said, [context.facts.class_name, *context.present])
    return Finding("mark-said", f"says {hit!r}", "drop") if hit else None


def hedge(said: str, context: Context) -> Finding | None:
    """The describer says that it cannot see it, or that there is none."""
    hit = doubt(said, context.facts.class_name)
    return Finding("hedge", f"says {hit!r}", "drop") if hit else None


def too_long(said: str, context: Context) -> Finding | None:
    """More than MAX_WORDS words."""
    count = len(said.split())
    return Finding("too-long", f"{count} words", "drop") if count > MAX_WORDS else None


def place_conflict(said: str, context: Context) -> Finding | None:
    """The sentence says left where the thing is clearly right, or top where it is clearly at the bottom, and so on."""
    named = sides(said)
    for side in sorted(named):
        there = opposite(side)
        if there not in named and verdict(*context.centre, side) is False and verdict(*context.centre, there):
            return Finding("place-conflict", f"says {side}, and it is {there}", "drop")
    return None


def count_conflict(said: str, context: Context) -> Finding | None:
    """The sentence says how many there are, and it is another number."""
    facts, name = context.facts, context.facts.class_name
    if facts.count_word is None:
        return None
    numbers = counts(said, name)
    for word, least, most in numbers:
        if not least <= facts.count <= most:
            return Finding("count-conflict", f"says {word}, and there are {facts.count}", "drop")
    if numbers:
        return None
    if facts.count > 1 and speaks_of_one(said, name):
        return Finding("count-conflict", f"speaks of one, and there are {facts.count}", "drop")
    if facts.level == "instance" and speaks_of_several(said, name) and not names_one(said, name):
        return Finding("count-conflict", "speaks of several, and there is one", "drop")
    return None


def colour_conflict(said: str, context: Context) -> Finding | None:
    """The sentence gives the thing another colour than the one that is clearly measured."""
    facts = context.facts
    for named in colours(said, facts.class_name) if facts.colour else ():
        if facts.colour not in named:
            return Finding("colour-conflict", f"says {' and '.join(sorted(named))}, and it is {facts.colour}", "drop")
    return None


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
