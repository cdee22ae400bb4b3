"""Where a refusal is expected: it is green on every path and makes no version; what else refuses stays red, a pass too."""

import csv
import random
from pathlib import Path

import pytest
from checkouts import git

from mlops import tracking
from mlops.config import Project, load_project
from mlops.registry import releases, versions


@pytest.fixture
def expecting(fresh: Project) -> Project:
    """A project whose only use case, iris, expects its refusal."""
    (fresh.root / "config" / "ridership.yaml").unlink()
    file = fresh.root / "config" / "iris.yaml"
    file.write_text(f"{file.read_text()}\nexpect: refused\n")
    return load_project(fresh.root)


@pytest.fixture
def without_a_clue(expecting: Project) -> Project:
    """That project, with the species in disorder."""
    (file,) = (expecting.root / "data/raw/iris").glob("*.csv")
    for schema in file.parent.glob("*.schema.json"):
        schema.unlink()
    head, *rows = csv.reader(file.read_text().splitlines())
    place = head.index("species")
    species = [row[place] for row in rows]
    random.Random(1).shuffle(species)
    lines = [head, *([*row[:place], name, *row[place + 1 :]] for row, name in zip(rows, species, strict=True))]
    file.write_text("".join(",".join(line) + "\n" for line in lines))
    return expecting


def runs_of(project: Project) -> list[dict[str, str]]:
    with tracking.open_store(project) as client:
        experiment = client.get_experiment_by_name("iris")
        return [run.data.tags for run in client.search_runs([experiment.experiment_id])] if experiment else []


def test_an_expected_refusal_is_green_and_the_baseline_stays_the_champion(without_a_clue: Project, command) -> None:
    done = command("run", "iris")
    assert done.code == 0, done.err
    assert "iris: refused, as expected, and the baseline stays the champion: macro_f1" in done.err
    (tags,) = runs_of(without_a_clue)
    assert (tags["gate"], tags["expected"]) == ("refused", "true")
    with tracking.open_store(without_a_clue) as client:
        assert versions.all_of(client, "iris") == []
    assert command("run", "iris", "--no-register").code == 0 and command("report", "iris").code == 0
    (report,) = (without_a_clue.output / "reports" / "iris").glob("*/report.md")
    text = report.read_text()
    assert "✅ refused, as expected: the baseline is the champion" in text and "❌" not in text
    assert "the baseline (here the champion)" in text


def test_a_commit_of_an_expected_refusal_has_a_record_without_it(without_a_clue: Project, command) -> None:
    assert command("train", "iris").code == 0
    done = command("gitflow", "register", str(without_a_clue.output / "candidates"), "--alias", "champion", "--json")
    assert done.code == 0 and "refused, as expected" in done.out
    assert releases.read(without_a_clue, git(without_a_clue.root, "rev-parse", "HEAD")) == {}


def test_a_use_case_that_expects_its_refusal_lacks_nothing_when_another_one_is_registered(
    registered: Project, tmp_path: Path, command
) -> None:
    file = registered.root / "config" / "ridership.yaml"
    file.write_text(f"{file.read_text()}\nexpect: refused\n")
    done = command("gitflow", "register", str(tmp_path / "none"), "--alias", "champion", "--only", "iris")
    assert done.code == 0, done.err
    assert releases.read(registered, git(registered.root, "rev-parse", "HEAD")) == {"iris": "1.0.0"}


def test_a_model_that_passes_against_the_expectation_is_red_and_not_registered(expecting: Project, command) -> None:
    done = command("run", "iris")
    assert done.code == 1 and "look for a leak; where there is none, remove `expect`" in done.err
    with tracking.open_store(expecting) as client:
        assert versions.all_of(client, "iris") == []
    (tags,) = runs_of(expecting)
    assert tags["gate"] == "refused" and "expected" not in tags


def test_what_expects_its_refusal_is_not_served(expecting: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlops.release import commands

    monkeypatch.setattr(commands, "commit_of", lambda project, tag: "c0ffee")
    monkeypatch.setattr(releases, "read", lambda project, commit: {})
    assert commands._served(expecting, "v1.0.0") == {}
