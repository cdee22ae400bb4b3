"""What a release has to do, decided from facts: which use cases are served, which image may be taken over, how it is named."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from mlops.errors import UserError
from mlops.gitflow import tags

if TYPE_CHECKING:
    from mlops.release.manifest import Release

REGISTRY = "ghcr.io"


class Promotion(NamedTuple):
    """An image that was made for an earlier tag and is the same that would be built now; `bundle` is the digest in it."""

    tag: str
    image: str
    bundle: str


def served(record: Mapping[str, str], images: Mapping[str, bool]) -> dict[str, str]:
    """Return use case → version number of those that get an image, sorted.

    `record` is the release record of the commit, `images` says of each use case of the project whether it is served by one.
    Raises UserError for a use case that is to be served and that the record does not hold.
    """
    missing = sorted(name for name, image in images.items() if image and name not in record)
    if missing:
        raise UserError(f"the release record lacks {', '.join(missing)}: run the workflow `train` on this commit")
    return {name: record[name] for name in sorted(record) if images.get(name)}


def candidates(tag: str, known: Iterable[str]) -> list[str]:
    """Return the tags whose images may be taken over: the tag itself (a run that is repeated), for a release its candidates
    from the newest on.
    """
    parsed = tags.parse(tag)
    if parsed.candidate:
        return [tag]
    fitting = [name for name in known if tags.PATTERN.fullmatch(name) and tags.parse(name).version == parsed.version]
    return [tag, *sorted((name for name in fitting if name != tag), key=lambda name: -tags.parse(name).candidate)]


def promotion(name: str, number: str, key: str, server: str, earlier: Iterable[Release]) -> Promotion | None:
    """Return the first image that was made of the same version, of the same key and around the same server, else None."""
    for release in earlier:
        model = release.models.get(name)
        if model and (model.number, model.key, model.server) == (number, key, server):
            return Promotion(model.promoted or release.tag, model.image, model.bundle)
    return None


def repository(name: str, project: str) -> str:
    """Return the image's name without tag: registry/owner/repository/use case, in lower case as registries ask for.

    The registry is `MLOPS_REGISTRY` (a host, or a host with a path), else GitHub's. Raises UserError without owner/repository.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", project):
        raise UserError("the repository is not known: set GITHUB_REPOSITORY=owner/name or a remote `origin` on GitHub")
    return f"{registry()}/{project}/{name}".lower()


def registry() -> str:
    """Return the registry that images are pushed to, as `MLOPS_REGISTRY` names it."""
    return (os.environ.get("MLOPS_REGISTRY") or REGISTRY).removeprefix("https://").rstrip("/")


def credentials() -> tuple[str, str, str] | None:
    """Return host, user and password for the registry, None where it needs no login.

    The token of the workflow is for GitHub's registry alone: another one gets MLOPS_REGISTRY_PASSWORD or nothing.
    """
    host = registry().partition("/")[0]
    password = os.environ.get("MLOPS_REGISTRY_PASSWORD", "")
    user = os.environ.get("MLOPS_REGISTRY_USERNAME") or os.environ.get("GITHUB_ACTOR") or "mlops"
    if not password and host == REGISTRY:
        password = os.environ.get("GITHUB_TOKEN") or os.environ.get("GH_TOKEN") or ""
    return (host, user, password) if password else None
