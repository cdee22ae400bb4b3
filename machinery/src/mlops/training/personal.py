"""Which processed columns hold what columns with personal data held, also under another name: seen by changing the latter."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from mlops.use_case import UseCase


def derived(use_case: UseCase, interim: pd.DataFrame, processed: pd.DataFrame) -> dict[str, list[str]]:
    """Personal column of the interim rows → the processed columns that change with it, key and target aside.

    Its values are shuffled among the rows, and the features computed again. A column that the interim rows do not have,
    or without whose values the features cannot be compared, is left out: what is made of it is not known.
    """
    found = {}
    for name in use_case.config.serving.personal:
        if name in interim and name not in use_case.config.key:
            columns = _changed(use_case, interim.assign(**{name: _shuffled(interim[name])}), processed)
            if columns is not None:
                found[name] = columns
    return found


def hidden(named: Collection[str], manifest: Mapping[str, Any]) -> set[str]:
    """The columns of a version whose values nothing shows: those that are named, and what was made of them."""
    known = manifest.get("personal", {})
    return {*named, *(column for name in named for column in known.get(name, ()))}


def unknown(named: Collection[str], manifest: Mapping[str, Any], processed: Collection[str]) -> list[str]:
    """Of the columns that are named, those of which it is not known what was made of them; none of them is an input."""
    return sorted({*named} - {*processed} - {*manifest.get("personal", {})})


def _shuffled(values: pd.Series) -> pd.Series:
    """The values in another order, which is the same each time."""
    return values.sample(frac=1, random_state=0).set_axis(values.index)


def _changed(use_case: UseCase, interim: pd.DataFrame, processed: pd.DataFrame) -> list[str] | None:
    from mlops.training.holdout import changed_columns

    key = list(use_case.config.key)
    try:
        ours = use_case.features(interim).set_index(key)
    except Exception:  # the code is the user's: some features do not take the values of one row beside those of another
        return None
    every = processed.set_index(key)
    common = every.index.intersection(ours.index)
    if not len(common) or not ours.index.is_unique:
        return None
    return sorted(map(str, changed_columns(ours.loc[common], every.loc[common], use_case.inputs(processed))))
