"""`mlops gitflow`: the model of branches on the command line, the same words for people and for workflows."""

from __future__ import annotations

import datetime
from pathlib import Path

import typer

from mlops import runner
from mlops.console import as_json, note
from mlops.errors import UserError
from mlops.git import compare_link, current_branch, exists, git, identity, project_root, run, text_at
from mlops.gitflow import branches, checks, fragments, tags, versions

app = typer.Typer(help="Branches, versions and tags: check, start, finish, tag.", no_args_is_help=True)

DRY_RUN = typer.Option(False, "--dry-run", help="Show the commands, run none.")
JSON = typer.Option(False, "--json", help="Print the result as JSON.")


@app.command()
def check(
    head: str = typer.Option("", help="Branch to be merged; default: the pull request's, else the current one."),
    base: str = typer.Option("", help="Branch to merge into; default: the pull request's, else what the name says."),
    foreign: bool = typer.Option(False, "--foreign", help="The head lies in a fork."),
    tag: str = typer.Option("", help="Check that this tag may be deployed, instead of a branch."),
    rules: str = typer.Option(
        "", metavar="COMMIT", help="Take this commit's copy of the rules, as a pull request its base's."
    ),
    json: bool = JSON,
) -> None:
    """Check a branch (or a tag) against the rules; exit code 1 when it breaks one.

    Example: mlops gitflow check --head feature/faster --base dev
    """
    root = project_root()
    if rules:
        from mlops.gitflow import base_rules

        raise typer.Exit(base_rules.check(rules, root))
    if tag:
        subject, problems = tag, checks.tag_problems(tag, root)
    else:
        merge = None if head or base else checks.merge_of(runner.event_name(), runner.event())
        merge = merge or checks.merge_here(root, head, base, foreign)
        subject, problems = f"{merge.head} into {merge.base}", checks.merge_problems(merge, root)
    if json:
        as_json({"subject": subject, "problems": problems})
    else:
        for problem in problems:
            runner.notice(problem, "error")
        print(f"{subject}: {'refused' if problems else 'allowed'}")
    if problems:
        raise typer.Exit(1)


@app.command()
def start(
    kind: str = typer.Argument(help="feature, bugfix, release or hotfix."),
    name: str = typer.Argument(help="Its name; for release and hotfix X.Y.Z, or major, minor, patch."),
    origin: str = typer.Option("", "--from", metavar="BRANCH", help="Grow from this branch, as a bugfix does from a release."),
    dry_run: bool = DRY_RUN,
) -> None:
    """Start a branch where the model of branches says; a release gets its version and its changelog heading.

    Example: mlops gitflow start feature faster
    """
    root = project_root()
    point = origin or branches.start_point(kind)
    branches.start_point(kind)
    git("fetch", "--quiet", "origin", "--tags", root=root)
    if not exists(f"origin/{point}", root):
        raise UserError(f"origin has no branch {point}: push it first (git push origin {branches.MAIN}:{point})")
    versioned = kind in ("release", "hotfix")
    if versioned:
        name = versions.raised(versions.project_version(text_at(f"origin/{point}", checks.SETUP, root)), name)
    branch = f"{kind}/{name}"
    if not branches.kind(branch) or run("check-ref-format", "--branch", branch, root=root).returncode:
        raise UserError(f"{branch!r} is no name for a branch: use letters, digits, dots and dashes")
    newest = versions.latest(checks.remote_tags(root))
    if versioned and newest and versions.parts(name) <= versions.parts(newest):
        raise UserError(f"{name} is not greater than the latest tag v{newest}: choose a higher version")
    # Rendered before anything is done: a fragment that cannot be collected stops the start, not its middle.
    entry = fragments.rendered(f"origin/{point}", root, name) if versioned else ""
    _git(dry_run, root, "switch", "--no-track", "--create", branch, f"origin/{point}")
    if versioned:
        _write_version(root, name, entry, f"origin/{point}", dry_run)
    _git(dry_run, root, "push", "--set-upstream", "origin", branch)
    note(f"{branch} {'would grow' if dry_run else 'grows'} from {point}; when it is ready: mlops gitflow finish")


@app.command()
def collect(dry_run: bool = DRY_RUN) -> None:
    """Collect the fragments that have come to a release branch into the entry of its version, and commit.

    Example: mlops gitflow collect --dry-run
    """
    root = project_root()
    branch = current_branch(root)
    version = branches.version_of(branch)
    if not version:
        raise UserError(f"{branch} is no release branch: switch to release/X.Y.Z or hotfix/X.Y.Z")
    if version not in versions.changelog_versions(text_at("HEAD", checks.CHANGELOG, root)):
        raise UserError(f"CHANGELOG.md has no entry for {version}: add the heading `## [{version}] - YYYY-MM-DD`")
    if not fragments.in_commit("HEAD", root):
        note(f"{fragments.FOLDER} holds no fragment: nothing to collect")
        return
    _commit(root, {}, version, fragments.rendered("HEAD", root, version), "HEAD", dry_run)


@app.command()
def finish(dry_run: bool = DRY_RUN) -> None:
    """Check the current branch, push it and print the link that opens its pull request.

    Example: mlops gitflow finish --dry-run
    """
    root = project_root()
    merge = checks.merge_here(root, "", "", False)
    problems = checks.merge_problems(merge, root)
    if problems:
        for problem in problems:
            runner.notice(problem, "error")
        raise typer.Exit(1)
    _git(dry_run, root, "push", "--set-upstream", "origin", merge.head)
    link = compare_link(root, merge.base, merge.head)
    print(link or f"open a pull request from {merge.head} into {merge.base}")
    if merge.base == branches.MAIN:
        note("after the merge: mlops gitflow tag")


@app.command()
def tag(
    rc: bool = typer.Option(False, "--rc", help="Tag the release branch with the next vX.Y.Z-rc.N, the mark for staging."),
    branch: str = typer.Option("", help="Release branch of the candidate; default: the current one."),
    dry_run: bool = DRY_RUN,
) -> None:
    """Tag origin/main with the version that it carries and push the tag, the mark for production.

    Example: mlops gitflow tag --rc
    """
    root = project_root()
    git("fetch", "--quiet", "origin", "--tags", root=root)
    place = (branch or current_branch(root)) if rc else branches.MAIN
    if rc and not branches.version_of(place):
        raise UserError(f"{place} is no release branch: switch to release/X.Y.Z, or give --branch")
    if not exists(f"origin/{place}", root):
        raise UserError(f"origin has no branch {place}: push it first")
    version = versions.project_version(text_at(f"origin/{place}", checks.SETUP, root))
    known = checks.remote_tags(root)
    name = tags.next_candidate(version, known) if rc else f"v{version}"
    changelog = text_at(f"origin/{place}", checks.CHANGELOG, root)
    problems = tags.problems(name, version, [place])
    if name in known:
        problems.append(f"{name} is there already: start a release of a higher version")
    if version not in versions.changelog_versions(changelog):
        problems.append(f"CHANGELOG.md on {place} has no entry for {version}: start the release with `mlops gitflow start`")
    if problems:
        raise UserError("; ".join(problems))
    message = f"Version {version}\n\n{versions.changelog_entry(changelog, version)}".strip()
    # Without --cleanup git takes the headings of the changelog for comments.
    _git(dry_run, root, "tag", "--annotate", name, f"origin/{place}", "--cleanup=whitespace", "--message", message)
    try:
        _git(dry_run, root, "push", "origin", f"refs/tags/{name}")
    except UserError:
        git("tag", "--delete", name, root=root)
        raise
    note(f"{name} {'would start' if dry_run else 'starts'} the deployment to {tags.parse(name).environment}")


def _write_version(root: Path, version: str, entry: str, reference: str, dry_run: bool) -> None:
    """Write version and changelog of a release and commit them, with the fragments of the changelog that they hold now."""
    setup = text_at(reference, checks.SETUP, root)
    changelog = text_at(reference, checks.CHANGELOG, root)
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    print(f"  setup.py      {versions.project_version(setup)} → {version}")
    print(f"  CHANGELOG.md  ## [{version}] - {today}")
    new = {checks.CHANGELOG: versions.with_release(changelog, version, today)}
    if new[checks.CHANGELOG] == changelog:
        new = {}
    if (raised := versions.with_version(setup, version)) != setup:
        new[checks.SETUP] = raised
    _commit(root, new, version, entry, reference, dry_run)


def _commit(root: Path, new: dict[str, str], version: str, more: str, reference: str, dry_run: bool) -> None:
    """Commit new texts of files and the fragments of a commit, whose text `more` goes into the version's entry."""
    collected = fragments.in_commit(reference, root)
    if collected:
        changelog = new.get(checks.CHANGELOG, text_at(reference, checks.CHANGELOG, root))
        entry = fragments.joined(versions.changelog_entry(changelog, version), more)
        new = {**new, checks.CHANGELOG: versions.with_entry(changelog, version, entry)}
        print(f"  {fragments.FOLDER}   {len(collected)} collected")
    if not new:
        return
    if not dry_run:
        for name, text in new.items():
            (root / name).write_text(text, encoding="utf-8")
    _git(dry_run, root, "add", *new)
    if collected:
        _git(dry_run, root, "rm", "--quiet", "--", *collected)
    _git(dry_run, root, "commit", "--message", f"Version {version}", "--", *new, *collected)


def _git(dry_run: bool, root: Path, *arguments: str) -> None:
    shown = " ".join(f"'{part}'" if " " in part or "\n" in part else part for part in arguments)
    print(f"git {shown}")
    if not dry_run:
        git(*arguments, root=root, env=identity(root))
