"""The project's version in setup.py and its changelog: read, raised, checked against branch and tags.

The version follows Semantic Versioning (https://semver.org), the changelog the headings of
https://keepachangelog.com: `## [1.0.0] - 2026-11-21`; `## [Unreleased]` is read where a changelog has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from mlops.errors import UserError
from mlops.gitflow.branches import VERSION, version_of

ASSIGNMENT = re.compile(rf"""(?m)^(\s*version\s*=\s*)(["'])({VERSION})\2""")
HEADING = re.compile(r"(?m)^## \[(?P<name>[^\]]+)\](?: - (?P<date>\d{4}-\d{2}-\d{2}))?[ \t]*$")


def parts(version: str) -> tuple[int, int, int]:
    """Return (major, minor, patch); raise UserError for anything but X.Y.Z without leading zeros."""
    if not re.fullmatch(VERSION, version):
        raise UserError(f"{version!r} is no version: write it X.Y.Z, for example 1.4.0")
    major, minor, patch = (int(part) for part in version.split("."))
    return major, minor, patch


def raised(version: str, level: str) -> str:
    """Return the next version: level is "major", "minor", "patch" or the version itself."""
    major, minor, patch = parts(version)
    steps = {"major": (major + 1, 0, 0), "minor": (major, minor + 1, 0), "patch": (major, minor, patch + 1)}
    return ".".join(map(str, steps[level])) if level in steps else ".".join(map(str, parts(level)))


def project_version(setup_py: str) -> str:
    """Return the version in the text of setup.py; raise UserError unless it stands there exactly once."""
    assigned = ASSIGNMENT.findall(setup_py)
    if len(assigned) != 1:
        raise UserError(f'setup.py has {len(assigned)} lines version="x.y.z", it must have exactly one: fix it there')
    return str(assigned[0][2])


def with_version(setup_py: str, version: str) -> str:
    """Return the text of setup.py with its version replaced."""
    project_version(setup_py)
    return ASSIGNMENT.sub(rf"\g<1>\g<2>{version}\g<2>", setup_py)


def changelog_versions(changelog: str) -> list[str]:
    """Return the released versions in the order in which the changelog lists them, newest first."""
    return [match["name"] for match in HEADING.finditer(changelog) if re.fullmatch(VERSION, match["name"]) and match["date"]]


def changelog_entry(changelog: str, version: str) -> str:
    """Return the text under a version's heading ("" where there is none), for release notes."""
    headings = list(HEADING.finditer(changelog))
    for index, match in enumerate(headings):
        if match["name"] == version:
            end = headings[index + 1].start() if index + 1 < len(headings) else len(changelog)
            return changelog[match.end() : end].strip()
    return ""


def with_release(changelog: str, version: str, date: str) -> str:
    """Return the changelog with a heading for the version, and under it what stood under Unreleased.

    A missing or empty changelog becomes one with this entry alone; a version that already has its heading changes nothing.
    No new Unreleased follows: what comes next has a file of its own, so that no two branches write to the same lines.
    """
    if version in changelog_versions(changelog):
        return changelog
    heading = f"## [{version}] - {date}"
    for match in HEADING.finditer(changelog):
        if match["name"].lower() == "unreleased":
            rest = changelog[match.end() :].lstrip("\n")
            return f"{changelog[: match.start()]}{heading}\n" + (f"\n{rest}" if rest else "")
    match_first = HEADING.search(changelog)
    if match_first:
        start = match_first.start()
        return f"{changelog[:start]}{heading}\n\n{changelog[start:]}"
    return (changelog.rstrip("\n") + "\n\n" if changelog.strip() else "# Changelog\n\n") + f"{heading}\n"


def with_entry(changelog: str, version: str, entry: str) -> str:
    """Return the changelog with another text under a version's heading, which must be there."""
    headings = list(HEADING.finditer(changelog))
    index = next(index for index, match in enumerate(headings) if match["name"] == version)
    rest = changelog[headings[index + 1].start() :] if index + 1 < len(headings) else ""
    return f"{changelog[: headings[index].end()]}\n\n{entry.strip()}\n" + (f"\n{rest}" if rest else "")


def latest(tags: Iterable[str]) -> str:
    """Return the greatest released version among tags vX.Y.Z ("" when there is none); other tags are passed over."""
    versions = [tag[1:] for tag in tags if re.fullmatch(f"v{VERSION}", tag)]
    return max(versions, key=parts, default="")


def entry_problems(version: str, changelog: str) -> list[str]:
    """Return why the changelog does not fit a version, whose entry comes first; an empty list is a pass."""
    released = changelog_versions(changelog)
    if version not in released:
        return [f"CHANGELOG.md has no entry for {version}: add the heading `## [{version}] - YYYY-MM-DD`"]
    if released[0] != version:
        return [f"CHANGELOG.md has {released[0]} above {version}: the entry of the release comes first"]
    return []


def release_problems(branch: str, setup_py: str, changelog: str, tags: Iterable[str]) -> list[str]:
    """Return why a release or hotfix branch is not ready for main; an empty list is a pass, other branches always pass."""
    version = version_of(branch)
    if not version:
        return []
    problems = []
    project = project_version(setup_py)
    if project != version:
        problems.append(f'the branch says {version}, setup.py says {project}: set version="{version}" in setup.py')
    problems += entry_problems(version, changelog)
    newest_tag = latest(tags)
    if newest_tag and parts(version) <= parts(newest_tag):
        problems.append(f"{version} is not greater than the latest tag v{newest_tag}: rename the branch to a higher version")
    return problems
