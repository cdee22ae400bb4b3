"""Releases of the machinery at the template's repository: which there are, and the wheel of one by its hash."""

from __future__ import annotations

import hashlib
import os
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from packaging.version import Version

from mlops import folders, vendored
from mlops.config import load_project
from mlops.errors import StoreUnreachable, UserError
from mlops.git import repository
from mlops.gitflow import github
from mlops.project import wheel
from mlops.project.wheel import Wheel

TAG = re.compile(r"machinery-v(?P<version>\d+\.\d+\.\d+)")
TITLE = "A newer machinery is released"
NO_TEMPLATE = (
    "the template's repository is not known here (no `template: owner/name` in config/project.yaml, and GitHub names none): "
    "mlops update --wheel FILE takes a wheel"
)


def template(root: Path) -> str:
    """owner/name of the template: from the configuration, else as GitHub says; "" where neither knows, or it is private."""
    configured = load_project(root).template
    if configured:
        return configured
    own = repository(root)
    if not own:
        return ""
    try:
        answer = github.call(github.connect(own), "GET", "")
    except (UserError, StoreUnreachable):
        return ""
    return str((answer.get("template_repository") or {}).get("full_name", ""))


def newest(name: str, version: str = "") -> tuple[str, dict[str, Any]] | None:
    """Version and wheel of the newest release of the machinery, or of one version; None where there is none to be had."""
    repo = github.connect(name)
    newer = {}
    for release in github.listed(repo, "releases"):
        match = TAG.fullmatch(release["tag_name"])
        wheels = [asset for asset in release.get("assets", []) if vendored.WHEEL.fullmatch(asset["name"])]
        if match and wheels and not release.get("draft") and version in ("", match["version"]):
            newer[match["version"]] = wheels[0]
    best = max(newer, key=Version, default=None)
    return (best, newer[best]) if best else None


def download(root: Path, version: str = "") -> Wheel | None:
    """The wheel of the newest release, or of one version; None where the template is not known.

    Raises UserError where there is no such release, or what comes is not what the release says.
    """
    name = template(root)
    if not name:
        return None
    release = newest(name, version)
    if release is None:
        raise UserError(f"{name} has no release machinery-v{version or 'X.Y.Z'} with a wheel: see its releases on GitHub")
    asset = release[1]
    content = _fetch(asset)
    expected = str(asset.get("digest") or "").removeprefix("sha256:")
    if expected and hashlib.sha256(content).hexdigest() != expected:
        raise UserError(f"{asset['name']} of {name} is not what the release says (its SHA-256 differs): try again later")
    with folders.work_folder() as folder:
        file = folder / asset["name"]
        file.write_bytes(content)
        return wheel.opened(file)


def notify(root: Path) -> str:
    """Open or bring up to date one issue where the template has a newer release; returns what there is to say."""
    name = template(root)
    if not name:
        return NO_TEMPLATE
    machinery = vendored.read(root)
    try:
        release = newest(name)
    except github.GitHubError as refused:
        return f"the releases of {name} are not readable here ({refused}); nothing to tell"
    if machinery.folder:
        return (
            f"the machinery is source here, which no update reaches; the newest release is {release[0] if release else 'none'}"
        )
    if release is None or Version(release[0]) <= Version(machinery.version):
        return f"machinery {machinery.version} is the newest"
    body = f"{name} has released machinery {release[0]}; this project has {machinery.version}.\n\n`make update` brings it."
    github.open_issue(github.connect(repository(root)), TITLE, body)
    return f"machinery {release[0]} is released: an issue says so"


def _fetch(asset: dict[str, Any]) -> bytes:
    request = urllib.request.Request(asset["url"], headers={"Accept": "application/octet-stream"})
    if token := os.environ.get("GITHUB_TOKEN") or os.environ.get("GH_TOKEN"):
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=github.TIMEOUT) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        raise UserError(
            f"{asset['name']} cannot be downloaded ({error.code}); download it by hand: mlops update --wheel FILE"
        ) from None
    except OSError as error:
        raise StoreUnreachable(f"{asset['url']} does not answer: {error}; check the network") from None
