"""`mlops add`: from a file to the files of a use case, all of them or none, and nothing of the team's written over."""

from __future__ import annotations

import keyword
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from mlops import digests, use_case_code
from mlops.config import Project, UseCaseConfig
from mlops.data import datasets, schemas, stages
from mlops.data.datasets import Dataset
from mlops.errors import UserError
from mlops.scaffold import choose, notebook, sources, understand, write, write_config
from mlops.scaffold.choose import Choice, imported
from mlops.scaffold.understand import Table, Wishes
from mlops.use_case import load_use_case

if TYPE_CHECKING:
    import pandas as pd

UNKNOWN_LICENCE = "not given: say it here"


@dataclass(frozen=True)
class Added:
    """A new use case: what was understood and chosen, and its files below the project's root."""

    name: str
    table: Table
    choice: Choice
    files: tuple[str, ...]
    lines: int


def add(
    project: Project,
    name: str,
    place: str,
    wishes: Wishes,
    query: str = "",
    licence: str = "",
    say: Callable[[str], None] = lambda text: None,
) -> Added:
    """Write a use case for the rows at a place; `say` hears what is being done.

    Raises UserError for a name that is taken or none, DataError for rows that nothing can be learned from.
    """
    check_name(project, name)
    say("reading")
    with sources.snapshot(place, query) as snapshot:
        table = understand.understand(snapshot.file, wishes)
        say(f"three estimators on {len(table.rows)} rows")
        packages = {candidate.name: write.code(name, table, candidate) for candidate in choose.CANDIDATES}
        raw = _raw(table, packages[choose.LINEAR.name])
        choice = choose.choose(table, packages, raw)
        say("writing")
        contents = _contents(project, name, table, choice, packages[choice.candidate.name])
        contents |= _data_files(name, table, len(raw), snapshot, licence)
        _refuse_taken(project.root, contents)
        from mlops.project import transaction

        transaction.change(project.root, contents | as_default(project, name))
    counted = [text for path, text in contents.items() if path.endswith((".py", ".yaml")) and "notebooks/" not in path]
    return Added(name, table, choice, tuple(contents), sum(text.count(b"\n") for text in counted))


def add_data(project: Project, name: str, place: str, query: str, source: str, licence: str) -> Dataset:
    """Add rows to the raw data of a use case; those of an address as a snapshot, under a name that holds its time.

    Raises UserError for a file without a source, DataError for rows that break the schema.
    """
    remote = "://" in place
    if not remote and not source:
        raise UserError(f"{place}: --source is missing: say where the file comes from, for the provenance note")
    use_case = load_use_case(project, name)
    with sources.snapshot(place, query) as snapshot:
        file = snapshot.file
        if remote:
            stem, dot, ending = file.name.partition(".")
            file = file.rename(file.with_name(f"{stem}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}{dot}{ending}"))
        noted = f"{source}; {snapshot.source}" if source and remote else source or snapshot.source
        return stages.add(project, use_case, file, noted, licence)


# An image's name has no underscore at an end and not three in a row; in a variable's name two of them begin a key.
NAME, LONGEST = r"[a-z][a-z0-9]*(_[a-z0-9]+)*", 50


def check_name(project: Project, name: str) -> None:
    """Raise UserError for a name that Python, the project or a registry of images cannot take for a use case."""
    taken = keyword.iskeyword(name) or name in ("project", use_case_code.COMMON)
    if not re.fullmatch(NAME, name) or len(name) > LONGEST or taken:
        fixed = re.sub(r"[^a-z0-9]+", "_", name.lower()[: LONGEST - 8]).strip("_") or "mine"
        proposal = (
            f"n{fixed}" if fixed[0].isdigit() else f"{fixed}_model" if keyword.iskeyword(fixed) or fixed == name else fixed
        )
        raise UserError(f"{name!r} is no name for a use case: small letters, digits and single _ between them; try {proposal}")
    if name in project.use_cases:
        raise UserError(f"use case {name} is there already; choose another name, or: mlops remove {name}")


def as_default(project: Project, name: str) -> dict[str, bytes]:
    """The project's configuration with a new use case as its default, where the one that it names is not there; else none."""
    if project.default_use_case in project.use_cases:
        return {}
    path = "config/project.yaml"
    text = (project.root / path).read_text(encoding="utf-8")
    return {path: re.sub(r"(?m)^(default_use_case: *)(\"\"|''|\w*)", rf"\g<1>{name}", text).encode()}


def _raw(table: Table, files: dict[str, str]) -> pd.DataFrame:
    """The rows as every later command will read them; raises DataError where the schema that was found does not hold."""
    with imported(files) as module:
        schema = schemas.complete(module.schema("raw"), "raw", table.key)
        rows = schemas.validate(datasets.rows_of(table.file, schema, table.read), schema, table.file)
        interim = schemas.complete(module.schema("interim"), "interim", table.key)
        processed = schemas.complete(module.schema("processed"), "processed", table.key)
        loaded = schemas.validate(module.load(rows), interim, table.file)
        schemas.validate(module.features(loaded), processed, table.file)
    return rows


def _contents(project: Project, name: str, table: Table, choice: Choice, package: dict[str, str]) -> dict[str, bytes]:
    """Path below the root → content, of all that is written but the data."""
    from mlops.notebooks import content, export

    config = write_config.config(name, table, choice)
    UseCaseConfig.model_validate(yaml.safe_load(config))
    document = notebook.document(name, table)
    texts = {f"src/use_cases/{name}/{file}": text for file, text in package.items()}
    texts |= {
        f"tests/use_cases/test_{name}.py": write.test(name, table, table.file.name),
        f"notebooks/01_explore_{name}.ipynb": document,
        f"notebooks/01_explore_{name}/01_explore_{name}.py": export.script(
            content.parse(document.encode(), "notebook"), f"01_explore_{name}"
        ),
        f"docs/{name}.md": write.page(name, table, choice, table.file.name),
        # The last one: it makes the use case one of the project's.
        f"config/{name}.yaml": config,
    }
    return {path: text.encode() for path, text in texts.items()}


def _data_files(name: str, table: Table, rows: int, snapshot: sources.Snapshot, licence: str) -> dict[str, bytes]:
    content = snapshot.file.read_bytes()
    facts = {
        "rows": rows,
        "sha256": digests.of_file(snapshot.file),
        "source": snapshot.source.replace("|", "\\|"),
        "licence": (licence or UNKNOWN_LICENCE).replace("|", "\\|"),
    }
    folder = f"data/raw/{name}"
    return {
        f"{folder}/{snapshot.file.name}": content,
        f"{folder}/README.md": write.provenance(name, table, snapshot.file.name, facts).encode(),
    }


def _refuse_taken(root: Path, contents: dict[str, bytes]) -> None:
    for path in contents:
        if (root / path).exists():
            raise UserError(f"{path} is there already, and nothing of it is written over; choose another name")
