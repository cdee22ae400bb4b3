"""What a run of notebooks tells: seconds of each cell, and the failing cell as Markdown and as an annotation."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlops import runner
from mlops.notebooks import content, export, review
from mlops.notebooks.execution import Execution

if TYPE_CHECKING:
    from mlops.notebooks.rules import Fault

SUMMARY_LIMIT = 200_000  # characters; the summary of a step holds 1,024 kB
TRACEBACK_LINES = 60
ANNOTATION_LINES = 12

WHERE = re.compile(r"cell (\d+)(?:, line (\d+))?")


def markdown(results: Sequence[Execution], limit: int = SUMMARY_LIMIT) -> str:
    """Return the run as GitHub Markdown: seconds by notebook and by cell, and of each failure source and traceback."""
    lines = ["## Notebooks run", "", "| notebook | result | seconds | slowest cells |", "|---|---|--:|---|"]
    lines.extend(_row(result) for result in results)
    parts = ["\n".join(lines) + "\n"]
    for block in [*map(_failure_block, results), *map(_times_block, results)]:
        if sum(map(len, parts)) + len(block) <= limit:
            parts.append(block)
    return content.as_written("\n".join(part for part in parts if part)).decode()


def annotate(results: Sequence[Execution]) -> None:
    """Name each notebook that failed on the page of the pull request, at the line of its committed script."""
    for result in results:
        if not result.error:
            continue
        words = result.error
        if result.failure:
            shown = result.failure.traceback.splitlines()[-ANNOTATION_LINES:]
            words = "\n".join([result.error, "", *shown])
        number, line = (result.failure.cell, result.failure.line) if result.failure else (None, None)
        place(Path(result.notebook), words, number, line, title=f"{Path(result.notebook).name}: {result.error}"[:200])


def annotate_faults(faults: Sequence[Fault]) -> None:
    """Name each broken rule on the page of the pull request, at the line of the committed script where it has one."""
    for fault in faults:
        match = WHERE.match(fault.where)
        cell, line = (int(match[1]), int(match[2] or 1)) if match else (None, None)
        place(
            Path(fault.notebook),
            f"{fault.where}: {fault.what}; {fault.hint}",
            cell,
            line,
            title=f"{fault.rule}: {fault.where}",
        )


def place(path: Path, message: str, cell: int | None, line: int | None, title: str) -> None:
    """Write an error of a notebook as an annotation: on its script, where that is in step, else on the notebook."""
    file, number = path, None
    script = path.parent / path.stem / f"{path.stem}.py"
    if cell is not None and script.is_file():
        file, number = script, export.line_of(content.read(path), cell, line or 1)
    workspace = os.environ.get("GITHUB_WORKSPACE") or os.getcwd()
    runner.annotation(message, os.path.relpath(file.resolve(), os.path.realpath(workspace)), number, title)


def _row(result: Execution) -> str:
    slowest = sorted(result.cells.items(), key=lambda item: -item[1])[:3]
    cells = ", ".join(f"{number} ({seconds:.1f} s)" for number, seconds in slowest if seconds >= 0.05)
    words = review.inline(result.error[:200]) if result.error else "ran"
    if result.differing and not result.error:
        words += ", outputs differ in " + ", ".join(f"cell {number}" for number in result.differing[:20])
    return f"| {review.inline(result.notebook)} | {words} | {result.seconds:.1f} | {cells} |"


def _failure_block(result: Execution) -> str:
    if not result.failure:
        return ""
    problem = result.failure
    lines = problem.traceback.splitlines()
    shown = lines if len(lines) <= TRACEBACK_LINES else [*lines[:10], "…", *lines[10 - TRACEBACK_LINES :]]
    source = problem.source.splitlines()
    numbered = [f"{'>' if number == problem.line else ' '} {number:3} {line}" for number, line in enumerate(source, 1)]
    where = f"cell {problem.cell}" + (f", line {problem.line}" if problem.line else "")
    parts = [f"### {review.inline(result.notebook)}, {where}\n\n{review.fenced(chr(10).join(numbered), 'text')}"]
    if shown:
        parts.append(f"\n{review.fenced(chr(10).join(shown), 'text')}")
    return "".join(parts)


def _times_block(result: Execution) -> str:
    if not result.cells:
        return ""
    rows = "\n".join(f"| {number} | {seconds:.2f} |" for number, seconds in result.cells.items())
    heading = f"<details><summary>Seconds of each cell of {html.escape(result.notebook)}</summary>"
    return f"{heading}\n\n| cell | seconds |\n|--:|--:|\n{rows}\n\n</details>\n"
