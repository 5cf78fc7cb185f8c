"""What a `[SEG]` asks for, as fields; and how often training asks for what."""

from __future__ import annotations

from collections import Counter

import pytest

from synthetic.expressions import Expression
from synthetic.mix import ABSENCES, FORMS, TRAINING_MIX, UNIFORM, Mix
from synthetic.questions import Example, conversation, referring
from synthetic.scenes import make_scene
from training.prompt_targets import FIELD_SIZES, FIELDS, prompt_targets


def _said(example: Example) -> list[dict[int, object]]:
    """The fields that say something, by their number, for each `[SEG]`."""
    rows = prompt_targets([example]).tolist()
    return [{at: FIELDS[at][value] for at, value in enumerate(row) if value < len(FIELDS[at])} for row in rows]


def _asked(expression: Expression) -> Example:
    return Example("referring", "", "", ("the thing",), ((1,),), "", expression=expression)


@pytest.mark.parametrize(
    ("expression", "fields"),
    [
        (Expression("ship"), {0: "ship"}),
        (Expression("ship", colour="red", place="top left"), {0: "ship", 1: "red", 2: "top left"}),
        (Expression("car", order=(2, "left")), {0: "car", 3: 2, 4: "left"}),
        (Expression("car", extreme="largest"), {0: "car", 5: "largest"}),
        (Expression("car", relation=("nearest to", "bridge")), {0: "car", 6: "nearest to", 7: "bridge"}),
        (Expression("car", plural=True), {0: "car", 8: True}),
    ],
)
def test_every_word_of_an_expression_is_a_field(expression: Expression, fields: dict[int, object]) -> None:
    assert _said(_asked(expression)) == [fields]


def test_phrases_of_descriptions_are_read_back() -> None:
    phrases = ("one red building", "another building", "a crop field", "several storage tanks")
    told = Example("conversation", "", "", phrases, ((1,), (2,), (3,), (4, 5)), "conversation")
    assert _said(told) == [
        {0: "building", 1: "red", 9: "one"},
        {0: "building", 9: "another"},
        {0: "crop field"},
        {0: "storage tank", 8: True},
    ]


def test_there_is_a_row_for_every_mask_and_none_for_what_is_absent() -> None:
    for seed in range(6):
        scene = make_scene(seed, 256)
        examples = [conversation(scene), *referring(scene, 8)]
        rows = prompt_targets(examples)
        assert rows.shape == (sum(len(example.targets) for example in examples), len(FIELDS))
        assert (rows >= 0).all()
        assert all(int(column.max()) < size for column, size in zip(rows.T, FIELD_SIZES, strict=True))


def test_a_lesson_asks_more_of_what_is_hard() -> None:
    assert TRAINING_MIX.forms is not None
    assert TRAINING_MIX.absences is not None
    assert sum(TRAINING_MIX.forms) == pytest.approx(1)
    assert sum(TRAINING_MIX.absences) == pytest.approx(1)
    assert (len(TRAINING_MIX.forms), len(TRAINING_MIX.absences)) == (len(FORMS), len(ABSENCES))
    counts: dict[Mix, Counter[str]] = {mix: Counter() for mix in (UNIFORM, TRAINING_MIX)}
    for seed in range(12):
        scene = make_scene(seed, 256)
        for mix, count in counts.items():
            count.update(example.form for example in referring(scene, 10, 1, mix))
    assert counts[TRAINING_MIX]["order"] > counts[UNIFORM]["order"]
    assert (
        counts[TRAINING_MIX]["absent colour"] + counts[TRAINING_MIX]["absent place"] > counts[UNIFORM]["absent colour"]
    )
    assert counts[TRAINING_MIX]["plural"] < counts[UNIFORM]["plural"]
