"""What the offline runner does not simulate, read from the YAML: triggers, permissions, concurrency, timeouts, pins."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import offline
import pytest
import rules
import triggers
import yaml

GITHUB = offline.TREE / ".github"
WORKFLOWS = GITHUB / "workflows"
FILES = sorted(WORKFLOWS.glob("*.yml"))

PUSHED = {"train.yml", "backmerge.yml", "bootstrap.yml", "codeql.yml"}
EVENTS = [
    # event, ref or base branch, action, what it starts
    ("push", "refs/heads/main", "", PUSHED),
    ("push", "refs/heads/master", "", {"bootstrap.yml"}),
    ("push", "refs/heads/dev", "", {"train.yml", "codeql.yml"}),
    ("push", "refs/heads/release/1.0.0", "", {"train.yml"}),
    ("push", "refs/heads/hotfix/1.0.1", "", {"train.yml"}),
    ("push", "refs/heads/feature/x", "", set()),
    ("push", "refs/heads/backmerge/main-0123456789ab", "", set()),
    ("push", "refs/tags/v1.0.0", "", {"release.yml"}),
    ("push", "refs/tags/v1.0.0-rc.1", "", {"release.yml"}),
    ("push", "refs/tags/1.0.0", "", set()),
    ("pull_request", "dev", "opened", {"pull-request.yml", "codeql.yml", "template.yml"}),
    ("pull_request", "main", "synchronize", {"pull-request.yml", "codeql.yml", "template.yml"}),
    ("pull_request", "main", "edited", {"pull-request.yml"}),
    ("pull_request", "release/1.0.0", "opened", {"pull-request.yml"}),
    ("pull_request", "feature/x", "opened", set()),
    ("pull_request", "dev", "labeled", set()),
    ("merge_group", "", "checks_requested", {"pull-request.yml"}),
    (
        "workflow_dispatch",
        "",
        "",
        {"train.yml", "bootstrap.yml", "template.yml", "deploy.yml", "monitor.yml", "score.yml", "release.yml", "audit.yml"}
        | {"pages.yml"},
    ),
    ("schedule", "", "", {"codeql.yml", "monitor.yml", "score.yml", "audit.yml"}),
]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_workflow_keeps_to_the_rules(file: Path) -> None:
    assert rules.findings(file.name, triggers.load(file), file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(("event", "ref", "action", "expected"), EVENTS)
def test_an_event_starts_these_workflows_and_no_other(event: str, ref: str, action: str, expected: set[str]) -> None:
    known = {
        "pull-request.yml",
        "train.yml",
        "backmerge.yml",
        "bootstrap.yml",
        "codeql.yml",
        "audit.yml",
        "template.yml",
        "report-comment.yml",
        "release.yml",
        "deploy.yml",
        "monitor.yml",
        "score.yml",
        "pages.yml",
    }
    # A project that took the source back has no workflow of the template's own.
    elsewhere = {name for name in ("template.yml",) if not (WORKFLOWS / name).is_file()}
    assert triggers.started(WORKFLOWS, event, ref, action) & known == expected - elsewhere


def test_the_comment_follows_the_pull_request_workflow_under_its_name() -> None:
    name = triggers.load(WORKFLOWS / "pull-request.yml")["name"]
    assert triggers.started(WORKFLOWS, "workflow_run", action="completed", workflow=name) == {"report-comment.yml"}


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("release/**", "release/1.0.0", True),
        ("release/**", "release/a/b", True),
        ("release/*", "release/a/b", False),
        ("main", "mainline", False),
        ("v*", "v1.0.0", True),
        ("v[0-9]+.*", "v12.0", True),
        ("**", "a/b", True),
    ],
)
def test_the_evaluator_of_filters(pattern: str, name: str, fits: bool) -> None:
    assert triggers.fits(name, [pattern]) is fits
    assert triggers.fits(name, [pattern, f"!{pattern}"]) is False


@pytest.mark.parametrize(
    ("on", "event", "ref", "expected"),
    [
        ({"push": None}, "push", "refs/tags/v1", True),
        ({"push": {"branches": ["main"]}}, "push", "refs/tags/main", False),
        ({"push": {"tags": ["v*"]}}, "push", "refs/heads/v1", False),
        ("push", "push", "refs/heads/x", True),
        (["push", "pull_request"], "pull_request", "main", True),
    ],
)
def test_filters_of_branches_and_tags_exclude_each_other(on: object, event: str, ref: str, expected: bool) -> None:
    assert triggers.starts(on, event, ref, action="opened") is expected


def test_one_job_gates_and_it_waits_for_all_the_others() -> None:
    jobs = triggers.load(WORKFLOWS / "pull-request.yml")["jobs"]
    assert set(jobs["gate"]["needs"]) == set(jobs) - {"gate"}
    assert jobs["gate"]["if"].startswith("${{ always() && ")


@pytest.mark.parametrize("base", ["main", "dev"])
def test_the_required_check_names_the_base_and_comes_from_actions_alone(base: str) -> None:
    name = triggers.load(WORKFLOWS / "pull-request.yml")["jobs"]["gate"]["name"]
    ruleset = json.loads((GITHUB / "rulesets" / f"{base}.json").read_text())
    (checks,) = [rule for rule in ruleset["rules"] if rule["type"] == "required_status_checks"]
    assert checks["parameters"]["required_status_checks"] == [{"context": f"gate ({base})", "integration_id": 15368}]
    assert "|| format('gate ({0})', github.base_ref || " in name and name.endswith("&& 'main' || 'dev')) }}")


def test_a_skipped_gate_is_never_taken_for_the_required_check() -> None:
    """GitHub reports a skipped job as a success, and the newest check of a name counts."""
    gate = triggers.load(WORKFLOWS / "pull-request.yml")["jobs"]["gate"]
    (skipped_unless,) = re.findall(r"always\(\) && \((.+)\) }}", gate["if"])
    assert skipped_unless == "github.event.action != 'edited' || github.event.changes.base"
    edited = "github.event.action == 'edited' && !github.event.changes.base"
    assert gate["name"].startswith(f"${{{{ {edited} && 'nothing to check' || ")


def test_an_edit_of_the_title_starts_no_job_and_cancels_none() -> None:
    workflow = triggers.load(WORKFLOWS / "pull-request.yml")
    unchanged = "github.event.action == 'edited' && !github.event.changes.base"
    assert f"{unchanged} && format('-{{0}}', github.run_id)" in workflow["concurrency"]["group"]
    changed = "github.event.action != 'edited' || github.event.changes.base"
    first = {name for name, job in workflow["jobs"].items() if "needs" not in job}
    assert first == {"plan"} and changed in workflow["jobs"]["plan"]["if"] and changed in workflow["jobs"]["gate"]["if"]
    (comment,) = triggers.load(WORKFLOWS / "report-comment.yml")["jobs"].values()
    assert "skipped" in comment["if"], "a run without jobs is followed by no comment"


def test_caches_are_saved_by_pushes_to_dev_and_main_alone() -> None:
    saving = [
        step
        for file in [*FILES, *(GITHUB / "actions").glob("*/action.yml")]
        for step in rules.steps(triggers.load(file))
        if re.match(r"actions/cache(/save)?@", step.get("uses", "")) or (step.get("with") or {}).get("cache")
    ]
    assert len(saving) == 1 and saving[0]["uses"].startswith("actions/cache/save@")
    for part in ("github.event_name == 'push'", "'refs/heads/dev'", "'refs/heads/main'", "cache-hit != 'true'"):
        assert part in saving[0]["if"]


def test_heavy_jobs_run_where_the_team_says() -> None:
    heavy = [("train.yml", "train"), ("pull-request.yml", "report")]
    for file, job in heavy:
        assert triggers.load(WORKFLOWS / file)["jobs"][job]["runs-on"] == "${{ vars.RUNNER_TRAIN || 'ubuntu-latest' }}"
    for file in FILES:
        for name, job in triggers.load(file)["jobs"].items():
            if (file.name, name) not in heavy:
                assert "RUNNER_TRAIN" not in str(job.get("runs-on"))


def test_only_one_job_at_a_time_writes_the_store_and_none_is_cancelled() -> None:
    register = triggers.load(WORKFLOWS / "train.yml")["jobs"]["register"]
    assert register["concurrency"] == {"group": "mlops-store", "queue": "max", "cancel-in-progress": False}
    for file in FILES:
        for name, job in triggers.load(file)["jobs"].items():
            commands = [step.get("run", "") for step in job.get("steps", [])]
            if any(command.startswith("mlops store run") for command in commands):
                assert job["concurrency"]["group"] == "mlops-store", f"{file.name}: {name}"


def test_one_deployment_at_a_time_goes_to_an_environment_and_none_is_cancelled() -> None:
    workflow = triggers.load(WORKFLOWS / "deploy.yml")
    expected = {"group": "deploy-${{ inputs.environment }}", "queue": "max", "cancel-in-progress": False}
    assert workflow["concurrency"] == expected
    shown = "${{ (inputs.deploys || needs.plan.outputs.deploys) == 'true' }}"
    assert workflow["jobs"]["deploy"]["environment"] == {"name": "${{ inputs.environment }}", "deployment": shown}
    release = triggers.load(WORKFLOWS / "release.yml")
    assert release["concurrency"]["cancel-in-progress"] is False
    assert release["concurrency"]["group"] != workflow["concurrency"]["group"], "the one would wait for the other for ever"


def test_the_environments_are_those_that_an_administrator_protects() -> None:
    from mlops.gitflow import protect, tags

    inputs = triggers.load(WORKFLOWS / "deploy.yml")["on"]["workflow_dispatch"]["inputs"]
    assert set(inputs["environment"]["options"]) == set(protect.ENVIRONMENTS)
    for tag in ("v1.0.0", "v1.0.0-rc.1"):
        patterns = protect.ENVIRONMENTS[tags.parse(tag).environment]
        assert any(triggers.fits(tag, [name]) for name, kind in patterns.items() if kind == "tag")
    assert all(patterns.get("main") == "branch" for patterns in protect.ENVIRONMENTS.values()), "a dispatch runs on main"
    assert not any(triggers.fits("v1.0.0", [name]) for name in protect.ENVIRONMENTS["staging"])
    (rule,) = json.loads((GITHUB / "rulesets" / "tags.json").read_text())["conditions"]["ref_name"]["include"]
    (pattern,) = triggers.load(WORKFLOWS / "release.yml")["on"]["push"]["tags"]
    assert rule == f"refs/tags/{pattern}"


def test_a_release_hands_to_the_deployment_what_it_asks_for_and_nothing_else() -> None:
    call = triggers.load(WORKFLOWS / "release.yml")["jobs"]["deploy"]
    wanted = triggers.load(WORKFLOWS / "deploy.yml")["on"]["workflow_call"]
    assert call["uses"] == "./.github/workflows/deploy.yml"
    assert set(call["secrets"]) == set(wanted["secrets"])
    assert (
        {name for name, one in wanted["inputs"].items() if one.get("required")} <= set(call["with"]) <= set(wanted["inputs"])
    )
    granted = triggers.load(WORKFLOWS / "deploy.yml")["jobs"]
    needed = {scope: level for job in granted.values() for scope, level in job["permissions"].items()}
    assert call["permissions"] == {**needed, "contents": "write"}


def test_nothing_is_published_before_its_contract_was_kept() -> None:
    jobs = triggers.load(WORKFLOWS / "release.yml")["jobs"]
    steps = [step.get("run", step.get("uses", "")) for step in jobs["image"]["steps"]]
    order = [
        next(place for place, step in enumerate(steps) if step.startswith(start))
        for start in ("mlops release image", "mlops verify", "mlops release push", "actions/attest@", "mlops release attested")
    ]
    assert order == sorted(order)
    assert "image" in jobs["publish"]["needs"] and "publish" in jobs["deploy"]["needs"]
    assert not any("if" in jobs[name] for name in ("publish", "deploy")), "a job that failed stops those after it"
    assert jobs["image"]["if"] == "${{ needs.plan.outputs.ready == 'true' }}"


def test_no_job_waits_for_another_on_a_runner() -> None:
    """What waits does so for a concurrency group or by `needs`, where no runner is paid; polling is for seconds."""
    polling = [
        (file.name, name, job["timeout-minutes"])
        for file in FILES
        for name, job in triggers.load(file)["jobs"].items()
        for step in job.get("steps", [])
        if re.match(r"mlops release wait\b", step.get("run", ""))
    ]
    assert polling == [("release.yml", "plan", 10)]
    resumes = [step.get("run") for step in triggers.load(WORKFLOWS / "train.yml")["jobs"]["register"]["steps"]]
    assert "mlops release resume" in resumes


def test_pages_follow_a_training_on_main_and_no_other() -> None:
    name = triggers.load(WORKFLOWS / "train.yml")["name"]
    branches = ("main", "dev", "release/1")
    followers = {branch: triggers.started(WORKFLOWS, "workflow_run", branch, "completed", name) for branch in branches}
    assert followers == {"main": {"pages.yml"}, "dev": set(), "release/1": set()}


def test_the_job_that_may_write_the_site_runs_nothing_of_the_repository() -> None:
    jobs = triggers.load(WORKFLOWS / "pages.yml")["jobs"]
    assert jobs["deploy"]["permissions"] == {"id-token": "write", "pages": "write"}
    assert [step["uses"].partition("@")[0] for step in jobs["deploy"]["steps"]] == ["actions/deploy-pages"]
    assert jobs["deploy"]["needs"] == "build" and "vars.MLOPS_PAGES == 'true'" in jobs["build"]["if"]
    assert "github.ref_name == github.event.repository.default_branch" in jobs["build"]["if"]


def test_pages_that_have_nothing_to_do_take_no_place_among_those_that_wait() -> None:
    workflow = triggers.load(WORKFLOWS / "pages.yml")
    idle = 'contains(fromJSON(\'["cancelled", "skipped"]\'), github.event.workflow_run.conclusion)'
    assert f"!{idle}" in workflow["jobs"]["build"]["if"]
    assert f"(vars.MLOPS_PAGES != 'true' || {idle}) && format('-{{0}}', github.run_id)" in workflow["concurrency"]["group"]


def test_what_answers_a_workflow_run_checks_out_nothing_of_the_pull_request() -> None:
    (job,) = triggers.load(WORKFLOWS / "report-comment.yml")["jobs"].values()
    checkout = next(step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@"))
    assert set(checkout["with"]) == {"persist-credentials"}


def test_each_action_has_one_pin_everywhere() -> None:
    texts = [file.read_text(encoding="utf-8") for file in GITHUB.rglob("*.yml")]
    pinned = rules.pins(texts)
    assert pinned and {action: pair for action, pair in pinned.items() if len(pair) > 1} == {}


def test_every_action_that_runs_offline_has_a_stand_in_for_its_pin() -> None:
    texts = [file.read_text(encoding="utf-8") for file in GITHUB.rglob("*.yml")]
    pinned = {f"{action}@{sha}" for action, versions in rules.pins(texts).items() for sha, _ in versions}
    elsewhere = ("actions/checkout@", "github/codeql-action@", "docker/", "anchore/", "softprops/")
    assert {pin for pin in pinned if not pin.startswith(elsewhere)} == set(offline.stand_ins())


def test_the_default_python_is_a_supported_one() -> None:
    action = yaml.safe_load((GITHUB / "actions" / "setup" / "action.yml").read_text())
    classifiers = re.findall(r"Python :: (3\.\d+)", (offline.TREE / "setup.py").read_text())
    assert action["inputs"]["python-version"]["default"] in classifiers


PLAIN = """'on': push
permissions: {}
concurrency: x
jobs:
  a:
    timeout-minutes: 1
    permissions: {}
    steps: []
"""
NAMED = "run-name: ${{ github.event.head_commit.message }}\n'on': push"
BAD = {
    "unquoted version": ("        python-version: 3.10", "unquoted version"),
    "unquoted versions": ("        python: [3.11, 3.12]", "unquoted version"),
    "unpinned action": ("      - uses: actions/checkout@v7", "not pinned to a commit"),
    "pin without version": (f"      - uses: actions/cache@{'a' * 40}", "pin without its version"),
    "expression in run": ("      - run: make ${{ github.head_ref }}", "an expression inside run"),
    "logic": ("      - run: if true; then make; fi", "logic in a step"),
    "artifact without an end": (
        f"      - uses: actions/upload-artifact@{'a' * 40} # v1.0.0\n        with: {{name: x, path: y}}",
        "retention-days",
    ),
    "kept credentials": (f"      - uses: actions/checkout@{'a' * 40} # v1.0.0", "keeps the credentials"),
}


@pytest.mark.parametrize(("line", "finding"), BAD.values(), ids=BAD)
def test_each_rule_finds_what_it_is_there_for(line: str, finding: str) -> None:
    head = PLAIN.replace("steps: []", "steps:")
    step = line if line.strip().startswith("-") else f"      - run: make\n{line}"
    text = f"{head}{step}\n"
    findings = rules.findings("x.yml", yaml.safe_load(text), text)
    assert len(findings) >= 1 and any(finding in each for each in findings)


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ("permissions: {}\nconcurrency: x", "permissions: {} does not come first"),
        ("concurrency: x", "no concurrency"),
        ("'on': push", "a message has several lines"),
        ("    timeout-minutes: 1\n", "no timeout-minutes"),
        ("    permissions: {}\n", "no permissions of its own"),
    ],
)
def test_what_is_left_out_is_found(change: str, finding: str) -> None:
    other = {"permissions: {} does not come first": "concurrency: x", "a message has several lines": NAMED}
    text = PLAIN.replace(change, other.get(finding, ""), 1)
    assert any(finding in each for each in rules.findings("x.yml", yaml.safe_load(text), text))


def test_a_write_permission_that_nobody_listed_is_found() -> None:
    text = PLAIN.replace("    permissions: {}", "    permissions: {contents: write}")
    assert rules.findings("x.yml", yaml.safe_load(text), text) == ["a: writes contents"]


@pytest.mark.parametrize(
    ("planted", "rule"),
    [("uses: actions/checkout@v7", "unpinned-uses"), ('run: echo "${{ github.head_ref }}"', "template-injection")],
)
def test_the_linter_of_workflows_finds_what_is_planted(tmp_path: Path, planted: str, rule: str) -> None:
    workflow = tmp_path / ".github" / "workflows" / "x.yml"
    workflow.parent.mkdir(parents=True)
    steps = f"    runs-on: ubuntu-latest\n    steps:\n      - {planted}\n"
    workflow.write_text(f"on: pull_request\npermissions: {{}}\njobs:\n  a:\n{steps}")
    command = [str(Path(sys.executable).parent / "zizmor"), "--offline", "--no-progress", "--format", "json"]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode != 0 and rule in {finding["ident"] for finding in json.loads(done.stdout)}
