"""Plots that suit the problem, drawn from an evaluation. Each function returns a matplotlib Figure; `draw` saves them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops import files
from mlops.training.evaluation import Evaluation
from mlops.training.figures import BASELINE, CANDIDATE, TRUTH, line, models_of, new_figure, titled

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    from mlops.use_case import UseCase


def draw(use_case: UseCase, evaluation: Evaluation, folder: Path) -> list[Path]:
    """Save the plots of an evaluation as PNG files; returns them in the order in which a reader wants them."""
    target = label(use_case)
    if use_case.config.task == "regression":
        figures = {"residuals": residuals(evaluation, target)}
        if use_case.config.split.method == "time" and (column := use_case.config.split.column):
            figures = {"forecast": forecast(column, evaluation, target), **figures}
    elif use_case.config.target.positive is None:
        figures = {"confusion": confusion(evaluation, target), "calibration": calibration(evaluation)}
    else:
        figures = _of_positive(evaluation, use_case.config.target.positive, target)
    written = []
    for name, figure in figures.items():
        file = folder / f"{name}.png"
        with files.replacing(file) as temporary:
            figure.savefig(temporary, dpi=110, metadata={"Software": None})
        written.append(file)
    return written


def label(use_case: UseCase) -> str:
    """What the target is called on an axis: the title of its column in the schema, which may say the unit; else its name."""
    column = use_case.config.target.column
    described = use_case.schema("processed").columns.get(column)
    return str(described.title or column) if described is not None else column


def _of_positive(evaluation: Evaluation, positive: Any, target: str) -> dict[str, Figure]:
    from mlops.metrics.probabilities import index_of
    from mlops.training import probability_plots

    assert evaluation.classes is not None
    index = index_of(positive, evaluation.classes, "target.positive")
    name = positive if isinstance(positive, str) else f"{target} = {positive}"
    return {
        "confusion": confusion(evaluation, target),
        "precision_recall": probability_plots.precision_recall(evaluation, index, name),
        "calibration": probability_plots.calibration_of(evaluation, index, name),
    }


def forecast(column: str, evaluation: Evaluation, target: str) -> Figure:
    """Truth and prediction over time, and the absolute error below, as a mean over seven rows."""
    import pandas as pd

    time = evaluation.holdout[column]
    figure, (above, below) = new_figure(2, 1, (10, 6), height_ratios=[3, 2], sharex=True)
    above.plot(time, evaluation.truth, color=BASELINE, linewidth=2, label="truth")
    above.plot(time, evaluation.candidate.values, color=CANDIDATE, linewidth=0.8, label="this model")
    above.set_ylabel(target)
    titled(above, "Holdout: truth and prediction")
    for name, predictions, colour in models_of(evaluation):
        error = pd.Series(abs(predictions.values - evaluation.truth)).rolling(7, min_periods=1).mean()
        below.plot(time, error, linewidth=1.2, **line(name, colour))
    below.set_ylabel(f"absolute error, {target}")
    titled(below, "Absolute error, mean of seven days")
    return figure


def residuals(evaluation: Evaluation, target: str) -> Figure:
    """Prediction against truth, and how the errors spread."""
    import numpy as np

    figure, (left, right) = new_figure(1, 2, (10, 4))
    truth, predictions = evaluation.truth, evaluation.candidate.values
    left.scatter(truth, predictions, s=6, color=CANDIDATE, alpha=0.5)
    left.axline((float(truth[0]), float(truth[0])), slope=1, color=TRUTH, linewidth=0.8)
    left.set(xlabel=f"truth, {target}", ylabel=f"prediction, {target}")
    left.set_title("Prediction against truth", loc="left", fontsize=10)
    errors = [(name, by.values - truth, colour) for name, by, colour in models_of(evaluation)]
    # The same bins for all, so that heights can be compared; what is not a number is in none.
    bins = _bins(np.concatenate([error for _, error, _ in errors]))
    for name, error, colour in (errors[-1], *errors[:-1]):
        right.hist(error, bins=bins, histtype="step", linewidth=1.4, **line(name, colour))
    right.axvline(0, color=TRUTH, linewidth=0.8)
    right.set(xlabel=f"prediction - truth, {target}", ylabel="rows")
    titled(right, "Errors")
    return figure


def confusion(evaluation: Evaluation, target: str = "") -> Figure:
    """How often each class was taken for which, in rows of the holdout."""
    import numpy as np

    assert evaluation.classes is not None
    size = len(evaluation.classes)
    counts = np.bincount(evaluation.truth * size + evaluation.candidate.values, minlength=size * size).reshape(size, size)
    highest = int(np.max(counts))
    figure, axes = new_figure(1, 1, (5, 4.4))
    axes.imshow(counts, cmap="Blues")
    for row, column in np.ndindex(counts.shape):
        dark = counts[row, column] > highest / 2
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", color="white" if dark else TRUTH)
    of = f", {target}" if target else ""
    axes.set(xticks=range(size), yticks=range(size), xlabel=f"prediction{of}", ylabel=f"truth{of}")
    many = max(len(str(name)) for name in evaluation.classes) * size > 50
    axes.set_xticklabels(evaluation.classes, rotation=90 if many else 0)
    axes.set_yticklabels(evaluation.classes)
    at = "" if evaluation.threshold is None else f", threshold {evaluation.threshold:.3g}"
    axes.set_title(f"Confusion on the holdout{at}", loc="left", fontsize=10)
    return figure


def calibration(evaluation: Evaluation, bins: int = 10) -> Figure:
    """How often the class was right at each stated probability: a calibrated model lies on the diagonal."""
    import numpy as np

    figure, axes = new_figure(1, 1, (5, 4.4))
    axes.plot([0, 1], [0, 1], color=TRUTH, linewidth=0.8, label="calibrated")
    for name, predictions, colour in models_of(evaluation)[:-1]:
        assert predictions.probabilities is not None
        confidence, right = predictions.probabilities.max(axis=1), predictions.values == evaluation.truth
        places = np.minimum((confidence * bins).astype(int), bins - 1)
        filled = [place for place in range(bins) if (places == place).any()]
        stated = [confidence[places == place].mean() for place in filled]
        shares = [right[places == place].mean() for place in filled]
        rows = [int((places == place).sum()) for place in filled]
        axes.plot(stated, shares, linewidth=1.2, **line(name, colour))
        axes.scatter(stated, shares, s=[12 + 200 * number / len(places) for number in rows], color=colour)
        if name == "this model":
            for x, y, number in zip(stated, shares, rows, strict=True):
                axes.annotate(str(number), (x, y), (0, -14), textcoords="offset points", ha="center", fontsize=8)
    axes.set(
        xlabel="probability of the predicted class (numbers: rows)",
        ylabel="share that was right",
        xlim=(0, 1.05),
        ylim=(-0.05, 1.05),
    )
    titled(axes, "Calibration")
    return figure


def _bins(values: np.ndarray, number: int = 60) -> np.ndarray:
    """The edges of equal bins over the numbers among the values."""
    import numpy as np

    return np.histogram_bin_edges(values[np.isfinite(values)], number)
