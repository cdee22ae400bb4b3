"""What the executed copy of a notebook tells: the notebook's own cells, the seconds of each, and the one that failed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from mlops.notebooks import review
from mlops.notebooks.content import Cell, Notebook

# Cells that papermill adds to the executed copy: the heading of a failure, and the parameters of this run.
ADDED = {"papermill-error-cell-tag", "injected-parameters"}
PLACE = re.compile(r"Cell In\[\d+\], line (\d+)|<(?:timed|magic-timeit)[^>]*>:(\d+)")


@dataclass(frozen=True)
class Failure:
    """The cell that failed: its number from 1, its source, the traceback and the line of the source, where one is known."""

    cell: int
    source: str
    traceback: str
    line: int | None


def own_cells(executed: Notebook) -> list[Cell]:
    """Return the cells of an executed copy that the notebook itself has, in its order."""
    return [cell for cell in executed["cells"] if not ADDED & {*cell["metadata"].get("tags", [])}]


def cell_seconds(executed: Notebook) -> dict[int, float]:
    """Return the seconds that each code cell took, by its number; a cell that was not run has none."""
    code = ((number, cell) for number, cell in enumerate(own_cells(executed), 1) if cell["cell_type"] == "code")
    times = {number: _note(cell).get("duration") for number, cell in code}
    return {number: round(float(seconds), 3) for number, seconds in times.items() if seconds is not None}


def failure(executed: Notebook) -> Failure | None:
    """Return the cell that ended the run, by an error, a time limit or a kernel that died; None where no cell did."""
    for number, cell in enumerate(own_cells(executed), 1):
        note = _note(cell)
        if not note.get("exception") and note.get("status") != "running":
            continue
        errors = [output for output in cell.get("outputs", []) if output.get("output_type") == "error"]
        traceback = review.ANSI.sub("", "\n".join(errors[-1].get("traceback") or [])) if errors else ""
        return Failure(number, cell["source"], traceback, _line(traceback))
    return None


@dataclass(frozen=True)
class Execution:
    """One notebook that was run: seconds, the error (None: it ran), where the executed copy is, cells whose outputs differ.

    cells: the seconds of each code cell, by its number. failure: the cell that ended the run.
    """

    notebook: str
    seconds: float
    error: str | None
    copy: str | None
    differing: list[int]
    cells: dict[int, float] = field(default_factory=dict)
    failure: Failure | None = None


def _note(cell: Cell) -> dict[str, Any]:
    return cell["metadata"].get("papermill") or {}


def _line(traceback: str) -> int | None:
    """The last line of the cell itself that the traceback passes; below %%time IPython counts without the magic's line."""
    found = PLACE.findall(traceback)
    plain, below = found[-1] if found else ("", "")
    return int(plain) if plain else int(below) + 1 if below else None
