"""The Open Inference Protocol as its clients speak it: no content type, chosen outputs, `error` in each fault."""

import json
import urllib.error
import urllib.request

import httpx
import numpy as np
import pytest

INFER = "/v2/models/iris/infer"


def request_of(bundle, **more):
    inputs = [
        {"name": name, "datatype": "FP64", "shape": [1], "data": [value]} | more.get(name, {})
        for name, value in bundle.example.items()
    ]
    return {"inputs": inputs}


def test_json_without_a_content_type_is_answered(flowers_server, flowers_bundle):
    body = json.dumps(request_of(flowers_bundle)).encode()
    answer = httpx.post(f"{flowers_server}{INFER}", content=body)
    assert "content-type" not in answer.request.headers
    assert answer.status_code == 200
    assert answer.json()["outputs"][0]["name"] == "predictions"


def test_a_request_chooses_its_outputs(flowers_server, flowers_bundle):
    request = request_of(flowers_bundle) | {"outputs": [{"name": "predictions", "parameters": {"binary_data": False}}]}
    assert [output["name"] for output in httpx.post(f"{flowers_server}{INFER}", json=request).json()["outputs"]] == [
        "predictions"
    ]
    wrong = httpx.post(f"{flowers_server}{INFER}", json=request_of(flowers_bundle) | {"outputs": [{"name": "classes"}]})
    assert wrong.status_code == 400 and "predictions" in wrong.json()["error"]


@pytest.mark.parametrize(
    "change",
    [{"datatype": "INT64", "data": [1.5]}, {"datatype": "UINT8", "data": [-1]}, {"datatype": "INT8", "data": [200]}],
)
def test_data_that_are_not_of_the_datatype_are_refused(flowers_server, flowers_bundle, change):
    answer = httpx.post(f"{flowers_server}{INFER}", json=request_of(flowers_bundle, sepal_length=change))
    assert answer.status_code == 400
    assert "'sepal_length'" in answer.json()["error"] and change["datatype"] in answer.json()["error"]


@pytest.mark.parametrize(
    "headers",
    [{"inference-header-content-length": "10"}, {"content-type": "application/octet-stream"}],
)
def test_binary_tensors_are_refused_in_one_line(flowers_server, headers):
    head = b'{"inputs":[{"name":"sepal_length","shape":[1],"datatype":"FP64","parameters":{"binary_data_size":8}}]}'
    answer = httpx.post(f"{flowers_server}{INFER}", content=head + np.float64(5).tobytes(), headers=headers)
    assert answer.status_code == 415
    assert "binary_data=False" in answer.json()["error"] and "\n" not in answer.json()["error"]


@pytest.mark.parametrize(
    "path,method",
    [("/v2/models/other", "GET"), ("/v2/models/other/infer", "POST"), (INFER, "GET"), ("/v2/nothing", "GET"), (INFER, "POST")],
)
def test_each_fault_has_an_error(flowers_server, path, method):
    sent = urllib.request.Request(f"{flowers_server}{path}", b"{}" if method == "POST" else None, method=method)
    with pytest.raises(urllib.error.HTTPError) as fault:
        urllib.request.urlopen(sent)
    content = json.loads(fault.value.read())
    assert 400 <= fault.value.code < 500 and content["error"] == content["message"]


def test_tritonclient_is_answered(flowers_server, flowers_bundle):
    """With the client itself where it is installed: pip install tritonclient geventhttpclient."""
    triton = pytest.importorskip("tritonclient.http")
    client = triton.InferenceServerClient(flowers_server.removeprefix("http://"))
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("iris")
    assert client.get_model_metadata("iris")["outputs"][0]["name"] == "predictions"
    inputs = []
    for name, value in flowers_bundle.example.items():
        tensor = triton.InferInput(name, [1], "FP64")
        tensor.set_data_from_numpy(np.array([value]), binary_data=False)
        inputs.append(tensor)
    wanted = [triton.InferRequestedOutput("predictions", binary_data=False)]
    for outputs in (None, wanted):
        answer = client.infer("iris", inputs, outputs=outputs)
        assert answer.as_numpy("predictions").tolist() == [flowers_bundle.content["example_prediction"]]
    inputs[0].set_data_from_numpy(np.array([5.0]), binary_data=True)
    with pytest.raises(triton.InferenceServerException, match="binary_data=False"):
        client.infer("iris", inputs)
