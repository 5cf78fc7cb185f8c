"""The phrase of each unit: what ties a sentence to its masks, and tells one thing of a class from another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from synthetic.wording import article, where

from .facts import Facts, facts_of
from .groups import Unit, join
from .names import plural
from .picture import Picture
from .places import verdict

# What may tell two units of a class apart, in the order in which it is tried.
QUALIFIERS: tuple[tuple[str, ...], ...] = (("colour",), ("place",), ("colour", "place"), ("rank",))


@dataclass(frozen=True)
class Told:
    """A unit with its facts. `phrase` is what the rules call it, `used` the facts that stand in the phrase, `phrases`
    what each of its `[SEG]`s is called where they have names of their own."""

    unit: Unit
    facts: Facts
    phrase: str
    used: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()


def tell(picture: Picture, units: Sequence[Unit]) -> list[Told]:
    """Every unit with its phrase; in `strict` units that nothing tells apart are joined."""
    return _published(picture, units) if picture.profile == "published" else _strict(picture, units)


def phrase_of(facts: Facts, used: Iterable[str] = ("colour",)) -> str:
    """What the rules call a unit: "a white ship", "several cars at the top left", "the largest plane"."""
    using = set(used)
    colour = f"{facts.colour} " if facts.colour and "colour" in using else ""
    if "rank" in using and facts.rank:
        words = f"the {facts.rank} {facts.class_name}"
    elif facts.level == "instance" or facts.count_word == "one":
        words = article(f"{colour}{facts.class_name}")
    elif facts.count_word is None:
        words = f"a group of {colour}{plural(facts.class_name)}"
    else:
        words = f"{facts.count_word} {colour}{plural(facts.class_name)}"
    return f"{words} {where(facts.place)}" if "place" in using and facts.place else words


def _published(picture: Picture, units: Sequence[Unit]) -> list[Told]:
    """Phrases with "-1", "-2" where several things of a class have masks of their own, as the published texts have."""
    named: dict[str, int] = {}
    for unit in units:
        if unit.level == "instance" or unit.separate:
            named[unit.class_name] = named.get(unit.class_name, 0) + len(unit.masks)
    last: dict[str, int] = {}
    told = []
    for unit in units:
        facts = facts_of(picture, unit)
        phrases: list[str] = []
        if named.get(unit.class_name, 0) > 1 and (unit.level == "instance" or unit.separate):
            for _ in unit.masks:
                last[unit.class_name] = last.get(unit.class_name, 0) + 1
                phrases.append(f"{unit.class_name}-{last[unit.class_name]}")
        told.append(Told(unit, facts, phrase_of(facts), ("colour",), tuple(phrases)))
    return told


def _strict(picture: Picture, units: Sequence[Unit]) -> list[Told]:
    classes: dict[str, list[Unit]] = {}
    for unit in units:
        classes.setdefault(unit.class_name, []).append(unit)
    told: list[Told] = []
    for same in classes.values():
        told += _told_apart(picture, same)
    return sorted(told, key=lambda one: one.unit.order)


def _told_apart(picture: Picture, units: list[Unit]) -> list[Told]:
    """The units of one class, those joined that have no phrase of their own."""
    while True:
        facts = [facts_of(picture, unit) for unit in units]
        if len(units) == 1:
            return [Told(units[0], facts[0], phrase_of(facts[0]), ("colour",))]
        used = [
            next((words for words in QUALIFIERS if _alone(picture, units, at, facts[at], words)), None)
            for at in range(len(units))
        ]
        alike = [unit for unit, words in zip(units, used, strict=True) if words is None]
        if not alike:
            return [
                Told(unit, fact, phrase_of(fact, {"colour", *(words or ())}), ("colour", *(words or ())))
                for unit, fact, words in zip(units, facts, used, strict=True)
            ]
        if len(alike) == 1:
            alike = units
        units = [unit for unit in units if unit not in alike] + [join(alike)]


def _alone(picture: Picture, units: Sequence[Unit], at: int, facts: Facts, words: Sequence[str]) -> bool:
    """Whether these facts of a unit clearly hold of no other one of its class."""
    if any(getattr(facts, name) is None for name in words):
        return False
    if "rank" in words:
        return True
    return all(
        any(_differs(picture, other, facts, name) for name in words) for place, other in enumerate(units) if place != at
    )


def _differs(picture: Picture, other: Unit, facts: Facts, name: str) -> bool:
    if name == "colour":
        colours = [picture.colour(one) for one in other.members]
        return all(colour is not None and colour != facts.colour for colour in colours)
    return all(verdict(*picture.parts(one), str(facts.place)) is False for one in other.members)
