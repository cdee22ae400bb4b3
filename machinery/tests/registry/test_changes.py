"""What changed between versions: in the history a line a version, in a diff side by side."""

import hashlib
import json

import pytest

from mlops.config import Project

OTHER = ("parameters.regularisation=1.5",)


@pytest.fixture
def two(registered: Project, run, once) -> Project:
    """A project with two versions of iris, the second with another parameter."""
    return once("two versions", registered, lambda: run(registered, *OTHER))


def test_history_shows_metrics_and_the_parameter_that_changed_and_draws_both(two: Project, command) -> None:
    listed = json.loads(command("history", "iris", "--json").out)
    assert [item["changed"] for item in listed["versions"]] == [["regularisation 1.0 → 1.5"], []]
    assert set(listed["versions"][0]["metrics"]) == {"macro_f1", "accuracy", "log_loss"}
    assert (two.output / "reports" / "iris" / "history.png").read_bytes().startswith(b"\x89PNG")
    shown = " ".join(command("history", "iris").out.split())
    assert "1.0 → 1.5" in shown and "iris: metrics" in shown and "moves of aliases" in shown


def test_the_oldest_version_that_is_shown_still_says_what_changed(two: Project, command) -> None:
    (item,) = json.loads(command("history", "iris", "--last", "1", "--json").out)["versions"]
    assert item["changed"] == ["regularisation 1.0 → 1.5"]


def test_history_names_data_that_changed(registered: Project, run, command) -> None:
    file = registered.data / "raw" / "iris" / "more.csv"
    file.write_text("flower,sepal_length,sepal_width,petal_length,petal_width,species\n151,5.0,3.4,1.5,0.2,setosa\n")
    assert run(registered).passed
    new = f"more.csv is new (1 row, {hashlib.sha256(file.read_bytes()).hexdigest()[:12]})"
    assert json.loads(command("history", "iris", "--json").out)["versions"][0]["changed"] == [f"data: {new}"]
    compared = json.loads(command("compare", "iris", "--json").out)["runs"]
    assert [item["changed"] for item in compared] == [[f"data: {new}"], []]
    shown = json.loads(command("diff", "iris@1.0.0", "@champion", "--json").out)
    assert shown["data"] == [new] and shown["parts"] == ["data"] and not shown["configuration"]


def test_diff_of_two_versions_lays_configuration_and_metrics_side_by_side(two: Project, command) -> None:
    shown = json.loads(command("diff", "iris@1.0.0", "1.0.1", "--json").out)
    assert shown["configuration"] == [["parameters.regularisation", 1.0, 1.5]]
    assert shown["parts"] == ["configuration"] and shown["data"] == shown["pins"] == shown["code"] == []
    assert all(len(values) == 2 and None not in values for values in shown["metrics"].values())
    assert "parameters.regularisation" in command("diff", "iris@1.0.0", "1.0.1").out


def test_versions_of_two_use_cases_are_not_compared(two: Project, command) -> None:
    result = command("diff", "iris@1.0.0", "ridership@1.0.0")
    assert result.code == 2 and "of two use cases" in result.err
    result = command("diff", "iris", "iris@1.0.0")
    assert result.code == 2 and "iris is a use case; name a version of it, such as iris@champion" in result.err


@pytest.mark.parametrize("count", [2, 9, 90])
def test_what_stands_below_a_version_leaves_its_neighbours_room(count: int) -> None:
    from types import SimpleNamespace

    from mlops.registry import changes

    changed = (
        "max_leaf_nodes 31 → 15",
        "data: rides-2026-01.csv has other content (3270 rows, 0123456789ab → 3290 rows, ab12)",
    )
    listed = [changes.Step(SimpleNamespace(number=f"1.0.{place}"), {"f1": 0.9}, changed) for place in reversed(range(count))]
    figure = changes.draw(listed)
    figure.canvas.draw()
    labels = figure.axes[-1].get_xticklabels()
    boxes = sorted((label.get_window_extent() for label in labels), key=lambda box: box.x0)
    assert all(left.x1 < right.x0 for left, right in zip(boxes, boxes[1:], strict=False))
    assert labels[0].get_text().startswith(f"1.0.{count - 1}\nmax_leaf_nodes 31\n→ 15\ndata:")
    assert figure.get_figwidth() <= 40
