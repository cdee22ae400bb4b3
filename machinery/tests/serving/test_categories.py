"""What a model would refuse, a server refuses: with the column and the value, whatever form the model is served in."""

import httpx
import numpy as np
import pandas as pd
import pytest
from sklearn import compose, linear_model, pipeline, preprocessing

from mlops.bundle.build import build, frame_to_rows
from mlops.serving.model import load
from mlops.serving.signature import Column, InvalidRequest, Signature, from_matrix

from .conftest import VERSION, make_candidate, serving
from .pipelines import MIXED, table


@pytest.fixture(scope="module", params=["onnx", "skops"])
def strict(request, tmp_path_factory):
    """The address of a model whose encoders, with their defaults, refuse a category that they have not seen."""
    frame, targets = table(400, seed=1)
    frame = frame[MIXED].assign(floor=np.arange(400) % 3)
    encoders = compose.make_column_transformer(
        (preprocessing.OneHotEncoder(), ["city"]), (preprocessing.OrdinalEncoder(), ["plan", "floor"]), remainder="passthrough"
    )
    model = pipeline.make_pipeline(encoders, linear_model.Ridge())
    candidate = make_candidate(tmp_path_factory.mktemp("strict"), model, frame, targets["number"])
    bundle = build(candidate, tmp_path_factory.mktemp("bundles") / request.param, "strict", VERSION, form=request.param)
    with serving(bundle.folder) as (address, _):
        yield address, frame.iloc[0].to_dict(), model


def test_what_the_model_knows_is_answered_as_by_the_model(strict):
    address, row, model = strict
    rows = [row | {"city": city, "plan": plan} for city in ("Bath", "Ulm") for plan in ("basic", "pro")]
    answers = httpx.post(f"{address}/predict", json={"rows": rows}).json()["predictions"]
    np.testing.assert_allclose(answers, model.predict(pd.DataFrame(rows)), rtol=1e-12)


@pytest.mark.parametrize("column,value", [("city", "Paris"), ("plan", "gold"), ("floor", 7)])
def test_an_unseen_category_is_a_400_that_names_column_and_value(strict, column, value):
    address, row, _ = strict
    answer = httpx.post(f"{address}/predict", json={"rows": [row, row | {column: value}]})
    assert answer.status_code == 400
    assert answer.json()["field"] == column
    assert "row 1" in answer.json()["message"] and str(value) in answer.json()["message"]


def test_a_number_beyond_float32_in_a_column_of_it_is_refused():
    signature = Signature((Column("size", "float"),))
    with pytest.raises(InvalidRequest, match="'size', row 1: not a value of type float"):
        from_matrix(signature, np.array([[1.0], [1e300]]))


def test_no_answer_in_json_holds_infinity(tmp_path):
    model = compose.TransformedTargetRegressor(linear_model.LinearRegression(), func=np.log1p, inverse_func=np.expm1)
    frame = pd.DataFrame({"size": np.linspace(0, 9, 200)})
    bundle = build(
        make_candidate(tmp_path, model, frame, np.expm1(frame["size"]).to_numpy()), tmp_path / "b", "growth", VERSION
    )
    assert np.isinf(load(bundle)(frame_to_rows(pd.DataFrame({"size": [1e6]}), bundle.signature), None)).all()
    with serving(bundle.folder) as (address, _):
        for path, body in {
            "/invocations": {"dataframe_split": {"columns": ["size"], "data": [[1e6]]}},
            "/predict": {"rows": [{"size": 1e6}]},
        }.items():
            assert httpx.post(f"{address}{path}", json=body).json()["predictions"] == [None]
