"""The commands of `mlops gitflow` that the workflows run; a person may run each of them as well."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from datetime import datetime
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mlops import runner
from mlops.console import as_json, note, table
from mlops.errors import MlopsError, UserError
from mlops.git import compare_link, credentials, exists, fetch_branches, git, project_root, repository, run
from mlops.gitflow import backmerge as rules
from mlops.gitflow import branches, checks

if TYPE_CHECKING:
    from mlops.config import Project

# What judges and stores a model, beside what makes it: a change is tried out on every use case.
JUDGES = ("registry", "bundle", "pipeline", "tracking.py", "tracking_uri.py", "trust.py", "git.py")
RENAME = (
    "branches, rulesets, schedules and comments are those of `main`: rename it under Settings → General → Default branch, "
    "then run the workflow `bootstrap`"
)
DRY_RUN = typer.Option(False, "--dry-run", help="Say what would be done, do nothing.")
JSON = typer.Option(False, "--json", help="Print the result as JSON.")


def mount(app: typer.Typer) -> None:
    """Add these commands to those of `mlops gitflow`."""
    for command in (plan, register, record, summary, comment, backmerge, bootstrap, minutes, protect, doctor, audit):
        app.command()(command)


def plan(
    base: str = typer.Option("", help="What differs from this branch; default: the pull request's base."),
    only: str = typer.Option("", help="This use case, changed or not."),
    json: bool = JSON,
) -> None:
    """Say which use cases a run has to train, and what it checks on which versions of Python.

    For a pull request these are the use cases that it touches; for a push those whose key is not in the store.

    Example: mlops gitflow plan --base origin/dev --json
    """
    from mlops.git import commit
    from mlops.gitflow import planning
    from mlops.pythons import supported_pythons

    project = load_project()
    event = runner.event()
    merge = checks.merge_of(runner.event_name(), event)
    base = base or (merge.base if merge else "")
    if only:
        from mlops.use_case import load_use_case

        chosen = [load_use_case(project, only).name]
    elif base:
        chosen = _touched(project, base)
    else:
        from mlops.registry.releases import to_train

        chosen = to_train(project, project.alias_of(commit(project.root).branch))
    pushed = "" if merge else str(event.get("ref", "")).removeprefix("refs/heads/")
    rows = planning.checks(runner.event_name() or "pull_request", pushed, supported_pythons())
    if rows and runner.event_name() and planning.nothing_to_check(project.root, merge, event):
        runner.notice("version and changelog are all that changes: nothing is checked")
        rows = []
    result = {"checks": rows, "use_cases": chosen}
    for name, value in result.items():
        runner.output(name, dumps(value))
    if json:
        as_json(result)
    else:
        note(f"to train: {', '.join(chosen) or 'nothing, no use case has changed'}")


def register(
    folder: Path = typer.Argument(help="Where the candidates are: NAME/KEY."),
    alias: str = typer.Option("", help="The alias that moves; default: the one of the branch."),
    only: str = typer.Option("", help="This use case; the others stay as they are."),
    reason: str = typer.Option("", help="Why; goes into the log of moves."),
    json: bool = JSON,
) -> None:
    """Register the candidates of all use cases and record which versions belong to the commit.

    Exit code 1 when a candidate is refused or another use case has no version of this commit: no record is written then.

    Example: mlops gitflow register candidates --alias challenger
    """
    from mlops.errors import GateRefused
    from mlops.git import commit
    from mlops.registry import releases

    project = load_project()
    here = commit(project.root)
    if runner.event_name() and branches.kind(here.branch) not in ("main", "dev", "release", "hotfix"):
        raise UserError(f"nothing is registered from {here.branch}: merge it into dev, or choose dev or main for the run")
    alias = alias or project.alias_of(here.branch)
    entries = releases.register_all(project, folder, alias, reason or f"{here.branch} at {here.sha[:12]}", only)
    runner.summary("\n\n".join([releases.markdown(entries, alias), *_reports(entry.report for entry in entries)]))
    for entry in (entry for entry in entries if entry.differs):
        runner.notice(f"{entry.use_case}: metrics reproduced: {entry.reproduced}. {releases.DIFFERS}", "warning")
    if json:
        as_json([vars(entry) for entry in entries])
    refused = [entry for entry in entries if not entry.passed]
    if refused:
        reasons = "; ".join(f"{entry.use_case}: {entry.message}" for entry in refused)
        raise GateRefused(f"{reasons}; no release record is written")
    if runner.event_name():
        from mlops.gitflow import registered

        registered.post(project, here.sha)


def record(commit: str = typer.Argument("HEAD", help="The commit."), json: bool = JSON) -> None:
    """Show which versions belong to a commit, as its training run has recorded.

    Example: mlops gitflow record HEAD~1 --json
    """
    from mlops.registry import releases

    project = load_project()
    sha = git("rev-parse", "--verify", f"{commit}^{{commit}}", root=project.root)
    release_record = releases.read(project, sha)
    if json:
        as_json({"commit": sha, "versions": release_record})
    else:
        table(f"Commit {sha[:12]}", ["use case", "version"], sorted(release_record.items()))


def summary(name: str = typer.Argument(help="Use case.")) -> None:
    """Put the reports of a use case that lie in output/reports on the summary page of the job.

    Example: mlops gitflow summary ridership
    """
    for text in _reports(sorted((load_project().output / "reports" / name).glob("*/report.md"))):
        runner.summary(text)


def backmerge(dry_run: bool = DRY_RUN, json: bool = JSON) -> None:
    """Bring main back into dev: push a branch and open its pull request, or an issue where the token may not.

    Example: mlops gitflow backmerge --dry-run
    """
    root = project_root()
    fetch_branches(root)
    commit = git("rev-parse", f"origin/{branches.MAIN}", root=root)
    decision = rules.decide(commit, *_trees(root))
    result: dict[str, Any] = {**decision._asdict(), "commit": commit, "pull_request": None, "issue": None, "hint": ""}
    if decision.action != "skip" and not dry_run:
        git("push", "--quiet", "origin", f"{commit}:refs/heads/{decision.branch}", root=root, env=credentials(root))
    if decision.action == "propose" and not dry_run:
        result |= _propose(root, decision, commit)
    if decision.action == "skip" and not dry_run:
        _close_issue(root)
    if json:
        as_json(result)
    runner.summary(f"### Back-merge\n\n{rules.sentence(result)}")


def bootstrap(dry_run: bool = DRY_RUN) -> None:
    """Set up a fresh repository: create dev from main, and say what is there and what an administrator may turn on.

    Example: mlops gitflow bootstrap --dry-run
    """
    root = project_root()
    fetch_branches(root)
    dev_exists = exists(f"origin/{branches.DEV}", root)
    default = str(runner.event().get("repository", {}).get("default_branch", branches.MAIN))
    if default != branches.MAIN:
        runner.notice(f"the default branch is {default}: {RENAME}", "warning")
    if not exists(f"origin/{branches.MAIN}", root):
        return runner.summary(f"### What is set up\n\nNothing: there is no branch `{branches.MAIN}`. {RENAME}")
    if not dev_exists and not dry_run:
        source = f"refs/remotes/origin/{branches.MAIN}:refs/heads/{branches.DEV}"
        git("push", "--quiet", "origin", source, root=root, env=credentials(root))
    rows = [("default branch", default if default == branches.MAIN else f"❗ {default}: {RENAME}")]
    rows += [("branch `dev`", "there" if dev_exists else "would be created" if dry_run else "created from `main`")]
    rows.append(("model store", "tracking server" if os.environ.get("MLFLOW_TRACKING_URI") else "in this repository"))
    rows += [(f"{outcome.what}", outcome.state) for outcome in _outcomes(root, [], apply=False)]
    lines = ["### What is set up", "", "| what | state |", "|---|---|", *(f"| {what} | {state} |" for what, state in rows), ""]
    lines += [
        "Next: `git switch dev`, `mlops gitflow start feature NAME`, commit, `mlops gitflow finish`.",
        "",
        "What says *would …* or *not available* an administrator may turn on with `make protect`; nothing needs it to run.",
    ]
    runner.summary("\n".join(lines))


def comment(
    folder: Path = typer.Argument(help="Where the artifacts report-* were unpacked: NAME/[KEY/]report.md."),
    dry_run: bool = DRY_RUN,
) -> None:
    """Put the model report on the pull request of the workflow run in the event; a token that may not is no error.

    Example: mlops gitflow comment reports --dry-run
    """
    from mlops.gitflow import comment as report
    from mlops.gitflow import github

    workflow_run = runner.event().get("workflow_run", {})
    texts = report.reports(folder)
    if not texts or not workflow_run:
        note(f"no report in {folder}: nothing to say" if workflow_run else "this event is no workflow_run: nothing to say")
        return
    repo = github.connect(repository(project_root()))
    body = report.body(texts, workflow_run["html_url"])
    try:
        numbers = report.pull_requests(repo, workflow_run)
        for number in numbers:
            state = "not written" if dry_run else github.put_comment(repo, number, report.MARKER, body)
            note(f"pull request {number}: comment {state}")
        if not numbers:
            note("no open pull request has this head: it was closed, or has moved on")
    except github.GitHubError as refused:
        runner.notice(f"the report stays in the summary of the run: {refused}")


def minutes(json: bool = JSON) -> None:
    """Add up the minutes that the jobs of this run have used, each rounded up as GitHub counts them.

    Example: mlops gitflow minutes --json
    """
    from mlops.gitflow import github

    repo = github.connect(repository(project_root()))
    try:
        jobs = github.listed(repo, f"actions/runs/{os.environ.get('GITHUB_RUN_ID', '0')}/jobs", key="jobs")
    except MlopsError as error:
        runner.notice(f"the minutes are not known: {error}")
        return
    rows = [(job["name"], _minutes(job)) for job in jobs if job.get("started_at")]
    total = sum(used for _, used in rows)
    if json:
        as_json({"jobs": dict(rows), "minutes": total})
    lines = ["### Minutes used", "", "| job | minutes |", "|---|---:|", *(f"| {name} | {used} |" for name, used in rows)]
    runner.summary("\n".join([*lines, f"| **all** | **{total}** |"]))


def protect(
    apply: bool = typer.Option(False, "--apply", help="Do it; without, only say what would be done."),
    reviewer: list[str] = typer.Option([], help="Login of a person who must approve a deployment to production."),
    json: bool = JSON,
) -> None:
    """Turn on rulesets, environments and pull requests by workflows, with the administrator's token in GITHUB_TOKEN.

    Example: mlops gitflow protect --apply --reviewer ann
    """
    outcomes = _outcomes(project_root(), reviewer, apply)
    if json:
        as_json([outcome._asdict() for outcome in outcomes])
        return
    table("Protection", ["what", "state", "why"], outcomes)
    if not apply:
        note("nothing was changed: make protect APPLY=1")


def doctor(json: bool = JSON) -> None:
    """Compare what GitHub has with what the files expect, and name the click that fixes each difference.

    A token that may only read is enough: what it may not see is shown as unknown. Exit code 2 where something differs.

    Example: mlops gitflow doctor --json
    """
    from mlops.gitflow import github, health

    root = project_root()
    checks = health.examine(github.connect(repository(root)), root / ".github" / "rulesets")
    if json:
        as_json([check._asdict() for check in checks])
    else:
        table("GitHub", ("what", "state", "detail", "how to fix"), checks)
    if any(check.state == health.DIFFERS for check in checks):
        raise typer.Exit(2)


def audit(
    lock: Path = typer.Argument(Path("requirements/dev.txt"), help="The lock file."),
    json: bool = JSON,
) -> None:
    """Look for advisories on the locked packages; where no source of advisories answers, say that nothing was audited.

    Exit code 1 where a package has an advisory.

    Example: mlops gitflow audit requirements/base.txt
    """
    from mlops.errors import GateRefused
    from mlops.gitflow import audit as auditing

    result = auditing.run(project_root() / lock)
    if json:
        as_json(result._asdict() if result else None)
    if result is None:
        runner.notice(f"{lock} was NOT audited: no source of advisories answers here", "warning")
        return
    unknown = f", {len(result.unknown)} unknown to the source: {', '.join(result.unknown)}" if result.unknown else ""
    note(f"{lock}: {result.audited} packages audited{unknown}")
    for advisory in result.advisories:
        runner.notice(advisory, "error")
    if result.advisories:
        raise GateRefused(f"{lock}: {len(result.advisories)} advisories: raise the packages (make lock) or replace them")


def load_project() -> Project:
    """Return the project; the configuration is read only by the commands that need it."""
    from mlops import config

    return config.load_project()


def _touched(project: Project, base: str) -> list[str]:
    from mlops import keys, use_case_code
    from mlops.gitflow import touched

    paths = touched.changed_paths(project.root, base)
    if paths is None:
        runner.notice(f"what differs from {base} is not known here: every use case is trained")
        return project.use_cases
    if touched.differs(project.root, base, (*keys.MACHINERY, *JUDGES)):
        return project.use_cases
    shared = [f"src/{use_case_code.PACKAGE}/{name}" for name in ("__init__.py", use_case_code.COMMON)]
    return touched.use_cases(paths, project.use_cases, shared)


def _reports(files: Iterable[Path | None]) -> list[str]:
    """Return the texts of reports for a summary page: it cannot show pictures of a run, so that it says where they are."""
    pictures = re.compile(r"(?m)(?:^!\[.*\]\(.*\)\n)+")
    return [pictures.sub("Plots: in the artifacts of this run.\n", file.read_text(encoding="utf-8")) for file in files if file]


def _outcomes(root: Path, reviewers: list[str], apply: bool) -> list[Any]:
    from mlops.gitflow import github
    from mlops.gitflow.protect import protect as wish

    return wish(github.connect(repository(root)), root / ".github" / "rulesets", reviewers, apply)


def _trees(root: Path) -> tuple[str, str, tuple[str, ...]]:
    """Return dev's tree, the tree after merging main into it, and the conflicting files; empty where dev is missing."""
    dev, main = f"origin/{branches.DEV}", f"origin/{branches.MAIN}"
    if not exists(dev, root):
        return "", "", ()
    merged = run("merge-tree", "--write-tree", "--name-only", "--no-messages", dev, main, root=root)
    tree, *conflicts = merged.stdout.split("\n")
    return git("rev-parse", f"{dev}^{{tree}}", root=root), tree, tuple(path for path in conflicts if path)


def _propose(root: Path, decision: rules.Decision, commit: str) -> dict[str, Any]:
    from mlops.gitflow import approval, github

    repo = github.connect(repository(root))
    try:
        body = f"{rules.body(decision, commit)}\n{approval.IF_THEY_WAIT}\n"
        pull = github.open_pull_request(repo, decision.branch, branches.DEV, rules.TITLE, body)
        return {"pull_request": pull["html_url"], "hint": approval.hint(pull)}
    except github.GitHubError as refused:
        runner.notice(str(refused))
    try:
        link = compare_link(root, branches.DEV, decision.branch)
        return {"issue": github.open_issue(repo, rules.TITLE, rules.issue_body(decision, commit, link))["html_url"]}
    except github.GitHubError as refused:
        runner.notice(str(refused), "warning")
        return {}


def _close_issue(root: Path) -> None:
    from mlops.gitflow import github

    try:
        github.close_issues(github.connect(repository(root)), rules.TITLE)
    except MlopsError as error:
        runner.notice(f"an issue that asks for the back-merge may be out of date: {error}")


def _minutes(job: dict[str, Any]) -> int:
    began = datetime.fromisoformat(job["started_at"].replace("Z", "+00:00"))
    ended = job.get("completed_at")
    end = datetime.fromisoformat(ended.replace("Z", "+00:00")) if ended else datetime.now(began.tzinfo)
    return max(1, math.ceil((end - began).total_seconds() / 60))
