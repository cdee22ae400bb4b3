"""`mlops client`: rows as a server takes them, and one line for what cannot be sent or is no answer of `mlops serve`."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import numpy as np
import pytest

from mlops.bundle.build import build
from mlops.errors import MlopsError, UserError
from mlops.scoring.client import ask, score_file

from .conftest import VERSION, labelled, make_candidate, serving

VERSION_SAID = {"use_case": "iris", "number": "1.2.3"}
INPUTS = {"inputs": [{"name": "code", "datatype": "BYTES"}]}


@pytest.fixture
def server():
    """The address of a server that answers as it is set to: path → JSON value, or bytes as they stand."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            content = answers.get(self.path, b"hello")
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content if isinstance(content, bytes) else json.dumps(content).encode())

        do_POST = do_GET

        def log_message(self, *_):
            """Keep the test's output clean."""

    answers = {}
    http = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{http.server_address[1]}", answers
    http.shutdown()
    http.server_close()
    thread.join()


@pytest.mark.parametrize(
    "url", ["http://localhost:abc", "http://local host:80", "http://[::1", "http://a..b", "http://x/\u20ac"]
)
def test_an_address_that_cannot_be_asked_is_a_user_error(url):
    with pytest.raises(UserError, match="no address that takes requests .*; correct --url"):
        ask(f"{url}/version")


@pytest.mark.parametrize("token", ["\u20ac", "a\nb", "a\r\nx-more: 1"])
def test_a_token_that_no_header_holds_is_a_user_error_and_is_not_shown(token):
    with pytest.raises(UserError, match="the token has a character that no HTTP header holds") as refused:
        ask("http://127.0.0.1:9", token)
    assert token not in str(refused.value)


def test_an_answer_that_is_not_http_is_one_line(monkeypatch):
    import http.client
    import urllib.request

    def broken(*_, **__):
        raise http.client.BadStatusLine("SSH-2.0")

    monkeypatch.setattr(urllib.request, "urlopen", broken)
    with pytest.raises(MlopsError, match="does not answer .*SSH-2.0"):
        ask("http://127.0.0.1:22")


@pytest.mark.parametrize(
    "changed",
    [
        {"/version": b"1.2.3"},
        {"/version": {"version": "1.2.3"}},
        {"/version": ["1.2.3"]},
        {"/v2/models/iris": {"inputs": ["code"]}},
        {"/v2/models/iris": b"\xff"},
        {"/invocations": {"answer": 1}},
        {"/invocations": {"predictions": 1}},
        {"/invocations": {"predictions": [1, 2]}},
    ],
)
def test_another_server_is_a_user_error_that_names_the_address(server, changed, tmp_path):
    url, answers = server
    answers |= {"/version": VERSION_SAID, "/v2/models/iris": INPUTS, "/invocations": {"predictions": [1]}}
    (tmp_path / "rows.csv").write_text("code\n00123\n")
    assert score_file(url, tmp_path / "rows.csv", None, "")["predictions"] == [1]
    answers |= changed
    with pytest.raises(UserError, match=f"{url}{next(iter(changed))}: another answer than that of mlops serve"):
        score_file(url, tmp_path / "rows.csv", None, "")


@pytest.mark.parametrize("columns", [["code"], ["code", "code"]])
def test_rows_that_cannot_be_sent_are_a_user_error_that_names_the_column(server, columns, tmp_path):
    url, answers = server
    answers |= {"/version": VERSION_SAID, "/v2/models/iris": INPUTS}
    rows = {"columns": columns, "data": [[1] * len(columns), ["x"] * len(columns)]}
    (tmp_path / "rows.json").write_text(json.dumps({"dataframe_split": rows}))
    with pytest.raises(UserError, match="rows.json: .*code.*; write all values of a column alike"):
        score_file(url, tmp_path / "rows.json", None, "")


def test_a_column_of_text_that_looks_like_numbers_is_scored_as_the_server_reads_the_same_file(tmp_path):
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame, species = labelled()
    frame = frame[["sepal_length"]].assign(code=np.where(frame["petal_width"] > 1, "00123", "7"))
    columns = make_column_transformer((StandardScaler(), ["sepal_length"]), (OneHotEncoder(), ["code"]))
    candidate = make_candidate(tmp_path / "made", make_pipeline(columns, LogisticRegression()), frame, species)
    bundle = build(candidate, tmp_path / "bundle", "codes", VERSION)
    frame.to_csv(tmp_path / "rows.csv", index=False)
    with serving(bundle.folder) as (address, _):
        headers = {"content-type": "text/csv"}
        wanted = httpx.post(f"{address}/invocations", content=(tmp_path / "rows.csv").read_bytes(), headers=headers).json()
        assert score_file(address, tmp_path / "rows.csv", tmp_path / "out.csv", "")["predictions"] == wanted["predictions"]
    assert ",00123," in (tmp_path / "out.csv").read_text()


def test_the_client_waits_until_somebody_listens_and_the_model_is_loaded(tmp_path):
    (tmp_path / "rows.csv").write_text("code\nx\n")
    pings = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.rfile.read(int(self.headers.get("content-length", 0)))
            pings.append(self.path)
            loading = self.path == "/ping" and pings.count("/ping") < 3
            answers = {"/version": VERSION_SAID, "/v2/models/iris": INPUTS, "/invocations": {"predictions": [1]}}
            self.send_response(503 if loading else 200)
            self.end_headers()
            self.wfile.write(json.dumps(answers.get(self.path, {"message": "not loaded"})).encode())

        do_POST = do_GET

        def log_message(self, *_):
            """Keep the test's output clean."""

    http = HTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
    http.server_bind()
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    start = threading.Timer(0.5, lambda: (http.server_activate(), thread.start()))
    start.start()
    try:
        url = f"http://127.0.0.1:{http.server_address[1]}"
        assert score_file(url, tmp_path / "rows.csv", None, "", wait=20)["predictions"] == [1]
        assert pings.count("/ping") == 3
    finally:
        start.join()
        http.shutdown()
        http.server_close()


def test_serving_without_its_packages_says_what_to_run(monkeypatch):
    from mlops.scoring import serving_commands

    monkeypatch.setattr(serving_commands, "PACKAGES", ("json", "a_package_that_is_missing"))
    with pytest.raises(UserError, match="a_package_that_is_missing: not installed, .*; run: make setup"):
        serving_commands.serve("iris", "", "", None, "", "")
