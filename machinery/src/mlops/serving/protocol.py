"""uvicorn's HTTP protocol with what it lacks against slow and greedy clients: times, sizes, a limit of connections."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mlops.serving.fast_path import LARGEST, Batcher
from mlops.serving.service import Service

MAX_HEAD = 65_536  # bytes of a request's head


class CoalescingTransport:
    """A transport that sends the head of an answer with what follows it: one call of the system and one packet less."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._head = b""

    def write(self, data: bytes) -> None:
        """Write, or keep the head of a final answer until the next call."""
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 1"):
            self._head = data
            return
        self._transport.write(data)

    def flush(self) -> None:
        """Send a head that nothing followed."""
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)

    def close(self) -> None:
        """Send what is kept, and close."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class LimitedProtocol(HttpToolsProtocol):
    """One connection; uvicorn asks for a class.

    A small request that arrives whole, as most do, is answered here by `short`. Whatever else comes goes on to uvicorn and
    the application: what is read in pieces, waits for an answer before it, or is not a plain POST of HTTP/1.1.
    """

    deadline: asyncio.TimerHandle | None = None
    idle: asyncio.TimerHandle | None = None
    answered = 0.0
    head = 0
    begun = False
    reading_head = True
    pieces: list[bytes] | None = None
    waits = False

    def __init__(self, service: Service, batcher: Batcher, **given: Any) -> None:
        super().__init__(**given)
        self.service, self.batcher = service, batcher
        self.settings = service.settings
        self.largest = min(LARGEST, int(self.settings.max_body_mb * 1e6))

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(CoalescingTransport(transport))  # type: ignore[arg-type]
        self.plain = transport
        if len(self.connections) > self.settings.connections:
            return transport.close()
        self._limit()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unlimit()
        if self.idle is not None:
            self.idle.cancel()
        super().connection_lost(exc)

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """The client sends no more: what was read whole is still answered, what was not is refused."""
        if self.waits:
            self.batcher.answer()
        if self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body:
            self.cycle.keep_alive = False
            return True
        if self.begun or not self.reading_head:
            self._close_with(b"400 Bad Request", "the request ended too early")
        return None

    def data_received(self, data: bytes) -> None:
        if self.reading_head:
            self.head += len(data)
            if self.head > MAX_HEAD and self._head_only(data):
                return self._close_with(b"431 Request Header Fields Too Large", "the head is too large")
        super().data_received(data)
        if self.pieces is not None:
            self._hand_over()
        elif self.reading_head and (self.begun or self.head) and self.deadline is None:
            self._limit()

    def _head_only(self, data: bytes) -> bool:
        """Whether the head still has no end: what came after it is the body's, which has its own limit."""
        return self.head - len(data) > MAX_HEAD or b"\r\n\r\n" not in data[:MAX_HEAD]

    def on_message_begin(self) -> None:
        if self.waits:
            self.batcher.answer()  # in the order of the requests
        super().on_message_begin()
        self.begun = True

    def on_headers_complete(self) -> None:
        self.begun, self.reading_head, self.head = False, False, 0
        self._unlimit()
        if self.parser.should_upgrade():
            # The parser takes what follows for another protocol: the body would be lost.
            self._close_with(b"400 Bad Request", "the protocol is not changed here: leave out the header upgrade")
        elif self._is_plain():
            self.pieces = []
        else:
            super().on_headers_complete()

    def _is_plain(self) -> bool:
        """Whether the request can be answered by `short`, if all of it is here."""
        parser = self.parser
        return (
            self.url in self.service.short_routes
            and parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and not (self.expect_100_continue or self.flow.write_paused)
            and (self.cycle is None or self.cycle.response_complete)
        )

    def on_body(self, body: bytes) -> None:
        if self.transport.is_closing():
            return
        if self.pieces is not None:
            self.pieces.append(body)
            return
        # A body that was refused is read and dropped for a while, so that its sender sees the answer.
        if self.cycle.response_complete and self.deadline is None:
            self._limit()
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unlimit()
        self.reading_head, self.head = True, 0
        if self.pieces is not None:
            body = b"".join(self.pieces)
            if len(body) <= self.largest:
                return self._answer(body)
            self._hand_over()
        if not self.transport.is_closing():
            super().on_message_complete()

    def _answer(self, body: bytes) -> None:
        self.pieces = None
        if not self.transport.is_closing():
            self.waits = True
            last = not self.parser.should_keep_alive()
            self.batcher.take(self, self.url, self.headers, body, last, alone=len(self.connections) == 1)

    def reply(self, content: bytes, last: bool) -> None:
        """Send the answer to a request that went to the batcher, and close after the last one."""
        self.waits = False
        if self.plain.is_closing():
            return
        self.server_state.total_requests += 1
        self.plain.write(content)
        self.answered = self.loop.time()
        if last:
            self.plain.close()
        elif self.idle is None:
            self.idle = self.loop.call_later(self.timeout_keep_alive, self._look)

    def shutdown(self) -> None:
        """Called by uvicorn when the server stops."""
        if self.waits:
            self.batcher.answer()
        super().shutdown()

    def _look(self) -> None:
        """Close the connection if nothing came for a while; a timer for each answer would cost more than this look."""
        self.idle = None
        rest = self.answered + self.timeout_keep_alive - self.loop.time()
        if rest > 0:
            self.idle = self.loop.call_later(rest, self._look)
        elif not self._busy():
            self.plain.close()

    def _busy(self) -> bool:
        """Whether a request is being read or answered, or a timer of another kind runs."""
        reading = self.begun or self.waits or not self.reading_head
        answering = self.cycle is not None and not self.cycle.response_complete
        return reading or answering or self.deadline is not None or self.timeout_keep_alive_task is not None

    def _hand_over(self) -> None:
        """Let uvicorn have the request as far as it is here."""
        body, self.pieces = b"".join(self.pieces or ()), None
        super().on_headers_complete()
        if body:
            super().on_body(body)

    def on_response_complete(self) -> None:
        self.transport.flush()  # type: ignore[attr-defined]
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        self._close_with(b"400 Bad Request", "this is not a valid HTTP request")

    def _limit(self) -> None:
        self._unlimit()
        self.deadline = self.loop.call_later(self.settings.read_timeout, self.transport.close)

    def _unlimit(self) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None

    def _close_with(self, status: bytes, message: str) -> None:
        if self.transport.is_closing():
            return
        content = b'{"error_code": "BAD_REQUEST", "message": "%s"}' % message.encode()
        head = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(head % (status, len(content)) + content)
        self.transport.close()
