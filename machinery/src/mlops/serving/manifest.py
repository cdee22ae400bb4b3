"""A bundle's manifest: what is served, its signature, and the digest of every file, verified before anything is loaded."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mlops.errors import UserError
from mlops.serving.signature import TYPES, Column, Signature

MANIFEST = "manifest.json"
SEAL = "manifest.json.sha256"
LAYOUT = 2


class BundleDamaged(UserError):
    """Raised when a bundle's files are not the ones that its manifest names, saying which file."""


@dataclass(frozen=True)
class Bundle:
    """A verified bundle on disk; its signature is what requests hold."""

    folder: Path
    content: dict[str, Any]
    digest: str
    signature: Signature

    @cached_property
    def inputs(self) -> Signature:
        """What the model itself takes: the signature, but where requests hold raw rows."""
        raw = self.content.get("raw")
        return signature_of({"signature": raw["model"]}) if raw else self.signature

    @property
    def name(self) -> str:
        """The use case that is served."""
        return str(self.content["use_case"])

    @property
    def number(self) -> str:
        """The version number, 1.2.3."""
        return str(self.content["version"]["number"])

    @property
    def format(self) -> str:
        """onnx, skops or pyfunc."""
        return str(self.content["format"])

    @property
    def example(self) -> dict[str, Any]:
        """A row of the holdout, in the signature's order."""
        return {name: self.content["example"][name] for name in self.signature.names}

    @property
    def identity(self) -> dict[str, Any]:
        """What /version answers: number, version, run, commit and digests."""
        return {"use_case": self.name, **self.content["version"], "format": self.format, "digest": self.digest} | {
            "files": self.content["files"]
        }


def seal(folder: Path, content: dict[str, Any]) -> str:
    """Write the manifest with the digests of the files in the folder; returns the manifest's own digest."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    content = content | {"layout": LAYOUT, "files": {path.relative_to(folder).as_posix(): digest_of(path) for path in files}}
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    digest = digest_of(folder / MANIFEST)
    (folder / SEAL).write_text(f"{digest}  {MANIFEST}\n", encoding="utf-8")
    return digest


def verify(folder: Path) -> Bundle:
    """The bundle in a folder, after the digest of every file was checked. Raises BundleDamaged naming the file."""
    if not (folder / MANIFEST).is_file() or not (folder / SEAL).is_file():
        raise BundleDamaged(f"{folder} is not a bundle: {MANIFEST} or {SEAL} is missing; write one with: mlops bundle")
    digest = digest_of(folder / MANIFEST)
    if (folder / SEAL).read_bytes() != f"{digest}  {MANIFEST}\n".encode():
        raise _damaged(folder, f"{MANIFEST} and {SEAL} do not agree")
    content = json.loads((folder / MANIFEST).read_bytes())
    if content.get("layout") != LAYOUT:
        raise BundleDamaged(
            f"{folder / MANIFEST} has layout {content.get('layout')}, this server reads {LAYOUT}: bundle again"
        )
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {MANIFEST, SEAL}
    for name in sorted(content["files"].keys() | present):
        if name not in present:
            raise _damaged(folder, f"{name} is missing")
        if name not in content["files"]:
            raise _damaged(folder, f"{name} is not in the manifest")
        if digest_of(folder / name) != content["files"][name]:
            raise _damaged(folder, f"{name} has another digest than the manifest says")
    return Bundle(folder, content, digest, signature_of(content))


def signature_of(content: dict[str, Any]) -> Signature:
    """The signature that a manifest holds."""
    given = content["signature"]
    columns = tuple(Column(**column) for column in given["inputs"])
    return Signature(columns, given["limit"], tuple(given["params"]), features="raw" not in content)


def columns_of(schema: list[dict[str, Any]], where: str) -> list[Column]:
    """The columns of an MLflow input schema. Raises UserError for what a server of rows cannot take."""
    columns = []
    for item in schema:
        if item.get("type") not in TYPES or not item.get("name"):
            raise UserError(
                f"{where}: the signature has an input that is not a named column of a simple type ({item.get('type')});"
                f" log the model with a signature inferred from a DataFrame"
            )
        columns.append(Column(item["name"], item["type"], item.get("required", True)))
    return columns


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _damaged(folder: Path, what: str) -> BundleDamaged:
    return BundleDamaged(f"the bundle {folder} is damaged: {what}; build it again with: mlops bundle")
