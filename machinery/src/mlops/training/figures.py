"""What all plots share: colours, axes, titles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops.metrics.measures import Predictions
from mlops.training.evaluation import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours that keep their difference for colour-blind readers (Okabe and Ito 2008).
TRUTH, CANDIDATE, CHAMPION, BASELINE = "#222222", "#0072B2", "#E69F00", "#BBBBBB"


def models_of(evaluation: Evaluation) -> list[tuple[str, Predictions, str]]:
    """Name, predictions and colour of each model, the baseline last."""
    champion = [("champion", evaluation.champion, CHAMPION)] if evaluation.champion else []
    return [("this model", evaluation.candidate, CANDIDATE), *champion, ("baseline", evaluation.baseline, BASELINE)]


def line(name: str, colour: str) -> dict[str, Any]:
    """How a model's line is drawn; the champion's is dashed, so that one below it that is nearly the same is seen."""
    return {"color": colour, "label": name, "linestyle": (0, (4, 3)) if name == "champion" else "-"}


def new_figure(rows: int, columns: int, size: tuple[float, float], **options: Any) -> tuple[Figure, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    sharex, ratios = options.get("sharex", False), options.get("height_ratios")
    axes = figure.subplots(rows, columns, sharex=sharex, gridspec_kw={"height_ratios": ratios} if ratios else None)
    for part in figure.axes:
        part.spines[["top", "right"]].set_visible(False)
        part.tick_params(labelsize=8)
    return figure, axes


def titled(axes: Axes, title: str) -> None:
    """Title on the left and legend on the right of one line above the axes, where no data lie."""
    axes.set_title(title, loc="left", fontsize=10)
    axes.legend(fontsize=8, frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 0.99), borderaxespad=0)
