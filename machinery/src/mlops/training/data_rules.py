"""What the gate asks of the data themselves: that they are fresh, and about as many as the champion's."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from mlops.errors import ConfigError
from mlops.training.findings import Finding

if TYPE_CHECKING:
    import pandas as pd

    from mlops.config import UseCaseConfig
    from mlops.training.candidate import Candidate
    from mlops.training.evaluation import Champion


def newest(config: UseCaseConfig, name: str, interim: pd.DataFrame) -> dict[str, str]:
    """The latest time of the column that `data.max_age` names, as the manifest records it; empty without the rule.

    Raises ConfigError for a column that interim rows do not have, or that holds no times.
    """
    import pandas as pd

    rule = config.data.max_age
    if rule is None:
        return {}
    if rule.column not in interim or not pd.api.types.is_datetime64_any_dtype(interim[rule.column]):
        times = [str(column) for column in interim if pd.api.types.is_datetime64_any_dtype(interim[column])]
        raise ConfigError(
            f"config/{name}.yaml: data.max_age.column: {rule.column} is no column of times among the interim rows; "
            f"there are: {', '.join(times) or 'none'}"
        )
    latest = interim[rule.column].max()
    latest = latest.tz_localize("UTC") if latest.tzinfo is None else latest.tz_convert("UTC")
    return {"newest": latest.isoformat()}


def findings(
    config: UseCaseConfig, candidate: Candidate, champion: Champion | None, now: datetime.datetime | None = None
) -> list[Finding]:
    """The rules of the data that a candidate breaks, each of which refuses it until it is acknowledged."""
    now = now or datetime.datetime.now(datetime.UTC)
    return [*_age(config, candidate.manifest, now), *_volume(config, candidate.manifest, champion)]


def _age(config: UseCaseConfig, manifest: dict[str, Any], now: datetime.datetime) -> list[Finding]:
    rule, recorded = config.data.max_age, manifest.get("newest")
    if rule is None or recorded is None:
        return []
    age = (now - datetime.datetime.fromisoformat(recorded)).total_seconds() / 86400
    if age <= rule.days:
        return []
    detail = f"the newest row ({rule.column} {recorded[:10]}) is {age:.0f} days old, at most {rule.days:g} are allowed"
    return [Finding("data.max_age", f"{detail}: add newer data")]


def _volume(config: UseCaseConfig, manifest: dict[str, Any], champion: Champion | None) -> list[Finding]:
    rule = config.data.rows
    if rule is None or champion is None or not champion.manifest:
        return []
    before, after = (sum(item["rows"] for item in each["data"]) for each in (champion.manifest, manifest))
    if abs(after - before) <= rule.within * before:
        return []
    detail = (
        f"{after} raw rows, the champion {champion.number} has {before}: {after / before - 1:+.0%}, and ± {rule.within:.0%} "
        f"is allowed; see what is missing or doubled, or acknowledge it with rule, old: {before}, new: {after} and reason"
    )
    return [Finding("data.rows", detail, True, before, after)]
