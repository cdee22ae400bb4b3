"""Customers: the inputs are numbers made row by row, and a probability means what it states."""

from pathlib import Path

import numpy as np
import pandas as pd
from mlops import Project, load_use_case, train
from sklearn.metrics import average_precision_score
from sklearn.model_selection import cross_val_predict

from use_cases import customers
from use_cases.customers.data import INPUTS

RAW = pd.read_csv(Path(__file__).parents[2] / "data/raw/customers/loans.csv")
ROWS = customers.features(customers.load(RAW))
BAD = (ROWS["class"] == "bad").to_numpy()


def test_each_row_is_made_by_itself() -> None:
    pd.testing.assert_frame_equal(
        customers.features(customers.load(RAW.iloc[500:510])), ROWS.iloc[500:510].reset_index(drop=True)
    )


def test_texts_become_numbers_in_their_order() -> None:
    made = customers.load(RAW.head(2)).assign(
        sub_grade=["A1", "G5"], emp_length=["emp_unk", "emp_ge_10"], term=["term_36", "term_60"]
    )
    rows = customers.features(made)
    assert rows["grade"].tolist() == [1.0, 35.0]
    assert rows["years_employed"].tolist() == [0.0, 10.0] and rows["employment_unknown"].tolist() == [1.0, 0.0]
    assert rows["months"].tolist() == [36.0, 60.0]


def test_stated_probabilities_are_observed_shares() -> None:
    stated = cross_val_predict(customers.build(20.0, 11), ROWS[INPUTS], BAD, cv=5, method="predict_proba")[:, 1]
    for part in np.array_split(np.argsort(stated), 5):
        error = 3 * (stated[part].mean() * (1 - stated[part].mean()) / len(part)) ** 0.5
        assert abs(BAD[part].mean() - stated[part].mean()) < error


def test_with_shuffled_outcomes_nothing_is_learnt() -> None:
    shuffled = np.random.default_rng(1).permutation(BAD)
    stated = cross_val_predict(customers.build(20.0, 11), ROWS[INPUTS], shuffled, cv=5, method="predict_proba")[:, 1]
    assert average_precision_score(shuffled, stated) < 1.3 * BAD.mean()


def test_threshold_follows_the_costs_and_contributions_add_up(project: Project) -> None:
    model, _ = train(project, load_use_case(project, "customers"))
    dear, _ = train(project, load_use_case(project, "customers", ("costs.bad.good=40",)))
    assert dear.manifest["threshold"]["value"] < model.manifest["threshold"]["value"] < 0.2
    added, row = model.manifest["contributions"], model.holdout().iloc[0]
    total = added["base"] + sum(item["coefficient"] * (row[name] - item["mean"]) for name, item in added["inputs"].items())
    assert np.isclose(1 / (1 + np.exp(-total)), row[f"__probability_{added['of']}__"])


def test_baseline_is_the_worst_tenth_of_the_grades() -> None:
    train_rows = pd.DataFrame({"grade": np.arange(1.0, 11.0)})
    assert customers.baseline(train_rows, pd.DataFrame({"grade": [9.0, 10.0]})).tolist() == ["good", "bad"]
