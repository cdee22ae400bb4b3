"""What is sent back: status, content and headers, the same on both ways to the model (`app` and `short`)."""

from __future__ import annotations

import hmac
import json
import sys
import traceback
from typing import Any, NamedTuple

from mlops.serving.service import Service
from mlops.serving.signature import InvalidRequest

OPEN_PATHS = frozenset({"/ping", "/health", "/v2/health/live", "/v2/health/ready"})
MORE = {
    401: (b"www-authenticate", b"Bearer"),
    405: (b"allow", b"POST"),
    429: (b"retry-after", b"1"),
    503: (b"retry-after", b"1"),
}
UNEXPECTED = InvalidRequest(
    "The server met an error of its own; its log has more under the request id.", None, 500, "INTERNAL_ERROR"
)


class Reply(NamedTuple):
    """One answer; `last` asks the client to open another connection for its next request."""

    status: int
    payload: bytes
    media_type: bytes
    last: bool = False

    def headers(self, request: str) -> list[tuple[bytes, bytes]]:
        """The headers, with the id of the request."""
        headers = [
            (b"content-type", self.media_type),
            (b"content-length", b"%d" % len(self.payload)),
            (b"x-request-id", request.encode()),
        ]
        if self.status in MORE:
            headers.append(MORE[self.status])
        if self.last:
            headers.append((b"connection", b"close"))
        return headers


def admit(service: Service, path: str, headers: dict[bytes, bytes]) -> None:
    """Raise InvalidRequest where a token is asked for and not given, and for a body that is compressed."""
    if service.secret and path not in OPEN_PATHS:
        given = headers.get(b"authorization", b"")
        if not hmac.compare_digest(given, b"Bearer " + service.secret):
            raise InvalidRequest("A bearer token is needed: Authorization: Bearer …", "authorization", 401, "UNAUTHENTICATED")
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise InvalidRequest("A compressed body is not taken.", "content-encoding", 415, "UNSUPPORTED_MEDIA_TYPE")


def refusal(refused: InvalidRequest, endpoint: str | None, last: bool) -> Reply:
    """The answer to a request that was refused."""
    content = fault(refused.as_dict(), endpoint or "")
    # What is left of a body that was not read in time will not be waited for.
    return Reply(refused.status, json.dumps(content).encode(), b"application/json", last or refused.status == 408)


def fault(content: dict[str, Any], path: str) -> dict[str, Any]:
    """The JSON object of a refusal; under /v2 with `error`, where the Open Inference Protocol has the message."""
    return content | ({"error": content["message"]} if path.startswith("/v2") else {})


def unexpected(error: Exception, request: str) -> InvalidRequest:
    """Put the place of an error of our own on standard error, without its message, which may hold a client's values."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    print(f"request {request}: {type(error).__name__}\n{frames}", file=sys.stderr, flush=True)
    return UNEXPECTED


def not_ready() -> InvalidRequest:
    """The refusal of whatever needs the model before it is loaded."""
    return InvalidRequest("The model is not loaded yet; try again.", None, 503, "NOT_READY")


def too_many_requests() -> InvalidRequest:
    """The refusal of a request that finds all places taken."""
    return InvalidRequest("Too many requests are in work; try again.", None, 429, "RESOURCE_EXHAUSTED")
