"""Whole numbers and booleans with gaps: what the trained model predicts of them itself is what a server answers to null."""

import json

import numpy as np
import pandas as pd
import pytest

from mlops.bundle.build import build
from mlops.bundle.image import rows_of
from mlops.scoring.client import to_arrow
from mlops.serving.model import load
from mlops.serving.openapi import column_schema
from mlops.serving.scoring import Scorer, score
from mlops.serving.signature import Column, InvalidRequest, Signature, from_columns

from .conftest import VERSION, make_candidate

JSON, ARROW = "application/json", "application/vnd.apache.arrow.stream"
TYPES = {"size": "FP64", "doors": "INT64", "new": "BOOL"}
FORMS = ("split", "records", "inputs", "csv", "arrow", "predict", "infer")


def houses(count=300):
    """Doors and newness with gaps, which say as much as a value does."""
    chance = np.random.default_rng(3)
    frame = pd.DataFrame({"size": chance.normal(size=count)})
    frame["doors"] = pd.array(chance.integers(0, 5, count), dtype="Int64")
    frame["new"] = pd.array(chance.random(count) < 0.5, dtype="boolean")
    for name in ("doors", "new"):
        frame.loc[chance.random(count) < 0.3, name] = pd.NA
    known = frame.astype({"doors": "Float64", "new": "Float64"}).fillna({"doors": 9, "new": 5})
    return frame, (frame["size"] + known["doors"] + 3 * known["new"]).to_numpy(dtype=float)


def model():
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(max_iter=20, random_state=0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The candidate, and the model that was fitted for it, which no file has been between."""
    own = model()
    return make_candidate(tmp_path_factory.mktemp("houses"), own, *houses()), own


@pytest.fixture(scope="module", params=["onnx", "skops", "pyfunc"])
def bundle(request, trained, tmp_path_factory):
    return build(trained[0], tmp_path_factory.mktemp("b") / "houses", "houses", VERSION, form=request.param)


def request_of(frame, form):
    records = json.loads(frame.to_json(orient="records", double_precision=15))
    columns = {name: [row[name] for row in records] for name in frame}
    tensors = [
        {"name": name, "shape": [len(frame)], "datatype": TYPES.get(name, "BYTES"), "data": values}
        for name, values in columns.items()
    ]
    if form in ("csv", "arrow"):
        return "/invocations", *(
            (frame.to_csv(index=False).encode(), "text/csv") if form == "csv" else (to_arrow(frame), ARROW)
        )
    endpoint, content = {
        "split": ("/invocations", {"dataframe_split": {"columns": list(frame), "data": [list(r.values()) for r in records]}}),
        "records": ("/invocations", {"dataframe_records": records}),
        "inputs": ("/invocations", {"inputs": columns}),
        "predict": ("/predict", {"rows": records}),
        "infer": ("/v2/models/{name}/infer", {"inputs": tensors}),
    }[form]
    return endpoint, json.dumps(content).encode(), JSON


def answers(bundle, frame, form):
    endpoint, body, content_type = request_of(frame, form)
    content = json.loads(score(Scorer(bundle, load(bundle), 1000), endpoint, body, content_type, JSON, "r").payload)
    return content["predictions"] if "predictions" in content else content["outputs"][0]["data"]


@pytest.mark.parametrize("form", FORMS)
def test_null_is_answered_as_the_trained_model_predicts_a_gap(bundle, trained, form):
    frame = houses()[0].tail(60).round({"size": 6})
    assert frame.isna().any(axis=1).mean() > 0.3
    np.testing.assert_allclose(answers(bundle, frame, form), trained[1].predict(frame), rtol=1e-9)


@pytest.mark.parametrize("form", FORMS)
def test_a_column_with_gaps_may_be_left_out_of_a_request(bundle, trained, form):
    frame = houses()[0].tail(20).round({"size": 6})
    whole = frame.assign(doors=pd.array([None] * 20, dtype="Int64"), new=pd.array([None] * 20, dtype="boolean"))
    np.testing.assert_allclose(answers(bundle, frame[["size"]], form), trained[1].predict(whole), rtol=1e-9)


def test_what_is_no_whole_number_or_boolean_is_still_refused(bundle):
    for wrong in ({"doors": [1.5]}, {"doors": [2**53]}, {"new": ["perhaps"]}):
        columns = {"size": [0.5], "doors": [1], "new": [True]} | wrong
        with pytest.raises(InvalidRequest, match=next(iter(wrong))):
            from_columns(bundle.signature, list(columns.values()))
    assert [column_schema(column, None)["type"] for column in bundle.signature.columns[1:]] == [
        ["integer", "null"],
        ["boolean", "null"],
    ]


def test_a_column_without_gaps_in_training_refuses_null_and_must_be_there(tmp_path):
    frame, target = houses()
    whole = frame.fillna({"doors": 1, "new": True}).astype({"doors": "int64", "new": "bool"})
    bundle = build(make_candidate(tmp_path, model(), whole, target), tmp_path / "b", "houses", VERSION)
    for name in ("doors", "new"):
        with pytest.raises(InvalidRequest, match=f"{name}.*missing"):
            answers(bundle, whole.astype({name: frame[name].dtype}).assign(**{name: frame[name]}), "split")
        with pytest.raises(InvalidRequest, match=name):
            answers(bundle, frame.drop(columns=name), "split")


def test_a_number_too_large_is_refused_beside_a_gap():
    signature = Signature((Column("size", "double"), Column("kind", "string")), limit=1e30)
    with pytest.raises(InvalidRequest, match="size.*larger"):
        from_columns(signature, [[None, 1e35], ["a", "b"]])


def test_an_identifier_beyond_float64_may_have_gaps_too(tmp_path):
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    frame, _ = houses()
    shops = pd.array([None if pd.isna(doors) else 2**60 + int(doors) for doors in frame["doors"]], dtype="Int64")
    frame = pd.DataFrame({"size": frame["size"], "doors": shops})
    target = pd.Series(shops).map(lambda shop: 9.0 if pd.isna(shop) else float(int(shop) - 2**60)).to_numpy()
    own = make_pipeline(make_column_transformer((OneHotEncoder(), ["doors"]), remainder="passthrough"), Ridge(1e-6))
    try:
        candidate = make_candidate(tmp_path, own, frame, target)
    except (TypeError, ValueError) as error:
        pytest.skip(f"scikit-learn itself does not take it: {error}")
    bundle = build(candidate, tmp_path / "b", "shops", VERSION)
    for form in ("split", "records", "csv", "arrow", "predict"):
        np.testing.assert_allclose(answers(bundle, frame.round({"size": 6}).tail(40), form),
                                   own.predict(frame.round({"size": 6}).tail(40)), rtol=1e-9)  # fmt: skip


def test_the_proof_of_an_image_sends_gaps_as_null(bundle, trained):
    rows = rows_of(pd.read_parquet(trained[0] / "holdout.parquet"), bundle)
    sent = json.loads(json.dumps(rows["dataframe_split"], allow_nan=False))["data"]
    assert any(row[1] is None for row in sent) and any(row[2] is None for row in sent)


def test_a_model_that_takes_categories_gets_them(tmp_path):
    from sklearn.ensemble import HistGradientBoostingRegressor

    frame, target = houses()
    frame = frame.assign(kind=pd.Categorical(np.where(frame["size"] > 0, "flat", "house")))
    own = HistGradientBoostingRegressor(max_iter=10, categorical_features="from_dtype", random_state=0)
    bundle = build(make_candidate(tmp_path, own, frame, target), tmp_path / "b", "houses", VERSION)
    rows = frame.round({"size": 6}).tail(20)
    np.testing.assert_allclose(answers(bundle, rows, "predict"), own.predict(rows), rtol=1e-9)
