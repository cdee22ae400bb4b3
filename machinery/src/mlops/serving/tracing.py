"""OpenTelemetry traces of scoring requests, off unless one of its own environment variables asks for them.

A request has one span and in it one for each stage, from what `Trace.mark` notes: no context is carried along, so that a
request that is not traced costs one comparison a stage. Packages are imported where traces are asked for, and nowhere else.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

from mlops.errors import ConfigError
from mlops.serving.manifest import Bundle

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
STOP_SECONDS = 2.0  # how long a server that stops waits for a collector
Headers = dict[bytes, bytes]


class Trace:
    """The stages of one request and when each ended; `begin` makes it, `end` hands it on."""

    __slots__ = ("parent", "began", "stages")

    def __init__(self, headers: Headers) -> None:
        self.parent = {name: headers[name.encode()].decode("latin-1") for name in W3C if name.encode() in headers}
        self.began = time.time_ns()
        self.stages: list[tuple[str, int]] = []

    def mark(self, stage: str) -> None:
        """Note that a stage has ended, which began with the end of the one before."""
        self.stages.append((stage, time.time_ns()))


W3C = ("traceparent", "tracestate")
# Takes a trace, the request's id, the endpoint, the status and the rows.
End = Callable[[Trace, str, str, int, int], None]


def exporter_name() -> str:
    """`otlp`, `console`, or nothing where no traces are asked for. Raises ConfigError for what is not there."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return ""
    name = os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if not name:
        name = "otlp" if any(os.environ.get(variable, "").strip() for variable in ENDPOINTS) else "none"
    if name not in ("otlp", "console", "none"):
        raise ConfigError(f"OTEL_TRACES_EXPORTER is {name!r}: it takes otlp, console or none")
    if name == "otlp":
        protocol = next((text for variable in PROTOCOLS if (text := os.environ.get(variable, ""))), "http/protobuf")
        if protocol != "http/protobuf":
            raise ConfigError(f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}: traces are sent by http/protobuf")
    return "" if name == "none" else name


def open_traces(bundle: Bundle, exporter: Any = None) -> tuple[End | None, Callable[[], None]]:
    """A function that exports the spans of an answered request, and one that closes it; None where nothing is traced.

    `exporter` takes the place of the one that the environment names. Raises ConfigError where a package is missing.
    """
    name = exporter_name() if exporter is None else "given"
    if not name:
        return None, lambda: None
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        exporter = _exporter(name) if exporter is None else exporter
    except ImportError as error:
        raise ConfigError(
            f"traces are asked for, and {error.name} is not installed: set serving.tracing for the image, or run make setup"
        ) from None
    given = {"service.name": bundle.name, "service.version": bundle.number}
    if "OTEL_SERVICE_NAME" in os.environ:
        del given["service.name"]
    provider = TracerProvider(resource=Resource.create(given), shutdown_on_exit=False)
    processor = BatchSpanProcessor(exporter)
    provider.add_span_processor(processor)
    return _end(provider.get_tracer("mlops.serving", bundle.number)), lambda: _close(processor)


def _exporter(name: str) -> Any:
    if name == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter(out=sys.stderr, formatter=lambda span: f"{span.to_json(indent=None)}\n")
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()


def _close(processor: Any) -> None:
    """Export what waits; a collector that does not answer keeps no server from stopping."""
    import threading

    closing = threading.Thread(target=processor.shutdown, daemon=True)
    closing.start()
    closing.join(STOP_SECONDS)


def _end(tracer: Any) -> End:
    from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    extract = TraceContextTextMapPropagator().extract

    def end(trace: Trace, request: str, endpoint: str, status: int, rows: int) -> None:
        now = time.time_ns()
        attributes = {
            "http.request.method": "POST",
            "http.route": endpoint,
            "http.response.status_code": status,
            "mlops.request": request,
            "mlops.rows": rows,
        }
        span = tracer.start_span(
            f"POST {endpoint}", extract(trace.parent), SpanKind.SERVER, attributes, start_time=trace.began
        )
        if not span.is_recording():  # not sampled
            return
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))
            span.set_attribute("error.type", str(status))
        inner, since = set_span_in_context(span), trace.began
        for stage, until in trace.stages:
            tracer.start_span(stage, inner, start_time=since).end(until)
            since = until
        span.end(now)

    return end
