"""What the gate asks of the data: how old, and how many beside the champion's. Figures are counted here by hand."""

import datetime

import pytest

from mlops.config import Project
from mlops.errors import ConfigError
from mlops.training import data_rules
from mlops.training.candidate import Candidate
from mlops.training.evaluate import evaluate
from mlops.training.evaluation import Champion
from mlops.training.train import train
from mlops.use_case import load_use_case

ROWS = ("data={rows: {within: 0.3}}",)
AGE = ("data={max_age: {column: date, days: 40}}",)


def beside(candidate: Candidate, rows: int) -> Champion:
    """The candidate as champion, which had another number of raw rows."""
    data = [{**candidate.manifest["data"][0], "rows": rows}]
    return Champion(
        number="1.0.0",
        fetch=lambda: candidate.path / "model",
        problem=candidate.manifest["problem"],
        target_number=1,
        manifest={**candidate.manifest, "data": data},
        holdout=candidate.holdout,
    )


@pytest.mark.parametrize("rows, refused", [(150, False), (200, False), (116, False), (115, True), (215, True)])
def test_a_set_with_many_more_or_fewer_rows_than_the_champions_is_refused(project: Project, rows: int, refused: bool) -> None:
    """150 rows are within 30 % of 116 to 214."""
    use_case = load_use_case(project, "iris", ROWS)
    candidate, _ = train(project, use_case)
    verdict = evaluate(use_case, candidate, beside(candidate, rows)).verdict
    broken = [item for item in verdict.findings if item.rule == "data.rows"]
    assert bool(broken) is refused and verdict.passed is not refused
    if broken:
        assert f"150 raw rows, the champion 1.0.0 has {rows}" in broken[0].detail


def test_an_acknowledgement_with_both_counts_lets_it_pass(project: Project) -> None:
    reason = "acknowledge=[{rule: data.rows, old: 300, new: 150, reason: half of the flowers were counted twice}]"
    use_case = load_use_case(project, "iris", (*ROWS, reason))
    candidate, _ = train(project, use_case)
    assert evaluate(use_case, candidate, beside(candidate, 300)).verdict.passed
    assert not evaluate(use_case, candidate, beside(candidate, 400)).verdict.passed


def test_without_a_champion_any_number_of_rows_passes(project: Project) -> None:
    use_case = load_use_case(project, "iris", ROWS)
    assert evaluate(use_case, train(project, use_case)[0], None).verdict.passed


def test_old_data_are_refused_by_their_newest_row(project: Project) -> None:
    config = load_use_case(project, "ridership", AGE).config
    candidate = Candidate(project.root, {"newest": "2016-08-28T00:00:00+00:00", "data": []})
    day = datetime.datetime(2016, 8, 28, tzinfo=datetime.UTC)
    assert data_rules.findings(config, candidate, None, day + datetime.timedelta(days=40)) == []
    (broken,) = data_rules.findings(config, candidate, None, day + datetime.timedelta(days=41))
    assert broken.blocks and "(date 2016-08-28) is 41 days old, at most 40 are allowed" in broken.detail


def test_training_records_the_newest_row_and_the_gate_counts_from_today(project: Project) -> None:
    from mlops.data import stages

    use_case = load_use_case(project, "ridership", AGE)
    assert data_rules.newest(use_case.config, "ridership", stages.read_interim(project, use_case)) == {
        "newest": "2016-08-28T00:00:00+00:00"
    }


def test_a_column_that_holds_no_times_is_named(project: Project) -> None:
    from mlops.data import stages

    use_case = load_use_case(project, "iris", ("data={max_age: {column: flower, days: 40}}",))
    with pytest.raises(ConfigError, match="data.max_age.column: flower is no column of times .* there are: none"):
        data_rules.newest(use_case.config, "iris", stages.read_interim(project, use_case))


def test_a_configuration_without_the_rules_keeps_its_digest(project: Project) -> None:
    assert load_use_case(project, "iris").config.model_dump(mode="json")["data"] == {"read": None}
