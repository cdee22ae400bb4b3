"""docs/configuration.md is the reference of the configuration: each key with its values and its default, and no other."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

import pytest
import yaml
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from mlops.config import Project, UseCaseConfig
from mlops.config.base import Frozen
from mlops.config.operations import Limits

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"
FILES = {"config/project.yaml": Project, r"config/\<use case\>.yaml": UseCaseConfig}
# The project's root is not configured: it is where the configuration was found.
FOUND = {"root"}


class Key(NamedTuple):
    """A key of the models: its path, its default, None with `required`, and the words that it is limited to."""

    path: str
    required: bool
    default: Any
    words: tuple[str, ...]


def keys(model: type[Frozen], before: str = "", defaults: Frozen | None = None) -> Iterator[Key]:
    """Every key below a model; NAME stands for the keys of a mapping to models."""
    for name, field in model.model_fields.items():
        path, default = before + name, getattr(defaults, name, field.default)
        inner = below(field.annotation)
        if path in FOUND:
            continue
        if inner is None or inner is Limits:
            yield Key(path, is_required(field), plain(default), words(field.annotation))
        elif get_origin(field.annotation) is dict:
            yield from keys(inner, f"{path}.NAME.")
        else:
            yield from keys(inner, f"{path}.", default if isinstance(default, Frozen) else None)


def below(annotation: Any) -> type[Frozen] | None:
    """The model in a field's type: itself, or the values of a mapping, or what may be left out."""
    if get_origin(annotation) in (dict, Union, UnionType):
        return next((model for part in get_args(annotation) if (model := below(part))), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, Frozen) else None


def is_required(field: FieldInfo) -> bool:
    return field.default is PydanticUndefined


def plain(value: Any) -> Any:
    """A default as YAML has it."""
    if isinstance(value, Frozen):
        return value.model_dump(mode="json")
    return list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value


def words(annotation: Any) -> tuple[str, ...]:
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def rows(file: str) -> dict[str, list[str]]:
    """The table of a file: key → values, default, meaning."""
    section = PAGE.read_text(encoding="utf-8").split(f"## Keys of {file}\n")[1].split("\n## ")[0]
    cells = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return {row[0].strip("`"): row[1:] for row in cells}


def written(key: Key, cell: str) -> bool:
    """Whether a cell is the key's default."""
    if key.required or key.default is None:
        return cell == ("required" if key.required else "none")
    return bool(yaml.safe_load(cell.strip("`")) == key.default)


@pytest.mark.parametrize("file", FILES)
def test_every_key_stands_in_the_page_and_no_other_does(file: str) -> None:
    assert list(rows(file)) == [key.path for key in keys(FILES[file])]


@pytest.mark.parametrize(("file", "key"), [(file, key) for file, model in FILES.items() for key in keys(model)])
def test_the_page_says_default_values_and_meaning(file: str, key: Key) -> None:
    values, default, meaning = rows(file)[key.path]
    assert written(key, default), f"the default is {key.default!r}"
    assert [word for word in key.words if f"`{word}`" not in values] == []
    assert re.search(r"\w", values) and re.search(r"\w", meaning)
