"""What has changed, in words: how a column differs from the reference, in which rows, and what is wrong with rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.config.operations import Monitor
from mlops.monitoring import statistics
from mlops.monitoring.drift import Finding, as_reference, severity
from mlops.monitoring.log import PREDICTION, TIME

if TYPE_CHECKING:
    import pandas as pd

# A slice and the rest of the rows have this many rows at least, else they tell nothing.
ROWS_IN_SLICE = 30
LEVELS_OF_SLICE = 20
MARGIN = 0.05  # of the shares of categories that are worth a word


@dataclass(frozen=True)
class RowFault:
    """Something that is wrong with rows as they were served: what, in how many rows, and the columns, the worst first."""

    fault: str
    rows: int
    columns: tuple[str, ...]


def described(findings: Sequence[Finding], profile: Mapping[str, Any], table: pd.DataFrame, monitor: Monitor) -> list[Finding]:
    """The findings with their words: of those that warn or have drifted, what changed, and the slice where alone it did."""
    return [_described(item, findings, profile, table, monitor) if severity(item.verdict) else item for item in findings]


def _described(
    item: Finding, findings: Sequence[Finding], profile: Mapping[str, Any], table: pd.DataFrame, monitor: Monitor
) -> Finding:
    before = profile["outputs"] if item.output else profile["features"][item.name]
    logged = table[PREDICTION if item.output else item.name]
    values = as_reference(logged, before["kind"])
    words = change_of_numbers(before, values) if before["kind"] == "number" else change_of_categories(before, values)
    if item.missing > item.missing_before:
        words.append(f"{item.missing:.0%} have no value, {item.missing_before:.0%} had none")
    if unreadable := int((values.isna() & logged.notna()).sum()):
        words.append(f"{unreadable / len(values):.0%} are no number")
    moved = {other.name for other in findings if other.verdict == "drift"}
    return replace(item, words="; ".join(words), where=_where(before, values, profile, table, moved | {item.name}, monitor))


def change_of_numbers(before: Mapping[str, Any], values: pd.Series) -> list[str]:
    """How numbers differ from those of the profile: their middle, how much they vary, and what is beyond all of them."""
    known, now = np.asarray(before.get("values", []), dtype=float), values.dropna().to_numpy()
    if not len(known) or not len(now):
        return []
    (low, middle, high), (low_now, middle_now, high_now) = (np.quantile(each, [0.25, 0.5, 0.75]) for each in (known, now))
    words = []
    spread, spread_now = high - low, high_now - low_now
    if abs(middle_now - middle) > 0.1 * spread:
        verb = "rose" if middle_now > middle else "fell"
        words.append(f"the median {verb} from {short(middle)} to {short(middle_now)}")
    if spread > 0 and not 2 / 3 < spread_now / spread < 1.5:
        words.append(f"the middle half spans {short(spread_now, 3)}, where it spanned {short(spread, 3)}")
    if len(np.unique(now)) == 1:
        words.append(f"every value is {short(now[0])}")
    for beyond, side in (((now > before["highest"]).mean(), "above"), ((now < before["lowest"]).mean(), "below")):
        if beyond >= 0.01:
            words.append(f"{beyond:.0%} lie {side} all that was seen in training")
    return words or ["the values are spread otherwise"]


def short(value: float, digits: int = 4) -> str:
    """A number with so many digits that count; one of ordinary size is written out, as 15000 and not 1.5e+04."""
    text = f"{value:.{digits}g}"
    return f"{float(text):.0f}" if "e+" in text and abs(value) < 1e15 else text


def change_of_categories(before: Mapping[str, Any], values: pd.Series) -> list[str]:
    """Which categories have come, and which have become more or less frequent, the largest change first."""
    counts = values.dropna().value_counts()
    total, total_before = max(1, int(counts.sum())), max(1, sum(before["counts"].values()) + before["rarer"])
    shares = {str(name): int(count) / total for name, count in counts.items()}
    known = {name: count / total_before for name, count in before["counts"].items()}
    changes = sorted(({*shares, *known}), key=lambda name: (-abs(shares.get(name, 0) - known.get(name, 0)), name))
    words = []
    for name in changes[:3]:
        now, then = shares.get(name, 0.0), known.get(name, 0.0)
        if name not in known and not before["rarer"]:
            words.append(f"{name[:40]!r} was never seen and is {now:.0%}")
        elif abs(now - then) >= MARGIN:
            words.append(f"{name[:40]!r} {'rose' if now > then else 'fell'} from {then:.0%} to {now:.0%}")
    return words or ["the shares of the categories differ"]


def _where(
    before: Mapping[str, Any],
    values: pd.Series,
    profile: Mapping[str, Any],
    table: pd.DataFrame,
    moved: set[str],
    monitor: Monitor,
) -> str:
    """The slice of the rows in which the column changed, "" where it changed in all of them or in no slice alone.

    Inside it is beyond the limit of drift and beyond chance, shared out over the slices; outside below that of a warning.
    """
    limits = monitor.thresholds.ks if before["kind"] == "number" else monitor.thresholds.js
    candidates = []
    all_slices = _slices(profile, table, moved)
    slices = [(name, rows) for name, rows in all_slices if min(rows.sum(), (~rows).sum()) >= ROWS_IN_SLICE]
    for name, rows in slices:
        inside, chance = _distance(before, values[rows])
        outside, _ = _distance(before, values[~rows])
        if inside >= limits.drift and outside < limits.warn and chance < monitor.thresholds.alpha / len(slices):
            # As a change of level is sought: the best split, not the one with the purest half.
            weight = float(np.sqrt(rows.mean() * (1 - rows.mean())))
            candidates.append(
                (weight * (inside - outside), f"{name} ({rows.mean():.0%} of the rows); elsewhere it is as it was")
            )
    return max(candidates)[1] if candidates else ""


def _distance(before: Mapping[str, Any], values: pd.Series) -> tuple[float, float]:
    """KS or JS of values and their probability by chance; none where there are no values."""
    now, rows = values.dropna(), before["rows"] - before["missing"]
    if not len(now) or not rows:
        return 0.0, 1.0
    if before["kind"] == "number":
        return statistics.ks(np.asarray(before["values"], dtype=float), now.to_numpy(), rows)
    counts = {str(name): int(count) for name, count in now.value_counts().items()}
    one, two = statistics.over_categories(before["counts"], counts)
    return statistics.jensen_shannon(one, two), statistics.chi_square_chance(one, two)


def _slices(profile: Mapping[str, Any], table: pd.DataFrame, moved: set[str]) -> Iterator[tuple[str, pd.Series]]:
    """Parts of the rows with a name: from a day on, of a category, below or above the reference's median of a number.

    Columns that have moved themselves explain nothing and are left out.
    """
    if TIME in table:
        days = table[TIME].map(lambda time: time.date().isoformat())
        yield from ((f"since {day}", days >= day) for day in sorted(days.unique())[1:])
    for name, before in profile["features"].items():
        if name in moved or name not in table:
            continue
        values = as_reference(table[name], before["kind"])
        if before["kind"] == "category":
            yield from ((f"where {name} is {level}", values == level) for level in list(before["counts"])[:LEVELS_OF_SLICE])
        elif before["values"]:
            middle = float(np.median(before["values"]))
            yield f"where {name} is above {short(middle)}", values > middle
            yield f"where {name} is at most {short(middle)}", values <= middle


def row_faults(profile: Mapping[str, Any], table: pd.DataFrame) -> list[RowFault]:
    """What is wrong with the served rows, whether or not it makes a column drift; the most frequent fault first.

    A value is missing where the training rows never lacked one.
    """
    import pandas as pd

    faults: dict[str, dict[str, pd.Series]] = {"missing": {}, "no number": {}, "out of range": {}, "unseen category": {}}
    for name, before in profile["features"].items():
        if name not in table:
            continue
        values = as_reference(table[name], before["kind"])
        if not before["missing"]:
            faults["missing"][name] = table[name].isna()
        faults["no number"][name] = values.isna() & table[name].notna()
        if before["kind"] == "number" and before["values"]:
            faults["out of range"][name] = (values < before["lowest"]) | (values > before["highest"])
        elif before["kind"] == "category" and not before["rarer"]:
            faults["unseen category"][name] = values.notna() & ~values.isin(before["counts"])
    counted = []
    for fault, columns in faults.items():
        counts = {name: int(rows.sum()) for name, rows in columns.items() if rows.any()}
        if counts:
            rows = int(pd.DataFrame(columns).any(axis=1).sum())
            counted.append(RowFault(fault, rows, tuple(sorted(counts, key=lambda name: (-counts[name], name)))))
    return sorted(counted, key=lambda item: -item.rows)
