"""Raw rows without the target → predictions with the key: read, load, features, predict. In memory."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops import folders, tracking
from mlops.config import Project, load_use_case_config, nearest
from mlops.data import datasets
from mlops.errors import DataError, UserError, first_line
from mlops.registry import versions
from mlops.scoring import as_trained, frames, inputs
from mlops.training.candidate import PROBABILITY, TRUTH, Candidate

if TYPE_CHECKING:
    import pandas as pd
    from pandera.pandas import DataFrameSchema

    from mlops.use_case import UseCase


class WrongValues(DataError):
    """Raised for values of another type than the schema's; `rows` has the position of each row and what is wrong with it."""

    rows: dict[int, str]


@dataclass(frozen=True)
class Scored:
    """Predictions by key, the version that made them, and how many rows `load` or `features` left without an answer."""

    rows: pd.DataFrame
    number: str
    unanswered: int


def score(project: Project, name: str, ref: str | None, file: Path) -> Scored:
    """Score the rows of a file as a version would have seen them in training.

    Raises UserError for a version that is not there or whose code is gone, DataError for rows that it cannot take.
    """
    name = name or project.default_use_case
    if not file.is_file():
        raise UserError(f"{file}: no such file; correct the path")
    load_use_case_config(project, name)
    version = versions.resolve(project, name, ref)
    with folders.work_folder() as scratch:
        candidate = versions.fetch(project, version, scratch)
        with as_trained.use_case(project, candidate.manifest) as use_case:
            with _named(file, inputs.as_parquet(file, scratch)) as readable:
                raw = typed(readable, use_case, stand_in(candidate))
            rows = processed(file, raw, use_case)
        answers = answers_to(rows, use_case, candidate, model_of(candidate, use_case))
    return Scored(answers, version.number, len(raw) - len(answers))


@contextmanager
def _named(file: Path, copy: Path) -> Iterator[Path]:
    """Within it, an error about a copy of a file names the file."""
    try:
        yield copy
    except DataError as error:
        raise DataError(str(error).replace(str(copy), str(file))) from None


def stand_in(candidate: Candidate) -> Any:
    """A value of the target that training has seen."""
    return candidate.holdout()[TRUTH].iloc[0]


def model_of(candidate: Candidate, use_case: UseCase) -> Any:
    """The fitted model of a candidate."""
    return tracking.load_model(candidate.path / "model", use_case.config.serving.trust)


def typed(file: Path, use_case: UseCase, known: Any, stage: str = "raw") -> pd.DataFrame:
    """The rows with the types of a stage's schema; the target, which nobody knows, holds a known value."""
    schema = lenient(use_case.schema(stage))
    # How files are written is configured for raw ones alone.
    rows = datasets.rows_of(file, schema, use_case.config.data.read if stage == "raw" else None)
    return _filled(rows, schema, use_case, known, file)


def typed_frame(rows: pd.DataFrame, schema: DataFrameSchema, use_case: UseCase, known: Any, source: object) -> pd.DataFrame:
    """Rows that have been read, as `typed` gives them; its errors name the source alone where they are about columns."""
    try:
        return _filled(rows, schema, use_case, known, source)
    except WrongValues as error:
        wrong = WrongValues(str(error).removeprefix(f"{source}: "))
        wrong.rows = error.rows
        raise wrong from None
    except DataError as error:
        raise DataError(str(error).removeprefix(f"{source}: ")) from None


def _filled(rows: pd.DataFrame, schema: DataFrameSchema, use_case: UseCase, known: Any, file: object) -> pd.DataFrame:
    """The rows in the types of a schema, a known value where the target has none."""
    target = use_case.config.target.column
    if target in schema.columns:
        rows[target] = rows[target].where(rows[target].notna(), known) if target in rows else known
    return coerced(file, rows, schema, use_case)


def coerced(file: object, rows: pd.DataFrame, schema: DataFrameSchema, use_case: UseCase) -> pd.DataFrame:
    """The rows in the types of a lenient schema. Raises DataError naming column and value."""
    import pandera.errors

    absent = [column for column in schema.columns if column not in rows]
    if absent:
        raise DataError(f"{file}: column {absent[0]} is missing{nearest(absent[0], map(str, rows))}; {use_case.name} needs it")
    if rows.empty:
        raise DataError(f"{file}: there are no rows; at least one is expected")
    if (rest := frames.untyped(rows, schema)) is None:
        return rows
    try:
        return rest.validate(rows, lazy=True)
    except pandera.errors.SchemaErrors as error:
        raise _wrong_values(file, error.failure_cases, schema) from None


def _wrong_values(file: object, cases: pd.DataFrame, schema: DataFrameSchema) -> WrongValues:
    reasons = [
        f"column {column}: {str(value)[:80]!r} is no {getattr(schema.columns.get(column), 'dtype', 'value of the schema')}"
        for column, value in zip(cases["column"], cases["failure_case"], strict=True)
    ]
    wrong = WrongValues(f"{file}: {reasons[0]}; correct the value, or data.read in the configuration")
    places = [None if place is None or place != place else int(place) for place in cases["index"]]
    wrong.rows = {place: reason for place, reason in zip(places, reasons, strict=True) if place is not None}
    return wrong


def lenient(schema: DataFrameSchema) -> DataFrameSchema:
    """The types of a schema without its rules: a new row may hold what no training row held."""
    schema = copy.deepcopy(schema)
    schema.coerce, schema.strict, schema.unique = True, False, None
    for column in schema.columns.values():
        column.checks, column.nullable, column.unique = [], True, False
    return schema


def processed(file: Path, raw: pd.DataFrame, use_case: UseCase) -> pd.DataFrame:
    """What `load` and `features` make of raw rows. Raises DataError where they do not take them, or leave none."""
    rows = features_of(file, raw, use_case)
    if rows.empty:
        raise DataError(
            f"{file}: no row is left after load and features of {use_case.name}; does it need earlier rows beside them?"
        )
    return rows


def features_of(file: object, raw: pd.DataFrame, use_case: UseCase) -> pd.DataFrame:
    """What `load` and `features` make of raw rows, which may be none. Raises DataError where they do not take them."""
    try:
        return use_case.features(use_case.load(raw))
    except Exception as error:  # the code is the user's: it raises whatever these rows lead to
        raise DataError(
            f"{file}: load or features of {use_case.name} does not take these rows "
            f"({type(error).__name__}: {first_line(error)}); compare them with the raw data"
        ) from error


def answers_to(rows: pd.DataFrame, use_case: UseCase, candidate: Candidate, model: Any) -> pd.DataFrame:
    """Key, prediction and probabilities for processed rows."""
    import numpy as np

    classes: Any = candidate.manifest["classes"]
    names = np.array(classes) if classes else None
    inputs = list(candidate.manifest["problem"]["schema"])
    predictions = frames.predict_once(model, frames.chosen(rows, inputs), names)
    answers = rows[[column for column in use_case.config.key if column in rows]].reset_index(drop=True)
    answers["prediction"] = predictions.values if names is None else names[predictions.values]
    if names is not None and predictions.probabilities is not None:
        for place, label in enumerate(names):
            answers[PROBABILITY.format(label).strip("_")] = predictions.probabilities[:, place]
    return answers
