"""Set-of-Mark: numbers in black boxes that say which thing a describer is asked about.

A box lies at the pixel of a mask that is farthest from its border. Where it would cover too much of the thing or leave
it, it stands outside on a free side, tied to that pixel by a line one pixel wide. A thing without a free place has no
mark. Numbers go by area, the largest first, and begin anew in every picture.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from . import font
from .geometry import inner_point
from .items import Instance, Item

MAX_MARKS = 20  # in one picture; of more, further pictures are made
MAX_COVER = 0.3  # of a mask, by a box inside it
MIN_DIGIT_PX, MAX_DIGIT_PX = 12.0, 28.0  # height at the size that the describer sees
DIGIT_PART = 0.35  # of the distance to the border
YELLOW, BLACK = (255, 255, 0), (0, 0, 0)
DIRECTIONS = ((0, -1), (1, -1), (1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1))
Box = tuple[int, int, int, int]
Pixels = NDArray[np.int64]


@dataclass(frozen=True)
class Mark:
    """A number: its box is x, y, width, height; `leader` the pixels x, y of the line to the thing, none if inside."""

    number: int
    instance: int | str
    box: Box
    scale: int
    leader: tuple[tuple[int, int], ...] = ()


class Board:
    """One picture's marks, placed one after the other."""

    def __init__(self, item: Item, things: Sequence[Instance], input_side_px: int | None = None) -> None:
        """`things` are those to be marked; `input_side_px` is the longer side that the describer sees."""
        self.width_px, self.height_px = item.width_px, item.height_px
        side = max(item.width_px, item.height_px)
        self.shrink = max(1.0, side / input_side_px) if input_side_px else 1.0
        self.marks: list[Mark] = []
        self._boxes = np.zeros((item.height_px, item.width_px), np.bool_)
        self._lines = np.zeros_like(self._boxes)
        self._owners = np.zeros(self._boxes.shape, np.int32)
        for number, one in enumerate(things, 1):
            x, y, width, height = one.mask.bbox
            self._owners[y : y + height, x : x + width][one.crop] = number
        self._numbers = {one.id: number for number, one in enumerate(things, 1)}

    def place(self, instance: Instance) -> Mark | None:
        """Mark a thing with the next number; None where no place is free."""
        x, y, radius = inner_point(instance)
        value = len(self.marks) + 1
        scale = self._scale(radius)
        height, width = font.number(value, scale).shape
        mark = self._inside(instance, value, scale, (x - width // 2, y - height // 2, width, height))
        mark = mark or self._outside(instance, value, scale, (x, y), (width, height))
        if mark:
            self.marks.append(mark)
            bx, by, width, height = mark.box
            self._boxes[by : by + height, bx : bx + width] = True
            for px, py in mark.leader:
                self._lines[py, px] = True
        return mark

    def _scale(self, radius: float) -> int:
        """Pixels of the picture for one of the font, so that digits have their height where they are seen."""
        wanted = min(max(DIGIT_PART * radius / self.shrink, MIN_DIGIT_PX), MAX_DIGIT_PX) * self.shrink
        least = math.ceil(MIN_DIGIT_PX * self.shrink / font.HEIGHT_PX)
        return max(least, int(wanted / font.HEIGHT_PX))

    def _inside(self, instance: Instance, value: int, scale: int, box: Box) -> Mark | None:
        x, y, width, height = box
        if width * height > MAX_COVER * instance.area_px or not self._free(box):
            return None
        left, top = x - instance.mask.x_px, y - instance.mask.y_px
        if left < 0 or top < 0 or not instance.crop[top : top + height, left : left + width].all():
            return None
        whole = instance.crop[top : top + height, left : left + width].shape == (height, width)
        return Mark(value, instance.id, box, scale) if whole else None

    def _free(self, box: Box) -> bool:
        """Whether a box lies in the picture, beside every other box and every line."""
        x, y, width, height = box
        if x < 0 or y < 0 or x + width > self.width_px or y + height > self.height_px:
            return False
        rim = slice(max(0, y - 1), y + height + 1), slice(max(0, x - 1), x + width + 1)
        return not (self._boxes[rim].any() or self._lines[rim].any())

    def _outside(
        self, instance: Instance, value: int, scale: int, start: tuple[int, int], size: tuple[int, int]
    ) -> Mark | None:
        """The free place of eight directions with the shortest line; of equals the first, clockwise from the top."""
        found: list[Mark] = []
        for dx, dy in DIRECTIONS:
            box = self._beyond(instance, start, size, dx, dy)
            if box is None or not self._free(box) or self._covers(box):
                continue
            leader = line(start, nearest_in(box, start))[:-1]
            if not any(self._boxes[y, x] for x, y in leader):
                found.append(Mark(value, instance.id, box, scale, tuple(leader)))
        return min(found, key=lambda mark: len(mark.leader), default=None)

    def _beyond(
        self, instance: Instance, start: tuple[int, int], size: tuple[int, int], dx: int, dy: int
    ) -> Box | None:
        """The first box in a direction that leaves the thing; None if it leaves the picture before."""
        width, height = size
        for step in range(1, max(self.width_px, self.height_px)):
            x, y = start[0] + dx * step - width // 2, start[1] + dy * step - height // 2
            if x < 0 or y < 0 or x + width > self.width_px or y + height > self.height_px:
                return None
            if not (self._owners[y : y + height, x : x + width] == self._numbers[instance.id]).any():
                return x, y, width, height
        return None

    def _covers(self, box: Box) -> bool:
        x, y, width, height = box
        return bool(self._owners[y : y + height, x : x + width].any())


def nearest_in(box: Box, start: tuple[int, int]) -> tuple[int, int]:
    """The pixel of a box that is nearest to a point."""
    x, y, width, height = box
    return min(max(start[0], x), x + width - 1), min(max(start[1], y), y + height - 1)


def line(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    """The pixels x, y of a line one pixel wide, both ends included."""
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    return [
        (start[0] + round((end[0] - start[0]) * at / steps), start[1] + round((end[1] - start[1]) * at / steps))
        for at in range(steps + 1)
    ]


def place_marks(
    item: Item, things: Sequence[Instance], input_side_px: int | None = None
) -> tuple[list[list[Mark]], list[Instance]]:
    """The marks of each picture that is to be made, and the things that have none; things come by area."""
    ordered = sorted(things, key=lambda one: one.order)
    pictures, without = [], []
    board = Board(item, ordered, input_side_px)
    for one in ordered:
        if len(board.marks) == MAX_MARKS:
            pictures.append(board.marks)
            board = Board(item, ordered, input_side_px)
        if board.place(one) is None:
            without.append(one)
    return [*pictures, *([board.marks] if board.marks else [])], without


def draw(image: NDArray[np.uint8], marks: Sequence[Mark]) -> NDArray[np.uint8]:
    """A copy of a picture, uint8 (height, width, 3), with its marks."""
    drawn = image.copy()
    for mark in marks:
        for x, y in mark.leader:
            drawn[y, x] = YELLOW
    for mark in marks:
        x, y, width, height = mark.box
        digits = font.number(mark.number, mark.scale)
        drawn[y : y + height, x : x + width] = np.where(digits[..., None], YELLOW, BLACK)
    return drawn


def tint(image: NDArray[np.uint8], things: Sequence[Instance], strength: float) -> NDArray[np.uint8]:
    """A copy with the masks mixed with yellow; it changes what colour a thing seems to have."""
    drawn = image.copy()
    for one in things:
        x, y, width, height = one.mask.bbox
        window = drawn[y : y + height, x : x + width]
        window[one.crop] = np.rint(window[one.crop] * (1 - strength) + np.array(YELLOW) * strength).astype(np.uint8)
    return drawn


def png_of(image: NDArray[np.uint8]) -> bytes:
    """A picture as PNG."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", compress_level=4)
    return stream.getvalue()
