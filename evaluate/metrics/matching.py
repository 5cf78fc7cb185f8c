"""One-to-one pairs of rows and columns: of the largest sum, and of the largest number."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def assign(gains: NDArray[np.float64]) -> list[tuple[int, int]]:
    """The one-to-one pairs of rows and columns with the largest sum (Hungarian algorithm, shortest paths)."""
    if gains.shape[0] > gains.shape[1]:
        return sorted((row, column) for column, row in assign(gains.T))
    rows, columns = gains.shape
    row_price, column_price = np.zeros(rows + 1), np.zeros(columns + 1)
    owner = np.zeros(columns + 1, int)  # row of each column, from 1; 0: free
    for row in range(1, rows + 1):
        owner[0], here = row, 0
        least, came_from, done = np.full(columns + 1, np.inf), np.zeros(columns + 1, int), np.zeros(columns + 1, bool)
        while owner[here]:
            done[here] = True
            cost = -gains[owner[here] - 1] - row_price[owner[here]] - column_price[1:]
            better = ~done[1:] & (cost < least[1:])
            least[1:][better], came_from[1:][better] = cost[better], here
            following = int(np.argmin(np.where(done, np.inf, least)[1:])) + 1
            step = least[following]
            row_price[owner[done]] += step
            column_price[done] -= step
            least[~done] -= step
            here = following
        while here:
            owner[here], here = owner[came_from[here]], int(came_from[here])
    return sorted((int(owner[column]) - 1, column - 1) for column in range(1, columns + 1) if owner[column])


def pair_up(allowed: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The largest number of one-to-one pairs among those allowed: bool (rows, columns). Augmenting paths."""
    owner = [-1] * allowed.shape[1]
    for row in range(allowed.shape[0]):
        came_from, waiting = dict[int, int](), [row]
        while waiting:
            here = waiting.pop(0)
            new = [column for column in np.flatnonzero(allowed[here]).tolist() if column not in came_from]
            came_from.update(dict.fromkeys(new, here))
            if free := [column for column in new if owner[column] < 0]:
                _augment(owner, came_from, free[0], row)
                break
            waiting += [owner[column] for column in new]
    return sorted((row, column) for column, row in enumerate(owner) if row >= 0)


def _augment(owner: list[int], came_from: dict[int, int], column: int, first: int) -> None:
    """Give `column` to the row it was reached from, that row's former one to the row before, up to `first`."""
    while True:
        row = came_from[column]
        former = -1 if row == first else owner.index(row)
        owner[column] = row
        if former < 0:
            return
        column = former
