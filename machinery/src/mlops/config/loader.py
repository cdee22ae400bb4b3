"""Reads `config/project.yaml` and `config/<use case>.yaml`; an error names file, line, key and the nearest right key.

A value comes from, strongest first: `--set`, an environment variable `MLOPS__<FILE>__<KEY>__<KEY>`, `.env`, the file.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from mlops.config.base import Frozen
from mlops.config.models import Project, UseCaseConfig
from mlops.errors import ConfigError, UserError

ENV_PREFIX = "MLOPS__"

Model = TypeVar("Model", bound=Frozen)


def find_root(start: Path | None = None) -> Path:
    """The project's root: `MLOPS_PROJECT`, else the nearest folder above that holds config/project.yaml."""
    if chosen := os.environ.get("MLOPS_PROJECT"):
        start = Path(chosen)
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "config" / "project.yaml").is_file():
            return folder
    raise UserError(f"{here}: no config/project.yaml here or above; change into a project or pass --project DIR")


def load_project(root: Path | None = None) -> Project:
    """Read config/project.yaml and the project's `.env`.

    Raises ConfigError naming file, line, key and the nearest right key.
    """
    root = find_root(root)
    _load_env_file(root / ".env")
    project = _read(root / "config" / "project.yaml", Project, (), extra={"root": root})
    _refuse_stray_variables(project)
    return project


def load_use_case_config(project: Project, name: str, overrides: Sequence[str] = ()) -> UseCaseConfig:
    """Read config/<name>.yaml; `overrides` are `key.key=value` with the value in YAML.

    Raises UserError with suggestions for an unknown name, ConfigError as `load_project` does.
    """
    check_use_case(project, name)
    return _read(project.root / "config" / f"{name}.yaml", UseCaseConfig, overrides)


def check_use_case(project: Project, name: str) -> None:
    """Raise UserError with suggestions for a use case that has no configuration."""
    if name not in project.use_cases:
        raise UserError(unknown(project, name))


def unknown(project: Project, name: str) -> str:
    """That there is no use case of this name, what it may have meant, and which there are."""
    return f"no use case {name!r}{nearest(name, project.use_cases)}; there are: {', '.join(project.use_cases)}"


def place_of(project: Project, name: str, path: tuple[str, ...], overrides: Sequence[str] = ()) -> str:
    """Where a key of a use case's configuration comes from: `--set`, a variable, or file and line."""
    file = project.root / "config" / f"{name}.yaml"
    origins = {key: origin for origin, key, _ in [*_from_environment(name), *_from_overrides(overrides)]}
    return _place(path, file, _parse(file)[0], origins)


def nearest(word: str, choices: Iterable[str]) -> str:
    """`, did you mean 'x'?` for the choice that resembles the word most, or nothing."""
    matches = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.5)
    return f", did you mean {matches[0]!r}?" if matches else ""


def _load_env_file(file: Path) -> None:
    if file.is_file():
        from dotenv import load_dotenv

        try:
            load_dotenv(file, override=False)
        except UnicodeDecodeError as error:
            raise ConfigError(f"{file}: not UTF-8 (byte {error.start}); write it as NAME=value lines") from None


def _refuse_stray_variables(project: Project) -> None:
    """A variable that no configuration reads is a misspelt one."""
    known = [f"{ENV_PREFIX}{stem.upper()}__" for stem in ("project", *project.use_cases)]
    for variable in sorted(os.environ):
        if variable.startswith(ENV_PREFIX) and not variable.startswith(tuple(known)):
            prefix = "__".join(variable.split("__")[:2]) + "__"
            raise ConfigError(f"{variable}: no configuration has variables {prefix}…{nearest(prefix, known)}")


def _read(file: Path, model: type[Model], overrides: Sequence[str], extra: Mapping[str, Any] = {}) -> Model:
    text, tree = _parse(file)
    if hidden := next((key for key in extra if key in tree), None):
        raise ConfigError(f"{file}:{_line(text, (hidden,))}: unknown key {hidden}; it is found, not configured")
    origins: dict[tuple[str, ...], str] = {}
    for origin, path, value in [*_from_environment(file.stem), *_from_overrides(overrides)]:
        _put(tree, path, value, origin)
        origins[path] = origin
    try:
        return model.model_validate({**tree, **extra})
    except ValidationError as error:
        raise ConfigError(_explain(error, file, text, model, origins)) from None


def _parse(file: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = file.read_text(encoding="utf-8")
        tree, duplicate = _yaml(text)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{file}{line}: not YAML ({getattr(error, 'problem', error)})") from None
    tree = tree or {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{file}:1: keys and values are expected, found {type(tree).__name__}")
    if duplicate:
        raise ConfigError(f"{file}:{duplicate.start_mark.line + 1}: duplicate key {duplicate.value}; leave one")
    return text, tree


def _yaml(text: str) -> tuple[Any, yaml.ScalarNode | None]:
    """What a text holds, and the first duplicate key; raises YAMLError for all that cannot be read."""
    try:
        return yaml.safe_load(text), _duplicate_key(yaml.compose(text))
    except RecursionError:
        raise yaml.YAMLError("a value holds itself, or its brackets are nested too deeply") from None
    except yaml.YAMLError:
        raise
    except Exception as error:  # yaml takes 2024-13-45 for a date and raises whatever making one leads to
        raise yaml.YAMLError(f"{error}; put a text that looks like a date or a number in quotation marks") from None


def _duplicate_key(node: yaml.Node | None) -> yaml.ScalarNode | None:
    """The first key that its mapping holds already; YAML itself would take the last one without a word."""
    if isinstance(node, yaml.SequenceNode):
        return next((duplicate for child in node.value if (duplicate := _duplicate_key(child))), None)
    if not isinstance(node, yaml.MappingNode):
        return None
    seen = set()
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                return key
            seen.add(key.value)
        if duplicate := _duplicate_key(value):
            return duplicate
    return None


def _value(text: str, origin: str) -> Any:
    """A value that is written in YAML; an error does not show it, as it may be a secret."""
    try:
        return _yaml(text)[0]
    except yaml.YAMLError:
        raise ConfigError(f"{origin}: its value is not YAML; put it in quotation marks") from None


def _from_environment(stem: str) -> list[tuple[str, tuple[str, ...], Any]]:
    prefix = f"{ENV_PREFIX}{stem.upper()}__"
    return [
        (variable, tuple(variable[len(prefix) :].lower().split("__")), _value(value, variable))
        for variable, value in sorted(os.environ.items())
        if variable.startswith(prefix)
    ]


def _from_overrides(overrides: Sequence[str]) -> list[tuple[str, tuple[str, ...], Any]]:
    values = []
    for override in overrides:
        path, sign, value = override.partition("=")
        if not sign or not path:
            raise UserError(f"--set {override}: key=value is expected, as in --set parameters.seed=3")
        values.append((f"--set {path}", tuple(path.split(".")), _value(value, f"--set {path}")))
    return values


def _put(tree: dict[str, Any], path: tuple[str, ...], value: Any, origin: str) -> None:
    for key in path[:-1]:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"{origin}: {key} holds a value, not keys")
    tree[path[-1]] = value


def _explain(
    error: ValidationError, file: Path, text: str, model: type[BaseModel], origins: Mapping[tuple[str, ...], str]
) -> str:
    # A misspelt key is also a missing one; its name says more.
    first = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
    path = tuple(str(part) for part in first["loc"])
    where = _place(path, file, text, origins)
    key = ".".join(path) or "file"
    if first["type"] == "extra_forbidden":
        return f"{where}: unknown key {key}{nearest(path[-1], _keys(model, path[:-1]))}"
    if first["type"] == "missing":
        return f"{where}: key {key} is missing"
    return f"{where}: {key}: {first['msg'].removeprefix('Value error, ')}"


def _place(path: tuple[str, ...], file: Path, text: str, origins: Mapping[tuple[str, ...], str]) -> str:
    return next((origin for known, origin in origins.items() if known[: len(path)] == path), f"{file}:{_line(text, path)}")


def _line(text: str, path: tuple[str, ...]) -> int:
    """The line, from 1, of the deepest part of a key's path that the text holds."""
    node, line = yaml.compose(text), 1
    for part in path:
        children = node.value if isinstance(node, yaml.MappingNode) else []
        pair = next(((key, value) for key, value in children if key.value == part), None)
        if pair is None:
            break
        line, node = pair[0].start_mark.line + 1, pair[1]
    return line


def _keys(model: type[BaseModel], path: tuple[str, ...]) -> list[str]:
    """The keys that are allowed at a path below a model."""
    for part in path:
        field = model.model_fields.get(part)
        kinds = [field.annotation, *getattr(field.annotation, "__args__", ())] if field else [model]
        model = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), model)
    return list(model.model_fields)
