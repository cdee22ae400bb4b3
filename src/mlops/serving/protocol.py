"""uvicorn's HTTP protocol with what it lacks against slow and greedy clients: times, sizes, a limit of connections."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mlops.serving.settings import Settings

MAX_HEAD = 65_536  # bytes of a request's head


class Joined:
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


class Guarded(HttpToolsProtocol):
    """One connection; uvicorn asks for a class."""

    deadline: asyncio.TimerHandle | None = None
    head = 0
    reading_head = True

    def __init__(self, settings: Settings, **given: Any) -> None:
        super().__init__(**given)
        self.settings = settings

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(Joined(transport))  # type: ignore[arg-type]
        if len(self.connections) > self.settings.connections:
            return transport.close()
        self._limit()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unlimit()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.reading_head:
            self.head += len(data)
            if self.head > MAX_HEAD and self._head_only(data):
                return self._close_with(b"431 Request Header Fields Too Large", "the head is too large")
        super().data_received(data)

    def _head_only(self, data: bytes) -> bool:
        """Whether the head still has no end: what came after it is the body's, which has its own limit."""
        return self.head - len(data) > MAX_HEAD or b"\r\n\r\n" not in data[:MAX_HEAD]

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.reading_head = True
        self._limit()

    def on_headers_complete(self) -> None:
        self.reading_head, self.head = False, 0
        self._unlimit()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        # A body that was refused is read and dropped for a while, so that its sender sees the answer.
        if self.cycle.response_complete and self.deadline is None:
            self._limit()
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unlimit()
        self.reading_head, self.head = True, 0
        super().on_message_complete()

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
