"""The estimator, and the rule that it has to beat."""

import numpy as np
import pandas as pd
from mlops.spark.ml import SparkClassifier
from mlops.spark.text import HashedWords
from sklearn.base import ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

# So that a fit in Spark and one without it end at the same weights.
ITERATIONS, TOLERANCE = 500, {"spark": 1e-10, "scikit-learn": 1e-8}


def build(columns: int, regularisation: float, spark: bool, seed: int) -> ClassifierMixin | Pipeline:
    """Words, counted in so many columns that a hash chooses, then added up; C = 1 / regularisation, nothing is drawn.

    spark: fit it in Spark ML, whose words, hashes and weights are the same; predicting needs neither Spark nor Java.
    """
    if spark:
        options = {"C": 1 / regularisation, "maxIter": ITERATIONS, "tol": TOLERANCE["spark"]}
        return SparkClassifier([{"HashingTF": {"numFeatures": columns}}, {"LogisticRegression": options}])
    options = {"max_iter": ITERATIONS, "tol": TOLERANCE["scikit-learn"], "random_state": seed}
    classifier = LogisticRegression(C=1 / regularisation, **options)
    words = ColumnTransformer([("words", HashedWords(columns), ["text"])])
    return Pipeline([("words", words), ("classify", classifier)])


def baseline(train: pd.DataFrame, holdout: pd.DataFrame) -> np.ndarray:
    """Spam is what holds a number of five digits or more: to call, to text, or to win."""
    return np.where(holdout["text"].str.contains(r"\d{5}"), "spam", "ham").astype(object)
