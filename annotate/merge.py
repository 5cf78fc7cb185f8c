"""From replies to one description: where phrases are, what is told where, and what a smoothed text must keep."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from .describers.base import Words
from .describers.rules import sentence_of
from .facts import Facts
from .filters import Context, check
from .names import mention, plural
from .naming import Told
from .phrase_span import find
from .records import Finding, Sentence, draft

_ENDS = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'])")


def sentence_for(told: Told, words: Words, request: str, seed: int) -> Sentence:
    """A unit's sentence with slots for its masks; one that does not say where its phrase is is rebuilt by the rules."""
    unit = told.unit
    base = Sentence(
        unit.level,
        "",
        masks=unit.masks,
        members=tuple(one.id for one in unit.members),
        facts=told.facts,
        request=request,
        said=words.sentence,
    )
    if words.fault:
        name, _, reason = words.fault.partition(": ")
        words = Words(sentence_of(told.facts, told.phrase, told.used, seed), told.phrase)
        base = base.found(Finding(name, reason, "drop"))
    sentence = words.sentence if words.sentence[-1] in ".!?" else f"{words.sentence}."
    span = find(sentence, unit.class_name, words.phrase)
    if span is None:
        sentence = sentence_of(told.facts, told.phrase, told.used, seed)
        span = find(sentence, unit.class_name, told.phrase)
        base = replace(base, edits=("rewritten",))
    assert span is not None, f"{sentence!r} does not name {unit.class_name!r}"
    phrase = sentence[span[0] : span[1]]
    slots = [f"{{{at}}}" for at in range(len(unit.masks))]
    listed = ", ".join(slots[:-1]) + (" and " if len(slots) > 1 else "") + slots[-1]
    before, phrases = sentence[: span[0]], (phrase,) * len(slots)
    if told.phrases:  # published: each mask of a class has its number
        numbers = [one.removeprefix(unit.class_name) for one in told.phrases]
        phrases = told.phrases if len(slots) > 1 else (phrase + numbers[0],)
    return replace(base, text=before + listed + sentence[span[1] :], phrases=phrases)


def scene_sentences(words: Words, facts: Facts, request: str) -> list[Sentence]:
    """The sentences of a scene's text, without masks."""
    if words.fault:
        name, _, reason = words.fault.partition(": ")
        dropped = Sentence("scene", "", facts=facts, request=request)
        return [dropped.found(Finding(name, reason, "drop"))]
    parts = [part if part[-1] in ".!?" else f"{part}." for part in _ENDS.split(words.sentence) if part]
    return [Sentence("scene", part, facts=facts, request=request, said=part) for part in parts]


def ground_in_scene(
    scene: Sequence[Sentence], units: Sequence[Sentence], contexts: Sequence[Context]
) -> tuple[list[Sentence], list[Sentence]]:
    """A scene's sentence that names a class with one unit takes its mask; the unit's own sentence is then not told.

    Only where the number agrees, one thing or several, no synonym could mean another class, and all that is checked of
    a unit's own sentence holds; `contexts` are the units'. What does not hold is found of the scene's sentence.
    """
    lines, own = list(scene), list(units)
    names = [one.facts.class_name if one.facts else "" for one in own]
    for at, unit in enumerate(own):
        if not names[at] or names.count(names[at]) > 1:
            continue
        free = unit.state != "drop" and len(unit.masks) == 1
        for place, line in enumerate(lines):
            span = None if line.state == "drop" or line.masks or "{" in line.text else _span_in_scene(line.text, unit)
            if span is None:
                continue
            lines[place] = line = _held_to_unit(line, contexts[at])
            if not free or line.findings:
                continue
            lines[place] = replace(
                line,
                text=line.text[: span[0]] + "{0}" + line.text[span[1] :],
                phrases=(line.text[span[0] : span[1]],),
                masks=unit.masks,
                members=unit.members,
                edits=("grounded",),
            )
            own[at], free = unit.found(Finding("told-before", "a sentence about the scene shows it", "drop")), False
    return lines, own


def _span_in_scene(text: str, unit: Sentence) -> tuple[int, int] | None:
    """Where a scene's sentence names a unit, once and in its number."""
    name = unit.facts.class_name if unit.facts else ""
    word = name if unit.level == "instance" else plural(name)
    if len(re.findall(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE)) != 1:
        return None
    span = find(text, name)
    return span if span is not None and text[span[0] : span[1]].lower().endswith(word) else None


def _held_to_unit(line: Sentence, context: Context) -> Sentence:
    """A scene's sentence with what the checks of a unit's own find; for review alone where it names another class, of
    which it may be true."""
    others = [name for name in context.present if name != context.facts.class_name]
    shared = mention(others).search(line.text) is not None
    for found in check(line.said, context):
        if found.name not in {one.name for one in line.findings}:
            line = line.found(replace(found, state="review") if shared else found)
    return line


def merged(scene: Sequence[Sentence], units: Sequence[Sentence]) -> list[Sentence]:
    """Sentences in the order in which they are told: the scene's but its last, instances, groups, the scene's last."""
    kept = [one for one in scene if one.state != "drop"]
    last = kept[-1:] if len(kept) > 1 else []
    return [one for one in scene if not any(one is other for other in last)] + list(units) + last


def smoothed(sentences: Sequence[Sentence], reply: str) -> str | None:
    """A model's version of the draft, if every placeholder stands in it once and nothing else is in brackets."""
    wanted = sorted(re.findall(r"\{m\d+\}", draft(sentences)))
    text = " ".join(reply.split())
    rest = re.sub(r"\{m\d+\}", "", text)
    kept = sorted(re.findall(r"\{m\d+\}", text)) == wanted and not re.search(r"[<>{}\[\]]", rest)
    return text if kept and rest.strip() else None
