"""What the stories share: a thin project, a pull request, a push, a tag, and a deployment that is asked for by hand."""

from __future__ import annotations

import json
import subprocess
import tempfile
import zipfile
from pathlib import Path

import events
import offline
import registry
import triggers
from fake_github import FakeGitHub
from offline import Project, Run, git

from mlops.project import wheel


def published(folder: Path, github: FakeGitHub) -> Project:
    """The thin project in `folder`, pushed, with its wheel where the stand-in of setup-python has Python look."""
    root, origin = folder / "project", folder / "origin.git"
    offline.publish(root, origin)
    git(origin, "branch", "dev", "main")
    project = Project(root, origin, offline.equip(folder / "work"), github.url)
    with zipfile.ZipFile(root / wheel.present(root).path) as archive:
        archive.extractall(project.work / "site")
    return project


def pull_request(project: Project, head: str, base: str, *more: str) -> Run:
    """Run what a pull request starts, on its head."""
    assert "pull-request.yml" in triggers.started(project.root / ".github" / "workflows", "pull_request", base, "opened")
    project.forget_artifacts()
    git(project.root, "fetch", "--quiet", "origin")
    git(project.root, "checkout", "--quiet", "-B", head, f"origin/{head}")
    sha = git(project.root, "rev-parse", "HEAD")
    payload = events.pull_request(head, base, sha, git(project.root, "rev-parse", f"origin/{base}"))
    return project.run("pull-request.yml", "pull_request", payload, *more)


def push(project: Project, branch: str, workflow: str = "train.yml", bot: str = "") -> Run:
    """Run one of the workflows that a push of the branch starts."""
    assert workflow in triggers.started(project.root / ".github" / "workflows", "push", f"refs/heads/{branch}")
    project.forget_artifacts()
    git(project.root, "fetch", "--quiet", "origin")
    git(project.root, "checkout", "--quiet", "-B", branch, f"origin/{branch}")
    commit, before = (git(project.root, "rev-parse", place) for place in ("HEAD", "HEAD^1"))
    payload = events.push(branch, commit=commit, before=before)
    return project.run(workflow, "push", payload, bot=bot)


def tag(project: Project, place: str, *more: str) -> str:
    """Tag a branch at origin with the command that a person has for it, and return the tag."""
    git(project.root, "fetch", "--quiet", "origin", "--tags")
    git(project.root, "checkout", "--quiet", "-B", place, f"origin/{place}")
    done = project.mlops("gitflow", "tag", *more)
    assert done.returncode == 0, done.stderr
    return git(project.root, "describe", "--tags", "--exact-match", f"origin/{place}")


def release(project: Project, name: str, host: str, *more: str) -> Run:
    """Run what a pushed tag starts, with the registry at `host`."""
    assert triggers.started(project.root / ".github" / "workflows", "push", f"refs/tags/{name}") == {"release.yml"}
    project.forget_artifacts()
    git(project.root, "fetch", "--quiet", "--force", "origin", "--tags", "+refs/heads/*:refs/remotes/origin/*")
    git(project.root, "checkout", "--quiet", "--detach", name)
    return project.run("release.yml", "push", events.tag(name), *_registry(host), *more)


def dispatch(project: Project, host: str, *more: str, **inputs: str) -> Run:
    """Run the deployment that somebody asks for by hand, on main."""
    project.forget_artifacts()
    git(project.root, "fetch", "--quiet", "origin")
    git(project.root, "checkout", "--quiet", "-B", "main", "origin/main")
    return project.run("deploy.yml", "workflow_dispatch", events.dispatch("main", **inputs), *_registry(host), *more)


def digest_at(host: str, name: str, tag: str) -> str:
    """The digest of an image that a registry really holds, by pulling it with a login of its own."""
    with tempfile.TemporaryDirectory() as folder:
        docker = ["docker", "--config", folder]
        password = ["--username", registry.USER, "--password-stdin"]
        subprocess.run(
            [*docker, "login", *password, host], input=registry.PASSWORD, check=True, capture_output=True, text=True
        )
        done = subprocess.run([*docker, "pull", f"{host}/{name}:{tag}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(line.removeprefix("Digest: ") for line in done.stdout.splitlines() if line.startswith("Digest: "))


def logins(project: Project) -> list[str]:
    """The registries that the machine's own configuration of Docker holds a password for: a job's is gone with the job."""
    file = project.work / "home" / ".docker" / "config.json"
    return list(json.loads(file.read_text()).get("auths", {})) if file.exists() else []


def _registry(host: str) -> list[str]:
    user, password = f"MLOPS_REGISTRY_USERNAME={registry.USER}", f"MLOPS_REGISTRY_PASSWORD={registry.PASSWORD}"
    return ["--var", f"MLOPS_REGISTRY={host}", "--var", user, "--secret", password]
