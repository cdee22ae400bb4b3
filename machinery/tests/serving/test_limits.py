"""What protects a server: sizes, times, places, the token, the logs, and a stop that finishes what it took."""

import asyncio
import json
import signal
import socket
import threading
import time

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from mlops.errors import ConfigError
from mlops.scoring import serving_commands
from mlops.serving import app, prediction_log, service
from mlops.serving.settings import Settings, from_environment
from mlops.serving.signature import from_matrix

from .conftest import serving

pytestmark = pytest.mark.servers

NAMES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
ROW = [5.1, 3.5, 1.4, 0.2]
BODY = json.dumps({"dataframe_split": {"columns": NAMES, "data": [ROW]}})
JSON = {"content-type": "application/json"}


def ask(address, body=BODY, **headers):
    return httpx.post(f"{address}/invocations", content=body, headers=JSON | headers)


def connect(address):
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


@pytest.fixture(scope="module")
def small(flowers_bundle):
    """A server with narrow limits."""
    with serving(
        flowers_bundle.folder, max_body_mb=0.01, max_rows=50, read_timeout=0.5, token="secret", connections=20
    ) as server:
        yield server[0]


TOKEN = {"authorization": "Bearer secret"}


def test_the_token_is_asked_for_everywhere_but_at_the_probes(small):
    assert ask(small).status_code == 401
    assert ask(small, authorization="Bearer secreT").status_code == 401
    assert ask(small, **TOKEN).status_code == 200
    assert httpx.get(f"{small}/version").headers["www-authenticate"] == "Bearer"
    assert [
        httpx.get(f"{small}{path}").status_code for path in ("/health", "/ping", "/v2/health/ready", "/v2/health/live")
    ] == [200] * 4


def test_a_large_body_is_413_whether_it_says_so_or_not(small):
    assert ask(small, b" " * 20_000, **TOKEN).status_code == 413

    def pieces():
        for _ in range(30):
            yield b" " * 1_000

    assert ask(small, pieces(), **TOKEN).status_code == 413


def test_a_gigabyte_is_refused_by_its_head(small):
    with connect(small) as connection:
        head = "POST /invocations HTTP/1.1\r\nhost: x\r\nauthorization: Bearer secret\r\ncontent-length: 1000000000\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 413")


def test_too_many_rows_are_413(small):
    body = json.dumps({"dataframe_split": {"columns": NAMES, "data": [ROW] * 51}})
    answer = ask(small, body, **TOKEN)
    assert answer.status_code == 413 and "51 rows" in answer.json()["message"]


def test_a_body_that_does_not_arrive_is_408_and_the_next_client_is_served(small):
    with connect(small) as connection:
        connection.sendall(
            b"POST /invocations HTTP/1.1\r\nhost: x\r\nauthorization: Bearer secret\r\ncontent-length: 100\r\n\r\n{"
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 408")
    assert ask(small, **TOKEN).status_code == 200


def test_a_head_that_trickles_is_cut_off(small):
    with connect(small) as connection:
        started = time.monotonic()
        with pytest.raises((ConnectionError, TimeoutError)):
            connection.sendall(b"POST /invocations HTTP/1.1\r\n")
            for _ in range(60):
                connection.sendall(b"x-slow: 1\r\n")
                time.sleep(0.1)
        assert time.monotonic() - started < 3


def test_a_head_without_end_is_431(small):
    with connect(small) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nx: ")
        connection.sendall(b"a" * 70_000)
        assert connection.recv(1000).startswith(b"HTTP/1.1 431")


def test_what_is_not_http_is_one_json_object(small):
    with connect(small) as connection:
        connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        head, body = connection.recv(1000).split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400") and json.loads(body)["error_code"] == "BAD_REQUEST"


def test_connections_beyond_the_limit_are_closed(small):
    connections = [connect(small) for _ in range(25)]
    try:
        time.sleep(0.2)
        closed = sum(_closed(connection) for connection in connections)
        assert closed >= 5
    finally:
        for connection in connections:
            connection.close()
    time.sleep(0.1)
    assert ask(small, **TOKEN).status_code == 200


def _closed(connection):
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_one_request_too_many_is_429_with_retry_after(flowers_bundle):
    with serving(flowers_bundle.folder, concurrency=1, read_timeout=5) as (address, _):
        with connect(address) as connection:
            connection.sendall(b"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
            time.sleep(0.2)
            answer = ask(address)
            assert answer.status_code == 429 and answer.headers["retry-after"] == "1"
            assert httpx.get(f"{address}/health").status_code == 200
        time.sleep(0.2)
        assert ask(address).status_code == 200


SLOW = """
import time
import mlflow.pyfunc

class Slow(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        if model_input["wait"].max() < 0:
            raise KeyError("secret-value")
        time.sleep(float(model_input["wait"].max()))
        return model_input["wait"].to_numpy()

mlflow.models.set_model(Slow())
"""


@pytest.fixture(scope="module")
def slow_bundle(tmp_path_factory):
    """A model that takes as long as its input says, from code and not from a pickle."""
    import mlflow.pyfunc
    import pandas as pd
    from mlflow.models import infer_signature

    from mlops.bundle.build import build

    folder = tmp_path_factory.mktemp("slow")
    (folder / "slow.py").write_text(SLOW)
    frame = pd.DataFrame({"wait": [0.0, 0.01]})
    mlflow.pyfunc.save_model(
        folder / "model",
        python_model=str(folder / "slow.py"),
        signature=infer_signature(frame, frame["wait"].to_numpy()),
        pip_requirements=["mlflow"],
    )
    frame.assign(__prediction__=frame["wait"]).to_parquet(folder / "holdout.parquet")
    bundle = build(folder, folder / "bundle", "slow", {"number": "1.0.0"}, allow_pickle=True)
    assert bundle.format == "pyfunc" and not bundle.content["pyfunc"]["pickle"]
    return bundle


def wait(address, seconds):
    body = json.dumps({"dataframe_split": {"columns": ["wait"], "data": [[seconds]]}})
    return httpx.post(f"{address}/invocations", content=body, headers=JSON, timeout=20)


def test_a_slow_prediction_is_504_and_keeps_its_place_until_it_ends(slow_bundle):
    with serving(slow_bundle.folder, allow_pickle="true", timeout=0.3, concurrency=1) as (address, process):
        assert wait(address, 1.0).status_code == 504
        assert wait(address, 0.0).status_code == 429
        time.sleep(1.0)
        assert wait(address, 0.0).status_code == 200
        answer = wait(address, -1.0)
        assert answer.status_code == 500 and "secret-value" not in answer.text


def test_sigterm_finishes_what_was_taken(slow_bundle):
    with serving(slow_bundle.folder, allow_pickle="true", drain=4) as (address, process):
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(wait(address, 3.0).status_code)) for _ in range(2)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        assert httpx.get(f"{address}/v2/health/ready").status_code == 503
        assert wait(address, 0.0).headers["connection"] == "close"
        for thread in threads:
            thread.join()
        assert answers == [200, 200]
        assert process.wait(20) == 0


def test_sigterm_under_load_loses_no_request_that_was_read(flowers_bundle):
    """Every request in the server's log has its answer at the client; refused connections were never taken."""
    with serving(flowers_bundle.folder, drain=0.5) as (address, process):
        answered, failed = asyncio.run(_load(address, process))
        assert process.wait(30) == 0
        process.reader.join(5)
    taken = {line["request"] for line in map(json.loads, process.lines) if line["path"] == "/invocations"}
    assert taken == answered
    assert all(isinstance(error, httpx.ConnectError | httpx.ReadError | httpx.RemoteProtocolError) for error in failed)


async def _load(address, process):
    answered, failed, over = set(), [], asyncio.Event()

    async def client(number):
        async with httpx.AsyncClient() as session:
            for count in range(100_000):
                name = f"c{number}-{count}"
                try:
                    headers = JSON | {"x-request-id": name}
                    answer = await session.post(f"{address}/invocations", content=BODY, headers=headers)
                except httpx.TransportError as error:
                    failed.append(error)
                    if over.is_set():
                        return
                else:
                    assert answer.status_code == 200 and answer.headers["x-request-id"] == name
                    answered.add(name)

    clients = [asyncio.create_task(client(number)) for number in range(8)]
    while len(answered) < 200:
        await asyncio.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    await asyncio.sleep(0.7)
    over.set()
    await asyncio.gather(*clients)
    return answered, failed


def test_logs_have_one_json_line_a_request_and_no_payload(flowers_bundle):
    with serving(flowers_bundle.folder) as (address, process):
        ask(address, **{"x-request-id": "mine"})
        ask(address, BODY.replace("5.1", '"hidden"'))
        httpx.get(f'{address}/"quoted"')
    process.reader.join(5)
    lines = [json.loads(line) for line in process.lines]
    assert [line["status"] for line in lines] == [200, 400, 404]
    assert lines[0]["request"] == "mine" and lines[0]["rows"] == 1 and lines[0]["ms"] > 0
    assert "hidden" not in "".join(process.lines)


def test_the_prediction_log_has_rows_and_outputs_but_no_personal_column(numbers_bundle, tmp_path):
    body = json.dumps({"dataframe_split": {"columns": ["size", "speed", "doors"], "data": [[1.0, 77.125, 3], [None, 1.0, 4]]}})
    with serving(numbers_bundle.folder, prediction_log=tmp_path / "log") as (address, _):
        predictions = ask(address, body, **{"x-request-id": "r1"}).json()["predictions"]
    lines = [json.loads(line) for line in (tmp_path / "log" / "numbers.jsonl").read_text().splitlines()]
    assert [line["prediction"] for line in lines] == predictions
    assert [line["inputs"] for line in lines] == [{"size": 1.0, "doors": 3}, {"size": None, "doors": 4}]
    assert {(line["request"], line["version"]) for line in lines} == {("r1", "1.2.3")}


def test_the_prediction_log_is_sampled_and_rotated(flowers_bundle, tmp_path):
    settings = {"prediction_log": tmp_path, "prediction_file_mb": 0.002, "prediction_files": 2, "prediction_sample": 0.5}
    with serving(flowers_bundle.folder, **settings) as (address, _):
        with httpx.Client() as session:
            for _ in range(100):
                session.post(f"{address}/invocations", content=BODY, headers=JSON)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["iris.jsonl", "iris.jsonl.1", "iris.jsonl.2"]
    assert all(path.stat().st_size <= 2_500 for path in tmp_path.iterdir())


def test_a_prediction_log_that_cannot_be_written_is_counted_and_shows_no_value(flowers_bundle, tmp_path):
    (tmp_path / "iris.jsonl").symlink_to("/dev/full")
    with serving(flowers_bundle.folder, prediction_log=tmp_path) as (address, process):
        assert [ask(address).status_code for _ in range(3)] == [200, 200, 200]
        deadline = time.monotonic() + 10
        while "mlops_prediction_log_dropped_total 3.0" not in httpx.get(f"{address}/metrics").text:
            assert time.monotonic() < deadline
    stderr = process.stderr.read()
    assert process.returncode == 0 and stderr.count("cannot be written: No space left on device") == 1
    assert len(stderr.splitlines()) == 1 and "5.1" not in stderr


def test_what_the_prediction_log_took_is_written_when_it_closes(flowers_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(prediction_log, "BACKLOG", 4)
    dropped = []
    rows = from_matrix(flowers_bundle.signature, np.tile(ROW, (5_000, 1)))
    write, close = prediction_log.open_log(flowers_bundle, Settings(prediction_log=str(tmp_path)), lambda: dropped.append(1))
    for number in range(8):
        write(str(number), rows, np.full(5_000, "setosa"), {})
    close()
    lines = (tmp_path / "iris.jsonl").read_text().splitlines()
    assert dropped and len(lines) == (8 - len(dropped)) * 5_000


def test_a_request_before_the_model_is_loaded_is_asked_to_come_again(flowers_bundle):
    state = service.create(flowers_bundle.folder, Settings(access_log=False))
    transport = httpx.ASGITransport(app.create(state))

    async def post():
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.post("/predict", content="{}", headers=JSON), await client.get("/ping")

    early, probe = asyncio.run(post())
    assert (early.status_code, early.headers["retry-after"], probe.status_code) == (503, "1", 503)
    service.start(state)
    early, probe = asyncio.run(post())
    assert (early.status_code, probe.status_code) == (400, 200)


def test_the_port_comes_from_the_variable_where_none_is_given(monkeypatch, tmp_path):
    taken = []
    monkeypatch.setattr("mlops.serving.run.run", lambda folder, settings: taken.append(settings.port))
    monkeypatch.setenv("MLOPS_SERVE_PORT", "18091")
    for options in ([], ["--port", "0"]):
        assert CliRunner().invoke(serving_commands.app, ["serve", "--bundle", str(tmp_path), *options]).exit_code == 0
    assert taken == [18091, 0]


WRONG = [("PORT", "x"), ("PROT", "1"), ("TIMEOUT", "-1"), ("ACCESS_LOG", "maybe"), ("TIMEOUT", "inf"), ("PORT", "70000")]
WRONG += [("THREADS", "100000"), ("MAX_ROWS", "0"), ("PREDICTION_FILES", "0"), ("PREDICTION_SAMPLE", "2")]


@pytest.mark.parametrize("name, value", WRONG)
def test_a_wrong_variable_is_named(monkeypatch, name, value):
    monkeypatch.setenv(f"MLOPS_SERVE_{name}", value)
    with pytest.raises(ConfigError, match=f"MLOPS_SERVE_{name}"):
        from_environment()


def test_a_token_file_is_read_and_an_empty_one_refused(tmp_path):
    (tmp_path / "token").write_text("abc\n")
    assert Settings(token_file=str(tmp_path / "token")).secret == b"abc"
    (tmp_path / "token").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        assert Settings(token_file=str(tmp_path / "token")).secret
    (tmp_path / "token").write_text("")
    with pytest.raises(ConfigError, match="empty"):
        assert Settings(token_file=str(tmp_path / "token")).secret
