"""NumPy twins of csrc/masks.cpp: logits to crop-RLE, run-length strings and set operations.

A crop-RLE is a tight box (x, y, w, h) and uint32 counts of its pixels in column-major order, zeros first; an empty
mask is the box (0, 0, 0, 0) with no counts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .polygons import rle_polygons

Box = tuple[int, int, int, int]
Rle = tuple[int, int, int, int, NDArray[np.uint32]]
Bits = NDArray[np.bool_]

__all__ = [
    "mask_from_array",
    "masks_from_logits",
    "rle_clean",
    "rle_combine",
    "rle_crop",
    "rle_full",
    "rle_overlap",
    "rle_parse",
    "rle_polygons",
    "rle_string",
    "rle_window",
]


def _runs(flat: Bits) -> NDArray[np.uint32]:
    """Run lengths of a flat mask, zeros first; only the first may be 0."""
    if not flat.size:
        return np.zeros(0, np.uint32)
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    lead = [0, 0] if flat[0] else [0]
    return np.diff(np.concatenate([lead, edges, [flat.size]])).astype(np.uint32)


def _flat(counts: NDArray[np.uint32]) -> Bits:
    return np.repeat(np.arange(counts.size) % 2 == 1, counts)


def mask_from_array(mask: Bits) -> Rle:
    """bool (H, W) -> crop-RLE."""
    xs, ys = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not xs.size:
        return 0, 0, 0, 0, np.zeros(0, np.uint32)
    x, y, right, below = int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1
    return x, y, right - x, below - y, _runs(mask[y:below, x:right].ravel(order="F"))


def _linear(in_px: int, out_px: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Both source indices and the second one's weight, as torch has them (align_corners false)."""
    scale = np.float32(in_px) / np.float32(out_px)
    half = np.float32(0.5)
    position = np.maximum(scale * (np.arange(out_px, dtype=np.float32) + half) - half, np.float32(0))
    first = np.minimum(position.astype(np.int64), in_px - 1)
    weight = np.minimum(position - first.astype(np.float32), np.float32(1))
    return first, np.minimum(first + 1, in_px - 1), weight


def masks_from_logits(logits: NDArray[np.float32], height_px: int, width_px: int, threads: int = 0) -> list[Rle]:
    """float32 (n, h, w) -> n crop-RLEs at full size: bilinear (align_corners false), strictly above 0."""
    left, right, wx = _linear(logits.shape[2], width_px)
    above, below, wy = _linear(logits.shape[1], height_px)
    found = []
    for plane in logits:
        columns = (np.float32(1) - wx) * plane[:, left] + wx * plane[:, right]
        full = (np.float32(1) - wy)[:, None] * columns[above] + wy[:, None] * columns[below]
        found.append(mask_from_array(full > 0))
    return found


def rle_window(box: Box, counts: NDArray[np.uint32], window: Box) -> Bits:
    """The mask inside `window` (x, y, w, h) as bool (h, w); outside the mask's box it is False."""
    (x, y, w, h), (wx, wy, ww, wh) = box, window
    found = np.zeros((wh, ww), np.bool_)
    left, top, right, below = max(x, wx), max(y, wy), min(x + w, wx + ww), min(y + h, wy + wh)
    if left < right and top < below:
        crop = _flat(counts).reshape((h, w), order="F")
        found[top - wy : below - wy, left - wx : right - wx] = crop[top - y : below - y, left - x : right - x]
    return found


def rle_overlap(box_a: Box, counts_a: NDArray[np.uint32], box_b: Box, counts_b: NDArray[np.uint32]) -> int:
    """Pixels both masks have."""
    return int((rle_window(box_a, counts_a, box_a) & rle_window(box_b, counts_b, box_a)).sum())


def rle_combine(box_a: Box, counts_a: NDArray[np.uint32], box_b: Box, counts_b: NDArray[np.uint32], kind: str) -> Rle:
    """Two masks joined: `kind` is "union", "intersection" or "difference" (a without b)."""
    left, top = min(box_a[0], box_b[0]), min(box_a[1], box_b[1])
    right, below = max(box_a[0] + box_a[2], box_b[0] + box_b[2]), max(box_a[1] + box_a[3], box_b[1] + box_b[3])
    both = (left, top, right - left, below - top)
    a, b = rle_window(box_a, counts_a, both), rle_window(box_b, counts_b, both)
    if kind not in ("union", "intersection", "difference"):
        raise ValueError(f"kind={kind!r} is not union, intersection or difference")
    x, y, w, h, counts = mask_from_array({"union": a | b, "intersection": a & b, "difference": a & ~b}[kind])
    return (x + left, y + top, w, h, counts) if w else (0, 0, 0, 0, counts)


def _small(pixels: Bits, max_px: int) -> Bits:
    """Pixels of the 8-connected components of at most `max_px` pixels."""
    found, left = np.zeros_like(pixels), np.pad(pixels, 1)
    for y, x in np.argwhere(pixels) + 1:
        part, todo = [], [(int(y), int(x))] if left[y, x] else []
        left[y, x] = False
        while todo:
            row, col = todo.pop()
            part.append((row - 1, col - 1))
            for down, right in np.argwhere(left[row - 1 : row + 2, col - 1 : col + 2]):
                near = row - 1 + int(down), col - 1 + int(right)
                left[near] = False
                todo.append(near)
        if part and len(part) <= max_px:
            found[tuple(np.transpose(part))] = True
    return found


def rle_clean(
    height_px: int, width_px: int, box: Box, counts: NDArray[np.uint32], max_hole_px: int, max_sprinkle_px: int
) -> Rle:
    """Small background components filled, small mask components dropped, both judged on the mask as given."""
    pixels = rle_window(box, counts, (0, 0, width_px, height_px))
    return mask_from_array((pixels & ~_small(pixels, max_sprinkle_px)) | _small(~pixels, max_hole_px))


def rle_full(height_px: int, width_px: int, box: Box, counts: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Counts of the whole image, as COCO has them."""
    return _runs(rle_window(box, counts, (0, 0, width_px, height_px)).ravel(order="F"))


def rle_crop(height_px: int, width_px: int, counts: NDArray[np.uint32]) -> Rle:
    """COCO counts of the whole image -> crop-RLE; ValueError when they do not add up to its pixels."""
    if int(counts.sum(dtype=np.uint64)) != height_px * width_px:
        raise ValueError(f"counts do not add up to {height_px} x {width_px} pixels")
    return mask_from_array(_flat(counts).reshape((height_px, width_px), order="F"))


def rle_string(counts: NDArray[np.uint32]) -> str:
    """COCO's compressed string: from the fourth on each count less the one two before, in signed 5-bit groups."""
    letters = []
    values = [int(count) for count in counts]
    for index, count in enumerate(values):
        value = count - values[index - 2] if index > 2 else count
        more = True
        while more:
            group = value & 0x1F
            value >>= 5
            more = value != (-1 if group & 0x10 else 0)
            letters.append(chr(48 + group + (0x20 if more else 0)))
    return "".join(letters)


def rle_parse(text: str) -> NDArray[np.uint32]:
    """Counts of a COCO string; ValueError when it is cut short, has foreign letters or a count outside uint32."""
    values: list[int] = []
    value = shift = 0
    for letter in text:
        group = ord(letter) - 48
        if not 0 <= group < 64 or shift > 30:
            raise ValueError(f"{letter!r} cannot stand here in an RLE string")
        value |= (group & 0x1F) << shift
        shift += 5
        if group & 0x20:
            continue
        if group & 0x10:
            value -= 1 << shift
        value += values[-2] if len(values) > 2 else 0
        if not 0 <= value < 1 << 32:
            raise ValueError(f"count {value} of an RLE string is not a uint32")
        values.append(value)
        value = shift = 0
    if shift:
        raise ValueError("the RLE string ends inside a count")
    return np.array(values, np.uint32)
