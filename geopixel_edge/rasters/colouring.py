"""From samples to the RGB that the model sees: palette, inks, short samples, the scene's one stretch, opacity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .. import limits
from ..errors import ImageError, OptionError
from .bands import Kind
from .colours import lay_over_white
from .samples import SampleReader, Samples
from .scene_stretch import FULL_RANGE, Ends, ends_of, stretched
from .stretch import WHITE, UInt8Array


class Reading(msgspec.Struct, frozen=True):
    """How a raster is read, where it leaves a choice: plain values, kept with an answer.

    `bands`: one, or three as red, green, blue, counted from 1. `stretch`: fixed (low, high) ends, one for all bands or
    one each. `onto`: what the two ends become, for red, green and blue; an engine's `pixel_percentiles`.
    """

    bands: tuple[int, ...] | None = None
    stretch: tuple[Ends, ...] | None = None
    onto: tuple[Ends, ...] = FULL_RANGE


@dataclass(frozen=True, eq=False)
class Colouring:
    """What is decided once about a raster's colours.

    `ends` of the stretch, None where samples are 8 bits; `palette` (n, 3); `bits` of a sample where they are fewer than
    its type has; `inverted` samples count from white; `opaque` is the alpha that hides all; `premultiplied` colours
    were multiplied by it.
    """

    kind: Kind
    ends: tuple[Ends, ...] | None
    onto: tuple[Ends, ...]
    palette: UInt8Array | None
    bits: int | None
    inverted: bool
    opaque: float
    premultiplied: bool

    @property
    def averages(self) -> bool:
        """Whether an average of samples is one: not of a palette's indices, nor of inks or single bits."""
        return self.kind in ("rgb", "grey") and self.bits != 1

    def rgb(self, samples: Samples) -> UInt8Array:
        """uint8 (height, width, 3), laid over white by its alpha; missing pixels are white."""
        rgb = self._opaque_rgb(samples.values)
        if samples.alpha is not None:
            alpha, opaque = _as_uint16(samples.alpha, self.opaque)
            if self.premultiplied:
                share = np.maximum(alpha, 1).astype(np.float64)[..., None] / opaque
                rgb = np.minimum(np.rint(rgb / share), WHITE).astype(np.uint8)
            lay_over_white(rgb, alpha, opaque)
        rgb[~samples.valid] = WHITE
        return rgb

    def _opaque_rgb(self, values: NDArray[Any]) -> UInt8Array:
        if self.palette is not None:
            return self.palette[np.minimum(values[..., 0], len(self.palette) - 1).astype(np.intp)]
        if self.kind == "cmyk":
            return np.array(Image.fromarray(np.ascontiguousarray(values), "CMYK").convert("RGB"))
        if self.ends is not None:
            values = stretched(values, self.ends, self.onto, self.inverted)
        else:
            if self.bits is not None and self.bits < 8:
                white = (1 << self.bits) - 1
                values = np.rint(np.minimum(values, white) * (WHITE / white)).astype(np.uint8)
            if self.inverted:
                values = WHITE - values
        return np.array(np.broadcast_to(values, (*values.shape[:2], 3)), order="C")


def decide(reader: SampleReader, reading: Reading, premultiplied: bool, what: str) -> Colouring:
    """The colouring of an open raster; reads a decimated picture of it where the samples need one.

    `premultiplied` says so of its colours, since GDAL does not.
    ImageError for samples that are no colours, OptionError for ends that do not fit.
    """
    dataset, bands = reader.dataset, reader.bands
    kinds = {dataset.dtypes[number - 1] for number in bands.numbers}
    if any(kind.startswith("complex") for kind in kinds):
        raise ImageError(
            f"{what} holds complex values; give their amplitude, as gdal_calc.py --calc='abs(A)' writes it"
        )
    if bands.kind == "cmyk" and kinds != {"uint8"}:
        raise ImageError(f"{what} holds inks of {', '.join(sorted(kinds))}; convert it to RGB, or choose bands=")
    bits = int(dataset.tags(bands.numbers[0], ns="IMAGE_STRUCTURE").get("NBITS", 0)) or None
    wide = reader.dtype != np.uint8 and bands.kind in ("rgb", "grey")
    return Colouring(
        kind=bands.kind,
        ends=_ends(reader, reading) if wide else None,
        onto=reading.onto,
        palette=_palette(dataset) if bands.kind == "palette" else None,
        bits=bits,
        inverted=dataset.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES",
        opaque=_opacity(reader),
        premultiplied=premultiplied,
    )


def _ends(reader: SampleReader, reading: Reading) -> tuple[Ends, ...]:
    bands, fixed = len(reader.bands.numbers), reading.stretch
    if fixed is not None:
        if len(fixed) not in (1, bands):
            raise OptionError(f"stretch={fixed!r}: give one pair of ends, or {bands}, one for each band shown")
        return fixed if len(fixed) == bands else fixed * bands
    found = reader.decimated(limits.MAX_PERCENTILE_SIDE_PX)
    return ends_of(found.values, found.valid) or _ends_of_rows(reader) or ((0.0, 0.0),) * bands


def _ends_of_rows(reader: SampleReader) -> tuple[Ends, ...] | None:
    """The ends of the first rows that hold data, where the decimated picture holds none."""
    width, height = reader.dataset.width, reader.dataset.height
    rows = max(1, limits.MAX_PERCENTILE_SIDE_PX**2 // width)
    for top in range(0, height, rows):
        box = (0, top, width, min(rows, height - top))
        if reader.stored(box):
            found = reader.read(box)
            if ends := ends_of(found.values, found.valid):
                return ends
    return None


def _opacity(reader: SampleReader) -> float:
    """The alpha that is opaque: the greatest of its type, but 255 where 16 bits are used as 8."""
    if reader.bands.alpha is None:
        return WHITE
    kind = np.dtype(reader.dataset.dtypes[reader.bands.alpha - 1])
    if kind == np.uint8:
        return WHITE
    alpha = reader.decimated(limits.MAX_PERCENTILE_SIDE_PX).alpha
    assert alpha is not None
    if kind.kind == "f":
        return float(max(np.nanmax(alpha, initial=0.0), 1.0))
    return WHITE if alpha.max() <= WHITE else float(np.iinfo(kind).max)


def _palette(dataset: Any) -> UInt8Array:
    """The RGB of each index, (n, 3)."""
    table = dataset.colormap(1)
    colours = np.zeros((max(table) + 1, 3), np.uint8)
    for index, (red, green, blue, _) in table.items():
        colours[index] = red, green, blue
    return colours


def _as_uint16(alpha: NDArray[Any], opaque: float) -> tuple[NDArray[np.uint16], int]:
    if alpha.dtype.kind == "u" and alpha.dtype.itemsize <= 2:
        return alpha.astype(np.uint16), int(opaque)
    scaled = np.clip(np.nan_to_num(alpha.astype(np.float64)) / opaque, 0.0, 1.0)
    return np.rint(scaled * 65_535).astype(np.uint16), 65_535
