"""What the jobs of a release left behind, brought together: the manifest, and the files to publish beside it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from mlops.errors import UserError
from mlops.files import replacing
from mlops.gitflow import tags
from mlops.release.manifest import Release, parse

SUFFIXES = (".cdx.json", ".card.md")


def names(text: str) -> list[str]:
    """The use cases in a JSON list, sorted; raises UserError for anything else."""
    try:
        listed = json.loads(text)
    except json.JSONDecodeError:
        listed = None
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise UserError(f"{text!r} is no list of use cases in JSON: take the output of mlops release plan")
    return sorted(listed)


def gather(tag: str, commit: str, folder: Path, names: Sequence[str]) -> Release:
    """The release of a tag from folder/NAME/model.json; raises UserError for one that is missing or wrong."""
    missing = [name for name in names if not (folder / name / "model.json").is_file()]
    if missing:
        raise UserError(f"{folder} has no image of {', '.join(missing)}: run the failed jobs of the workflow `release` again")
    if not names:
        raise UserError(f"{tag} has no use case that is served: set serving.image: true in the config of one")
    parsed = tags.parse(tag)
    models = {name: json.loads((folder / name / "model.json").read_text(encoding="utf-8")) for name in names}
    content = {"tag": tag, "version": parsed.version, "commit": commit, "environment": parsed.environment, "models": models}
    return parse(json.dumps(content), str(folder))


def beside(folder: Path, names: Sequence[str]) -> list[Path]:
    """The bills of materials and model cards of the use cases; a card with plots also as an archive that holds them."""
    files = []
    for name in names:
        place = folder / name
        files += [place / f"{name}{suffix}" for suffix in SUFFIXES]
        if (place / f"{name}.card").is_dir():
            parts = [place / f"{name}.card.md", *(place / f"{name}.card").iterdir()]
            files.append(_archive(place, parts, place / f"{name}.card.zip"))
    return [file for file in files if file.is_file()]


def attested(folder: Path, release: Release) -> dict[str, str]:
    """Use case → page of the attestation of its image, for those that have one."""
    files = {name: folder / name / "attestation.json" for name in release.models}
    return {name: json.loads(file.read_text(encoding="utf-8"))["url"] for name, file in files.items() if file.is_file()}


def archive(folder: Path, to: Path) -> Path | None:
    """The pages below a folder as one archive; None where there are none."""
    pages = list(folder.rglob("*.html"))
    return _archive(folder, pages, to) if pages else None


def _archive(root: Path, parts: Iterable[Path], to: Path) -> Path:
    """Files as one archive, named as they are below `root`: the same bytes for the same files."""
    with replacing(to) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as target:
        for part in sorted(parts):
            target.writestr(zipfile.ZipInfo(part.relative_to(root).as_posix()), part.read_bytes(), zipfile.ZIP_DEFLATED)
    return to
