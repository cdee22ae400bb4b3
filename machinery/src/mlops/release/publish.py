"""GitHub releases by REST: made as a draft, filled, then published, so that nobody sees half of one.

A run that is repeated finds what is there and adds what is missing. Reference: https://docs.github.com/en/rest/releases
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlops import digests
from mlops.errors import StoreUnreachable, UserError
from mlops.gitflow import github
from mlops.release.manifest import FILE, Release, parse

TIMEOUT = 120
TYPES = {".json": "application/json", ".md": "text/markdown", ".zip": "application/zip"}


def find(repository: github.Repository, tag: str) -> dict[str, Any] | None:
    """The release of a tag, a draft included, None where there is none; a published one counts before a draft."""
    releases = [row for row in github.listed(repository, "releases") if row["tag_name"] == tag]
    return min(releases, key=lambda row: bool(row["draft"]), default=None)


def release_of(repository: github.Repository, tag: str) -> Release | None:
    """What the published release of a tag stands for, None where there is none or it has no release.json."""
    release = find(repository, tag)
    asset = next((row for row in (release or {}).get("assets", []) if row["name"] == FILE), None)
    if release is None or release["draft"] or asset is None:
        return None
    return parse(download(repository, asset["url"]).decode("utf-8"), f"{FILE} of {tag}")


def refuse_other_versions(release: Release, record: Mapping[str, str]) -> None:
    """Raise UserError where release.json names another version than training has recorded for the commit."""
    for name, model in sorted(release.models.items()):
        if record.get(name) != model.number:
            raise UserError(
                f"release.json of {release.tag} has {name} {model.number}, training recorded {record.get(name, 'none')}"
                " for its commit: the published file was changed; release the commit again under a new tag"
            )


def fetch(repository: github.Repository, tag: str) -> Release:
    """What the published release of a tag stands for; raises UserError where there is none."""
    release = release_of(repository, tag)
    if release is None:
        raise UserError(f"{tag} has no published release with a {FILE}: run the workflow `release` on the tag again")
    return release


def refuse_moved(repository: github.Repository, tag: str, commit: str) -> None:
    """Raise UserError where the tag's published release stands for another commit: the tag was moved."""
    release = release_of(repository, tag)
    if release and release.commit != commit:
        raise UserError(
            f"{tag} is published for commit {release.commit[:12]} and stands at {commit[:12]} now: a published release "
            f"is not rewritten; put the tag back (git push --force origin {release.commit}:refs/tags/{tag}) "
            "or release a higher version"
        )


def publish(
    repository: github.Repository, release: Release, notes: str, assets: Sequence[Path], candidate: bool
) -> dict[str, Any]:
    """Publish the release with its assets and return what GitHub says of it; assets that are there already are kept.

    An asset of other content takes the place of the one that is there; notes that are published stay, as somebody may have
    written them. Raises GitHubError where the token may not, UserError as `refuse_moved` does.
    """
    refuse_moved(repository, release.tag, release.commit)
    wish = {"name": release.tag, "body": notes, "prerelease": candidate, "make_latest": "false" if candidate else "legacy"}
    existing = find(repository, release.tag)
    if existing and not existing["draft"] and existing.get("body"):
        wish = {}
    if existing is None:
        existing = github.call(repository, "POST", "releases", {"tag_name": release.tag, "draft": True, **wish})
    kept = {row["name"]: row for row in existing.get("assets", [])}
    for file in assets:
        old = kept.get(file.name)
        if old and old.get("digest") == f"sha256:{digests.of_file(file)}":
            continue
        if old:
            github.call(repository, "DELETE", f"releases/assets/{old['id']}")
        upload(repository, existing["upload_url"], file)
    return dict(github.call(repository, "PATCH", f"releases/{existing['id']}", {**wish, "draft": False}))


def upload(repository: github.Repository, address: str, file: Path) -> None:
    """Add a file to a release; `address` is its upload_url, whose template part is left out."""
    _request(
        repository,
        "POST",
        address.partition("{")[0],
        params={"name": file.name},
        data=file.read_bytes(),
        headers={"Content-Type": TYPES.get(file.suffix, "application/octet-stream")},
    )


def download(repository: github.Repository, address: str) -> bytes:
    """The bytes of an asset; requests leaves the token behind when GitHub sends it on to another host."""
    return bytes(_request(repository, "GET", address, headers={"Accept": "application/octet-stream"}).content)


def _request(repository: github.Repository, method: str, address: str, headers: dict[str, str], **more: Any) -> Any:
    import requests

    authorization = {"Authorization": f"Bearer {repository.token}"} if repository.token else {}
    try:
        answer = requests.request(method, address, headers={**authorization, **headers}, timeout=TIMEOUT, **more)
    except requests.RequestException as error:
        raise StoreUnreachable(
            f"GitHub does not answer at {address.partition('?')[0]}: {error}; run it again later"
        ) from error
    if answer.status_code >= 500:
        raise StoreUnreachable(f"GitHub answered {answer.status_code} to {method} {address}: run it again later")
    if answer.status_code >= 400:
        raise github.GitHubError(answer.status_code, f"GitHub refused {method} {address} ({answer.status_code})")
    return answer
