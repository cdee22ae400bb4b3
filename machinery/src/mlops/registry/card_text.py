"""The card of a version as Markdown: its facts in sections, which other formats put under their own headings."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mlops.console import digits
from mlops.registry import slices
from mlops.training import importance
from mlops.training.report import WORDS


def markdown(facts: dict[str, Any], plots: str) -> str:
    """A card's facts as GitHub-flavoured Markdown; `plots` is the folder in which the plots are linked."""
    sections = {
        "What it predicts": predicts(facts),
        "How good it is": quality(facts),
        "In parts": parts(facts),
        "What it relies on": importance.table(
            facts["importance"], next(i["metric"] for i in facts["metrics"] if i["primary"])
        ),
        "Limits": [f"- {sentence}" for sentence in facts["limits"]],
        "Data": from_data(facts),
        "Where it comes from": table(("what", "is"), made_from(facts)),
        "Files": table(("file", "size"), [(item["file"], size(item["bytes"])) for item in facts["model_files"]], "lr"),
    }
    lines = [f"# {facts['use_case']} {facts['number']}", "", f"{facts['description']}. Registered on {facts['registered']}."]
    for title, content in sections.items():
        if content:
            lines += ["", f"## {title}", "", *content]
        if title == "How good it is":
            lines += [f"\n![{Path(name).stem}]({plots}/{name})" for name in facts["plots"]]
    return "\n".join([*lines, ""])


def predicts(facts: dict[str, Any]) -> list[str]:
    inputs = inputs_of(facts)
    classes = f": {', '.join(map(str, facts['classes']))}" if facts["classes"] else ""
    estimator = " → ".join(facts["estimator"]) or "not recorded"
    parameters = ", ".join(f"{name} {value}" for name, value in facts["parameters"].items())
    rows = [("target", f"`{facts['target']}` ({facts['task']}{classes})"), ("a row is", ", ".join(facts["key"]))]
    rows += [("inputs", f"{len(inputs)}, with their ranges under *Data*")] if inputs else []
    return table(("what", "is"), [*rows, ("model", estimator), ("parameters", f"{parameters}; seed {facts['seed']}")])


def inputs_of(facts: dict[str, Any]) -> list[str]:
    """The model's inputs by name; last those of which only the name is shown, as they may hold personal data."""
    return [*(name for name in facts["ranges"] if name not in (*facts["key"], facts["target"])), *facts["personal"]]


def quality(facts: dict[str, Any]) -> list[str]:
    verdict, drawn = facts["verdict"], facts["bootstrap"]
    head = ("metric", "value", "95 % interval", "baseline", "champion then", "limit")
    rows = [
        (
            f"**{item['metric']}**" if item["primary"] else item["metric"],
            number(item["value"]),
            "–" if item["low"] is None else f"{number(item['low'])} to {number(item['high'])}",
            number(item["baseline"]),
            number(item["champion"]),
            item["limit"],
        )
        for item in facts["metrics"]
    ]
    judged = f"When it was registered: {WORDS[verdict['word']].format(verdict['champion'])}."
    if verdict["interval"]:
        low, high = verdict["interval"]
        judged += f" The improvement lies between {low:+.4f} and {high:+.4f} (95 %, same rows)."
    blocks = f" in blocks of {drawn['block']} neighbouring rows" if drawn["block"] > 1 else ""
    held = f"Measured on {facts['rows']['holdout']} rows that it has not learnt from; intervals from {drawn['resamples']}"
    return [f"{judged}", "", *table(head, rows, "lrrrrl"), "", f"{held} bootstrap resamples{blocks}."]


def parts(facts: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    if facts["classes_found"]:
        head = (facts["target"], "rows", "recall", "precision", "F1", "baseline's F1")
        rows = [
            (
                item["value"],
                _rows_of(item),
                *(number(item[name]) for name in ("recall", "precision", "f1", "baseline_f1")),
            )
            for item in facts["classes_found"]
        ]
        lines += [*table(head, rows, "lrrrrr"), ""]
    for by in dict.fromkeys(item["by"] for item in facts["slices"]):
        parts = [item for item in facts["slices"] if item["by"] == by]
        names = (by, "rows", parts[0]["metric"], "baseline")
        values = [(item["value"], _rows_of(item), number(item["candidate"]), number(item["baseline"])) for item in parts]
        lines += [*table(names, values, "lrrr"), ""]
    return [*lines, f"\\* fewer than {slices.FEW} rows."] if any("*" in line for line in lines) else lines[:-1]


def _rows_of(item: dict[str, Any]) -> str:
    return f"{item['rows']}\\*" if item["rows"] < slices.FEW else str(item["rows"])


def from_data(facts: dict[str, Any]) -> list[str]:
    head = ("file", "rows", "SHA-256", "source", "licence")
    rows = [
        (item["file"], item["rows"], f"`{item['sha256'][:16]}`", item["source"] or "–", item["licence"] or "–")
        for item in facts["data"]
    ]
    lines = [*table(head, rows, "lrlll"), "", *table(("rows", "number", "from", "to"), _sides(facts), "lrll"), ""]
    lines += [f"Split: {split_in_words(facts['split'])}."]
    if not facts["ranges"]:
        return lines
    ranges = [(f"`{name}`", *ends(known), known["missing"] or "–") for name, known in facts["ranges"].items()]
    folded = ["", "<details><summary>What the training rows hold</summary>", ""]
    return [*lines, *folded, *table(("column", "from", "to", "missing"), ranges, "lrrr"), "", "</details>"]


def _sides(facts: dict[str, Any]) -> list[tuple[Any, ...]]:
    period = facts["period"] or {}
    return [
        (side, facts["rows"][side], *(day(end) for end in period.get(side, (None, None)))) for side in ("training", "holdout")
    ]


def ends(known: dict[str, Any]) -> tuple[str, str]:
    if "low" in known:
        low, high = (day(end) if isinstance(end, str) else f"{end:g}" for end in (known["low"], known["high"]))
        return low, high
    if "values" in known:
        return ", ".join(known["values"]), ""
    return f"{known['distinct']} different texts" if "distinct" in known else "–", ""


def split_in_words(rule: dict[str, Any]) -> str:
    if rule["method"] == "time":
        gap = f", the {rule['gap']} days before them are left out" if rule["gap"] else ""
        column, days = rule["column"], rule["holdout"]
        last = f"last day of `{column}` is" if days == 1 else f"last {days:g} days of `{column}` are"
        return f"the {last} the holdout{gap}"
    share = f"{100 * rule['holdout']:g} %"
    return {
        "hash": f"{share} of the rows, chosen by a hash of their key",
        "group": f"{share} of the values of `{rule['column']}`, chosen by a hash",
        "stratified": f"{share} of each class, chosen by a hash of the row's key",
    }[rule["method"]]


def made_from(facts: dict[str, Any]) -> list[tuple[str, str]]:
    lineage = facts["lineage"]
    commit = f"{lineage['commit']} on {lineage['branch']}{' with uncommitted changes' if lineage['dirty'] else ''}"
    digest = {name: lineage[name] for name in ("key", "code", "machinery", "config", "data", "environment")}
    return [
        ("version", f"{lineage['number']} (MLflow's {lineage['version']})"),
        ("run", f"`{lineage['run_id']}`"),
        ("model", f"`{lineage['model_id']}`"),
        ("commit", commit),
        ("pull request", f"#{lineage['pull_request']}" if lineage["pull_request"] else "–"),
        *((name, f"`{value[:16]}`") for name, value in digest.items()),
        ("Python", facts["python"]),
    ]


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], aligned: str = "") -> list[str]:
    """A table in Markdown; `aligned` has `l` or `r` for each column."""
    marks = [{"l": ":--", "r": "--:"}[side] for side in aligned or "l" * len(head)]
    return [_line(head), f"|{'|'.join(marks)}|", *(_line(row) for row in rows)]


def _line(cells: Iterable[Any]) -> str:
    return f"| {' | '.join(' '.join(str(cell).split()).replace('|', chr(92) + '|') for cell in cells)} |"


def number(value: float | None) -> str:
    return "–" if value is None or not math.isfinite(value) else digits(value)


def day(stamp: str | None) -> str:
    """A time as a day where it is midnight, as every daily row is."""
    return "–" if stamp is None else stamp.removesuffix("T00:00:00")


def size(size: int) -> str:
    return f"{size / 1000:.1f} kB" if size < 1_000_000 else f"{size / 1e6:.1f} MB"


def shortened(names: Sequence[str]) -> str:
    shown = ", ".join(names[:8])
    return f"{shown} and {len(names) - 8} more" if len(names) > 8 else shown
