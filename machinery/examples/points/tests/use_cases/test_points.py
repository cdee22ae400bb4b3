"""Points: the data are what the script writes, and each model has the scaler of its own sample."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from use_cases import points
from use_cases.points.data import AXES
from use_cases.points.study import study

FOLDER = Path(__file__).parents[2] / "data/raw/points"
ROWS = points.features(points.load(pd.read_csv(FOLDER / "points.csv", parse_dates=["day"])))
LAST = ROWS["day"].max()
TRAINING, UNSEEN = ROWS[ROWS["day"] < LAST], ROWS[ROWS["day"] == LAST]
PARAMETERS = {"kind": "forest", "neighbours": 15, "trees": 20}


def test_the_script_beside_the_data_writes_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.delitem(sys.modules, "create", raising=False)
    from create import create

    assert create().to_csv(index=False, lineterminator="\n") == (FOLDER / "points.csv").read_text(encoding="utf-8")


def test_ten_samples_and_an_unseen_set_with_as_many_red_points_as_blue_ones() -> None:
    assert ROWS.groupby("day")["colour"].value_counts().tolist() == [150] * 20 + [750] * 2


def test_axes_change_scale_from_sample_to_sample() -> None:
    spread = ROWS.groupby("day")[AXES].std()
    assert spread["x"].corr(pd.Series(range(11), index=spread.index)) > 0.98
    assert spread["y"].corr(pd.Series(range(11), index=spread.index)) < -0.95


def test_each_run_has_the_scaler_of_its_own_sample() -> None:
    trials = list(study(TRAINING, UNSEEN, PARAMETERS, seed=7))
    assert len(trials) == 20
    days = sorted(TRAINING["day"].unique())
    for trial in trials:
        sample = TRAINING[TRAINING["day"] == days[trial["parameters"]["sample"] - 1]]
        np.testing.assert_allclose(trial["model"]["scale"].mean_, sample[AXES].mean().to_numpy(), rtol=1e-12)
        assert trial["metrics"]["accuracy"] == np.mean(trial["model"].predict(UNSEEN[AXES]) == UNSEEN["colour"])


def test_a_model_of_the_last_sample_is_better_than_one_of_the_first() -> None:
    accuracy = pd.DataFrame(
        [{**item["parameters"], **item["metrics"]} for item in study(TRAINING, UNSEEN, PARAMETERS, seed=7)]
    )
    table = accuracy.pivot(index="sample", columns="kind", values="accuracy")
    assert (table.loc[8:].mean() > table.loc[:3].mean() + 0.04).all()


def test_with_shuffled_colours_nothing_is_learnt() -> None:
    colours = TRAINING["colour"].sample(frac=1, random_state=1).to_numpy()
    model = points.build(**PARAMETERS, seed=7).fit(TRAINING[AXES], colours)
    assert np.mean(model.predict(UNSEEN[AXES]) == UNSEEN["colour"]) == pytest.approx(0.5, abs=0.06)


def test_baseline_is_the_colour_whose_mean_is_nearer() -> None:
    train = pd.DataFrame({"x": [0.0, 2.0], "y": [0.0, 0.0], "colour": ["red", "blue"]})
    assert points.baseline(train, pd.DataFrame({"x": [0.9, 1.1], "y": [5.0, 5.0]})).tolist() == ["red", "blue"]
