"""The short way: small requests that arrived whole are answered without a task of the event loop.

Where several clients ask at once, what arrived in one turn of the event loop is scored in one call of the model: much of the
time of a row is what it takes to call the model at all. Nobody waits for that, and it is done only where the bundle has proved
that a row's answer does not depend on its batch (`batchable` in the manifest).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

import numpy as np
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from mlops.serving import replies
from mlops.serving.model import MAX_BATCH_ROWS, Outputs
from mlops.serving.replies import Reply
from mlops.serving.scoring import ParsedRequest, Scorer, answer, predict, read
from mlops.serving.service import Service, count
from mlops.serving.signature import InvalidRequest, Rows

LARGEST = 16_384  # bytes of a body up to which an ONNX model answers on the event loop: less than a thread's hand-over
Headers = list[tuple[bytes, bytes]]


class Connection(Protocol):
    """Where an answer goes."""

    def reply(self, content: bytes, last: bool) -> None:
        """Send an answer, and close after the last one."""


class PendingRequest:
    """A request that was read and is not answered yet. What is raised on the way becomes its answer."""

    def __init__(self, service: Service, connection: Connection, endpoint: str, headers: Headers, last: bool) -> None:
        self.began = time.perf_counter()
        self.service, self.connection, self.endpoint, self.last = service, connection, endpoint, last
        self.headers = dict(headers)
        self.id = service.identify(self.headers.get(b"x-request-id", b""))
        self.trace = service.begin_trace(self.headers)
        self.parsed: ParsedRequest | None = None
        self.outputs: Outputs | None = None
        self.refused: InvalidRequest | None = None

    def read(self, scorer: Scorer, body: bytes) -> None:
        """See what is asked."""
        headers = self.headers
        if self.trace:
            self.trace.mark("receive")  # it arrived whole
        try:
            replies.admit(self.service, self.endpoint, headers)
            if self.service.in_flight >= self.service.settings.concurrency:
                raise replies.too_many_requests()
            content_type = headers.get(b"content-type", b"").decode("latin-1")
            self.parsed = read(
                scorer, self.endpoint, body, content_type, headers.get(b"accept", b"").decode("latin-1"), self.id
            )
            if self.trace:
                self.trace.mark("validate")
        except Exception as error:
            self._refuse(error)

    def predict(self, scorer: Scorer) -> None:
        """Let the model answer this request alone."""
        assert self.parsed is not None
        try:
            self.outputs = predict(scorer, self.parsed.rows, self.parsed.params)
        except Exception as error:
            self._refuse(error)

    def answer(self) -> None:
        """Write the answer, count it and log it."""
        service, rows, size = self.service, 0, 0
        last = self.last or service.draining
        if self.parsed is not None and self.outputs is not None:
            if self.trace:
                self.trace.mark("predict")
            try:
                assert service.scorer is not None
                answered = answer(service.scorer, self.parsed, self.outputs)
                rows, size = answered.rows.count, len(answered.payload)
                count(service, self.id, answered, self.trace)
                reply = Reply(200, answered.payload, answered.media_type.encode(), last)
            except Exception as error:
                self._refuse(error)
        if self.refused is not None:
            reply = replies.refusal(self.refused, self.endpoint, last)
        lines = [b"%s: %s\r\n" % header for header in reply.headers(self.id)]
        self.connection.reply(b"".join([STATUS_LINE[reply.status], *lines, b"\r\n", reply.payload]), reply.last)
        service.note(self.id, "POST", self.endpoint, reply.status, time.perf_counter() - self.began, rows, size)
        if self.trace and service.end_trace:
            service.end_trace(self.trace, self.id, self.endpoint, reply.status, rows)

    def _refuse(self, error: Exception) -> None:
        self.refused = error if isinstance(error, InvalidRequest) else replies.unexpected(error, self.id)


class Batcher:
    """Takes the small requests of all connections and answers them, together where that is allowed."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.pending: list[PendingRequest] = []
        self.rows = 0

    def take(self, connection: Connection, path: bytes, headers: Headers, body: bytes, last: bool, alone: bool) -> None:
        """Answer a POST to one of `service.short_routes`, whose body is whole, or do so when this turn of the loop ends.

        alone: there is no other connection whose request could come in the same turn.
        """
        scorer = self.service.scorer
        assert scorer is not None  # routes are filled with it
        request = PendingRequest(self.service, connection, self.service.short_routes[path], headers, last)
        request.read(scorer, body)
        rows = request.parsed.rows.count if request.parsed else 0
        if self.rows + rows > MAX_BATCH_ROWS:
            self.answer()
        self.pending.append(request)
        self.rows += rows
        if alone or not self.service.batchable or self.rows >= MAX_BATCH_ROWS:
            self.answer()
        elif len(self.pending) == 1:
            asyncio.get_running_loop().call_soon(self.answer)

    def answer(self) -> None:
        """Answer what waits, in the order of its arrival."""
        waiting, self.pending, self.rows = self.pending, [], 0
        if asking := [request for request in waiting if request.parsed]:
            assert self.service.scorer is not None
            _predict(self.service.scorer, asking)
        for request in waiting:
            try:
                request.answer()
            except Exception as error:  # a log that cannot be written, say, keeps no other client waiting
                replies.unexpected(error, request.id)


def _predict(scorer: Scorer, waiting: list[PendingRequest]) -> None:
    """The outputs of all requests by one call of the model; by one call each, where they cannot be batched."""
    parsed = [request.parsed for request in waiting if request.parsed]
    outputs: Outputs = {}
    if len(parsed) > 1 and all(request.is_plain for request in parsed):
        # A model that fails on these rows is asked for each request, so that only the one at fault is refused.
        with suppress(Exception):
            outputs = predict(scorer, _join([request.rows for request in parsed]), None)
    if isinstance(outputs, dict):
        for request in waiting:
            request.predict(scorer)
        return
    start = 0
    for request, given in zip(waiting, parsed, strict=True):
        request.outputs = outputs[start : start + given.rows.count]
        start += given.rows.count


def _join(parts: Sequence[Rows]) -> Rows:
    """The rows of all parts, one after the other; all parts are of the same signature."""
    count = sum(part.count for part in parts)
    matrices = [part.matrix for part in parts if part.matrix is not None]
    if len(matrices) == len(parts):
        return Rows(count, np.concatenate(matrices), [])
    return Rows(count, None, [np.concatenate(values) for values in zip(*(part.arrays for part in parts), strict=True)])
