"""Findings: what the checks have to report, which of it refuses a candidate, and what was acknowledged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from mlops import digests
from mlops.config.checks import Acknowledgement

# These name what is in the data, not a rule that changed: an acknowledgement of one holds as long as the finding does.
LASTING = ("leaks.", "checks.")


@dataclass(frozen=True)
class Finding:
    """One finding: its name, what it is, whether it refuses, the old and new value of a changed rule.

    reason: why it was acknowledged, "" where it was not.
    """

    rule: str
    detail: str
    blocks: bool = True
    old: Any = None
    new: Any = None
    reason: str = ""

    @property
    def refuses(self) -> bool:
        """Whether it refuses the candidate: it blocks, and nobody has acknowledged it."""
        return self.blocks and not self.reason


def acknowledged(
    findings: Iterable[Finding], given: Sequence[Acknowledgement], spent: Mapping[str, str], key: str
) -> list[Finding]:
    """The findings with the reasons of what was acknowledged.

    spent: digest of an acknowledgement → the key of the version that it was spent for; for another key it excuses nothing.
    """
    excuses = {
        (item.rule, digests.of_value([item.old, item.new])): item.reason
        for item in given
        if _lasts(item) or spent.get(digest(item), key) == key
    }
    judged = [_with_reason(finding, excuses) for finding in findings]
    return judged


def idle(findings: Iterable[Finding], given: Sequence[Acknowledgement]) -> list[Finding]:
    """A note for each acknowledgement that excuses nothing, as what it names is not so, or it was spent before."""
    used = {finding.rule for finding in findings if finding.reason}
    return [
        Finding(item.rule, "the acknowledgement excuses nothing: remove it", False) for item in given if item.rule not in used
    ]


def digest(item: Acknowledgement) -> str:
    """The digest that identifies an acknowledgement among those that were spent."""
    return digests.of_value(item.model_dump(mode="json"))[:16]


def spent_by(findings: Iterable[Finding], given: Sequence[Acknowledgement]) -> list[Acknowledgement]:
    """The acknowledgements that a registration spends: those of the rules that it changed."""
    used = {finding.rule for finding in findings if finding.reason}
    return [item for item in given if item.rule in used and not _lasts(item)]


def as_values(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Findings as values that JSON can hold."""
    return [asdict(finding) for finding in findings]


def _lasts(item: Acknowledgement) -> bool:
    return item.rule.startswith(LASTING) and item.old is None and item.new is None


def _with_reason(finding: Finding, excuses: Mapping[tuple[str, str], str]) -> Finding:
    values = digests.of_value([finding.old, finding.new])
    return replace(finding, reason=excuses.get((finding.rule, values), "")) if finding.blocks else finding
