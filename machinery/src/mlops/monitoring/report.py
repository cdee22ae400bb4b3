"""The report of a check: a page that stands on its own, Markdown for an issue or a summary, and the same as JSON."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mlops import files
from mlops.monitoring import monitor, plots
from mlops.monitoring.drift import Finding, severity
from mlops.monitoring.log import PREDICTION, quoted
from mlops.monitoring.monitor import BLIND, NO_REFERENCE, TOO_FEW, Check, Watched
from mlops.monitoring.quality import UNCLEAR

# Pictures of single columns on the page at most, the worst first; the table has all of them.
PICTURES = 12
SIGNS = {"ok": "✅", "warn": "⚠️", "drift": "🔴", TOO_FEW: "⏳", NO_REFERENCE: "❔", BLIND: "🙈", UNCLEAR: "⏳"}
WORDS = {
    "ok": "no drift",
    "warn": "worth a look, no drift",
    "drift": "drift",
    TOO_FEW: "too few rows to judge",
    NO_REFERENCE: "not in the store, so not judged",
    BLIND: "nobody can see how it does",
}


def write(check: Check, folder: Path) -> Path:
    """Write report.html, report.md and report.json into a folder; returns the folder."""
    files.write_json(folder / "report.json", monitor.as_value(check))
    files.write_text(folder / "report.md", markdown(check))
    files.write_text(folder / "report.html", page(check))
    return folder


def headline(check: Check) -> str:
    """The verdict in one sentence, naming what has drifted."""
    if check.verdict == BLIND:
        why = check.fault[0].upper() + check.fault[1:]
        return f"{why}. Whether the service answers is asked by: mlops deployments {check.use_case} --check"
    if check.verdict == TOO_FEW:
        newest = f"the last row came on {check.log.newest:%Y-%m-%d %H:%M} UTC" if check.log.newest else "the log has no rows"
        return f"{check.log.rows} rows in the window, fewer than the {check.min_rows} that a judgement takes; {newest}."
    serving = [item for item in check.versions if item.serving and item.verdict == check.verdict]
    names = list(dict.fromkeys(name for item in serving for name in item.drifted))
    if check.verdict == "drift":
        more = f" and {len(names) - 6} more" if len(names) > 6 else ""
        return f"{', '.join(names[:6])}{more} no longer look as they did when the model was trained."
    warned = [item.name for part in serving for item in part.findings if item.verdict == "warn"]
    warned += [item.metric for part in serving for item in part.quality if item.verdict == "warn"]
    warned += ["labels" for part in serving if part.notes]
    return (
        f"{', '.join(dict.fromkeys(warned))}: worth a look." if warned else "Inputs and outputs look as the model knows them."
    )


def markdown(check: Check) -> str:
    """The report in GitHub's Markdown; it stands on its own, without a picture."""
    read = check.log
    lines = [f"## {check.use_case}: {SIGNS[check.verdict]} {WORDS[check.verdict]}", "", headline(check), ""]
    lines += [
        f"{read.rows} rows from {read.since:%Y-%m-%d %H:%M} to {read.until:%Y-%m-%d %H:%M} UTC in {read.where}"
        + (f", {read.malformed} malformed lines left out" if read.malformed else "")
        + (f", {read.future} rows of the future left out" if read.future else "")
        + f". Checked on {check.created:%Y-%m-%d %H:%M} UTC.",
        "",
    ]
    if check.shadows:
        lines += ["### Shadows", "", *(f"- {_escaped(item.words)}" for item in check.shadows), ""]
    for version in check.versions:
        lines += _version_lines(version)
    return "\n".join(lines) + "\n"


def page(check: Check) -> str:
    """The report as one HTML page: style and pictures are in it, nothing is loaded from elsewhere."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(loader=PackageLoader("mlops.monitoring", ""), autoescape=True, trim_blocks=True)
    environment.filters |= {"number": _number, "percent": _percent, "capitalize_first": _capitalised}
    return environment.get_template("report.html").render(
        check=check,
        log=check.log,
        headline=headline(check),
        words=WORDS,
        versions=[{"facts": item, **_pictures(item)} for item in check.versions],
    )


def _pictures(version: Watched) -> dict[str, Any]:
    if not version.findings or version.table is None:
        return {"over_time": "", "columns": []}
    output = version.findings[0]
    shown = [item for item in version.findings if item.output or severity(item.verdict)][: PICTURES + 1]
    profile = version.profile
    return {
        "over_time": plots.over_time(version.daily, profile["outputs"]) if output.rows else "",
        "columns": [
            (
                item,
                plots.overlay(
                    f"{version.number} {item.name}",
                    profile["outputs"] if item.output else profile["features"][item.name],
                    version.table[PREDICTION if item.output else item.name],
                ),
            )
            for item in shown
            if item.rows
        ],
    }


def _version_lines(version: Watched) -> list[str]:
    aliases = f" ({', '.join(version.aliases)})" if version.aliases else ""
    state = "answers now" if version.serving else "has been replaced"
    # One that the store does not have is whatever somebody wrote into the log.
    number = quoted(version.number) if version.verdict == NO_REFERENCE else version.number
    lines = [f"### Version {number}{aliases}: {SIGNS[version.verdict]} {WORDS[version.verdict]}", ""]
    lines += [
        f"{version.rows} rows from {version.first:%Y-%m-%d %H:%M} to {version.last:%Y-%m-%d %H:%M} UTC, "
        f"{version.labelled} of them labelled; it {state}.",
        "",
    ]
    loud = [item for item in version.findings if severity(item.verdict)]
    lines += [f"⚠️ Labels: {note}.\n" for note in version.notes]
    if version.quality:
        lines += [
            f"| metric | in service | {100 * version.quality[0].level:.3g} % interval | limit | holdout | verdict |",
            "|:--|--:|:--|--:|--:|:--|",
        ]
        lines += [
            f"| {row.metric} | {row.value:.4f} | {row.low:.4f} to {row.high:.4f} | {_number(row.limit)} "
            f"| {_number(row.holdout)} | {SIGNS[row.verdict]} {row.reason or row.verdict} |"
            for row in version.quality
        ]
        lines += [""]
    lines += [f"- **{_escaped(item.name)}**: {_changed(item)}" for item in loud[:30] if item.words]
    lines += [""] if loud else []
    if version.row_faults:
        lines += [f"Rows as they were served: {_faults(version)}.", ""]
    if loud:
        lines += ["| column | PSI | KS or JS | missing | never seen | verdict |", "|:--|--:|--:|--:|--:|:--|"]
        lines += [_finding_line(item) for item in loud[:30]]
        lines += [f"| … and {len(loud) - 30} more | | | | | |"] if len(loud) > 30 else []
        lines += [""]
    quiet = sum(item.verdict == "ok" for item in version.findings)
    left = {item.name: item.verdict for item in version.findings if item.verdict not in SIGNS}
    if version.findings:
        reasons = "; ".join(f"{name}: {why}" for name, why in left.items())
        lines += [
            f"{quiet} of {len(version.findings)} columns are as they were.{f' Not judged: {reasons}.' if reasons else ''}",
            "",
        ]
    return lines


def _changed(item: Finding) -> str:
    """What changed in a column, and where; foreign names in it are code."""
    return _escaped(item.words) + (f", {_escaped(item.where)}" if item.where else "")


def _escaped(text: str) -> str:
    """A text in Markdown in which neither HTML, a table nor a mention counts."""
    return re.sub(r"([<>|`@\[\]*])", r"\\\1", text)


def _faults(version: Watched) -> str:
    """What is wrong with the served rows, in words."""
    return "; ".join(
        f"{item.fault} in {item.rows} ({', '.join(map(_escaped, item.columns[:3]))}{' …' if len(item.columns) > 3 else ''})"
        for item in version.row_faults
    )


def _finding_line(item: Finding) -> str:
    return (
        f"| {_escaped(item.name)} | {_number(item.psi, 2)} | {_number(item.distance, 2)} | {_percent(item.missing)} "
        f"| {_percent(item.unseen)} | {SIGNS[item.verdict]} {'; '.join(item.reasons)} |"
    )


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _number(value: float | None, places: int = 4) -> str:
    return "–" if value is None else f"{value:.{places}f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}" if value else "0"
