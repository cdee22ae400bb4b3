"""The count of jobs and minutes is that of the workflows as they are, and less than it was."""

from __future__ import annotations

import re
import sys

import offline
import pytest
import triggers

sys.path.insert(0, str(offline.TREE / "machinery"))
from benchmarks import workflow_minutes as benchmark  # noqa: E402

PULL = ("pull-request", "report-comment", "codeql")
NO_REPORT = {"pull-request report"}
NO_TRAINING = {"train train"}
NO_TESTS = {"train test"}
EVENTS = {
    # event: the workflows that it starts, and of their jobs those that have nothing to do
    "pull request": (PULL, set()),
    "edit of its title": ((), set()),
    "merge to dev": (("train", "codeql"), set()),
    "release branch": (("train",), NO_TRAINING | NO_TESTS),
    "tag for staging": (("release", "deploy"), {"release deploy", "deploy plan"}),
    "pull request to main": (PULL, NO_REPORT),
    "merge to main": (("train", "backmerge", "codeql"), NO_TESTS),
    "tag for production": (("release", "deploy"), {"release deploy", "deploy plan"}),
    "pull request of the back-merge": (PULL, {"pull-request checks", "codeql analyze", *NO_REPORT}),
    "merge of the back-merge": (("train", "codeql"), NO_TRAINING | NO_TESTS),
}


@pytest.mark.parametrize("event", benchmark.AFTER)
def test_each_event_counts_the_jobs_of_its_workflows(event: str) -> None:
    workflows, idle = EVENTS[event]
    jobs = {f"{name} {job}" for name in workflows for job in _workflow(name)["jobs"]}
    assert {name.partition(" (")[0] for name in benchmark.AFTER[event]} == jobs - idle and idle <= jobs


def test_the_environment_of_each_job_is_the_one_that_it_sets_up() -> None:
    for name, job in (pair for event in benchmark.AFTER.values() for pair in event.items()):
        workflow, job_id = name.partition(" (")[0].split(" ")
        steps = _workflow(workflow)["jobs"][job_id].get("steps", [])
        groups = [(step.get("with") or {}).get("group", "base") for step in steps if step.get("uses", "").endswith("/setup")]
        # Signing is a choice of a project; without it the job takes the second of the two.
        groups = [re.sub(r"\$\{\{ vars\.\w+ == 'true' && '\w+' \|\| '(\w+)' \}\}", r"\1", group) for group in groups]
        assert job.environment.removesuffix(" cold") == (groups or ["none"])[0], name


@pytest.mark.parametrize("use_cases", [2, 10])
@pytest.mark.parametrize("tests", [20, 30, 60])
def test_a_change_and_a_release_are_billed_less_than_before(use_cases: int, tests: float) -> None:
    left = {row[0]: row[4] / row[2] for row in benchmark.rows(use_cases, tests) if row[0] in benchmark.SUMS}
    assert len(left) == 2 and all(share < 0.8 for share in left.values()), left


def test_a_pull_request_of_two_use_cases_takes_half_of_the_minutes() -> None:
    left = {row[0]: row[4] / row[2] for row in benchmark.rows(2, benchmark.OWN["tests"])}
    assert left["pull request"] <= 0.5 and left["a change (request, edit, merge)"] <= 0.5


def test_a_job_is_billed_by_the_minute_that_it_has_begun() -> None:
    job = benchmark.Job("none", ("tests",))
    assert [benchmark.minutes(job, {"tests": tests}) for tests in (0, 35, 36, 95)] == [1, 1, 2, 2]


def _workflow(name: str) -> dict:
    return triggers.load(offline.TREE / ".github" / "workflows" / f"{name}.yml")


def test_the_tables_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    benchmark.show(benchmark.OWN["tests"])
    assert "with 10 use cases" in capsys.readouterr().out
