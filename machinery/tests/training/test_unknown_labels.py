"""A label that the target does not have is an error: nowhere does it count as one of the classes."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression

from mlops.config import Project
from mlops.errors import DataError
from mlops.metrics.measures import encode
from mlops.monitoring import quality
from mlops.training import candidate as candidates
from mlops.training.fitting import predict
from mlops.training.train import train
from mlops.use_case import UseCase, load_use_case

CLASSES = np.array(["setosa", "versicolor", "virginica"])


class Misspelling(ClassifierMixin, BaseEstimator):
    """A classifier that was fitted on the right labels and predicts another spelling of the last one."""

    def fit(self, inputs: pd.DataFrame, target: pd.Series) -> "Misspelling":
        self.model_ = LogisticRegression(max_iter=500).fit(inputs, target)
        self.classes_ = self.model_.classes_
        return self

    def predict(self, inputs: pd.DataFrame) -> np.ndarray:
        labels = self.model_.predict(inputs)
        return np.where(labels == "virginica", "virginica ", labels)


@pytest.fixture
def iris(project: Project) -> UseCase:
    return load_use_case(project, "iris")


def test_model_that_predicts_another_spelling_of_a_class_is_refused_by_name(project: Project, iris: UseCase) -> None:
    with pytest.raises(DataError, match="use_cases/iris: the model predicts 'virginica '"):
        train(project, replace(iris, build=lambda **_: Misspelling()))
    assert not [file for file in project.output.rglob("*") if file.is_file()]


def test_baseline_of_an_unknown_class_is_refused_by_name(project: Project, iris: UseCase) -> None:
    def baseline(_: pd.DataFrame, holdout: pd.DataFrame) -> np.ndarray:
        return np.full(len(holdout), "none of them", dtype=object)

    with pytest.raises(DataError, match="use_cases/iris: the baseline predicts 'none of them'"):
        train(project, replace(iris, baseline=baseline))


@pytest.mark.parametrize("label", ["virginica ", "", "zzz", None, 3.5, float("nan")])
def test_no_label_has_the_place_of_another(label: object) -> None:
    with pytest.raises(DataError, match="not one of the classes setosa, versicolor, virginica"):
        encode(np.array(["setosa", label], dtype=object), CLASSES)


def test_class_of_a_model_that_the_target_does_not_have_is_refused() -> None:
    model = Misspelling().fit(pd.DataFrame({"x": [0.0, 1.0, 2.0]}), pd.Series(["setosa", "versicolor", "virginica"]))
    with pytest.raises(DataError, match="virginica "):
        predict(model, pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0]}), CLASSES)


def test_encoded_labels_are_those_of_the_classes() -> None:
    assert encode(np.array(["virginica", "setosa"], dtype=object), CLASSES).tolist() == [2, 0]
    assert encode(np.array([1.0, 5.0]), np.array([1, 5])).tolist() == [0, 1]
    assert encode(np.array([True, False]), np.array([False, True])).tolist() == [1, 0]


def test_prediction_in_service_that_training_never_had_is_wrong_and_no_other_class(project: Project, iris: UseCase) -> None:
    candidate, _ = train(project, iris)
    joined = pd.DataFrame({quality.TRUTH: ["virginica"] * 10, quality.PREDICTION: ["virginica"] * 6 + ["virginica "] * 4})
    judged = {item.metric: item.value for item in quality.check(iris, candidate.manifest, joined)}
    assert judged["accuracy"] == 0.6
    assert candidates.newest(project, "iris").key == candidate.key
