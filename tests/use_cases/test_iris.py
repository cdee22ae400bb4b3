"""Iris: four lengths become 34 features, and the figure of the source is reached."""

from pathlib import Path

import pandas as pd
import pytest
import skops.io
from mlops import Project, load_use_case, train
from sklearn.model_selection import StratifiedKFold, cross_val_score

from use_cases import iris

ROWS = iris.features(iris.load(pd.read_csv(Path(__file__).parents[2] / "data/raw/iris/iris.csv")))
INPUTS, SPECIES = ROWS.drop(columns=["flower", "species"]), ROWS["species"]


def test_four_lengths_become_34_features() -> None:
    model = iris.build(degree=3, regularisation=1.0, seed=1).fit(INPUTS, SPECIES)
    assert model[:-1].transform(INPUTS).shape == (150, 34)


def test_macro_f1_of_five_folds_is_the_one_of_the_source(project: Project) -> None:
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    scores = cross_val_score(load_use_case(project, "iris").estimator(), INPUTS, SPECIES, cv=folds, scoring="f1_macro")
    assert scores.mean() == pytest.approx(0.9459, abs=0.02)


def test_baseline_is_the_most_frequent_species_of_the_training_rows() -> None:
    train = pd.concat([ROWS.head(3), ROWS.tail(5)])
    assert iris.baseline(train, ROWS.head(4)).tolist() == ["virginica"] * 4


def test_fitted_steps_see_the_training_rows_alone(project: Project) -> None:
    """The means of the scaler are those of the training rows, not of all."""
    candidate, _ = train(project, load_use_case(project, "iris"))
    training = INPUTS[~ROWS["flower"].isin(set(candidate.holdout()["flower"]))]
    scaler = skops.io.load(candidate.path / "features.skops")[0]
    assert scaler.mean_ == pytest.approx(training.mean().to_numpy(), rel=1e-12)
    assert scaler.mean_ != pytest.approx(INPUTS.mean().to_numpy(), rel=1e-6)
