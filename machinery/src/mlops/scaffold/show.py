"""What `mlops add` decided, as a person reads it on the screen and as a program does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlops.scaffold.add import Added
from mlops.scaffold.choose import metrics_of
from mlops.scaffold.understand import Table
from mlops.scaffold.write import columns_of

# Rows of the table on the screen; the page of the use case has all of them.
MOST = 60


def shortened(table: Table) -> list[tuple[Any, ...]]:
    """The columns, those first that are more than an input among many where there are too many for a screen."""
    rows: list[tuple[Any, ...]] = list(columns_of(table))
    if len(rows) <= MOST:
        return rows
    special = [row for row in rows if row[4] != "input"]
    shown = [*special[:MOST], *(row for row in rows if row[4] == "input")][:MOST]
    return [*shown, (f"… and {len(rows) - len(shown)} more", "", None, None, "see the page of the use case")]


def scores(added: Added) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
    """Head and rows of the table of candidates; the chosen one is marked."""
    metrics, choice = metrics_of(added.table), added.choice
    rows: list[tuple[Any, ...]] = []
    for model, values in choice.scores.items():
        mark = "chosen" if model == choice.candidate.name else ""
        rows.append((model, *(values[metric] for metric in metrics), mark))
    rows += [(model, *[None] * len(metrics), why) for model, why in choice.passed_over.items()]
    return ("model", *metrics, f"{choice.rows} rows, {choice.seconds:.0f} s"), rows


def warnings(added: Added) -> list[str]:
    """What may keep the model from passing the gate."""
    if added.choice.better:
        return []
    return ["no estimator beats the baseline here, so the gate will refuse it: look for columns that tell more of the target"]


def as_value(added: Added) -> dict[str, Any]:
    """All of it as JSON can hold it."""
    table, choice = added.table, added.choice
    return {
        "use_case": added.name,
        "task": table.task,
        "target": table.target,
        "key": table.key,
        "time": table.time,
        "group": table.group,
        "split": table.split,
        "columns": [
            dict(zip(("column", "kind", "missing", "different", "use"), row, strict=True)) for row in columns_of(table)
        ],
        "left_out": table.left_out,
        "notes": [*table.notes, *warnings(added)],
        "read": table.read.model_dump(),
        "estimator": choice.candidate.name,
        "scores": choice.scores,
        "files": added.files,
        "lines": added.lines,
        "next": f"mlops run {added.name}",
    }


def run_notebook(name: str) -> str:
    """Run the notebook of a new use case and keep its outputs; returns why it was not, nothing where it was."""
    import importlib.util

    missing = [tool for tool in ("papermill", "ipykernel", "nbconvert") if importlib.util.find_spec(tool) is None]
    if missing:
        return f"{missing[0]} is not installed: make setup"
    from mlops.config import find_root
    from mlops.notebooks import execute

    root = find_root()
    done = list(
        execute.run([root / "notebooks" / f"01_explore_{name}.ipynb"], root / "output" / "notebooks", write=True, store=False)
    )
    return next((one.error for one in done if one.error), "")
