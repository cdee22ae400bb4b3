"""Fitted stages of Spark ML as fitted estimators of scikit-learn, which compute the same without Spark and without Java.

`TABLE` names the stages that can be converted. What each computes: the source of `org.apache.spark.ml` 4.x.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mlops.errors import UserError
from mlops.spark.products import Products
from mlops.spark.text import HashedWords


def converted(stage: Any, width: int) -> Any:
    """A fitted stage as an estimator for so many input columns; raises UserError for one that the table does not name."""
    name = kind(stage)
    if name not in TABLE:
        raise UserError(f"{name}: this stage of Spark ML has no form without Spark; there are forms of {', '.join(TABLE)}")
    return TABLE[name](stage, width)


def kind(stage: Any) -> str:
    """The name of a stage, fitted or not, as the table has it."""
    return str(type(stage).__name__).removesuffix("Model")


def _for(width: int, estimator: Any) -> Any:
    """An estimator that takes so many columns."""
    estimator.n_features_in_ = width
    return estimator


def _standard_scaler(stage: Any, width: int) -> Any:
    from sklearn.preprocessing import StandardScaler

    with_mean, with_std = bool(stage.getOrDefault("withMean")), bool(stage.getOrDefault("withStd"))
    estimator = _for(width, StandardScaler(with_mean=with_mean, with_std=with_std))
    deviations = stage.std.toArray()
    estimator.mean_, estimator.var_ = stage.mean.toArray(), deviations**2
    # Spark gives 0 for a column that had one value only.
    estimator.scale_ = np.where(deviations == 0, np.inf, deviations) if with_std else None
    return estimator


def _min_max_scaler(stage: Any, width: int) -> Any:
    from sklearn.preprocessing import MinMaxScaler

    low, high = float(stage.getOrDefault("min")), float(stage.getOrDefault("max"))
    least, most = stage.originalMin.toArray(), stage.originalMax.toArray()
    estimator = _for(width, MinMaxScaler(feature_range=(low, high)))
    constant = most == least
    estimator.scale_ = np.where(constant, 0.0, (high - low) / np.where(constant, 1.0, most - least))
    estimator.min_ = np.where(constant, (low + high) / 2, low - least * estimator.scale_)
    estimator.data_min_, estimator.data_max_, estimator.data_range_ = least, most, most - least
    return estimator


def _max_abs_scaler(stage: Any, width: int) -> Any:
    from sklearn.preprocessing import MaxAbsScaler

    estimator = _for(width, MaxAbsScaler())
    estimator.max_abs_ = stage.maxAbs.toArray()
    estimator.scale_ = np.where(estimator.max_abs_ == 0, 1.0, estimator.max_abs_)
    return estimator


def _polynomial_expansion(stage: Any, width: int) -> Any:
    return Products(degree=int(stage.getOrDefault("degree"))).fit(np.empty((0, width)))


def _pca(stage: Any, width: int) -> Any:
    """Spark's projection does not subtract the mean."""
    from sklearn.decomposition import PCA

    components = stage.pc.toArray().T
    estimator = _for(width, PCA(n_components=len(components)))
    estimator.components_, estimator.mean_ = np.ascontiguousarray(components), np.zeros(width)
    estimator.explained_variance_ = np.ones(len(components))
    return estimator


def _hashing_tf(stage: Any, width: int) -> Any:
    columns, binary = int(stage.getOrDefault("numFeatures")), bool(stage.getOrDefault("binary"))
    return HashedWords(columns=columns, binary=binary).fit([])


def _logistic_regression(stage: Any, width: int) -> Any:
    """The classes are the numbers 0, 1, … that Spark was trained with."""
    from sklearn.linear_model import LogisticRegression

    if stage.getOrDefault("threshold") != 0.5 and stage.numClasses == 2:
        raise UserError("LogisticRegression: a threshold other than 0.5 has no form without Spark; leave it at 0.5")
    binary = stage.numClasses == 2
    estimator = _for(width, LogisticRegression())
    estimator.coef_ = stage.coefficients.toArray()[None] if binary else stage.coefficientMatrix.toArray()
    estimator.intercept_ = np.array([stage.intercept]) if binary else stage.interceptVector.toArray()
    estimator.classes_ = np.arange(stage.numClasses)
    return estimator


TABLE: dict[str, Callable[[Any, int], Any]] = {
    "StandardScaler": _standard_scaler,
    "MinMaxScaler": _min_max_scaler,
    "MaxAbsScaler": _max_abs_scaler,
    "PolynomialExpansion": _polynomial_expansion,
    "PCA": _pca,
    "HashingTF": _hashing_tf,
    "LogisticRegression": _logistic_regression,
}
