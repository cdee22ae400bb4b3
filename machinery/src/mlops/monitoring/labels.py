"""Late outcomes: where they come from, and how they find the logged rows that they belong to.

Three ways, by the columns that the labels have:
- `request` (and `row`, else every request has one row) with the target: joined by the id that the service answered with;
- the columns of the use case's raw schema: rows as they will be trained on, joined by the inputs that their features give;
- none configured: the use case's raw data, once new files have arrived, joined in the same way.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.config import Project
from mlops.data import schemas, stages
from mlops.data.parse import parse
from mlops.data.read import kinds_of
from mlops.errors import DataError
from mlops.monitoring import log
from mlops.monitoring.log import REQUEST, ROW

if TYPE_CHECKING:
    import pandas as pd

    from mlops.use_case import UseCase

TRUTH = "__truth__"


@dataclass(frozen=True)
class Labels:
    """Outcomes: `rows` as they came, and `kind`: request, raw, or own for the project's raw data."""

    kind: str
    rows: pd.DataFrame


def load(project: Project, use_case: UseCase) -> Labels:
    """The labels that the configuration names, or the project's own raw data.

    Raises UserError where nothing lies at the address, DataError for a file that cannot be read or joined.
    """
    address = use_case.config.monitor.labels
    if not address:
        return Labels("own", stages.read_processed(project, use_case)[0])
    with log.fetched(address, project.root, f"monitor.labels in config/{use_case.name}.yaml") as place:
        rows = _parsed(place, address, use_case)
    if "request" in rows:
        target = use_case.config.target.column
        if target not in rows:
            raise DataError(f"{address}: column {target}, the target, is missing; there are: {', '.join(map(str, rows))}")
        return Labels("request", rows)
    missing = [name for name in raw_columns(use_case) if name not in rows]
    if missing:
        raise DataError(
            f"{address}: column {missing[0]} is missing; labels have the column request and the target, "
            "or every column of the raw data"
        )
    return Labels("raw", rows)


def join(project: Project, use_case: UseCase, labels: Labels, table: pd.DataFrame, schema: dict[str, str]) -> pd.DataFrame:
    """The logged rows whose outcome is known, with it in column TRUTH; in their order, so that neighbours stay neighbours.

    schema: the inputs of the version. Labels that contradict each other for the same row are no labels.
    """
    import pandas as pd

    if labels.kind == "request":
        on, labelled = _by_request(labels.rows, use_case.config.target.column)
        return table.merge(labelled, on=on, how="inner")
    processed = labels.rows if labels.kind == "own" else _processed(project, use_case, labels.rows)
    inputs = [name for name in schema if name in table and name in processed]
    if not inputs:
        return table.iloc[:0].assign(**{TRUTH: []})
    target = use_case.config.target.column
    labelled = pd.DataFrame({name: _comparable(processed[name]) for name in inputs})
    labelled = _agreeing(labelled.assign(**{TRUTH: processed[target].to_numpy()}), inputs)
    keys = pd.DataFrame({name: _comparable(table[name], processed[name]) for name in inputs})
    joined = keys.merge(labelled, on=inputs, how="left")
    known = joined[TRUTH].notna().to_numpy()
    return table[known].assign(**{TRUTH: joined.loc[known, TRUTH].to_numpy()}).reset_index(drop=True)


def nothing_joined(labels: Labels, use_case: UseCase) -> str:
    """What to say where no label belongs to a logged row."""
    address = use_case.config.monitor.labels
    if labels.rows.empty:
        return f"there are no labels yet at {address}"
    by = "the column request: the id that the service answered with" if labels.kind == "request" else "the model's inputs"
    return (
        f"none of the {len(labels.rows)} labels at {address} belongs to a logged row of this window; they are joined by {by}"
    )


def raw_columns(use_case: UseCase) -> list[str]:
    """The columns that a raw file has."""
    return list(use_case.schema("raw").columns)


def _parsed(place: Path, address: str, use_case: UseCase) -> pd.DataFrame:
    import pandas as pd

    if place.is_dir():
        files = sorted({file for pattern in stages.RAW for file in place.rglob(pattern) if not file.name.startswith(".")})
    else:
        files = [place]
    if not files:
        raise DataError(f"{address}: no labels there ({', '.join(stages.RAW)}); correct monitor.labels")
    dates = {name: kind for name, kind in kinds_of(use_case.schema("raw")).items() if kind == "date"}
    return pd.concat([_checked(parse(file, ["request"], kinds=dates), file, use_case) for file in files], ignore_index=True)


def _checked(rows: pd.DataFrame, file: Path, use_case: UseCase) -> pd.DataFrame:
    """Labels of requests, once the row and a target of numbers are numbers; an empty cell is a label yet to come.

    Raises DataError naming file, column and row of a value that is none.
    """
    from pandera.dtypes import is_bool, is_numeric
    from pandera.pandas import Column, DataFrameSchema

    if "request" not in rows or rows.empty:
        return rows
    target = use_case.config.target.column
    kind = use_case.schema("processed").columns[target].dtype
    numbers = ["row", target] if is_numeric(kind) and not is_bool(kind) else ["row"]
    schema = DataFrameSchema({name: Column(float, nullable=True, required=False) for name in numbers}, coerce=True)
    checked = schemas.validate(rows, schema, file)
    return rows.assign(row=checked["row"]) if "row" in rows else rows


def _by_request(rows: pd.DataFrame, target: str) -> tuple[list[str], pd.DataFrame]:
    on = [REQUEST, ROW] if "row" in rows else [REQUEST]
    names = {"request": REQUEST, "row": ROW, target: TRUTH}
    labelled = rows.rename(columns=names)[[*on, TRUTH]].dropna()
    return on, _agreeing(labelled.astype({REQUEST: str}), on)


def _agreeing(rows: pd.DataFrame, on: list[str]) -> pd.DataFrame:
    """One row a key; a key whose outcomes differ is left out."""
    once = rows.drop_duplicates([*on, TRUTH])
    return once[~once.duplicated(on, keep=False)]


def _processed(project: Project, use_case: UseCase, rows: pd.DataFrame) -> pd.DataFrame:
    """The processed rows of the raw data with the new ones behind them: a lag of a new row may reach into the old ones."""
    import pandas as pd

    schema = schemas.complete(use_case.schema("raw"), "raw", use_case.config.key)
    known = [stages.rows_of(use_case, item.path) for item in stages.raw(project, use_case).files]
    new = schemas.validate(rows, schema, Path(use_case.config.monitor.labels))
    columns = list(schema.columns)
    both = pd.concat([*(frame[columns] for frame in known), new[columns]], ignore_index=True)
    if schema.unique:
        both = both.drop_duplicates(schema.unique, keep="first", ignore_index=True)
    return use_case.features(use_case.load(both))


def _number(value: Any) -> Any:
    """A number of a text, whole where it is written so; Python's numbers are equal, and hash alike, across their types."""
    if isinstance(value, str):
        for kind in (int, float):
            with suppress(ValueError):
                return kind(value)
        return None
    return value


def _comparable(values: pd.Series, like: pd.Series | None = None) -> pd.Series:
    """Values in a form that is equal for equal values on both sides of the join: numbers, times, else objects.

    Whole numbers stay whole: two 64-bit identifiers may be one float64.
    """
    import pandas as pd

    if like is not None and pd.api.types.is_datetime64_any_dtype(like):
        return pd.to_datetime(values, utc=True, format="ISO8601", errors="coerce").dt.tz_localize(None)
    if pd.api.types.is_datetime64_any_dtype(values):
        return values.astype("datetime64[ns]")
    if like is not None and pd.api.types.is_numeric_dtype(like) and values.dtype == object:
        values = pd.Series([_number(value) for value in values], index=values.index, dtype=object)
    elif pd.api.types.is_bool_dtype(values) or pd.api.types.is_numeric_dtype(values):
        values = values.astype(object)
    return values.astype(object).mask(values.isna(), None)
