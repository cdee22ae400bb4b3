"""From a request's bytes to an answer's bytes: the same for every endpoint that scores, and free of HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mlops.serving import arrow, extras, invocations, open_inference
from mlops.serving.manifest import Bundle
from mlops.serving.model import Outputs, Predict
from mlops.serving.raw import Keys, RawRows
from mlops.serving.signature import InvalidRequest, Rows
from mlops.serving.tracing import Trace

JSON, CSV = "application/json", "text/csv"


@dataclass(frozen=True)
class Scorer:
    """A loaded model with what is needed to read rows for it."""

    bundle: Bundle
    predict: Predict
    max_rows: int
    logged: tuple[str, ...] = ()  # what is computed for the prediction log, whether a request includes it or not
    raw: RawRows | None = None  # makes the model's rows, where requests hold raw ones

    @property
    def is_quick(self) -> bool:
        """Whether a few rows are answered at once, in less time than a thread takes to start."""
        return self.bundle.format == "onnx" and self.raw is None

    def take(self, rows: Rows) -> tuple[Rows, Keys]:
        """The model's rows and, where requests hold raw ones, the key of each. Raises InvalidRequest."""
        if self.raw is None or not 0 < rows.count <= self.max_rows:
            return rows, []
        return self.raw(rows)


class Answer(NamedTuple):
    """An answer's bytes, with the rows and outputs for the count and the prediction log."""

    payload: bytes
    media_type: str
    rows: Rows
    outputs: Outputs
    extras: extras.Extras = {}


class ParsedRequest(NamedTuple):
    """A request that was read: its rows and params, and what makes an answer of the outputs."""

    rows: Rows
    params: Any
    write: Callable[[Outputs, extras.Extras], Answer]
    include: tuple[str, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether the predictions are all that is asked for, so that they can be taken together with others."""
        return self.params is None and not self.include


def score(
    scorer: Scorer, endpoint: str, body: bytes, content_type: str, accept: str, request: str, trace: Trace | None = None
) -> Answer:
    """Read, predict, write. Raises InvalidRequest for whatever the client can fix."""
    parsed = read(scorer, endpoint, body, content_type, accept, request)
    if trace:
        trace.mark("validate")
    outputs = predict(scorer, parsed.rows, parsed.params)
    if trace:
        trace.mark("predict")
    return answer(scorer, parsed, outputs)


def answer(scorer: Scorer, parsed: ParsedRequest, outputs: Outputs) -> Answer:
    """The answer to a request from the model's outputs, with what it includes; only that is written."""
    names = (*parsed.include, *(name for name in scorer.logged if name not in parsed.include))
    if not names:
        return parsed.write(outputs, {})
    included = extras.compute(scorer.predict, scorer.bundle.content, parsed.rows, outputs, names)
    written = parsed.write(outputs, {name: included[name] for name in parsed.include})
    return written._replace(extras=included)


def read(scorer: Scorer, endpoint: str, body: bytes, content_type: str, accept: str, request: str) -> ParsedRequest:
    """What a request asks. Raises InvalidRequest."""
    parsed = ENDPOINTS[endpoint](scorer, body, _media_type(content_type), accept, request)
    if not parsed.rows.count:
        raise InvalidRequest("Invalid input. The request has no rows.")
    if parsed.rows.count > scorer.max_rows:
        raise arrow.too_many(parsed.rows.count, scorer.max_rows)
    return parsed


def predict(scorer: Scorer, rows: Rows, params: Any) -> Outputs:
    """The model's outputs, one for each row. Raises InvalidRequest where the model refuses the values."""
    outputs = scorer.predict(rows, params)
    answered = len(next(iter(outputs.values()))) if isinstance(outputs, dict) else len(outputs)
    if answered != rows.count:
        raise RuntimeError(f"the model answered {answered} rows for {rows.count}")
    return outputs


def _media_type(content_type: str) -> str:
    """The media type in lower case; only UTF-8 is taken and no other parameter, as by MLflow. Raises InvalidRequest."""
    if content_type == JSON:
        return JSON
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name != "charset" or value.strip('"') != "utf-8":
            raise _unsupported("The content type takes no parameter but charset=utf-8.")
    return media_type


def _unsupported(message: str) -> InvalidRequest:
    return InvalidRequest(message, "content-type", status=415, code="UNSUPPORTED_MEDIA_TYPE")


def _invocations(scorer: Scorer, body: bytes, media_type: str, accept: str, request: str) -> ParsedRequest:
    signature, content = scorer.bundle.signature, scorer.bundle.content
    params = None
    if media_type == JSON:
        rows, params = invocations.read_invocations(body, signature)
    elif media_type == CSV:
        rows = invocations.read_csv(body, signature)
    elif media_type == arrow.CONTENT_TYPE:
        rows = arrow.read_arrow(body, signature, scorer.max_rows)
    else:
        raise _unsupported(f"Only these content types are taken: {JSON}, {CSV}, {arrow.CONTENT_TYPE}.")
    rows, keys = scorer.take(rows)
    in_arrow = _wants_arrow(media_type, accept)
    include = extras.read_accept(accept, content)
    if params is not None:
        params, more = extras.read_params(params, content)
        include = tuple(dict.fromkeys((*include, *more)))

    def write(outputs: Outputs, included: extras.Extras) -> Answer:
        if in_arrow:
            columns = {name: np.array([key[name] for key in keys]) for name in (keys[0] if keys else ())}
            payload = arrow.write_arrow(outputs, columns | extras.as_columns(included, content))
            return Answer(payload, arrow.CONTENT_TYPE, rows, outputs)
        reply = {"predictions": _listed(outputs, finite=True), **_with_keys(keys)} | extras.as_json(included, content)
        return Answer(json.dumps(reply).encode(), JSON, rows, outputs)

    return ParsedRequest(rows, params, write, include)


def _with_keys(keys: Keys) -> dict[str, Any]:
    """The keys of raw rows, where there are some."""
    return {"keys": keys} if keys else {}


def _wants_arrow(media_type: str, accept: str) -> bool:
    """Arrow for those who ask for it, and for those who send it and do not ask for JSON."""
    return arrow.CONTENT_TYPE in accept or (media_type == arrow.CONTENT_TYPE and JSON not in accept)


def _listed(outputs: Outputs, finite: bool = False) -> list[Any]:
    """Outputs as MLflow writes them: values, lists of values, or objects; `finite` writes null for NaN and infinity."""
    if isinstance(outputs, dict):
        columns = [open_inference.plain(values) if finite else values.tolist() for values in outputs.values()]
        return [dict(zip(outputs, row, strict=True)) for row in zip(*columns, strict=True)]
    if finite and outputs.dtype.kind == "f" and not np.isfinite(outputs).all():
        outputs = np.where(np.isfinite(outputs), outputs.astype(object), np.array(None, dtype=object))
    values: list[Any] = outputs.tolist()
    return values


def _typed(scorer: Scorer, body: bytes, media_type: str, accept: str, request: str) -> ParsedRequest:
    if media_type != JSON:
        raise _unsupported(f"Only {JSON} is taken here; /invocations takes CSV and Arrow.")
    rows, names = invocations.read_typed(body, scorer.bundle.signature)
    rows, keys = scorer.take(rows)
    content = scorer.bundle.content
    include = () if names is None else extras.read_include(names, content)
    model = {"model": scorer.bundle.name, "version": scorer.bundle.number}

    def write(outputs: Outputs, included: extras.Extras) -> Answer:
        reply = {"predictions": _listed(outputs, finite=True), **_with_keys(keys)} | extras.as_json(included, content) | model
        return Answer(json.dumps(reply).encode(), JSON, rows, outputs)

    return ParsedRequest(rows, None, write, include)


def _infer(scorer: Scorer, body: bytes, media_type: str, accept: str, request: str) -> ParsedRequest:
    # The protocol's clients name no content type for JSON, and this one for JSON with binary tensors behind it.
    if media_type == "application/octet-stream":
        raise _unsupported(open_inference.BINARY)
    if media_type not in (JSON, ""):
        raise _unsupported(f"Only {JSON} is taken here; /invocations takes CSV and Arrow.")
    rows, identity, wanted = open_inference.read_infer(body, scorer.bundle)
    rows, _ = scorer.take(rows)
    include = tuple(name for name in wanted or () if name in extras.available(scorer.bundle.content))

    def write(outputs: Outputs, included: extras.Extras) -> Answer:
        content = open_inference.write_infer(outputs, scorer.bundle, identity or request, wanted, included)
        return Answer(json.dumps(content).encode(), JSON, rows, outputs)

    return ParsedRequest(rows, None, write, include)


ENDPOINTS: dict[str, Callable[[Scorer, bytes, str, str, str], ParsedRequest]] = {
    "/invocations": _invocations,
    "/predict": _typed,
    "/v2/models/{name}/infer": _infer,
}
