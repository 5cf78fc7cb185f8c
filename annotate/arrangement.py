"""How several things stand to each other: in a row, in rows, in a cluster, scattered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .geometry import main_axis
from .items import Instance

ROW_WIDTH = 0.6  # lengths of the median thing: the spread across a row
ROW_SPACING = 0.5  # standard deviation of the steps along a row, in parts of their mean
BETWEEN_ROWS = 0.8  # lengths between neighbouring rows at least
SCATTERED_GAP = 3.0  # lengths from each thing to its nearest neighbour at least
CLUSTER_GAP = 2.0  # at most


def arrangement(things: Sequence[Instance]) -> str | None:
    """ "row", "rows", "cluster", "scattered", or None where nothing is clear or there are fewer than three."""
    if len(things) < 3:
        return None
    centres = np.array([one.centre for one in things], np.float64)
    length = float(np.median([one.length_px for one in things]))
    direction, along, across = main_axis(centres)
    if along > 0 and _is_row(centres, direction, across, length):
        return "row"
    if len(things) >= 6 and _are_rows(centres, direction, length):
        return "rows"
    apart = np.sqrt(((centres[:, None] - centres[None]) ** 2).sum(axis=2))
    np.fill_diagonal(apart, np.inf)
    nearest = apart.min(axis=1)
    if (nearest >= SCATTERED_GAP * length).all():
        return "scattered"
    return "cluster" if (nearest <= CLUSTER_GAP * length).all() and _connected(apart <= CLUSTER_GAP * length) else None


def _turned(centres: NDArray[np.float64], degrees: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions along and across a direction."""
    angle = np.radians(degrees)
    middle = centres - centres.mean(axis=0)
    return middle @ (np.cos(angle), np.sin(angle)), middle @ (-np.sin(angle), np.cos(angle))


def _is_row(centres: NDArray[np.float64], degrees: float, across: float, length: float) -> bool:
    steps = np.diff(np.sort(_turned(centres, degrees)[0]))
    return bool(across < ROW_WIDTH * length and steps.mean() > 0 and steps.std() < ROW_SPACING * steps.mean())


def _are_rows(centres: NDArray[np.float64], degrees: float, length: float) -> bool:
    """Whether they fall apart into straight rows of three and more, along their main direction or across it."""
    for turn in (degrees, degrees + 90):
        across = np.sort(_turned(centres, turn)[1])
        rows = np.split(across, np.flatnonzero(np.diff(across) > BETWEEN_ROWS * length) + 1)
        if len(rows) > 1 and all(len(row) >= 3 and row.std() < 0.25 * length for row in rows):
            return True
    return False


def _connected(near: NDArray[np.bool_]) -> bool:
    """Whether every thing is reached from the first by steps to near ones."""
    reached = np.zeros(len(near), np.bool_)
    reached[0] = True
    while True:
        grown = reached | near[reached].any(axis=0)
        if (grown == reached).all():
            return bool(reached.all())
        reached = grown
