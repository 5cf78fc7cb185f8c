"""How often each form of question is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

ABSENT_PART = 0.2  # of the referring questions
FORMS = (
    "class",
    "colour",
    "place",
    "colour place",
    "order",
    "colour order",
    "extreme",
    "beside",
    "nearest",
    "on",
    "plural",
    "plural colour",
    "plural place",
    "plural on",
)
ABSENCES = ("class", "colour", "place", "class colour")


@dataclass(frozen=True)
class Mix:
    """How often what is asked: the part of absent things, and the parts of FORMS and of ABSENCES, each of sum 1.

    None is evenly, which is also how evaluation asks.
    """

    absent: float = ABSENT_PART
    forms: tuple[float, ...] | None = None
    absences: tuple[float, ...] | None = None


def mix_of(absent: float, forms: Mapping[str, float], absences: Mapping[str, float]) -> Mix:
    """A mix from the weights of what is not to have weight 1."""
    parts = []
    for names, given in ((FORMS, forms), (ABSENCES, absences)):
        weights = np.array([given.get(name, 1.0) for name in names])
        parts.append(tuple((weights / weights.sum()).tolist()))
    return Mix(absent, *parts)


UNIFORM = Mix()
# What is hard to learn is asked more often in training: things told apart by comparison, and absences that only a look
# at every thing of the class can tell. Of "the red ship", about as many must be there as not: with five absent ones for
# each that is there, the model came to deny colours without looking.
TRAINING_MIX = mix_of(
    0.22,
    {
        "class": 0.5,
        "colour": 1.5,
        "order": 2.0,
        "colour order": 1.5,
        "extreme": 3.0,
        "nearest": 3.0,
        "beside": 1.5,
        "place": 1.5,
        "colour place": 1.3,
        "plural": 0.5,
        "plural colour": 0.7,
        "plural place": 1.2,
    },
    {"class": 0.8, "colour": 1.2, "place": 1.2, "class colour": 0.8},
)
