"""The short way to the model says what the long one says, wherever a request is cut and in whatever company it comes."""

import asyncio
import json
import re
import socket
import time
from dataclasses import replace

import pytest

from mlops.bundle.build import build
from mlops.serving import service
from mlops.serving.fast_path import Batcher
from mlops.serving.model import MAX_BATCH_ROWS
from mlops.serving.settings import Settings
from mlops.serving.signature import InvalidRequest

from .conftest import VERSION, make_candidate, serving
from .pipelines import KINDS, table

NAMES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
ROW = [5.1, 3.5, 1.4, 0.2]
GOOD = json.dumps({"dataframe_split": {"columns": NAMES, "data": [ROW]}})
TYPED = json.dumps({"rows": [dict(zip(NAMES, ROW, strict=True))]})
JSON = [(b"content-type", b"application/json")]
TOKEN = {"authorization": "Bearer secret"}

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def server(flowers_bundle):
    with serving(flowers_bundle.folder, token="secret", max_body_mb=0.01, keep_alive=1, read_timeout=2) as (address, process):
        host, port = address.removeprefix("http://").split(":")
        yield (host, int(port)), process


def request(body=GOOD, path="/invocations", method="POST", version="1.1", **headers):
    """The bytes of a request."""
    given = {"host": "x", "content-type": "application/json", "content-length": str(len(body)), "x-request-id": "r"}
    given |= TOKEN | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}\r\n" for name, value in given.items() if value is not None]
    return f"{method} {path} HTTP/{version}\r\n{''.join(lines)}\r\n{body}".encode()


def chunked(body):
    return "".join(f"{len(part):x}\r\n{part}\r\n" for part in (body[:7], body[7:])) + "0\r\n\r\n"


def exchange(server, *pieces, pause=0.02, answers=1):
    """Send the pieces as packets of their own; returns so many answers, or what comes until the server closes."""
    with socket.create_connection(server[0], timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number, piece in enumerate(pieces):
            if number:
                time.sleep(pause)
            connection.sendall(piece)
        return read(connection, answers)


def read(connection, answers=1):
    content = b""
    while len(ends := list(complete(content))) < answers and (part := connection.recv(65_536)):
        content += part
    assert not ends or ends[-1] == len(content)
    return content


def complete(content):
    """Where each whole answer ends."""
    start = 0
    while (head := re.compile(rb"HTTP/1.1 .*?content-length: (\d+).*?\r\n\r\n", re.S).match(content, start)) and (
        start := head.end() + int(head[1])
    ) <= len(content):
        yield start


CASES = {
    "rows": request(),
    "typed rows": request(TYPED, "/predict"),
    "tensors": request('{"inputs": []}', "/v2/models/flowers/infer"),
    "broken JSON": request("{"),
    "no body": request(""),
    "no token": request(authorization="Bearer wrong"),
    "another content type": request(content_type="text/html"),
    "a body beyond the limit": request(GOOD + " " * 12_000),
    "in chunks": request(chunked(GOOD), content_length=None, transfer_encoding="chunked"),
    "the last of its connection": request(connection="close"),
    "HTTP/1.0": request(version="1.0"),
    "a query": request(path="/invocations?a=b"),
    "another method": request("", method="GET"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_request_in_one_piece_is_answered_like_one_in_two(server, case):
    raw = CASES[case]
    head = raw.index(b"\r\n\r\n") + 4
    whole = exchange(server, raw)
    assert re.match(rb"HTTP/1.1 [245]\d\d ", whole) and b"x-request-id: r\r\n" in whole
    for cut in (9, head - 1, head, min(head + 5, len(raw) - 1)):
        assert exchange(server, raw[:cut], raw[cut:]) == whole


def test_a_client_that_waits_for_continue_gets_it(server):
    head, body = request(expect="100-continue").split(b"\r\n\r\n", 1)
    with socket.create_connection(server[0], timeout=10) as connection:
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")


def test_another_protocol_is_refused_with_the_reason(server):
    for raw in (
        request(connection="upgrade", upgrade="h2c"),
        request("", "/", "GET", connection="upgrade", upgrade="websocket"),
    ):
        head, body = exchange(server, raw).split(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400") and "leave out the header upgrade" in json.loads(body)["message"]


def test_requests_on_one_connection_are_answered_in_their_order(server):
    kinds = [request(x_request_id=f"r{number}") for number in range(12)]
    kinds[3] = request("", "/version", "GET", x_request_id="r3")
    kinds[7] = request("{", x_request_id="r7")
    kinds[8] = request(GOOD + " " * 9_000, x_request_id="r8")
    stream = b"".join(kinds)
    for size in (len(stream), 700, 97):
        replies = exchange(
            server, *(stream[start : start + size] for start in range(0, len(stream), size)), pause=0.001, answers=12
        )
        assert re.findall(rb"x-request-id: (\w+)", replies) == [b"r%d" % number for number in range(12)]
        assert replies.count(b"HTTP/1.1 200") == 11 and replies.count(b"HTTP/1.1 400") == 1


@pytest.mark.parametrize("pieces", [1, 2])
def test_a_client_that_sends_no_more_still_gets_its_answer(server, pieces):
    raw = request()
    with socket.create_connection(server[0], timeout=10) as connection:
        for start in range(0, len(raw), -(-len(raw) // pieces)):
            connection.sendall(raw[start : start - (-len(raw) // pieces)])
            time.sleep(0.02)
        connection.shutdown(socket.SHUT_WR)
        assert read(connection).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("cut", [20, -5])
def test_a_client_that_stops_in_the_middle_gets_an_answer(server, cut):
    with socket.create_connection(server[0], timeout=10) as connection:
        connection.sendall(request()[:cut])
        time.sleep(0.02)
        connection.shutdown(socket.SHUT_WR)
        head, body = read(connection).split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400") and json.loads(body)["error_code"] == "BAD_REQUEST"


def test_an_idle_connection_is_closed_and_one_in_use_is_not(server):
    with socket.create_connection(server[0], timeout=10) as connection:
        for _ in range(6):  # together longer than keep_alive
            connection.sendall(request())
            assert read(connection).startswith(b"HTTP/1.1 200")
            time.sleep(0.25)
        assert connection.recv(1000) == b""


def test_both_ways_are_counted_and_logged_alike(server):
    _, process = server
    raw = request(x_request_id="counted")
    before = counted(server)
    exchange(server, raw)
    exchange(server, raw[:30], raw[30:])
    assert counted(server) == before + 2
    lines = []
    deadline = time.monotonic() + 10  # the log is written several times a second
    while len(lines) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
        lines = [line for line in map(json.loads, list(process.lines)) if line["request"] == "counted"]
    first, second = ({**line, "time": "", "ms": 0} for line in lines)
    assert first == second and first["rows"] == 1 and first["status"] == 200


def counted(server):
    replies = exchange(server, request("", "/visitors", "GET"))
    return json.loads(replies.split(b"\r\n\r\n")[1])["predictions"]


class Wire:
    """A connection that keeps what is sent to it."""

    def __init__(self):
        self.sent = []

    def reply(self, content, last):
        head, body = content.split(b"\r\n\r\n")
        self.sent.append((int(head[9:12]), json.loads(body)))


@pytest.fixture
def batcher(flowers_bundle):
    """A batcher whose model notes how many rows it is asked for at once, and fails where a sepal is 6 cm wide."""
    state = service.create(flowers_bundle.folder, Settings(access_log=False))
    service.start(state)
    assert state.batchable
    model, calls = state.scorer.predict, []

    def predict(rows, params):
        calls.append(rows.count)
        if 6 in rows.matrix[:, 1]:
            raise InvalidRequest("too wide") if rows.count == 1 else ValueError("nothing for anybody")
        return model(rows, params)

    state.scorer = replace(state.scorer, predict=predict)
    batcher = Batcher(state)
    batcher.calls = calls
    return batcher


def take(batcher, *bodies, alone=False):
    """Let the batcher take bodies in one turn of an event loop; returns what each connection got."""

    async def turn():
        wires = [Wire() for _ in bodies]
        for wire, body in zip(wires, bodies, strict=True):
            batcher.take(wire, b"/invocations", JSON, body.encode(), False, alone)
        if not alone and sum(map(len, bodies)) < 1_000:
            assert not any(wire.sent for wire in wires)
        await asyncio.sleep(0)
        return [wire.sent for wire in wires]

    return asyncio.run(turn())


def split(*rows):
    return json.dumps({"dataframe_split": {"columns": NAMES, "data": rows}})


FLOWERS = [[[5.1, 3.5, 1.4, 0.2]], [[6.3, 2.9, 5.6, 1.8], [5.1, 3.5, 1.4, 0.2]], [[5.9, 2.8, 4.3, 1.3]]]


def test_requests_of_one_turn_are_scored_in_one_call_and_each_gets_its_own_rows(batcher):
    one_by_one = [take(batcher, split(*rows), alone=True) for rows in FLOWERS]
    assert batcher.calls == [1, 2, 1]
    replies = take(batcher, *(split(*rows) for rows in FLOWERS))
    assert batcher.calls[3:] == [4]
    assert [[answer] for answer in replies] == one_by_one
    assert [len(content["predictions"]) for ((_, content),) in replies] == [1, 2, 1]
    assert batcher.service.predictions == 8


def test_a_request_at_fault_spoils_no_other_of_its_turn(batcher):
    replies = take(batcher, split(ROW), "{", split([5, 6, 1, 1]), split(ROW))
    assert [status for ((status, _),) in replies] == [200, 400, 400, 200]
    assert "too wide" in replies[2][0][1]["message"]
    assert batcher.calls == [3, 1, 1, 1]


def test_a_log_that_cannot_be_written_keeps_nobody_waiting(batcher, capfd):
    def broken(*request):
        raise BrokenPipeError("nobody reads")

    batcher.service.note = broken
    assert [status for ((status, _),) in take(batcher, split(ROW), split(ROW))] == [200, 200]
    assert "BrokenPipeError" in capfd.readouterr().err


def test_a_bundle_that_does_not_allow_it_is_asked_for_each_request(batcher):
    batcher.service.batchable = False
    batcher.take(Wire(), b"/invocations", [], b"", False, False)
    batcher.take(Wire(), b"/invocations", JSON, split(ROW).encode(), False, False)
    batcher.take(Wire(), b"/invocations", JSON, split(ROW).encode(), False, False)
    assert batcher.calls == [1, 1]


def test_a_long_turn_is_answered_in_parts_of_so_many_rows_as_were_tried(batcher):
    replies = take(
        batcher, *[split(ROW)] * (MAX_BATCH_ROWS - 1), split(ROW, ROW), split(*[ROW] * (MAX_BATCH_ROWS + 1)), split(ROW)
    )
    assert batcher.calls == [MAX_BATCH_ROWS - 1, 2, MAX_BATCH_ROWS + 1, 1]
    assert [len(content["predictions"]) for ((_, content),) in replies[-3:]] == [2, MAX_BATCH_ROWS + 1, 1]


def test_clients_that_ask_at_once_get_the_answers_that_they_get_alone(server):
    bodies = [split([4 + number / 10, 3, 1 + number / 7, 0.2]) for number in range(24)] + ["{", GOOD]
    alone = [exchange(server, request(body)) for body in bodies]
    connections = [socket.create_connection(server[0], timeout=10) for _ in bodies]
    try:
        for _ in range(20):
            for connection, body in zip(connections, bodies, strict=True):
                connection.sendall(request(body))
            assert [read(connection) for connection in connections] == alone
    finally:
        for connection in connections:
            connection.close()


def test_requests_with_texts_are_scored_in_one_call_too(tmp_path):
    frame, targets = table(300, seed=1)
    kind = KINDS["one-hot drop first, ridge"]
    bundle = build(
        make_candidate(tmp_path, kind.make(), frame[kind.columns], targets[kind.target]), tmp_path / "b", "kind", VERSION
    )
    state = service.create(bundle.folder, Settings(access_log=False))
    service.start(state)
    model, calls = state.scorer.predict, []
    state.scorer = replace(state.scorer, predict=lambda rows, params: (calls.append(rows.count), model(rows, params))[1])
    bodies = [frame[kind.columns][start : start + 2].to_json(orient="split", index=False) for start in range(0, 20, 2)]
    bodies = [f'{{"dataframe_split": {body}}}' for body in bodies]
    alone = [take(Batcher(state), body, alone=True) for body in bodies]
    assert calls == [2] * 10
    assert [[answer] for answer in take(Batcher(state), *bodies)] == alone
    assert calls[10:] == [16, 4]
