"""release.json: what a tag stands for, from the image's digest back to version, run, commit and data.

It is an asset of the GitHub release; a deployment takes nothing else.
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import Field, ValidationError, field_validator, model_validator

from mlops import files
from mlops.config.base import Frozen
from mlops.errors import UserError
from mlops.gitflow import tags

FILE = "release.json"
SHA256 = r"^[0-9a-f]{64}$"
COMMIT = r"^[0-9a-f]{40}$"
IMAGE = r"^[a-z0-9][a-z0-9._:/-]*@sha256:[0-9a-f]{64}$"


class Model(Frozen):
    """One use case of a release. `image` is a name with a digest; `server` is the digest of what the image holds beside the
    bundle; `promoted` names the tag whose image it is, "" where it was built for this one.
    """

    number: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    run_id: str = Field(min_length=1)
    key: str = Field(pattern=SHA256)
    commit: str = Field(pattern=COMMIT)
    data: str = Field(pattern=SHA256)
    metrics: dict[str, float] = Field(min_length=1)
    bundle: str = Field(pattern=SHA256)
    server: str = Field(pattern=SHA256)
    image: str = Field(pattern=IMAGE)
    promoted: str = ""


class Release(Frozen):
    """What a tag stands for; it goes to the environment that its tag names."""

    tag: str
    version: str
    commit: str = Field(pattern=COMMIT)
    environment: str
    models: dict[str, Model] = Field(min_length=1)

    @field_validator("tag")
    @classmethod
    def _is_a_tag(cls, value: str) -> str:
        if not tags.PATTERN.fullmatch(value):
            raise ValueError(f"{value!r} is no release tag")
        return value

    @model_validator(mode="after")
    def _agrees_with_its_tag(self) -> Release:
        tag = tags.parse(self.tag)
        if (tag.version, tag.environment) != (self.version, self.environment):
            raise ValueError(f"{self.tag} is version {tag.version} for {tag.environment}, not {self.version}")
        return self


def parse(text: str, where: str) -> Release:
    """The release that a text holds; raises UserError naming the place and the first key that is wrong."""
    try:
        return Release.model_validate(json.loads(text))
    except json.JSONDecodeError as error:
        raise UserError(f"{where}:{error.lineno}: not JSON; fetch it again: mlops release fetch TAG") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise UserError(f"{where}: {key}: {first['msg']}; fetch it again: mlops release fetch TAG") from None


def read(file: Path) -> Release:
    """The release in a file; raises UserError where it is missing or wrong."""
    try:
        return parse(file.read_text(encoding="utf-8"), str(file))
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}; fetch it with: mlops release fetch TAG") from None


def write(file: Path, release: Release) -> None:
    """Write a release as JSON, atomically."""
    files.write_json(file, release.model_dump(mode="json"))


def refuse_wrong_environment(release: Release, environment: str) -> None:
    """Raise UserError for a release candidate that is meant to go anywhere but to staging."""
    if release.environment == "staging" != environment:
        raise UserError(f"{release.tag} is a release candidate, it goes to staging only: tag its version on main")
