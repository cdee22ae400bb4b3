"""The files of a new use case, as texts: code, provenance, test, page, notebook; the configuration is in `write_config`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from mlops.errors import first_line
from mlops.scaffold.choose import FOLDS, LINEAR, Candidate, Choice, metrics_of
from mlops.scaffold.understand import ROW_ID, Table

if TYPE_CHECKING:
    from jinja2 import Environment

WIDTH = 120
PARTS = ("year", "month", "weekday")


@cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("mlops.scaffold"), trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
        undefined=StrictUndefined, autoescape=False,
    )  # fmt: skip


def render(template: str, **values: Any) -> str:
    """A template with its values."""
    return _templates().get_template(template).render(**values)


def code(name: str, table: Table, candidate: Candidate) -> dict[str, str]:
    """The package of a use case: file name → text."""
    return {
        "__init__.py": render("init.py.j2", description=description(table).replace("\\", ""), features=has_features(table)),
        "data.py": _data(name, table),
        **({"features.py": _features(table)} if has_features(table) else {}),
        "model.py": _model(table, candidate),
    }


def description(table: Table) -> str:
    """What is predicted, in a line."""
    of = f" ({', '.join(map(str, table.classes))})" if table.classes and len(table.classes) <= 5 else ""
    ahead = f", the last {table.time} held out" if table.split == "time" else ""
    return f"{table.target}{of} from {len(table.inputs)} columns of {table.file.name}{ahead}"


def quoted(value: str | int) -> str:
    """A Python literal as black writes it."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) and "'" not in value else _literal(value)


def _literal(value: str | int) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' if isinstance(value, str) else repr(value)


def _list(values: Sequence[str | int], indent: int = 0) -> str:
    """A list in one line where it fits, else an item a line, as black writes it."""
    line = f"[{', '.join(map(quoted, values))}]"
    if len(line) + indent < WIDTH - 10:
        return line
    return "[\n" + "".join(f"    {quoted(value)},\n" for value in values) + "]"


def _levels(table: Table) -> list[str]:
    """The columns of the key that are inputs too: what a series belongs to, and categories."""
    named = [name for name in table.key if name != ROW_ID and name != table.time]
    group = [table.group] if table.split == "time" and table.group in named else []
    return [
        *group,
        *(name for name in named if table.kinds[name].kind == "category" and name not in group and table.split != "group"),
    ]


def has_features(table: Table) -> bool:
    """Whether the model's inputs are other columns than the file's."""
    return bool(_dates(table) or _levels(table))


def _dates(table: Table) -> list[str]:
    keyed = [name for name in table.key if name != ROW_ID and table.kinds[name].kind == "date"]
    return [name for name in table.kinds if name in keyed or name in table.of_kind("date")]


def _parts(table: Table) -> list[str]:
    timed = any((table.rows[name].dropna().dt.normalize() != table.rows[name].dropna()).any() for name in _dates(table))
    return [*PARTS, *(["hour"] if timed else [])]


def _data(name: str, table: Table) -> str:
    dates, keyed = _dates(table), [name for name in table.key if name != ROW_ID]
    declared = [column for column in table.kinds if column in (*table.inputs, *keyed, table.target, table.time)]
    kept = _rare_classes(table)
    whole = bool(table.classes) and not isinstance(table.classes[0], str)
    left = ", ".join(f"{column}" for column in table.left_out)
    dates_kept = [column for column in dates if column in (*table.key, table.time)]
    return render(
        "data.py.j2",
        name=name,
        left_out=left if len(left) < WIDTH - 40 else f"{left[: WIDTH - 45]}…",
        columns=[(quoted(column), _declared(table, column)) for column in declared],
        target=quoted(table.target),
        classes_kept=_list(table.classes) if kept else "",
        dates=dates,
        parts=", ".join(map(quoted, _parts(table))) if dates else "",
        levels=_list(_levels(table)) if _levels(table) else "",
        words=" and whose class is not too rare" if kept else "",
        row_id=ROW_ID if ROW_ID in table.key else "",
        cast=".astype({TARGET: int})" if whole else "",
        gone_dates=len(dates_kept) < len(dates),
        kept_dates=f" or column in {_list(dates_kept)}" if dates_kept else "",
    )


def _rare_classes(table: Table) -> bool:
    return any("classes with fewer" in note for note in table.notes)


def _declared(table: Table, name: str) -> str:
    kind = table.kinds[name]
    if name == table.target and table.classes:
        if _rare_classes(table) or len(table.classes) > 12:
            return f"columns.label({'str' if isinstance(table.classes[0], str) else 'int'})"
        return f"columns.label({', '.join(map(quoted, table.classes))})"
    if kind.kind == "date":
        return "columns.date()"
    if (
        name in table.key
        and name not in _levels(table)
        or kind.kind == "identifier"
        or name in table.key
        and kind.kind == "number"
    ):
        return "columns.identifier()"
    if kind.kind == "number" and kind.low is not None and kind.high is not None:
        low, high = _range(kind.low, kind.high)
        return f"columns.number({low}, {high})"
    return f"columns.{kind.kind if kind.kind in ('category', 'text', 'number') else 'category'}()"


def _range(low: float, high: float) -> tuple[str, str]:
    """What is taken for right: what was seen, wider by as much again on both sides; what is never below 0 stays so."""
    width = (high - low) or abs(high) or 1.0
    lowest = 0.0 if low >= 0 else low - width
    return f"{_rounded(lowest, math.floor):g}", f"{_rounded(high + width, math.ceil):g}"


def _rounded(value: float, way: Any) -> float:
    if value == 0 or not math.isfinite(value):
        return 0.0
    step = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    return float(way(value / step) * step)


def _features(table: Table) -> str:
    dates, levels = _dates(table), _levels(table)
    gone = [name for name in dates if name not in (*table.key, table.time)]
    names = [*(["DATES"] if dates else []), *(["LEVELS"] if levels else []), *(["PARTS"] if dates else [])]
    drop = ".drop(columns=DATES)" if gone and len(gone) == len(dates) else f".drop(columns={_list(gone)})" if gone else ""
    return render(
        "features.py.j2", dates=dates, levels=levels, names=", ".join(names), drop=drop,
        level_words=", and what the key names as an input" if levels else "",
    )  # fmt: skip


def _model(table: Table, candidate: Candidate) -> str:
    dates, levels = _dates(table), _levels(table)
    numbers = table.of_kind("number")
    categories = [*table.of_kind("category")]
    texts = table.of_kind("text")
    # What the data module declares once is not listed again.
    named = 'columns.of_kind(COLUMNS, "number")'
    if not table.classes:
        named = f"(name for name in {named} if name != TARGET)"
    number_list = f"[*{named}{', *CALENDAR' if dates else ''}]" if numbers else "CALENDAR" if dates else ""
    kept = _not_keyed(table)
    of_kind = 'columns.of_kind(COLUMNS, "category")'
    category_list = f"[name for name in {of_kind}{kept}]" if categories and kept else of_kind if categories else ""
    level_list = '[f"{name}_level" for name in LEVELS]'
    category_list = category_list if categories else level_list if levels else ""
    estimator = candidate.classifier if table.classes else candidate.regressor
    step = "passthrough" if not candidate.imputed else ""
    number_step = '"passthrough"' if step else _prepared(candidate)
    return render(
        "model.py.j2",
        words=candidate.words,
        of_kind=bool(numbers or categories),
        imports=_imports(estimator, candidate, bool(number_list), bool(category_list), bool(texts)),
        names=", ".join(
            sorted(
                {
                    "TARGET",
                    *(["COLUMNS"] if numbers or categories else []),
                    *(["CALENDAR"] if dates else []),
                    *(["LEVELS"] if levels else []),
                }
            )
        ),
        numbers=number_list,
        categories=category_list,
        levels=level_list if levels and categories else "",
        texts=[(quoted(f"words_{place}"), quoted(name)) for place, name in enumerate(texts)],
        number_step=number_step,
        estimator=estimator,
        parameters=", ".join(f"{name}: {type(value).__name__}" for name, (value, _) in candidate.parameters.items()),
        title=candidate.words[0].upper() + candidate.words[1:],
        **_baseline(table),
    )


def _not_keyed(table: Table) -> str:
    keyed = [name for name in table.key if name != ROW_ID and _declared(table, name) == "columns.category()"]
    return f" if name not in {_list(keyed)}" if keyed else ""


def _prepared(candidate: Candidate) -> str:
    if candidate is LINEAR:
        return 'make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())'
    return 'SimpleImputer(strategy="median", keep_empty_features=True)'


def _imports(estimator: str, candidate: Candidate, numbers: bool, categories: bool, texts: bool) -> list[str]:
    name = estimator.partition("(")[0]
    module = "linear_model" if candidate is LINEAR else "ensemble"
    scaled = candidate is LINEAR and numbers
    prepared = [*(["OneHotEncoder"] if categories else []), *(["StandardScaler"] if scaled else [])]
    lines = ["from sklearn.compose import ColumnTransformer", f"from sklearn.{module} import {name}"]
    lines += ["from sklearn.feature_extraction.text import TfidfVectorizer"] if texts else []
    lines += ["from sklearn.impute import SimpleImputer"] if candidate.imputed and numbers else []
    lines += [f"from sklearn.pipeline import Pipeline{', make_pipeline' if scaled else ''}"]
    lines += [f"from sklearn.preprocessing import {', '.join(prepared)}"] if prepared else []
    return sorted(lines)


def _baseline(table: Table) -> dict[str, str]:
    if table.classes:
        kind = ", dtype=object" if isinstance(table.classes[0], str) else ""
        return {
            "baseline_words": f"The most frequent {table.target} of the training rows, for every row.",
            "baseline": f"np.full(len(holdout), train[TARGET].mode()[0]{kind})",
        }
    if table.split == "time" and table.group in _levels(table):
        group = quoted(table.group)
        return {
            "baseline_words": f"The median {table.target} of the same {table.group} in the training rows.",
            "baseline": f"np.asarray(holdout[{group}].map(train.groupby({group})[TARGET].median())"
            ".fillna(train[TARGET].median()))",
        }
    return {
        "baseline_words": f"The median {table.target} of the training rows, for every row.",
        "baseline": "np.full(len(holdout), train[TARGET].median())",
    }


def figures(table: Table, choice: Choice) -> str:
    """What was tried, with what came out."""
    primary = metrics_of(table)[0]
    tried = ", ".join(f"{name} {scores[primary]:.4g}" for name, scores in choice.scores.items())
    return f"{choice.candidate.words} ({primary}: {tried})"


def test(name: str, table: Table, file: str) -> str:
    """A test file that asserts something of this data."""
    target = f"ROWS[{quoted(table.target)}]"
    if table.classes:
        common = table.rows[table.target].value_counts().index[0]
        common = common if isinstance(common, str) else int(common)
        figure, value = f"({target} == {quoted(common)}).mean()", float((table.rows[table.target] == common).mean())
    else:
        figure, value = f"{target}.mean()", float(table.rows[table.target].mean())
    hidden = [name for name in (*table.key, *table.left_out) if name != table.target]
    return render(
        "test.py.j2", name=name, file=quoted(file), rows=len(table.rows), figure=figure, value=repr(value),
        hidden=_list(hidden, 13).replace("\n", "\n    "),
    )  # fmt: skip


def columns_of(table: Table) -> list[tuple[str, str, int, int, str]]:
    """Each column with its kind, missing values, different values, and what it is used as, in the order of the file."""
    columns = []
    for name, kind in table.kinds.items():
        if name == table.target:
            use = f"target ({table.task})"
        elif name in table.left_out:
            use = f"left out: {table.left_out[name]}"
        else:
            parts = [
                *(["key"] if name in table.key else []),
                *(["time"] if name == table.time else []),
                *(["group"] if name == table.group else []),
            ]
            parts += ["input"] if name in table.inputs or name in _levels(table) else []
            use = ", ".join(parts) + (f" ({kind.remark})" if kind.remark else "")
        columns.append((name, kind.kind + (f", {kind.personal}?" if kind.personal else ""), kind.missing, kind.distinct, use))
    return columns


def page(name: str, table: Table, choice: Choice, file: str) -> str:
    """The use case's page of the documentation."""
    metrics = metrics_of(table)
    rows = [tuple(str(cell).replace("|", "\\|") for cell in row) for row in columns_of(table)]
    scores = [(model, *(f"{values[metric]:.4g}" for metric in metrics)) for model, values in choice.scores.items()]
    scores += [(model, first_line(ValueError(why)), *[""] * (len(metrics) - 1)) for model, why in choice.passed_over.items()]
    return render(
        "page.md.j2", name=name, description=description(table), file=file, notes=table.notes, columns=rows,
        figures=figures(table, choice), folds=FOLDS, sample=choice.rows, metrics=metrics, scores=scores,
    )  # fmt: skip


def provenance(name: str, table: Table, file: str, facts: Mapping[str, Any]) -> str:
    """The note beside the raw data."""
    return render("raw.md.j2", name=name, description=description(table), file=file, columns=len(table.kinds), **facts)
