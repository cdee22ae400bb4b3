"""Where a version comes from: version → run → commit → pull request, data, configuration, environment."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mlops import git
from mlops.config import Project
from mlops.registry.versions import Version

# How GitHub names a pull request in the message of the commit that it makes: squashed or rebased, and merged.
PULL_REQUESTS = (re.compile(r"\(#(\d+)\)\s*$"), re.compile(r"^Merge pull request #(\d+) "))


@dataclass(frozen=True)
class Origin:
    """What a version was made from; a digest is SHA-256, `pull_request` and `subject` are None where the clone cannot tell."""

    use_case: str
    number: str
    version: str
    run_id: str
    model_id: str
    commit: str
    branch: str
    dirty: bool
    pull_request: int | None
    subject: str | None
    key: str
    code: str
    machinery: str
    config: str
    data: str
    environment: str


def origin(project: Project, version: Version) -> Origin:
    """Return what a version was made from, by its tags and the commit's message."""
    tags = version.tags
    subject = subject_of(project.root, tags["git_commit"])
    return Origin(
        use_case=tags["use_case"],
        number=version.number,
        version=version.version,
        run_id=version.run_id,
        model_id=version.model_id,
        commit=tags["git_commit"],
        branch=tags["git_branch"],
        dirty=tags["git_dirty"] == "true",
        pull_request=pull_request(subject or ""),
        subject=subject,
        key=tags["key"],
        code=tags["code_digest"],
        machinery=tags["machinery_digest"],
        config=tags["config_digest"],
        data=tags["data_digest"],
        environment=tags["environment_digest"],
    )


def pull_request(subject: str) -> int | None:
    """Return the number of the pull request that the first line of a commit's message names."""
    found = next((match for pattern in PULL_REQUESTS if (match := pattern.search(subject))), None)
    return int(found[1]) if found else None


def subject_of(root: Path, commit: str) -> str | None:
    """Return the first line of a commit's message; None where this clone does not have the commit."""
    done = git.run("log", "-1", "--format=%s", commit, root=root)
    return done.stdout.strip() if not done.returncode else None
