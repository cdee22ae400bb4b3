"""The rules that a candidate is judged by: the stricter of its own and the champion's, and what was changed between them."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from mlops import digests
from mlops.config import Metric, UseCaseConfig
from mlops.errors import UserError
from mlops.training.findings import Finding

# What a candidate was trained under: none of it may be another where it is registered.
RULES = ("task", "target", "key", "split", "metrics", "bootstrap", "checks")
# The same, of which a configuration without them holds no trace.
DECISIONS = ("threshold", "costs", "coverage", "slice_limits")
# Larger is stricter for these checks, smaller for the others.
LARGER = ("holdout_rows", "versions")


def refuse_others(use_case: str, config: UseCaseConfig, trained: Mapping[str, Any]) -> None:
    """Raise UserError naming the first rule that is not the one that a candidate was trained under."""
    ours = config.model_dump(mode="json")
    for name in (*RULES, *DECISIONS):
        known = name in trained or name in DECISIONS
        if known and ours.get(name) != trained.get(name):
            path, here, then = _difference(name, ours.get(name), trained.get(name))
            raise UserError(
                f"{use_case}: {path} is {here} here, but the candidate was trained under {then}: "
                f"train it again under these rules: mlops train {use_case}"
            )


def strictest(ours: Mapping[str, Metric], theirs: Mapping[str, Any], excused: Collection[str] = ()) -> dict[str, Metric]:
    """Our metrics with the champion's limit or tolerance wherever that is the stricter one and not excused."""
    law = {}
    for name, rule in ours.items():
        old = theirs.get(name)
        if old is None or old["direction"] != rule.direction:
            law[name] = rule
            continue
        limit, tolerance = rule.limit, rule.tolerance
        if f"metrics.{name}.limit" not in excused and _looser_limit(rule.direction, old["limit"], limit):
            limit = old["limit"]
        if f"metrics.{name}.tolerance" not in excused and _looser_tolerance(rule.primary, old["tolerance"], tolerance):
            tolerance = old["tolerance"]
        law[name] = rule.model_copy(update={"limit": limit, "tolerance": tolerance})
    return law


def changes(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[Finding]:
    """Each rule of the champion's configuration that ours gives up or loosens; what becomes stricter is no finding."""
    changed = [*_of_metrics(ours["metrics"], theirs["metrics"])]
    was, now = _primary(theirs["metrics"]), _primary(ours["metrics"])
    changed += [("primary", was, now)] if was != now else []
    for name in sorted({*theirs["split"], *ours["split"]}):
        old, new = theirs["split"].get(name), ours["split"].get(name)
        changed += [(f"split.{name}", old, new)] if old != new else []
    changed += _of_decisions(ours, theirs)
    changed += [("key", theirs["key"], ours["key"])] if theirs["key"] != ours["key"] else []
    for name, old in theirs.get("checks", {}).items():
        new = ours["checks"].get(name)
        changed += [(f"checks.{name}", old, new)] if new is None or (new < old) == (name in LARGER) and new != old else []
    return [change(*item) for item in changed]


def change(rule: str, old: Any, new: Any) -> Finding:
    """The finding of a rule that is not the champion's."""
    detail = f"was {old} and is {new}: restore it, or acknowledge it with rule, old, new and reason"
    return Finding(rule, detail, True, old, new)


def of_baseline(baseline: Callable[..., Any]) -> str:
    """The digest of the baseline's code, whatever its comments and layout; "" where its source cannot be read."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(baseline)))
    except (OSError, TypeError, SyntaxError):
        return ""
    return digests.of_text(ast.dump(tree))[:16]


def _of_decisions(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """What metrics and checks are taken of: positive class, costs, `at` of a metric, coverage, limits of slices."""
    pairs = [(name, theirs.get(name), ours.get(name)) for name in ("costs", "coverage", "slice_limits")]
    pairs.append(("target.positive", _inside(theirs, "target", "positive"), _inside(ours, "target", "positive")))
    for name in (name for name in theirs["metrics"] if name in ours["metrics"]):
        pairs.append((f"metrics.{name}.at", theirs["metrics"][name].get("at"), ours["metrics"][name].get("at")))
    return [pair for pair in pairs if pair[1] is not None and pair[1] != pair[2]]


def _inside(config: Mapping[str, Any], part: str, name: str) -> Any:
    return (config.get(part) or {}).get(name)


def _of_metrics(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name, old in theirs.items():
        new = ours.get(name)
        if new is None:
            yield f"metrics.{name}", old["limit"], None
        elif new["direction"] != old["direction"]:
            yield f"metrics.{name}.direction", old["direction"], new["direction"]
        else:
            if _looser_limit(old["direction"], old["limit"], new["limit"]):
                yield f"metrics.{name}.limit", old["limit"], new["limit"]
            if _looser_tolerance(new["primary"] and old["primary"], old["tolerance"], new["tolerance"]):
                yield f"metrics.{name}.tolerance", old["tolerance"], new["tolerance"]


def _looser_limit(direction: str, old: float | None, new: float | None) -> bool:
    if old is None or new is None:
        return old is not None and new is None
    return new < old if direction == "higher" else new > old


def _looser_tolerance(primary: bool, old: float, new: float) -> bool:
    """A metric that is not the primary one is only compared with the champion's where it has a tolerance."""
    return new > old if primary else old > 0 and (new == 0 or new > old)


def _primary(metrics: Mapping[str, Any]) -> str:
    return next(name for name, rule in metrics.items() if rule["primary"])


def _difference(path: str, ours: Any, theirs: Any) -> tuple[str, Any, Any]:
    """The path of the first value in which two trees differ, and the two values."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in sorted({*ours, *theirs}):
            if ours.get(name) != theirs.get(name):
                return _difference(f"{path}.{name}", ours.get(name), theirs.get(name))
    return path, ours, theirs
