"""Where a version comes from and where it went.

image → version → run → commit → pull request, data, configuration, environment; version → deployments
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mlops import git
from mlops.config import Project, unknown
from mlops.errors import UserError
from mlops.registry import versions
from mlops.registry.versions import Version

if TYPE_CHECKING:
    from mlops.registry.deployment_log import Deployment

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
    commit = tags.get("git_commit", "")
    subject = subject_of(project.root, commit) if commit else None
    return Origin(
        use_case=tags["use_case"],
        number=version.number,
        version=version.version,
        run_id=version.run_id,
        model_id=version.model_id,
        commit=commit,
        branch=tags.get("git_branch", ""),
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
    number = next((match for pattern in PULL_REQUESTS if (match := pattern.search(subject))), None)
    return int(number[1]) if number else None


def subject_of(root: Path, commit: str) -> str | None:
    """Return the first line of a commit's message; None where this clone does not have the commit."""
    done = git.run("log", "-1", "--format=%s", commit, root=root)
    return done.stdout.strip() if not done.returncode else None


@dataclass(frozen=True)
class Lineage:
    """A version from its image back to what it was made from, and forward to where it went; the newest deployment first."""

    origin: Origin
    aliases: tuple[str, ...]
    data: list[dict[str, Any]]
    images: tuple[str, ...]
    bundles: tuple[str, ...]
    deployments: list[Deployment]


def trace(project: Project, subject: str, ref: str | None = None) -> Lineage:
    """Return the lineage of `NAME@REF`, of `NAME` with a ref, or of an image by its reference, digest or bundle's digest.

    An image is looked for in the deployment log, then among those of this machine, by their labels.
    Raises UserError for a version or image that is not known.
    """
    from mlops.registry import deployment_log

    name, ref, image = _subject(project, subject, ref)
    version = versions.resolve(project, name, ref)
    if image and image.run and image.run != version.run_id:
        raise UserError(
            f"{subject}: labelled {name} {ref} of run {image.run}, but the store's {ref} is of run {version.run_id}; "
            "the image comes from another store"
        )
    went = [item for item in deployment_log.history(project, name) if item.number == version.number]
    known = [*([image.name] if image else []), *(item.image for item in went if item.image)]
    return Lineage(
        origin=origin(project, version),
        aliases=version.aliases,
        data=versions.manifest_of(project, version)["data"],
        images=tuple(dict.fromkeys(known)),
        bundles=tuple(dict.fromkeys(item.bundle for item in went if item.bundle)),
        deployments=went,
    )


class Image(NamedTuple):
    """An image that was found: its name, what it serves, and the run that its label names, "" where none does."""

    name: str
    use_case: str
    number: str
    run: str


def _subject(project: Project, subject: str, ref: str | None) -> tuple[str, str | None, Image | None]:
    """Return use case, ref and, where an image was asked for, what it is."""
    name, _, after = subject.partition("@")
    if ref is None and (name or project.default_use_case) in project.use_cases and not after.startswith("sha256:"):
        return name or project.default_use_case, after or None, None
    if ref is not None:
        return subject, ref, None
    image = _in_log(project, subject) or _on_this_machine(subject)
    if image is None:
        raise UserError(
            f"{unknown(project, name)}; nor is it an image of the deployment log or of this machine; "
            "ask as NAME@production, NAME@1.2.3, or by the image's digest"
        )
    return image.use_case, image.number, image


def _in_log(project: Project, subject: str) -> Image | None:
    """The image or bundle of a deployment; a digest counts from 12 characters on, as it is shown."""
    from mlops.registry import deployment_log

    digest = re.search(r"[0-9a-f]{12,64}$", subject)
    for name in project.use_cases:
        for item in deployment_log.history(project, name):
            held = item.image.rpartition("@sha256:")[2] if "@sha256:" in item.image else ""
            by_digest = digest and any(known.startswith(digest[0]) for known in (held, item.bundle) if known)
            if by_digest or (item.image and item.image == subject):
                return Image(item.image, name, item.number, "")
    return None


def _on_this_machine(subject: str) -> Image | None:
    """The image of that name or id, by the labels that `mlops image` writes."""
    try:
        done = subprocess.run(["docker", "image", "inspect", subject], capture_output=True, text=True)
    except FileNotFoundError:
        return None
    details = json.loads(done.stdout)[0] if done.returncode == 0 else {}
    labels = details.get("Config", {}).get("Labels") or {}
    if "io.mlops.run" not in labels:
        return None
    title, version = (labels.get(f"org.opencontainers.image.{key}", "") for key in ("title", "version"))
    return Image(subject, title, version, labels["io.mlops.run"])


def rows(lineage: Lineage) -> list[tuple[str, str]]:
    """Return a lineage as a table: what, and what it is, from the image back to the data."""
    origin = lineage.origin
    dirty = " with uncommitted changes" if origin.dirty else ""
    return [
        *(("image", image) for image in lineage.images),
        *(("bundle", bundle) for bundle in lineage.bundles),
        ("version", f"{origin.number} (MLflow's {origin.version})"),
        ("aliases", ", ".join(lineage.aliases) or "–"),
        ("run", origin.run_id),
        ("model", origin.model_id),
        ("commit", f"{origin.commit}{dirty}"),
        ("branch", origin.branch),
        ("pull request", f"#{origin.pull_request}" if origin.pull_request else "–"),
        ("subject", origin.subject or "– (the commit is not in this clone)"),
        *((f"data {item['file']}", f"{item['rows']} rows, {item['sha256']}") for item in lineage.data),
        *((name, getattr(origin, name)) for name in ("key", "code", "machinery", "config", "environment")),
    ]
