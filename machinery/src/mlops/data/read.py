"""How the raw files of a use case are written: separator, decimal mark, missing values, dates. `mlops add` finds it out.

The file keeps its bytes; what stands here is applied at each read, so a wrong guess is corrected in `config/<name>.yaml`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mlops.config.reading import Read

if TYPE_CHECKING:
    import pandas as pd
    from pandera.pandas import DataFrameSchema

Kind = Literal["number", "date", "text"]
EXCEL, JSON = (".xlsx", ".xlsm", ".xls", ".xlsb", ".ods"), (".json", ".jsonl", ".ndjson")


def kinds_of(schema: DataFrameSchema) -> dict[str, Kind]:
    """How the columns of a schema are to be read: as numbers, as dates, or as the text that stands there.

    One whose schema has a time zone is not listed: it keeps its own.
    """
    from pandera.dtypes import is_datetime, is_string

    kinds: dict[str, Kind] = {}
    for name, column in schema.columns.items():
        if column.dtype is not None and getattr(column.dtype, "tz", None) is None:
            kinds[name] = "text" if is_string(column.dtype) else "date" if is_datetime(column.dtype) else "number"
    return kinds


def table(file: Path, read: Read, kinds: Mapping[str, Kind]) -> pd.DataFrame:
    """The rows of a file, each column by its kind; a column of no kind is text.

    Raises what pandas raises for a file that cannot be read so, ValueError for a date in none of its formats.
    """
    rows = cells(file, read, [name for name, kind in kinds.items() if kind == "number" and name not in read.units])
    for name, kind in kinds.items():
        if name not in rows:
            continue
        if kind == "date":
            rows[name] = dates(rows[name], read.dates.get(name, ("ISO8601",)))
        elif kind == "number" and is_text(rows[name]):
            rows[name] = numbers(rows[name], read, read.units.get(name, ""))
        elif kind == "text":
            rows[name] = texts(rows[name])
    return rows


def cells(file: Path, read: Read, numbers: list[str] | None = None, rows: int | None = None) -> pd.DataFrame:
    """The cells of a file as they are written there, None where there is no value; `numbers` are parsed at once.

    Parquet keeps the types that it has. rows: read no more than so many.
    """
    import pandas as pd

    ending = file.suffix.lower()
    if ending == ".parquet":
        frame = pd.read_parquet(file)
        return frame if isinstance(frame.index, pd.RangeIndex) else frame.reset_index()
    if ending in EXCEL:
        frame = _excel(file, read)
    elif ending in JSON:
        frame = pd.read_json(file, lines=ending != ".json", dtype=False, convert_dates=False, encoding=read.encoding)
    else:
        frame = _csv(file, read, set(numbers or ()), rows)
    frame.columns = pd.Index([str(name).strip() for name in frame.columns])
    return frame


def _csv(file: Path, read: Read, numeric: set[str], rows: int | None) -> pd.DataFrame:
    import pandas as pd

    options = {
        "sep": read.separator,
        "quotechar": read.quote,
        "encoding": read.encoding,
        "skiprows": max(0, read.header - 1),
        "header": 0 if read.header else None,
    }
    head = pd.read_csv(file, nrows=0 if read.header else 1, dtype=str, **options)  # type: ignore[call-overload]
    names = head.columns if read.header else [f"column_{number + 1}" for number in range(head.shape[1])]
    text = {name: str for name in names if str(name).strip() not in numeric}
    try:
        frame: pd.DataFrame = pd.read_csv(  # type: ignore[call-overload]
            file,
            names=None if read.header else names,
            index_col=False if read.header and len(set(names)) < 2 else None,
            dtype=text,
            decimal=read.decimal,
            thousands=read.thousands,
            na_values=list(read.missing),
            keep_default_na=False,
            float_precision="round_trip",
            nrows=rows,
            **options,
        )
    except ValueError as error:
        if "decimal" not in str(error) and "thousands" not in str(error):
            raise
        raise ValueError("data.read: decimal, thousands and separator differ from each other") from None
    if not isinstance(frame.index, pd.RangeIndex):
        raise ValueError(f"Expected {len(names)} fields in line 2, saw {len(names) + frame.index.nlevels}")
    return frame


def _excel(file: Path, read: Read) -> pd.DataFrame:
    """Each cell as a text with a decimal point, as Excel keeps numbers apart from how it shows them."""
    import pandas as pd

    return pd.read_excel(
        file,
        sheet_name=read.sheet or 0,
        header=read.header - 1 if read.header else None,
        dtype=str,
        na_values=list(read.missing),
        keep_default_na=False,
        engine="calamine",
    )


def is_text(values: pd.Series) -> bool:
    """Whether a column holds texts, not numbers or times that a file brings as such."""
    import pandas as pd

    return pd.api.types.is_object_dtype(values) or pd.api.types.is_string_dtype(values)


def texts(values: pd.Series) -> pd.Series:
    """Values as text, None where there is none; a whole number has no decimal point."""
    if is_text(values):
        strings = values.map(lambda value: value if isinstance(value, str) else _text(value), na_action="ignore")
    else:
        strings = values.astype(object).map(_text, na_action="ignore")
    return strings.astype(object).mask(values.isna(), None)


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def numbers(values: pd.Series, read: Read, unit: str = "") -> pd.Series:
    """Texts as numbers, without unit and thousands separators; one that is no number stays, for the schema to name it."""
    import pandas as pd

    present = values.notna()
    clean = values[present].astype(str)
    if not unit and read.decimal == "." and pd.to_numeric(pd.Series(read.missing, dtype=object), errors="coerce").isna().all():
        plain = pd.to_numeric(clean, errors="coerce")
        if plain.notna().all():  # most columns: nothing to take away, and a pass over texts costs more than the parsing
            return plain.astype(float).reindex(values.index)
    for sign in (unit, read.thousands or "", "\u00a0", "\u202f"):
        clean = clean.str.replace(sign, "", regex=False) if sign else clean
    clean = clean.str.strip()
    if read.decimal != ".":
        clean = clean.str.replace(read.decimal, ".", regex=False)
    clean = clean.mask(clean.isin(set(read.missing)) | (clean == ""))
    parsed = pd.to_numeric(clean.replace({"True": "1", "False": "0", "true": "1", "false": "0"}), errors="coerce")
    if (parsed.isna() & clean.notna()).any():
        return values
    return parsed.astype(float).reindex(values.index)


def wall_clock(values: pd.Series) -> pd.Series:
    """Times as the clocks of their zone show them, without the zone: a local midnight stays one, in summer and in winter.

    Raises ValueError naming a time that two of the moments show, as when clocks are set back.
    """
    local = values.dt.tz_localize(None)
    if values.dt.tz is not None and local.nunique() < values.nunique():
        twice = values.drop_duplicates().dt.tz_localize(None)
        raise ValueError(
            f"column {values.name}: clocks in {values.dt.tz} show {twice[twice.duplicated()].iloc[0]} twice, as they are set "
            "back; write the column in UTC"
        )
    moments: pd.Series = local.astype("datetime64[ns]")
    return moments


def dates(values: pd.Series, formats: tuple[str, ...]) -> pd.Series:
    """Texts as times without a zone (those with one in UTC), each by the first format that takes it; times as `wall_clock`.

    Raises ValueError naming the row of a text that none of them takes.
    """
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(values):
        return wall_clock(values)
    moments = pd.Series(pd.NaT, index=values.index, dtype="datetime64[ns]")
    for form in formats:
        left = values[moments.isna() & values.notna()]
        if not left.empty:
            parsed = pd.to_datetime(left.astype(str).str.strip(), format=form, errors="coerce", utc=True)
            moments.loc[left.index] = parsed.dt.tz_localize(None).astype("datetime64[ns]")
    left = values[moments.isna() & values.notna()]
    if not left.empty:
        raise ValueError(
            f"column {values.name}: {str(left.iloc[0])[:40]!r} in none of its formats ({', '.join(formats)}); "
            "add one to data.read.dates in the use case's configuration"
        )
    return moments
