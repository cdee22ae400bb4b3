"""A shadow beside the version that answered: the same logged requests, asked of both while the shadow was on trial.

`mlops deploy` leaves a line for each in <use case>.shadow.jsonl, beside the prediction log. Once labels have come the primary
metric of both on the same rows says which of them would have been better, by the interval of the difference.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.config import Metric, Project
from mlops.monitoring import labels, log, quality
from mlops.monitoring.labels import TRUTH, Labels
from mlops.monitoring.log import PREDICTION, REQUEST, ROW, TIME
from mlops.monitoring.statistics import block_interval

if TYPE_CHECKING:
    import pandas as pd

    from mlops.metrics.measures import Predictions
    from mlops.use_case import UseCase

SHADOW = "__shadow__"
LEVEL = 0.95
KEYS = {"time": str, "request": str, "version": str, "shadow_version": str, "inputs": dict}
Shadows = Mapping[tuple[str, str], "pd.DataFrame"]


@dataclass(frozen=True)
class Rendezvous:
    """Two versions on the same rows: `active`, which answered, and `shadow`. Intervals are of 95 %.

    differ, low, high: the share of the rows in which their predictions are not the same, with its interval. labelled: rows
    whose outcome is known. of_active, of_shadow: the metric of each on those. gain: by how much the shadow is better, negative
    where it is worse, with its interval. better: the number of the better version, "" where the rows cannot tell.
    """

    active: str
    shadow: str
    rows: int
    differ: float
    low: float
    high: float
    labelled: int = 0
    metric: str = ""
    of_active: float | None = None
    of_shadow: float | None = None
    gain: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None
    better: str = ""
    words: str = field(default="")


def read(place: Path, use_case: str, read_log: log.Log) -> dict[tuple[str, str], pd.DataFrame]:
    """The logged pairs below a folder in the log's window: (active, shadow) → rows as a log's table has them, and SHADOW."""
    import pandas as pd

    records: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for file in sorted(place.rglob(f"{use_case}.shadow.jsonl")) if place.is_dir() else []:
        for line in filter(str.strip, file.read_text(encoding="utf-8", errors="replace").splitlines()):
            try:
                record = json.loads(line)
                if any(type(record[key]) is not kind for key, kind in KEYS.items()):
                    raise TypeError
                time, answers = log.moment(record["time"]), {PREDICTION: record["prediction"], SHADOW: record["shadow"]}
            except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
                read_log.malformed += 1
                read_log.beside += 1
                continue
            if read_log.since <= time <= read_log.until:
                facts = {TIME: time, REQUEST: record["request"], ROW: record.get("row", 0), **answers}
                records[record["version"], record["shadow_version"]].append({**record["inputs"], **facts})
    tables = {pair: pd.DataFrame(rows[-log.KEPT :]) for pair, rows in records.items()}
    return {
        pair: table.drop_duplicates([TIME, REQUEST, ROW], keep="last").sort_values([TIME, REQUEST, ROW], ignore_index=True)
        for pair, table in tables.items()
    }


def compare(
    project: Project,
    use_case: UseCase,
    pair: tuple[str, str],
    table: pd.DataFrame,
    manifest: Mapping[str, Any],
    known: Labels | None,
) -> Rendezvous:
    """The comparison of a shadow with the version that answered, whose manifest it is; of their quality, once labels join."""
    from scipy.stats import binomtest

    differ = np.array([not _same(*answers) for answers in zip(table[PREDICTION], table[SHADOW], strict=True)])
    interval = binomtest(int(differ.sum()), len(differ)).proportion_ci(LEVEL, "wilson")
    facts: dict[str, Any] = {"active": pair[0], "shadow": pair[1], "rows": len(table), "differ": float(differ.mean())}
    facts |= {"low": float(interval.low), "high": float(interval.high)}
    joined = None
    # No metric of ours is defined for more than one value a row.
    single = not table[[PREDICTION, SHADOW]].map(lambda value: isinstance(value, list | dict)).any(axis=None)
    if known is not None and single:
        joined = labels.join(project, use_case, known, table, manifest["problem"]["schema"])
        joined = joined[quality.fitting(joined[PREDICTION], manifest["classes"])]
        joined = joined[quality.fitting(joined[SHADOW], manifest["classes"])].reset_index(drop=True)
    if joined is not None:
        facts["labelled"] = len(joined)
        if len(joined) >= use_case.config.monitor.min_labels:
            facts |= _judged(use_case, manifest, joined, pair)
    result = Rendezvous(**facts)
    return Rendezvous(**facts, words=_words(result, use_case.config.monitor.min_labels))


def _judged(use_case: UseCase, manifest: Mapping[str, Any], joined: pd.DataFrame, pair: tuple[str, str]) -> dict[str, Any]:
    """The metric of both, the gain and its interval, and who is better."""
    import pandas as pd

    count, config = len(joined), use_case.config
    own = joined[[PREDICTION, TRUTH]]
    # Encoded together, so that a class has the same index in both.
    both = pd.concat([own, own.assign(**{PREDICTION: joined[SHADOW]})], ignore_index=True)
    truth, predictions, classes = quality.encoded(manifest, both)
    measures = quality.measures(use_case, classes, False)
    name = config.primary if config.primary in measures else next(iter(measures), "")
    if not name:
        return {}
    rule, measure = config.metrics[name], measures[name]

    def gain(rows: np.ndarray) -> float:
        active, shadow = (measure(truth[at], predictions.take(at)) for at in (rows, rows + count))
        return _better(rule, shadow) - _better(rule, active)

    drawn = config.bootstrap
    low, high = block_interval(gain, count, drawn.resamples, drawn.block, config.seed, LEVEL)
    everything = np.arange(count)
    of_active, of_shadow = (_measured(measure, truth, predictions, at) for at in (everything, everything + count))
    better = pair[1] if low > 0 else pair[0] if high < 0 else ""
    facts = {"metric": name, "of_active": of_active, "of_shadow": of_shadow, "gain": gain(everything)}
    return {**facts, "gain_low": low, "gain_high": high, "better": better}


def _measured(measure: Any, truth: np.ndarray, predictions: Predictions, rows: np.ndarray) -> float:
    return float(measure(truth[rows], predictions.take(rows)))


def _better(rule: Metric, value: float) -> float:
    """A metric as a number of which more is better."""
    return -abs(value) if rule.direction == "zero" else value if rule.direction == "higher" else -value


def _same(one: Any, other: Any) -> bool:
    """Whether two predictions are the same, numbers within 1e-9 of each other."""
    if isinstance(one, int | float) and isinstance(other, int | float) and not isinstance(one, bool):
        return bool(np.isclose(one, other, rtol=1e-9, atol=1e-9, equal_nan=True))
    return bool(one == other)


def _words(item: Rendezvous, enough: int) -> str:
    """The comparison in a sentence or two."""
    text = f"{item.shadow} beside {item.active} on the same {item.rows} requests: {item.differ:.1%} are answered differently"
    text += f" ({item.low:.1%} to {item.high:.1%} of all, by a 95 % interval). "
    if item.gain is None or item.gain_low is None or item.gain_high is None:
        return f"{text}The outcome of {item.labelled} is known, fewer than the {enough} that say which is better."
    rows = f"on {item.labelled} labelled rows {item.metric} is {item.of_shadow:.4g} for {item.shadow}"
    rows += f" and {item.of_active:.4g} for {item.active}, a gain of {item.gain:+.3g}"
    rows += f" ({item.gain_low:+.3g} to {item.gain_high:+.3g})"
    if item.better:
        verb = "would have been" if item.better == item.shadow else "was"
        return f"{text}{item.better} {verb} better; {rows}."
    return f"{text}These rows do not show which is better; {rows}."
