"""What each `[SEG]` asks for, field by field: the language model must predict it, so that the decoder can look for it.

SAM 2's encoder sees small things better than CLIP, so the language model's guess of a place is not all that the decoder
should get.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from synthetic.expressions import BESIDE, PLACES, SIDES, Expression
from synthetic.questions import Example
from synthetic.scenes.palette import CLASSES, COLOURS
from synthetic.wording import noun

# What each field can be; not being said comes last, behind these. The last field is of descriptions: one, another.
FIELDS: tuple[tuple[object, ...], ...] = (
    tuple(CLASSES),
    tuple(COLOURS),
    PLACES,
    (1, 2, 3, 4),
    SIDES,
    ("largest", "smallest"),
    (*BESIDE, "nearest to", "on"),
    tuple(CLASSES),
    (True,),
    ("one", "another"),
)
FIELD_SIZES = tuple(len(field) + 1 for field in FIELDS)
_NOUNS = {noun(name, plural): (name, plural) for name in CLASSES for plural in (False, True)}


def prompt_targets(examples: Sequence[Example]) -> Tensor:
    """For each `[SEG]` of each example, the index of its value in every field, int64 (n, fields)."""
    rows = []
    for example in examples:
        if example.expression is None:
            rows += [_indices(*_parse(phrase)) for phrase in example.phrases]
        elif example.targets:
            rows.append(_indices(example.expression, None))
    return torch.tensor(rows, dtype=torch.int64).reshape(len(rows), len(FIELDS))


def _parse(phrase: str) -> tuple[Expression, str]:
    """A description's phrase, "another red building", as an expression and its first word."""
    first, _, rest = phrase.partition(" ")
    colour, _, thing = rest.partition(" ")
    if rest in _NOUNS:
        colour, thing = "", rest
    name, plural = _NOUNS[thing]
    return Expression(name, colour or None, plural=plural), first


def _indices(expression: Expression, first: str | None) -> list[int]:
    rank, side = expression.order or (None, None)
    word, anchor = expression.relation or (None, None)
    values = (
        expression.class_name,
        expression.colour,
        expression.place,
        rank,
        side,
        expression.extreme,
        word,
        anchor,
        expression.plural,
        first,
    )
    return [field.index(value) if value in field else len(field) for field, value in zip(FIELDS, values, strict=True)]
