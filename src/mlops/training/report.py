"""The report of a candidate: Markdown that reads well as a GitHub summary, plots, and the same as JSON."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops import files
from mlops.config import Project
from mlops.training import plots
from mlops.training.candidate import Candidate
from mlops.training.evaluate import Evaluation
from mlops.training.gate import Verdict

if TYPE_CHECKING:
    from mlops.use_case import UseCase

WORDS = {
    "better": "better than champion {}",
    "equal": "no difference from champion {} that the holdout can tell",
    "worse": "worse than champion {}",
    "first": "no champion yet: limits and baseline decide",
    "new question": "the champion answers another question: limits and baseline decide",
}


def folder(project: Project, candidate: Candidate) -> Path:
    """Where the report of a candidate lies."""
    return project.output / "reports" / candidate.use_case / candidate.key[:16]


def write(project: Project, use_case: UseCase, candidate: Candidate, evaluation: Evaluation, notes: list[str]) -> Path:
    """Write report.md, report.json and the plots; returns the path of report.md.

    notes: sentences on what could not be compared, such as a champion that this run may not read.
    """
    place = folder(project, candidate)
    drawn = plots.draw(use_case, evaluation, place / "plots")
    files.write_json(place / "report.json", as_value(candidate, evaluation, notes))
    files.write_text(place / "report.md", markdown(candidate, evaluation, notes, [file.name for file in drawn]))
    return place / "report.md"


def as_value(candidate: Candidate, evaluation: Evaluation, notes: list[str]) -> dict[str, Any]:
    """The report as a value that JSON can hold."""
    manifest = candidate.manifest
    facts = {name: manifest[name] for name in ("use_case", "description", "key", "parts", "git", "data", "rows", "made")}
    return {
        **facts,
        "parameters": manifest["config"]["parameters"],
        "champion": evaluation.champion_number,
        "verdict": asdict(evaluation.verdict),
        "notes": notes,
    }


def table(verdict: Verdict) -> list[tuple[Any, ...]]:
    """One row a metric: metric, this model, champion, baseline, limit, verdict."""
    return [(row.metric, row.candidate, row.champion, row.baseline, row.limit, row.verdict) for row in verdict.rows]


HEAD = ("metric", "this model", "champion", "baseline", "limit", "verdict")


def markdown(candidate: Candidate, evaluation: Evaluation, notes: list[str], drawn: list[str]) -> str:
    """The report as GitHub-flavoured Markdown; the plots are linked below `plots/`."""
    lines = [summary(candidate, evaluation, notes), ""]
    lines += [f"![{name.removesuffix('.png')}](plots/{name})" for name in drawn]
    lines += ["", "<details><summary>What it was made from</summary>", "", "| | |", "|:--|:--|"]
    lines += [_row(pair) for pair in _facts(candidate.manifest)]
    return "\n".join([*lines, "", "</details>", ""])


def summary(candidate: Candidate, evaluation: Evaluation, notes: list[str]) -> str:
    """The verdict in Markdown with the reasons and the table of metrics; it stands on its own, without a file beside it."""
    manifest, verdict = candidate.manifest, evaluation.verdict
    sign = "✅ passes the gate" if verdict.passed else "❌ refused by the gate"
    lines = [f"## {candidate.use_case}: {sign}", "", f"{manifest['description']}. {_comparison(evaluation)}", ""]
    said = [*(f"- ❌ {reason}" for reason in verdict.reasons), *(f"- {note}" for note in notes)]
    lines += [*said, ""] if said else []
    return "\n".join([*lines, _row(HEAD), "|:--|--:|--:|--:|:--|:--|", *(_row(_cells(row)) for row in table(verdict))])


def _comparison(evaluation: Evaluation) -> str:
    verdict = evaluation.verdict
    words = WORDS[verdict.word].format(evaluation.champion_number)
    if verdict.interval is None:
        return f"Judgement: {words}."
    low, high = verdict.interval
    improvement = f"improvement {low:+.4f} to {high:+.4f}, 95 % interval on the same rows"
    return f"Judgement: {words} ({improvement})."


def _facts(manifest: dict[str, Any]) -> list[tuple[str, str]]:
    state = " with uncommitted changes" if manifest["git"]["dirty"] else ""
    rows = manifest["rows"]
    return [
        ("key", f"`{manifest['key'][:16]}`"),
        ("commit", f"`{manifest['git']['sha'][:12]}` on {manifest['git']['branch']}{state}"),
        ("rows", f"{rows['training']} training, {rows['holdout']} holdout"),
        *((f"data {item['file']}", f"{item['rows']} rows, `{item['sha256'][:16]}`") for item in manifest["data"]),
        *((name, f"`{digest[:16]}`") for name, digest in manifest["parts"].items()),
        *((name, str(value)) for name, value in manifest["config"]["parameters"].items()),
    ]


def _cells(row: tuple[Any, ...]) -> list[str]:
    return ["–" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value) for value in row]


def _row(cells) -> str:
    return f"| {' | '.join(' '.join(str(cell).split()).replace('|', chr(92) + '|') for cell in cells)} |"
