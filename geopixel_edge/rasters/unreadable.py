"""What the first bytes tell of a file that Pillow does not open: a kind of JPEG, a WebP's size, or no image at all."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import BinaryIO

from ..errors import ImageError

_HEAD_BYTES = 1024 * 1024
_FRAME_MARKERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_LOSSLESS_MARKERS = {0xC3, 0xC7, 0xCB, 0xCF}


def not_read(stream: BinaryIO, formats: Sequence[str], what: str) -> ImageError:
    """The error for an open file that Pillow does not identify."""
    stream.seek(0)
    kind = _jpeg_kind(stream.read(_HEAD_BYTES))
    if kind is not None:
        return ImageError(f"{what} is a JPEG of {kind}, which is not read here; save it with 8 bits, grey or RGB")
    return ImageError(f"{what} holds none of {', '.join(formats)}; is it damaged or wrongly named?")


def webp_pixels(stream: BinaryIO) -> int:
    """The pixels that a WebP declares, 0 for other files: its decoder fails alike on damage and for want of memory."""
    stream.seek(0)
    head = stream.read(30)
    if len(head) < 30 or head[:4] != b"RIFF" or head[8:12] != b"WEBP":
        return 0
    if head[12:16] == b"VP8X":
        return (int.from_bytes(head[24:27], "little") + 1) * (int.from_bytes(head[27:30], "little") + 1)
    if head[12:16] == b"VP8L":
        sides = int.from_bytes(head[21:25], "little")
        return ((sides & 0x3FFF) + 1) * ((sides >> 14 & 0x3FFF) + 1)
    width_px, height_px = struct.unpack_from("<HH", head, 26)
    return int((width_px & 0x3FFF) * (height_px & 0x3FFF))


def _jpeg_kind(head: bytes) -> str | None:
    """Bits and components of a JPEG that is not the ordinary kind; None for the ordinary one and other bytes."""
    at = 2
    while head[:2] == b"\xff\xd8" and at + 10 <= len(head) and head[at] == 0xFF:
        marker, length = head[at + 1], struct.unpack_from(">H", head, at + 2)[0]
        if marker in _FRAME_MARKERS:
            bits, components = head[at + 4], head[at + 9]
            if bits == 8 and components in (1, 3, 4) and marker not in _LOSSLESS_MARKERS:
                return None
            return f"{components} bands of {bits} bits{', lossless' * (marker in _LOSSLESS_MARKERS)}"
        at += 2 + length
    return None
