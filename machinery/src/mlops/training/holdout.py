"""The holdout beside the champion's: the same rows, by their key, with the same targets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mlops.training.candidate import BASELINE, TRUTH
from mlops.training.findings import Finding

if TYPE_CHECKING:
    import pandas as pd

# A number is another one where it differs by more than this share.
SAME = 1e-9


def compare(ours: pd.DataFrame, theirs: pd.DataFrame, key: list[str], split: Mapping[str, Any]) -> list[Finding]:
    """What has happened to the champion's holdout rows: gone or of another target refuses, new or of other inputs is reported.

    With a split by time the holdout moves on, so rows before its first day are not gone; with a stratified one a row of each
    rare class may have changed sides.
    """
    if any(name not in frame for name in key for frame in (ours, theirs)):
        return [Finding("holdout.rows", "the champion's holdout has another key, so rows cannot be compared", False)]
    mine, other = ours.set_index(key), theirs.set_index(key)
    expected = other
    if split["method"] == "time" and split["column"] in key:
        expected = other[(theirs[split["column"]] >= ours[split["column"]].min()).to_numpy()]
    gone = int((~expected.index.isin(mine.index)).sum())
    new = int((~mine.index.isin(other.index)).sum())
    common = mine.index.intersection(other.index)
    mine, other = mine.loc[common], other.loc[common]
    targets = int(differs(mine[TRUTH], other[TRUTH]).sum())
    inputs = [name for name in other if not str(name).startswith("__") and name in mine]
    changed = int(
        sum((differs(mine[name], other[name]) for name in inputs), start=differs(mine[TRUTH], mine[TRUTH])).gt(0).sum()
    )
    spare = ours[TRUTH].nunique() if split["method"] == "stratified" else 0
    findings = []
    if gone > spare:
        detail = f"{gone} of the champion's {len(theirs)} holdout rows are gone: bring them back, or acknowledge it"
        findings.append(Finding("holdout.rows", detail, True, len(theirs), len(theirs) - gone))
    if targets:
        detail = f"{targets} holdout rows have another target than the champion's: restore them, or acknowledge it"
        findings.append(Finding("holdout.targets", detail, True, 0, targets))
    if new or changed:
        findings.append(Finding("holdout", f"beside the champion's: {new} rows new, {changed} with other inputs", False))
    return findings


def baseline_differs(ours: pd.DataFrame, theirs: pd.DataFrame, key: list[str]) -> bool:
    """Whether the baseline predicts something else for rows that both holdouts have."""
    if any(name not in frame for name in key for frame in (ours, theirs)):
        return False
    mine, other = ours.set_index(key)[BASELINE], theirs.set_index(key)[BASELINE]
    common = mine.index.intersection(other.index)
    return bool(differs(mine.loc[common], other.loc[common]).any())


def changed_columns(ours: pd.DataFrame, theirs: pd.DataFrame, names: Iterable[str]) -> dict[str, int]:
    """Column → in how many rows it holds another value, in two frames with the same rows; all of them where ours lacks it."""
    counts = {name: int(differs(ours[name], theirs[name]).sum()) if name in ours else len(ours) for name in names}
    return {name: count for name, count in counts.items() if count or name not in ours}


def differs(ours: pd.Series, theirs: pd.Series) -> pd.Series:
    """1 for each row in which two columns hold another value, else 0; gaps are alike."""
    import numpy as np
    import pandas as pd

    gaps = ours.isna() & theirs.isna()
    if all(pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values) for values in (ours, theirs)):
        same = np.isclose(ours.to_numpy(dtype=float), theirs.to_numpy(dtype=float), rtol=SAME, atol=0)
    else:
        same = ours.astype(str).to_numpy() == theirs.astype(str).to_numpy()
    differing: pd.Series = (~(same | gaps)).astype(int)
    return differing
