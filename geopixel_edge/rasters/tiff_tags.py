"""The pages of a TIFF read from its tags: classic and BigTIFF, both byte orders. No number in the file is trusted."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
MAX_PAGES = 256
MAX_ENTRIES = 4_096
# The largest image in blocks of 16 x 16 pixels, four bands apart, has 2.8 million; a text is shorter than this too.
MAX_VALUES = 4 * 1024 * 1024

SUBFILE, OLD_SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 254, 255, 256, 257, 258, 259, 262
FILL_ORDER, STRIP_OFFSETS, ORIENTATION, SAMPLES, ROWS_PER_STRIP, STRIP_BYTES, PLANAR = 266, 273, 274, 277, 278, 279, 284
PREDICTOR, COLOUR_MAP, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_BYTES, SUB_PAGES = 317, 320, 322, 323, 324, 325, 330
INK_SET, EXTRA_SAMPLES, SAMPLE_FORMAT, SUBSAMPLING, REFERENCE_LEVELS = 332, 338, 339, 530, 532
DATE_TIME, GDAL_METADATA, GDAL_NODATA, DNG_VERSION = 306, 42112, 42113, 50706
# Pixel scale, tie points, transformation, the CRS's keys, rational polynomials: any of them places a picture.
GEOREFERENCE = frozenset({33550, 33922, 34264, 34735, 50844})

_KIND_TAGS = frozenset({SUBFILE, OLD_SUBFILE, WIDTH, HEIGHT})
_TEXT_TAGS = frozenset({DATE_TIME, GDAL_METADATA, GDAL_NODATA})
_NUMBER_TAGS = frozenset(
    {*_KIND_TAGS, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER, STRIP_OFFSETS, ORIENTATION, SAMPLES, ROWS_PER_STRIP}
    | {STRIP_BYTES, PLANAR, PREDICTOR, COLOUR_MAP, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_BYTES, SUB_PAGES}
    | {INK_SET, EXTRA_SAMPLES, SAMPLE_FORMAT, SUBSAMPLING, REFERENCE_LEVELS, DNG_VERSION}
)
_ALL_TAGS = _NUMBER_TAGS | _TEXT_TAGS
_TYPES = {1: "B", 3: "H", 4: "I", 5: "II", 13: "I", 16: "Q", 18: "Q"}  # unsigned integers; 5 is two, a fraction
_REDUCED, _PAGE_OF_MANY, _MASK = 1, 2, 4


class DamagedTiff(Exception):
    """The tags contradict the file: it was cut or altered. The message says where."""


@dataclass(frozen=True)
class Page:
    """One directory: its unsigned numbers and texts by tag. Only the frame asked for and masks hold more than sizes."""

    big_endian: bool
    big: bool
    numbers: Mapping[int, tuple[int, ...]]
    texts: Mapping[int, str]
    georeferenced: bool = False

    def number(self, tag: int, default: int) -> int:
        """The first number of a tag."""
        return self.numbers.get(tag, (default,))[0]

    @property
    def is_mask(self) -> bool:
        """A transparency mask of another page, at full size."""
        return self.number(SUBFILE, 0) & (_MASK | _REDUCED) == _MASK

    @property
    def is_reduced(self) -> bool:
        """An overview, or the mask of one."""
        return bool(self.number(SUBFILE, 0) & _REDUCED) or self.number(OLD_SUBFILE, 1) == 2


@dataclass(frozen=True)
class _Form:
    stream: BinaryIO
    size: int  # of the file, bytes
    order: str
    big: bool

    def read(self, offset: int, count: int) -> bytes:
        if offset < 0 or offset + count > self.size:
            raise DamagedTiff(f"a tag points to byte {offset} of {self.size}")
        self.stream.seek(offset)
        data = self.stream.read(count)
        if len(data) != count:
            raise DamagedTiff(f"the file ends within a tag at byte {offset}")
        return data


@dataclass(frozen=True)
class _Entry:
    kind: int
    count: int
    field: bytes  # the value itself where it fits, or its offset


def is_tiff(head: bytes) -> bool:
    """Whether a file that starts with these four bytes or more says that it is a TIFF."""
    return head[:4] in MAGIC


def read_pages(stream: BinaryIO, frame: int = 0) -> list[Page]:
    """The pages of a TIFF in the order of the file, at most `MAX_PAGES`; page `frame` and masks with all their tags.

    A chain that comes back to a page it had ends there. Raises DamagedTiff where the tags point outside the file.
    """
    size = stream.seek(0, 2)
    form, offset = _header(stream, size)
    pages: list[Page] = []
    seen: set[int] = set()
    while offset and offset not in seen and len(pages) < MAX_PAGES:
        seen.add(offset)
        entries, offset = _entries(form, offset)
        page = _page(form, entries, _KIND_TAGS)
        pages.append(_page(form, entries, _ALL_TAGS) if len(pages) == frame or page.is_mask else page)
    if not pages:
        raise DamagedTiff("it has no page")
    return pages


def _header(stream: BinaryIO, size: int) -> tuple[_Form, int]:
    stream.seek(0)
    head = stream.read(16)
    form = _Form(stream, size, ">" if head[:1] == b"M" else "<", b"+" in head[2:4])
    if not is_tiff(head) or len(head) < (16 if form.big else 8):
        raise DamagedTiff("its header is cut")
    if not form.big:
        return form, struct.unpack_from(f"{form.order}I", head, 4)[0]
    width, zero, offset = struct.unpack_from(f"{form.order}HHQ", head, 4)
    if (width, zero) != (8, 0):
        raise DamagedTiff("its BigTIFF header is altered")
    return form, offset


def _entries(form: _Form, offset: int) -> tuple[dict[int, _Entry], int]:
    count_code, entry_code, next_code = ("Q", "HHQ8s", "Q") if form.big else ("H", "HHI4s", "I")
    count_bytes, entry_bytes = struct.calcsize("<" + count_code), struct.calcsize("<" + entry_code)
    count = struct.unpack(form.order + count_code, form.read(offset, count_bytes))[0]
    if not 0 < count <= MAX_ENTRIES:
        raise DamagedTiff(f"a page has {count} tags")
    table = form.read(offset + count_bytes, count * entry_bytes + struct.calcsize("<" + next_code))
    entries: dict[int, _Entry] = {}
    for tag, kind, number, field in struct.iter_unpack(form.order + entry_code, table[: count * entry_bytes]):
        if tag in _ALL_TAGS or tag in GEOREFERENCE:
            if tag in entries:
                raise DamagedTiff(f"tag {tag} occurs twice in a page")
            entries[tag] = _Entry(kind, number, field)
    return entries, struct.unpack(form.order + next_code, table[count * entry_bytes :])[0]


def _page(form: _Form, entries: dict[int, _Entry], wanted: frozenset[int]) -> Page:
    numbers: dict[int, tuple[int, ...]] = {}
    texts: dict[int, str] = {}
    for tag, entry in entries.items():
        if tag not in wanted:
            continue
        if tag in _TEXT_TAGS:
            if entry.kind not in (1, 2, 7):
                raise DamagedTiff(f"tag {tag} is no text")
            texts[tag] = _value(form, entry, 1).split(b"\0")[0].decode("utf-8", "replace").strip()
        else:
            code = _TYPES.get(entry.kind)
            if code is None or entry.count == 0:
                raise DamagedTiff(f"tag {tag} holds {entry.count} values of type {entry.kind}, no number")
            data = _value(form, entry, struct.calcsize("<" + code))
            numbers[tag] = struct.unpack(f"{form.order}{entry.count * len(code)}{code[0]}", data)
    return Page(form.order == ">", form.big, numbers, texts, not GEOREFERENCE.isdisjoint(entries))


def _value(form: _Form, entry: _Entry, item_bytes: int) -> bytes:
    length = entry.count * item_bytes
    if length <= len(entry.field):
        return entry.field[:length]
    if entry.count > MAX_VALUES:
        raise DamagedTiff(f"a tag holds {entry.count} values")
    offset = struct.unpack(form.order + ("Q" if form.big else "I"), entry.field)[0]
    return form.read(offset, length)
