"""What a table is about: key, target, task, time, groups; what reproduces the target; what is left out, and why."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.config.reading import Read
from mlops.data.read import dates, is_text, numbers, texts
from mlops.errors import DataError
from mlops.scaffold.kinds import Kind, kind_of
from mlops.scaffold.sniff import check_name, sniff

if TYPE_CHECKING:
    import pandas as pd

ROW_ID = "row_id"
# Rows with a target below which nothing can be trained and judged, and rows that a class needs.
FEWEST, FEWEST_OF_CLASS = 20, 5
# A number with no more values than this, all whole, is a class; more text classes than MOST_CLASSES are none.
FEW_NUMBERS, MOST_CLASSES = 10, 100
EVENT = re.compile(r"^(date|datum|day|tag|time|timestamp|datetime|ts|week|month|period|zeit)$", re.IGNORECASE)
# A tree on one column that is right this often knows the target; so does an R² this high.
LEAK, SAMPLE = 0.995, 5_000


@dataclass(frozen=True)
class Wishes:
    """What a user chose; the rest is inferred."""

    target: str
    key: tuple[str, ...] = ()
    time: str = ""
    group: str = ""
    drop: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    task: str = ""
    positive: str = ""


@dataclass(frozen=True)
class Table:
    """A file that was understood.

    rows: typed as they will be read, missing categories still missing. kinds: column → kind. left_out: column → reason.
    inputs: what the model may see. classes: of a classification, sorted. notes: what a person should know.
    """

    file: Path
    read: Read
    rows: pd.DataFrame
    kinds: dict[str, Kind]
    target: str
    task: str
    key: tuple[str, ...]
    time: str
    group: str
    split: str
    left_out: dict[str, str]
    classes: tuple[str | int, ...]
    positive: str | int | None
    notes: tuple[str, ...]

    @property
    def inputs(self) -> list[str]:
        """The columns that features and model start from, in the order of the file."""
        hidden = {self.target, *self.left_out} | {
            name for name in self.key if self.kinds.get(name, Kind("", 0, 0)).kind != "category"
        }
        return [name for name in self.kinds if name not in hidden]

    def of_kind(self, *kinds: str) -> list[str]:
        """The inputs of some kinds."""
        return [name for name in self.inputs if self.kinds[name].kind in kinds]


def understand(file: Path, wishes: Wishes) -> Table:
    """Read a file and find out what it holds.

    Raises DataError, naming the reason and the way out, for a file or target from which nothing can be learned.
    """
    read, cells = sniff(file, wishes.target)
    for option, names in (
        ("--target", [wishes.target]),
        ("--key", wishes.key),
        ("--drop", wishes.drop),
        ("--keep", wishes.keep),
    ):
        for name in names:
            check_name(cells, name, option)
    for option, name in (("--time", wishes.time), ("--group", wishes.group)):
        if name:
            check_name(cells, name, option)
    kinds = {str(name): kind_of(cells[name], read) for name in cells}
    read = _read_of(read, kinds)
    cells = cells.mask(cells.isin([*read.missing])) if file.suffix.lower() != ".parquet" else cells
    rows = cells.assign(**{name: _typed(cells[name], kind, read) for name, kind in kinds.items()})
    task, classes, rows, notes = _target(rows, kinds, wishes)
    left_out = {name: "left out by --drop" for name in wishes.drop}
    needed = {wishes.target, *wishes.key, wishes.time, wishes.group, *wishes.keep, *left_out}
    left_out |= _left_out(rows, kinds, needed)
    time, group, key, split = _structure(rows, kinds, wishes, task, left_out)
    left_out = {name: why for name, why in left_out.items() if name not in (*key, time, group)}
    table = Table(
        file, read, rows, kinds, wishes.target, task, key, time, group, split, left_out, classes,
        _positive(rows[wishes.target], classes, wishes), tuple(notes),
    )  # fmt: skip
    leaks = {name: why for name, why in leaks_of(table).items() if name not in wishes.keep}
    table = replace(table, left_out={**left_out, **leaks}, notes=(*notes, *_remarks(table, leaks)))
    if not table.inputs:
        reasons = "; ".join(f"{name}: {why}" for name, why in table.left_out.items()) or "there is none beside target and key"
        raise DataError(f"{file}: no column is left to learn from ({reasons[:300]}); bring others, or --keep one of them")
    return table


def _read_of(read: Read, kinds: dict[str, Kind]) -> Read:
    words = {word for kind in kinds.values() for word in kind.words if word not in read.missing}
    return read.model_copy(
        update={
            "dates": {name: kind.formats for name, kind in kinds.items() if kind.kind == "date"},
            "units": {name: kind.unit for name, kind in kinds.items() if kind.unit and kind.kind == "number"},
            "missing": (*read.missing, *sorted(words)),
        }
    )


def _typed(values: pd.Series, kind: Kind, read: Read) -> pd.Series:
    if kind.kind == "date":
        return dates(values, kind.formats)
    if kind.kind == "number":
        return numbers(values, read, kind.unit) if is_text(values) else values.astype(float)
    return texts(values) if kind.kind != "free" else values


def _target(
    rows: pd.DataFrame, kinds: dict[str, Kind], wishes: Wishes
) -> tuple[str, tuple[str | int, ...], pd.DataFrame, list[str]]:
    """Task, classes, and the rows that have a target; notes on those that have none."""
    name, notes = wishes.target, []
    known = rows[rows[name].notna()]
    if len(known) < len(rows):
        notes.append(f"{len(rows) - len(known)} rows have no {name} and are not trained on")
    if len(known) < FEWEST:
        raise DataError(
            f"target {name}: {len(known)} rows have a value, and {FEWEST} are the fewest to train and judge; bring more rows"
        )
    task = wishes.task or _task(known[name], kinds[name])
    if task == "regression":
        if kinds[name].kind != "number":
            raise DataError(f"target {name} holds no numbers ({kinds[name].kind}); leave --task regression out")
        if known[name].nunique() < 2:
            raise DataError(f"target {name} is always {known[name].iloc[0]:g}: nothing to predict; choose another --target")
        return task, (), known, notes
    labels = known[name].astype(int) if kinds[name].kind == "number" and kinds[name].whole else texts(known[name])
    known = known.assign(**{name: labels})
    counts = known[name].value_counts()
    kept = counts[counts >= FEWEST_OF_CLASS].index
    if len(counts) > MOST_CLASSES:
        raise DataError(f"target {name} has {len(counts)} different values, which are no classes; choose another --target")
    if len(kept) < 2:
        few = f" with {FEWEST_OF_CLASS} rows or more" if len(counts) > 1 else ""
        raise DataError(
            f"target {name} has one class only{few} ({counts.index[0]!r}): nothing to tell apart; "
            "bring rows of another class, or choose another --target"
        )
    if len(kept) < len(counts):
        rare = ", ".join(map(str, counts.index.difference(kept)[:5]))
        notes.append(f"classes with fewer than {FEWEST_OF_CLASS} rows are not trained on: {rare}")
        known = known[known[name].isin(kept)]
    classes = tuple(sorted(value if isinstance(value, str) else int(value) for value in kept))
    return task, classes, known, notes


def _task(values: pd.Series, kind: Kind) -> str:
    if kind.kind == "date":
        raise DataError(f"target {values.name} is a date, which is not predicted; choose another --target")
    if kind.kind == "number" and not (kind.whole and values.nunique() <= FEW_NUMBERS):
        return "regression"
    return "classification"


def _positive(target: pd.Series, classes: tuple[str | int, ...], wishes: Wishes) -> str | int | None:
    """The class that matters of two: as the user says, else the rarer one."""
    if wishes.positive:
        named = next((name for name in classes if str(name) == wishes.positive), None)
        if named is None:
            raise DataError(
                f"--positive {wishes.positive}: no class of {target.name}; there are: {', '.join(map(str, classes))}"
            )
        return named
    if len(classes) != 2:
        return None
    rarest = target.value_counts().idxmin()
    return rarest if isinstance(rarest, str) else int(rarest)  # numpy's whole numbers become 1.0 in a configuration


def _left_out(rows: pd.DataFrame, kinds: dict[str, Kind], needed: set[str]) -> dict[str, str]:
    reasons = {
        "constant": "constant",
        "identifier": "names rows, measures nothing",
        "free": "free text without words to count",
    }
    left_out = {}
    for name, kind in kinds.items():
        if kind.kind in reasons and name not in needed:
            left_out[name] = f"{reasons[kind.kind]}: {kind.remark}" if kind.remark else reasons[kind.kind]
    return left_out | _copies(rows, [name for name in kinds if name not in left_out and name not in needed])


def _copies(rows: pd.DataFrame, names: Sequence[str]) -> dict[str, str]:
    """Columns that hold what another one holds, value by value."""
    import pandas as pd

    seen: dict[int, str] = {}
    copies = {}
    for name in names:
        digest = int(pd.util.hash_pandas_object(rows[name], index=False).sum())
        if digest in seen and rows[seen[digest]].equals(rows[name]):
            copies[name] = f"the same as {seen[digest]}"
        seen.setdefault(digest, name)
    return copies


def _structure(
    rows: pd.DataFrame, kinds: dict[str, Kind], wishes: Wishes, task: str, left_out: dict[str, str]
) -> tuple[str, str, tuple[str, ...], str]:
    """Time, group, key and the way of splitting."""
    for name in wishes.key:
        if rows[name].isna().any():
            raise DataError(
                f"--key {name}: {int(rows[name].isna().sum())} rows have no value; choose columns that always have one"
            )
    if wishes.key and rows.duplicated([*wishes.key]).any():
        raise DataError(
            f"--key {','.join(wishes.key)}: {int(rows.duplicated([*wishes.key]).sum())} rows have the key of another one; "
            "add a column to it, or leave --key out"
        )
    names = [
        name for name, kind in kinds.items() if kind.kind == "identifier" and name not in wishes.drop and _is_key(rows, [name])
    ]
    days = [name for name, kind in kinds.items() if kind.kind == "date" and name not in wishes.drop and name != wishes.target]
    if wishes.time and wishes.time not in days:
        raise DataError(f"--time {wishes.time} holds no dates ({kinds[wishes.time].kind}); choose a column of dates")
    time, beside = _time(rows, kinds, wishes, days, bool(names))
    group = wishes.group or beside or ("" if time else _group(rows, kinds, wishes))
    key = wishes.key or _key(rows, names, time, group)
    split = "time" if time else "group" if group else "stratified" if task == "classification" else "hash"
    beside_key = {"group": group, "time": time}.get(split, "")
    return time, group, (*key, beside_key) if beside_key and beside_key not in key else key, split


def _is_key(rows: pd.DataFrame, names: Sequence[str]) -> bool:
    return not rows[[*names]].isna().any(axis=None) and not rows.duplicated([*names]).any()


def _time(rows: pd.DataFrame, kinds: dict[str, Kind], wishes: Wishes, days: list[str], named: bool) -> tuple[str, str]:
    """The column of time where the rows are a series, and the column of which each value has a series of its own."""
    if wishes.time:
        beside = [name for name in _groups(kinds, wishes) if _is_key(rows, [name, wishes.time])]
        return wishes.time, "" if _is_key(rows, [wishes.time]) else next(iter(beside), "")
    for day in days:
        if rows[day].nunique() < 10 or rows[day].isna().any() or (named and not EVENT.match(day)):
            continue
        if _is_key(rows, [day]):
            return day, ""
        beside = [name for name in _groups(kinds, wishes) if _is_key(rows, [name, day])]
        if beside or EVENT.match(day):
            return day, next(iter(beside), "")
    return "", ""


def _groups(kinds: dict[str, Kind], wishes: Wishes) -> list[str]:
    """Columns whose values may each have many rows."""
    named = [name for name, kind in kinds.items() if kind.kind in ("category", "identifier") and name != wishes.target]
    return [wishes.group] if wishes.group else [name for name in named if kinds[name].distinct > 1 and name not in wishes.drop]


def _group(rows: pd.DataFrame, kinds: dict[str, Kind], wishes: Wishes) -> str:
    """An identifier that several rows share: of a patient with many visits, say."""
    for name, kind in kinds.items():
        if kind.kind == "identifier" and name not in (*wishes.drop, *wishes.key, wishes.target):
            if not rows[name].isna().any() and 10 <= rows[name].nunique() <= 0.7 * len(rows):
                return name
    return ""


def _key(rows: pd.DataFrame, names: list[str], time: str, group: str) -> tuple[str, ...]:
    for candidate in ([name] for name in names):
        return (*candidate, *((time,) if time and _is_key(rows, [time]) and not candidate else ()))
    for pair in ([time], [group, time]):
        if all(pair) and _is_key(rows, pair):
            return tuple(pair)
    return (ROW_ID,)


def leaks_of(table: Table) -> dict[str, str]:
    """Inputs that reproduce the target by themselves, each with what shows it."""
    sample = table.rows if len(table.rows) <= SAMPLE else table.rows.sample(SAMPLE, random_state=0)
    target = sample[table.target]
    if table.classes and target.value_counts().min() < 3:
        return {}
    leaks = {name: _knows(sample[name], target, bool(table.classes)) for name in table.of_kind("number", "category", "date")}
    what = "classes right" if table.classes else "of the variance"
    return {
        name: f"LEAK? it reproduces {table.target} ({score:.1%} {what} by itself); keep it with --keep {name}"
        for name, score in leaks.items()
        if score >= LEAK
    }


def _knows(values: pd.Series, target: pd.Series, classes: bool) -> float:
    """How well one column alone tells the target of rows that a tree has not seen: balanced accuracy, or R²."""
    import warnings

    import numpy as np
    import pandas as pd
    from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    if is_text(values):
        codes = (
            values.astype(object).where(values.notna(), "").map(target.groupby(values.fillna("")).size().rank(method="first"))
        )
    else:
        codes = pd.to_numeric(values.astype("int64") if str(values.dtype).startswith("datetime") else values)
        codes = codes.where(values.notna(), np.nan)
    inputs = codes.to_numpy(dtype=float).reshape(-1, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if classes:
            folds = StratifiedKFold(3, shuffle=True, random_state=0)
            tree = DecisionTreeClassifier(min_samples_leaf=2, max_leaf_nodes=200, random_state=0)
            return float(cross_val_score(tree, inputs, target.astype(str), cv=folds, scoring="balanced_accuracy").mean())
        line = np.abs(np.corrcoef(np.nan_to_num(inputs[:, 0], nan=float(np.nanmean(inputs))), target)[0, 1]) ** 2
        tree = DecisionTreeRegressor(min_samples_leaf=2, random_state=0)
        best = cross_val_score(tree, inputs, target, cv=KFold(3, shuffle=True, random_state=0), scoring="r2").mean()
        return float(max(line if np.isfinite(line) else 0, best))


def _remarks(table: Table, leaks: dict[str, str]) -> list[str]:
    """What a person should know of the table before it trains."""
    remarks = []
    if leaks:
        remarks.append(f"left out, as each reproduces the target by itself: {', '.join(leaks)}")
    if twins := int(
        table.rows.drop(columns=[name for name in table.key if name in table.rows]).astype(str).duplicated().sum()
    ):
        remarks.append(f"{twins} rows are alike but for their key")
    if table.key == (ROW_ID,) or table.key[0] == ROW_ID:
        remarks.append(f"no column names a row, so load makes {ROW_ID} of a row's content")
    if table.classes and table.positive is not None:
        share = float((table.rows[table.target] == table.positive).mean())
        remarks.append(
            f"{table.positive!r} is {share:.1%} of {table.target}"
            + ("; probability is judged, labels go by the threshold with the best F1" if share < 0.2 else "")
        )
    if personal := [name for name in table.inputs if table.kinds[name].personal]:
        remarks.append(f"personal data? {', '.join(personal)}: in serving.personal, or leave them out with --drop")
    return remarks
