"""The contract finds every way in which a service may not be what it was released as."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from command import mlops
from serving.conftest import serving

from mlops.config import Project
from mlops.deploy import contract
from mlops.deploy.contract import Manifest
from mlops.deploy.targets import DeployFailed
from mlops.errors import UserError
from mlops.serving.manifest import Bundle

Change = Callable[[str, int, bytes], tuple[int, bytes]]


@contextmanager
def liar(server: str, change: Change) -> Iterator[str]:
    """A server that hands on another's answers after changing them, as its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = self.rfile.read(length) if length else None
            request = urllib.request.Request(server + self.path, body, {"content-type": "application/json"})
            try:
                with urllib.request.urlopen(request) as answer:
                    status, content = answer.status, answer.read()
            except urllib.error.HTTPError as refusal:
                status, content = refusal.code, refusal.read()
            status, content = change(self.path, status, content)
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            """Nothing is logged."""

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def broken(url: str, manifest: Manifest, limit: float = 5.0) -> dict[str, str]:
    """The clauses that are not kept, with what was found."""
    return {check.name: check.detail for check in contract.check(url, manifest, limit) if not check.ok}


def test_a_server_keeps_the_contract_of_its_bundle(server: str, manifest: Manifest) -> None:
    checks = contract.hold(server, manifest)
    assert {check.name for check in checks} >= {"version", "answer by dataframe_split", "answer by infer", "metrics count"}
    assert len(checks) == 12


def test_the_manifest_says_what_the_trained_model_answers(candidate, manifest: Manifest) -> None:
    import pandas as pd

    holdout = pd.read_parquet(candidate / "holdout.parquet")
    assert manifest.content["example_prediction"] == holdout["__prediction__"].iloc[0]
    assert manifest.example == {name: holdout[name].iloc[0] for name in manifest.example}


@pytest.mark.parametrize("key", ["use_case", "number", "run_id", "commit", "digest"])
def test_another_version_breaks_it(server: str, manifest: Manifest, key: str) -> None:
    def other(path: str, status: int, body: bytes) -> tuple[int, bytes]:
        return status, json.dumps({**json.loads(body), key: "another"}).encode() if path == "/version" else body

    with liar(server, other) as url:
        faults = broken(url, manifest)
    assert list(faults) == ["version"] and faults["version"].startswith(f"{key} is 'another'")


@pytest.mark.parametrize("path, name", [("/predict", "predict"), ("/invocations", "dataframe_split"), ("/v2/", "infer")])
def test_a_model_that_answers_differently_breaks_it(server: str, manifest: Manifest, path: str, name: str) -> None:
    right = manifest.content["example_prediction"].encode()

    def other(address: str, status: int, body: bytes) -> tuple[int, bytes]:
        return status, body.replace(right, b"no-flower") if address.startswith(path) else body

    with liar(server, other) as url:
        faults = broken(url, manifest)
    assert "predicts 'no-flower', the model" in faults[f"answer by {name}"]


def test_200_to_bad_input_breaks_it(server: str, manifest: Manifest) -> None:
    with liar(server, lambda path, status, body: (200, body) if status == 400 else (status, body)) as url:
        faults = broken(url, manifest)
    assert len(faults) == 5 and all("answers 200 to bad input" in message for message in faults.values())


def test_a_refusal_without_an_explanation_breaks_it(server: str, manifest: Manifest) -> None:
    with liar(server, lambda path, status, body: (status, b"{}" if status == 400 else body)) as url:
        faults = broken(url, manifest)
    assert len(faults) == 5 and all("without an explanation" in message for message in faults.values())


def test_no_answer_within_the_limit_breaks_it(server: str, manifest: Manifest) -> None:
    def late(path: str, status: int, body: bytes) -> tuple[int, bytes]:
        time.sleep(0.3 if path == "/predict" else 0)
        return status, body

    with liar(server, late) as url:
        faults = broken(url, manifest, limit=0.15)
    assert faults["answer by predict"] == "no answer within 0.15 s"


def test_counts_that_stand_still_break_it(server: str, manifest: Manifest) -> None:
    with liar(
        server, lambda path, status, body: (status, b"mlops_predictions_total 7.0\n" if path == "/metrics" else body)
    ) as url:
        faults = broken(url, manifest)
    assert faults == {"metrics count": "mlops_predictions_total rose by 0, 4 rows were scored"}


@pytest.mark.parametrize("path", ["/ping", "/v2/health/ready"])
def test_not_ready_breaks_it(server: str, manifest: Manifest, path: str) -> None:
    with liar(server, lambda address, status, body: (503 if address == path else status, body)) as url:
        assert broken(url, manifest) == {"ready": f"{path} answers 503"}


def test_where_nothing_listens_every_clause_is_broken_and_waiting_ends(manifest: Manifest) -> None:
    assert set(broken("http://127.0.0.1:9", manifest).values()) == {"no answer (Connection refused)"}
    with pytest.raises(DeployFailed, match="not ready after 0.1 s: no answer"):
        contract.wait_ready("http://127.0.0.1:9", 0.1)
    with pytest.raises(DeployFailed, match="^it died$"):
        contract.wait_ready("http://127.0.0.1:9", 60, lambda: "it died")
    with pytest.raises(UserError, match="http or https"):
        contract.check("ftp://x", manifest)


@pytest.mark.parametrize(
    "expected, got, alike",
    [
        ("a", "a", True),
        ("a", "b", False),
        (1, 1.0, True),
        (1.0, 1.0 + 1e-12, True),
        (1.0, 1.0001, False),
        (None, float("nan"), True),
        (1.0, float("nan"), False),
        ([1.0, 2.0], [1.0, 2.0], True),
        ([1.0, 2.0], [1.0], False),
        ({"p": 0.5}, {"p": 0.5}, True),
        ({"p": 0.5}, {"q": 0.5}, False),
        (True, 1, False),
    ],
)
def test_predictions_are_the_same_within_the_tolerance_of_the_bundle(expected: object, got: object, alike: bool) -> None:
    assert contract.same(expected, got) is alike


def test_an_explanation_that_is_too_long_is_cut_between_words_with_a_mark(server: str, manifest: Manifest) -> None:
    words = [f"word{number}" for number in range(40)]
    body = json.dumps({"message": " ".join(words)}).encode()
    with liar(server, lambda path, status, content: (status, body if 400 <= status < 500 else content)) as url:
        faults = {check.name: check.detail for check in contract.check(url, manifest)}
    cut = faults["refuses no rows"].split()
    assert cut[-1] == "…" and cut[1:-1] == words[: len(cut) - 2] and len(cut) > 8


def test_the_command_shows_the_clauses_and_ends_with_1_where_one_is_broken(
    project: Project, server: str, bundle: Bundle
) -> None:
    kept = mlops("contract", server, "--bundle", bundle.folder, "--json")
    assert (kept.code, kept.value["ok"]) == (0, True)
    assert "BROKEN" not in mlops("contract", server, "--bundle", bundle.folder).out
    with liar(server, lambda path, status, body: (500 if path == "/predict" else status, body)) as url:
        done = mlops("contract", url, "--bundle", bundle.folder)
    assert done.code == 1 and "BROKEN" in done.out
    for wrong in ((), ("--bundle", bundle.folder, "--image", "x")):
        assert "either --bundle DIR or --image REF" in mlops("contract", server, *wrong).error


def test_what_the_contract_asks_for_is_counted_and_stays_out_of_the_prediction_log(
    bundle: Bundle, manifest: Manifest, tmp_path: Path
) -> None:
    with serving(bundle.folder, prediction_log=tmp_path) as (address, _):
        assert all(check.ok for check in contract.check(address, manifest))
        body = json.dumps({"rows": [manifest.example]}).encode()
        head = {"content-type": "application/json", "x-request-id": "a-client"}
        urllib.request.urlopen(urllib.request.Request(f"{address}/predict", body, head)).read()
    lines = (tmp_path / "iris.jsonl").read_text().splitlines()
    assert [json.loads(line)["request"] for line in lines] == ["a-client"]
