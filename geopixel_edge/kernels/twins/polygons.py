"""NumPy twin of csrc/polygons.cpp: the outlines of a crop-RLE mask on exact pixel edges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .simplify import simplify

Ring = NDArray[np.int32]
Corner = tuple[int, int, int]  # x, y, copy: two diagonal pixels meet in two copies of one corner
Pixels = NDArray[np.int64]


def _label(pixels: NDArray[np.bool_]) -> Pixels:
    """4-connected components of a padded mask, numbered from 1 in column-major order of their first pixel."""
    labels = np.zeros(pixels.shape, np.int64)
    for x, y in zip(*np.nonzero(pixels.T), strict=True):
        if labels[y, x]:
            continue
        label, todo = labels.max() + 1, [(int(y), int(x))]
        labels[y, x] = label
        while todo:
            row, col = todo.pop()
            for near in ((row - 1, col), (row + 1, col), (row, col - 1), (row, col + 1)):
                if pixels[near] and not labels[near]:
                    labels[near] = label
                    todo.append(near)
    return labels


def _links(pixels: NDArray[np.bool_]) -> tuple[dict[Corner, Corner], dict[Corner, Corner]]:
    """Each corner's other end along its horizontal and along its vertical edge.

    Where two pixels touch by a corner only, copy 0 takes the upper vertical edge and copy 1 the lower one, each with
    the horizontal edge of the same pixel, so that the pixels stay apart.
    """
    by_row: dict[int, list[Corner]] = {}
    by_col: dict[int, list[Corner]] = {}
    for x in range(1, pixels.shape[1]):
        for y in range(1, pixels.shape[0]):
            a, b, c, d = pixels[y - 1, x - 1], pixels[y - 1, x], pixels[y, x - 1], pixels[y, x]
            if (int(a) + int(b) + int(c) + int(d)) % 2:
                by_col.setdefault(x, []).append((x, y, 0))
                by_row.setdefault(y, []).append((x, y, 0))
            elif a == d and b == c and a != b:
                by_col.setdefault(x, []).extend([(x, y, 0), (x, y, 1)])
                first = 0 if a else 1
                by_row.setdefault(y, []).extend([(x, y, first), (x, y, 1 - first)])
    across: dict[Corner, Corner] = {}
    along: dict[Corner, Corner] = {}
    for lines, links in ((by_row, across), (by_col, along)):
        for corners in lines.values():
            for one, other in zip(corners[0::2], corners[1::2], strict=True):
                links[one], links[other] = other, one
    return across, along


def _split(cycle: list[Corner]) -> list[list[tuple[int, int]]]:
    """The cycle cut into simple rings wherever it comes back to a corner."""
    rings: list[list[tuple[int, int]]] = []
    path: list[tuple[int, int]] = []
    for x, y, _ in cycle:
        if (x, y) in path:
            start = path.index((x, y))
            rings.append(path[start:])
            del path[start:]
        path.append((x, y))
    return [*rings, path]


def _area(ring: list[tuple[int, int]]) -> int:
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(ring, [*ring[1:], ring[0]], strict=True)) // 2


def _close(ring: list[tuple[int, int]], x: int, y: int) -> Ring:
    first = ring.index(min(ring))
    turned = [*ring[first:], *ring[: first + 1]]
    return np.array(turned, np.int32) + np.array([x - 1, y - 1], np.int32)


def rle_polygons(
    box: tuple[int, int, int, int], counts: NDArray[np.uint32], tolerance_px: float = 0.0
) -> list[list[Ring]]:
    """One polygon per 4-connected component, by its first pixel in column-major order: outline, then its holes.

    A ring is int32 (n + 1, 2) of x, y, closed, from its least corner (x, then y); outlines have positive shoelace
    area, holes negative. Above 0, vertices are dropped as `simplify` says.
    """
    x, y, w, h = box
    flat = np.repeat(np.arange(counts.size) % 2 == 1, counts)
    pixels = np.pad(flat.reshape((h, w), order="F"), 1)
    labels, (across, along) = _label(pixels), _links(pixels)
    found: dict[int, list[list[tuple[int, int]]]] = {}
    seen: set[Corner] = set()
    for corner in sorted(across):
        if corner in seen:
            continue
        inside = bool(pixels[corner[1], corner[0]])
        cycle, here, flat_next = [], corner, inside
        while here not in seen:
            seen.add(here)
            cycle.append(here)
            here = (across if flat_next else along)[here]
            flat_next = not flat_next
        label = int(labels[corner[1], corner[0] if inside else corner[0] - 1])
        found.setdefault(label, []).extend(_split(cycle))
    polygons = []
    for label in sorted(found):
        rings = sorted(found[label], key=lambda ring: (_area(ring) < 0, min(ring)))
        polygons.append([_close(ring, x, y) for ring in rings])
    return simplify(polygons, tolerance_px) if tolerance_px > 0 else polygons
