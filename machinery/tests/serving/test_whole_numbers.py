"""A whole number of 64 bits reaches the model with all its digits, or is refused; the proof shares no rounding with it."""

import io
import json

import numpy as np
import pandas as pd
import pytest

from mlops.bundle.build import build, frame_to_rows
from mlops.errors import UserError
from mlops.scoring.client import to_arrow
from mlops.serving.model import load
from mlops.serving.scoring import Scorer, score
from mlops.serving.signature import Column, InvalidRequest, Signature, from_columns, from_matrix

from .conftest import VERSION, make_candidate

BASE = 2**60  # from here on a float64 stands for 256 whole numbers
SHOPS = BASE + np.arange(8)
JSON, ARROW = "application/json", "application/vnd.apache.arrow.stream"
ENDPOINTS = ["split", "records", "inputs", "csv", "arrow", "predict", "infer"]


def shops(count=400):
    """Sales of shops that float64 does not tell apart, and a number beside."""
    chance = np.random.default_rng(1)
    frame = pd.DataFrame({"shop": chance.choice(SHOPS, count), "size": chance.normal(size=count)})
    return frame, ((frame["shop"] - BASE) * 10 + frame["size"]).to_numpy(dtype=float)


def by_shop():
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    columns = make_column_transformer((OneHotEncoder(), ["shop"]), remainder="passthrough")
    return make_pipeline(columns, Ridge(alpha=1e-6))


@pytest.fixture(scope="module")
def candidate(tmp_path_factory):
    return make_candidate(tmp_path_factory.mktemp("shops"), by_shop(), *shops())


@pytest.fixture(scope="module", params=["onnx", "skops", "pyfunc"])
def bundle(request, candidate, tmp_path_factory):
    try:
        return build(candidate, tmp_path_factory.mktemp("b") / "shops", "shops", VERSION, form=request.param)
    except UserError as error:
        assert request.param == "onnx", error
        pytest.skip(f"no ONNX form, which is an honest answer: {error}")


def request_of(frame, form):
    """Endpoint, body and content type of a request with these rows."""
    split = frame.to_dict(orient="split", index=False)
    records = frame.to_dict(orient="records")
    columns = frame.to_dict(orient="list")
    tensors = [
        {"name": name, "shape": [len(frame)], "datatype": "INT64" if name == "shop" else "FP64", "data": values}
        for name, values in columns.items()
    ]
    if form == "csv":
        return "/invocations", frame.to_csv(index=False).encode(), "text/csv"
    if form == "arrow":
        return "/invocations", to_arrow(frame), ARROW
    contents = {
        "split": ("/invocations", {"dataframe_split": split}),
        "records": ("/invocations", {"dataframe_records": records}),
        "inputs": ("/invocations", {"inputs": columns}),
        "predict": ("/predict", {"rows": records}),
        "infer": ("/v2/models/{name}/infer", {"inputs": tensors}),
    }
    endpoint, content = contents[form]
    return endpoint, json.dumps(content).encode(), JSON


def answers(bundle, frame, form):
    endpoint, body, content_type = request_of(frame, form)
    answer = score(Scorer(bundle, load(bundle), 1000), endpoint, body, content_type, JSON, "r")
    content = json.loads(answer.payload)
    return content["predictions"] if "predictions" in content else content["outputs"][0]["data"]


@pytest.mark.parametrize("form", ENDPOINTS)
def test_identifiers_that_differ_in_the_last_bit_are_answered_as_in_training(candidate, bundle, form):
    holdout = pd.read_parquet(candidate / "holdout.parquet").head(40)
    assert holdout["shop"].nunique() == len(SHOPS)
    np.testing.assert_allclose(answers(bundle, holdout[["shop", "size"]], form), holdout["__prediction__"], rtol=1e-9)


@pytest.mark.parametrize("form", ENDPOINTS)
@pytest.mark.parametrize("value", [2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1])
def test_a_column_of_small_whole_numbers_refuses_what_would_be_rounded(numbers_bundle, form, value):
    frame = pd.DataFrame({"size": [0.5], "speed": [1.0], "doors": [value]})
    with pytest.raises(InvalidRequest, match="doors"):
        answers(numbers_bundle, frame, form)


def test_the_largest_exact_number_is_taken(numbers_bundle):
    frame = pd.DataFrame({"size": [0.5], "speed": [1.0], "doors": [2**53 - 1]})
    assert all(np.isfinite(answers(numbers_bundle, frame, form)).all() for form in ENDPOINTS)


def test_large_requests_are_held_to_the_same(numbers_bundle):
    frame = pd.DataFrame({"size": [0.5] * 900, "speed": [1.0] * 900, "doors": [1] * 899 + [2**53 + 1]})
    with pytest.raises(InvalidRequest, match="doors"):
        answers(numbers_bundle, frame, "split")


@pytest.mark.parametrize("value", [1.5, float(2**60), "12_3", 2**63, None, float("nan")])
def test_a_wide_column_refuses_what_is_no_exact_whole_number(value):
    with pytest.raises(InvalidRequest, match="id"):
        from_columns(Signature((Column("id", "long", wide=True),)), [[value]])


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), 5.0, "9007199254740993"])
def test_a_wide_column_keeps_every_digit(value):
    rows = from_columns(Signature((Column("id", "long", wide=True),)), [[value]])
    assert rows.column(0).dtype == np.int64 and int(rows.column(0)[0]) == int(value)


def test_a_matrix_refuses_the_float_that_stands_for_two_whole_numbers():
    with pytest.raises(InvalidRequest, match="id"):
        from_matrix(Signature((Column("id", "long"),)), np.array([[float(2**53 + 1)]]))


def test_the_form_of_a_bundle_is_held_to_what_training_wrote(candidate, tmp_path):
    """A model that changed after its predictions were recorded passes every comparison with itself."""
    import shutil

    folder = tmp_path / "candidate"
    shutil.copytree(candidate, folder)
    holdout = pd.read_parquet(folder / "holdout.parquet")
    holdout["__prediction__"] *= 1 + 1e-6
    holdout.to_parquet(folder / "holdout.parquet")
    for form in ("onnx", "skops", "pyfunc"):
        with pytest.raises(UserError, match="does not predict what training recorded"):
            build(folder, tmp_path / form, "shops", VERSION, form=form)


def test_rows_of_a_frame_keep_their_digits(candidate):
    frame = pd.read_parquet(candidate / "holdout.parquet")
    rows = frame_to_rows(frame, Signature((Column("shop", "long", wide=True), Column("size", "double"))))
    assert rows.column(0).tolist() == frame["shop"].tolist()


def test_moments_finer_than_a_microsecond_are_refused_not_cut():
    signature = Signature((Column("at", "datetime"),))
    with pytest.raises(InvalidRequest, match="microsecond"):
        from_columns(signature, [["2026-01-01T00:00:00.123456789"]])
    kept = from_columns(signature, [["2026-01-01T00:00:00.123456000"]])
    assert str(kept.column(0)[0]) == "2026-01-01T00:00:00.123456000"


def test_moments_of_an_arrow_stream_are_not_cut_either(tmp_path):
    import pyarrow

    from mlops.serving.arrow import read_arrow

    moments = np.array(["2026-01-01T00:00:00.123456789"], dtype="datetime64[ns]")
    table, target = pyarrow.table({"at": moments}), io.BytesIO()
    with pyarrow.ipc.new_stream(target, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(InvalidRequest, match="at"):
        read_arrow(target.getvalue(), Signature((Column("at", "datetime"),)), 10)


def test_a_gap_among_moments_in_nanoseconds_is_a_gap(numbers_bundle):
    from mlops.serving.arrow import read_arrow

    frame = pd.DataFrame({"at": pd.to_datetime(["2026-01-01T00:00:00.123456", None])}).astype("datetime64[ns]")
    rows = read_arrow(to_arrow(frame), Signature((Column("at", "datetime"),)), 10)
    assert rows.column(0).tolist() == frame["at"].to_numpy().tolist()
