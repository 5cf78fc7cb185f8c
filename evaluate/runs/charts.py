"""Curves of a report as SVG, without a library or a fetch."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT, EDGE = 420, 260, 44


def curve(points: Sequence[tuple[float, float]], across: str, up: str) -> str:
    """Points of 0..1 each way, joined."""
    place = " ".join(f"{_x(x):.1f},{_y(y):.1f}" for x, y in points)
    return _frame(f'<polyline points="{place}" fill="none" stroke="#0a6" stroke-width="2"/>', across, up)


def bars(values: Sequence[tuple[str, float, int]], up: str) -> str:
    """Name, height of 0..1 and count of each."""
    step = (WIDTH - 2 * EDGE) / max(1, len(values))
    drawn = []
    for at, (name, value, count) in enumerate(values):
        left, top = EDGE + at * step, _y(value)
        middle = left + step / 2
        drawn.append(
            f'<rect x="{left + step * 0.15:.1f}" y="{top:.1f}" width="{step * 0.7:.1f}" '
            f'height="{HEIGHT - EDGE - top:.1f}" fill="#0a6"/>'
            f'<text x="{middle:.1f}" y="{top - 4:.1f}" text-anchor="middle">{value:.2f}</text>'
            f'<text x="{middle:.1f}" y="{HEIGHT - EDGE + 14}" text-anchor="middle">{escape(name)}</text>'
            f'<text x="{middle:.1f}" y="{HEIGHT - EDGE + 28}" text-anchor="middle">{count:,}</text>'
        )
    return _frame("".join(drawn), "", up)


def _x(value: float) -> float:
    return EDGE + value * (WIDTH - 2 * EDGE)


def _y(value: float) -> float:
    return HEIGHT - EDGE - value * (HEIGHT - 2 * EDGE)


def _frame(inside: str, across: str, up: str) -> str:
    ticks = "".join(
        f'<text x="{EDGE - 6}" y="{_y(at / 4) + 4:.1f}" text-anchor="end">{at / 4:.2f}</text>'
        f'<line x1="{EDGE}" y1="{_y(at / 4):.1f}" x2="{WIDTH - EDGE}" y2="{_y(at / 4):.1f}" stroke="#8884"/>'
        for at in range(5)
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(up)}">{ticks}{inside}'
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 8}" text-anchor="middle">{escape(across)}</text>'
        f'<text x="{EDGE}" y="18">{escape(up)}</text></svg>'
    )
