"""Drift of the inputs and outputs of one version: each column of the log against the version's reference profile.

A statistic counts when it is as large as its limit and larger than chance makes it in so many rows, with the level of the
whole check shared out over all of its tests (Bonferroni). So neither a small sample raises an alarm, nor does a large one
over a difference that is real and does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.config import nearest
from mlops.config.operations import FeatureMonitor, Limits, Monitor
from mlops.errors import ConfigError
from mlops.monitoring import statistics
from mlops.monitoring.log import PREDICTION
from mlops.training import reference

if TYPE_CHECKING:
    import pandas as pd

LEVELS = ("ok", "warn", "drift")
TESTS = ("psi", "distance", "missing", "unseen")
OUTPUT = "prediction"
MANY = "more than one value a row"
WORDS = {"psi": "PSI {:.2f}", "ks": "KS {:.2f}", "js": "JS {:.2f}", "missing": "missing {:.1%}", "unseen": "never seen {:.1%}"}


@dataclass(frozen=True)
class Finding:
    """One column: how far it is from the reference, and what that means.

    measure: ks for numbers, js for categories; `distance` is its value. shift: in standard deviations, for numbers. unseen:
    share of the values that are outside of the training rows' range or among none of their categories. missing_before and
    missing: shares. verdict: ok, warn, drift, or why the column was not judged. words: what
    changed; where: in which rows alone.
    """

    name: str
    output: bool
    kind: str
    rows: int
    verdict: str
    reasons: tuple[str, ...] = ()
    psi: float | None = None
    measure: str = ""
    distance: float | None = None
    shift: float | None = None
    missing_before: float = 0.0
    missing: float = 0.0
    unseen: float = 0.0
    words: str = ""
    where: str = ""


def check(profile: Mapping[str, Any], table: pd.DataFrame, monitor: Monitor) -> list[Finding]:
    """A finding for the outputs and for each input of the profile: the outputs first, then the inputs that differ most.

    Raises ConfigError for limits of a feature that the model does not have.
    """
    features = profile["features"]
    unknown = next((name for name in monitor.features if name not in features and name != OUTPUT), None)
    if unknown is not None:
        raise ConfigError(f"monitor.features.{unknown}: the model has no such input{nearest(unknown, features)}")
    alpha = monitor.thresholds.alpha / (len(TESTS) * (len(features) + 1))
    findings = [_input(name, features[name], table, monitor, alpha) for name in features]
    findings.sort(key=lambda item: (-severity(item.verdict), -(item.psi or 0), item.name))
    return [_output(profile["outputs"], table, monitor, alpha), *findings]


def severity(verdict: str) -> int:
    """How bad a verdict is: 0 for ok and for what was not judged, 1 for warn, 2 for drift."""
    return LEVELS.index(verdict) if verdict in LEVELS else 0


def worst(verdicts: list[str]) -> str:
    """The worst of some verdicts; ok where there are none."""
    return LEVELS[max((severity(verdict) for verdict in verdicts), default=0)]


def as_reference(values: pd.Series, kind: str) -> pd.Series:
    """Logged values as the profile has them: numbers as float64, categories by name; what is missing, or no number, is NaN.

    JSON has no times, so that a column of numbers that comes as text holds times.
    """
    import pandas as pd

    if kind == "category":
        return values.map(reference.as_category, na_action="ignore")
    if pd.api.types.is_numeric_dtype(values):
        return values.astype(float)
    numbers = pd.to_numeric(values, errors="coerce")
    times = pd.to_datetime(values[numbers.isna()], errors="coerce", utc=True, format="ISO8601").dt.tz_localize(None)
    return numbers.astype(float).fillna(reference.as_numbers(times).where(times.notna()))


def _input(name: str, before: Mapping[str, Any], table: pd.DataFrame, monitor: Monitor, alpha: float) -> Finding:
    own = monitor.features.get(name, FeatureMonitor())
    if own.ignore or name not in table:
        return Finding(name, False, before["kind"], 0, "ignored" if own.ignore else "not logged")
    return _judged(name, False, before, table[name], own, monitor, alpha)


def _output(before: Mapping[str, Any], table: pd.DataFrame, monitor: Monitor, alpha: float) -> Finding:
    own = monitor.features.get(OUTPUT, FeatureMonitor())
    predictions = table[PREDICTION]
    if own.ignore or predictions.map(lambda value: isinstance(value, list | dict)).any():
        return Finding(OUTPUT, True, before["kind"], 0, "ignored" if own.ignore else MANY)
    return _judged(OUTPUT, True, before, predictions, own, monitor, alpha)


def _judged(
    name: str,
    output: bool,
    before: Mapping[str, Any],
    logged: pd.Series,
    own: FeatureMonitor,
    monitor: Monitor,
    alpha: float,
) -> Finding:
    values = as_reference(logged, before["kind"])
    known = values.dropna()
    gone, rows = int(logged.isna().sum()), len(logged)
    unreadable = rows - gone - len(known)
    measured: dict[str, tuple[float, float]] = {
        "missing": (
            gone / rows - before["missing"] / before["rows"],
            statistics.rise_chance(gone, rows, before["missing"], before["rows"]),
        )
    }
    shift = None
    present = before["rows"] - before["missing"]
    outside, measures = unreadable, dict[str, tuple[float, float]]()
    if present and len(known):
        if before["kind"] == "number":
            beyond, measures, shift = _numbers(before, known.to_numpy(), present)
        else:
            beyond, measures = _categories(before, known)
        outside += beyond
    if present and (seen := rows - gone):
        # Of rows like the training rows, this share lies beyond all of them: 2 / (n + 1) where order decides.
        expected = min(present, 2 if before["kind"] == "number" else 0)
        measured |= measures | {"unseen": (outside / seen, statistics.rise_chance(outside, seen, expected, present))}
    verdict, reasons = _verdict(measured, {"missing": gone / rows}, own, monitor, alpha)
    measure = "ks" if before["kind"] == "number" else "js"
    value = {statistic: pair[0] for statistic, pair in measured.items()}
    return Finding(
        name,
        output,
        before["kind"],
        rows,
        verdict,
        reasons,
        psi=value.get("psi"),
        measure=measure,
        distance=value.get(measure),
        shift=shift,
        missing_before=before["missing"] / before["rows"],
        missing=gone / rows,
        unseen=value.get("unseen", 0.0),
    )


def _numbers(
    before: Mapping[str, Any], now: np.ndarray, present: int
) -> tuple[int, dict[str, tuple[float, float]], float | None]:
    """How many are out of range, PSI and KS with their probabilities, and the shift."""
    values = np.asarray(before["values"], dtype=float)
    outside = int(((now < before["lowest"]) | (now > before["highest"])).sum())
    edges = statistics.bin_edges(values, len(now))
    counts = statistics.bin_counts(values, edges) * (present / len(values))
    index = statistics.psi(counts, statistics.bin_counts(now, edges))
    measures = {
        "psi": (index, statistics.psi_chance(index, len(edges) + 1, present, len(now))),
        "ks": statistics.ks(values, now, present),
    }
    return outside, measures, statistics.shift(values, now, before["deviation"])


def _categories(before: Mapping[str, Any], now: pd.Series) -> tuple[int, dict[str, tuple[float, float]]]:
    """How many have no known category, PSI and Jensen–Shannon with their probabilities."""
    counts = {str(name): int(count) for name, count in now.value_counts().items()}
    known = before["counts"]
    # Where the rarest categories were counted together, an unknown name may be one of them.
    outside = 0 if before["rarer"] else sum(count for name, count in counts.items() if name not in known)
    one, two = statistics.over_categories(known, counts)
    if before["rarer"]:
        one = np.append(one, before["rarer"])
        two = np.append(two, 0)
    index = statistics.psi(one, two)
    chance = statistics.psi_chance(index, len(one), int(one.sum()), int(two.sum()))
    distance = statistics.jensen_shannon(one, two)
    return outside, {"psi": (index, chance), "js": (distance, statistics.chi_square_chance(one, two))}


def _verdict(
    measured: Mapping[str, tuple[float, float]],
    shown: Mapping[str, float],
    own: FeatureMonitor,
    monitor: Monitor,
    alpha: float,
) -> tuple[str, tuple[str, ...]]:
    """The worst level over the statistics, and each one that is not ok in words; `shown` are values to tell instead."""
    levels, reasons = ["ok"], []
    for statistic, (value, chance) in measured.items():
        limits: Limits = getattr(own, statistic) or getattr(monitor.thresholds, statistic)
        level = "drift" if value >= limits.drift else "warn" if value >= limits.warn else "ok"
        if level != "ok" and chance < alpha:
            levels.append(level)
            reasons.append(f"{WORDS[statistic].format(shown.get(statistic, value))} ({level})")
    return worst(levels), tuple(reasons)
