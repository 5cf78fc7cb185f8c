"""The strips and tiles of a TIFF: whether the file holds them all, and the pixels of a mask page."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from .. import limits
from . import tiff_tags as tags
from .tiff_structure import BLACK_IS_ZERO, DEFLATE, DEFLATE_OLD, PACKBITS, RAW, UNSIGNED, Structure
from .tiff_tags import DamagedTiff, Page

_MASK_PHOTOMETRIC = 4
_MASK_COMPRESSIONS = (RAW, DEFLATE, DEFLATE_OLD, PACKBITS)


@dataclass(frozen=True)
class Blocks:
    """Where the strips or tiles lie: int64 offsets and byte counts, row by row of blocks, one band after the other."""

    width_px: int
    height_px: int
    across: int
    down: int
    tiled: bool
    offsets: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]

    @property
    def sparse(self) -> bool:
        """Whether a block was never written."""
        return bool(((self.offsets == 0) | (self.counts == 0)).any())


def blocks_of(shape: Structure, page: Page, file_bytes: int) -> Blocks:
    """The blocks of a page. Raises DamagedTiff where tags are missing, contradict each other or leave the file."""
    tiled = tags.TILE_WIDTH in page.numbers
    width_px = page.number(tags.TILE_WIDTH, 0) if tiled else shape.width_px
    height_px = page.number(tags.TILE_HEIGHT, 0) if tiled else page.number(tags.ROWS_PER_STRIP, shape.height_px)
    height_px = height_px if tiled else min(height_px, shape.height_px)
    if width_px == 0 or height_px == 0 or width_px * height_px > limits.MAX_IMAGE_PIXELS:
        raise DamagedTiff(f"blocks of {width_px} x {height_px} pixels")
    across, down = -(-shape.width_px // width_px), -(-shape.height_px // height_px)
    expected = across * down * (shape.samples if shape.bands_apart else 1)
    places, sizes = (tags.TILE_OFFSETS, tags.TILE_BYTES) if tiled else (tags.STRIP_OFFSETS, tags.STRIP_BYTES)
    listed = page.numbers.get(places, ()), page.numbers.get(sizes, ())
    if min(map(len, listed)) < expected:
        raise DamagedTiff(f"{min(map(len, listed))} of {expected} blocks are listed")
    try:
        offsets, counts = (np.array(numbers[:expected], np.int64) for numbers in listed)
    except OverflowError:
        raise DamagedTiff("a block lies outside the file") from None
    blocks = Blocks(width_px, height_px, across, down, tiled, offsets, counts)
    _check_place(shape, blocks, file_bytes)
    return blocks


def _check_place(shape: Structure, blocks: Blocks, file_bytes: int) -> None:
    if ((blocks.offsets > file_bytes) | (blocks.counts > file_bytes - blocks.offsets)).any():
        raise DamagedTiff(f"a block ends after the file's {file_bytes} bytes")
    if shape.compression != RAW or blocks.sparse:
        return
    rows = np.full(blocks.down, blocks.height_px, np.int64)
    if not blocks.tiled:
        rows[-1] = shape.height_px - blocks.height_px * (blocks.down - 1)
    samples = 1 if shape.bands_apart else shape.samples
    needed = np.repeat(rows * -(-blocks.width_px * samples * shape.bits // 8), blocks.across)
    if (blocks.counts < np.tile(needed, len(blocks.counts) // len(needed))).any():
        raise DamagedTiff("a block holds fewer bytes than its pixels take")


def mask_obstacle(shape: Structure, mask: Structure) -> str | None:
    """Why the mask page of an image cannot be read, in plain words; None where it can."""
    if (mask.width_px, mask.height_px) != (shape.width_px, shape.height_px):
        return f"its mask has {mask.width_px} x {mask.height_px} pixels"
    if mask.samples != 1 or mask.bits not in (1, 8) or mask.sample_format != UNSIGNED or mask.extras:
        return f"its mask has {mask.samples} bands of {mask.bits} bits"
    if mask.photometric not in (_MASK_PHOTOMETRIC, BLACK_IS_ZERO) or mask.reversed_bits:
        return "its mask is stored in an unusual way"
    if mask.compression not in _MASK_COMPRESSIONS or (mask.predictor != 1 and mask.compression != RAW):
        return "the compression of its mask is not read here"
    return None


def read_mask(stream: BinaryIO, shape: Structure, blocks: Blocks) -> npt.NDArray[np.bool_]:
    """Where a mask page is zero: bool, (height, width). `mask_obstacle` has allowed its structure.

    A block that was never written is zero, as GDAL reads it. Raises DamagedTiff where a block is too short.
    """
    row_bytes = -(-blocks.width_px * shape.bits // 8)
    missing = np.ones((shape.height_px, shape.width_px), np.bool_)
    for index in range(blocks.across * blocks.down):
        row, column = divmod(index, blocks.across)
        top, left = row * blocks.height_px, column * blocks.width_px
        target = missing[top : top + blocks.height_px, left : left + blocks.width_px]
        offset, count = int(blocks.offsets[index]), int(blocks.counts[index])
        if offset == 0 or count == 0:
            continue
        stream.seek(offset)
        rows = blocks.height_px if blocks.tiled else target.shape[0]
        data = _unpacked(stream.read(count), shape.compression, rows * row_bytes)
        values = np.frombuffer(data, np.uint8).reshape(rows, row_bytes)
        if shape.bits == 1:
            values = np.unpackbits(values, axis=1)
        np.equal(values[: target.shape[0], : target.shape[1]], 0, out=target)
    return missing


def _unpacked(data: bytes, compression: int, length: int) -> bytes:
    if compression in (DEFLATE, DEFLATE_OLD):
        try:
            data = zlib.decompressobj().decompress(data, length)
        except zlib.error as error:
            raise DamagedTiff(f"a block of its mask: {error}") from None
    elif compression == PACKBITS:
        data = _packbits(data, length)
    if len(data) < length:
        raise DamagedTiff(f"a block of its mask has {len(data)} of {length} bytes")
    return data[:length]


def _packbits(data: bytes, length: int) -> bytes:
    out = bytearray()
    at = 0
    while at + 1 < len(data) and len(out) < length:
        head = data[at]
        if head < 128:
            out += data[at + 1 : at + 2 + head]
            at += 2 + head
        else:
            out += data[at + 1 : at + 2] * (257 - head if head > 128 else 0)
            at += 2 if head > 128 else 1
    return bytes(out)
