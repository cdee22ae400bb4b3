"""What the endpoints answer, with MLflow's own scoring server beside ours; and what bad input gets."""

import html
import io
import json

import httpx
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings

from mlops.bundle.build import build
from mlops.scoring.client import to_arrow
from mlops.serving.model import load
from mlops.serving.open_inference import metadata, write_infer
from mlops.serving.signature import Column, InvalidRequest, Signature, from_columns

from .conftest import VERSION

NAMES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
ROWS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.1, 5.6, 2.4], [6, 2, 4, 1]]
RECORDS = [dict(zip(NAMES, row)) for row in ROWS]
COLUMNS = {name: [row[place] for row in ROWS] for place, name in enumerate(NAMES)}
JSON, ARROW = "application/json", "application/vnd.apache.arrow.stream"


def split(rows=ROWS, names=NAMES, **more):
    return json.dumps({"dataframe_split": {"columns": names, "data": rows, **more}})


def with_cell(value):
    return split([[value, 3.5, 1.4, 0.2]])


BODIES = {
    "split": (split(), JSON),
    "split with index": (split(index=[7, 8, 9]), JSON),
    "reordered": (split([row[::-1] for row in ROWS], NAMES[::-1]), JSON),
    "extra column": (split([[*row, "x"] for row in ROWS], [*NAMES, "more"]), JSON),
    "records": (json.dumps({"dataframe_records": RECORDS}), JSON),
    "instances": (json.dumps({"instances": RECORDS}), JSON),
    "inputs by column": (json.dumps({"inputs": COLUMNS}), JSON),
    "inputs by row": (json.dumps({"inputs": RECORDS}), JSON),
    "inputs of single values": (json.dumps({"inputs": RECORDS[0]}), JSON),
    "params without a schema": (json.dumps({"dataframe_records": RECORDS, "params": {"a": 1}}), JSON),
    "csv": (pd.DataFrame(RECORDS).to_csv(index=False), "text/csv"),
    "csv with index": (pd.DataFrame(RECORDS).to_csv(), "text/csv"),
    "charset": (split(), "application/json; charset=utf-8"),
    "number as text": (with_cell("5.1"), JSON),
    "true as a number": (with_cell(True), JSON),
    "unnamed rows": (json.dumps({"instances": ROWS}), JSON),
    "unnamed columns": (json.dumps({"inputs": ROWS}), JSON),
    "no column names": (json.dumps({"dataframe_split": {"data": ROWS}}), JSON),
    "missing column": (split([row[:3] for row in ROWS], NAMES[:3]), JSON),
    "wrong column": (split(names=[*NAMES[:3], "petal"]), JSON),
    "short row": (split([ROWS[0], ROWS[1][:3]]), JSON),
    "text in a number": (with_cell("long"), JSON),
    "null in a number": (with_cell(None), JSON),
    "nan": (with_cell(float("nan")), JSON),
    "infinity": (with_cell(float("inf")), JSON),
    "list in a number": (with_cell([1, 2]), JSON),
    "object in a number": (with_cell({"a": 1}), JSON),
    "huge integer": (with_cell(10**400), JSON),
    "no rows": (split([]), JSON),
    "records not a list": (json.dumps({"dataframe_records": RECORDS[0]}), JSON),
    "split not an object": (json.dumps({"dataframe_split": ROWS}), JSON),
    "split with a further key": (split(more=1), JSON),
    "unequal columns": (json.dumps({"inputs": {**COLUMNS, "petal_width": [1]}}), JSON),
    "two forms": (json.dumps({"inputs": COLUMNS, "instances": RECORDS}), JSON),
    "no form": (json.dumps({"rows": RECORDS}), JSON),
    "a list": (json.dumps(RECORDS), JSON),
    "a number": ("1", JSON),
    "not json": ("{", JSON),
    "nothing": ("", JSON),
    "bad utf-8": (b'{"dataframe_split": "\xff"}', JSON),
    "bad utf-8 in csv": (b"\xff\xfe,a\n1,2\n", "text/csv"),
    "empty csv": ("", "text/csv"),
    "csv with text": (",".join(NAMES) + "\na,b,c,d\n", "text/csv"),
    "another content type": (split(), "text/plain"),
    "another charset": (split(), "application/json; charset=latin-1"),
    "content type parameter": (split(), "application/json; version=1"),
}


def post(address, path, body, content_type=JSON, **headers):
    return httpx.post(address + path, content=body, headers={"content-type": content_type, **headers})


@pytest.mark.parametrize("case", BODIES)
def test_invocations_answer_as_mlflow_does(flowers_server, mlflow_server, case):
    body, content_type = BODIES[case]
    theirs = mlflow_server.post("/invocations", content=body, headers={"content-type": content_type})
    ours = post(flowers_server, "/invocations", body, content_type)
    assert ours.status_code == theirs.status_code, (ours.text, theirs.text)
    if ours.status_code == 200:
        assert ours.json() == theirs.json()
    else:
        assert ours.json()["message"] and 400 <= ours.status_code < 500
        if theirs.headers["content-type"] == JSON:
            assert ours.json()["error_code"] == theirs.json()["error_code"]


@pytest.mark.parametrize("case", ["text in a number", "null in a number", "wrong column", "missing column", "nan", "infinity"])
def test_a_refusal_names_the_field_and_repeats_no_value(flowers_server, case):
    answer = post(flowers_server, "/invocations", BODIES[case][0]).json()
    assert answer["field"] in NAMES and answer["field"] in answer["message"]
    assert "5.1" not in answer["message"] and "long" not in answer["message"]


def test_deep_json_is_refused_where_mlflow_fails(flowers_server):
    deep = "[" * 100_000
    assert post(flowers_server, "/invocations", '{"inputs": ' + deep).status_code == 400
    assert post(flowers_server, "/predict", deep).status_code == 400


def test_a_missing_content_type_is_415(flowers_server):
    assert httpx.post(f"{flowers_server}/invocations", content=b"{}").status_code == 415


def test_whole_numbers_stay_whole(numbers_server):
    body = {"dataframe_split": {"columns": ["size", "speed", "doors"], "data": [[1.0, 2.0, 1.5]]}}
    answer = post(numbers_server, "/invocations", json.dumps(body))
    assert answer.status_code == 400 and answer.json()["field"] == "doors"
    body["dataframe_split"]["data"] = [[None, float("nan"), 1]]
    assert post(numbers_server, "/invocations", json.dumps(body)).status_code == 200


def test_every_way_gives_the_trained_models_predictions(numbers, numbers_bundle, numbers_server):
    frame = pd.concat([pd.read_parquet(numbers / "holdout.parquet")] * 20, ignore_index=True)
    expected, frame = frame["__prediction__"].to_numpy(), frame[["size", "speed", "doors"]]
    cells = frame.astype(object).where(frame.notna(), None)
    complete = frame.notna().all(axis=1).to_numpy()
    tensors = [
        {"name": name, "shape": [len(frame)], "datatype": kind, "data": cells[name].tolist()}
        for name, kind in {"size": "FP64", "speed": "FP64", "doors": "INT64"}.items()
    ]
    large = {"dataframe_split": {"columns": list(frame), "data": frame[complete].to_numpy().tolist()}}
    table = post(numbers_server, "/invocations", to_arrow(frame), ARROW)
    ways = {
        "csv": post(numbers_server, "/invocations", frame.to_csv(index=False), "text/csv").json()["predictions"],
        "predict": post(numbers_server, "/predict", json.dumps({"rows": cells.to_dict("records")})).json()["predictions"],
        "v2": post(numbers_server, "/v2/models/numbers/infer", json.dumps({"inputs": tensors})).json()["outputs"][0]["data"],
        "arrow": read_arrow_answer(table),
    }
    for way, answers in ways.items():
        np.testing.assert_allclose(answers, expected, rtol=1e-12, err_msg=way)
    large_answer = post(numbers_server, "/invocations", json.dumps(large)).json()["predictions"]
    np.testing.assert_allclose(large_answer, expected[complete], rtol=1e-12)


def read_arrow_answer(answer):
    import pyarrow

    assert answer.headers["content-type"] == ARROW
    return pyarrow.ipc.open_stream(io.BytesIO(answer.content)).read_all()["predictions"].to_numpy()


def test_arrow_labels_are_text_and_a_broken_stream_is_refused(flowers_server):
    import pyarrow

    raw = to_arrow(pd.DataFrame(RECORDS))
    answer = post(flowers_server, "/invocations", raw, ARROW)
    labels = pyarrow.ipc.open_stream(io.BytesIO(answer.content)).read_all()["predictions"].to_pylist()
    assert labels == post(flowers_server, "/invocations", raw, ARROW, accept=JSON).json()["predictions"]
    for cut in (0, 10, 100, len(raw) // 2):
        assert post(flowers_server, "/invocations", raw[:cut], ARROW).status_code == 400


def test_mlflows_own_client_works(flowers_server):
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    client = ScoringServerClient("127.0.0.1", int(flowers_server.rsplit(":", 1)[1]))
    client.wait_server_ready(timeout=5, scoring_server_proc=None)
    answer = client.invoke(pd.DataFrame(RECORDS)).get_predictions()
    assert answer[0].tolist() == post(flowers_server, "/invocations", split()).json()["predictions"]


def test_version_visitors_and_metrics(flowers_server, flowers_bundle):
    version = httpx.get(f"{flowers_server}/version").json()
    assert version["number"] == "1.2.3" and version["run_id"] == "abc" and version["commit"] == "c0ffee"
    assert version["digest"] == flowers_bundle.digest and set(version["files"]) == {"model.onnx"}
    before = httpx.get(f"{flowers_server}/visitors").json()
    post(flowers_server, "/invocations", split())
    post(flowers_server, "/invocations", "{")
    after = httpx.get(f"{flowers_server}/visitors").json()
    assert after["predictions"] == before["predictions"] + 3 and after["requests"] == before["requests"] + 1
    assert f'version="{version["number"]}"' in httpx.get(f"{flowers_server}/metrics").text


@pytest.mark.parametrize(
    "method, path, status",
    [
        ("GET", "/nothing", 404),
        ("GET", "/%ff%00", 404),
        ("GET", "/v2/models/other", 404),
        ("GET", "/predict", 405),
        ("POST", "/version", 405),
        ("GET", "/ping", 200),
        ("GET", "/health", 200),
        ("GET", "/v2", 200),
        ("GET", "/v2/health/live", 200),
        ("GET", "/v2/models/iris", 200),
        ("GET", "/v2/models/iris/ready", 200),
        ("GET", "/v2/models/iris/versions/1.2.3", 200),
    ],
)
def test_other_paths(flowers_server, method, path, status):
    answer = httpx.request(method, flowers_server + path)
    assert answer.status_code == status
    assert status == 200 or answer.json()["message"]


def test_a_compressed_body_is_415(flowers_server):
    refused = httpx.post(
        f"{flowers_server}/predict", content=b"{}", headers={"content-type": JSON, "content-encoding": "gzip"}
    )
    assert (refused.status_code, refused.json()["field"]) == (415, "content-encoding")


@pytest.mark.parametrize("form", ["onnx", "skops", "pyfunc"])
@pytest.mark.parametrize("which", ["flowers", "numbers"])
def test_v2_answers_the_types_that_it_names(request, tmp_path, which, form):
    bundle = build(request.getfixturevalue(which), tmp_path / "b", which, VERSION, form=form)
    example = from_columns(bundle.signature, [[bundle.example[name]] for name in bundle.signature.names])
    answered = write_infer(load(bundle)(example, None), bundle, "1", None, {})["outputs"]
    described = metadata(bundle)["outputs"]
    assert [(item["name"], item["datatype"]) for item in described] == [(item["name"], item["datatype"]) for item in answered]


@pytest.mark.parametrize(
    "type, value",
    [
        ("datetime", "9999-12-31"),
        ("datetime", "0001-01-01T00:00+14:00"),
        ("datetime", "2262-04-12"),
        ("string", "\ud800"),
        ("double", "1_000"),
        ("double", "٣"),
    ],
)
def test_a_value_that_would_become_another_one_is_refused(type, value):
    with pytest.raises(InvalidRequest, match="row 1"):
        from_columns(Signature((Column("a", type),)), [[None, value]])


def test_moments_are_taken_to_the_edge_of_what_nanoseconds_hold():
    times = ["1677-09-22", "2262-04-11", "2024-05-01T12:00+02:00"]
    (array,) = from_columns(Signature((Column("a", "datetime"),)), [times]).arrays
    assert [str(time)[:16] for time in array] == ["1677-09-22T00:00", "2262-04-11T00:00", "2024-05-01T10:00"]


def test_v2_names_its_tensors_and_its_errors(flowers_server):
    described = httpx.get(f"{flowers_server}/v2/models/iris").json()
    assert [item["name"] for item in described["inputs"]] == NAMES
    inputs = [{"name": name, "shape": [3, 1], "datatype": "FP64", "data": COLUMNS[name]} for name in NAMES]
    answer = post(flowers_server, "/v2/models/iris/infer", json.dumps({"id": "7", "inputs": inputs})).json()
    assert answer["id"] == "7" and answer["model_version"] == "1.2.3"
    assert answer["outputs"][0]["datatype"] == "BYTES" and answer["outputs"][0]["shape"] == [3]
    inputs[1]["shape"] = [4]
    refused = post(flowers_server, "/v2/models/iris/infer", json.dumps({"inputs": inputs}))
    assert refused.status_code == 400 and "sepal_width" in refused.json()["error"]


def test_the_page_of_the_endpoints_describes_each_path_of_the_document(flowers_server):
    page, document = httpx.get(f"{flowers_server}/docs"), httpx.get(f"{flowers_server}/openapi.json").json()
    assert all(f">{path}</" in page.text for path in document["paths"])
    assert all(f"<td>{name}</td><td>double</td>" in page.text for name in NAMES)
    assert (
        html.escape(json.dumps(document["paths"]["/predict"]["post"]["requestBody"]["content"][JSON]["example"])) in page.text
    )
    assert "<script" not in page.text and "default-src 'none'" in page.headers["content-security-policy"]


def test_the_page_shows_what_is_served_and_loads_nothing_from_elsewhere(flowers_server):
    page = httpx.get(flowers_server)
    assert "1.2.3" in page.text and all(f"name='{name}'" in page.text for name in NAMES)
    assert "http://" not in page.text and "https://" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_the_openapi_examples_are_answered(flowers_server):
    document = httpx.get(f"{flowers_server}/openapi.json").json()
    for path, operations in document["paths"].items():
        for media_type, content in operations.get("post", {}).get("requestBody", {}).get("content", {}).items():
            if "example" in content:
                body = content["example"] if media_type == "text/csv" else json.dumps(content["example"])
                assert post(flowers_server, path, body, media_type).status_code == 200, (path, media_type)


@pytest.mark.parametrize("which", ["flowers_server", "numbers_server"])
def test_schemathesis_finds_no_answer_that_the_document_does_not_promise(request, which):
    import schemathesis
    from schemathesis import checks

    address = request.getfixturevalue(which)
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    promised = ["status_code_conformance", "content_type_conformance", "response_schema_conformance"]
    wanted = [checks.not_a_server_error, *checks.CHECKS.get_by_names(promised)]
    typed = [*wanted, *checks.CHECKS.get_by_names(["positive_data_acceptance"])]
    tried = 0
    for result in schema.get_all_operations():
        operation = result.ok()

        @given(case=operation.as_strategy())
        @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        def check(case):
            nonlocal tried
            tried += 1
            case.call_and_validate(checks=typed if case.path == "/predict" else wanted)

        check()
    assert tried > 50


@pytest.mark.parametrize("which", ["flowers_server", "numbers_server"])
def test_schemathesis_gets_a_refusal_for_each_body_that_the_document_forbids(request, which):
    import schemathesis
    from schemathesis import GenerationMode, checks

    address = request.getfixturevalue(which)
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    named = ["status_code_conformance", "response_schema_conformance", "negative_data_rejection"]
    wanted = [checks.not_a_server_error, *checks.CHECKS.get_by_names(named)]
    refused = 0

    @given(case=schema["/predict"]["POST"].as_strategy(generation_mode=GenerationMode.NEGATIVE))
    @settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def check(case):
        nonlocal refused
        refused += case.call_and_validate(checks=wanted).status_code >= 400

    check()
    assert refused > 50
