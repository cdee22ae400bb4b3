"""The endpoints that do not score: health, version, counts, metrics, the model's description and the web page."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from mlops.serving import open_inference, replies
from mlops.serving.manifest import Bundle
from mlops.serving.service import Service
from mlops.serving.signature import InvalidRequest

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:"


def create(service: Service, lifespan: Any) -> Starlette:
    """The Starlette application of everything but scoring."""
    routes = [Route(path, endpoint, methods=["GET"]) for path, endpoint in HANDLERS.items()]
    app = Starlette(
        routes=routes, lifespan=lifespan, exception_handlers={HTTPException: _plain_error, InvalidRequest: _refused}
    )
    app.state.service = service
    return app


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _bundle(request: Request) -> Bundle:
    scorer = _service(request).scorer
    if scorer is None:
        raise replies.not_ready()
    return scorer.bundle


def _named(request: Request) -> Bundle:
    """The bundle, where the path names it. Raises InvalidRequest with 404 for another model or version."""
    bundle = _bundle(request)
    if request.path_params["name"] != bundle.name or request.path_params.get("number", bundle.number) != bundle.number:
        raise InvalidRequest(f"Only {bundle.name} {bundle.number} is served here.", "name", 404, "NOT_FOUND")
    return bundle


async def _ping(request: Request) -> Response:
    return Response("\n", 200 if _service(request).ready else 503, media_type="application/json")


async def _live(request: Request) -> Response:
    return JSONResponse({"live": True})


async def _ready(request: Request) -> Response:
    ready = _service(request).ready
    return JSONResponse({"ready": ready}, 200 if ready else 503)


async def _version(request: Request) -> Response:
    return JSONResponse(_bundle(request).identity)


async def _visitors(request: Request) -> Response:
    service = _service(request)
    return JSONResponse({"predictions": service.predictions, "requests": service.requests, "since": service.started})


async def _metrics(request: Request) -> Response:
    from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

    metrics = _service(request).metrics
    metrics["in_flight"].set(_service(request).in_flight)
    return Response(generate_latest(metrics["registry"]), headers={"content-type": CONTENT_TYPE_LATEST})


async def _server(request: Request) -> Response:
    return JSONResponse({"name": "mlops", "version": _bundle(request).number, "extensions": []})


async def _model(request: Request) -> Response:
    return JSONResponse(open_inference.metadata(_named(request)))


async def _model_ready(request: Request) -> Response:
    _named(request)
    return await _ready(request)


async def _openapi(request: Request) -> Response:
    from mlops.serving.openapi import document

    service = _service(request)
    return JSONResponse(document(_bundle(request), service.settings, bool(service.secret)))


async def _index(request: Request) -> Response:
    from mlops.serving.page import render

    return HTMLResponse(render(_bundle(request)), headers={"content-security-policy": POLICY})


async def _reference(request: Request) -> Response:
    from mlops.serving.openapi import document
    from mlops.serving.reference import render

    service, bundle = _service(request), _bundle(request)
    page = render(bundle, document(bundle, service.settings, bool(service.secret)))
    return HTMLResponse(page, headers={"content-security-policy": POLICY})


async def _icon(request: Request) -> Response:
    return Response(status_code=204)


HANDLERS: dict[str, Any] = {
    "/": _index,
    "/docs": _reference,
    "/favicon.ico": _icon,
    "/ping": _ping,
    "/health": _ping,
    "/version": _version,
    "/visitors": _visitors,
    "/metrics": _metrics,
    "/openapi.json": _openapi,
    "/v2": _server,
    "/v2/health/live": _live,
    "/v2/health/ready": _ready,
    "/v2/models/{name}": _model,
    "/v2/models/{name}/ready": _model_ready,
    "/v2/models/{name}/versions/{number}": _model,
    "/v2/models/{name}/versions/{number}/ready": _model_ready,
}


async def _plain_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}.get(error.status_code, "BAD_REQUEST")
    content = replies.fault({"error_code": code, "message": error.detail}, request.url.path)
    return JSONResponse(content, error.status_code, headers=error.headers)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, InvalidRequest)
    content = replies.fault(error.as_dict(), request.url.path)
    return JSONResponse(content, error.status, headers={"retry-after": "1"} if error.status == 503 else None)
