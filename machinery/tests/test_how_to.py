"""The examples of the how-to page do what the page says, on rows made for them."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.base import clone

from mlops import Project

PAGE = (Path(__file__).parents[1] / "docs" / "how-to.md").read_text(encoding="utf-8")
# Heading → the code blocks below it.
EXAMPLES = {
    section.partition("\n")[0]: re.findall(r"```python\n(.*?)```", section, re.DOTALL) for section in PAGE.split("\n## ")[1:]
}
RANDOM = np.random.default_rng(0)


def example(heading: str) -> dict[str, Any]:
    """The names that the section's example defines."""
    found: dict[str, Any] = {}
    [code] = EXAMPLES[heading]
    assert len(code.splitlines()) <= 30
    exec(code, found)  # our own page
    return found


def test_hashed_words_tell_texts_apart_whose_other_words_are_new() -> None:
    texts = pd.DataFrame({"text": [f"{word} number {place}" for place in range(40) for word in ("late", "great")]})
    model = example("How do I use a column of texts?")["build"](seed=0).fit(texts, ["bad", "good"] * 40)
    assert model.predict(pd.DataFrame({"text": ["late unseen", "great unseen"]})).tolist() == ["bad", "good"]


def test_the_last_day_of_a_year_is_beside_the_first() -> None:
    days = pd.to_datetime(["2023-12-31", "2024-01-01", "2024-07-01"])
    rows = example("How do I use a date?")["features"](pd.DataFrame({"day": days, "since": days - pd.Timedelta(days=3)}))
    december, january, july = rows[["year_sin", "year_cos"]].to_numpy()
    assert np.linalg.norm(december - january) < 0.03 < 1.9 < np.linalg.norm(july - january)
    assert rows["age"].tolist() == [3, 3, 3]


def test_a_category_of_many_values_becomes_one_number_that_does_not_know_its_own_row() -> None:
    codes = np.array([f"{code:05}" for code in RANDOM.integers(0, 300, 900)])
    noise = pd.DataFrame({"postcode": codes, "age": RANDOM.normal(size=900)}), RANDOM.integers(0, 2, 900)
    model = example("How do I use a category with many values?")["build"](seed=0)
    assert clone(model).fit(*noise)["model"].n_features_in_ == 2
    # A mean that includes the row itself would find much in noise.
    assert model.fit(*noise).named_steps["model"].score(model["columns"].fit_transform(*noise), noise[1]) < 0.6


def test_weights_find_a_rare_class_and_overstate_its_probability() -> None:
    score = RANDOM.normal(size=(2000, 1))
    rare = (score[:, 0] + RANDOM.normal(size=2000) > 2.2).astype(int)
    model = example("How do I find a rare class?")["build"](seed=0).fit(score, rare)
    assert model.predict(score)[rare == 1].mean() > 0.7
    assert model.predict_proba(score)[:, 1].mean() > 2 * rare.mean()


def test_the_features_of_a_version_are_those_that_its_model_computes(
    registered: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(registered.root)
    features = example("How do I use a version's fitted features on their own?")["features"]
    [file] = registered.store.glob("**/models/**/model.skops")
    model, rows = skops.io.load(file), pd.DataFrame(RANDOM.uniform(0, 8, (9, 4)), columns=features.feature_names_in_)
    assert np.array_equal(features.transform(rows), model[:-1].transform(rows))
    assert features.transform(rows).shape == (9, 34)
