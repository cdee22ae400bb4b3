"""Prometheus itself loads the rules, scrapes a service in use, and answers every query of the dashboard with figures."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving.conftest import serving
from serving.test_dashboards import expressions

from mlops.deploy import dashboards

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus is not installed (Debian: prometheus)"),
]
ROWS = {
    "dataframe_split": {"columns": ["sepal_length", "sepal_width", "petal_length", "petal_width"], "data": [[5, 3, 1, 0.2]]}
}


@pytest.fixture(scope="module")
def prometheus(flowers_bundle: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Prometheus that scrapes a server twice a second, with the project's rules."""
    folder = tmp_path_factory.mktemp("prometheus")
    dashboards.write(folder)
    with serving(flowers_bundle.folder, prediction_log=folder / "log") as (address, _):
        target = address.removeprefix("http://")
        (folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 500ms, evaluation_interval: 500ms}\nrule_files: [alerts.yaml]\n"
            f"scrape_configs: [{{job_name: mlops-iris, static_configs: [{{targets: ['{target}']}}]}}]\n"
        )
        command = [
            "prometheus",
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            "--web.listen-address=127.0.0.1:0",
        ]
        with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
            try:
                address = f"http://{listening(process)}"
                while httpx.get(f"{address}/-/ready").status_code != 200:
                    time.sleep(0.1)
                yield address
            finally:
                process.terminate()


def listening(process: subprocess.Popen[str]) -> str:
    """Where it listens, which it writes once."""
    assert process.stderr is not None
    for line in process.stderr:
        if "Listening on" in line:
            return line.rpartition("address=")[2].strip()
    raise AssertionError("prometheus ended")


def answer(prometheus: str, query: str) -> list[Any]:
    """The samples of a query at this moment."""
    reply = httpx.get(f"{prometheus}/api/v1/query", params={"query": query}).json()
    assert reply["status"] == "success", (query, reply)
    return list(reply["data"]["result"])


def test_every_query_of_the_dashboard_has_figures_of_a_service_in_use(prometheus: str, tmp_path: Path) -> None:
    address = scraped(prometheus)
    for _ in range(60):
        assert httpx.post(f"{address}/invocations", json=ROWS).status_code == 200
        time.sleep(0.1)
    dashboards.write(tmp_path)
    queries = [query for query in expressions(tmp_path)["dashboard"] if not query.startswith("label_values")]
    filled = [query.replace("$__rate_interval", "5s").replace("$__range", "5m").replace("$job", ".*") for query in queries]
    answers = {query: answer(prometheus, query) for query in filled}
    assert len(answers) >= 10 and [query for query, samples in answers.items() if not samples or "NaN" in str(samples)] == []
    [served] = answers[filled[0]]
    assert served["metric"].items() >= {"use_case": "iris", "version": "1.2.3", "job": "mlops-iris"}.items()
    [scored] = answer(prometheus, "sum(mlops_predictions_total)")
    assert float(scored["value"][1]) >= 55


def scraped(prometheus: str) -> str:
    """The address of the server that it scrapes, once it has found it."""
    for _ in range(100):
        if found := httpx.get(f"{prometheus}/api/v1/targets").json()["data"]["activeTargets"]:
            return str(found[0]["scrapeUrl"]).removesuffix("/metrics")
        time.sleep(0.1)
    raise AssertionError("no target")


def test_the_rules_are_loaded_and_a_service_that_is_well_fires_none(prometheus: str, tmp_path: Path) -> None:
    for _ in range(100):
        groups = httpx.get(f"{prometheus}/api/v1/rules").json()["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        if {rule["health"] for rule in rules} == {"ok"}:
            break
        time.sleep(0.1)
    dashboards.write(tmp_path)
    assert len(rules) == len(expressions(tmp_path)["alerts"]) >= 8
    assert {rule["name"]: rule["state"] for rule in rules if rule["state"] == "firing"} == {}, json.dumps(rules)
