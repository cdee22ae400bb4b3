"""The gate: every rule refuses for its own reason, and no comparison in it can change unseen."""

import ast
import math
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.config import Metric
from mlops.training import checks, gate
from mlops.training.checks import Check
from mlops.training.findings import Finding

RULES = {
    "mae": Metric(direction="lower", limit=10.0, tolerance=0.5, primary=True),
    "r2": Metric(direction="higher", limit=0.2, tolerance=0.1),
    "bias": Metric(direction="zero", limit=1.0),
}
GOOD = {"mae": 5.0, "r2": 0.8, "bias": 0.1}
BASELINE = {"mae": 8.0, "r2": 0.4, "bias": 0.0}
CHAMPION = {"mae": 5.0, "r2": 0.8, "bias": 0.1}
NAN, INF = math.nan, math.inf

# what is judged → the words that the only reason starts with; None passes
CASES = [
    ("good, no champion", GOOD, BASELINE, None, None),
    ("as good as the champion", GOOD, BASELINE, CHAMPION, None),
    ("at the limit", {**GOOD, "mae": 10.0}, {**BASELINE, "mae": 11.0}, None, None),
    ("above the limit", {**GOOD, "mae": 10.01}, {**BASELINE, "mae": 11.0}, None, "mae breaks its limit"),
    ("at the lower limit", {**GOOD, "r2": 0.2}, BASELINE, None, None),
    ("below the lower limit", {**GOOD, "r2": 0.19}, BASELINE, None, "r2 breaks its limit"),
    ("bias at the limit", {**GOOD, "bias": -1.0}, BASELINE, None, None),
    ("bias below zero beyond the limit", {**GOOD, "bias": -1.01}, BASELINE, None, "bias breaks its limit"),
    ("bias above zero beyond the limit", {**GOOD, "bias": 1.01}, BASELINE, None, "bias breaks its limit"),
    ("like the baseline", {**GOOD, "mae": 8.0}, BASELINE, None, "mae is no better than the baseline's"),
    ("worse than the baseline", {**GOOD, "mae": 9.0}, BASELINE, None, "mae is no better than the baseline's"),
    ("another metric below the baseline's", {**GOOD, "r2": 0.3}, BASELINE, None, None),
    ("worse than the champion by the tolerance", {**GOOD, "mae": 5.5}, BASELINE, CHAMPION, None),
    ("worse by more", {**GOOD, "mae": 5.51}, BASELINE, CHAMPION, "mae is worse than the champion's"),
    ("a judged metric worse by more", {**GOOD, "r2": 0.69}, BASELINE, CHAMPION, "r2 is worse than the champion's"),
    ("a metric without tolerance worse", {**GOOD, "bias": 0.9}, BASELINE, CHAMPION, None),
    ("not a number", {**GOOD, "mae": NAN}, BASELINE, None, "mae is not a number"),
    ("another metric is not a number", {**GOOD, "bias": NAN}, BASELINE, None, "bias is not a number"),
    ("infinite", {**GOOD, "r2": INF}, BASELINE, None, "r2 is not a number"),
    ("the champion's is not a number", GOOD, BASELINE, {**CHAMPION, "mae": NAN}, None),
    ("the baseline's is not a number", GOOD, {**BASELINE, "mae": NAN}, None, None),
]


# what is judged → the interval of the improvement on the baseline, whether that refusal is expected, words of the last reason
EXPECTING = [
    ("no better than the baseline", {**GOOD, "mae": 9.0}, (-1.4, -0.2), True, "beyond chance: improvement -1.4000"),
    (
        "better by what chance does",
        {**GOOD, "mae": 7.9},
        (-0.3, 0.5),
        True,
        "mae is not better than the baseline's beyond",
    ),
    ("better beyond chance, and a limit broken", {**GOOD, "r2": 0.1}, (1.0, 3.0), True, "r2 breaks its limit"),
    ("better beyond chance", GOOD, (1.0, 3.0), False, "look for a leak"),
    ("better from 0 on", GOOD, (0.0, 1.0), True, "beyond chance"),
    ("not a number", {**GOOD, "mae": NAN}, (-1.0, 1.0), False, "beyond chance"),
]


@pytest.mark.parametrize(("what", "candidate", "baseline", "champion", "reason"), CASES, ids=[case[0] for case in CASES])
def test_each_rule_refuses_for_its_own_reason(what, candidate, baseline, champion, reason):
    verdict = gate.decide(RULES, candidate, baseline, champion)
    assert verdict.passed == (reason is None)
    assert [reported[: len(str(reason))] for reported in verdict.reasons] == ([] if reason is None else [reason])


def test_every_broken_rule_is_named():
    verdict = gate.decide(RULES, {"mae": 20.0, "r2": NAN, "bias": 3.0}, BASELINE, CHAMPION)
    assert len(verdict.reasons) == 5
    assert "; " in verdict.rows[0].verdict


@pytest.mark.parametrize("part", ["target", "split", "schema (input x)"])
def test_a_different_problem_is_refused_by_name(part):
    verdict = gate.decide(RULES, GOOD, BASELINE, None, differs=[part])
    assert not verdict.passed
    assert verdict.reasons[0].startswith(f"{part} is not the champion's")


def test_a_new_question_is_decided_by_limits_and_baseline_and_reported():
    verdict = gate.decide(RULES, GOOD, BASELINE, None, new_question=True)
    assert (verdict.passed, verdict.word, verdict.improved) == (True, "new question", False)


@pytest.mark.parametrize(
    ("interval", "word"),
    [((0.1, 0.3), "better"), ((-0.1, 0.3), "equal"), ((0.0, 0.3), "equal"), ((-0.3, 0.0), "equal"), ((-0.3, -0.1), "worse")],
)
def test_the_interval_words_the_verdict(interval, word):
    assert gate.decide(RULES, GOOD, BASELINE, CHAMPION, interval=interval).word == word


def test_without_a_champion_it_is_the_first():
    assert gate.decide(RULES, GOOD, BASELINE).word == "first"


@pytest.mark.parametrize(("mae", "improved"), [(4.6, False), (4.5, False), (4.4, True), (5.4, False)])
def test_only_an_improvement_beyond_the_tolerance_is_one(mae, improved):
    assert gate.decide(RULES, {**GOOD, "mae": mae}, BASELINE, CHAMPION).improved is improved


numbers = st.floats(-20, 20) | st.sampled_from([NAN, INF, -INF, 10.0, 0.5])


def plainly_passes(rules, candidate, baseline, champion) -> bool:
    """The rules once more in other words: signed distances, where the gate compares turned values."""
    for name, rule in rules.items():
        value = candidate[name]
        if math.isnan(value) or math.isinf(value):
            return False
        sign = {"lower": 1, "higher": -1, "zero": 1}[rule.direction]

        def cost(number, zero=rule.direction == "zero", sign=sign):
            return INF if not math.isfinite(number) else abs(number) if zero else sign * number

        if rule.limit is not None and cost(value) - cost(rule.limit) > 0:
            return False
        if rule.primary and not cost(value) < cost(baseline[name]):
            return False
        if champion and (rule.primary or rule.tolerance) and -cost(value) < -cost(champion[name]) - rule.tolerance:
            return False
    return True


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_it_agrees_with_the_rules_in_other_words(data):
    candidate, baseline, champion = ({name: data.draw(numbers) for name in RULES} for _ in range(3))
    given_champion = data.draw(st.sampled_from([champion, None]))
    verdict = gate.decide(RULES, candidate, baseline, given_champion)
    assert verdict.passed == plainly_passes(RULES, candidate, baseline, given_champion)
    assert verdict.passed == (not verdict.reasons)


@settings(max_examples=200, deadline=None)
@given(worse=st.floats(0.5001, 1000), name=st.sampled_from(["mae"]))
def test_no_model_worse_than_the_champion_beyond_the_tolerance_ever_passes(worse, name):
    assert not gate.decide(RULES, {**GOOD, name: CHAMPION[name] + worse}, {**BASELINE, name: 5000.0}, CHAMPION).passed


OPPOSITE = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Is: ast.IsNot, ast.IsNot: ast.Is}
TURNED = {ast.Lt: ast.Gt, ast.LtE: ast.GtE, ast.Gt: ast.Lt, ast.GtE: ast.LtE, ast.Is: ast.IsNot, ast.IsNot: ast.Is}
SOURCE = Path(gate.__file__).read_text(encoding="utf-8")
COMPARISONS = [node.lineno for node in ast.walk(ast.parse(SOURCE)) if isinstance(node, ast.Compare)]


def changed_gate(which: int, operators: dict) -> ModuleType:
    """The gate with the operator of one comparison replaced."""
    tree = ast.parse(SOURCE)
    node = [node for node in ast.walk(tree) if isinstance(node, ast.Compare)][which]
    node.ops = [operators[type(node.ops[0])]()]
    module = ModuleType("changed_gate")
    module.__dict__["__name__"] = gate.__name__
    exec(compile(ast.fix_missing_locations(tree), "changed_gate", "exec"), module.__dict__)
    return module


def claims_hold(module) -> bool:
    """Whether every case above comes out as stated; an exception counts as no."""
    try:
        for _, candidate, baseline, champion, reason in CASES:
            verdict = module.decide(RULES, candidate, baseline, champion)
            if [reported[: len(str(reason))] for reported in verdict.reasons] != ([] if reason is None else [reason]):
                return False
        for _, candidate, interval, expected, reason in EXPECTING:
            verdict = module.decide(RULES, candidate, BASELINE, on_baseline=interval)
            if verdict.expected != expected or reason not in verdict.reasons[-1]:
                return False
        words = [
            module.decide(RULES, GOOD, BASELINE, CHAMPION, interval=pair).word
            for pair in ((0.0, 1.0), (-1.0, 0.0), (0.1, 1), (-1, -0.1))
        ]
        improved = [module.decide(RULES, {**GOOD, "mae": mae}, BASELINE, CHAMPION).improved for mae in (4.5, 4.4, 5.4)]
        none = module.decide(RULES, GOOD, BASELINE)
        limits = [module.limit(Metric(direction="lower", limit=limit)) for limit in (None, 3.0)]
        return (words, improved, none.improved, none.word, limits) == (
            ["equal", "equal", "better", "worse"],
            [False, True, False],
            False,
            "first",
            ["–", "≤ 3"],
        )
    except Exception:
        return False


def test_the_claims_hold_for_the_gate_as_it_is():
    assert claims_hold(gate)


@pytest.mark.parametrize("operators", [OPPOSITE, TURNED], ids=["boundary", "turned"])
@pytest.mark.parametrize("which", range(len(COMPARISONS)), ids=[f"line {line}" for line in COMPARISONS])
def test_changing_any_comparison_breaks_a_claim(which, operators):
    assert not claims_hold(changed_gate(which, operators))


@pytest.mark.parametrize(
    ("what", "candidate", "interval", "expected", "reason"), EXPECTING, ids=[case[0] for case in EXPECTING]
)
def test_where_a_refusal_is_expected_the_baseline_has_to_be_beaten_beyond_chance(what, candidate, interval, expected, reason):
    verdict = gate.decide(RULES, candidate, BASELINE, on_baseline=interval)
    assert (verdict.passed, verdict.expected, verdict.accepted) == (False, expected, expected)
    assert reason in verdict.reasons[-1] and verdict.interval == interval


def test_a_refusal_for_another_reason_is_not_the_expected_one():
    worse = {**GOOD, "mae": 9.0}
    leak = Finding("leaks.features", "features of the first rows change once later rows are left out")
    for others in ({"findings": [leak]}, {"differs": ["target"]}):
        verdict = gate.decide(RULES, worse, BASELINE, on_baseline=(-1.4, -0.2), **others)
        assert not verdict.accepted and len(verdict.reasons) == 3
    missed = Check("coverage", 0.5, "0.9 ± 0.02", False, 100)
    assert not checks.judged(gate.decide(RULES, worse, BASELINE, on_baseline=(-1.4, -0.2)), (missed,)).accepted
