"""Leaks: inputs that know more than they will when the model is asked.

features    the features of rows do not depend on rows that come later
duplicates  holdout inputs that stand in the training rows
row number  an input that numbers the rows
single      what each input predicts alone; one that nearly determines the target is seldom known in time
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mlops.errors import first_line
from mlops.training.findings import Finding

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from mlops.use_case import UseCase

# The shares of the rows, from the first one on, that features are computed on again.
PREFIXES = (0.5, 0.8)
# A column of more levels is cut into this many bins of equally many rows.
BINS = 64
# Rows on each side that single inputs are tried on.
MOST = 20_000
# Rows on each side in which an input with gaps is known, for it to be tried on them alone.
LEAST = 20


def of_features(use_case: UseCase, interim: pd.DataFrame, processed: pd.DataFrame) -> list[Finding]:
    """A finding where features of the first rows change, or rows of them are lost, once later rows are left out.

    With a split by time that is the order of time. Else the features of any half are those of all rows, unless the rows have a
    time in whose order they look backward only.
    """
    findings: list[Finding] = []
    for parts in _orders(use_case, interim):
        findings = []
        for part in parts:
            try:
                findings = _compare(use_case, part, use_case.features(part.copy()), processed)
            except Exception as error:  # the code is the user's: some features need many rows
                findings = [Finding("leaks.features", f"not computed on part of the rows ({first_line(error)})", False)]
            if findings:
                break
        if not findings:
            return []
    return findings


def of_duplicates(training: pd.DataFrame, holdout: pd.DataFrame, target: pd.Series, share: float) -> list[Finding]:
    """A finding of the holdout rows (inputs alone) that stand in the training rows; it blocks beyond what chance explains.

    Chance: how often such a row would be drawn if, within each class of the target, columns had nothing to do with each other.
    """
    import numpy as np
    import pandas as pd

    known = set(pd.util.hash_pandas_object(training, index=False))
    count = sum(value in known for value in pd.util.hash_pandas_object(holdout, index=False))
    if not count:
        return []
    chance = np.zeros(len(holdout))
    classes = target.to_numpy() if target.nunique() <= 20 else np.zeros(len(target))
    for name in pd.unique(classes):
        rows = training[classes == name]
        density = np.full(len(holdout), float(len(rows)))
        for column in training:
            density *= (
                holdout[column].map(rows[column].value_counts(normalize=True, dropna=False)).fillna(0).to_numpy(dtype=float)
            )
        chance += density
    expected = float(np.minimum(chance, 1).sum())
    allowed = expected + 3 * expected**0.5 + share * len(holdout)
    detail = f"inputs of {count} of {len(holdout)} holdout rows stand in the training rows; chance explains {allowed:.0f}"
    return [Finding("leaks.duplicates", detail, count > allowed)]


def of_row_numbers(rows: pd.DataFrame, inputs: list[str], by_time: bool) -> list[Finding]:
    """A finding for each input that numbers the rows: whole numbers in even steps, each once, with hardly a gap.

    They may be written as text behind the same letters (C-0001). Where the split is by time it may be a day count, so there it
    is reported and does not block.
    """
    import numpy as np

    findings = []
    for name in inputs if len(rows) >= 20 else []:
        values = _numbers(rows[name])
        if values is None:
            continue
        steps = np.diff(np.sort(values))
        if (steps > 0).all() and steps.sum() / math.gcd(*steps.tolist()) < 1.1 * len(rows):
            findings.append(Finding(f"leaks.row_number.{name}", f"input {name} numbers the rows: leave it out", not by_time))
    return findings


def _numbers(values: pd.Series) -> np.ndarray | None:
    """The whole numbers of a column, as numbers or as text behind the same letters; None where it holds anything else."""
    import pandas as pd

    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    if pd.api.types.is_string_dtype(values):
        parts = values.astype(str).str.extract(r"^(\D*)(\d{1,15})$")
        if parts[0].nunique(dropna=False) > 1:
            return None
        values = pd.to_numeric(parts[1])
    if pd.api.types.is_bool_dtype(values) or not pd.api.types.is_numeric_dtype(values):
        return None
    whole = values.notna().all() and (values % 1 == 0).all() and (values.abs() < 2**62).all()
    return values.to_numpy(dtype="int64") if whole else None


def of_single_inputs(
    training: pd.DataFrame, holdout: pd.DataFrame, inputs: list[str], target: str, baseline: float, classes: bool, share: float
) -> tuple[list[Finding], dict[str, dict[str, float]]]:
    """Findings of inputs that nearly determine the target, and what each input reaches alone on the holdout.

    baseline: the error of the simplest rule on the holdout, as a share of wrong rows or a mean squared error. An input is
    tried from the training rows to the holdout and back; it blocks where it removes at least `share` of the baseline's error.
    """
    import numpy as np

    training, holdout = _thinned(training), _thinned(holdout)
    findings, alone = [], {}
    one, other = (_target(rows[target], classes) for rows in (training, holdout))
    for name in inputs:
        values = _as_numbers(training[name], holdout[name])
        sides = (values[0], one), (values[1], other)
        forth, back = (_errors(*known, *judged, classes) for known, judged in (sides, sides[::-1]))
        alone[str(name)] = {"error": float(forth.mean()), "deviation": float(forth.std() / len(forth) ** 0.5)}
        both, simple, where = np.concatenate([forth, back]), baseline, ""
        if not _determines(both, simple, classes, share) and (rest := _where_known(sides, classes)):
            both, simple, where = rest
        if _determines(both, simple, classes, share):
            left = f"it leaves {both.mean() / simple:.2%} of the baseline's error"
            detail = f"input {name} alone nearly determines {target}{where}: {left}"
            findings.append(Finding(f"leaks.single_input.{name}", f"{detail}; is it known when the model is asked?"))
    return findings, alone


def _as_numbers(*columns: pd.Series) -> tuple[pd.Series, ...]:
    """Columns of text that holds nothing but numbers as these numbers; others as they are."""
    import pandas as pd

    if not all(pd.api.types.is_string_dtype(values) for values in columns):
        return columns
    numbers = tuple(pd.to_numeric(values, errors="coerce") for values in columns)
    lost = any((found.isna() & values.notna()).any() for found, values in zip(numbers, columns, strict=True))
    return columns if lost else numbers


def _determines(errors: np.ndarray, simple: float, classes: bool, share: float) -> bool:
    """Whether errors are beyond chance less than what is left of the simplest rule's."""
    # The upper end of the 95 % interval: of no wrong rows among n it is 3.84 / (n + 3.84), after Wilson (1927).
    upper = (errors.sum() + 3.84) / (len(errors) + 3.84) if classes else errors.mean() + 2 * errors.std() / len(errors) ** 0.5
    return simple > 0 and bool(upper <= (1 - share) * simple)


def _where_known(sides: tuple[tuple[pd.Series, np.ndarray], ...], classes: bool) -> tuple[np.ndarray, float, str] | None:
    """The errors on the rows in which an input with gaps is known, those of the simplest rule on them, and words for it."""
    import numpy as np
    import pandas as pd

    masks = [values.notna().to_numpy() for values, _ in sides]
    rows = sum(int(mask.sum()) for mask in masks)
    if all(mask.all() for mask in masks) or min(mask.sum() for mask in masks) < LEAST:
        return None
    known = [(values[mask], truth[mask]) for (values, truth), mask in zip(sides, masks, strict=True)]
    pairs = known, known[::-1]
    both = np.concatenate([_errors(*one, *other, classes) for one, other in pairs])
    if classes:
        simple = np.concatenate([other[1] != pd.Series(one[1]).mode()[0] for one, other in pairs])
    else:
        simple = np.concatenate([(other[1] - one[1].mean()) ** 2 for one, other in pairs])
    return both, float(simple.mean()), f" where it is known, in {rows / sum(map(len, masks)):.0%} of the rows"


def _orders(use_case: UseCase, interim: pd.DataFrame) -> Iterator[list[pd.DataFrame]]:
    """Parts of the rows: in the order of each time, and where the split is not by time, any half as well as the first one."""
    import numpy as np
    import pandas as pd

    split = use_case.config.split
    times = [str(name) for name in interim if pd.api.types.is_datetime64_any_dtype(interim[name])]
    if split.method == "time" and split.column in times:
        times = [split.column]
    else:
        half = np.random.default_rng(0).random(len(interim)) < PREFIXES[0]
        yield [*(interim[side].reset_index(drop=True) for side in (half, ~half)), _first(interim, None, PREFIXES[0])]
    for name in times:
        ordered = interim.sort_values([name], kind="stable", ignore_index=True)
        yield [_first(ordered, name, share) for share in PREFIXES]


def _first(rows: pd.DataFrame, time: str | None, share: float) -> pd.DataFrame:
    """The first rows; all or none of those at the same time."""
    cut = int(len(rows) * share)
    if time is not None:
        cut = int((rows[time] <= rows[time].iloc[cut - 1]).sum())
    return rows.iloc[:cut].reset_index(drop=True)


def _compare(use_case: UseCase, part: pd.DataFrame, ours: pd.DataFrame, processed: pd.DataFrame) -> list[Finding]:
    from mlops.training.holdout import changed_columns

    key = list(use_case.config.key)
    mine, every = ours.set_index(key), processed.set_index(key)
    common = mine.index.intersection(every.index)
    counts = changed_columns(mine.loc[common], every.loc[common], map(str, every))
    changed = [f"{name} in {count} rows" for name, count in counts.items()]
    if changed:
        detail = f"features depend on rows that come later: {', '.join(changed[:3])} of {len(common)}"
        return [Finding("leaks.features", f"{detail}; compute them from the row and those before it, fit the rest in build")]
    if all(name in part for name in key):
        wanted = every.index.intersection(part.set_index(key).index)
        if lost := int((~wanted.isin(mine.index)).sum()):
            return [Finding("leaks.features", f"{lost} rows are lost once later rows are left out: features look forward")]
    return []


def _thinned(rows: pd.DataFrame) -> pd.DataFrame:
    """At most MOST of the rows, evenly spread."""
    import numpy as np

    return rows.iloc[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST)).astype(int))]


def _target(values: pd.Series, classes: bool) -> np.ndarray:
    return values.astype(str).to_numpy() if classes else values.to_numpy(dtype=float)


def _errors(known: pd.Series, truth: np.ndarray, judged: pd.Series, target: np.ndarray, classes: bool) -> np.ndarray:
    """The error of each judged row by the best of the simple rules: means or modes of bins, cuts, a line, neighbours."""
    import numpy as np
    import pandas as pd

    one, other = _bins(known, judged)
    groups = pd.Series(truth).groupby(one)
    measured = pd.api.types.is_numeric_dtype(known) and not pd.api.types.is_bool_dtype(known) and known.nunique() > 2
    if classes:
        frequent = pd.Series(truth).mode()[0]
        modes = groups.agg(lambda values: values.value_counts().index[0])
        guesses = [pd.Series(other).map(modes).fillna(frequent).to_numpy()]
        if measured:
            guesses.append(_by_cuts(known, truth, judged))
        return min(((guess != target).astype(float) for guess in guesses), key=np.mean)
    tries = [pd.Series(other).map(groups.mean()).fillna(float(np.mean(truth))).to_numpy(dtype=float)]
    if measured:
        x, y = known.to_numpy(dtype=float), judged.to_numpy(dtype=float)
        finite, center = np.isfinite(x), float(np.mean(truth))
        points = pd.Series(truth[finite]).groupby(x[finite]).mean()
        tries.append(np.where(np.isfinite(y), np.interp(y, points.index, points), center))
        slope, start = np.polyfit(x[finite], truth[finite], 1)
        tries.append(np.where(np.isfinite(y), slope * y + start, center))
    return min(((guess - target) ** 2 for guess in tries), key=np.mean)


def _by_cuts(known: pd.Series, truth: np.ndarray, judged: pd.Series) -> np.ndarray:
    """The classes of judged rows by cuts where a class begins or ends: bins of equally many rows miss a rare one."""
    import numpy as np
    from sklearn.tree import DecisionTreeClassifier

    limit = float(np.finfo("float32").max)  # what a tree takes
    columns = (values.to_numpy(dtype="float64", na_value=np.nan) for values in (known, judged))
    one, other = (values.clip(-limit, limit)[:, None] for values in columns)
    return np.asarray(DecisionTreeClassifier(max_leaf_nodes=BINS, random_state=0).fit(one, truth).predict(other))


def _bins(known: pd.Series, judged: pd.Series) -> tuple[Any, Any]:
    """Labels of the values of two columns: themselves where there are few, else bins of equally many known rows."""
    import numpy as np
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(known):
        known, judged = known.astype("int64"), judged.astype("int64")
    if not pd.api.types.is_numeric_dtype(known) or pd.api.types.is_bool_dtype(known) or known.nunique() <= BINS:
        return known.astype(str).to_numpy(), judged.astype(str).to_numpy()
    edges = np.unique(np.nanquantile(known.to_numpy(dtype=float), np.linspace(0, 1, BINS + 1)[1:-1]))
    places = [np.searchsorted(edges, values.to_numpy(dtype=float)) for values in (known, judged)]
    return np.where(known.isna(), BINS + 1, places[0]), np.where(judged.isna(), BINS + 1, places[1])
