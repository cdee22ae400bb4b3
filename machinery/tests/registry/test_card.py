"""The card of a version: derived from the store, the same each time, and honest about where the model is weak."""

import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import precision_recall_fscore_support

from mlops import git
from mlops.config import Project
from mlops.metrics.measures import Predictions, mae
from mlops.registry import card as cards
from mlops.registry import lineage, slices, versions
from mlops.use_case import UseCase, load_use_case


@pytest.fixture
def iris(registered: Project) -> UseCase:
    return load_use_case(registered, "iris")


@pytest.fixture
def card(registered: Project, iris: UseCase) -> cards.Card:
    return cards.make(registered, iris, versions.resolve(registered, "iris"))


def test_command_writes_markdown_whose_plots_lie_beside_it(registered: Project, command: Callable, tmp_path: Path) -> None:
    result = command("card", "iris", "@champion", "--out", str(tmp_path / "iris-1.0.0.md"))
    text = (tmp_path / "iris-1.0.0.md").read_text()
    linked = re.findall(r"!\[\w+\]\((.+?)\)", text)
    assert (result.code, result.out) == (0, "")
    assert text.startswith("# iris 1.0.0\n")
    assert linked == ["iris-1.0.0/calibration.png", "iris-1.0.0/confusion.png"]
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in linked)


def test_card_is_the_same_each_time_whatever_became_of_the_version(registered: Project, command: Callable) -> None:
    first = command("card", "iris")
    assert command("alias", "iris", "staging", "1.0.0", "--reason", "look").code == 0
    assert command("card", "iris", "1.0.0").out == first.out
    assert first.out.endswith("|\n") and "95 % interval" in first.out


def test_metrics_are_those_of_the_gate_and_lie_within_their_intervals(card: cards.Card, stored, registered: Project) -> None:
    (version,) = stored(registered)
    for item in card.facts["metrics"]:
        assert f"{item['value']:.6g}" == version.tags[f"metric.{item['metric']}"]
        assert item["low"] < item["value"] < item["high"]
    assert [item["metric"] for item in card.facts["metrics"] if item["primary"]] == ["macro_f1"]


def test_classes_are_judged_as_scikit_learn_judges_them(card: cards.Card, registered: Project, tmp_path: Path) -> None:
    rows = versions.fetch(registered, versions.resolve(registered, "iris"), tmp_path).holdout()
    expected = precision_recall_fscore_support(rows["__target__"], rows["__prediction__"], zero_division=np.nan)
    scores = [[item[name] for item in card.facts["classes_found"]] for name in ("precision", "recall", "f1", "rows")]
    np.testing.assert_allclose(scores, expected)


def test_data_are_named_with_source_licence_and_training_ranges(card: cards.Card, registered: Project) -> None:
    (item,) = card.facts["data"]
    assert item["source"].startswith("scikit-learn") and "CC BY 4.0" in item["licence"]
    rows = pd.read_csv(registered.data / "raw/iris/iris.csv")
    for name in ("sepal_length", "petal_width"):
        known = card.facts["ranges"][name]
        assert rows[name].min() <= known["low"] < known["high"] <= rows[name].max()
    assert card.facts["ranges"]["species"]["values"] == ["setosa", "versicolor", "virginica"]
    assert "flower" not in card.facts["ranges"], "a key only names a row"


def test_data_without_a_provenance_note_are_a_limit(registered: Project, iris: UseCase) -> None:
    note = registered.data / "raw/iris/README.md"
    note.write_text(note.read_text().replace("| iris.csv |", "| gone.csv |").replace("a1bbbfbd", "00000000"))
    commit(registered, "Another note")
    version = versions.resolve(registered, "iris")
    moved = replace(version, tags={**version.tags, "git_commit": git.commit(registered.root).sha})
    before = cards.make(registered, iris, version)
    assert not [limit for limit in before.facts["limits"] if "licence" in limit], "the note of the version's own commit counts"
    gone = cards._data(registered, "iris", moved.tags["git_commit"], before.facts["data"][0])
    assert (gone["source"], gone["licence"]) == (None, None)
    limits = cards._limits({**before.facts, "data": [gone]}, [], iris.config)
    assert "Source and licence are not noted for: iris.csv." in limits


def test_columns_with_personal_data_are_not_described(registered: Project, command: Callable) -> None:
    file = registered.root / "config/iris.yaml"
    file.write_text(file.read_text() + "serving: {personal: [petal_width]}\n")
    ranges = command("card", "iris", "--json").out
    assert "petal_width" not in json.loads(ranges)["ranges"] and "petal_length" in json.loads(ranges)["ranges"]


def test_an_input_with_personal_data_is_named_by_every_card_and_its_values_by_none(
    registered: Project, command: Callable
) -> None:
    file = registered.root / "config/iris.yaml"
    file.write_text(file.read_text() + "serving: {personal: [petal_width]}\n")
    markdown, hub, annex, bom = (
        command("card", "iris", *more).out for more in ((), *(("--format", name) for name in ("hf", "annex-iv", "mlbom")))
    )
    assert "| inputs | 4," in markdown
    told = "Inputs that may hold personal data, their values left out here: petal_width."
    assert all(told in card for card in (markdown, hub, annex))
    assert "`petal_width`" in hub and re.search(r"\| `petal_width` \| may hold personal data, values left out \| – \|", annex)
    inputs = json.loads(bom)["metadata"]["component"]["modelCard"]["modelParameters"]["inputs"]
    assert {"format": "petal_width (may hold personal data, values left out)"} in inputs and len(inputs) == 4


def test_what_was_made_of_a_personal_column_is_not_described_and_what_is_not_known_is_told(
    registered: Project, iris: UseCase, tmp_path: Path
) -> None:
    candidate = versions.fetch(registered, versions.resolve(registered, "iris"), tmp_path)
    manifest = {**candidate.manifest, "personal": {"leaf": ["petal_width", "petal_length"]}}
    facts = cards._described({"leaf", "scent"}, manifest, iris.config, candidate.holdout())
    assert set(facts["ranges"]) == {"sepal_length", "sepal_width", "species"}
    assert (facts["personal"], facts["personal_unknown"]) == (["petal_length", "petal_width"], ["scent"])
    assert cards._left_out(facts) == [
        "Inputs that may hold personal data, their values left out here: petal_length, petal_width.",
        "Which inputs were made of scent is not known: name them in serving.personal.",
    ]


def test_a_personal_column_makes_no_slices(registered: Project, command: Callable) -> None:
    file = registered.root / "config/iris.yaml"
    file.write_text(file.read_text() + "slices: [petal_width, petal_length]\nserving: {personal: [petal_width]}\n")
    assert {item["by"] for item in json.loads(command("card", "iris", "--json").out)["slices"]} == {"petal_length"}


def test_declared_slices_are_judged_and_an_unknown_column_is_refused(registered: Project, command: Callable) -> None:
    file = registered.root / "config/iris.yaml"
    text = file.read_text()
    file.write_text(text + "slices: [petal_width]\n")
    parts = json.loads(command("card", "iris", "--json").out)["slices"]
    assert sum(item["rows"] for item in parts) == 51 and {item["metric"] for item in parts} == {"macro_f1"}
    file.write_text(text + "slices: [petal_witdh]\n")
    result = command("card", "iris")
    assert result.code == 2 and "column petal_witdh is not in the holdout; there are: flower, sepal_length" in result.err


DAYS = pd.date_range("2024-01-01", periods=364, freq="D")


def judged(predictions: np.ndarray, simple: np.ndarray, **columns: object) -> dict[str, slices.Slice]:
    rows = pd.DataFrame({"day": DAYS, **columns})
    models = Predictions(predictions), Predictions(simple)
    parts = slices.of_rows(rows, list(columns), "day", ("mae", mae), np.zeros(len(DAYS)), models)
    return {part.name: part for part in parts}


def test_rows_with_a_time_are_judged_by_month_and_weekday_in_their_order() -> None:
    monday = (DAYS.dayofweek == 0).astype(float)
    parts = judged(5 * monday, np.ones(len(DAYS)))
    assert list(parts)[:2] == ["month 2024-01", "month 2024-02"]
    assert [name for name in parts if name.startswith("weekday")] == [f"weekday {name}" for name in slices.WEEKDAYS]
    assert (parts["weekday Monday"].candidate, parts["weekday Tuesday"].candidate) == (5.0, 0.0)
    assert parts["month 2024-02"].rows == 29
    assert parts["weekday Monday"].baseline == 1.0


def test_numbers_become_four_bands_and_few_values_stay_as_they_are() -> None:
    parts = judged(np.ones(len(DAYS)), np.ones(len(DAYS)), load=np.arange(364.0), open=[0, 1] * 182)
    bands = [part for part in parts.values() if part.by == "load"]
    assert [part.rows for part in bands] == [91, 91, 91, 91]
    assert [float(part.value.split(" to ")[0]) for part in bands] == sorted(
        float(part.value.split(" to ")[0]) for part in bands
    )
    assert (parts["open 0"].rows, parts["open 1"].rows) == (182, 182)


def test_worst_slice_and_where_the_baseline_is_better_are_reported(card: cards.Card, iris: UseCase) -> None:
    parts = [
        slices.Slice("site", "north", 200, "macro_f1", 0.95, 0.2),
        slices.Slice("site", "south", 100, "macro_f1", 0.40, 0.6),
        slices.Slice("site", "tiny", 3, "macro_f1", 0.10, 0.2),
    ]
    limits = " ".join(cards._limits(card.facts, parts, iris.config))
    assert "Worst slice of 30 rows or more: site south, macro_f1 0.4000." in limits
    assert "The baseline is the better rule in: site south." in limits
    assert re.search(r"Fewer than 30 holdout rows, .*: site tiny, species setosa", limits)


@pytest.mark.parametrize(
    ("subject", "number"),
    [
        ("Add lags (#12)", 12),
        ("Merge pull request #345 from someone/feature", 345),
        ("Fix #7 for good", None),
        ("Undo (#3) at once", None),
        ("", None),
    ],
)
def test_pull_request_is_read_from_the_messages_that_github_writes(subject: str, number: int | None) -> None:
    assert lineage.pull_request(subject) == number


def test_origin_names_commit_and_pull_request(registered: Project) -> None:
    version = versions.resolve(registered, "iris")
    commit(registered, "Better lengths (#41)")
    tags = {**version.tags, "git_commit": git.commit(registered.root).sha}
    assert lineage.origin(registered, version).pull_request is None
    origin = lineage.origin(registered, replace(version, tags=tags))
    assert (origin.pull_request, origin.subject, origin.data) == (41, "Better lengths (#41)", version.tags["data_digest"])
    unknown = lineage.origin(registered, replace(version, tags={**tags, "git_commit": "0" * 40}))
    assert (unknown.pull_request, unknown.subject, unknown.commit) == (None, None, "0" * 40)


def commit(project: Project, message: str) -> None:
    arguments = ["commit", "--quiet", "--allow-empty", "--all", "--message", message]
    subprocess.run(["git", *arguments], cwd=project.root, check=True)
