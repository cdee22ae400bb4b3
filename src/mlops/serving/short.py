"""The short way: a small request that arrived whole is answered at once, without a task of the event loop.

It does what `app` does for the same request, and nothing else: what is not plain goes there.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from mlops.serving import replies
from mlops.serving.replies import Reply
from mlops.serving.scoring import score
from mlops.serving.service import Service, count
from mlops.serving.signature import Refused

LARGEST = 16_384  # bytes of a body up to which an ONNX model answers on the event loop: less than a thread's hand-over

# Path, headers, body and whether it is the connection's last request, to the answer's bytes and whether it is the last.
Answerer = Callable[[bytes, list[tuple[bytes, bytes]], bytes, bool], tuple[bytes, bool]]


def create(service: Service) -> Answerer:
    """A function that answers a POST to one of `service.short_routes` whose body is whole and has at most LARGEST bytes."""

    def answer(path: bytes, given: list[tuple[bytes, bytes]], body: bytes, last: bool) -> tuple[bytes, bool]:
        began = time.perf_counter()
        headers = dict(given)
        request = service.identify(headers.get(b"x-request-id", b""))
        endpoint = service.short_routes[path]
        rows = 0
        last = last or service.draining
        try:
            replies.authorize(service, endpoint, headers)
            if service.in_flight >= service.settings.concurrency:
                raise replies.too_many_requests()
            scorer = service.scorer
            assert scorer is not None  # routes are filled with it
            content_type = headers.get(b"content-type", b"").decode("latin-1")
            said = score(scorer, endpoint, body, content_type, headers.get(b"accept", b"").decode("latin-1"), request)
            rows = said.rows.count
            count(service, request, said)
            reply = Reply(200, said.payload, said.media_type.encode(), last)
        except Refused as refused:
            reply = replies.refusal(refused, endpoint, last)
        except Exception as error:
            reply = replies.refusal(replies.unexpected(error, request), endpoint, last)
        size = len(reply.payload) if reply.status == 200 else 0
        service.note(request, "POST", endpoint, reply.status, time.perf_counter() - began, rows, size)
        lines = [b"%s: %s\r\n" % header for header in reply.headers(request)]
        return b"".join([STATUS_LINE[reply.status], *lines, b"\r\n", reply.payload]), reply.last

    return answer
