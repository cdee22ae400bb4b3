"""A bundle answers as the trained model does, has the same bytes each time, and does not start when it is damaged."""

import html
import json
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from checkouts import ROOT

from mlops.bundle.build import build
from mlops.bundle.proof import FLOAT32_LIMIT
from mlops.errors import UserError
from mlops.serving import extras
from mlops.serving import model as models
from mlops.serving.manifest import Bundle, BundleDamaged, verify
from mlops.serving.model import frame_to_rows, load
from mlops.serving.page import render
from mlops.serving.signature import Column, Signature

from .conftest import VERSION, flowers_model, labelled, make_candidate, numbered, numbers_model
from .pipelines import KINDS, clip, table


def predict(bundle, frame):
    return load(bundle)(frame_to_rows(frame, bundle.signature), None)


@pytest.mark.parametrize("form", ["onnx", "skops", "pyfunc"])
@pytest.mark.parametrize("which", ["flowers", "numbers"])
def test_every_format_gives_the_trained_models_answers(request, tmp_path, which, form):
    candidate = request.getfixturevalue(which)
    holdout = pd.read_parquet(candidate / "holdout.parquet")
    answers = predict(build(candidate, tmp_path / "b", which, VERSION, form=form), holdout)
    if which == "flowers":
        assert (answers == holdout["__prediction__"]).all()
    else:
        np.testing.assert_allclose(answers, holdout["__prediction__"], rtol=1e-12)


def test_both_models_become_onnx_and_the_evidence_is_in_the_manifest(flowers_bundle, numbers_bundle):
    assert flowers_bundle.format == numbers_bundle.format == "onnx"
    assert flowers_bundle.content["evidence"] == {"compared": "labels", "rows": 38, "different": 0}
    assert numbers_bundle.content["evidence"]["largest_difference"] < 1e-12
    assert numbers_bundle.content["evidence"]["rows"] == 100


def test_the_same_version_gives_the_same_bytes(flowers, flowers_bundle, tmp_path):
    again = build(flowers, tmp_path / "again", "iris", VERSION)
    names = sorted(path.name for path in again.folder.iterdir())
    assert names == sorted(path.name for path in flowers_bundle.folder.iterdir())
    assert all((again.folder / name).read_bytes() == (flowers_bundle.folder / name).read_bytes() for name in names)


def test_what_the_trained_model_refuses_is_known(flowers_bundle, numbers_bundle):
    assert not any(column.nan or column.infinity for column in flowers_bundle.signature.columns)
    takes = {column.name: column.nan for column in numbers_bundle.signature.columns}
    assert takes == {"size": True, "speed": True, "doors": False}


def test_a_forest_is_limited_to_float32_as_scikit_learn_is(tmp_path):
    from sklearn.ensemble import RandomForestClassifier

    frame, species = labelled()
    bundle = build(make_candidate(tmp_path, RandomForestClassifier(20), frame, species), tmp_path / "b", "f", VERSION)
    assert bundle.format == "onnx" and bundle.signature.limit == FLOAT32_LIMIT


@pytest.mark.parametrize("family", ["GradientBoosting", "RandomForest", "ExtraTrees", "HistGradientBoosting"])
def test_tree_regressors_convert_exactly(tmp_path, family):
    import sklearn.ensemble

    frame, target = numbered()
    model = getattr(sklearn.ensemble, f"{family}Regressor")(random_state=1)
    bundle = build(make_candidate(tmp_path, model, frame.fillna(0.0), target), tmp_path / "b", "trees", VERSION)
    assert bundle.format == "onnx", bundle.content["passed_over"]
    assert bundle.content["evidence"]["largest_difference"] < 1e-12


@pytest.mark.parametrize("family", ["GradientBoosting", "HistGradientBoosting"])
@pytest.mark.parametrize("classes", [2, 3])
def test_boosted_classifiers_convert(tmp_path, family, classes):
    import sklearn.ensemble

    frame, species = labelled()
    species = np.where(species == "setosa", "setosa", "other") if classes == 2 else species
    model = getattr(sklearn.ensemble, f"{family}Classifier")(random_state=1)
    bundle = build(make_candidate(tmp_path, model, frame, species), tmp_path / "b", "trees", VERSION)
    assert bundle.format == "onnx", bundle.content["passed_over"]


def test_a_model_without_an_onnx_form_is_served_as_skops_and_the_reason_is_kept(tmp_path):
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    frame, target = numbered()
    model = make_pipeline(FunctionTransformer(clip), numbers_model())
    candidate = make_candidate(tmp_path, model, frame, target)
    bundle = build(candidate, tmp_path / "b", "own", VERSION, trusted=(clip.__module__,))
    assert bundle.format == "skops"
    assert "the function 'clip'" in bundle.content["passed_over"]["onnx"]


def test_probabilities_that_differ_are_no_onnx_though_every_label_is_equal(flowers, tmp_path, monkeypatch):
    def off_by_little(predict, scores, layout):
        return extras.deciding(predict, lambda rows: scores(rows) + 1e-6, layout)

    monkeypatch.setattr(models, "deciding", off_by_little)
    bundle = build(flowers, tmp_path / "bundle", "iris", VERSION)
    assert bundle.format == "skops"
    assert "probabilities: answers differ by 1.0e-06" in bundle.content["passed_over"]["onnx"]


def test_text_columns_are_one_input_each(tmp_path):
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame, species = labelled()
    frame = frame[["sepal_length"]].assign(colour=np.where(frame["petal_width"] > 1, "blue", "white"))
    columns = make_column_transformer((StandardScaler(), ["sepal_length"]), (OneHotEncoder(), ["colour"]))
    candidate = make_candidate(tmp_path, make_pipeline(columns, LogisticRegression()), frame, species)
    bundle = build(candidate, tmp_path / "b", "text", VERSION)
    holdout = pd.read_parquet(candidate / "holdout.parquet")
    assert (predict(bundle, holdout) == holdout["__prediction__"]).all()


def test_null_and_the_text_none_are_distinguished(tmp_path):
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    chance = np.random.default_rng(0)
    frame = pd.DataFrame({"city": chance.choice(["None", "Bath", "Cork"], 200), "size": chance.normal(size=200)})
    target = (frame["size"] + (frame["city"] == "None")).to_numpy()
    columns = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["city"]), remainder="passthrough")
    model = make_pipeline(columns, LinearRegression())
    bundle = build(make_candidate(tmp_path, model, frame, target), tmp_path / "b", "text", VERSION)
    rows = pd.DataFrame({"city": ["None", None, "Bath"], "size": [0.5, 0.5, 0.5]})
    assert bundle.format == "onnx", bundle.content["passed_over"]
    np.testing.assert_allclose(predict(bundle, rows), model.predict(rows), rtol=1e-12)


def test_a_pickle_is_bundled_only_where_the_config_says_so(tmp_path):
    import mlflow.sklearn
    from mlflow.models import infer_signature

    frame, species = labelled()
    candidate = make_candidate(tmp_path, flowers_model(), frame, species)
    shutil.rmtree(candidate / "model")
    cut = len(frame) * 3 // 4
    model = flowers_model().fit(frame[:cut], species[:cut])
    mlflow.sklearn.save_model(
        model, candidate / "model", signature=infer_signature(frame, species), serialization_format="cloudpickle"
    )
    with pytest.raises(UserError, match="allow_pickle"):
        build(candidate, tmp_path / "b", "iris", VERSION)
    allowed = build(candidate, tmp_path / "b", "iris", VERSION, allow_pickle=True)
    assert allowed.format == "pyfunc" and allowed.content["pyfunc"] == {"pickle": True, "allow_pickle": True}


@pytest.mark.parametrize("name", ["model.onnx", "manifest.json", "manifest.json.sha256"])
def test_a_flipped_byte_stops_the_start_and_names_the_file(flowers_bundle, tmp_path, name):
    folder = tmp_path / "bundle"
    shutil.copytree(flowers_bundle.folder, folder)
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    command = [sys.executable, "-m", "mlops.serving.run", str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, env={"MLOPS_SERVE_PORT": "0"})
    assert ended.returncode == 2
    assert name in ended.stderr and "damaged" in ended.stderr and "Traceback" not in ended.stderr


def test_a_missing_and_an_added_file_are_named(flowers_bundle, tmp_path):
    folder = tmp_path / "bundle"
    shutil.copytree(flowers_bundle.folder, folder)
    (folder / "extra.bin").write_bytes(b"x")
    with pytest.raises(BundleDamaged, match="extra.bin is not in the manifest"):
        verify(folder)
    (folder / "extra.bin").unlink()
    (folder / "model.onnx").unlink()
    with pytest.raises(BundleDamaged, match="model.onnx is missing"):
        verify(folder)


def test_an_onnx_server_imports_neither_mlflow_nor_pandas_nor_scikit_learn(flowers_bundle):
    script = (
        "import sys, pathlib; from mlops.serving import app, run, service, settings;"
        "state = service.create(pathlib.Path(sys.argv[1]), settings.Settings()); service.start(state); app.create(state);"
        "from mlops.serving import openapi, page, reference; import json;"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    command = [sys.executable, "-c", script, str(flowers_bundle.folder)]
    loaded = set(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    assert loaded.isdisjoint({"mlflow", "pandas", "sklearn", "scipy", "pyarrow", "pydantic", "typer"})


def test_the_image_holds_every_module_that_the_server_imports(flowers_bundle, tmp_path):
    from mlops.bundle.image import stage

    stage(ROOT, flowers_bundle, tmp_path / "context")
    script = "import sys; from mlops.serving import run, openapi, page, reference; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    app = tmp_path / "context" / "app"
    places = [app.joinpath(*name.split(".")) for name in loaded if name.split(".")[0] == "mlops"]
    assert len(places) > 15
    assert [place for place in places if not (place.with_suffix(".py").is_file() or (place / "__init__.py").is_file())] == []


def test_the_serving_lock_names_what_the_extra_names():
    import re
    import runpy
    from unittest.mock import Mock, patch

    with patch.dict(sys.modules, {"setuptools": Mock()}):
        with patch.dict(sys.modules, {"packaged": Mock()}):
            extra = runpy.run_path(str(ROOT / "machinery" / "setup.py"))["EXTRAS"]["serve"]
    lines = (ROOT / "requirements" / "serve.in").read_text(encoding="utf-8").splitlines()
    named = {re.match(r"[\w-]+", line).group() for line in lines if re.match(r"\w", line)}
    assert named - {"numpy"} == {re.match(r"[\w-]+", line).group() for line in extra}


def test_pickle_joblib_json_onnx_and_skops_hold_the_same_model(flowers, flowers_bundle, tmp_path):
    """docs/formats.md compares them; JSON is the parameters written out, and only shows that they are all there is."""
    import pickle

    import joblib
    import skops.io

    frame, species = labelled()
    model = flowers_model().fit(frame, species)
    predictions = model.predict(frame)
    joblib.dump(model, tmp_path / "m.joblib")
    raw = skops.io.dumps(model)
    scaler, logistic = model[0], model[2]
    parameters = {"mean": scaler.mean_, "scale": scaler.scale_, "coef": logistic.coef_, "intercept": logistic.intercept_}
    text = json.dumps({name: values.tolist() for name, values in parameters.items()} | {"classes": list(logistic.classes_)})
    again = {name: np.array(values) for name, values in json.loads(text).items()}
    scores = model[1].transform((frame.to_numpy() - again["mean"]) / again["scale"]) @ again["coef"].T + again["intercept"]
    assert (pickle.loads(pickle.dumps(model)).predict(frame) == predictions).all()
    assert (joblib.load(tmp_path / "m.joblib").predict(frame) == predictions).all()
    assert (skops.io.loads(raw, trusted=skops.io.get_untrusted_types(data=raw)).predict(frame) == predictions).all()
    assert (again["classes"][scores.argmax(axis=1)] == predictions).all()


@pytest.mark.parametrize("odd,batchable", [(None, True), (7, False), (1, False)])
def test_requests_are_joined_only_where_a_row_answers_the_same_in_any_company(flowers, tmp_path, monkeypatch, odd, batchable):
    load = models.load_onnx

    def in_company(raw, signature, layout, threads=1):
        model = load(raw, signature, layout, threads)

        def answer(rows, params):
            predictions = model(rows, params)
            return np.append(predictions[1:], "none") if rows.count == odd and threads == 2 else predictions

        return answer

    monkeypatch.setattr(models, "load_onnx", in_company)
    assert build(flowers, tmp_path / "bundle", "iris", VERSION, form="onnx").content["onnx"]["batchable"] == batchable


@pytest.mark.parametrize("kind", ["neighbours classifier", "Gaussian process"])
def test_bundling_what_goes_through_its_training_rows_takes_few_calls_of_it(tmp_path, monkeypatch, kind):
    calls, load_onnx = [], models.load_onnx

    def counted(raw, signature, layout, threads=1):
        predict = load_onnx(raw, signature, layout, threads)
        return lambda rows, params: (calls.append(rows.count), predict(rows, params))[1]

    monkeypatch.setattr(models, "load_onnx", counted)
    frame, targets = table(300, seed=1)
    columns, target = KINDS[kind].columns, targets[KINDS[kind].target]
    bundle = build(make_candidate(tmp_path, KINDS[kind].make(), frame[columns], target), tmp_path / "b", "kind", VERSION)
    assert bundle.format == "onnx" and not bundle.content["onnx"]["batchable"]
    assert len(calls) < 20
    many = table(1000, seed=3)[0][columns]
    given = frame_to_rows(many, bundle.signature)
    parts = [frame_to_rows(many[start : start + 100], bundle.signature) for start in range(0, 1000, 100)]
    np.testing.assert_array_equal(load(bundle)(given, None), np.concatenate([load(bundle)(part, None) for part in parts]))


def page_of(bundle, example, **types):
    """The page of a bundle with other columns and another example, without what is escaped."""
    columns = tuple(Column(name, types.get(name, "double")) for name in example)
    content = bundle.content | {"example": example}
    return html.unescape(render(Bundle(bundle.folder, content, bundle.digest, Signature(columns, None, ()))))


def test_the_form_shows_numbers_short_and_texts_as_they_are(flowers_bundle):
    example = {"rides": 18.064249999999998, "doors": 5.0, "tiny": 1e-300, "code": "1.0", "name": "O'Brien"}
    page = page_of(flowers_bundle, example, code="string", name="string")
    shown = dict(re.findall(r"<input name='(\w+)' .*? value='(.*?)'(?: required)? autocomplete", page))
    assert shown == {"rides": "18.06425", "doors": "5", "tiny": "1e-300", "code": "1.0", "name": "O'Brien"}


def test_the_command_of_the_page_sends_the_example_whatever_it_holds(flowers_bundle):
    example = {"rides": 18.064249999999998, "name": 'O\'Brien "the 2nd" $HOME'}
    command = re.search(r'<pre id="curl">(.*?)</pre>', page_of(flowers_bundle, example, name="string"), re.DOTALL)[1]
    assert json.loads(shlex.split(command)[-1]) == {"rows": [example]}
