"""The gate: whether a candidate may be registered. It blocks by default, and it knows numbers only.

A candidate passes when every metric is a number and keeps its limit, the primary metric is better than the baseline's,
and neither the primary metric nor another one with a tolerance is worse than the champion's by more than its tolerance.
Where a refusal is expected, the baseline is the champion: it has to be beaten beyond chance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlops.config import Metric
from mlops.training.findings import Finding

UNEXPECTED = (
    "`expect: refused` is configured, and the model beats the baseline beyond chance: look for a leak; where there is none, "
    "remove `expect`"
)


@dataclass(frozen=True)
class Row:
    """One metric: the values of the three models on the same rows, the limit in words, and what the gate says."""

    metric: str
    candidate: float
    champion: float | None
    baseline: float
    limit: str
    verdict: str


@dataclass(frozen=True)
class Verdict:
    """What the gate says, with one reason for each refusal.

    word: `better`, `equal` or `worse` than the champion as far as the rows can tell; `first` where there is no champion;
    `new question` where the champion answers another one.
    improved: whether the primary metric beats the champion's by more than the tolerance.
    interval: of the primary metric's improvement on the champion, or on the baseline where that is the champion.
    expected: whether it is the refusal that the configuration expects: metrics that do not beat the baseline, nothing else.
    """

    passed: bool
    reasons: tuple[str, ...]
    rows: tuple[Row, ...]
    word: str
    improved: bool
    interval: tuple[float, float] | None = None
    findings: tuple[Finding, ...] = ()
    expected: bool = False

    @property
    def accepted(self) -> bool:
        """Whether nothing is wrong: the model passes, or is refused as expected."""
        return self.passed or self.expected


def goodness(direction: str, value: float) -> float:
    """A value turned so that more is better; what is not a number is worse than all."""
    if not math.isfinite(value):
        return -math.inf
    return {"higher": value, "lower": -value, "zero": -abs(value)}[direction]


def decide(
    rules: Mapping[str, Metric],
    candidate: Mapping[str, float],
    baseline: Mapping[str, float],
    champion: Mapping[str, float] | None = None,
    differs: Sequence[str] = (),
    interval: tuple[float, float] | None = None,
    new_question: bool = False,
    findings: Sequence[Finding] = (),
    on_baseline: tuple[float, float] | None = None,
) -> Verdict:
    """The verdict on a candidate.

    differs: what the candidate and the champion do not share (`target`, `split`, `schema`) though the question is declared
    to be the same; each refuses. interval: 95 % interval of the primary metric's improvement on the champion.
    findings: what the checks report; one that blocks and is not acknowledged refuses.
    on_baseline: where a refusal is expected, the 95 % interval of the improvement on the baseline.
    """
    primary, rule = next((name, rule) for name, rule in rules.items() if rule.primary)
    rows, reasons = _judged(rules, candidate, baseline, champion)
    if on_baseline and on_baseline[0] <= 0:
        low, high = on_baseline
        reasons.append(f"{primary} is not better than the baseline's beyond chance: improvement {low:+.4f} to {high:+.4f}")
    others = [
        f"{part} is not the champion's: restore it, or raise target.number where the question is a new one" for part in differs
    ]
    others += [f"{finding.rule}: {finding.detail}" for finding in findings if finding.refuses]
    numbers = all(math.isfinite(candidate[name]) for name in rules)
    if on_baseline and not reasons and not others:
        others = [UNEXPECTED]
    gain = (
        None
        if champion is None
        else goodness(rule.direction, candidate[primary]) - goodness(rule.direction, champion[primary])
    )
    shown = interval or on_baseline
    return Verdict(
        passed=not reasons and not others,
        reasons=(*reasons, *others),
        rows=tuple(rows),
        word=_word(champion is not None or on_baseline is not None, new_question or bool(differs), shown),
        improved=gain is not None and gain > rule.tolerance,
        interval=shown,
        findings=tuple(findings),
        expected=bool(on_baseline and reasons and numbers and not others),
    )


def _judged(
    rules: Mapping[str, Metric],
    candidate: Mapping[str, float],
    baseline: Mapping[str, float],
    champion: Mapping[str, float] | None,
) -> tuple[list[Row], list[str]]:
    """A row for each metric, and the reasons of those that are refused."""
    rows, reasons = list[Row](), list[str]()
    for name, rule in rules.items():
        against = None if champion is None else champion[name]
        faults = _faults(rule, candidate[name], baseline[name], against)
        rows.append(Row(name, candidate[name], against, baseline[name], limit(rule), "; ".join(faults) or "passes"))
        reasons += [f"{name} {fault}: {details}" for fault, details in faults.items()]
    return rows, reasons


def limit(rule: Metric) -> str:
    """A metric's limit in words."""
    if rule.limit is None:
        return "–"
    return {"lower": "≤ {}", "higher": "≥ {}", "zero": "within ± {}"}[rule.direction].format(f"{rule.limit:g}")


def _faults(rule: Metric, value: float, baseline: float, champion: float | None) -> dict[str, str]:
    """Each rule that is broken, in words, with the values that show it."""
    if not math.isfinite(value):
        return {"is not a number": str(value)}
    good, faults = goodness(rule.direction, value), {}
    if rule.limit is not None and good < goodness(rule.direction, rule.limit):
        faults["breaks its limit"] = f"{value:.4f}, not {limit(rule)}"
    if rule.primary and good <= goodness(rule.direction, baseline):
        faults["is no better than the baseline's"] = f"{value:.4f} against {baseline:.4f}"
    judged = rule.primary or rule.tolerance > 0
    if champion is not None and judged and good < goodness(rule.direction, champion) - rule.tolerance:
        faults[f"is worse than the champion's by more than {rule.tolerance:g}"] = f"{value:.4f} against {champion:.4f}"
    return faults


def _word(has_champion: bool, new_question: bool, interval: tuple[float, float] | None) -> str:
    if new_question:
        return "new question"
    if not has_champion:
        return "first"
    low, high = interval or (0.0, 0.0)
    if low > 0:
        return "better"
    return "worse" if high < 0 else "equal"
