"""The grammar of release tags and what each one starts.

v1.4.0        on main             → production
v1.4.0-rc.2   on release/1.4.0    → staging (on hotfix/1.4.0 as well)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from mlops.errors import UserError
from mlops.gitflow.branches import VERSION

PATTERN = re.compile(rf"v(?P<version>{VERSION})(?:-rc\.(?P<rc>[1-9]\d*))?")


class Tag(NamedTuple):
    """A release tag: the version and, for a release candidate, its number from 1 (0 for a release)."""

    version: str
    candidate: int

    @property
    def environment(self) -> str:
        """Return where the tag deploys to: "staging" or "production"."""
        return "staging" if self.candidate else "production"


def parse(name: str) -> Tag:
    """Return the parts of a tag; raise UserError for a name outside the grammar."""
    match = PATTERN.fullmatch(name)
    if not match:
        raise UserError(f"{name!r} is no release tag: write vX.Y.Z, or vX.Y.Z-rc.N on a release branch")
    return Tag(match["version"], int(match["rc"] or 0))


def branches_for(name: str) -> tuple[str, ...]:
    """Return the branches one of which must hold the tagged commit."""
    tag = parse(name)
    return (f"release/{tag.version}", f"hotfix/{tag.version}") if tag.candidate else ("main",)


def problems(name: str, project_version: str, on: Iterable[str]) -> list[str]:
    """Return why a tag may not be deployed; `on` are the branches that hold its commit, an empty list is a pass."""
    tag = parse(name)
    reasons = []
    wanted = branches_for(name)
    if not set(wanted) & set(on):
        reasons.append(f"{name} is not on {' or '.join(wanted)}: tag a commit of that branch with `mlops gitflow tag`")
    if tag.version != project_version:
        reasons.append(f"{name} tags a commit whose setup.py says {project_version}: tag the commit of that version")
    return reasons


def next_candidate(version: str, tags: Iterable[str]) -> str:
    """Return the next free vX.Y.Z-rc.N of a version."""
    numbers = [parse(tag).candidate for tag in tags if PATTERN.fullmatch(tag) and parse(tag).version == version]
    return f"v{version}-rc.{max(numbers, default=0) + 1}"
