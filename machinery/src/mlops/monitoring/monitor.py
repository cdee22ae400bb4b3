"""One check of a use case: read the log, compare each version that answered with its reference, judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from mlops import folders, tracking
from mlops.config import Project
from mlops.errors import UserError
from mlops.monitoring import drift, labels, log, quality, rendezvous, words
from mlops.monitoring.drift import Finding
from mlops.monitoring.labels import Labels
from mlops.monitoring.log import PREDICTION, TIME, Traffic
from mlops.monitoring.quality import Quality
from mlops.monitoring.rendezvous import Rendezvous
from mlops.monitoring.words import RowFault
from mlops.registry import versions
from mlops.registry.versions import Version
from mlops.training import candidate as candidates
from mlops.training import reference

if TYPE_CHECKING:
    import pandas as pd

    from mlops.use_case import UseCase

TOO_FEW = "too few rows"
NO_REFERENCE = "no reference"
BLIND = "blind"
# What somebody is called for: the model is no longer what it was, or nobody can see whether it is.
ALARMS = ("drift", BLIND)


@dataclass(frozen=True)
class Watched:
    """One version that answered in the window.

    verdict: ok, warn, drift, TOO_FEW, or NO_REFERENCE where the store does not have the version. labelled: rows whose outcome
    is known. notes: what is wrong with the labels, in words.
    table, profile and joined are what the report draws and the proposal takes from; they are not in its value.
    """

    number: str
    aliases: tuple[str, ...]
    verdict: str
    rows: int
    first: datetime
    last: datetime
    daily: list[dict[str, Any]]
    serving: bool
    findings: list[Finding] = field(default_factory=list)
    quality: list[Quality] = field(default_factory=list)
    labelled: int = 0
    notes: tuple[str, ...] = ()
    row_faults: list[RowFault] = field(default_factory=list)
    profile: Mapping[str, Any] = field(default_factory=dict)
    table: pd.DataFrame | None = None
    joined: pd.DataFrame | None = None

    @property
    def drifted(self) -> list[str]:
        """What has drifted, in words: columns and metrics."""
        return [item.name for item in self.findings if item.verdict == "drift"] + [
            item.metric for item in self.quality if item.verdict == "drift"
        ]


@dataclass(frozen=True)
class Check:
    """The result for a use case; the verdict is the worst of the versions that answer now.

    BLIND where neither log nor store says anything of what answers now; `fault` is why, in words.
    """

    use_case: str
    description: str
    verdict: str
    min_rows: int
    log: log.Log
    versions: list[Watched]
    created: datetime
    labels: Labels | None = None
    fault: str = ""
    shadows: list[Rendezvous] = field(default_factory=list)


def run(project: Project, use_case: UseCase, address: str, since: datetime, until: datetime | None = None) -> Check:
    """Check the log at an address from `since` (UTC) until now.

    Raises UserError where there is no log or the store has none of its versions, StoreUnreachable where store or storage do
    not answer.
    """
    now = datetime.now(UTC)
    with log.fetched(address, project.root, "monitor.log_uri or --log") as place:
        read = log.read(place, use_case.name, address, since, until or now)
        pairs = rendezvous.read(place, use_case.name, read)
    monitor = use_case.config.monitor
    known = _known(project, use_case.name) if read.versions else {}
    unknown = [number for number in read.versions if number not in known]
    if read.versions and len(unknown) == len(read.versions):
        raise UserError(
            f"{use_case.name}: the store has none of the versions in the log ({', '.join(unknown)}); "
            "bring it up to date with: mlops store pull, or correct MLFLOW_TRACKING_URI"
        )
    outcomes = _labels(project, use_case, read)
    serving = read.serving(monitor.min_rows)
    watched = [
        _watch(project, use_case, traffic, known.get(number), number in serving, outcomes)
        for number, traffic in sorted(read.versions.items(), key=lambda item: item[1].last or now, reverse=True)
    ]
    fault = read.fault or _unknown([item for item in watched if item.serving])
    return Check(
        use_case.name,
        use_case.config.description,
        BLIND if fault else _verdict([item for item in watched if item.serving]),
        monitor.min_rows,
        read,
        watched,
        now,
        outcomes,
        fault,
        _shadows(project, use_case, pairs, known, outcomes),
    )


def start_of(text: str, days: float) -> datetime:
    """The start of the window in UTC: a date or time, or so many days before now where the text is empty.

    Raises UserError for a text that is no time, and for more days than there are in the calendar.
    """
    if not text:
        try:
            return datetime.now(UTC) - timedelta(days=days)
        except OverflowError:
            raise UserError(f"--days or monitor.days {days:g}: begins before the year 1; give fewer days") from None
    try:
        return log.moment(text)
    except (OverflowError, ValueError):
        raise UserError(f"--since {text}: no date or time; write it as 2026-05-31 or 2026-05-31T12:00+02:00") from None


def as_value(check: Check) -> dict[str, Any]:
    """A check as a value that JSON can hold."""
    read = check.log
    return {
        "use_case": check.use_case,
        "verdict": check.verdict,
        "fault": check.fault,
        "created": check.created.isoformat(timespec="seconds"),
        "log": {
            "address": read.address,
            "since": read.since.isoformat(timespec="seconds"),
            "until": read.until.isoformat(timespec="seconds"),
            "files": read.files,
            "rows": read.rows,
            "malformed": read.malformed,
            "outside": read.outside,
            "future": read.future,
            "newest": read.newest.isoformat() if read.newest else None,
        },
        "versions": [
            {
                "number": item.number,
                "aliases": list(item.aliases),
                "serving": item.serving,
                "verdict": item.verdict,
                "rows": item.rows,
                "labelled": item.labelled,
                "notes": list(item.notes),
                "row_faults": [asdict(fault) for fault in item.row_faults],
                "first": item.first.isoformat(),
                "last": item.last.isoformat(),
                "drifted": item.drifted,
                "findings": [asdict(finding) for finding in item.findings],
                "quality": [asdict(row) for row in item.quality],
                "daily": item.daily,
            }
            for item in check.versions
        ],
        "shadows": [asdict(item) for item in check.shadows],
    }


def _known(project: Project, use_case: str) -> dict[str, Version]:
    with tracking.open_store(project, make=False) as client:
        return {item.number: item for item in versions.all_of(client, versions.qualified(project, use_case))}


def _labels(project: Project, use_case: UseCase, read: log.Log) -> Labels | None:
    """The outcomes, where a version has enough rows for them to be asked for."""
    enough = any(traffic.rows >= use_case.config.monitor.min_rows for traffic in read.versions.values())
    return labels.load(project, use_case) if enough else None


def _shadows(
    project: Project, use_case: UseCase, pairs: rendezvous.Shadows, known: Mapping[str, Version], outcomes: Labels | None
) -> list[Rendezvous]:
    """Each shadow beside the version that answered, where the store has that."""
    compared = []
    for pair, table in pairs.items():
        if pair[0] in known:
            with folders.work_folder() as place:
                manifest = versions.fetch_files(project, known[pair[0]], [], place)
            compared.append(rendezvous.compare(project, use_case, pair, table, manifest, outcomes))
    return compared


def _unknown(serving: list[Watched]) -> str:
    """Why nothing is known of what answers now, "" where something is."""
    lost = [log.quoted(item.number) for item in serving if item.verdict == NO_REFERENCE]
    if not lost or len(lost) < len(serving):
        return ""
    return (
        f"the store does not have the version that answers now ({', '.join(lost)}): bring it up to date with mlops store pull"
    )


def _verdict(serving: list[Watched]) -> str:
    judged = [item.verdict for item in serving if item.verdict in drift.LEVELS]
    return drift.worst(judged) if judged else TOO_FEW


def _watch(
    project: Project, use_case: UseCase, traffic: Traffic, version: Version | None, serving: bool, outcomes: Labels | None
) -> Watched:
    assert traffic.first is not None and traffic.last is not None, "a version is there because of a row"
    table = traffic.table()
    facts: dict[str, Any] = {
        "number": traffic.version,
        "aliases": version.aliases if version else (),
        "rows": traffic.rows,
        "first": traffic.first,
        "last": traffic.last,
        "daily": _daily(table, traffic, use_case.config.task == "regression"),
        "serving": serving,
        "table": table,
    }
    if version is None:
        return Watched(verdict=NO_REFERENCE, **facts)
    if len(table) < use_case.config.monitor.min_rows:
        return Watched(verdict=TOO_FEW, **facts)
    manifest, profile = _reference(project, version)
    monitor = use_case.config.monitor
    findings = words.described(drift.check(profile, table, monitor), profile, table, monitor)
    joined, measured, notes = _judged_labels(project, use_case, manifest, table, outcomes, findings[0].verdict != drift.MANY)
    verdicts = [*(item.verdict for item in findings), *(item.verdict for item in measured), *("warn" for _ in notes)]
    labelled = 0 if joined is None else len(joined)
    return Watched(
        verdict=drift.worst(verdicts),
        findings=findings,
        quality=measured,
        labelled=labelled,
        notes=notes,
        row_faults=words.row_faults(profile, table),
        profile=profile,
        joined=joined,
        **facts,
    )


def _judged_labels(
    project: Project,
    use_case: UseCase,
    manifest: Mapping[str, Any],
    table: pd.DataFrame,
    outcomes: Labels | None,
    single: bool,
) -> tuple[pd.DataFrame | None, list[Quality], tuple[str, ...]]:
    """The rows whose outcome is known, the metrics on them, and what is wrong with the labels; single: one value a row."""
    if outcomes is None:
        return None, [], ()
    joined = labels.join(project, use_case, outcomes, table, manifest["problem"]["schema"])
    joined = joined[quality.fitting(joined[PREDICTION], manifest["classes"])]
    if outcomes.kind != "own" and not len(joined):
        return joined, [], (labels.nothing_joined(outcomes, use_case),)
    unknown = quality.unknown_classes(manifest, joined)
    foreign = sum(unknown.values())
    names = ", ".join(f"{log.quoted(name)} ({count})" for name, count in list(unknown.items())[:5])
    note = f"{foreign} of {len(joined)} labels are none of the model's classes: {names}"
    if 2 * foreign > len(joined):
        return joined, [], (f"{note}; the quality is not judged, correct monitor.labels",)
    enough = len(joined) >= use_case.config.monitor.min_labels and single
    measured = quality.check(use_case, manifest, joined) if enough else []
    return joined, measured, (note,) if unknown else ()


def _reference(project: Project, version: Version) -> tuple[dict[str, Any], dict[str, Any]]:
    """Manifest and reference profile of a version; one from before profiles were kept is profiled from its holdout."""
    import json

    import pandas as pd

    with folders.work_folder() as place:
        manifest = versions.fetch_files(project, version, ["reference.json"], place)
        file = place / "reference.json"
        if file.is_file():
            return manifest, json.loads(file.read_text(encoding="utf-8"))
        versions.fetch_files(project, version, ["holdout.parquet"], place)
        holdout = pd.read_parquet(place / "holdout.parquet")
    inputs = holdout[list(manifest["problem"]["schema"])]
    return manifest, reference.profile(inputs, holdout[candidates.PREDICTION].to_numpy(), manifest["classes"] is not None)


def _daily(table: pd.DataFrame, traffic: Traffic, regression: bool) -> list[dict[str, Any]]:
    """Each day's rows and outputs: mean, 10th and 90th percentile of numbers, or the share of each class.

    regression: what the use case is today; a version in its log may be of a time when it was not, or of another model.
    """
    import pandas as pd

    if table[PREDICTION].map(lambda value: isinstance(value, list | dict)).any():
        return [{"day": day, "rows": rows} for day, rows in sorted(traffic.days.items())]
    numeric = regression and pd.api.types.is_numeric_dtype(table[PREDICTION])
    days = []
    for day, predictions in table.groupby(table[TIME].map(lambda time: time.date().isoformat()))[PREDICTION]:
        row: dict[str, Any] = {"day": day, "rows": traffic.days[str(day)]}
        if numeric:
            numbers = predictions.astype(float)
            row |= {"mean": numbers.mean(), "low": numbers.quantile(0.1), "high": numbers.quantile(0.9)}
        else:
            counts = predictions.map(reference.as_category, na_action="ignore").value_counts(normalize=True)
            row["shares"] = {str(name): float(share) for name, share in counts.sort_index().items()}
        days.append(row)
    return days
