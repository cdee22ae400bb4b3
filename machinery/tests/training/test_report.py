"""The report: a table that GitHub can draw, plots that show something, JSON that every program reads."""

import functools
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import mlops
from matplotlib.image import imread

from mlops.config import Project, load_project
from mlops.metrics.measures import Predictions
from mlops.training import plots, report
from mlops.training.evaluate import evaluate
from mlops.training.evaluation import Champion, Evaluation
from mlops.training.probability_plots import precision_recall
from mlops.training.train import train
from mlops.use_case import load_use_case

FAST = {"iris": (), "ridership": ("parameters.n_estimators=15",)}
PLOTS = {"iris": ["confusion.png", "calibration.png"], "ridership": ["forecast.png", "residuals.png"]}


@pytest.fixture(scope="module")
def trained(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple]:
    """Project, use case and candidate of a name, which all tests here share."""
    root = shutil.copytree(template, tmp_path_factory.mktemp("trained") / "project")

    @functools.cache
    def trained(name: str) -> tuple:
        project = load_project(root)
        use_case = load_use_case(project, name, FAST[name])
        return project, use_case, train(project, use_case)[0]

    return trained


@pytest.fixture(params=["iris", "ridership"])
def evaluated(request: pytest.FixtureRequest, trained: Callable[[str], tuple]) -> tuple:
    """Project, use case, candidate and its evaluation beside a champion, which is the same model."""
    project, use_case, candidate = trained(request.param)
    champion = Champion("1.0.0", lambda: candidate.path / "model", candidate.manifest["problem"], 1)
    return project, use_case, candidate, evaluate(use_case, candidate, champion)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def tables(markdown: str) -> list[list[list[str]]]:
    """The rows of each table, its rule of dashes among them."""
    parsed: list[list[list[str]]] = [[]]
    for line in markdown.splitlines():
        if line.startswith("|"):
            parsed[-1].append(cells(line))
        elif parsed[-1]:
            parsed.append([])
    return [table for table in parsed if table]


def test_report_has_well_formed_tables_and_its_plots(evaluated: tuple) -> None:
    project, use_case, candidate, evaluation = evaluated
    file = report.write(project, use_case, candidate, evaluation, ["a note"])
    text = file.read_text()
    for table in tables(text):
        assert len({len(row) for row in table}) == 1
        assert all(re.fullmatch(":?-+:?", cell) for cell in table[1])
    metrics, relied, facts = tables(text)
    assert {row[0] for row in relied[2:]} <= set(candidate.manifest["problem"]["schema"]) and len(relied) > 2
    assert [row[0] for row in metrics[2:]] == list(use_case.config.metrics)
    assert metrics[0] == ["metric", "this model", "champion", "baseline", "limit", "verdict"]
    assert ["key", f"`{candidate.key[:16]}`"] in facts
    assert re.findall(r"!\[\w+\]\((.+?)\)", text) == [f"plots/{name}" for name in PLOTS[use_case.name]]
    assert all((file.parent / link).is_file() for link in re.findall(r"\]\((plots/.+?)\)", text))
    assert "- a note" in text.splitlines()


def test_the_chart_shows_the_primary_metric_of_all_models_and_its_limit(evaluated: tuple) -> None:
    _, use_case, candidate, evaluation = evaluated
    name, metric = next((name, metric) for name, metric in use_case.config.metrics.items() if metric.primary)
    row = next(row for row in evaluation.verdict.rows if row.metric == name)
    lines = report.chart(candidate, evaluation)
    assert (lines[0], lines.count("```")) == ("```mermaid", 1)
    assert '  x-axis ["this model", "champion 1.0.0", "baseline"]' in lines
    assert f"  bar [{row.candidate:.6g}, {row.champion:.6g}, {row.baseline:.6g}]" in lines
    assert f"  line [{', '.join([f'{metric.limit:.6g}'] * 3)}]" in lines
    low, high = re.search(r'y-axis "\w+" (\S+) --> (\S+)', "\n".join(lines)).groups()
    assert float(low) <= 0 < max(row.candidate, row.champion, row.baseline, metric.limit) < float(high)


def test_the_chart_leaves_out_what_is_no_number(evaluated: tuple) -> None:
    _, _, candidate, evaluation = evaluated

    def with_rows(**values: float) -> Evaluation:
        rows = tuple(replace(row, **values) for row in evaluation.verdict.rows)
        return replace(evaluation, verdict=replace(evaluation.verdict, rows=rows))

    assert '  x-axis ["this model", "champion 1.0.0"]' in report.chart(candidate, with_rows(baseline=float("inf")))
    assert report.chart(candidate, with_rows(candidate=float("nan"))) == []


def test_pipe_or_line_break_in_a_name_does_not_break_a_table(evaluated: tuple) -> None:
    _, _, candidate, evaluation = evaluated
    git = {**candidate.manifest["git"], "branch": "feature/a|b\nc"}
    candidate = replace(candidate, manifest={**candidate.manifest, "git": git})
    text = report.markdown(candidate, evaluation, [], [])
    assert "feature/a\\|b c" in text
    assert all(len({len(row) for row in table}) == 1 for table in tables(text))
    assert any("feature/a\\|b c" in cell for table in tables(text) for row in table for cell in row)


def test_plots_show_something_and_are_the_same_bytes_each_time(evaluated: tuple, tmp_path: Path) -> None:
    _, use_case, _, evaluation = evaluated
    drawn = plots.draw(use_case, evaluation, tmp_path)
    assert [file.name for file in drawn] == PLOTS[use_case.name]
    again = plots.draw(use_case, evaluation, tmp_path / "again")
    assert [file.read_bytes() for file in drawn] == [file.read_bytes() for file in again]
    for file in drawn:
        pixels = imread(file)[:, :, :3]
        assert pixels.shape[0] > 400 and pixels.shape[1] > 500
        assert 0.01 < (pixels.min(axis=2) < 0.9).mean() < 0.6
        assert len(np.unique(pixels.reshape(-1, 3).round(1), axis=0)) > 5


def test_every_model_that_was_evaluated_is_in_the_legends(evaluated: tuple) -> None:
    _, use_case, _, evaluation = evaluated
    figure = plots.residuals(evaluation, "rides") if use_case.name == "ridership" else plots.calibration(evaluation)
    labels = {text.get_text() for axes in figure.axes for text in (axes.get_legend().get_texts() if axes.get_legend() else [])}
    assert {"this model", "champion"} <= labels


def test_what_the_schema_calls_the_target_stands_beside_the_axes_and_the_champion_is_dashed(evaluated: tuple) -> None:
    _, use_case, _, evaluation = evaluated
    assert plots.label(use_case) == {"ridership": "rides (thousands)", "iris": "species"}[use_case.name]
    if use_case.name == "ridership":
        below = plots.forecast("date", evaluation, plots.label(use_case)).axes[1]
        styles = {line.get_label(): line.get_linestyle() == "--" for line in below.lines}
        assert below.get_ylabel() == "absolute error, rides (thousands)"
        assert styles == {"this model": False, "champion": True, "baseline": False}
    else:
        assert plots.confusion(evaluation, plots.label(use_case)).axes[0].get_ylabel() == "truth, species"


def test_precision_of_a_rare_class_fills_its_plot(trained: Callable[[str], tuple]) -> None:
    _, use_case, candidate = trained("iris")
    evaluation = evaluate(use_case, candidate, None)
    predictions = evaluation.candidate
    unsure = replace(predictions, probabilities=np.full_like(predictions.probabilities, 1 / 3))
    axes = precision_recall(replace(evaluation, candidate=unsure), 0, "setosa").axes[0]
    assert axes.get_ylim()[1] == pytest.approx(1.15 * (evaluation.truth == 0).mean())


def test_errors_of_all_models_are_counted_in_the_same_bins(trained: Callable[[str], tuple]) -> None:
    _, use_case, candidate = trained("ridership")
    evaluation = evaluate(use_case, candidate, None)
    histograms = plots.residuals(evaluation, "rides").axes[1].patches
    edges = [sorted(set(patch.get_xy()[:, 0])) for patch in histograms]
    assert len(edges) == 2
    np.testing.assert_allclose(edges[0], edges[1])


def test_prediction_that_is_no_number_is_still_drawn_and_reported(trained: Callable[[str], tuple], tmp_path: Path) -> None:
    _, use_case, candidate = trained("ridership")
    evaluation = evaluate(use_case, candidate, None)
    values = evaluation.candidate.values.copy()
    values[3] = np.nan
    broken: Evaluation = replace(evaluation, candidate=Predictions(values))
    assert len(plots.draw(use_case, broken, tmp_path)) == 2


def test_report_is_strict_json_with_all_that_the_markdown_says(evaluated: tuple) -> None:
    project, use_case, candidate, evaluation = evaluated
    rows = tuple(replace(row, baseline=float("nan")) for row in evaluation.verdict.rows)
    unsure = replace(evaluation, verdict=replace(evaluation.verdict, rows=rows))
    place = report.write(project, use_case, candidate, unsure, ["a note"]).parent

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    value = json.loads((place / "report.json").read_text(), parse_constant=refuse)
    assert (value["key"], value["champion"], value["notes"]) == (candidate.key, "1.0.0", ["a note"])
    assert [row["metric"] for row in value["verdict"]["rows"]] == list(use_case.config.metrics)
    assert {row["baseline"] for row in value["verdict"]["rows"]} == {None}


def test_model_against_itself_is_judged_equal(evaluated: tuple) -> None:
    _, _, candidate, evaluation = evaluated
    assert (evaluation.verdict.word, evaluation.verdict.interval) == ("equal", (0.0, 0.0))
    text = report.markdown(candidate, evaluation, [], [])
    assert "no difference from champion 1.0.0 that the holdout can tell (improvement +0.0000 to +0.0000" in text


def test_refused_report_names_each_reason_and_ends_with_code_1(project: Project) -> None:
    limits = ("--set", "metrics.accuracy.limit=0.999", "--set", "metrics.log_loss.limit=0.001")
    assert mlops("train", "iris", *limits).code == 0
    done = mlops("report", "iris", *limits, "--json")
    assert done.code == 1
    assert done.error.startswith("iris: the gate would refuse: accuracy breaks its limit")
    text = Path(done.value["report"]).read_text()
    assert text.startswith("## iris: ❌ refused by the gate")
    assert len(re.findall("^- ❌ ", text, re.MULTILINE)) == 2
    assert not done.value["verdict"]["passed"]
