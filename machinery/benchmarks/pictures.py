"""The picture of each use case's page, drawn from a run: a project with all of them is created, trained and studied.

    python -m benchmarks.pictures [iris taxi …] [--to DIR]

A picture lies beside the page that shows it, as SVG: grey text and lines on no ground, so that light and dark suit it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.dates import ConciseDateFormatter
from matplotlib.figure import Figure

from mlops.project import shipped

ROOT = Path(__file__).parents[2]
GREY, BLUE, ORANGE, GREEN = "#808080", "#0072B2", "#D55E00", "#009E73"
# Inches; no wider, so that its words can be read on a phone.
SIZE = (5.4, 3.6)
COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9")
GIT = {f"GIT_{who}_{what}": "pictures@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
SETTINGS = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "pictures",  # the same bytes each time
    "font.size": 12,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), GREY),
    "axes.prop_cycle": matplotlib.cycler(color=COLOURS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


def main() -> None:
    """Draw the pictures, and say where they are and how large."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(PICTURES), help="use cases; default: all")
    parser.add_argument("--to", type=Path, help="a folder; default: beside each page")
    arguments = parser.parse_args()
    names = arguments.names
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "project"
        create(root, names)
        for name in names:
            file = arguments.to / f"{name}.svg" if arguments.to else place(name)
            with matplotlib.rc_context(SETTINGS):
                write(PICTURES[name](root, name), file)
            print(f"{file}: {file.stat().st_size / 1000:.0f} kB")


def create(root: Path, names: list[str]) -> None:
    """A project with the use cases, each trained."""
    for path, content in shipped.first().items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    for name in names:
        run(root, sys.executable, "-m", "mlops", "add", name, "--like", name)
    run(root, "git", "init", "--quiet", "--initial-branch=main")
    run(root, "git", "add", "--all")
    run(root, "git", "commit", "--quiet", "--message", "Use cases")
    for name in names:
        run(root, sys.executable, "-m", "mlops", "run", name)


def run(root: Path, *command: str) -> str:
    """What a command prints, run in the project; raises SystemExit with its error."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLOPS", "MLFLOW", "PYTHON"))}
    variables = {**kept, **GIT, "PYTHONPATH": str(root / "src"), "MLOPS_PROJECT": str(root)}
    done = subprocess.run(command, cwd=root, env=variables, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def place(name: str) -> Path:
    """Where the picture lies, beside the page of the use case."""
    example = ROOT / "machinery" / "examples" / name
    return (example if example.is_dir() else ROOT) / "docs" / f"{name}.svg"


def write(figure: Figure, file: Path) -> None:
    """Save as SVG without a time, with lines that end without blanks."""
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = re.sub("'DejaVu Sans', .*?sans-serif", "'DejaVu Sans', Verdana, sans-serif", file.read_text(encoding="utf-8"))
    file.write_text("".join(f"{line.rstrip()}\n" for line in text.splitlines()), encoding="utf-8")


def new_figure(**labels: Any) -> tuple[Figure, Any]:
    """A figure of one plot."""
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.subplots()
    axes.set(**labels)
    return figure, axes


def holdout(root: Path, name: str) -> pd.DataFrame:
    """The holdout rows with what was predicted of them."""
    (file,) = (root / "output" / "candidates" / name).glob("*/holdout.parquet")
    return pd.read_parquet(file)


def ridership(root: Path, name: str) -> Figure:
    """Ten weeks around the turn of the year: truth, model, and the same weekday 14 days before."""
    rows = holdout(root, name)
    rows = rows[rows["date"].between("2015-11-15", "2016-01-24")]
    figure, axes = new_figure(ylabel="rides (thousands a day)")
    axes.plot(rows["date"], rows["__target__"], color=GREY, linewidth=3.5, alpha=0.6, label="truth")
    axes.plot(rows["date"], rows["__prediction__"], color=BLUE, linewidth=1.4, label="model")
    axes.plot(rows["date"], rows["__baseline__"], color=ORANGE, linewidth=1.1, linestyle=":", label="14 days before")
    axes.set_ylim(0)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(axes.xaxis.get_major_locator()))
    figure.legend(loc="outside upper right", ncols=3)
    return figure


def iris(root: Path, name: str) -> Figure:
    """The petals of the holdout's flowers by species; a ring is around those that are predicted as another one."""
    rows = holdout(root, name)
    figure, axes = new_figure(xlabel="petal length (cm)", ylabel="petal width (cm)")
    for (species, flowers), marker in zip(rows.groupby("__target__"), "os^", strict=True):
        axes.plot(flowers["petal_length"], flowers["petal_width"], marker, markersize=6, alpha=0.8, label=species)
    wrong = rows[rows["__target__"] != rows["__prediction__"]]
    ring = {"markersize": 13, "markerfacecolor": "none", "markeredgecolor": GREY, "markeredgewidth": 1.5}
    axes.plot(wrong["petal_length"], wrong["petal_width"], "o", **ring, label=f"wrong: {len(wrong)} of {len(rows)}")
    figure.legend(loc="outside upper right", ncols=2)
    return figure


def customers(root: Path, name: str) -> Figure:
    """The cost of a loan at each threshold, that of granting all, and the threshold that training took."""
    from mlops.config import load_project, load_use_case_config

    rows, config = holdout(root, name), load_use_case_config(load_project(root), name)
    costs = config.model_dump(mode="json")["costs"]
    bad, score = rows["__target__"].to_numpy() == "bad", rows["__probability_bad__"].to_numpy()
    thresholds = np.linspace(0, 0.2, 201)
    refused = score >= thresholds[:, None]
    cost = (costs["bad"]["good"] * (bad & ~refused) + costs["good"]["bad"] * (~bad & refused)).mean(axis=1)
    (file,) = (root / "output" / "candidates" / name).glob("*/manifest.json")
    threshold = float(json.loads(file.read_text(encoding="utf-8"))["threshold"]["value"])
    figure, axes = new_figure(xlabel="refused from this probability on", ylabel="cost of a loan", xlim=(0, 0.2))
    axes.locator_params(axis="x", nbins=5)
    axes.plot(thresholds, cost, color=BLUE, label="model")
    axes.axhline(costs["bad"]["good"] * bad.mean(), color=ORANGE, linestyle="--", linewidth=1, label="granting all")
    axes.axvline(threshold, color=GREEN, linestyle=":", linewidth=1.5, label=f"threshold of training, {threshold:.3f}")
    figure.legend(loc="outside upper right", ncols=2)
    return figure


def taxi(root: Path, name: str) -> Figure:
    """The share of the planted rides among the first so many of the list, against the longest rides and chance."""
    rows = holdout(root, name)
    planted = (rows["__target__"] == "yes").to_numpy()
    looked = np.arange(1, len(rows) + 1) / len(rows)
    figure, axes = new_figure(xlabel="share of the rides that somebody looks at", ylabel="planted rides among them")
    for label, column, colour in (("model", "__probability_yes__", BLUE), ("longest first", "distance", ORANGE)):
        order = np.argsort(-rows[column].to_numpy(), kind="stable")
        first = looked <= 0.3
        axes.plot(looked[first], (np.cumsum(planted[order]) / planted.sum())[first], color=colour, label=label)
    axes.plot([0, 0.3], [0, 0.3], color=GREY, linestyle="--", linewidth=1, label="chance")
    axes.axvline(0.02, color=GREEN, linestyle=":", linewidth=1.5, label="the list: 2 %")
    axes.set(xlim=(0, 0.3), ylim=(0, 1))
    figure.legend(loc="outside upper right", ncols=2)
    return figure


def messages(root: Path, name: str) -> Figure:
    """Precision over recall of spam at each threshold, with the model's own and with the rule that it has to beat."""
    from sklearn.metrics import precision_recall_curve, precision_score, recall_score

    rows = holdout(root, name)
    spam = rows["__target__"] == "spam"
    precision, recall, _ = precision_recall_curve(spam, rows["__probability_spam__"])
    figure, axes = new_figure(xlabel="recall of spam", ylabel="precision of spam", xlim=(0.5, 1.01), ylim=(0.5, 1.02))
    axes.plot(recall, precision, color=BLUE, label="model, at each threshold")
    points = (
        ("__prediction__", BLUE, "o", "model, as it decides"),
        ("__baseline__", ORANGE, "s", "holds a number of five digits"),
    )
    for column, colour, marker, label in points:
        found = rows[column] == "spam"
        axes.plot(recall_score(spam, found), precision_score(spam, found), marker, color=colour, markersize=8, label=label)
    figure.legend(loc="outside upper right")
    return figure


def study(root: Path, name: str) -> Figure:
    """The figures of `mlops study`: a line a rule or model."""
    from mlops.registry.study import draw

    result = json.loads(run(root, sys.executable, "-m", "mlops", "study", name, "--json"))
    figure = draw(result["trials"], result["metric"])
    figure.set_size_inches(*SIZE)
    return figure


PICTURES: dict[str, Callable[[Path, str], Figure]] = {
    "ridership": ridership,
    "iris": iris,
    "points": study,
    "customers": customers,
    "messages": messages,
    "stocks": study,
    "taxi": taxi,
}

if __name__ == "__main__":
    main()
