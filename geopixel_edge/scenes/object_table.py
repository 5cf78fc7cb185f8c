"""Objects of a finished job, in the ledger's file: sorted there, so that no list of all is held in memory."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from .. import limits
from ..errors import OptionError
from .ledger import Ledger
from .merging import Merged
from .runs import Runs, bounds

_PIECE = struct.Struct("<5q")  # x, y, w, h and how many counts follow


class ObjectRow(NamedTuple):
    """One object as a layer has it; `number` is its rank by y, x, area and phrase, from 1."""

    number: int
    phrase: str
    pieces: tuple[Runs, ...]
    area_px: int
    score: float
    whole: bool
    views: int


def store(ledger: Ledger, found: Iterable[tuple[str, Merged]]) -> int:
    """Put the objects in place of those there; how many. OptionError for more than `MAX_OBJECTS`."""
    return ledger.replace_objects(_rows(found))


def _rows(found: Iterable[tuple[str, Merged]]) -> Iterator[tuple[object, ...]]:
    for number, (phrase, one) in enumerate(found):
        if number >= limits.MAX_OBJECTS:
            raise OptionError(f"min_area: over {limits.MAX_OBJECTS} objects were found; give a larger one")
        x, y, _, _ = bounds(one.pieces)
        score = None if one.score != one.score else one.score
        yield phrase, y, x, one.area_px, _packed(one.pieces), score, one.whole, one.views


def stored(ledger: Ledger) -> Iterator[ObjectRow]:
    """The objects, by rank."""
    for number, (phrase, area, pieces, score, whole, views) in enumerate(ledger.objects(), 1):
        unknown = float("nan") if score is None else score
        yield ObjectRow(number, phrase, _unpacked(pieces), area, unknown, bool(whole), views)


def _packed(pieces: Iterable[Runs]) -> bytes:
    return b"".join(_PIECE.pack(*piece.box, len(piece.counts)) + piece.counts.tobytes() for piece in pieces)


def _unpacked(data: bytes) -> tuple[Runs, ...]:
    found, at = [], 0
    while at < len(data):
        x, y, w, h, count = _PIECE.unpack_from(data, at)
        at += _PIECE.size
        found.append(Runs(x, y, w, h, np.frombuffer(data, np.uint32, count, at)))
        at += 4 * count
    return tuple(found)
