"""The report of a candidate: Markdown that reads well as a GitHub summary, plots, and the same as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops import files
from mlops.config import Project
from mlops.console import digits
from mlops.training import importance, plots
from mlops.training.candidate import Candidate
from mlops.training.evaluation import Evaluation
from mlops.training.findings import Finding
from mlops.training.gate import Verdict

if TYPE_CHECKING:
    from mlops.use_case import UseCase

WORDS = {
    "better": "better than {}",
    "equal": "no difference from {} that the holdout can tell",
    "worse": "worse than {}",
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
    facts = {name: manifest[name] for name in ("use_case", "description", "key", "parts", "git", "data", "rows", "created")}
    return {
        **facts,
        "parameters": manifest["config"]["parameters"],
        **{name: manifest[name] for name in ("threshold", "coverage", "importance") if name in manifest},
        "champion": evaluation.champion_number,
        "verdict": asdict(evaluation.verdict),
        **({"checks": [asdict(check) for check in evaluation.checks]} if evaluation.checks else {}),
        "notes": notes,
    }


def table(verdict: Verdict) -> list[tuple[Any, ...]]:
    """One row a metric: metric, this model, champion, baseline, limit, verdict."""
    return [(row.metric, row.candidate, row.champion, row.baseline, row.limit, row.verdict) for row in verdict.rows]


CHART = '{xyChart: {width: 600, height: 200}, themeVariables: {xyChart: {plotColorPalette: "#0072B2, #D55E00"}}}'
HEAD = ("metric", "this model", "champion", "baseline", "limit", "verdict")


def markdown(candidate: Candidate, evaluation: Evaluation, notes: list[str], drawn: list[str]) -> str:
    """The report as GitHub-flavoured Markdown; the plots are linked below `plots/`.

    A summary page shows no pictures of a run, but it draws Mermaid: so the primary metric has a chart as well.
    """
    lines = [summary(candidate, evaluation, notes), "", *chart(candidate, evaluation), ""]
    lines += [f"![{name.removesuffix('.png')}](plots/{name})" for name in drawn]
    if losses := candidate.manifest.get("importance"):
        metric = next(name for name, rule in candidate.manifest["config"]["metrics"].items() if rule["primary"])
        lines += ["", "<details><summary>What it relies on</summary>", "", *importance.table(losses, metric), "", "</details>"]
    lines += ["", "<details><summary>What it was made from</summary>", "", "| | |", "|:--|:--|"]
    lines += [_row(pair) for pair in _facts(candidate.manifest)]
    return "\n".join([*lines, "", "</details>", ""])


def chart(candidate: Candidate, evaluation: Evaluation) -> list[str]:
    """Lines of a Mermaid chart of the primary metric: a bar for this model, champion and baseline, a line for the limit.

    No lines where the model's value is no number.
    """
    metrics = candidate.manifest["config"]["metrics"]
    row = next(row for row in evaluation.verdict.rows if metrics[row.metric]["primary"])
    named = {"this model": row.candidate, f"champion {evaluation.champion_number}": row.champion, "baseline": row.baseline}
    bars = {name: value for name, value in named.items() if value is not None and math.isfinite(value)}
    limit = metrics[row.metric]["limit"]
    if "this model" not in bars:
        return []
    seen = [0.0, *bars.values(), *([limit] if limit is not None else [])]
    lines = ["```mermaid", "---", f"config: {CHART}", "---", "xychart-beta horizontal"]
    lines += [f"  x-axis [{', '.join(_quoted(name) for name in bars)}]"]
    lines += [f"  y-axis {_quoted(row.metric)} {min(seen):.6g} --> {max(seen) * 1.05 or 1:.6g}"]
    lines += [f"  bar [{', '.join(f'{value:.6g}' for value in bars.values())}]"]
    lines += [f"  line [{', '.join([f'{limit:.6g}'] * len(bars))}]"] if limit is not None else []
    direction = {"higher": "higher is better", "lower": "lower is better", "zero": "nearer to 0 is better"}
    legend = "; line: the limit" if limit is not None else ""
    return [*lines, "```", "", f"{row.metric}: {direction[metrics[row.metric]['direction']]}{legend}."]


def _quoted(text: str) -> str:
    return '"' + text.replace('"', "'") + '"'


def summary(candidate: Candidate, evaluation: Evaluation, notes: list[str]) -> str:
    """The verdict in Markdown with the reasons and the table of metrics; it stands on its own, without a file beside it."""
    manifest, verdict = candidate.manifest, evaluation.verdict
    lines = [f"## {candidate.use_case}: {_sign(verdict)}", ""]
    excused = [f"- ⚠ acknowledged: {item.rule} {_step(item)}({item.reason})" for item in verdict.findings if item.reason]
    lines += [*excused, ""] if excused else []
    lines += [f"{manifest['description']}. {_comparison(evaluation)}", ""]
    reasons = [f"- {'' if verdict.expected else '❌ '}{reason}" for reason in verdict.reasons]
    reasons += [
        *(f"- {item.rule}: {item.detail}" for item in verdict.findings if not item.blocks),
        *(f"- {note}" for note in notes),
    ]
    lines += [*reasons, ""] if reasons else []
    lines += [_row(HEAD), "|:--|--:|--:|--:|:--|:--|", *(_row(_cells(row)) for row in table(verdict))]
    return "\n".join([*lines, *_checks(evaluation)])


def _sign(verdict: Verdict) -> str:
    if verdict.expected:
        return "✅ refused, as expected: the baseline is the champion"
    return "✅ passes the gate" if verdict.passed else "❌ refused by the gate"


def _checks(evaluation: Evaluation) -> list[str]:
    """The table of what is checked beside metrics; nothing where the configuration asks for none."""
    if not evaluation.checks:
        return []
    rows = [(item.name, item.value, item.limit, item.rows, "passes" if item.passes else "❌") for item in evaluation.checks]
    head = ["", _row(("check", "value", "limit", "rows", "verdict")), "|:--|--:|:--|--:|:--|"]
    return [*head, *(_row(_cells(row)) for row in rows)]


def _step(item: Finding) -> str:
    return f"from {item.old} to {item.new} " if item.old is not None or item.new is not None else f"{item.detail} "


def _comparison(evaluation: Evaluation) -> str:
    verdict = evaluation.verdict
    number = evaluation.champion_number
    words = WORDS[verdict.word].format(f"champion {number}" if number else "the baseline (here the champion)")
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
        *_threshold(manifest),
    ]


def _threshold(manifest: dict[str, Any]) -> list[tuple[str, str]]:
    """The row of the threshold, where the model has one."""
    threshold = manifest.get("threshold")
    if not threshold:
        return []
    least = f" {threshold['at_least']:g}" if threshold.get("at_least") else ""
    chosen = f", by rule {threshold['rule']}{least} on {threshold['rows']} training rows" if threshold.get("rule") else ""
    return [("threshold", f"{threshold['value']:.6g} for {threshold['positive']}{chosen}")]


def _cells(row: tuple[Any, ...]) -> list[str]:
    return ["–" if value is None else digits(value) if isinstance(value, float) else str(value) for value in row]


def _row(cells: Iterable[object]) -> str:
    return f"| {' | '.join(' '.join(str(cell).split()).replace('|', chr(92) + '|') for cell in cells)} |"
