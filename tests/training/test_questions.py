"""Questions: read back word by word, every expression fits its targets and nothing else, judged by other rules."""

from __future__ import annotations

import math
import re
from functools import cache

import numpy as np
import pytest

from synthetic import wording
from synthetic.expressions import PLACES, Expression, held_out
from synthetic.mix import FORMS
from synthetic.questions import Example, conversation, referring
from synthetic.scenes import CLASS_NAMES, EVALUATION_SEED, HELD_OUT_COLOURS, KINDS, Instance, Scene, make_scene
from synthetic.scenes.generate import ANY_COLOUR_SEED
from synthetic.scenes.palette import CLASSES, plural
from synthetic.tags import phrases_of

SIZE_PX = 256
SEEDS = (*range(12), *range(ANY_COLOUR_SEED, ANY_COLOUR_SEED + 6), *range(EVALUATION_SEED, EVALUATION_SEED + 24))
WORDS = {plural(name): (name, True) for name in CLASSES} | {name: (name, False) for name in CLASSES}
WORDS |= {word: (name, False) for name, word in wording.SYNONYMS.items()}
WORDS |= {plural(word): (name, True) for name, word in wording.SYNONYMS.items()}
WORDS["clusters of trees"] = ("tree group", True)
PHRASE = re.compile(
    r"(?:all )?(?:the )?(?P<rank>leftmost|rightmost|topmost|bottommost|second|third)? ?(?P<extreme>largest|smallest)? ?"
    r"(?P<colour>" + "|".join(sorted({colour for colours in CLASSES.values() for colour in colours})) + r")? ?"
    r"(?P<noun>" + "|".join(sorted(WORDS, key=len, reverse=True)) + r")"
    r"(?: from the (?P<side>left|right|top|bottom))?"
    r"(?: (?:at|on|in) the (?P<place>" + "|".join(sorted(PLACES, key=len, reverse=True)) + r"))?"
    r"(?: (?P<relation>on|in|above|below|nearest to|to the left of|to the right of) the (?P<anchor>[a-z ]+))?"
)


@cache
def asked(seed: int) -> tuple[Scene, tuple[Example, ...], Example]:
    scene = make_scene(seed, SIZE_PX)
    return scene, tuple(referring(scene, 8)), conversation(scene)


def everything() -> list[tuple[Scene, Example]]:
    return [(scene, example) for scene, examples, _ in map(asked, SEEDS) for example in examples]


def centre(one: Instance) -> tuple[float, float]:
    rows, columns = np.nonzero(one.mask)
    return float(columns.mean() + 0.5) / one.side_px, float(rows.mean() + 0.5) / one.side_px


def lies(one: Instance, place: str) -> bool:
    """A plain rule: left of 41 hundredths is left, and so on."""
    x, y = centre(one)
    if place == "centre":
        return max(abs(x - 0.5), abs(y - 0.5)) < 0.19
    return all({"left": x, "right": 1 - x, "top": y, "bottom": 1 - y}[side] < 0.41 for side in place.split())


def read(scene: Scene, phrase: str) -> set[int]:
    """What a phrase means, by plain rules without any notion of doubt."""
    found = PHRASE.fullmatch(phrase)
    assert found, phrase
    name, many = WORDS[found["noun"]]
    chosen = [one for one in scene.instances if one.class_name == name]
    if found["colour"]:
        chosen = [one for one in chosen if one.colour == found["colour"]]
    if found["place"]:
        chosen = [one for one in chosen if lies(one, found["place"])]
    if found["relation"]:
        (anchor,) = [one for one in scene.instances if one.class_name == found["anchor"]]
        chosen = related(chosen, anchor, found["relation"])
    if found["extreme"]:
        chosen.sort(key=lambda one: one.area_px, reverse=found["extreme"] == "largest")
        chosen = chosen[:1]
    if found["rank"]:
        side = found["side"] or found["rank"].removesuffix("most")
        rank = {"second": 2, "third": 3}.get(found["rank"], 1)
        chosen.sort(key=lambda one: centre(one)[side in ("top", "bottom")], reverse=side in ("right", "bottom"))
        chosen = chosen[rank - 1 : rank]
    assert many or len(chosen) == 1, phrase
    return {one.number for one in chosen}


def related(chosen: list[Instance], anchor: Instance, word: str) -> list[Instance]:
    x, y = centre(anchor)
    if word == "nearest to":
        return [min(chosen, key=lambda one: math.dist(centre(one), (x, y)))]
    if word in ("on", "in"):
        left, top, width, height = anchor.bbox
        middle = [(one, centre(one)[0] * one.side_px, centre(one)[1] * one.side_px) for one in chosen]
        return [
            one
            for one, u, v in middle
            if left <= u <= left + width and top <= v <= top + height and touches(one, anchor)
        ]
    compare = {
        "to the left of": lambda u, v: u < x,
        "to the right of": lambda u, v: u > x,
        "above": lambda u, v: v < y,
        "below": lambda u, v: v > y,
    }[word]
    return [one for one in chosen if compare(*centre(one))]


def touches(one: Instance, anchor: Instance) -> bool:
    grown = np.pad(one.mask, 2)
    wide = np.zeros_like(one.mask)
    for down in range(5):
        for across in range(5):
            wide |= grown[down : down + one.side_px, across : across + one.side_px]
    return bool((wide & anchor.mask).any())


def test_every_phrase_means_exactly_its_targets() -> None:
    checked = set()
    for scene, example in everything():
        if not example.absent:
            assert read(scene, example.phrases[0]) == set(example.targets[0]), (scene.seed, example.question)
            checked.add(example.form)
    assert len(checked) >= 12, set(FORMS) - checked


def test_what_is_called_absent_is_nowhere() -> None:
    kinds = set()
    for scene, example in everything():
        expression = example.expression
        assert expression
        if not example.absent:
            continue
        kinds.add(example.form)
        fitting = [
            one
            for one in scene.instances
            if one.class_name == expression.class_name and expression.colour in (None, one.colour)
        ]
        if expression.place:
            fitting = [one for one in fitting if lies(one, expression.place)]
        assert fitting == [], (scene.seed, example.question)
        assert example.masks(scene) == []
        assert example.phrases == ()
        assert "[SEG]" not in example.answer
        assert wording.describe(expression) in example.answer
    assert kinds == {"absent class", "absent colour", "absent class colour", "absent place"}


def test_about_one_question_in_five_is_about_something_absent() -> None:
    examples = [example for _, example in everything()]
    assert 0.12 < sum(example.absent for example in examples) / len(examples) < 0.32


@pytest.mark.parametrize("seed", SEEDS[::5])
def test_answers_are_well_formed_and_every_mask_is_seen(seed: int) -> None:
    scene, examples, told = asked(seed)
    for example in (*examples, told):
        masks = example.masks(scene)
        assert phrases_of(example.answer) == list(example.phrases)
        assert len(masks) == len(example.targets) == example.answer.count("[SEG]")
        for mask, numbers in zip(masks, example.targets, strict=True):
            assert mask.sum() == sum(one.area_px for one in scene.instances if one.number in numbers) > 0
            assert set(np.unique(scene.owners[mask])) == set(numbers)
    assert len({example.expression for example in examples}) == len(examples)


def test_questions_are_the_same_every_time() -> None:
    scene, examples, told = asked(3)
    assert tuple(referring(scene, 8)) == examples
    assert conversation(scene) == told
    assert tuple(referring(scene, 3)) == examples[:3]


def test_training_never_meets_a_held_out_composition_and_evaluation_does() -> None:
    unseen = 0
    for scene, example in everything():
        assert example.expression
        assert example.unseen == held_out(example.expression)
        if scene.seed < EVALUATION_SEED:
            assert not example.unseen
            for name, colour in HELD_OUT_COLOURS:
                assert f"{colour} {name}" not in example.question + example.answer
        unseen += example.unseen
    assert unseen >= 10


def test_held_out_compositions_are_few_and_leave_every_part_seen() -> None:
    places = [(name, place) for name in CLASS_NAMES for place in PLACES]
    kept = [pair for pair in places if not held_out(Expression(pair[0], place=pair[1]))]
    assert 0.75 < len(kept) / len(places) < 0.95
    assert {name for name, _ in kept} == set(CLASS_NAMES)
    assert {place for _, place in kept} == set(PLACES)
    assert held_out(Expression("ship", "green"))
    assert not held_out(Expression("ship", "red"))


def test_descriptions_follow_the_area_and_cover_each_thing_once() -> None:
    unseen = 0
    for scene, _, told in map(asked, SEEDS):
        by_number = {one.number: one for one in scene.instances}
        numbers = [number for group in told.targets for number in group]
        assert len(numbers) == len(set(numbers))
        order = list(dict.fromkeys(by_number[group[0]].class_name for group in told.targets))
        areas = [sum(one.area_px for one in scene.instances if one.class_name == name) for name in order]
        assert areas == sorted(areas, reverse=True)
        assert 1 <= len(order) <= 6
        for phrase, group in zip(told.phrases, told.targets, strict=True):
            name = by_number[group[0]].class_name
            assert all(by_number[number].class_name == name for number in group)
            if len(group) > 2:
                assert phrase.endswith(plural(name))
                assert set(group) == {one.number for one in scene.instances if one.class_name == name}
            elif phrase.endswith(name) and by_number[group[0]].colour:
                assert str(by_number[group[0]].colour) in phrase
        assert not (told.unseen and scene.seed < EVALUATION_SEED)
        unseen += told.unseen
    assert unseen >= 2


def test_wording_varies_and_the_first_question_is_what_segment_asks() -> None:
    from geopixel_edge.families.geopixel import SEGMENT_QUERY

    assert wording.REFERRING_QUESTIONS[0] == SEGMENT_QUERY
    openings = {example.question.split()[0] for _, example in everything()}
    assert len(openings) >= 5
    assert len({told.question for _, _, told in map(asked, SEEDS)}) >= 4
    assert set(wording.KINDS) == set(KINDS)
