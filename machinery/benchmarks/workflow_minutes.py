"""Jobs and billed minutes of what GitHub runs at each event, for two and ten use cases, before and after November 2026.

    python -m benchmarks.workflow_minutes [--json] [--tests 30]

Before, a team's requests ran the tests of the whole machinery; now its project has the machinery as a wheel and runs its own.
A job is billed from when its runner starts, rounded up to a minute. Its time is START, the environment, and its work. START
and ENVIRONMENT are assumptions about GitHub's runners; WORK holds what the steps took in offline runs on two busy cores,
rounded; OWN what lint and the tests (--tests) take in a project. All other constants serve both columns. BEFORE is how the
workflows stood at commit 9183d18; AFTER is compared with the workflows by tests/workflows/test_minutes.py.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

# Seconds until the first step: a runner, the checkout, Python.
START = 25
# Seconds until the environment is there: restored from a cache, or installed anew ("cold").
ENVIRONMENT = {"none": 0, "light": 4, "base": 12, "dev": 25, "dev cold": 60}
WORK = {
    "policy": 2, "plan": 4, "policy and plan": 6, "lint": 30, "notebooks": 40, "report": 20, "train": 12, "register": 25,
    "gate": 0, "comment": 3, "analyze one": 90, "analyze both": 120, "backmerge": 4, "image": 90, "publish": 15, "deploy": 45,
    "record": 15, "wait for training": 100, "tests": 170,
}  # fmt: skip
OWN = {"lint": 20, "tests": 30}
PYTHONS = 3
USE_CASES = (2, 10)


class Job(NamedTuple):
    """A kind of job: its environment, what it does in order, and how many run for a number of use cases."""

    environment: str
    work: tuple[str, ...]
    count: Callable[[int], int] = lambda use_cases: 1


def each(use_cases: int) -> int:
    """One job for each use case."""
    return use_cases


Event = dict[str, Job]
ANALYZE_BEFORE = {"codeql": Job("none", ("analyze one",), lambda _: 2)}
ANALYZE = {"codeql analyze": Job("none", ("analyze both",))}
PULL_BEFORE: Event = {
    "policy": Job("base", ("policy",)),
    "plan": Job("base", ("plan",)),
    "lint": Job("dev cold", ("lint",)),
    "test": Job("dev cold", ("tests",), lambda _: PYTHONS),
    "notebooks": Job("dev cold", ("notebooks",)),
    "gate": Job("none", ("gate",)),
    "comment": Job("base", ("comment",)),
    **ANALYZE_BEFORE,
}
REPORT = {"report": Job("base", ("report",), each)}
TRAIN_BEFORE: Event = {"plan": Job("base", ("plan",)), "register": Job("base", ("register",))}
RELEASE_BEFORE: Event = {
    "plan": Job("base", ("wait for training", "plan")),
    "image": Job("dev cold", ("image",), each),
    "publish": Job("dev cold", ("publish",)),
    "deploy": Job("base", ("deploy",)),
    "record": Job("base", ("record",)),
}
TRAINED = {"train": Job("base", ("train",), each)}
BACKMERGE = {"backmerge": Job("base", ("backmerge",))}
BEFORE: dict[str, Event] = {
    "pull request": {**PULL_BEFORE, **REPORT},
    "edit of its title": {**PULL_BEFORE, **REPORT},
    "merge to dev": {**TRAIN_BEFORE, **TRAINED, **ANALYZE_BEFORE},
    "release branch": TRAIN_BEFORE,
    "tag for staging": RELEASE_BEFORE,
    "pull request to main": PULL_BEFORE,
    "merge to main": {**TRAIN_BEFORE, **TRAINED, **BACKMERGE, **ANALYZE_BEFORE},
    "tag for production": RELEASE_BEFORE,
    "pull request of the back-merge": PULL_BEFORE,
    "merge of the back-merge": {**TRAIN_BEFORE, **ANALYZE_BEFORE},
}

POLICY: Event = {
    "pull-request plan": Job("light", ("policy and plan",)),
    "pull-request gate": Job("none", ("gate",)),
    "report-comment comment": Job("light", ("comment",)),
}
CHECKS: Event = {
    "pull-request checks (oldest, newest)": Job("dev", ("lint", "tests"), lambda _: 2),
    "pull-request checks (between)": Job("dev", ("lint", "notebooks"), lambda _: PYTHONS - 2),
    **ANALYZE,
}
# A release's requests go to main, whose pushes save no environment of the tests.
CHECKS_COLD = {name: job._replace(environment=job.environment.replace("dev", "dev cold")) for name, job in CHECKS.items()}
REPORTS = {"pull-request report": Job("base", ("report",), each)}
TRAIN: Event = {"train plan": Job("base", ("plan",)), "train register": Job("base", ("register",))}
TRAINS = {"train train": Job("base", ("train",), each)}
TESTS = {"train test": Job("dev", ("tests",), lambda _: PYTHONS)}
RELEASE: Event = {
    "release plan": Job("base", ("plan",)),
    "release image": Job("dev cold", ("image",), each),
    "release publish": Job("dev cold", ("publish",)),
    "deploy deploy": Job("base", ("deploy",)),
    "deploy record": Job("base", ("record",)),
}
AFTER: dict[str, Event] = {
    "pull request": {**POLICY, **CHECKS, **REPORTS},
    "edit of its title": {},
    "merge to dev": {**TRAIN, **TRAINS, **TESTS, **ANALYZE},
    "release branch": TRAIN,
    "tag for staging": RELEASE,
    "pull request to main": {**POLICY, **CHECKS_COLD},
    "merge to main": {**TRAIN, **TRAINS, "backmerge backmerge": Job("light", ("backmerge",)), **ANALYZE},
    "tag for production": RELEASE,
    "pull request of the back-merge": POLICY,
    "merge of the back-merge": {**TRAIN, **ANALYZE},
}
# What a team goes through: a change with one edit of its text, and a release from its branch to the merged back-merge.
SUMS = {
    "a change (request, edit, merge)": ("pull request", "edit of its title", "merge to dev"),
    "a release (from its branch to the back-merge)": tuple(BEFORE)[3:],
}


def minutes(job: Job, work: Mapping[str, float]) -> int:
    """Return what one job of this kind is billed, in minutes; `work` are the seconds of each thing that jobs do."""
    return math.ceil((START + ENVIRONMENT[job.environment] + sum(work[part] for part in job.work)) / 60)


def cost(event: Event, use_cases: int, work: Mapping[str, float]) -> tuple[int, int]:
    """Return the number of jobs of an event and their billed minutes together."""
    counts = [(job.count(use_cases), minutes(job, work)) for job in event.values()]
    return sum(count for count, _ in counts), sum(count * each_one for count, each_one in counts)


def rows(use_cases: int, tests: float) -> list[tuple[str, int, int, int, int, str]]:
    """Return (event, jobs and minutes before, jobs and minutes after, share of the minutes that is left).

    tests: seconds of `make tests` in a project.
    """
    own = {**WORK, **OWN, "tests": tests}
    table = {name: (*cost(BEFORE[name], use_cases, WORK), *cost(AFTER[name], use_cases, own)) for name in BEFORE}
    for name, parts in SUMS.items():
        table[name] = tuple(map(sum, zip(*(table[part] for part in parts), strict=True)))  # type: ignore[assignment]
    return [(name, *figures, f"{figures[3] / figures[1]:.0%}") for name, figures in table.items()]


def show(tests: float) -> None:
    """Print a table for each number of use cases."""
    from mlops.console import table

    head = ("event", "jobs before", "minutes before", "jobs", "minutes", "left")
    for use_cases in USE_CASES:
        table(f"Billed minutes with {use_cases} use cases", head, rows(use_cases, tests))


def main() -> None:
    """Print the tables."""
    from mlops.console import as_json

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--tests", type=float, default=OWN["tests"], help="seconds of `make tests` in a project")
    options = parser.parse_args()
    if options.json:
        as_json({str(use_cases): rows(use_cases, options.tests) for use_cases in USE_CASES})
    else:
        show(options.tests)


if __name__ == "__main__":
    main()
