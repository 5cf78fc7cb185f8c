"""Questions and answers about a scene, for GeoPixel's two tasks.

Grounded conversation: a description with `<p> phrase </p> [SEG]` for each thing or group it mentions. Referring
segmentation: one expression, one mask; or, where nothing fits, an honest answer without `[SEG]`. What is mentioned and
what each `[SEG]` covers follows from the scene by fixed rules; only the wording varies with the seed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from . import wording
from .expressions import BESIDE, GROUNDS, PLACES, SIDES, Expression, anchor_of, at, barely_visible, held_out, referents
from .mix import ABSENCES, FORMS, UNIFORM, Mix
from .scenes import EVALUATION_SEED, GENERATOR_VERSION, HELD_OUT_COLOURS, Instance, Scene
from .scenes.generate import colours_of
from .scenes.palette import CLASSES

MIN_TARGET_PART = 0.0003  # of the picture, for one thing to be asked about; 123 pixels at 640 x 640
MIN_MENTION_PART = 0.001  # of the picture, for a class to be mentioned in a description
MAX_MENTIONS = 6  # classes in a description
TRIES = 60


@dataclass(frozen=True)
class Example:
    """One question with its answer. `targets` holds, for each `[SEG]`, the numbers of the instances its mask covers.

    `phrases` are what stands in `<p> </p>`, one per `[SEG]`. `unseen` marks a composition no training seed asks about.
    """

    task: str
    question: str
    answer: str
    phrases: tuple[str, ...]
    targets: tuple[tuple[int, ...], ...]
    form: str
    unseen: bool = False
    expression: Expression | None = None

    @property
    def absent(self) -> bool:
        """Whether the honest answer shows nothing."""
        return not self.targets

    def masks(self, scene: Scene) -> list[NDArray[np.bool_]]:
        """bool (side, side) for each `[SEG]`, in order."""
        by_number = {instance.number: instance for instance in scene.instances}
        return [scene.mask([by_number[number] for number in numbers]) for numbers in self.targets]


def referring(scene: Scene, count: int = 4, draw: int = 0, mix: Mix = UNIFORM) -> list[Example]:
    """Up to `count` different referring questions about a scene; the same on every call with the same `draw`.

    About one in five asks for something that is not there. Training scenes (seeds below 1,000,000) never get a
    composition that is held out.
    """
    rng = _rng(scene, 1, draw)
    found: dict[Expression, Example] = {}
    for _ in range(TRIES * count):
        if len(found) == count:
            break
        form = "" if rng.random() < mix.absent else str(rng.choice(FORMS, p=mix.forms))
        for _ in range(TRIES // 2):
            example = _present(rng, scene, form) if form else _absent(rng, scene, mix)
            if example and example.expression not in found:
                found[example.expression] = example  # type: ignore[index]
                break
    return list(found.values())


def _rng(scene: Scene, task: int, draw: int) -> np.random.Generator:
    """Other draws ask other questions; draw 0 is the one that evaluation uses."""
    return np.random.default_rng([GENERATOR_VERSION, scene.seed, task, *([draw] if draw else [])])


def _present(rng: np.random.Generator, scene: Scene, form: str) -> Example | None:
    big = [
        instance
        for instance in scene.instances
        if not barely_visible(instance) and instance.area_px >= MIN_TARGET_PART * scene.side_px**2
    ]
    if not big:
        return None
    class_name = str(rng.choice(sorted({instance.class_name for instance in big})))
    target = [instance for instance in big if instance.class_name == class_name]
    expression = _compose(rng, scene, target[int(rng.integers(len(target)))], form)
    if expression is None or (scene.seed < EVALUATION_SEED and held_out(expression)):
        return None
    chosen = referents(scene, expression)
    if not chosen or sum(instance.area_px for instance in chosen) < MIN_TARGET_PART * scene.side_px**2:
        return None
    question, phrase = wording.refer(rng, expression)
    numbers = tuple(instance.number for instance in chosen)
    answer = wording.found(phrase, expression.plural)
    return Example("referring", question, answer, (phrase,), (numbers,), form, held_out(expression), expression)


def _compose(rng: np.random.Generator, scene: Scene, target: Instance, form: str) -> Expression | None:
    """An expression of this form that the target satisfies; whether it is unambiguous is judged later."""
    base = Expression(target.class_name, plural=form.startswith("plural"))
    words = form.replace("plural", "").split()
    if "colour" in words:
        if target.colour is None:
            return None
        base = replace(base, colour=target.colour)
    if "place" in words:
        fitting = [place for place in PLACES if at(target, place)]
        return replace(base, place=str(rng.choice(fitting))) if fitting else None
    if "order" in words:
        return replace(base, order=(int(rng.choice([1, 1, 2, 2, 3])), str(rng.choice(SIDES))))
    if "extreme" in words:
        return replace(base, extreme=str(rng.choice(["largest", "smallest"])))
    if "beside" in words or "nearest" in words:
        anchors = [
            name
            for name in CLASSES
            if name != target.class_name and name not in ("road", "tree", "crop field") and anchor_of(scene, name)
        ]
        word = "nearest to" if "nearest" in words else str(rng.choice(BESIDE))
        return replace(base, relation=(word, str(rng.choice(anchors)))) if anchors else None
    if "on" in words:
        anchors = [name for name, things in GROUNDS.items() if target.class_name in things and anchor_of(scene, name)]
        return replace(base, relation=("on", str(rng.choice(anchors)))) if anchors else None
    return base


def _absent(rng: np.random.Generator, scene: Scene, mix: Mix) -> Example | None:
    """Something that is not there: no such class, no such colour of it, or none at that place."""
    present = sorted({instance.class_name for instance in scene.instances})
    missing = [name for name in CLASSES if name not in present and "tree" not in name]
    form = str(rng.choice(ABSENCES, p=mix.absences))
    if form.startswith("class") or not present:
        expression = Expression(str(rng.choice(missing)), plural=bool(rng.random() < 0.15))
    else:
        expression = Expression(str(rng.choice(present)), plural=bool(rng.random() < 0.15))
    colours = colours_of(scene.seed)[expression.class_name]
    if "colour" in form:
        if not colours:
            return None
        expression = replace(expression, colour=str(rng.choice(colours)))
    if form == "place":
        place = str(rng.choice(PLACES))
        same_class = [one for one in scene.instances if one.class_name == expression.class_name]
        if any(_touches(one, place) for one in same_class):
            return None
        expression = replace(expression, place=place)
    if referents(scene, expression) != () or (scene.seed < EVALUATION_SEED and held_out(expression)):
        return None
    question, _ = wording.refer(rng, expression)
    return Example(
        "referring", question, wording.absent(expression), (), (), "absent " + form, held_out(expression), expression
    )


def _touches(instance: Instance, place: str) -> bool:
    """Whether any of a thing's box lies at the place."""
    side, (x, y, width, height) = instance.side_px, instance.bbox
    if place == "centre":
        return x < 0.64 * side and x + width > 0.36 * side and y < 0.64 * side and y + height > 0.36 * side
    into = {"left": x, "right": side - x - width, "top": y, "bottom": side - y - height}
    return all(into[part] < 0.42 * side for part in place.split())


def conversation(scene: Scene, draw: int = 0) -> Example:
    """A description of the scene; the same on every call with the same `draw`.

    Classes come in order of the area they cover, the largest first, at most six of those that cover at least a
    thousandth of the picture. One or two things of a class get a phrase each, more are one group with one mask.
    """
    rng = _rng(scene, 2, draw)
    kind = str(rng.choice(wording.KINDS[scene.kind]))
    opening = ("This aerial image shows {}.", "The image is an aerial view of {}.", "This is {}, seen from above.")
    sentences, phrases, targets = [str(rng.choice(opening)).format(kind)], [], []
    unseen = False
    for group in _mentions(scene):
        parts = _phrases(group)
        phrases += [phrase for phrase, _ in parts]
        targets += [numbers for _, numbers in parts]
        sentences.append(_sentence(rng, group, [phrase for phrase, _ in parts]))
        unseen |= any(
            one.colour in phrases[-1 - at].split() and (one.class_name, one.colour) in HELD_OUT_COLOURS
            for at in range(len(parts))
            for one in group
        )
    return Example(
        "conversation",
        str(rng.choice(wording.CONVERSATION_QUESTIONS)),
        " ".join(sentences),
        tuple(phrases),
        tuple(targets),
        "conversation",
        unseen,
    )


def _mentions(scene: Scene) -> list[list[Instance]]:
    """The things of each class worth mentioning, classes in order of their area; crumbs last within a class."""
    groups: dict[str, list[Instance]] = {}
    for instance in scene.instances:
        groups.setdefault(instance.class_name, []).append(instance)
    covered = {name: sum(instance.area_px for instance in group) for name, group in groups.items()}
    names = [
        name
        for name in groups
        if covered[name] >= MIN_MENTION_PART * scene.side_px**2 and not all(map(barely_visible, groups[name]))
    ]
    names.sort(key=lambda name: (-covered[name], name))
    return [sorted(groups[name], key=lambda one: (barely_visible(one), -one.area_px)) for name in names[:MAX_MENTIONS]]


def _phrases(group: list[Instance]) -> list[tuple[str, tuple[int, ...]]]:
    clear = [instance for instance in group if not barely_visible(instance)]
    name = group[0].class_name
    if len(clear) > 2:
        return [
            (f"{wording.amount(len(clear))} {wording.noun(name, True)}", tuple(sorted(one.number for one in group)))
        ]
    words = [f"{one.colour} {name}" if one.colour else name for one in clear]
    if len(clear) == 2 and words[0] == words[1]:
        return [(f"one {words[0]}", (clear[0].number,)), (f"another {words[1]}", (clear[1].number,))]
    return [(wording.article(text), (one.number,)) for text, one in zip(words, clear, strict=True)]


def _sentence(rng: np.random.Generator, group: list[Instance], phrases: list[str]) -> str:
    marked = [f"<p> {phrase} </p> [SEG]" for phrase in phrases]
    if len(group) > 2 and len(phrases) == 1 and phrases[0].split()[0] not in ("a", "an"):
        return (
            str(rng.choice(["There are {}.", "The scene includes {}.", "We can see {}."]))
            .format(marked[0])
            .replace("].", "] .")
        )
    places = [wording.where(_place(instance)) for instance in group[: len(phrases)]]
    clauses = [f"{mark} {place}" for mark, place in zip(marked, places, strict=True)]
    return f"{rng.choice(['There is', 'One can see'])} {' and '.join(clauses)}."


def _place(instance: Instance) -> str:
    """The ninth of the picture a thing's centre lies in, in words."""
    x, y = (min(2, int(3 * value / instance.side_px)) for value in instance.centre)
    words = [word for word in (("top", "", "bottom")[y], ("left", "", "right")[x]) if word]
    return " ".join(words) or "centre"
