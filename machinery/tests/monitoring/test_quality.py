"""The alarm over the quality in service: how often it is false, and what it finds, by simulation with fixed seeds."""

import churn
import numpy as np
import pandas as pd
import pytest

from mlops.config import Metric, Project
from mlops.monitoring import quality
from mlops.monitoring.labels import TRUTH
from mlops.monitoring.log import PREDICTION, PROBABILITIES
from mlops.use_case import UseCase, load_use_case

CLASSES = ["setosa", "versicolor", "virginica"]
MANIFEST = {"classes": CLASSES, "metrics": {"accuracy": 0.9216, "macro_f1": 0.9216}}
SIZES = (30, 100, 300, 1000)


@pytest.fixture
def use_case(project: Project) -> UseCase:
    """Flowers with a limit of 0.9 for both metrics."""
    more = ("metrics.accuracy.limit=0.9", "metrics.macro_f1.limit=0.9", "bootstrap.resamples=200")
    return load_use_case(project, "iris", more)


def window(rows: int, accuracy: float, seed: int) -> pd.DataFrame:
    """Labelled rows of a model that is right with a probability."""
    random = np.random.default_rng([seed, rows])
    truth = random.integers(0, 3, rows)
    wrong = random.random(rows) >= accuracy
    predictions = np.where(wrong, (truth + random.integers(1, 3, rows)) % 3, truth)
    return pd.DataFrame({TRUTH: np.array(CLASSES)[truth], PREDICTION: np.array(CLASSES)[predictions]})


def alarms(use_case: UseCase, rows: int, accuracy: float, windows: int) -> int:
    """How many of so many windows have an alarm by any metric."""
    checks = [quality.check(use_case, MANIFEST, window(rows, accuracy, seed)) for seed in range(windows)]
    return sum(any(row.verdict == "drift" for row in each) for each in checks)


@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("accuracy", [0.9216, 0.9])
def test_a_model_that_keeps_its_limit_raises_at_most_two_alarms_in_a_hundred_windows(
    use_case: UseCase, rows: int, accuracy: float
) -> None:
    assert alarms(use_case, rows, accuracy, 100) <= 2


@pytest.mark.parametrize(("rows", "accuracy"), [(30, 0.5), (100, 0.7), (300, 0.8), (1000, 0.85)])
def test_a_model_that_breaks_its_limit_is_found(use_case: UseCase, rows: int, accuracy: float) -> None:
    assert alarms(use_case, rows, accuracy, 20) >= 18


@pytest.mark.parametrize("classes", [1, 2])
def test_labels_of_some_classes_alone_are_no_drift_of_a_mean_over_all(use_case: UseCase, classes: int) -> None:
    """The model is right in 95 of 100 rows; of the classes that do not occur each wrong row makes an F1 of 0."""
    random = np.random.default_rng(0)
    truth = random.integers(0, classes, 300)
    predictions = np.where(random.random(300) >= 0.95, (truth + random.integers(1, 3, 300)) % 3, truth)
    joined = pd.DataFrame({TRUTH: np.array(CLASSES)[truth], PREDICTION: np.array(CLASSES)[predictions]})
    rows = {row.metric: row for row in quality.check(use_case, MANIFEST, joined)}
    assert rows["accuracy"].verdict == "ok" and rows["macro_f1"].verdict == "too few labels"
    assert rows["macro_f1"].reason.endswith("`versicolor` or `virginica`" if classes == 1 else "no label is `virginica`")
    wrong = {row.metric: row for row in quality.check(use_case, MANIFEST, joined.assign(**{PREDICTION: "virginica"}))}
    assert wrong["accuracy"].verdict == "drift"


def test_a_value_beyond_its_limit_that_few_labels_cannot_tell_from_chance_is_reported(use_case: UseCase) -> None:
    hits = pd.DataFrame({TRUTH: (CLASSES * 10)[:30]})
    joined = hits.assign(**{PREDICTION: ["setosa"] * 4 + list(hits[TRUTH][4:])})
    joined.loc[[5, 8], PREDICTION] = "setosa"
    row = next(row for row in quality.check(use_case, MANIFEST, joined) if row.metric == "accuracy")
    assert row.value < 0.9 < row.high and row.verdict == "too few labels"
    assert row.reason == "is beyond its limit 0.9, which 30 labels cannot tell from chance"


@pytest.mark.parametrize(
    ("direction", "interval", "verdict"),
    [
        ("higher", (0.7, 0.89), "drift"),
        ("higher", (0.7, 0.91), "too few labels"),
        ("lower", (0.91, 1.2), "drift"),
        ("lower", (0.8, 1.2), "too few labels"),
        ("zero", (-1.4, -0.95), "drift"),
        ("zero", (-1.4, 0.2), "too few labels"),
    ],
)
def test_the_end_of_the_interval_that_speaks_for_the_model_decides(
    direction: str, interval: tuple[float, float], verdict: str
) -> None:
    value = {"higher": 0.8, "lower": 1.0, "zero": -1.0}[direction]
    assert quality.judge(Metric(direction=direction), value, interval, 0.9, None, 30)[0] == verdict


def test_a_metric_that_is_no_number_is_no_health() -> None:
    assert quality.judge(Metric(direction="higher"), float("nan"), (0.0, 0.0), 0.9, None, 30)[0] == "warn"


def test_classes_that_are_numbers_are_the_same_in_whatever_form_they_come() -> None:
    joined = pd.DataFrame({TRUTH: [0.0, 1.0, 2.0], PREDICTION: [0, 1, 1]})
    manifest = {"classes": [0, 1], "metrics": {}}
    assert quality.unknown_classes(manifest, joined) == {"2": 1}
    assert quality.unknown_classes(manifest, joined.assign(**{TRUTH: ["0", "one", "1"]})) == {"one": 1}


def leavers(rows: int = 400) -> pd.DataFrame:
    """Labelled rows of a model whose probabilities are off by a little."""
    random = np.random.default_rng(4)
    likely = random.random(rows) ** 3
    truth = np.where(random.random(rows) < likely, "yes", "no")
    given = np.clip(likely + random.normal(scale=0.05, size=rows), 0.001, 0.999)
    table = pd.DataFrame({TRUTH: truth, PREDICTION: np.where(given >= 0.5, "yes", "no")})
    return table.assign(**{PROBABILITIES: [{"no": 1 - value, "yes": value} for value in given]})


def test_metrics_of_probabilities_are_those_of_the_logged_ones(project: Project) -> None:
    from sklearn import metrics

    rows = leavers()
    truth, given = rows[TRUTH] == "yes", rows[PROBABILITIES].map(lambda row: row["yes"])
    measured = quality.check(churn.make(project), {"classes": ["no", "yes"], "metrics": {}}, rows)
    values = {row.metric: row.value for row in measured}
    assert values.keys() == churn.CONFIG["metrics"].keys()
    assert values["roc_auc"] == pytest.approx(metrics.roc_auc_score(truth, given))
    assert values["average_precision"] == pytest.approx(metrics.average_precision_score(truth, given))
    assert values["log_loss"] == pytest.approx(metrics.log_loss(truth, given))
    assert values["brier"] == pytest.approx(metrics.brier_score_loss(truth, given))


def test_without_them_or_with_some_alone_only_labels_are_measured(project: Project) -> None:
    rows, use_case = leavers(), churn.make(project)
    some = rows.assign(**{PROBABILITIES: [None, *rows[PROBABILITIES][1:]]})
    for table in (rows.drop(columns=PROBABILITIES), some):
        names = {row.metric for row in quality.check(use_case, {"classes": ["no", "yes"], "metrics": {}}, table)}
        assert names == {"expected_cost", "recall"}
