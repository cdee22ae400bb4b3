"""A Plotly figure as a drawing: lines, points and bars, without running anything; None of the rest of Plotly is here."""

from __future__ import annotations

import base64
from html import escape
from typing import Any

WIDTH, HEIGHT, EDGE = 560, 320, 44
COLOURS = ("#636efa", "#ef553b", "#00cc96", "#ab63fa", "#ffa15a", "#19d3f3")
POINTS = 5_000
LARGEST = 1e300


def svg(figure: Any) -> str:
    """Return an SVG of the traces that are lines, points or bars; "" where there is none."""
    if not isinstance(figure, dict) or not isinstance(figure.get("data"), list):
        return ""
    traces = [trace for one in figure["data"] if (trace := _trace(one))]
    if not traces:
        return ""
    scale = _Scale(traces)
    drawn = "".join(_drawn(trace, COLOURS[number % len(COLOURS)], scale) for number, trace in enumerate(traces))
    names = "".join(
        f'<text x="{WIDTH - 20}" y="{34 + 15 * number}" text-anchor="end" fill="{COLOURS[number % len(COLOURS)]}">'
        f"{escape(trace['name'])}</text>"
        for number, trace in enumerate(traces)
        if trace["name"]
    )
    left_out = len(figure["data"]) - len(traces)
    title = _title(figure) + (f" ({left_out} traces of other kinds are not drawn)" if left_out else "")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
        f' font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="#fff"/>'
        f'<text x="{WIDTH / 2}" y="16" text-anchor="middle" font-size="13">{escape(title)}</text>'
        f"{scale.axes()}{drawn}{names}</svg>"
    )


class _Scale:
    """From values to places in the drawing."""

    def __init__(self, traces: list[dict[str, Any]]) -> None:
        self.words = list(dict.fromkeys(x for trace in traces for x in trace["x"] if isinstance(x, str)))
        columns = [self._number(x) for trace in traces for x in trace["x"]]
        values = [y for trace in traces for y in trace["y"]]
        if any(trace["kind"] == "bar" for trace in traces):
            values.append(0.0)
        self.low, self.high = (min(columns), min(values)), (max(columns), max(values))

    def _number(self, x: Any) -> float:
        return float(self.words.index(x)) if isinstance(x, str) else float(x)

    def place(self, x: Any, y: float) -> tuple[float, float]:
        shares = []
        for value, low, high in zip((self._number(x), y), self.low, self.high, strict=True):
            shares.append((value - low) / (high - low) if high > low else 0.5)
        inner = WIDTH - 2 * EDGE - 20, HEIGHT - 2 * EDGE
        return EDGE + 10 + shares[0] * inner[0], HEIGHT - EDGE - shares[1] * inner[1]

    def axes(self) -> str:
        ends = [str(self.words[0]), str(self.words[-1])] if self.words else [f"{self.low[0]:.4g}", f"{self.high[0]:.4g}"]
        base = HEIGHT - EDGE
        return (
            f'<path d="M{EDGE} 24V{base}H{WIDTH - 16}" fill="none" stroke="#888"/>'
            f'<text x="{EDGE + 10}" y="{base + 16}">{escape(ends[0][:24])}</text>'
            f'<text x="{WIDTH - 20}" y="{base + 16}" text-anchor="end">{escape(ends[1][:24])}</text>'
            f'<text x="{EDGE - 4}" y="{base}" text-anchor="end">{self.low[1]:.4g}</text>'
            f'<text x="{EDGE - 4}" y="{EDGE}" text-anchor="end">{self.high[1]:.4g}</text>'
        )


def _drawn(trace: dict[str, Any], colour: str, scale: _Scale) -> str:
    places = [scale.place(x, y) for x, y in zip(trace["x"], trace["y"], strict=True)]
    if trace["kind"] == "bar":
        wide = max(1.0, 0.7 * (WIDTH - 2 * EDGE) / max(len(places), 2))
        base = scale.place(trace["x"][0], 0.0)[1]
        return "".join(
            f'<rect x="{x - wide / 2:.1f}" y="{min(y, base):.1f}" width="{wide:.1f}" height="{abs(base - y):.1f}"'
            f' fill="{colour}" fill-opacity=".75"/>'
            for x, y in places
        )
    drawn = ""
    if "lines" in trace["mode"]:
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        drawn = f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.8"/>'
    if "markers" in trace["mode"]:
        drawn += "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places)
    return drawn


def _trace(trace: Any) -> dict[str, Any] | None:
    if not isinstance(trace, dict) or trace.get("type", "scatter") not in ("scatter", "scattergl", "bar"):
        return None
    y = _values(trace.get("y"))
    x = _values(trace.get("x")) or list(range(len(y)))
    pairs = [
        (a if isinstance(a, str) or _is_number(a) else str(a), float(b)) for a, b in zip(x, y, strict=False) if _is_number(b)
    ]
    pairs = pairs[:POINTS]
    if not pairs:
        return None
    if any(isinstance(a, str) for a, _ in pairs):
        pairs = [(str(a), b) for a, b in pairs]
    kind = "bar" if trace.get("type") == "bar" else "scatter"
    name, mode = str(trace.get("name") or "")[:40], str(trace.get("mode") or "lines+markers")
    return {"kind": kind, "name": name, "mode": mode, "x": [a for a, _ in pairs], "y": [b for _, b in pairs]}


def _values(column: Any) -> list[Any]:
    """A list, or numbers packed as Plotly 6 writes them: a dtype of NumPy and base64."""
    if isinstance(column, dict) and isinstance(column.get("bdata"), str):
        import numpy as np

        try:
            kind = np.dtype(str(column.get("dtype")))
            return list(np.frombuffer(base64.b64decode(column["bdata"]), kind).tolist()) if kind.kind in "iuf" else []
        except (TypeError, ValueError):
            return []
    return column if isinstance(column, list) else []


def _is_number(value: Any) -> bool:
    """Whether a value is a number that can be drawn: neither infinite nor so large that differences of two would be."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -LARGEST < value < LARGEST


def _title(figure: dict[str, Any]) -> str:
    layout = figure.get("layout")
    title = layout.get("title") if isinstance(layout, dict) else None
    text = title.get("text") if isinstance(title, dict) else title
    return str(text)[:80] if text else ""
