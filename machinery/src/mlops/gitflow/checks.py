"""The checks of a pull request, a branch before it is pushed, and a tag: git's and the event's facts brought to the rules."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

from mlops.errors import UserError
from mlops.git import credentials, current_branch, exists, git, run
from mlops.git import tags as local_tags
from mlops.git import text_at
from mlops.gitflow import branches, fragments, tags, versions

SETUP = "setup.py"
CHANGELOG = "CHANGELOG.md"


class Merge(NamedTuple):
    """What is to be merged into what; `foreign` where the head lies in another repository, `queued` in a merge queue."""

    head: str
    base: str
    foreign: bool
    queued: bool = False


def merge_of(event_name: str, event: dict[str, Any]) -> Merge | None:
    """Return the merge that the event of a workflow is about, None for an event that is about none."""
    if event_name == "merge_group":
        group = event["merge_group"]
        return Merge(_short(group["head_ref"]), _short(group["base_ref"]), False, queued=True)
    pull = event.get("pull_request")
    if not pull:
        return None
    # A fork that was deleted has no repository any more: it is treated as foreign.
    head_repository = (pull["head"].get("repo") or {}).get("full_name", "")
    return Merge(pull["head"]["ref"], pull["base"]["ref"], head_repository != pull["base"]["repo"]["full_name"])


def merge_here(root: Path, head: str, base: str, foreign: bool) -> Merge:
    """Return the merge that a person asks about: the current branch into where its name says, unless given otherwise."""
    head = head or current_branch(root)
    return Merge(head, base or branches.target(head), foreign)


def merge_problems(merge: Merge, root: Path) -> list[str]:
    """Return why the merge is not allowed, one line each: names first, then version, changelog and tags on the way to main."""
    if merge.queued:
        return []
    pending = fragments.in_folder(root)
    problems = branches.problems(merge.head, merge.base, merge.foreign) or fragments.name_problems(pending)
    if problems or merge.base != branches.MAIN:
        return problems
    changelog = root / CHANGELOG
    problems = versions.release_problems(
        merge.head,
        (root / SETUP).read_text(encoding="utf-8"),
        changelog.read_text(encoding="utf-8") if changelog.is_file() else "",
        remote_tags(root),
    )
    if pending:
        problems.append(
            f"{len(pending)} fragments are not in the changelog, first {pending[0]}: run `mlops gitflow collect` and push"
        )
    return problems


def tag_problems(name: str, root: Path) -> list[str]:
    """Return why a tag may not be deployed, one line each; raise UserError where the tag is not there."""
    wanted = tags.branches_for(name)
    if not exists(f"refs/tags/{name}", root):
        raise UserError(f"there is no tag {name} here: git fetch origin --tags")
    commit = git("rev-parse", f"refs/tags/{name}^{{commit}}", root=root)
    holding = [branch for branch in wanted if _holds(branch, commit, root)] or _merged(name, commit, root)
    problems = tags.problems(name, versions.project_version(git("show", f"{commit}:{SETUP}", root=root)), holding)
    return problems + versions.entry_problems(tags.parse(name).version, text_at(commit, CHANGELOG, root))


def remote_tags(root: Path) -> list[str]:
    """Return the names of the tags at origin; where it does not answer, of those known here."""
    done = run("ls-remote", "--tags", "--refs", "origin", root=root, env=credentials(root))
    if done.returncode:
        return local_tags(root)
    return re.findall(r"refs/tags/(\S+)$", done.stdout, flags=re.MULTILINE)


def _holds(branch: str, commit: str, root: Path) -> bool:
    return run("merge-base", "--is-ancestor", commit, f"refs/remotes/origin/{branch}", root=root).returncode == 0


def _merged(name: str, commit: str, root: Path) -> list[str]:
    """Return the branch of a release candidate where it was merged into main and is gone, so that it can be run again."""
    wanted = tags.branches_for(name)
    gone = not any(exists(f"refs/remotes/origin/{branch}", root) for branch in wanted)
    return [wanted[0]] if tags.parse(name).candidate and gone and _holds(branches.MAIN, commit, root) else []


def _short(reference: str) -> str:
    return reference.removeprefix("refs/heads/")
