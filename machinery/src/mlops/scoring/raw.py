"""Raw rows without the target → predictions with the key: read, load, features, predict. In memory."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops import folders, tracking
from mlops.config import Project, load_use_case_config, nearest
from mlops.data import datasets
from mlops.errors import DataError, UserError, first_line
from mlops.registry import versions
from mlops.scoring import as_trained
from mlops.training.candidate import PROBABILITY, TRUTH, Candidate
from mlops.training.fitting import predict

if TYPE_CHECKING:
    import pandas as pd
    from pandera.pandas import DataFrameSchema

    from mlops.use_case import UseCase


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
            raw = _read(file, use_case, candidate)
            rows = _processed(file, raw, use_case)
        answers = _answers(candidate, rows, use_case)
    return Scored(answers, version.number, len(raw) - len(answers))


def _read(file: Path, use_case: UseCase, candidate: Candidate) -> pd.DataFrame:
    """The rows with the types of the raw schema; the target, which nobody knows, holds a value that training has seen."""
    import pandera.errors

    schema = _lenient(use_case.schema("raw"))
    rows = datasets.rows_of(file, schema, use_case.config.data.read)
    target = use_case.config.target.column
    if target in schema.columns:
        stand_in = candidate.holdout()[TRUTH].iloc[0]
        rows[target] = rows[target].where(rows[target].notna(), stand_in) if target in rows else stand_in
    absent = [column for column in schema.columns if column not in rows]
    if absent:
        raise DataError(f"{file}: column {absent[0]} is missing{nearest(absent[0], map(str, rows))}; {use_case.name} needs it")
    if rows.empty:
        raise DataError(f"{file}: there are no rows; at least one is expected")
    try:
        return schema.validate(rows, lazy=True)
    except pandera.errors.SchemaErrors as error:
        case = error.failure_cases.iloc[0]
        raise DataError(
            f"{file}: column {case['column']}: {str(case['failure_case'])[:80]!r} "
            f"is no {schema.columns[case['column']].dtype}; correct the value, or data.read in the configuration"
        ) from None


def _lenient(schema: DataFrameSchema) -> DataFrameSchema:
    """The types of a schema without its rules: a new row may hold what no training row held."""
    schema = copy.deepcopy(schema)
    schema.coerce, schema.strict, schema.unique = True, False, None
    for column in schema.columns.values():
        column.checks, column.nullable, column.unique = [], True, False
    return schema


def _processed(file: Path, raw: pd.DataFrame, use_case: UseCase) -> pd.DataFrame:
    try:
        rows = use_case.features(use_case.load(raw))
    except Exception as error:  # the code is the user's: it raises whatever these rows lead to
        raise DataError(
            f"{file}: load or features of {use_case.name} does not take these rows "
            f"({type(error).__name__}: {first_line(error)}); compare them with the raw data"
        ) from error
    if rows.empty:
        raise DataError(
            f"{file}: no row is left after load and features of {use_case.name}; does it need earlier rows beside them?"
        )
    return rows


def _answers(candidate: Candidate, rows: pd.DataFrame, use_case: UseCase) -> pd.DataFrame:
    import numpy as np

    classes: Any = candidate.manifest["classes"]
    names = np.array(classes) if classes else None
    inputs = list(candidate.manifest["problem"]["schema"])
    predictions = predict(tracking.load_model(candidate.path / "model", use_case.config.serving.trust), rows[inputs], names)
    answers = rows[[column for column in use_case.config.key if column in rows]].reset_index(drop=True)
    answers["prediction"] = predictions.values if names is None else names[predictions.values]
    if names is not None and predictions.probabilities is not None:
        for place, label in enumerate(names):
            answers[PROBABILITY.format(label).strip("_")] = predictions.probabilities[:, place]
    return answers
