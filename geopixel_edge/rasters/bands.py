"""Which bands of a raster are shown, and as what: by what was asked, by what the file declares, else the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..errors import OptionError

Kind = Literal["rgb", "grey", "palette", "cmyk"]
_COLOURS = ("red", "green", "blue")
_INKS = ("cyan", "magenta", "yellow", "black")
# Descriptions that name the visible bands, case ignored: plain words, and those of Sentinel-2.
_DESCRIBED = (("red", "green", "blue"), ("b04", "b03", "b02"))


@dataclass(frozen=True)
class Bands:
    """`numbers`, counted from 1, are shown as `kind`; `alpha` is the band of their opacity; `note` tells a guess."""

    numbers: tuple[int, ...]
    kind: Kind
    alpha: int | None = None
    note: str | None = None


def choose(
    interpretations: Sequence[str],
    descriptions: Sequence[str | None],
    asked: Sequence[int] | None,
    what: str,
) -> Bands:
    """The bands to show of a raster with these colour interpretations (GDAL's names) and descriptions, band by band.

    `asked` are one or three of them, in the order red, green, blue. OptionError for others.
    """
    declared = list(interpretations)
    alpha = declared.index("alpha") + 1 if "alpha" in declared else None
    colours = [number for number, name in enumerate(declared, 1) if name != "alpha"] or [1]
    if asked is not None:
        numbers = _checked(asked, len(declared), what)
        palette = numbers == (1,) and declared[0] == "palette"
        return Bands(numbers, "palette" if palette else "rgb" if len(numbers) == 3 else "grey", alpha)
    if all(colour in declared for colour in _COLOURS):
        return Bands(tuple(declared.index(colour) + 1 for colour in _COLOURS), "rgb", alpha)
    if declared[0] == "palette":
        return Bands((1,), "palette", alpha)
    if all(ink in declared for ink in _INKS):
        return Bands(tuple(declared.index(ink) + 1 for ink in _INKS), "cmyk", alpha)
    if len(colours) == 1:
        return Bands((colours[0],), "grey", alpha)
    named = [(text or "").strip().lower() for text in descriptions]
    for words in _DESCRIBED:
        if all(word in named for word in words):
            shown = ", ".join(word.upper() if word[-1].isdigit() else word for word in words)
            note = f"bands found by description {shown}"
            return Bands(tuple(named.index(word) + 1 for word in words), "rgb", alpha, note)
    if len(colours) < 3:
        return Bands((colours[0],), "grey", alpha, f"no colour interpretation: band {colours[0]} taken as grey")
    first = ", ".join(str(number) for number in colours[:3])
    note = f"no colour interpretation: bands {first} taken as red, green, blue"
    return Bands(tuple(colours[:3]), "rgb", alpha, note)


def _checked(asked: Sequence[int], count: int, what: str) -> tuple[int, ...]:
    try:
        numbers = tuple(asked)
    except TypeError:
        numbers = ()
    whole = all(isinstance(number, int) and not isinstance(number, bool) for number in numbers)
    if len(numbers) not in (1, 3) or not whole:
        raise OptionError(f"bands={asked!r}: give one band, or three as red, green, blue, counted from 1")
    for number in numbers:
        if not 1 <= number <= count:
            raise OptionError(f"bands={asked!r}: {what} has {count} band{'s' * (count != 1)}, no band {number}")
    return numbers
