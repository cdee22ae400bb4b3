"""Each metric equals scikit-learn's; the paired bootstrap tells a better model from an equal one."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sklearn

from mlops.metrics import measures
from mlops.metrics.measures import MEASURES, Predictions, bootstrap, paired_bootstrap

numbers = st.floats(-1e6, 1e6, allow_subnormal=False)
pairs = st.integers(2, 60).flatmap(
    lambda size: st.tuples(arrays(float, size, elements=numbers), arrays(float, size, elements=numbers))
)

REGRESSION = {
    "mae": sklearn.mean_absolute_error,
    "rmse": sklearn.root_mean_squared_error,
    "bias": lambda truth, predictions: float(np.mean(predictions) - np.mean(truth)),
    "r2": sklearn.r2_score,
    "mape": sklearn.mean_absolute_percentage_error,
}


@settings(deadline=None)
@given(pairs, st.sampled_from(sorted(REGRESSION)))
def test_metric_of_numbers_equals_the_reference(pair, name):
    truth, predictions = pair
    assume(name != "r2" or np.ptp(truth) > 1e-3)
    assume(name != "mape" or np.abs(truth).min() > 1e-9)
    ours = MEASURES["regression"][name](truth, Predictions(predictions))
    assert math.isclose(ours, REGRESSION[name](truth, predictions), rel_tol=1e-9, abs_tol=1e-9)


@st.composite
def classified(draw):
    """Truth, classes that were said, and probabilities, of three classes that need not all occur."""
    size = draw(st.integers(1, 60))
    truth, predictions = (np.array(draw(st.lists(st.integers(0, 2), min_size=size, max_size=size))) for _ in range(2))
    weights = draw(arrays(float, (size, 3), elements=st.floats(0, 1))) + 1e-12
    return truth, Predictions(predictions, weights / weights.sum(axis=1, keepdims=True))


CLASSIFICATION = {
    "accuracy": lambda truth, by: sklearn.accuracy_score(truth, by.values),
    "macro_f1": lambda truth, by: sklearn.f1_score(truth, by.values, average="macro"),
    "log_loss": lambda truth, by: sklearn.log_loss(truth, by.probabilities, labels=[0, 1, 2]),
    "balanced_accuracy": lambda truth, by: sklearn.recall_score(
        truth, by.values, labels=np.unique(truth), average="macro", zero_division=0
    ),
}


@settings(deadline=None)
@given(classified(), st.sampled_from(sorted(CLASSIFICATION)))
def test_metric_of_classes_equals_scikit_learns(case, name):
    truth, predictions = case
    ours = MEASURES["classification"][name](truth, predictions)
    assert math.isclose(ours, CLASSIFICATION[name](truth, predictions), rel_tol=1e-9, abs_tol=1e-9)


def test_every_metric_is_compared_with_a_reference():
    assert {"regression": set(REGRESSION), "classification": set(CLASSIFICATION)} == {
        task: set(known) for task, known in MEASURES.items()
    }


def test_certain_and_wrong_costs_as_much_as_with_scikit_learn():
    truth, sure = np.array([0, 1]), np.array([[1.0, 0.0], [1.0, 0.0]])
    assert math.isclose(measures.log_loss(truth, Predictions(truth, sure)), sklearn.log_loss(truth, sure), rel_tol=1e-9)


def test_metric_that_has_no_value_is_not_a_number():
    assert math.isnan(measures.r2(np.ones(3), Predictions(np.arange(3.0))))
    assert math.isnan(measures.mape(np.array([0.0, 1.0]), Predictions(np.ones(2))))
    assert math.isnan(measures.mae(np.ones(2), Predictions(np.array([1.0, np.nan]))))


def less_error(predictions: Predictions, truth: np.ndarray) -> float:
    return -measures.mae(truth, predictions)


def interval(one: Predictions, other: Predictions, truth: np.ndarray, block: int = 1, seed: int = 1) -> tuple[float, float]:
    return paired_bootstrap(less_error, one, other, truth, 300, block, seed)


@settings(deadline=None, max_examples=20)
@given(st.integers(5, 200), st.integers(1, 30), st.integers(0, 9))
def test_model_against_itself_differs_by_nothing(size, block, seed):
    random = np.random.default_rng(seed)
    truth, predictions = random.normal(size=size), Predictions(random.normal(size=size))
    assert interval(predictions, predictions, truth, block, seed) == (0.0, 0.0)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 99), st.sampled_from([1, 7, 14]))
def test_clearly_better_model_lies_above_zero_and_the_worse_one_below(seed, block):
    random = np.random.default_rng(seed)
    truth = random.normal(size=200)
    good, poor = (Predictions(truth + random.normal(scale=scale, size=200)) for scale in (0.1, 1.0))
    low, high = interval(good, poor, truth, block, seed)
    assert 0 < low < high
    turned = interval(poor, good, truth, block, seed)
    assert turned == pytest.approx((-high, -low))


def test_equally_good_models_are_distinguished_in_about_one_case_of_twenty():
    wrong = 0
    for seed in range(100):
        random = np.random.default_rng(seed)
        truth = random.normal(size=150)
        one, other = (Predictions(truth + random.normal(size=150)) for _ in range(2))
        low, high = paired_bootstrap(less_error, one, other, truth, 200, 1, seed)
        wrong += not low <= 0 <= high
    assert 1 <= wrong <= 12


def test_interval_is_the_same_each_time_and_another_with_another_seed():
    random = np.random.default_rng(3)
    truth = random.normal(size=80)
    one, other = (Predictions(truth + random.normal(size=80)) for _ in range(2))
    assert interval(one, other, truth) == interval(one, other, truth)
    assert interval(one, other, truth, seed=1) != interval(one, other, truth, seed=2)


def test_interval_of_neighbours_that_err_alike_is_wider_when_they_are_drawn_together():
    random = np.random.default_rng(5)
    truth = np.zeros(280)
    one = Predictions(np.repeat(random.normal(size=20), 14))
    other = Predictions(np.repeat(random.normal(size=20), 14))

    def width(block: int) -> float:
        low, high = interval(one, other, truth, block)
        return high - low

    assert width(14) > 2 * width(1)


def test_interval_of_one_model_holds_its_true_error_in_about_nineteen_cases_of_twenty():
    held = 0
    for seed in range(100):
        errors = np.random.default_rng(seed).normal(size=150)
        low, high = bootstrap(measures.mae, Predictions(errors), np.zeros(150), 200, 1, seed)
        held += low <= np.sqrt(2 / np.pi) <= high
    assert 86 <= held <= 99


def test_interval_of_what_is_never_a_number_is_none():
    assert np.isnan(bootstrap(measures.mape, Predictions(np.ones(9)), np.zeros(9), 100, 1, 0)).all()
