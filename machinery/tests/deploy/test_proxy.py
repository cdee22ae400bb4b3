"""The proxy alone, before two services that fail in one way each: what one leaves unanswered the other one is asked."""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

import pytest
from host import HERE, ROOT

from mlops.deploy import proxy_container
from mlops.deploy.docker import HARDENED
from mlops.deploy.proxy import SLOTS, Proxy
from mlops.deploy.targets import DeployFailed

pytestmark = pytest.mark.docker
PYTHON = "python:3.12-slim"
ROW = b'{"rows": [1]}'
# Healthy both; how blue ends at a POST stands in the request. The kernel resets the connection of a process that ends with a
# request unread (RFC 1122, 4.2.2.13), and so it does with SO_LINGER of 0 s.
SERVICE = """
import http.server, os, socket, struct, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def reply(self, body):
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.reply(b"ready")
    def do_POST(self):
        how = self.headers["x-how"] if sys.argv[1] == "blue" else "answer"
        body = b"" if how == "unread" else self.rfile.read(int(self.headers["content-length"]))
        if how == "answer":
            return self.reply(body)
        if how == "hang":
            time.sleep(600)
        if how == "half":
            self.wfile.write(b"HTTP/1.1 200 OK\\r\\ncontent-le")
        if how in ("reset", "unread"):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os._exit(3)
http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""


class Places(NamedTuple):
    """A proxy with its published port; its green service answers, its blue one, which leads, as a request says."""

    front: Proxy
    port: int

    def predict(self, how: str, pause: float = 0) -> tuple[int, dict]:
        """Post a row as a client does, `pause` seconds between its head and its body: status and answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        for each in ("answer", how):  # a connection that is kept, as clients have it
            connection.putrequest("POST", "/predict")
            connection.putheader("x-how", each)
            connection.putheader("content-length", str(len(ROW)))
            connection.endheaders()
            time.sleep(pause)
            with suppress(ConnectionError):  # the proxy may have refused the head already
                connection.send(ROW)
            answer = connection.getresponse()
            status, content = answer.status, json.loads(answer.read() or b"{}")
        connection.close()
        return status, content


@pytest.fixture(scope="module")
def places() -> Iterator[Places]:
    name = f"mlops-test-proxy-{os.getpid()}"
    image = proxy_container.image(HERE, ROOT)
    HERE("network", "create", name)
    try:
        common = ("run", "--detach", "--network", name, *HARDENED)
        for slot in SLOTS:
            HERE(*common, "--name", f"{name}-{slot}", "--network-alias", slot, PYTHON, "python", "-c", SERVICE, slot)
        HERE(*common, "--name", name, "--publish", "127.0.0.1::8080", image)
        front = Proxy(HERE, name)
        proxy_container.wait_for_socket(front)
        yield Places(front, int(HERE("port", name, "8080/tcp").rpartition(":")[2]))
    finally:
        HERE.remove(name, *(f"{name}-{slot}" for slot in SLOTS))
        HERE.run("network", "rm", name)


@pytest.fixture
def leading(places: Places) -> Places:
    """Both services are up, and blue leads."""
    for slot in SLOTS:
        try:
            bring_up(places.front, slot, seconds=5)
        except DeployFailed:  # Docker took a container whose process had just ended for running, and started nothing
            bring_up(places.front, slot)
    places.front.route_to("blue")
    return places


def bring_up(front: Proxy, slot: str, seconds: float = 15) -> None:
    """Start a service that has ended, and wait until the proxy finds it."""
    HERE("start", f"{front.name}-{slot}")
    details = HERE.inspect(f"{front.name}-{slot}") or {}
    front.enable(slot)
    front.wait_up(slot, details["NetworkSettings"]["Networks"][front.name]["IPAddress"], seconds)


@pytest.mark.parametrize("pause", [0, 0.3], ids=["at once", "its body comes later"])
@pytest.mark.parametrize("how", ["close", "reset", "unread", "half"])
def test_a_request_that_a_service_leaves_without_an_answer_is_answered_by_the_other_one(
    leading: Places, how: str, pause: float
) -> None:
    assert leading.predict(how, pause) == (200, {"rows": [1]})


@pytest.mark.parametrize("head", [{}, {"expect": "100-continue"}], ids=["sent at once", "announced"])
def test_a_request_that_is_larger_than_what_the_proxy_keeps_is_answered(leading: Places, head: dict) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", leading.port, timeout=20)
    body = json.dumps({"rows": ["x" * 2**21]}).encode()
    connection.request("POST", "/predict", body, {"x-how": "answer", **head})
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, body)


def test_a_request_that_hangs_is_answered_by_the_other_one_when_its_service_is_left(leading: Places) -> None:
    answers: list[tuple[int, dict]] = []
    waiting = threading.Thread(target=lambda: answers.append(leading.predict("hang")))
    waiting.start()
    time.sleep(1)
    assert not answers
    leading.front.route_to("green")
    leading.front.disable("blue")
    leading.front.abandon("blue")
    waiting.join(10)
    assert answers == [(200, {"rows": [1]})]
