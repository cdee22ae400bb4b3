"""What a reader loads is its own decision: of fifty altered models none runs code and none is served; honest ones load."""

import shutil

import hostile
import numpy as np
import pandas as pd
import pytest
from serving.conftest import VERSION, labelled, make_candidate

from mlops import tracking, trust
from mlops.bundle.build import build
from mlops.errors import UserError
from mlops.serving import model as models
from mlops.serving.manifest import SEAL, digest_of, seal, verify
from mlops.serving.signature import Column, Signature


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    from sklearn.linear_model import LogisticRegression

    return make_candidate(tmp_path_factory.mktemp("honest"), LogisticRegression(max_iter=2000), *labelled())


@pytest.fixture
def altered(honest, tmp_path):
    """Make a copy of the honest candidate whose model was altered by a kind; returns it and the canary."""

    def alter(kind):
        shutil.copytree(honest, tmp_path / "candidate")
        hostile.KINDS[kind](tmp_path / "candidate" / "model", tmp_path / "canary")
        return tmp_path / "candidate", tmp_path / "canary"

    return alter


def test_there_are_fifty_kinds():
    assert len(hostile.KINDS) >= 50


@pytest.mark.parametrize("kind", hostile.KINDS)
def test_an_altered_model_is_refused_in_one_line_before_anything_of_it_runs(altered, kind):
    candidate, canary = altered(kind)
    signature = Signature((Column("sepal_length", "double"),))
    for read in (
        lambda: tracking.load_model(candidate / "model"),
        lambda: models.load_pyfunc(candidate / "model", signature),
        lambda: build(candidate, candidate.parent / "bundle", "iris", VERSION),
        lambda: build(candidate, candidate.parent / "bundle", "iris", VERSION, form="pyfunc"),
    ):
        with pytest.raises(UserError) as refused:
            read()
        assert "\n" not in str(refused.value)
    assert not canary.exists() and not (candidate.parent / "bundle").exists()


@pytest.mark.parametrize("kind", [kind.__name__ for kind in (*hostile.SCHEMAS, *hostile.ARCHIVES)])
def test_a_server_refuses_a_bundle_whose_digests_were_adapted_to_an_altered_model(honest, tmp_path, kind):
    bundle = build(honest, tmp_path / "bundle", "iris", VERSION, form="skops")
    folder, canary = bundle.folder, tmp_path / "canary"
    (folder / "model").mkdir()
    shutil.move(folder / models.SKOPS_FILE, folder / "model" / "model.skops")
    hostile.KINDS[kind](folder / "model", canary)
    shutil.move(folder / "model" / "model.skops", folder / models.SKOPS_FILE)
    (folder / "model").rmdir()
    (folder / SEAL).unlink()
    (folder / "manifest.json").unlink()
    content = bundle.content | {"skops": bundle.content["skops"] | {"trusted": ["os.system", "builtins.eval"]}}
    seal(folder, {name: value for name, value in content.items() if name != "files"})
    with pytest.raises(UserError):
        models.load(verify(folder))
    assert not canary.exists()


@pytest.mark.parametrize("kind", [kind.__name__ for kind in hostile.FOLDERS])
def test_a_server_refuses_a_pyfunc_bundle_that_says_of_itself_that_it_may(honest, tmp_path, kind):
    bundle = build(honest, tmp_path / "bundle", "iris", VERSION, form="pyfunc")
    canary = tmp_path / "canary"
    hostile.KINDS[kind](bundle.folder / "model", canary)
    for name in (SEAL, "manifest.json"):
        (bundle.folder / name).unlink()
    content = bundle.content | {"pyfunc": {"pickle": False, "allow_pickle": True}}
    seal(bundle.folder, {name: value for name, value in content.items() if name != "files"})
    assert digest_of(bundle.folder / "manifest.json")
    with pytest.raises(UserError):
        models.load(verify(bundle.folder))
    assert not canary.exists()


def test_a_type_is_trusted_by_its_name_its_module_or_its_package():
    name = "lightgbm.sklearn.LGBMClassifier"
    assert not trust.allows(name) and not trust.allows(name, ["lightgbm.skl", "light"])
    assert all(trust.allows(name, [entry]) for entry in ("lightgbm", "lightgbm.sklearn", name))


def test_a_model_of_lightgbm_needs_its_package_named_and_nothing_else():
    # What skops lists of a fitted LGBMClassifier, lightgbm 4.7.
    listed = ["collections.OrderedDict", "lightgbm.basic.Booster", "lightgbm.sklearn.LGBMClassifier"]
    assert [name for name in listed if not trust.allows(name, ["lightgbm"])] == []


@pytest.mark.parametrize(
    "name",
    ["os.system", "builtins.eval", "numpy.load", "joblib.numpy_pickle.load", "sklearn.datasets._openml.fetch_openml",
     "sklearn.metrics._dist_metrics.x.EuclideanDistance64", "operator.call", "functools.partial"],
)  # fmt: skip
def test_what_computes_more_than_numbers_is_not_known(name):
    assert not trust.allows(name)


class Clip:
    """A transformer of one's own, as a use case would have it."""

    def fit(self, rows, target=None):
        self.high_ = float(np.max(rows.to_numpy()))
        return self

    def transform(self, rows):
        return rows.clip(upper=self.high_)

    def get_params(self, deep=True):
        return {}

    def set_params(self, **params):
        return self


def test_a_transformer_of_ones_own_is_loaded_where_the_configuration_names_it(tmp_path):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    frame, species = labelled()
    candidate = make_candidate(tmp_path, make_pipeline(Clip(), LogisticRegression(max_iter=2000)), frame, species)
    with pytest.raises(trust.Untrusted, match=r"needs .*Clip, .* add `serving: \{trust: \["):
        build(candidate, tmp_path / "no", "iris", VERSION)
    bundle = build(candidate, tmp_path / "yes", "iris", VERSION, trusted=(Clip.__module__,))
    assert bundle.format == "skops"
    with pytest.raises(trust.Untrusted):
        models.load(bundle)
    assert models.load(bundle, trusted=(Clip.__module__,))


def _gaps(frame):
    return frame.mask(np.random.default_rng(0).random(frame.shape) < 0.1)


def _honest_models():
    from sklearn import calibration, ensemble, gaussian_process, linear_model, neighbors, neural_network, preprocessing, svm
    from sklearn.compose import TransformedTargetRegressor, make_column_transformer
    from sklearn.gaussian_process import kernels
    from sklearn.impute import SimpleImputer
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline

    columns = make_column_transformer(
        (preprocessing.FunctionTransformer(np.log1p), ["sepal_length"]),
        (preprocessing.KBinsDiscretizer(3), ["petal_width"]),
        remainder="passthrough",
    )
    kernel = kernels.ConstantKernel() * kernels.RBF() + kernels.WhiteKernel()
    return {
        "forest": ensemble.RandomForestClassifier(5),
        "boosting": ensemble.GradientBoostingClassifier(n_estimators=3),
        "hist boosting": ensemble.HistGradientBoostingClassifier(max_iter=5),
        "bagging": ensemble.BaggingClassifier(n_estimators=3),
        "ada": ensemble.AdaBoostClassifier(n_estimators=3),
        "isolation": ensemble.IsolationForest(n_estimators=3),
        "stacking": ensemble.StackingClassifier([("a", linear_model.LogisticRegression()), ("b", svm.SVC())]),
        "voting": ensemble.VotingClassifier([("a", linear_model.LogisticRegression())]),
        "calibrated": calibration.CalibratedClassifierCV(svm.LinearSVC()),
        "isotonic": calibration.CalibratedClassifierCV(svm.LinearSVC(), method="isotonic"),
        "gaussian process": gaussian_process.GaussianProcessClassifier(kernel),
        "kd tree": neighbors.KNeighborsClassifier(algorithm="kd_tree", metric="manhattan"),
        "ball tree": neighbors.KNeighborsClassifier(algorithm="ball_tree"),
        "network": neural_network.MLPClassifier(max_iter=20, solver="sgd"),
        "adam": neural_network.MLPClassifier(max_iter=20),
        "sgd": linear_model.SGDClassifier(loss="log_loss"),
        "columns": make_pipeline(columns, linear_model.LogisticRegression()),
        "spline": make_pipeline(preprocessing.SplineTransformer(), linear_model.LogisticRegression()),
        "indicator": make_pipeline(SimpleImputer(add_indicator=True), linear_model.LogisticRegression()),
        "search": GridSearchCV(linear_model.LogisticRegression(), {"C": [1, 2]}, scoring="accuracy"),
        "target log": TransformedTargetRegressor(linear_model.Ridge(), func=np.log, inverse_func=np.exp),
        "target quantile": TransformedTargetRegressor(
            linear_model.Ridge(), transformer=preprocessing.QuantileTransformer(n_quantiles=10)
        ),
        "tweedie": linear_model.TweedieRegressor(),
    }


HONEST = list(_honest_models())


def _with_categories():
    from sklearn.ensemble import HistGradientBoostingClassifier

    frame, species = labelled()
    frame = frame.assign(wide=pd.Categorical(np.where(frame["petal_width"] > 1, "yes", "no")))
    return HistGradientBoostingClassifier(max_iter=3, categorical_features="from_dtype"), frame, species


def test_boosting_with_categories_loads_without_being_named(tmp_path):
    model, frame, species = _with_categories()
    bundle = build(make_candidate(tmp_path, model, frame, species), tmp_path / "bundle", "iris", VERSION, form="skops")
    assert set(trust.CHECK_INPUT) <= set(bundle.content["skops"]["needs"])
    assert models.load(bundle)


@pytest.mark.parametrize(
    ("names", "advice"),
    [
        (["use_cases.iris.model.Clip"], "add `serving: {trust: [use_cases.iris.model]}`"),
        (["sklearn.new._thing.Thing", "sklearn.new._thing.f"], "trust: [sklearn.new._thing.Thing, sklearn.new._thing.f]"),
        (["functools.partial", "sklearn.utils.validation.check_array"], "no model of scikit-learn needs it"),
    ],
)
def test_the_hint_names_the_entries_that_are_lacking(tmp_path, monkeypatch, names, advice):
    monkeypatch.setattr(trust, "needs", lambda file: names)
    with pytest.raises(trust.Untrusted) as refused:
        trust.check(tmp_path / "model.skops")
    assert advice in str(refused.value) and all(name in str(refused.value) for name in names)


# What scikit-learn's own instances cannot be fitted on numbers with, and what skops has no form for.
NEEDS_OTHERS = {"CountVectorizer", "DictVectorizer", "FrozenEstimator", "KernelCenterer", "SparseCoder", "TfidfVectorizer"}
NO_FORM = {"Birch"}


def _fitted(estimator):
    chance = np.random.default_rng(0)
    rows = chance.random((60, 4))
    labels = (rows[:, 0] > 0.5).astype(int)
    for given in (
        (rows, labels),
        (rows, rows[:, 0] + 0.1),
        (rows, np.c_[labels, 1 - labels]),
        (rows,),
        (labels,),
        (rows[:, 0], rows[:, 1]),
    ):
        try:
            return estimator.fit(*given)
        except (ValueError, TypeError, AttributeError, IndexError):
            continue
    return None


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_every_estimator_of_scikit_learn_loads_without_being_named(tmp_path):
    from sklearn.utils import all_estimators
    from sklearn.utils._test_common.instance_generator import _construct_instances

    from mlops import model_file

    unfitted, without_form = set(), set()
    for name, kind in all_estimators():
        fitted = None if name == "FrozenEstimator" else _fitted(next(iter(_construct_instances(kind))))
        if fitted is None:
            unfitted.add(name)
            continue
        try:
            model_file.write(tmp_path / "model.skops", fitted)
        except UserError:
            without_form.add(name)
            continue
        trust.load(tmp_path / "model.skops")
    assert (unfitted, without_form) == (NEEDS_OTHERS, NO_FORM)


@pytest.mark.parametrize("name", sorted(NEEDS_OTHERS))
def test_the_estimators_of_other_rows_load_too(tmp_path, name):
    from sklearn import decomposition, feature_extraction, frozen, linear_model, preprocessing

    from mlops import model_file

    square, texts = np.eye(4), ["red wine", "white wine", "red ink"]
    fitted = {
        "CountVectorizer": lambda: feature_extraction.text.CountVectorizer().fit(texts),
        "TfidfVectorizer": lambda: feature_extraction.text.TfidfVectorizer(ngram_range=(1, 2)).fit(texts),
        "DictVectorizer": lambda: feature_extraction.DictVectorizer().fit([{"a": 1}, {"b": "x"}]),
        "FrozenEstimator": lambda: frozen.FrozenEstimator(linear_model.Ridge().fit(square, square[0])),
        "KernelCenterer": lambda: preprocessing.KernelCenterer().fit(square),
        "SparseCoder": lambda: decomposition.SparseCoder(square).fit(square),
    }[name]()
    model_file.write(tmp_path / "model.skops", fitted)
    trust.load(tmp_path / "model.skops")


def test_a_model_without_a_form_in_skops_is_refused_with_a_hint(tmp_path):
    from sklearn.cluster import Birch

    from mlops import model_file

    with pytest.raises(UserError, match="Birch.*another estimator"):
        model_file.write(tmp_path / "model.skops", Birch().fit(np.eye(4)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", HONEST)
def test_an_honest_model_of_scikit_learn_loads_without_being_named(tmp_path, name):
    import skops.io

    from mlops import model_file

    frame, species = labelled()
    target = frame["petal_length"] if name.startswith("t") else species
    model = _honest_models()[name].fit(frame, target)
    model_file.write(tmp_path / "model.skops", model)
    loaded = trust.load(tmp_path / "model.skops")
    assert (loaded.predict(frame) == model.predict(frame)).all()
    assert set(trust.needs(tmp_path / "model.skops")) == set(skops.io.get_untrusted_types(file=tmp_path / "model.skops"))


def test_the_forest_of_a_large_model_is_no_bomb(tmp_path):
    from sklearn.ensemble import RandomForestRegressor

    from mlops import model_file

    chance = np.random.default_rng(0)
    frame = pd.DataFrame(chance.integers(0, 2, (20_000, 6)).astype(float))
    model = RandomForestRegressor(60, bootstrap=False).fit(frame, chance.integers(0, 3, 20_000))
    model_file.write(tmp_path / "model.skops", model)
    trust.check_archive(tmp_path / "model.skops")
