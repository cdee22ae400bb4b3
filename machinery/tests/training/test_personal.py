"""Columns with personal data: what is made of them is known by what changes with them, and is hidden with them."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops.training.personal import derived, hidden, unknown

ROWS = pd.DataFrame(
    {
        "client": range(100),
        "income": np.random.default_rng(1).integers(100, 900, 100).astype(float),
        "town": ["Bonn", "Trier"] * 50,
        "late": [True, False] * 50,
    }
)


def use_case(features: Callable[[pd.DataFrame], pd.DataFrame], *personal: str) -> Any:
    """What `derived` asks of a use case."""
    config = SimpleNamespace(serving=SimpleNamespace(personal=personal), key=("client",))
    return SimpleNamespace(
        config=config, features=features, inputs=lambda rows: [name for name in rows if name not in ("client", "late")]
    )


def features(rows: pd.DataFrame) -> pd.DataFrame:
    """Two columns made of the income, one of them of the row before too; one of the town."""
    logarithm = np.log10(rows["income"])
    made = rows.assign(logarithm=logarithm, step=logarithm.diff().fillna(0), bonn=rows["town"] == "Bonn")
    return made.drop(columns="income")


def test_what_is_made_of_a_column_is_found_under_another_name_and_nothing_else_is() -> None:
    assert derived(use_case(features, "income"), ROWS, features(ROWS)) == {"income": ["logarithm", "step"]}
    assert derived(use_case(features, "town", "income"), ROWS, features(ROWS)) == {
        "town": ["bonn", "town"],
        "income": ["logarithm", "step"],
    }


def test_features_of_fewer_rows_are_compared_on_those_that_are_left() -> None:
    def richest(rows: pd.DataFrame) -> pd.DataFrame:
        return features(rows[rows["income"] > 300])

    assert derived(use_case(richest, "income"), ROWS, richest(ROWS)) == {"income": ["logarithm", "step"]}


@pytest.mark.parametrize("name", ["client", "salary", "logarithm"], ids=["the key", "renamed by load", "an input"])
def test_a_name_that_the_interim_rows_do_not_have_is_not_tried(name: str) -> None:
    assert derived(use_case(features, name), ROWS, features(ROWS)) == {}


def test_features_that_do_not_take_other_values_leave_it_unknown() -> None:
    def strict(rows: pd.DataFrame) -> pd.DataFrame:
        if not rows["income"].equals(ROWS["income"]):
            raise ValueError("income of another client")
        return features(rows)

    assert derived(use_case(strict, "income"), ROWS, strict(ROWS)) == {}


def test_names_and_what_was_made_of_them_are_hidden_and_what_is_not_known_is_named() -> None:
    manifest = {"personal": {"income": ["logarithm", "step"], "town": []}}
    assert hidden(("income", "mail"), manifest) == {"income", "logarithm", "step", "mail"}
    assert unknown(("income", "town", "mail", "step"), manifest, ["step", "bonn"]) == ["mail"]
    assert hidden((), manifest) == set() and unknown(("income",), {}, ["logarithm"]) == ["income"]
