"""What `mlops new` and `mlops adopt` ask: names and choices of a project, by prompt, by file, or by default."""

from __future__ import annotations

import importlib.metadata
import keyword
import re
import sys
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator

from mlops import tracking_uri
from mlops.config import nearest
from mlops.config.base import Frozen
from mlops.errors import ConfigError
from mlops.project import shipped

PYTHONS = ("3.11", "3.12", "3.13")
LICENCES = ("MIT", "BSD-3-Clause", "Proprietary")
MODULES = {*sys.stdlib_module_names, "mlops", "use_cases", "mlops_machinery", "mlflow", "sklearn", "pandas"}


class Answers(Frozen):
    """The choices of a new project; each has a default that suits a first try."""

    name: str = Field(default="my-models", description="Name of the project: letters, digits and dashes")
    description: str = Field(default="Models from the first push to production", description="What it is for, in a sentence")
    owner: str = Field(default="The project's authors", min_length=1, description="Who holds the rights: a person or company")
    licence: Literal["MIT", "BSD-3-Clause", "Proprietary"] = Field(default="MIT", description="Licence")
    use_case: str = Field(default="iris", description="Example to start from, or none")
    tracking: str = Field(default="", description="Address of an MLflow tracking server; empty keeps models in the repository")
    target: Literal["none", "compose", "kubernetes"] = Field(default="none", description="Where releases are deployed")
    pythons: tuple[str, ...] = Field(default=PYTHONS, min_length=1, description="Versions of Python")
    template: str = Field(default="", description="owner/name on GitHub of the template, where later versions come from")

    @field_validator("name")
    @classmethod
    def _usable(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*[A-Za-z0-9]", name) or keyword.iskeyword(name.lower()):
            raise ValueError("letters, digits and dashes are expected, as in churn-models, and no word of Python")
        if taken(name):
            raise ValueError(f"{name} is the name of a module that is installed; choose another, as in {name}-models")
        return name

    @field_validator("description", "owner")
    @classmethod
    def _one_line(cls, text: str) -> str:
        if re.search(r"[\x00-\x1f\"\\]", text):
            raise ValueError("one line without quotation marks or backslashes is expected")
        return text

    @field_validator("use_case")
    @classmethod
    def _known(cls, name: str) -> str:
        choices = (*shipped.examples(), "none")
        if name not in choices:
            raise ValueError(f"no example {name!r}{nearest(name, choices)}; there are: {', '.join(choices)}")
        return name

    @field_validator("tracking")
    @classmethod
    def _server(cls, address: str) -> str:
        if address:
            try:
                tracking_uri.check(address)
            except ConfigError as error:
                raise ValueError(str(error).removeprefix("MLFLOW_TRACKING_URI: ")) from None
        return address

    @field_validator("pythons", mode="before")
    @classmethod
    def _listed(cls, given: object) -> object:
        """One version need be no list, and YAML reads 3.12 as a number."""
        each = given if isinstance(given, list | tuple) else [given]
        return tuple(str(version) if isinstance(version, float) else version for version in each)

    @field_validator("pythons")
    @classmethod
    def _supported(cls, pythons: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [version for version in pythons if version not in PYTHONS]:
            raise ValueError(f"Python {unknown[0]} is not supported; there are: {', '.join(PYTHONS)}")
        return tuple(sorted(set(pythons), key=PYTHONS.index))

    @field_validator("template")
    @classmethod
    def _address(cls, name: str) -> str:
        if name and not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
            raise ValueError("owner/name is expected, as on GitHub")
        return name


def taken(name: str) -> bool:
    """Whether a project of this name would hide a module, or be a word of Python."""
    module = name.replace("-", "_").lower()
    return module in MODULES or module in importlib.metadata.packages_distributions() or keyword.iskeyword(module)


def from_file(file: Path) -> Answers:
    """Read answers from a YAML file; raises ConfigError naming file and key for what is unknown or cannot be."""
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not YAML ({getattr(error, 'problem', error)})") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{file}: keys and values are expected, as in `name: churn-models`")
    return checked(tree, str(file))


def checked(tree: dict[str, Any], place: str) -> Answers:
    """The answers in a mapping; raises ConfigError naming the key that is unknown or cannot be."""
    try:
        return Answers.model_validate(tree)
    except ValidationError as error:
        first = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
        key = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            raise ConfigError(f"{place}: unknown key {key}{nearest(key, Answers.model_fields)}") from None
        raise ConfigError(f"{place}: {key}: {first['msg'].removeprefix('Value error, ')}") from None
