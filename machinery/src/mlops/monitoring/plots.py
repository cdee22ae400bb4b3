"""The report's pictures, as SVG that stands in the page itself and takes the page's text colour, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.monitoring.drift import as_reference

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours that keep their difference for colour-blind readers (Okabe and Ito 2008); INK becomes the page's text colour.
INK, BEFORE, NOW = "#123456", "#8A8F98", "#D55E00"
CLASSES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#8A8F98")
BINS, SHOWN = 30, 12
# What neither XML nor a font can show, although a request may hold it.
UNSHOWN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def _literal(draw: Callable[..., str]) -> Callable[..., str]:
    """Draw every text as it is written: matplotlib would take what stands between dollar signs for a formula."""

    @wraps(draw)
    def drawn(*given: Any) -> str:
        import matplotlib as mpl

        with mpl.rc_context({"text.parse_math": False}):
            return draw(*given)

    return drawn


@_literal
def overlay(name: str, profile: Mapping[str, Any], logged: pd.Series) -> str:
    """How one column was spread in the reference, and is now."""
    values = as_reference(logged, profile["kind"]).dropna()
    figure, axes = _figure(4.6, 2.5)
    if profile["kind"] == "number":
        _numbers(axes, np.asarray(profile["values"], dtype=float), values.to_numpy())
    else:
        _categories(axes, profile["counts"], {str(key): int(count) for key, count in values.value_counts().items()})
    axes.set_ylabel("share of rows")
    axes.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0)
    return _svg(figure, f"{name}: reference and now")


@_literal
def over_time(daily: Sequence[Mapping[str, Any]], profile: Mapping[str, Any]) -> str:
    """The outputs of each day above the number of rows; the reference is the grey band, or the first bar."""
    figure, (above, below) = _figure(9.4, 3.6, rows=2, heights=(3, 1))
    days = [str(row["day"])[5:] for row in daily]
    places = np.arange(len(days))
    if "mean" in daily[0]:
        _band(above, places, daily, profile)
    elif "shares" in daily[0]:
        _stacked(above, places, daily, profile)
    below.bar(places, [row["rows"] for row in daily], color=BEFORE, width=0.7)
    below.set_ylabel("rows")
    step = max(1, len(days) // 12)
    below.set_xticks(places[::step], days[::step])
    above.tick_params(labelbottom=False)
    if "shares" in daily[0]:
        above.set_xlim(-1.8, len(days) - 0.4)
        below.set_xlim(-1.8, len(days) - 0.4)
    return _svg(figure, "outputs over time")


def _numbers(axes: Axes, before: np.ndarray, now: np.ndarray) -> None:
    """Both histograms over the same bins; the few values far outside do not set the scale."""
    both = np.concatenate([before, now])
    low, high = np.quantile(both, [0.005, 0.995]) if len(both) else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    for values, colour, label in ((before, BEFORE, "reference"), (now, NOW, "now")):
        counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
        axes.stairs(counts / max(1, len(values)), edges, fill=True, alpha=0.35, color=colour, label=label)
        axes.stairs(counts / max(1, len(values)), edges, color=colour, linewidth=1.2)
    axes.ticklabel_format(axis="x", useOffset=False)


def _categories(axes: Axes, before: Mapping[str, int], now: Mapping[str, int]) -> None:
    """A pair of bars a category, the most frequent ones."""
    names = sorted({*before, *now}, key=lambda name: -(before.get(name, 0) / _sum(before) + now.get(name, 0) / _sum(now)))
    names = sorted(names[:SHOWN], key=_natural)
    places = np.arange(len(names))
    for offset, counts, colour, label in ((-0.2, before, BEFORE, "reference"), (0.2, now, NOW, "now")):
        heights = [counts.get(name, 0) / _sum(counts) for name in names]
        axes.bar(places + offset, heights, width=0.38, color=colour, label=label)
    axes.set_xticks(places, [_shown(name if len(name) < 14 else f"{name[:12]}…") for name in names])
    if sum(map(len, names)) > 50:
        axes.tick_params(axis="x", labelrotation=35)


def _band(axes: Axes, places: np.ndarray, daily: Sequence[Mapping[str, Any]], profile: Mapping[str, Any]) -> None:
    values = profile.get("values") or [0.0]
    low, high = np.quantile(values, [0.1, 0.9])
    axes.axhspan(low, high, color=BEFORE, alpha=0.2, linewidth=0, label="reference, 10 to 90 %")
    axes.axhline(profile.get("mean", 0.0), color=BEFORE, linewidth=1)
    lows, highs, means = ([row[key] for row in daily] for key in ("low", "high", "mean"))
    axes.fill_between(places, lows, highs, color=NOW, alpha=0.25, linewidth=0)
    marker = "o" if len(places) < 40 else ""
    axes.plot(places, means, color=NOW, linewidth=1.6, marker=marker, markersize=3, label="mean a day, 10 to 90 %")
    axes.set_ylabel("prediction")
    axes.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0)


def _stacked(axes: Axes, places: np.ndarray, daily: Sequence[Mapping[str, Any]], profile: Mapping[str, Any]) -> None:
    before = {name: count / _sum(profile.get("counts", {})) for name, count in profile.get("counts", {}).items()}
    names = sorted({*before, *(name for row in daily for name in row["shares"])}, key=_natural)
    columns = [before, *(row["shares"] for row in daily)]
    floor = np.zeros(len(columns))
    for index, name in enumerate(names):
        heights = np.array([shares.get(name, 0.0) for shares in columns])
        axes.bar(
            np.concatenate([[-1.3], places]),
            heights,
            bottom=floor,
            width=0.7,
            color=CLASSES[index % len(CLASSES)],
            alpha=0.9,
            label=_shown(name) if index < SHOWN else None,
        )
        floor = floor + heights
    axes.axvline(-0.65, color=BEFORE, linewidth=0.8, linestyle=":")
    axes.text(-1.3, 1.02, "reference", ha="center", va="bottom", fontsize=7, color=INK)
    axes.set_ylabel("share of rows")
    axes.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1.02), ncols=6, borderaxespad=0)


def _shown(text: str) -> str:
    return UNSHOWN.sub("\ufffd", text)


def _sum(counts: Mapping[str, int]) -> int:
    return max(1, sum(counts.values()))


def _natural(name: str) -> tuple[int, float, str]:
    """Numbers in their order, then names."""
    try:
        return 0, float(name), name
    except ValueError:
        return 1, 0.0, name


def _figure(width: float, height: float, rows: int = 1, heights: Sequence[float] = (1,)) -> tuple[Figure, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, 1, sharex=rows > 1, gridspec_kw={"height_ratios": list(heights)})
    for part in figure.axes:
        part.spines[["top", "right"]].set_visible(False)
        part.spines[["left", "bottom"]].set_color(INK)
        part.tick_params(labelsize=8, colors=INK)
        part.yaxis.label.set(color=INK, fontsize=8)
        part.patch.set_visible(False)
    return figure, axes


def _svg(figure: Figure, title: str) -> str:
    """The figure as an SVG element: text stays text, and ids are the same at each run."""
    import matplotlib as mpl

    title = _shown(title)
    for axes in figure.axes:
        if legend := axes.get_legend():
            for entry in legend.get_texts():
                entry.set_color(INK)
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": title, "font.family": ["sans-serif"]}):
        target = io.StringIO()
        figure.savefig(target, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    match = re.search(r"<svg.*</svg>", target.getvalue(), re.DOTALL)
    assert match, "matplotlib writes an svg element"
    text = re.sub(r"<metadata>.*?</metadata>", "", match[0], flags=re.DOTALL)
    text = re.sub(r'\sxmlns:xlink="[^"]*"', ' xmlns:xlink="http://www.w3.org/1999/xlink"', text)
    # The same ids in two pictures of one page would mix up their clip paths.
    unique = re.sub(r"\W", "", title)
    text = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{unique}-", text)
    return text.replace(INK, "currentColor").replace("<svg ", f'<svg role="img" aria-label="{_escaped(title)}" ', 1)


def _escaped(text: str) -> str:
    import html

    return html.escape(text, quote=True)
