"""Alert rules and dashboard name only metrics that the service gives, and show each of its own."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from mlops.deploy import dashboards

TESTS = Path(__file__).parents[1] / "deploy" / "alerts.test.yaml"
DOCS = Path(__file__).parents[2] / "docs" / "operations.md"
# Prometheus writes it itself for each target.
OF_PROMETHEUS = {"up"}
# Words before a bracket or an opening brace are functions or metrics; those of PromQL that the files use.
FUNCTIONS = {"changes", "count", "histogram_quantile", "increase", "label_values", "max", "rate", "sum", "time", "vector"}
WORDS = FUNCTIONS | {"by", "or"}


@pytest.fixture
def written(tmp_path: Path, command: Callable) -> Path:
    result = command("dashboards", "--out", str(tmp_path / "monitoring"))
    assert (result.code, result.err.count("written ")) == (0, 2)
    return tmp_path / "monitoring"


@pytest.fixture
def families(flowers_server: str, flowers_bundle: Any) -> dict[str, set[str]]:
    """Family → the names of its samples, of a server that has scored rows."""
    body = {
        "dataframe_split": {
            "columns": ["sepal_length", "sepal_width", "petal_length", "petal_width"],
            "data": [[5, 3, 1, 0.2]],
        }
    }
    assert httpx.post(f"{flowers_server}/invocations", json=body).status_code == 200
    text = httpx.get(f"{flowers_server}/metrics").text
    return {family.name: {sample.name for sample in family.samples} for family in text_string_to_metric_families(text)}


def expressions(folder: Path) -> dict[str, list[str]]:
    """File → its expressions in PromQL."""
    rules = yaml.safe_load((folder / "alerts.yaml").read_text())
    board = json.loads((folder / "grafana.json").read_text())
    variables = [item["query"]["query"] for item in board["templating"]["list"] if item["type"] == "query"]
    return {
        "alerts": [rule["expr"] for group in rules["groups"] for rule in group["rules"]],
        "dashboard": [target["expr"] for panel in board["panels"] for target in panel["targets"]] + variables,
    }


def metrics_in(expression: str) -> set[str]:
    """The names of metrics: words outside of braces, brackets, texts and lists of labels, functions excepted."""
    bare = re.sub(r'\{[^}]*\}|\[[^\]]*\]|"[^"]*"|\bby \([^)]*\)|, job\)', " ", expression)
    return set(re.findall(r"\b[a-z_]{2,}\b", bare)) - WORDS


def test_every_metric_of_rules_and_dashboard_is_one_that_the_service_gives(written: Path, families: dict) -> None:
    given = set().union(*families.values()) | OF_PROMETHEUS
    for name, queries in expressions(written).items():
        used = set().union(*map(metrics_in, queries))
        assert used and not used - given, name


def test_every_metric_of_the_service_itself_is_on_the_dashboard(written: Path, families: dict) -> None:
    shown = set().union(*map(metrics_in, expressions(written)["dashboard"]))
    own = {name: samples for name, samples in families.items() if name.startswith("mlops_") and not name.endswith("_created")}
    assert len(own) >= 6
    assert not [name for name, samples in own.items() if not samples & shown]


def test_labels_that_are_asked_for_are_labels_that_the_service_writes(written: Path, flowers_server: str) -> None:
    text = httpx.get(f"{flowers_server}/metrics").text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    known = {label for sample in samples for label in sample.labels} | {"job", "instance"}
    queries = [query for listed in expressions(written).values() for query in listed]
    asked = {label for query in queries for label in re.findall(r"(\w+)=~?\"", query)}
    asked |= {label for query in queries for listed in re.findall(r"by \(([^)]*)\)", query) for label in listed.split(", ")}
    assert {"status", "path", "le", "version"} <= asked <= known


def test_every_alert_is_explained_and_on_the_page(written: Path) -> None:
    rules = [rule for group in yaml.safe_load((written / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]
    assert all({"summary", "description"} <= set(rule["annotations"]) and rule["labels"]["severity"] for rule in rules)
    assert re.findall(r"^\| `(Mlops\w+)` \|", DOCS.read_text(), re.MULTILINE) == [rule["alert"] for rule in rules]


def test_panels_of_the_dashboard_have_places_of_their_own_and_the_source_that_is_chosen(written: Path) -> None:
    board = json.loads((written / "grafana.json").read_text())
    places = [
        (x, y)
        for panel in board["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(places) == len(set(places)) and max(x for x, _ in places) == 23
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert {panel["datasource"]["uid"] for panel in board["panels"]} == {"${datasource}"}


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed (Debian: prometheus)")
def test_alerts_fire_when_they_should_and_not_before(tmp_path: Path) -> None:
    dashboards.write(tmp_path)
    shutil.copy(TESTS, tmp_path)
    done = subprocess.run(["promtool", "test", "rules", TESTS.name], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtools_tests_name_every_alert(written: Path) -> None:
    rules = yaml.safe_load((written / "alerts.yaml").read_text())
    tested = {case["alertname"] for test in yaml.safe_load(TESTS.read_text())["tests"] for case in test["alert_rule_test"]}
    assert tested == {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    assert set(dashboards.SHIPPED.iterdir()) == {dashboards.SHIPPED / "alerts.yaml", dashboards.SHIPPED / "grafana.json"}
