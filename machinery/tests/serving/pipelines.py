"""The 48 kinds of pipelines that people build, on one table of numbers, gaps, categories and text."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn import (
    calibration,
    cluster,
    compose,
    decomposition,
    discriminant_analysis,
    ensemble,
    feature_extraction,
    feature_selection,
    gaussian_process,
    impute,
    linear_model,
    multioutput,
    naive_bayes,
    neighbors,
    neural_network,
)
from sklearn import preprocessing as prep
from sklearn import svm
from sklearn.pipeline import make_pipeline

NUMBERS = ["age", "income", "score", "visits"]
GAPS = ["balance", "tenure"]
CATEGORIES = ["city", "plan"]
WORDS = "good bad late early refund résumé café naïve quality price delivery broken thanks never again".split()


class Kind(NamedTuple):
    """A pipeline: the form that it must get, the columns that it reads, its target and how it is made."""

    form: str
    columns: list[str]
    target: str
    make: Callable[[], object]


def table(count: int, seed: int) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Rows, and the targets that depend on them: number, count, classes, two, flag, several and pairs."""
    chance = np.random.default_rng(seed)
    frame = pd.DataFrame({
        "age": chance.uniform(18, 90, count),
        "income": chance.lognormal(3, 0.7, count),
        "score": chance.normal(size=count),
        "visits": chance.poisson(3, count).astype(float),
        "balance": chance.normal(10, 4, count),
        "tenure": chance.gamma(2, 3, count),
        "city": chance.choice(["Bath", "Cork", "Lyon", "Oslo", "Rome", "Ulm"], count, p=[0.35, 0.3, 0.2, 0.1, 0.03, 0.02]),
        "plan": chance.choice(["basic", "plus", "pro"], count),
        "comment": [" ".join(words) for words in chance.choice(WORDS, (count, 5))],
    })  # fmt: skip
    frame["city_gaps"] = frame["city"].astype(object).where(chance.random(count) > 0.1, None)
    frame[GAPS] = frame[GAPS].mask(chance.random((count, 2)) < 0.15)
    noise = chance.normal(size=count)
    city = frame["city"].map({"Bath": 0, "Cork": 1, "Lyon": 2}).fillna(3)
    number = frame["age"] / 10 + 2 * frame["score"] + city + frame["balance"].fillna(3) / 5 + noise / 2
    positive = np.exp(number / 6)
    place = np.digitize(number, np.array([5.0, 8.5]))
    number, positive = number.to_numpy(), positive.to_numpy()
    targets = {
        "number": number,
        "positive": positive,
        "classes": np.array(["low", "middle", "high"])[place],
        "two": np.where(number > 7, "yes", "no"),
        "flag": number > 7,
        "several": np.column_stack([number, positive]),
        "pairs": np.column_stack([place, (noise + number > 7).astype(int)]),
    }
    return frame, targets


def clip(values):
    """A step of a user's own, which no converter knows."""
    return np.clip(values, -1, 50)


def blocks(encoder, numbers=None, first="categories"):
    """A ColumnTransformer with the categories first, or the numbers."""
    parts = [(encoder, CATEGORIES), (numbers or prep.StandardScaler(), NUMBERS)]
    return compose.make_column_transformer(*(parts if first == "categories" else parts[::-1]))


def trees(**options):
    return dict(n_estimators=20, random_state=0, min_samples_leaf=3) | options


MIXED, ALL = NUMBERS + CATEGORIES, NUMBERS + GAPS
ONE_HOT, ORDINAL = prep.OneHotEncoder, prep.OrdinalEncoder
UNKNOWN = {"handle_unknown": "use_encoded_value", "unknown_value": -1}
LOGISTIC = linear_model.LogisticRegression
HIST, HIST_CLASSES = ensemble.HistGradientBoostingRegressor, ensemble.HistGradientBoostingClassifier
FOREST, FOREST_CLASSES = ensemble.RandomForestRegressor, ensemble.RandomForestClassifier
SCALER = prep.StandardScaler
VECTORS = feature_extraction.text

KINDS: dict[str, Kind] = {
    "bagging": Kind("onnx", NUMBERS, "number", lambda: ensemble.BaggingRegressor(random_state=0)),
    "one-hot drop first, ridge": Kind(
        "onnx", MIXED, "number", lambda: make_pipeline(blocks(ONE_HOT(drop="first")), linear_model.Ridge())
    ),
    "ordinal with unknown NaN, hist boosting": Kind(
        "onnx",
        MIXED,
        "number",
        lambda: make_pipeline(
            blocks(ORDINAL(handle_unknown="use_encoded_value", unknown_value=np.nan)), HIST(max_iter=30, random_state=0)
        ),
    ),
    "calibrated forest": Kind(
        "onnx",
        NUMBERS,
        "two",
        lambda: calibration.CalibratedClassifierCV(FOREST_CLASSES(**trees()), method="isotonic", cv=3),
    ),
    "naive Bayes with a boolean target": Kind("onnx", NUMBERS, "flag", naive_bayes.GaussianNB),
    "Gaussian process": Kind(
        "onnx",
        NUMBERS,
        "number",
        lambda: make_pipeline(
            SCALER(),
            gaussian_process.GaussianProcessRegressor(
                gaussian_process.kernels.RBF() + gaussian_process.kernels.WhiteKernel(), optimizer=None
            ),
        ),
    ),
    "gradient boosting classifier": Kind(
        "onnx", NUMBERS, "classes", lambda: ensemble.GradientBoostingClassifier(n_estimators=20, random_state=0)
    ),
    "hist boosting with NaN": Kind("onnx", ALL, "number", lambda: HIST(max_iter=30, random_state=0)),
    "hist boosting Poisson": Kind(
        "onnx", ALL, "positive", lambda: HIST(loss="poisson", max_iter=30, random_state=0)
    ),
    "k-means": Kind(
        "onnx", NUMBERS, "classes", lambda: make_pipeline(SCALER(), cluster.KMeans(5, random_state=0, n_init=1))
    ),
    "neighbours classifier": Kind(
        "onnx", NUMBERS, "classes", lambda: make_pipeline(SCALER(), neighbors.KNeighborsClassifier())
    ),
    "perceptron": Kind(
        "onnx",
        NUMBERS,
        "classes",
        lambda: make_pipeline(SCALER(), neural_network.MLPClassifier((16, 8), max_iter=80, random_state=0)),
    ),
    "Poisson": Kind(
        "onnx", NUMBERS, "positive", lambda: make_pipeline(SCALER(), linear_model.PoissonRegressor())
    ),
    "quantile boosting": Kind(
        "onnx",
        NUMBERS,
        "number",
        lambda: ensemble.GradientBoostingRegressor(loss="quantile", alpha=0.9, n_estimators=20, random_state=0),
    ),
    "stochastic gradient, log loss": Kind(
        "onnx",
        NUMBERS,
        "classes",
        lambda: make_pipeline(SCALER(), linear_model.SGDClassifier(loss="log_loss", random_state=0)),
    ),
    "support vectors with probabilities": Kind(
        "skops", NUMBERS, "two", lambda: make_pipeline(SCALER(), svm.SVC(probability=True, random_state=0))
    ),
    "select, robust, elastic net": Kind(
        "onnx",
        NUMBERS,
        "number",
        lambda: make_pipeline(
            feature_selection.SelectKBest(feature_selection.f_regression, k=3),
            prep.RobustScaler(),
            linear_model.ElasticNet(0.1),
        ),
    ),
    "stacking": Kind(
        "onnx",
        NUMBERS,
        "number",
        lambda: ensemble.StackingRegressor(
            [("forest", FOREST(**trees())), ("ridge", make_pipeline(SCALER(), linear_model.Ridge()))], linear_model.Ridge()
        ),
    ),
    "voting": Kind(
        "onnx",
        NUMBERS,
        "classes",
        lambda: ensemble.VotingClassifier(
            [("logistic", make_pipeline(SCALER(), LOGISTIC())), ("forest", FOREST_CLASSES(**trees()))], voting="soft"
        ),
    ),
    "multi-output classifier": Kind(
        "onnx", NUMBERS, "pairs", lambda: make_pipeline(SCALER(), multioutput.MultiOutputClassifier(LOGISTIC()))
    ),
    "multi-output hist boosting": Kind(
        "onnx", ALL, "several", lambda: multioutput.MultiOutputRegressor(HIST(max_iter=20, random_state=0))
    ),
    "two-dimensional ridge": Kind("onnx", NUMBERS, "several", lambda: make_pipeline(SCALER(), linear_model.Ridge())),
    "categories first, logistic": Kind("onnx", MIXED, "classes", lambda: make_pipeline(blocks(ONE_HOT()), LOGISTIC())),
    "one-hot infrequent": Kind(
        "onnx",
        MIXED,
        "two",
        lambda: make_pipeline(
            blocks(ONE_HOT(min_frequency=60, handle_unknown="infrequent_if_exist")), LOGISTIC(max_iter=300)
        ),
    ),
    "TF-IDF, logistic": Kind(
        "skops",
        ["comment"],
        "two",
        lambda: make_pipeline(
            compose.make_column_transformer((VECTORS.TfidfVectorizer(), "comment")), LOGISTIC()
        ),
    ),
    "ordinal, forest": Kind(
        "onnx", MIXED, "number", lambda: make_pipeline(blocks(ORDINAL(**UNKNOWN), "passthrough"), FOREST(**trees()))
    ),
    "target encoder, ridge": Kind(
        "onnx",
        MIXED,
        "number",
        lambda: make_pipeline(blocks(prep.TargetEncoder(random_state=0)), linear_model.Ridge()),
    ),
    "imputer with None": Kind(
        "onnx",
        [*NUMBERS, "city_gaps"],
        "number",
        lambda: make_pipeline(
            compose.make_column_transformer(
                (
                    make_pipeline(impute.SimpleImputer(missing_values=None, strategy="most_frequent"), ONE_HOT()),
                    ["city_gaps"],
                ),
                (SCALER(), NUMBERS),
            ),
            linear_model.Ridge(),
        ),
    ),
    "AdaBoost classifier": Kind(
        "onnx", NUMBERS, "classes", lambda: ensemble.AdaBoostClassifier(n_estimators=20, random_state=0)
    ),
    "AdaBoost regressor": Kind(
        "onnx", NUMBERS, "number", lambda: ensemble.AdaBoostRegressor(n_estimators=20, random_state=0)
    ),
    "bins as numbers": Kind(
        "onnx",
        NUMBERS,
        "number",
        lambda: make_pipeline(
            prep.KBinsDiscretizer(5, encode="ordinal", quantile_method="averaged_inverted_cdf"), linear_model.Ridge()
        ),
    ),
    "power transform, discriminant": Kind(
        "onnx",
        NUMBERS,
        "classes",
        lambda: make_pipeline(prep.PowerTransformer(), discriminant_analysis.LinearDiscriminantAnalysis()),
    ),
    "isolation forest": Kind(
        "onnx", NUMBERS, "classes", lambda: ensemble.IsolationForest(n_estimators=30, random_state=0)
    ),
    "calibrated linear support vectors": Kind(
        "onnx",
        NUMBERS,
        "classes",
        lambda: make_pipeline(SCALER(), calibration.CalibratedClassifierCV(svm.LinearSVC(random_state=0), cv=3)),
    ),
    "log1p": Kind(
        "onnx",
        NUMBERS,
        "number",
        lambda: make_pipeline(
            compose.make_column_transformer(
                (prep.FunctionTransformer(np.log1p), ["income", "visits"]), remainder="passthrough"
            ),
            linear_model.Ridge(),
        ),
    ),
    "a function of one's own": Kind(
        "skops", NUMBERS, "number", lambda: make_pipeline(prep.FunctionTransformer(clip), linear_model.Ridge())
    ),
    "hist boosting with categories": Kind(
        "onnx",
        MIXED + GAPS,
        "two",
        lambda: make_pipeline(
            compose.make_column_transformer(
                (ORDINAL(handle_unknown="use_encoded_value", unknown_value=np.nan), CATEGORIES), remainder="passthrough"
            ),
            HIST_CLASSES(max_iter=30, random_state=0, categorical_features=[0, 1]),
        ),
    ),
    "hashing, linear support vectors": Kind(
        "skops",
        ["comment"],
        "two",
        lambda: make_pipeline(
            compose.make_column_transformer((VECTORS.HashingVectorizer(), "comment")), svm.LinearSVC(random_state=0)
        ),
    ),
    "spline, components, Huber": Kind(
        "onnx",
        NUMBERS,
        "number",
        lambda: make_pipeline(
            prep.SplineTransformer(n_knots=5), decomposition.PCA(8), linear_model.HuberRegressor(max_iter=500)
        ),
    ),
    "log of the target": Kind(
        "onnx",
        NUMBERS,
        "positive",
        lambda: compose.TransformedTargetRegressor(
            make_pipeline(SCALER(), linear_model.Ridge()), func=np.log1p, inverse_func=np.expm1
        ),
    ),
    "quantiles of the target": Kind(
        "onnx",
        NUMBERS,
        "number",
        lambda: compose.TransformedTargetRegressor(
            make_pipeline(SCALER(), linear_model.Ridge()),
            transformer=prep.QuantileTransformer(n_quantiles=200, output_distribution="normal"),
        ),
    ),
    "bins one-hot": Kind(
        "onnx",
        NUMBERS,
        "two",
        lambda: make_pipeline(prep.KBinsDiscretizer(5, quantile_method="averaged_inverted_cdf"), LOGISTIC()),
    ),
    "neighbours imputer": Kind(
        "skops", ALL, "number", lambda: make_pipeline(impute.KNNImputer(), linear_model.Ridge())
    ),
    "neighbours regressor by distance": Kind(
        "skops", NUMBERS, "number", lambda: make_pipeline(SCALER(), neighbors.KNeighborsRegressor(weights="distance"))
    ),
    "forest with several targets": Kind("onnx", NUMBERS, "several", lambda: FOREST(**trees())),
    "support vector regressor": Kind("onnx", NUMBERS, "number", lambda: make_pipeline(SCALER(), svm.SVR())),
    "imputer with indicator": Kind(
        "onnx",
        ALL,
        "number",
        lambda: make_pipeline(impute.SimpleImputer(add_indicator=True), SCALER(), linear_model.Ridge()),
    ),
    "TF-IDF of two words without accents": Kind(
        "skops",
        ["comment"],
        "two",
        lambda: make_pipeline(
            compose.make_column_transformer(
                (VECTORS.TfidfVectorizer(ngram_range=(1, 2), strip_accents="unicode"), "comment")
            ),
            LOGISTIC(),
        ),
    ),
}  # fmt: skip
