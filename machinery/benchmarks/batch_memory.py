"""Peaks of memory over the size of the input, as a picture that a light and a dark page can show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 480, 340, 60, 112, 34, 52  # no wider, for phones
BOUNDS = (700_000, 60_000_000), (50, 20_000)  # rows, MB
GOAL = 1_000
STYLE = """
svg { --ground: #ffffff; --ink: #24292f; --soft: #5b6470; --grid: #e3e6ea; --a: #1f6fb5; --b: #b3541e; --c: #6b7280; }
@media (prefers-color-scheme: dark) {
  svg { --ground: #161a20; --ink: #e6e9ee; --soft: #a3adba; --grid: #2d343d; --a: #6cb2f0; --b: #f0a06c; --c: #9aa4b2; }
}
.ground { fill: var(--ground); } .ink { fill: var(--ink); } .soft { fill: var(--soft); }
.grid { stroke: var(--grid); } .goal { stroke: var(--ink); stroke-dasharray: 3 4; }
.a { stroke: var(--a); } .b { stroke: var(--b); } .c { stroke: var(--c); stroke-dasharray: 6 4; }
.line { fill: none; stroke-width: 2; }
circle[class] { fill: var(--ground); stroke-width: 2; stroke-dasharray: none; }
"""


@dataclass(frozen=True)
class Line:
    """A line of the picture: MB by number of rows, and the class that colours it."""

    name: str
    kind: str
    peaks: Mapping[int, float]


def draw(lines: Sequence[Line], file: Path) -> None:
    """Write the picture; both axes are logarithmic."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{_label(lines)}" font-family="system-ui, sans-serif" font-size="14" width="{WIDTH * 7 // 6}">',
        f"<style>{STYLE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}" rx="8"/>',
        f'<text class="ink" x="{LEFT}" y="20" font-weight="600">Peak of resident memory, MB</text>',
        *_axes(),
    ]
    taken: list[tuple[float, float]] = []
    for line in sorted(lines, key=lambda line: -line.peaks[max(line.peaks)]):
        parts += _line(line, taken)
    file.write_text("\n".join([*parts, "</svg>", ""]), encoding="utf-8")


def _label(lines: Sequence[Line]) -> str:
    described = (
        f"{line.name}: " + ", ".join(f"{mb:,.0f} MB at {rows:,} rows" for rows, mb in line.peaks.items()) for line in lines
    )
    return "Peak of memory over the size of the input. " + "; ".join(described)


def _x(rows: float) -> float:
    first, last = map(math.log, BOUNDS[0])
    return round(LEFT + (math.log(rows) - first) / (last - first) * (WIDTH - LEFT - RIGHT), 1)


def _y(megabytes: float) -> float:
    first, last = map(math.log, BOUNDS[1])
    return round(HEIGHT - BOTTOM - (math.log(megabytes) - first) / (last - first) * (HEIGHT - TOP - BOTTOM), 1)


def _axes() -> list[str]:
    """Lines and numbers of both axes, and the goal."""
    end, ground = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = []
    for megabytes in (100, 1_000, 10_000):
        y = _y(megabytes)
        kind = "goal" if megabytes == GOAL else "grid"
        parts.append(f'<path class="{kind}" d="M{LEFT} {y}H{end}"/>')
        parts.append(f'<text class="soft" x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{megabytes:,}</text>')
    for rows in (1_000_000, 10_000_000, 50_000_000):
        x = _x(rows)
        parts.append(f'<path class="grid" d="M{x} {TOP}V{ground}"/>')
        parts.append(f'<text class="soft" x="{x}" y="{ground + 20}" text-anchor="middle">{rows // 1_000_000} M</text>')
    middle = (LEFT + end) / 2
    parts.append(f'<text class="soft" x="{middle}" y="{HEIGHT - 10}" text-anchor="middle">rows × 30 features</text>')
    return parts


def _line(line: Line, taken: list[tuple[float, float]]) -> list[str]:
    """A line with its dots and its name, which stands clear of those that are `taken`, all above it."""
    places = [(_x(rows), _y(megabytes)) for rows, megabytes in sorted(line.peaks.items())]
    path = " ".join(f"{x},{y}" for x, y in places)
    last, megabytes = places[-1], line.peaks[max(line.peaks)]
    below = 18 if last[0] < WIDTH - RIGHT - 50 else 4  # of a line that ends early, clear of the others
    height = max([last[1] + below, *(y + 17 for x, y in taken if x == last[0])])
    taken.append((last[0], height))
    name = f'<text class="ink" x="{last[0] + 10}" y="{height}">{line.name} {megabytes:,.0f}</text>'
    dots = [f'<circle class="{line.kind}" cx="{x}" cy="{y}" r="3.5"/>' for x, y in places]
    return [f'<polyline class="line {line.kind}" points="{path}"/>', *dots, name]
