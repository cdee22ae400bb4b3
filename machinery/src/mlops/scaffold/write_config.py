"""The configuration of a new use case, as a text: how its files are read, what is split, tried and limited."""

from __future__ import annotations

import json
import math
import re

from mlops.config.checks import Checks
from mlops.data.read import EXCEL, JSON
from mlops.scaffold.choose import FOREST_ROWS, WAYS, Choice, is_imbalanced, metrics_of
from mlops.scaffold.understand import ROW_ID, Table
from mlops.scaffold.write import description, figures, has_features, render

# Shares that are held out: the first with which chance leaves the usual number of rows to judge by.
SHARES, FEWEST = (0.2, 0.25, 0.3, 0.4, 0.5), Checks().holdout_rows
PLAIN = re.compile(r"[A-Za-z_][\w ]*")
# YAML takes these words for something else.
RESERVED = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}


def config(name: str, table: Table, choice: Choice) -> str:
    """The configuration, each line with what it does."""
    candidate = choice.candidate
    parameters = candidate.parameters.items()
    return render(
        "config.yaml.j2",
        name=name,
        description=_yaml(description(table)),
        task=table.task,
        target=_yaml(table.target),
        positive=_label(table.positive),
        threshold=_threshold(table, choice),
        key=", ".join(map(_yaml, table.key)),
        key_words=f" No column does, so `load` makes {ROW_ID} of what a row holds." if ROW_ID in table.key else "",
        split_words=_split(table)[1],
        split=_split(table)[0],
        read=_read(table),
        figures=figures(table, choice),
        parameters=", ".join(f"{parameter}: {value}" for parameter, (value, _) in parameters),
        metrics=_rules(table, choice),
        holdout_rows=_fewest(table),
        rows=len(table.rows),
        block=table.split == "time",
        ranges=", ".join(f"{parameter}: {range_}" for parameter, (_, range_) in parameters),
        raw=has_features(table),
        personal=", ".join(_yaml(column) for column in table.inputs if table.kinds[column].personal),
    )


def _split(table: Table) -> tuple[str, str]:
    share, words = _share(table), f"{_share(table):.0%}"
    if table.split == "time":
        days = _holdout_days(table)
        return (
            f"{{method: time, column: {_yaml(table.time)}, holdout: {days:g}}}",
            f"The last {days:g} days are held out, as the model will predict days to come.",
        )
    if table.split == "group":
        return (
            f"{{method: group, column: {_yaml(table.group)}, holdout: {share}}}",
            f"All rows of a {table.group} are on one side, so that it is judged on one that it has not seen.",
        )
    if table.split == "stratified":
        return (
            f"{{method: stratified, holdout: {share}}}",
            f"{words} of each class are held out, by the row's key: a row stays on its side when data grow.",
        )
    return (
        f"{{method: hash, holdout: {share}}}",
        f"{words} of the rows are held out, by their key: a row stays on its side when data grow.",
    )


def _share(table: Table) -> float:
    """The share of the rows that is held out: a fifth, and more of a small table."""
    return next((share for share in SHARES if _held_out(table, share) >= FEWEST), SHARES[-1])


def _held_out(table: Table, share: float) -> int:
    """How many rows are held out at least, with two standard deviations of chance, as a hash decides; in time it is exact."""
    count = len(table.rows) * share
    return int(count if table.split == "time" else count - 2 * math.sqrt(count * (1 - share)))


def _fewest(table: Table) -> int:
    """The holdout rows that the gate asks of a table too small for the usual number; 0 where it is not."""
    count = _held_out(table, _share(table))
    return max(1, count) if count < FEWEST else 0


def _holdout_days(table: Table) -> float:
    """How many days back the held out rows reach."""
    times = table.rows[table.time].dropna()
    days = (times.max() - times.quantile(1 - _share(table))).total_seconds() / 86_400
    return float(math.ceil(days)) if days > 3 else max(round(days, 3), 0.001)


def _read(table: Table) -> list[tuple[str, str]]:
    """The lines of `data.read`, each with what it says."""
    read, ending = table.read, table.file.suffix.lower()
    lines = []
    if ending not in (".parquet", *EXCEL, *JSON):
        lines = [
            (f"separator: {json.dumps(read.separator)}", ""),
            *([(f"quote: {_single(read.quote)}", "around a cell that holds the separator")] if read.quote != '"' else []),
            (f"encoding: {read.encoding}", ""),
            (f"header: {read.header}", "the line with the column names; 0 is none"),
        ]
    if ending != ".parquet":
        lines += [
            (f"decimal: {json.dumps(read.decimal)}", ""),
            (f"thousands: {json.dumps(read.thousands, ensure_ascii=False)}", "stands between the thousands; null is nothing"),
        ]
    lines += [(f"missing: [{', '.join(_single(word) for word in read.missing)}]", "what stands for no value")]
    used = {*table.inputs, *table.key, table.target, table.time}
    if dates := {name: forms for name, forms in read.dates.items() if name in used}:
        listed = ", ".join(f"{_yaml(name)}: [{', '.join(map(_single, forms))}]" for name, forms in dates.items())
        lines += [(f"dates: {{{listed}}}", "tried in this order")]
    if units := {name: unit for name, unit in read.units.items() if name in used}:
        listed = ", ".join(f"{_yaml(name)}: {_single(unit)}" for name, unit in units.items())
        lines += [(f"units: {{{listed}}}", "what stands beside the numbers")]
    return lines


def _single(text: str) -> str:
    return json.dumps(text) if "'" in text or not text.isprintable() else f"'{text}'"


def _yaml(text: str) -> str:
    """A text as YAML takes it for one."""
    return (
        text
        if PLAIN.fullmatch(text) and text.lower() not in RESERVED and text == text.strip()
        else json.dumps(text, ensure_ascii=False)
    )


def _rules(table: Table, choice: Choice) -> list[tuple[str, str]]:
    """The rule of each metric; a limit only where the model clearly keeps it."""
    rules = []
    baseline, model = choice.scores["baseline"], choice.scores[choice.candidate.name]
    for place, metric in enumerate(metrics_of(table)):
        lead = abs(baseline[metric] - model[metric])
        better = (model[metric] > baseline[metric]) == (WAYS[metric] == "higher")
        limit = f", limit: {baseline[metric]:.4g}" if better else ""
        primary = f", tolerance: {lead / 10 if math.isfinite(lead) else 0:.2g}, primary: true" if place == 0 else ""
        rules.append((metric, f"{{direction: {WAYS[metric]}{limit}{primary}}}"))
    labels = ("precision", "recall") if is_imbalanced(table) else ()
    return rules + [(metric, f"{{direction: {WAYS[metric]}}}") for metric in labels]


def _label(value: str | int | None) -> str:
    return "" if value is None else _yaml(value) if isinstance(value, str) else str(value)


def _threshold(table: Table, choice: Choice) -> str:
    """The rule of the threshold; of a large table the number that the sample gave, as a rule takes five more fits."""
    if not is_imbalanced(table):
        return ""
    return f"{choice.threshold:.3g}" if choice.threshold and len(table.rows) > FOREST_ROWS else "{rule: f1}"
