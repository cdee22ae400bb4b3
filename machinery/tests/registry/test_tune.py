"""A search judges parameters at the threshold that training would take, not at a probability of one half."""

import churn
import numpy as np
import pytest

from mlops.config import Project
from mlops.registry import tune
from mlops.training.folds import folds

COST = {"metrics": {"expected_cost": {"direction": "lower", "primary": True}}, "tune": {"folds": 3, "parameters": {
    "regularisation": {"low": 0.1, "high": 10.0}}}}  # fmt: skip


def cost_at(threshold, rows, regularisation):
    """The expected cost over the folds, by numpy alone: a customer who leaves unseen costs 10, a false alarm 1."""
    costs = []
    for fitted, judged in folds(rows, churn_split(), "left", 3, 5):
        given, asked = rows.iloc[fitted], rows.iloc[judged]
        model = churn.build(regularisation, 5).fit(given[[*churn.NUMBERS, "plan"]], given["left"])
        leaves = model.predict_proba(asked[[*churn.NUMBERS, "plan"]])[:, 1] >= threshold
        left = asked["left"].to_numpy() == "yes"
        costs.append(np.mean(10 * (left & ~leaves) + (~left & leaves)))
    return float(np.mean(costs))


def churn_split():
    from mlops.config.models import Split

    return Split(method="stratified", holdout=0.3)


@pytest.mark.parametrize("threshold", [0.1, 0.5])
def test_a_fixed_threshold_is_kept(project: Project, threshold: float) -> None:
    rows = churn.customers(900)
    use_case = churn.make(project, rows, threshold=threshold, **COST)
    got = tune._cross_validated(use_case, rows, {"regularisation": 2.0})
    assert got == pytest.approx(cost_at(threshold, rows, 2.0), rel=1e-9)


def test_a_rule_chooses_it_on_the_rows_of_each_fold(project: Project) -> None:
    rows = churn.customers(900)
    use_case = churn.make(project, rows, threshold={"rule": "cost"}, **COST)
    got = tune._cross_validated(use_case, rows, {"regularisation": 2.0})
    assert got < 0.9 * cost_at(0.5, rows, 2.0)
