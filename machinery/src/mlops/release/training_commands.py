"""The commands of a release that are about what comes before it and after it: its training run, its target."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from mlops import console

if TYPE_CHECKING:
    from mlops.config import Project
    from mlops.gitflow.github import Repository

TAG = typer.Argument(help="The release tag: vX.Y.Z or vX.Y.Z-rc.N.")
JSON = typer.Option(False, "--json", help="Print the result as JSON.")


def wait(
    tag: str = TAG,
    timeout: float = typer.Option(90.0, "--timeout", min=0, help="Seconds to look again, for a run in its last steps."),
    poll: float = typer.Option(15.0, "--poll", min=0.01, help="Seconds between two looks."),
    json: bool = JSON,
) -> None:
    """Check whether the training run of the tagged commit is done; one that is under way starts the release when it ends.

    Where there is no such run, the plan finds out whether the commit was registered.

    Example: mlops release wait v1.4.0 --timeout 600
    """
    from mlops import runner
    from mlops.release import wait as waiting

    project = load_project()
    commit = commit_of(project, tag)
    state = waiting.for_training(github_of(project), commit, timeout, poll, console.note)
    runner.output("ready", "false" if state.word == "under way" else "true")
    if state.word == "under way":
        runner.notice(
            f"{tag} is not released yet: its commit is being trained, and {state.link} starts the release when it is done"
        )
    if json:
        console.as_json({"commit": commit, "training": state.word, "run": state.link or None})
    else:
        console.note(f"the training of commit {commit[:12]}: {state.word} {state.link}".rstrip())


def resume(json: bool = JSON) -> None:
    """Start the releases of the tags at this commit that came while it was trained; those that are published stay as they are.

    Example: mlops release resume --json
    """
    from mlops import runner
    from mlops.git import credentials, git
    from mlops.gitflow import github
    from mlops.release import publish as publishing
    from mlops.release import wait as waiting

    project = load_project()
    listed = git("ls-remote", "--tags", "origin", root=project.root, env=credentials(project.root))
    tags = waiting.tags_at(listed, git("rev-parse", "HEAD", root=project.root))
    repo, started = (github_of(project) if tags else None), list[str]()
    try:
        if repo:
            started = waiting.resume(repo, tags, lambda tag: publishing.release_of(repo, tag) is not None)
    except github.GitHubError as refused:
        runner.notice(f"run the workflow `release` on {', '.join(tags)} again: {refused}", "warning")
    if json:
        console.as_json({"tags": tags, "started": started})
    else:
        console.note(f"started: {', '.join(started) or 'nothing, no tag of this commit waits'}")


def target(environment: str = typer.Argument(help="staging or production."), json: bool = JSON) -> None:
    """Say whether something is deployed to an environment, or the image is only verified.

    Example: mlops release target production --json
    """
    from mlops import runner

    deployed = deploys(load_project(), environment)
    runner.output("deploys", "true" if deployed else "false")
    if json:
        console.as_json({"environment": environment, "deploys": deployed})
    else:
        console.note(f"{environment}: {'deployed' if deployed else 'verified, not deployed'}")


def deploys(project: Project, environment: str) -> bool:
    """Return whether an environment has a target; one that is not configured is left to the deployment, which refuses it."""
    configured = project.deploy.get(environment)
    return configured is None or configured.target != "none"


def load_project() -> Project:
    """Return the project; the configuration is read only by the commands that need it."""
    from mlops import config

    return config.load_project()


def github_of(project: Project) -> Repository:
    """Return the project's repository on GitHub."""
    from mlops.git import repository
    from mlops.gitflow import github

    return github.connect(repository(project.root))


def commit_of(project: Project, tag: str) -> str:
    """Return the commit of a tag; raise UserError where it is not here or another commit is checked out."""
    from mlops.errors import UserError
    from mlops.git import exists, git
    from mlops.gitflow import tags

    tags.parse(tag)
    if not exists(f"refs/tags/{tag}", project.root):
        raise UserError(f"there is no tag {tag} here: git fetch origin --tags")
    commit = git("rev-parse", f"refs/tags/{tag}^{{commit}}", root=project.root)
    if git("rev-parse", "HEAD", root=project.root) != commit:
        raise UserError(f"{tag} is not what is checked out: git switch --detach {tag}")
    return commit
