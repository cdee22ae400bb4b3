"""The contract of a service: the right version answers, as its model does, refuses what it cannot read, and counts.

Only what the bundle's manifest says is asked for, so that any address and any image can be held to it.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from mlops.deploy.targets import DeployFailed
from mlops.errors import UserError
from mlops.serving import probes
from mlops.serving.signature import DATATYPES

MANIFEST = "/srv/bundle/manifest.json"  # where an image keeps it
TOLERANCE = 1e-9  # relative, as between the bundle's forms of one model
LIMIT = 5.0  # seconds for one answer
PATIENCE = 60.0  # seconds from the start of a container until it is ready


class Check(NamedTuple):
    """One clause of the contract: whether it is kept, and what was found."""

    name: str
    ok: bool
    detail: str


class Broken(Exception):
    """Raised inside a check with what was found instead."""


class Manifest(NamedTuple):
    """What a bundle's manifest promises, and the manifest's own digest."""

    content: dict[str, Any]
    digest: str

    @classmethod
    def parse(cls, raw: bytes) -> Manifest:
        """Return the manifest in the bytes of its file."""
        return cls(json.loads(raw), hashlib.sha256(raw).hexdigest())

    @property
    def columns(self) -> list[dict[str, Any]]:
        """The input columns with name, type and required."""
        return list(self.content["signature"]["inputs"])

    @property
    def example(self) -> dict[str, Any]:
        """A row of the holdout, in the signature's order."""
        return {column["name"]: self.content["example"][column["name"]] for column in self.columns}


class Asker:
    """Asks one service over one kept connection; every answer has to come within `limit` seconds."""

    def __init__(self, url: str, limit: float, token: str) -> None:
        import requests

        if not url.startswith(("http://", "https://")):
            raise UserError(f"{url}: an http or https address is expected, as in http://127.0.0.1:8080")
        self.url, self.limit, self.session = url.rstrip("/"), limit, requests.Session()
        self.session.trust_env = False
        # What is asked here is no traffic: it stays out of the prediction log.
        self.session.headers["x-request-id"] = f"{probes.PREFIX}{secrets.token_hex(4)}"
        if token:
            self.session.headers["authorization"] = f"Bearer {token}"

    def __call__(self, path: str, body: Any = None, raw: bytes | None = None) -> Any:
        """Return the response; raise Broken where none comes."""
        import requests

        data = raw if raw is not None else json.dumps(body).encode() if body is not None else None
        method, headers = ("POST", {"content-type": "application/json"}) if data is not None else ("GET", {})
        began = time.monotonic()
        try:
            answer = self.session.request(
                method, self.url + path, data=data, headers=headers, timeout=self.limit, allow_redirects=False
            )
        except requests.Timeout:
            raise Broken(f"no answer within {self.limit:g} s") from None
        except requests.RequestException as error:
            raise Broken(f"no answer ({reason_of(error)})") from None
        if time.monotonic() - began > self.limit:
            raise Broken(f"the answer took more than {self.limit:g} s")
        return answer


def reason_of(error: BaseException) -> str:
    """Return the innermost reason of a connection that failed, in words."""
    while error.__context__ is not None:
        error = error.__context__
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def read_bundle(folder: Any) -> Manifest:
    """Return the manifest of a bundle's folder after the digests were verified; raise UserError for a damaged one."""
    from mlops.serving.manifest import verify

    bundle = verify(folder)
    return Manifest(bundle.content, bundle.digest)


def wait_ready(url: str, seconds: float = PATIENCE, alive: Callable[[], str] = lambda: "", limit: float = LIMIT) -> None:
    """Return when the service is ready; raise DeployFailed after `seconds`, or when `alive` says why it never will be."""
    ask = Asker(url, limit, "")
    deadline = time.monotonic() + seconds
    state = "it was not asked"
    while time.monotonic() < deadline:
        try:
            answer = ask("/v2/health/ready")
            if answer.status_code == 200:
                return
            state = f"answers {answer.status_code}"
        except Broken as broken:
            state = str(broken)
        if gone := alive():
            raise DeployFailed(gone)
        time.sleep(0.2)
    raise DeployFailed(f"{url} is not ready after {seconds:g} s: {state}")


def check(url: str, manifest: Manifest, limit: float = LIMIT, token: str = "") -> list[Check]:
    """Return every clause of the contract with what was found at `url`; `limit` is in seconds an answer."""
    ask = Asker(url, limit, token)
    before: dict[str, float] = {}
    clauses: list[tuple[str, Callable[[], str]]] = [
        ("ready", lambda: _ready(ask)),
        ("version", lambda: _version(ask, manifest)),
        ("counts before", lambda: _counts_before(ask, before)),
        *_answers(ask, manifest),
        *_refusals(ask, manifest),
        ("metrics count", lambda: _counted(ask, before, len(_bodies(manifest)))),
    ]
    checks = []
    for name, clause in clauses:
        try:
            checks.append(Check(name, True, clause()))
        except Broken as broken:
            checks.append(Check(name, False, str(broken)))
    return [item for item in checks if not (item.ok and item.name == "counts before")]


def check_version(url: str, manifest: Manifest, token: str = "") -> list[Check]:
    """Return the one check of which version answers at `url`."""
    try:
        return [Check("version", True, _version(Asker(url, LIMIT, token), manifest))]
    except Broken as broken:
        return [Check("version", False, str(broken))]


def hold(url: str, manifest: Manifest, limit: float = LIMIT, token: str = "") -> list[Check]:
    """Return the checks where all are kept; raise DeployFailed naming those that are not."""
    checks = check(url, manifest, limit, token)
    if broken := [f"{item.name}: {item.detail}" for item in checks if not item.ok]:
        raise DeployFailed(f"the contract is broken: {'; '.join(broken)}")
    return checks


def counters(text: str) -> dict[str, float]:
    """Return the samples of a metrics page, name with labels → value."""
    pairs = re.findall(r"^([a-zA-Z_:][^ \n]*(?:\{[^\n]*\})?) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in pairs}


def _ready(ask: Asker) -> str:
    for path in ("/ping", "/v2/health/ready"):
        if (status := ask(path).status_code) != 200:
            raise Broken(f"{path} answers {status}")
    return "/ping and /v2/health/ready answer 200"


def _version(ask: Asker, manifest: Manifest) -> str:
    served = _object(ask("/version"), "/version")
    version = manifest.content["version"]
    wanted = {"use_case": manifest.content["use_case"], "number": version["number"], "digest": manifest.digest}
    wanted |= {key: version[key] for key in ("run_id", "commit") if key in version}
    for key, value in wanted.items():
        if served.get(key) != value:
            raise Broken(f"{key} is {served.get(key)!r}, {value!r} is expected")
    return f"{wanted['use_case']} {wanted['number']}, bundle {manifest.digest[:12]}"


def _bodies(manifest: Manifest) -> dict[str, tuple[str, Any]]:
    """Return the example in every protocol that takes it: name → path and body."""
    row, name = manifest.example, manifest.content["use_case"]
    tensors = [
        {
            "name": column["name"],
            "shape": [1],
            "datatype": DATATYPES.get(column["type"], "BYTES"),
            "data": [row[column["name"]]],
        }
        for column in manifest.columns
    ]
    return {
        "dataframe_split": ("/invocations", {"dataframe_split": {"columns": list(row), "data": [list(row.values())]}}),
        "dataframe_records": ("/invocations", {"dataframe_records": [row]}),
        "predict": ("/predict", {"rows": [row]}),
        "infer": (f"/v2/models/{name}/infer", {"inputs": tensors}),
    }


def _answers(ask: Asker, manifest: Manifest) -> Iterator[tuple[str, Callable[[], str]]]:
    for name, (path, body) in _bodies(manifest).items():
        yield f"answer by {name}", lambda path=path, body=body: _answer(ask, path, body, manifest)  # type: ignore[misc]


def _answer(ask: Asker, path: str, body: Any, manifest: Manifest) -> str:
    if "example_prediction" not in manifest.content:
        raise Broken("the bundle does not say what its model answers: bundle again")
    expected = manifest.content["example_prediction"]
    answer = ask(path, body)
    if answer.status_code != 200:
        raise Broken(f"{path} answers {answer.status_code}: {_short(answer.text, 200)}")
    content = _object(answer, path)
    try:
        got = _of_tensors(content["outputs"], expected) if "outputs" in content else content["predictions"][0]
    except (KeyError, IndexError, TypeError):
        raise Broken(f"{path} answers without a prediction: {_short(answer.text, 200)}") from None
    if not same(expected, got):
        raise Broken(f"{path} predicts {got!r}, the model {expected!r}")
    return f"{got!r} as the model"


def _of_tensors(outputs: list[dict[str, Any]], expected: Any) -> Any:
    """Return the prediction for one row from the tensors of the Open Inference Protocol."""
    if isinstance(expected, dict):
        return {tensor["name"]: tensor["data"][0] for tensor in outputs}
    return outputs[0]["data"] if isinstance(expected, list) else outputs[0]["data"][0]


def same(expected: Any, got: Any) -> bool:
    """Return whether two predictions are the same: text and whole numbers equal, other numbers within 1e-9 of each other."""
    if isinstance(expected, dict) and isinstance(got, dict):
        return expected.keys() == got.keys() and all(same(expected[key], got[key]) for key in expected)
    if isinstance(expected, list) and isinstance(got, list):
        return len(expected) == len(got) and all(map(same, expected, got))
    if isinstance(got, float) and not math.isfinite(got):
        return expected is None
    if _number(expected) and _number(got):
        return bool(abs(expected - got) <= TOLERANCE * max(1.0, abs(expected)))
    return type(expected) is type(got) and bool(expected == got)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _refusals(ask: Asker, manifest: Manifest) -> Iterator[tuple[str, Callable[[], str]]]:
    wrong = {name: {"no": "value"} for name in manifest.example}
    bad: dict[str, tuple[str, bytes]] = {
        "refuses what is not JSON": ("/invocations", b'{"dataframe_split": '),
        "refuses wrong values": ("/invocations", json.dumps({"dataframe_records": [wrong]}).encode()),
        "refuses wrong values in predict": ("/predict", json.dumps({"rows": [wrong]}).encode()),
        "refuses no rows": ("/predict", b'{"rows": []}'),
    }
    if lacking := next((column["name"] for column in manifest.columns if column.get("required", True)), None):
        short = {name: value for name, value in manifest.example.items() if name != lacking}
        split = {"columns": list(short), "data": [list(short.values())]}
        bad["refuses a missing column"] = ("/invocations", json.dumps({"dataframe_split": split}).encode())
    for name, (path, raw) in bad.items():
        yield name, lambda path=path, raw=raw: _refused(ask, path, raw)  # type: ignore[misc]


def _refused(ask: Asker, path: str, raw: bytes) -> str:
    answer = ask(path, raw=raw)
    if not 400 <= answer.status_code < 500:
        raise Broken(f"{path} answers {answer.status_code} to bad input")
    message = _object(answer, path).get("message")
    if not isinstance(message, str) or not message.strip():
        raise Broken(f"{path} answers {answer.status_code} without an explanation")
    return f"{answer.status_code}: {_short(message, 80)}"


def _short(text: str, longest: int) -> str:
    """A text of at most so many characters, cut between words where it can be, with a mark where it was cut."""
    if len(text) <= longest:
        return text
    cut = text[: longest - 2]
    return f"{cut.rpartition(' ')[0] or cut} …"


def _counts_before(ask: Asker, before: dict[str, float]) -> str:
    before |= _counts(ask)
    return "read"


def _counts(ask: Asker) -> dict[str, float]:
    answer = ask("/metrics")
    if answer.status_code != 200:
        raise Broken(f"/metrics answers {answer.status_code}")
    return counters(answer.text)


def _counted(ask: Asker, before: dict[str, float], rows: int) -> str:
    name = "mlops_predictions_total"
    risen = _counts(ask).get(name, math.nan) - before.get(name, math.nan)
    if not risen >= rows:
        raise Broken(f"{name} rose by {risen:g}, {rows} rows were scored")
    return f"{name} rose by {risen:g}"


def _object(answer: Any, path: str) -> dict[str, Any]:
    try:
        content = answer.json()
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise Broken(f"{path} does not answer with a JSON object")
    return content


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Put the place before the reason of a failed deployment."""
    try:
        yield
    except DeployFailed as failed:
        raise DeployFailed(f"{where}: {failed}") from None
