"""A running server's state: what is loaded, how much is in work, and what was counted and logged."""

from __future__ import annotations

import gc
import itertools
import json
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlops.serving import extras, prediction_log, tracing
from mlops.serving.manifest import Bundle, verify
from mlops.serving.model import load
from mlops.serving.probes import is_probe
from mlops.serving.raw import RawRows, imported
from mlops.serving.scoring import Answer, Scorer, score
from mlops.serving.settings import Settings, processors

REQUEST_ID = re.compile(rb"[\w.:-]{1,128}")
# Takes id, method, path, status, seconds, rows and bytes of an answered request.
Note = Callable[[str, str, str, int, float, int, int], None]
BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


@dataclass
class Service:
    """The state that the endpoints share; used by one event loop."""

    folder: Path
    settings: Settings
    secret: bytes
    pool: ThreadPoolExecutor
    metrics: dict[str, Any]
    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    scorer: Scorer | None = None
    routes: dict[str, str] = field(default_factory=dict)
    short_routes: dict[bytes, str] = field(default_factory=dict)
    batchable: bool = False
    draining: bool = False
    in_flight: int = 0
    requests: int = 0
    predictions: int = 0
    failure: Exception | None = None
    log_rows: prediction_log.Write | None = None
    close_log: Callable[[], None] = lambda: None
    end_trace: tracing.End | None = None  # None: nothing is traced
    close_traces: Callable[[], None] = lambda: None
    imports: ExitStack = field(default_factory=ExitStack)  # holds the code of a bundle that takes raw rows
    stop: Callable[[], None] = lambda: None
    note: Note = lambda *request: None
    prefix: str = field(default_factory=lambda: secrets.token_hex(4))
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def ready(self) -> bool:
        """Whether rows are scored: the digests are verified, the model has answered once, and no stop was asked for."""
        return bool(self.routes) and not self.draining

    def begin_trace(self, headers: tracing.Headers) -> tracing.Trace | None:
        """The trace of a request that begins; None where nothing is traced."""
        return tracing.Trace(headers) if self.end_trace else None

    def identify(self, given: bytes) -> str:
        """The id of a request: the client's own, where it is fit for a log."""
        return given.decode() if given and REQUEST_ID.fullmatch(given) else f"{self.prefix}-{next(self.numbers):x}"


def create(folder: Path, settings: Settings) -> Service:
    """A service that has loaded nothing yet."""
    service = Service(folder, settings, settings.secret, ThreadPoolExecutor(max(2, threads(settings)), "score"), _metrics())
    service.note = access_log(service)
    return service


def threads(settings: Settings) -> int:
    """Threads of ONNX Runtime: as many as processors, for more make batches slower."""
    return settings.threads or processors()


def start(service: Service) -> None:
    """Verify the bundle, load its model and let it answer its own example once. Raises MlopsError for a damaged bundle."""
    bundle = verify(service.folder)
    logged = extras.logged(bundle.content) if service.settings.prediction_log else ()
    settings = service.settings
    raw = None
    if bundle.content.get("raw"):
        raw = RawRows(bundle, service.imports.enter_context(imported(bundle, settings.allow_code)))
    predict = load(bundle, threads(settings), settings.trusted, settings.allow_pickle)
    scorer = Scorer(bundle, predict, settings.max_rows, logged, raw)
    if None not in bundle.example.values():
        score(scorer, "/predict", json.dumps({"rows": [bundle.example]}).encode(), "application/json", "", "start")
    if service.settings.prediction_log:
        dropped = service.metrics["dropped"].inc
        service.log_rows, service.close_log = prediction_log.open_log(bundle, service.settings, dropped)
    service.end_trace, service.close_traces = tracing.open_traces(bundle)
    service.metrics["model"].labels(bundle.name, bundle.number, bundle.format, bundle.digest).set(1)
    # What is loaded by now stays: the garbage collector would look through it again and again, which takes milliseconds.
    gc.collect()
    gc.freeze()
    # Requests come in meanwhile: they find the routes when all that these lead to is there.
    service.scorer = scorer
    routes = scoring_routes(bundle)
    if scorer.is_quick:
        service.batchable = bool(bundle.content["onnx"].get("batchable"))
        service.short_routes = {path.encode(): endpoint for path, endpoint in routes.items()}
    service.routes = routes


def scoring_routes(bundle: Bundle) -> dict[str, str]:
    """Path to endpoint of everything that scores."""
    infer = "/v2/models/{name}/infer"
    model = f"/v2/models/{bundle.name}"
    routes = {"/invocations": "/invocations", "/predict": "/predict"}
    return routes | {f"{model}/infer": infer, f"{model}/versions/{bundle.number}/infer": infer}


def count(service: Service, request: str, answer: Answer, trace: tracing.Trace | None = None) -> None:
    """Count an answer, and give its rows to the prediction log, those of probes excepted."""
    if trace:
        trace.mark("write")
    service.requests += 1
    service.predictions += answer.rows.count
    service.metrics["predictions"].inc(answer.rows.count)
    if service.log_rows and not is_probe(request):
        service.log_rows(request, answer.rows, answer.outputs, answer.extras)
    if trace:
        trace.mark("log")


def _metrics() -> dict[str, Any]:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    info = ("use_case", "version", "format", "digest")
    return {
        "registry": registry,
        "requests": Counter("mlops_requests", "Requests answered", ("path", "status"), registry=registry),
        "seconds": Histogram(
            "mlops_request_seconds",
            "Seconds from the request's head to the answer",
            ("path",),
            registry=registry,
            buckets=BUCKETS,
        ),
        "predictions": Counter("mlops_predictions", "Rows scored", registry=registry),
        "in_flight": Gauge("mlops_requests_in_flight", "Scoring requests in work", registry=registry),
        "dropped": Counter(
            "mlops_prediction_log_dropped", "Requests that the prediction log could not take", registry=registry
        ),
        "model": Gauge("mlops_model", "The model that is served, always 1", info, registry=registry),
    }


def access_log(service: Service) -> Note:
    """A function that notes one answered request in the metrics and as a JSON line, without a byte of its payload."""
    children: dict[tuple[str, int], Any] = {}
    timers: dict[str, Any] = {}
    second, stamp = 0, ""
    write = sys.stdout.write

    def note(request: str, method: str, path: str, status: int, seconds: float, rows: int, size: int) -> None:
        nonlocal second, stamp
        label = path if path in KNOWN else "other"
        counter = children.get((label, status))
        if counter is None:
            counter = children[label, status] = service.metrics["requests"].labels(label, status)
            timers.setdefault(label, service.metrics["seconds"].labels(label))
        counter.inc()
        timers[label].observe(seconds)
        if not service.settings.access_log or path in QUIET:
            return
        now = time.time()
        if int(now) != second:
            second, stamp = int(now), time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
        shown = path if label == path else json.dumps(path[:200])[1:-1]
        write(
            f'{{"time":"{stamp}.{int(now % 1 * 1000):03}Z","request":"{request}","method":"{method}","path":"{shown}",'
            f'"status":{status},"ms":{seconds * 1000:.3f},"rows":{rows},"bytes":{size}}}\n'
        )

    return note


QUIET = frozenset({"/ping", "/health", "/v2/health/live", "/v2/health/ready", "/metrics"})
KNOWN = QUIET | {"/", "/docs", "/invocations", "/predict", "/version", "/visitors", "/openapi.json", "/v2/models/{name}/infer"}
