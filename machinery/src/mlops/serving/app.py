"""The ASGI application. Scoring requests take a short way of their own; everything else is Starlette's."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mlops.serving import pages, replies
from mlops.serving.fast_path import LARGEST
from mlops.serving.replies import Reply
from mlops.serving.scoring import Answer, score
from mlops.serving.service import Service, count, start
from mlops.serving.signature import InvalidRequest
from mlops.serving.tracing import Trace

Scope = Any
Receive = Any
Send = Any
FLUSH_SECONDS = 0.2


class ClientGone(Exception):
    """Raised when the client closed the connection before its request was read."""


def create(service: Service) -> Any:
    """The application; it asks the service to stop when the bundle turns out not to be loadable."""
    starlette = pages.create(service, _lifespan(service))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await starlette(scope, receive, send)
        began = time.perf_counter()
        headers = dict(scope["headers"])
        request = service.identify(headers.get(b"x-request-id", b""))
        method, path = scope["method"], scope["path"]
        endpoint = service.routes.get(path)
        status, rows, size = 499, 0, 0
        trace = service.begin_trace(headers) if endpoint else None
        try:
            replies.admit(service, path, headers)
            if endpoint is None and method == "POST" and not service.routes:
                raise replies.not_ready()
            if endpoint is None:
                status = await _page(starlette, scope, receive, send, request, service.draining)
            else:
                answer = await _scored(service, endpoint, method, headers, receive, request, trace)
                rows, size, status = answer.rows.count, len(answer.payload), 200
                count(service, request, answer, trace)
                await _send(send, Reply(200, answer.payload, answer.media_type.encode(), service.draining), request)
        except ClientGone:
            pass
        except InvalidRequest as refused:
            status = refused.status
            await _send(send, replies.refusal(refused, endpoint or path, service.draining), request)
        except Exception as error:
            status = 500
            await _send(send, replies.refusal(replies.unexpected(error, request), endpoint or path, service.draining), request)
        finally:
            service.note(request, method, endpoint or path, status, time.perf_counter() - began, rows, size)
            if trace and service.end_trace:
                service.end_trace(trace, request, endpoint or path, status, rows)

    return app


async def _scored(
    service: Service,
    endpoint: str,
    method: str,
    headers: dict[bytes, bytes],
    receive: Receive,
    request: str,
    trace: Trace | None,
) -> Answer:
    """Take a place, read the body, score. Raises InvalidRequest where a limit says no."""
    if method != "POST":
        raise InvalidRequest("Only POST is answered here.", None, 405, "METHOD_NOT_ALLOWED")
    settings = service.settings
    if service.in_flight >= settings.concurrency:
        raise replies.too_many_requests()
    service.in_flight += 1
    release = True
    try:
        body = await _body(receive, headers, int(settings.max_body_mb * 1e6), settings.read_timeout)
        if trace:
            trace.mark("receive")
        content_type = headers.get(b"content-type", b"").decode("latin-1")
        accept = headers.get(b"accept", b"").decode("latin-1")
        scorer = service.scorer
        assert scorer is not None  # routes are filled with it
        if len(body) <= LARGEST and scorer.is_quick:
            return score(scorer, endpoint, body, content_type, accept, request, trace)
        work = asyncio.get_running_loop().run_in_executor(
            service.pool, score, scorer, endpoint, body, content_type, accept, request, trace
        )
        done, _ = await asyncio.wait([work], timeout=settings.timeout)
        if not done:
            # The thread cannot be stopped: its place is given back when it ends.
            release = False
            work.add_done_callback(lambda ended: _release(service, ended))
            raise InvalidRequest(f"The prediction took more than {settings.timeout:g} s.", None, 504, "DEADLINE_EXCEEDED")
        return work.result()
    finally:
        if release:
            service.in_flight -= 1


def _release(service: Service, ended: asyncio.Future[Answer]) -> None:
    service.in_flight -= 1
    if not ended.cancelled():
        ended.exception()


async def _body(receive: Receive, headers: dict[bytes, bytes], limit: int, timeout: float) -> bytes:
    """The request's body. Raises InvalidRequest with 413 as soon as it is too large, and with 408 when it does not arrive."""
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > limit:
        raise _too_large(limit)
    try:
        async with asyncio.timeout(timeout):
            message = await receive()
            body: bytes = message.get("body", b"")
            if message.get("more_body"):
                body = await _rest(receive, body, limit)
    except TimeoutError:
        raise InvalidRequest(f"The body did not arrive within {timeout:g} s.", None, 408, "REQUEST_TIMEOUT") from None
    if message["type"] == "http.disconnect":
        raise ClientGone
    if len(body) > limit:
        raise _too_large(limit)
    return body


async def _rest(receive: Receive, body: bytes, limit: int) -> bytes:
    pieces, size, more = [body], len(body), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        pieces.append(message.get("body", b""))
        size, more = size + len(pieces[-1]), message.get("more_body", False)
        if size > limit:
            raise _too_large(limit)
    return b"".join(pieces)


def _too_large(limit: int) -> InvalidRequest:
    return InvalidRequest(f"The body is larger than {limit / 1e6:g} MB.", None, 413, "REQUEST_TOO_LARGE")


async def _send(send: Send, reply: Reply, request: str) -> None:
    await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers(request)})
    await send({"type": "http.response.body", "body": reply.payload})


async def _page(starlette: Any, scope: Scope, receive: Receive, send: Send, request: str, closing: bool) -> int:
    """Answer by Starlette with the request id added; returns the status."""
    status = 500

    async def tagged(message: Any) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
            message["headers"].append((b"x-request-id", request.encode()))
            if closing:
                message["headers"].append((b"connection", b"close"))
        await send(message)

    await starlette(scope, receive, tagged)
    return status


def _lifespan(service: Service) -> Any:
    """Load in the background, so that probes are answered meanwhile; flush the log from time to time; close in the end."""

    async def load() -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(service.pool, start, service)
        except Exception as error:
            service.failure = error
            service.stop()

    async def flush() -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            sys.stdout.flush()

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(load()), asyncio.create_task(flush())]
        yield
        for task in tasks:
            task.cancel()
        service.close_log()
        service.close_traces()
        service.imports.close()
        sys.stdout.flush()

    return lifespan
