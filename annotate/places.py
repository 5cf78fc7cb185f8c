"""Where in a picture something is, in nine words: clearly, clearly not, or so that people could differ."""

from __future__ import annotations

from synthetic.expressions import CLEAR_MIDDLE, CLEAR_SIDE, PLACES, UNCLEAR_MIDDLE, UNCLEAR_SIDE, Verdict

from .names import Profile

CORNERS = tuple(place for place in PLACES if " " in place)
SIDES = tuple(place for place in PLACES if " " not in place and place != "centre")
# The lines of the published grid, in parts of the width and of the height: its middle is wider than a third.
GRID_X, GRID_Y = (0.32, 0.70), (0.31, 0.705)


def verdict(x: float, y: float, place: str) -> Verdict:
    """Whether a point, in parts of the width and height, lies at a place; None where people could differ."""
    if place == "centre":
        off = max(abs(x - 0.5), abs(y - 0.5))
        return True if off < CLEAR_MIDDLE else False if off > UNCLEAR_MIDDLE else None
    into = {"left": x, "right": 1 - x, "top": y, "bottom": 1 - y}
    found = [into[side] for side in place.split()]
    if any(part > UNCLEAR_SIDE for part in found):
        return False
    return True if all(part < CLEAR_SIDE for part in found) else None


def word(x: float, y: float, profile: Profile) -> str | None:
    """The place of a point; `strict` has none where people could differ, `published` takes the cell of its grid."""
    if profile == "published":
        column = (x >= GRID_X[0]) + (x >= GRID_X[1])
        row = (y >= GRID_Y[0]) + (y >= GRID_Y[1])
        words = [one for one in (("top", "", "bottom")[row], ("left", "", "right")[column]) if one]
        return " ".join(words) or "centre"
    return next((place for place in (*CORNERS, *SIDES, "centre") if verdict(x, y, place)), None)


def cell(x: float, y: float) -> str:
    """The quarter of the picture a point lies in."""
    return f"{'top' if y < 0.5 else 'bottom'} {'left' if x < 0.5 else 'right'}"


def opposite(place: str) -> str:
    """The mirrored place, left for right and top for bottom."""
    mirror = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}
    return " ".join(mirror.get(one, one) for one in place.split())
