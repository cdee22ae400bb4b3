"""DORA's figures and the cost of runs: worked out by hand here from a log of which every moment is known."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mlops import tracking
from mlops.config import Project
from mlops.registry import deployment_log, stats
from mlops.registry.deployment_log import DEPLOYED, MOVED, REFUSED, RETURNED, VERIFIED, Deployment
from mlops.registry.stats import Run

HOUR, NOW = 3600, 1_800_000_000.0


def entry(hours_ago: float, number: str, action: str = "deploy", result: str = DEPLOYED, **other: object) -> Deployment:
    fields = {"image": "", "bundle": "", "tag": "", "before": None, "who": "Ann", "why": "tests"}
    base = Deployment("iris", "production", action, result, number, **fields)  # type: ignore[arg-type]
    return replace(base, stamp=int((NOW - hours_ago * HOUR) * 1e9), **other)  # type: ignore[arg-type]


# Four attempts in 28 days: two hold, one is rolled back after 6 hours, one never got there.
LOG = [
    entry(28 * 24, "1.0.0"),
    entry(20 * 24, "1.0.1", before="1.0.0"),
    entry(20 * 24 - 6, "1.0.0", "rollback", before="1.0.1"),
    entry(10 * 24, "1.0.2", result=RETURNED, before="1.0.0"),
    entry(5 * 24, "1.0.3", before="1.0.0"),
    entry(4 * 24, "1.0.4", result=VERIFIED),
    entry(3 * 24, "1.0.4", environment="staging", before="1.0.3"),
]
COMMITS = {"1.0.0": NOW - 30 * 24 * HOUR, "1.0.1": NOW - (20 * 24 + 10) * HOUR, "1.0.3": NOW - (5 * 24 + 12) * HOUR}
RUNS = [Run(NOW - 9 * 24 * HOUR, 2.0, None), Run(NOW - 2 * HOUR, 4.0, 300.0)]


def of_log(log: list[Deployment], days: int = 90) -> stats.Stats:
    return stats.of_log("iris", log, COMMITS, RUNS, "production", days, NOW)


def test_the_four_figures_are_those_worked_out_by_hand() -> None:
    result = of_log(LOG[::-1])
    assert (result.deployments, result.failed, result.failure_rate) == (4, 2, 0.5)
    assert result.per_week == pytest.approx(1.0)
    assert result.lead_hours == pytest.approx(12)  # the median of 48, 10 and 12
    assert result.restore_hours == pytest.approx(6)
    assert [failed for _, failed in result.events] == [False, True, True, False]


def test_only_what_lies_in_the_window_counts() -> None:
    result = of_log(LOG, 14)
    assert (result.deployments, result.failed, result.restore_hours) == (2, 1, None)
    assert result.per_week == pytest.approx(1.0) and result.lead_hours == pytest.approx(12)
    assert of_log(LOG, 1).lead_hours is None and of_log(LOG, 1).failure_rate is None


@pytest.mark.parametrize(
    "change, failed",
    [
        (entry(1, "1.0.0", "return", before="1.0.1"), True),  # the proxy did it
        (entry(1, "1.0.0", "rollback", MOVED, environment="", alias="production", before="1.0.1"), True),
        (entry(1, "1.0.2", before="1.0.1"), False),  # a fix forward is the next deployment
        (entry(1, "1.0.0", "rollback", REFUSED, before="1.0.1"), False),  # 1.0.1 still runs
        (entry(1, "1.0.0", "rollback", environment="staging", before="1.0.1"), False),
    ],
)
def test_a_deployment_failed_where_the_next_change_went_back_from_it(change: Deployment, failed: bool) -> None:
    result = of_log([entry(3, "1.0.1", before="1.0.0"), change])
    assert result.events[0][1] is failed
    assert result.restore_hours == (pytest.approx(2) if failed else None)


def test_a_run_costs_minutes_and_memory_where_they_were_recorded() -> None:
    result = of_log([])
    assert (result.runs, result.minutes, result.memory_mb) == (2, 3.0, 300.0)


def test_an_empty_log_is_told_in_one_line_and_the_runs_are_counted(registered: Project, command: Callable) -> None:
    # The store of the test was copied here, which the first command says.
    assert command("history", "iris").code == 0
    result = command("stats", "iris")
    assert (result.code, result.err.count("\n")) == (0, 1)
    assert result.err.startswith("nothing was deployed to production in the last 90 days")
    (figures,) = json.loads(command("stats", "iris", "--json").out)
    assert (figures["runs"], figures["deployments"], figures["failure_rate"]) == (1, 0, None)
    with tracking.open_store(registered) as client:
        experiment = client.get_experiment_by_name("iris")
        (run,) = client.search_runs([experiment.experiment_id])
    assert 50 < run.data.metrics["process/peak_memory_mb"] < 20_000, "an interpreter with scikit-learn, in MB"
    assert figures["minutes"] == pytest.approx(run.data.metrics["fit/seconds"] / 60)


def test_a_project_without_a_store_has_one_line(project: Project, command: Callable) -> None:
    result = command("stats")
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1) and "mlops run" in result.err


def test_the_log_of_the_store_is_counted_and_drawn(registered: Project, command: Callable, tmp_path: Path) -> None:
    now = time.time_ns()
    first = replace(entry(0, "1.0.0", alias="production"), stamp=now)
    deployment_log.record(registered, [first])
    picture = tmp_path / "stats.svg"
    result = command("stats", "iris", "--json", "--plot", str(picture))
    (figures,) = json.loads(result.out)
    assert (figures["deployments"], figures["failed"]) == (1, 0)
    assert 0 <= figures["lead_hours"] < 24, "the fixture's commit is of this session"
    assert "<svg" in picture.read_text() and result.err == f"plot {picture}\n"
    shown = command("stats", "iris").out
    assert re.search(r"failed or rolled back │ +0 of 1 \(0 %\)", shown) and re.search(r"time to restore +│ +–", shown)


def test_a_plot_needs_an_ending_that_is_known(registered: Project, command: Callable) -> None:
    result = command("stats", "iris", "--plot", "stats.xyz")
    assert result.code == 2 and result.err.endswith("error: --plot stats.xyz: the name ends in .png, .svg, .pdf\n")
