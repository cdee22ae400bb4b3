"""Every kind of drift is found, and rows like the training rows raise no alarm."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import traffic
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.config.operations import Monitor
from mlops.errors import ConfigError
from mlops.monitoring import drift
from mlops.monitoring.drift import Finding
from mlops.training import reference


@pytest.fixture(scope="module")
def profile() -> dict:
    """What the made-up training rows look like."""
    return traffic.profile()


def check(profile: dict, rows: pd.DataFrame, outputs: np.ndarray | None = None, **settings: object) -> dict[str, Finding]:
    findings = drift.check(profile, traffic.logged(rows, outputs), Monitor.model_validate(settings))
    return {item.name: item for item in findings}


def verdicts(findings: dict[str, Finding]) -> dict[str, str]:
    return {name: item.verdict for name, item in findings.items() if item.verdict != "ok"}


@pytest.mark.parametrize("count", [100, 400, 3000])
def test_rows_from_the_same_source_raise_no_alarm(profile: dict, count: int) -> None:
    # At a level of 1 % a check, four checks of ten with an alarm would be one in hundred millions.
    loud = [seed for seed in range(1, 11) if verdicts(check(profile, traffic.rows(count, seed)))]
    assert len(loud) <= 1


def test_resampled_training_rows_raise_no_alarm() -> None:
    known = traffic.rows(300, 0)
    profile = reference.profile(known[traffic.COLUMNS], traffic.predictions(known), False)
    alarms = [verdicts(check(profile, known.sample(200, replace=True, random_state=seed))) for seed in range(15)]
    assert sum(map(bool, alarms)) <= 1


KINDS: dict[str, tuple[str, Callable[[pd.DataFrame], pd.DataFrame]]] = {
    "shift": ("weight", lambda rows: rows.assign(weight=rows["weight"] + 7)),
    "scale": ("weight", lambda rows: rows.assign(weight=70 + (rows["weight"] - 70) * 2)),
    "unit": ("income", lambda rows: rows.assign(income=rows["income"] * 1000)),
    "missing": ("weight", lambda rows: rows.assign(weight=rows["weight"].where(np.arange(len(rows)) % 5 > 0))),
    "stuck": ("weight", lambda rows: rows.assign(weight=70.0)),
    "unseen category": ("colour", lambda rows: rows.assign(colour=rows["colour"].replace("grey", "mauve"))),
    "other shares": ("colour", lambda rows: rows.assign(colour=rows["colour"].mask(np.arange(len(rows)) % 2 == 0, "blue"))),
    "unseen level": ("weekday", lambda rows: rows.assign(weekday=rows["weekday"] + 1)),
    "truth value": ("member", lambda rows: rows.assign(member=~rows["member"])),
    "later": ("seen", lambda rows: rows.assign(seen=rows["seen"] + pd.Timedelta(days=60))),
    "text for a number": ("weight", lambda rows: rows.assign(weight="n/a")),
}


@pytest.mark.parametrize(("column", "change"), KINDS.values(), ids=list(KINDS))
def test_each_kind_of_drift_is_found_in_its_column_and_in_no_other(profile: dict, column: str, change: Callable) -> None:
    plain = traffic.rows(500, 5)
    findings = check(profile, change(plain), traffic.predictions(plain))
    assert verdicts(findings) == {column: "drift"}
    assert findings[column].reasons


def test_swapped_columns_are_found_in_both(profile: dict) -> None:
    plain = traffic.rows(500, 5)
    findings = check(profile, plain.assign(weight=plain["income"], income=plain["weight"]), traffic.predictions(plain))
    assert verdicts(findings) == {"weight": "drift", "income": "drift"}


def test_outputs_that_move_alone_are_found(profile: dict) -> None:
    plain = traffic.rows(500, 5)
    assert verdicts(check(profile, plain, traffic.predictions(plain) + 2)) == {drift.OUTPUT: "drift"}


def test_a_smaller_change_warns(profile: dict) -> None:
    plain = traffic.rows(3000, 5)
    findings = check(profile, plain.assign(weight=plain["weight"] + 4), traffic.predictions(plain))
    assert verdicts(findings) == {"weight": "warn"}


def test_a_real_change_that_is_too_small_to_matter_is_ok(profile: dict) -> None:
    plain = traffic.rows(20_000, 5)
    findings = check(profile, plain.assign(weight=plain["weight"] + 1), traffic.predictions(plain))
    assert verdicts(findings) == {} and 0.05 < findings["weight"].shift < 0.2


def test_few_rows_that_look_different_by_chance_are_ok(profile: dict) -> None:
    # Twelve rows give PSI beyond 0.25 by chance alone most of the time.
    findings = [check(profile, traffic.rows(12, seed)) for seed in range(6)]
    assert any(item.psi is not None and item.psi > 0.25 for each in findings for item in each.values())
    assert [verdicts(each) for each in findings] == [{}] * 6


def test_limits_of_one_feature_take_the_place_of_the_common_ones(profile: dict) -> None:
    plain = traffic.rows(1000, 5)
    moved = plain.assign(weight=plain["weight"] + 7)
    loose = {"warn": 5, "drift": 9}
    own = {"weight": {"psi": loose, "ks": {"warn": 0.1, "drift": 0.9}}}
    assert verdicts(check(profile, moved, traffic.predictions(plain), features=own)) == {"weight": "warn"}
    assert verdicts(check(profile, moved, traffic.predictions(plain), features={"weight": {"ignore": True}})) == {
        "weight": "ignored"
    }
    common = {"psi": loose, "ks": loose, "js": loose}
    assert verdicts(check(profile, moved, traffic.predictions(plain), thresholds=common)) == {}


def test_limits_of_a_feature_that_is_not_there_are_refused(profile: dict) -> None:
    with pytest.raises(ConfigError, match="monitor.features.wieght: the model has no such input, did you mean 'weight'"):
        check(profile, traffic.rows(20, 5), features={"wieght": {"ignore": True}})


def test_a_column_that_the_log_leaves_out_is_reported_not_judged(profile: dict) -> None:
    rows = traffic.rows(200, 5)
    table = traffic.logged(rows).drop(columns="income")
    verdict_of = {item.name: item.verdict for item in drift.check(profile, table, Monitor())}
    assert verdict_of["income"] == "not logged"


def test_outputs_of_more_than_one_value_are_reported_not_judged(profile: dict) -> None:
    table = traffic.logged(traffic.rows(200, 5)).assign(__prediction__=[[1, 2]] * 200)
    assert drift.check(profile, table, Monitor())[0].verdict == "more than one value a row"


@pytest.mark.parametrize("column", traffic.COLUMNS)
def test_a_column_without_a_single_value_is_drift_by_its_gaps(profile: dict, column: str) -> None:
    rows = traffic.rows(200, 5)
    findings = check(profile, rows.assign(**{column: pd.NaT if column == "seen" else None}), traffic.predictions(rows))
    assert findings[column].verdict == "drift" and findings[column].missing == 1


def test_a_training_column_without_a_single_value_is_compared_by_its_gaps_alone() -> None:
    known = traffic.rows(200, 0).assign(income=np.nan)
    profile = reference.profile(known[traffic.COLUMNS], traffic.predictions(known), False)
    findings = check(profile, traffic.rows(200, 5))
    assert (findings["income"].verdict, findings["income"].psi, findings["income"].missing_before) == ("ok", None, 1)


@given(st.integers(0, 10_000), st.integers(30, 300))
@settings(max_examples=15, deadline=None)
def test_what_holds_of_every_finding(seed: int, count: int) -> None:
    findings = drift.check(traffic.profile(300), traffic.logged(traffic.rows(count, seed)), Monitor())
    assert findings[0].output and {item.name for item in findings[1:]} == set(traffic.COLUMNS)
    severities = [drift.severity(item.verdict) for item in findings[1:]]
    assert severities == sorted(severities, reverse=True)
    for item in findings:
        assert 0 <= item.missing <= 1 and 0 <= item.unseen <= 1
        assert item.psi is not None and item.psi >= 0 and 0 <= (item.distance or 0) <= 1
        assert bool(item.reasons) == (item.verdict != "ok")
