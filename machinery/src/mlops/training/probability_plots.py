"""Plots of the probability of the class that is looked for: precision against recall, and how well it is calibrated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.metrics.probabilities import curve
from mlops.training.figures import BASELINE, TRUTH, line, models_of, new_figure, titled

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    from mlops.training.evaluation import Evaluation

# Rows of a bin: fewer say little of a share of a few percent.
BIN_ROWS = 50


def precision_recall(evaluation: Evaluation, index: int, called: str) -> Figure:
    """Precision against recall of the class at `index`, with the threshold's place where the model has one."""
    positive, highest = evaluation.truth == index, 0.0
    figure, axes = new_figure(1, 1, (5, 4.4))
    for name, predictions, colour in models_of(evaluation)[:-1]:
        assert predictions.probabilities is not None
        points = curve(positive, predictions.probabilities[:, index])
        axes.step(points.recall, points.precision, linewidth=1.2, where="post", **line(name, colour))
        highest = max(highest, *points.precision)
        flagged = predictions.values == index
        if evaluation.threshold is not None and flagged.any():
            recall, precision = (flagged & positive).sum() / positive.sum(), positive[flagged].mean()
            axes.scatter([recall], [precision], color=colour, zorder=3)
            if name == "this model":
                axes.annotate(f"{evaluation.threshold:.3g}", (recall, precision), (6, 6), textcoords="offset points")
    axes.axhline(positive.mean(), color=BASELINE, linewidth=0.8, linestyle="--")
    axes.set(xlabel="recall (dashed: share of the positives)", ylabel="precision", xlim=(0, 1.02))
    axes.set_ylim(0, min(1.02, highest * 1.15 or 1.02))  # of a rare class all lies far below 1
    titled(axes, f"Precision and recall of {called}")
    return figure


def calibration_of(evaluation: Evaluation, index: int, called: str) -> Figure:
    """How often the class at `index` was true at each stated probability, in bins of equally many rows."""
    import numpy as np

    figure, axes = new_figure(1, 1, (5, 4.4))
    positive, highest = evaluation.truth == index, 0.0
    for name, predictions, colour in models_of(evaluation)[:-1]:
        assert predictions.probabilities is not None
        stated, observed, rows = _bins(predictions.probabilities[:, index], positive)
        axes.plot(stated, observed, linewidth=1.2, marker="o", markersize=4, **line(name, colour))
        error = 1.96 * np.sqrt(np.maximum(observed * (1 - observed), 1 / rows) / rows)
        axes.vlines(stated, np.maximum(observed - error, 0), np.minimum(observed + error, 1), color=colour, linewidth=0.8)
        highest = max(highest, *stated, *observed)
    end = min(1.0, highest * 1.15 or 1.0)
    axes.plot([0, end], [0, end], color=TRUTH, linewidth=0.8, label="calibrated")
    axes.set(xlabel=f"probability of {called} (bars: 95 %)", ylabel="share that was true")
    axes.set(xlim=(0, end), ylim=(0, end))
    titled(axes, "Calibration")
    return figure


def _bins(scores: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean score, share of positives and rows of each bin."""
    import numpy as np

    parts = np.array_split(np.argsort(scores, kind="stable"), max(1, min(10, len(scores) // BIN_ROWS)))
    stated, observed = ([float(values[part].mean()) for part in parts] for values in (scores, positive))
    return np.array(stated), np.array(observed), np.array([len(part) for part in parts])
