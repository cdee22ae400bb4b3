"""A traced request leaves one span with its stages, in the trace of who sent it; without the variables nothing is traced."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from checkouts import ROOT
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from serving.conftest import serving

from mlops.bundle import contents, image
from mlops.errors import ConfigError, UserError
from mlops.serving import tracing

pytestmark = pytest.mark.servers
COLUMNS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
STAGES = ["receive", "validate", "predict", "write", "log"]
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def rows(count: int) -> dict[str, Any]:
    return {"dataframe_split": {"columns": COLUMNS, "data": [[5.0, 3.0, 1.0, 0.2]] * count}}


class Collector(HTTPServer):
    """Takes OTLP over HTTP as a collector does, and keeps the spans with the resource that they are of."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.spans: list[tuple[dict[str, str], Any]] = []

    def of(self, request: str) -> dict[str, Any]:
        """The span of a request, `request`, and those within it, by their names; waits for them."""
        for _ in range(500):
            spans = [span for _, span in list(self.spans)]
            for span in spans:
                if {item.key: item.value.string_value for item in span.attributes}.get("mlops.request") == request:
                    inner = sorted(
                        (s for s in spans if s.parent_span_id == span.span_id), key=lambda s: s.start_time_unix_nano
                    )
                    return {"request": span, **{item.name: item for item in inner}}
            time.sleep(0.02)
        raise AssertionError(f"no span of {request}")


class Receiver(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:  # noqa: N802
        assert (self.path, self.headers["content-type"]) == ("/v1/traces", "application/x-protobuf")
        content = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
        for listed in content.resource_spans:
            resource = {item.key: item.value.string_value for item in listed.resource.attributes}
            self.server.spans += [(resource, span) for scope in listed.scope_spans for span in scope.spans]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    server = Collector()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def traced(collector: Collector, flowers_bundle: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        with serving(flowers_bundle.folder, prediction_log=tmp_path_factory.mktemp("log")) as (address, _):
            yield address


def facts(span: Any) -> dict[str, Any]:
    return {item.key: item.value.string_value or item.value.int_value for item in span.attributes}


@pytest.mark.parametrize("count", [1, 2000], ids=["on the event loop", "in a thread"])
def test_the_span_of_a_request_holds_its_stages_in_order(count: int, traced: str, collector: Collector) -> None:
    answer = httpx.post(f"{traced}/invocations", json=rows(count), headers={"x-request-id": f"rows-{count}"})
    assert answer.status_code == 200
    spans = collector.of(f"rows-{count}")
    request = spans.pop("request")
    assert (list(spans), request.name, request.kind) == (STAGES, "POST /invocations", 2)  # 2: SERVER
    assert (
        facts(request).items() >= {"http.response.status_code": 200, "mlops.rows": count, "http.route": "/invocations"}.items()
    )
    ends = [request.start_time_unix_nano, *(span.end_time_unix_nano for span in spans.values())]
    assert [span.start_time_unix_nano for span in spans.values()] == ends[:-1] == sorted(ends[:-1])
    assert ends[-1] <= request.end_time_unix_nano and {span.trace_id for span in spans.values()} == {request.trace_id}
    [resource] = [resource for resource, span in collector.spans if span is request]
    assert (resource["service.name"], resource["service.version"]) == ("iris", "1.2.3")


def test_the_trace_of_who_asks_goes_on(traced: str, collector: Collector) -> None:
    headers = {"x-request-id": "child", "traceparent": f"00-{TRACE}-{PARENT}-01"}
    httpx.post(f"{traced}/predict", json={"rows": [dict.fromkeys(COLUMNS, 1.0)]}, headers=headers).raise_for_status()
    request = collector.of("child")["request"]
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, PARENT)
    # Who says that a trace is not sampled is heard too; what is no header of a trace begins a new one.
    httpx.post(f"{traced}/invocations", json=rows(1), headers={"x-request-id": "no", "traceparent": f"00-{TRACE}-{PARENT}-00"})
    httpx.post(f"{traced}/invocations", json=rows(1), headers={"x-request-id": "new", "traceparent": "what"})
    assert collector.of("new")["request"].parent_span_id == b""
    assert "no" not in {facts(span).get("mlops.request") for _, span in collector.spans}


def test_a_refused_request_is_traced_as_far_as_it_came_and_holds_no_value(traced: str, collector: Collector) -> None:
    body = {"dataframe_split": {"columns": COLUMNS, "data": [["secret", 1, 1, 1]]}}
    httpx.post(f"{traced}/invocations", json=body, headers={"x-request-id": "refused"})
    spans = collector.of("refused")
    assert facts(spans["request"])["http.response.status_code"] == 400
    assert (list(spans), spans["request"].status.code) == (["request", "receive"], 0)  # 0: a client's fault is no error
    assert "secret" not in str(collector.spans)


def test_probes_and_pages_are_not_traced(traced: str, collector: Collector) -> None:
    before = len(collector.spans)
    for path in ("/health", "/version", "/metrics"):
        httpx.get(f"{traced}{path}")
    time.sleep(0.3)
    assert len(collector.spans) == before


def test_a_collector_that_is_away_costs_no_request_and_no_long_stop(
    flowers_bundle: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    with serving(flowers_bundle.folder) as (address, process):
        assert [httpx.post(f"{address}/invocations", json=rows(1)).status_code for _ in range(20)] == [200] * 20
        began = time.monotonic()
        process.terminate()
        process.wait(20)
    assert time.monotonic() - began < tracing.STOP_SECONDS + 3


def test_the_console_gets_a_line_of_json_a_span(flowers_bundle: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    with serving(flowers_bundle.folder) as (address, process):
        httpx.post(f"{address}/invocations", json=rows(1)).raise_for_status()
        process.terminate()
        spans = [json.loads(line) for line in process.stderr.read().splitlines()]
    assert [span["name"] for span in spans] == [*STAGES, "POST /invocations"]


def test_without_the_variables_nothing_of_opentelemetry_is_imported(flowers_bundle: Any) -> None:
    code = (
        "import sys; from pathlib import Path; from mlops.serving import service, settings\n"
        "state = service.create(Path(sys.argv[1]), settings.Settings()); service.start(state)\n"
        "print(state.end_trace, [name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run([sys.executable, "-c", code, flowers_bundle.folder], env=kept, capture_output=True, text=True)
    assert done.stdout == "None []\n", done.stderr


@pytest.mark.parametrize(
    ("given", "exporter"),
    [
        ({}, ""),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, ""),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, ""),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "otlp"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, "otlp"),
        ({"OTEL_TRACES_EXPORTER": "console"}, "console"),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "it takes otlp, console or none"),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "traces are sent by http/protobuf"),
    ],
)
def test_the_standard_variables_choose(given: dict[str, str], exporter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    if " " in exporter:
        with pytest.raises(ConfigError, match=exporter):
            tracing.exporter_name()
    else:
        assert tracing.exporter_name() == exporter


def test_an_image_holds_what_sends_traces_only_where_it_is_configured(flowers_bundle: Any, tmp_path: Path) -> None:
    image.stage(ROOT, flowers_bundle, tmp_path / "plain")
    image.stage(ROOT, flowers_bundle, tmp_path / "traced", {"tracing": "http://collector:4318"})
    plain, sending = ((tmp_path / name / "requirements.txt").read_text() for name in ("plain", "traced"))
    assert "opentelemetry" not in plain and "opentelemetry-exporter-otlp-proto-http==" in sending
    assert set(contents.closure(contents.TRACING)) <= contents.pins(sending).keys()
    dockerfile = (tmp_path / "traced/Dockerfile").read_text()
    assert dockerfile.endswith('ENV OTEL_EXPORTER_OTLP_ENDPOINT="http://collector:4318"\n')
    assert "OTEL_" not in (tmp_path / "plain/Dockerfile").read_text()


def test_a_lock_without_the_packages_is_one_line(flowers_bundle: Any, tmp_path: Path) -> None:
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements/serve.txt").write_text((ROOT / "requirements/serve.txt").read_text())
    (tmp_path / "requirements/dev.txt").write_text("numpy==2.1\n")
    with pytest.raises(UserError, match="serving.tracing is set, and requirements/dev.txt does not pin .*add tracing"):
        contents.requirements(tmp_path, flowers_bundle, traced=True)
