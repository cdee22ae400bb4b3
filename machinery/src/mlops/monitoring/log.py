"""Reading the prediction log: JSON lines in rotated files, from a folder or from storage, as one table a version.

A line that cannot be read is counted and left out: a server that is writing, or was killed, leaves a half line behind.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops import folders
from mlops.errors import UserError
from mlops.serving.probes import is_probe

if TYPE_CHECKING:
    import pandas as pd

# Rows of a version that are kept at most: enough for every statistic here. Of more, each second one is kept, each fourth, …
KEPT = 50_000
STORAGE = re.compile(r"(?!file://)\w[\w+.-]+://")
KEYS = {"time": str, "version": str, "request": str, "row": int, "inputs": dict}
TIME, REQUEST, ROW, PREDICTION = "__time__", "__request__", "__row__", "__prediction__"
PROBABILITIES = "__probabilities__"  # class to probability, where the log has them


@dataclass
class Traffic:
    """What one version was asked and answered in the window; times in UTC.

    rows: all that came. days: rows of each day (YYYY-MM-DD). table: the rows that are kept, one column an input, and TIME,
    REQUEST, ROW and PREDICTION. Each `stride`-th row is kept.
    """

    version: str
    rows: int = 0
    first: datetime | None = None
    last: datetime | None = None
    days: Counter[str] = field(default_factory=Counter)
    stride: int = 1
    records: list[dict[str, Any]] = field(default_factory=list)

    def add(self, time: datetime, record: dict[str, Any]) -> None:
        """Count one row, and keep it where its turn has come."""
        if self.rows % self.stride == 0:
            facts = {TIME: time, REQUEST: record["request"], ROW: record["row"], PREDICTION: record["prediction"]}
            if isinstance(record.get("probabilities"), dict):
                facts[PROBABILITIES] = record["probabilities"]
            self.records.append({**record["inputs"], **facts})
            if len(self.records) > KEPT:
                self.records, self.stride = self.records[::2], self.stride * 2
        self.rows += 1
        self.days[time.date().isoformat()] += 1
        self.first, self.last = min(self.first or time, time), max(self.last or time, time)

    def table(self) -> pd.DataFrame:
        """The kept rows in order of time; a row that two files hold stands there once."""
        import pandas as pd

        rows = pd.DataFrame(self.records)
        return rows.drop_duplicates([TIME, REQUEST, ROW]).sort_values([TIME, REQUEST, ROW], ignore_index=True)


@dataclass
class Log:
    """What was read: its files and lines, lines that were malformed, rows outside of the window, and each version's traffic.

    outside: rows before the window or after it; `future` are those after it. probes: rows that no client asked for. beside:
    malformed lines of shadows' logs, which say nothing of the service.

    `serving` are the versions among the last rows, the ones that answer now; `newest` is the time of the last row at all.
    """

    address: str
    since: datetime
    until: datetime
    files: int = 0
    malformed: int = 0
    outside: int = 0
    future: int = 0
    probes: int = 0
    beside: int = 0
    newest: datetime | None = None
    versions: dict[str, Traffic] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows in the window, of all versions."""
        return sum(traffic.rows for traffic in self.versions.values())

    @property
    def fault(self) -> str:
        """Why the log says nothing of the service, "" where it does: silence is no sign of health."""
        newest = f"the newest is of {self.newest:%Y-%m-%d %H:%M} UTC" if self.newest else ""
        lost, read = self.malformed - self.beside, self.rows + self.outside + self.probes
        if lost > read:
            return f"{lost} of {lost + read} lines cannot be read"
        if self.future > self.rows:
            rows = self.rows or "none"
            return f"{self.future} rows lie in the future and {rows} in the window, {newest}: a clock is wrong, here or there"
        if self.rows:
            return ""
        if self.outside:
            return f"no row came since {self.since:%Y-%m-%d %H:%M} UTC, {newest}"
        return "nobody but deployments requested predictions" if self.probes else "the log is empty"

    @property
    def where(self) -> str:
        """How many files they were in."""
        return "1 file" if self.files == 1 else f"{self.files} files"

    def serving(self, number: int) -> list[str]:
        """The versions among the last `number` rows, the one that answered last first."""
        recent = sorted(
            ((record[TIME], name) for name, traffic in self.versions.items() for record in traffic.records[-number:]),
            reverse=True,
        )
        return list(dict.fromkeys(name for _, name in recent[:number]))


def resolved(address: str, folder: Path) -> str:
    """The address in storage as it is, a path as the absolute one that it is in a folder."""
    return address if STORAGE.match(address) else str(folder / address.removeprefix("file://"))


@contextmanager
def fetched(address: str, root: Path, option: str) -> Iterator[Path]:
    """Where the file or folder of an address lies on this machine: a path below the project's root, or a download.

    `option` names what the address came from. Raises UserError where nothing is there, StoreUnreachable where the storage
    does not answer.
    """
    if not STORAGE.match(address):
        path = Path(resolved(address, root))
        if not path.exists():
            raise UserError(f"{path}: nothing is there; correct {option}")
        yield path
        return
    from mlops import tracking

    with folders.work_folder() as scratch:
        yield tracking.download(address, scratch)


def read(place: Path, use_case: str, address: str, since: datetime, until: datetime) -> Log:
    """The log of a use case in a folder: <use case>.jsonl and its rotated files, also in folders below (one a replica).

    Raises UserError where no such file is there.
    """
    files = files_of(place, use_case)
    if not files:
        raise UserError(
            f"{address}: no prediction log {use_case}.jsonl there; start the server with MLOPS_SERVE_PREDICTION_LOG, "
            "and correct monitor.log_uri or --log"
        )
    log = Log(address, since, until, files=len(files))
    for file in files:
        _read_file(file, log)
    for traffic in log.versions.values():
        traffic.records.sort(key=lambda record: record[TIME])
    return log


def files_of(place: Path, use_case: str) -> list[Path]:
    """The files of a log, the oldest first where they were rotated; a file itself is taken whatever its name."""
    if place.is_file():
        return [place]
    name = re.compile(rf"{re.escape(use_case)}\.jsonl(?:\.(\d+))?(?:\.gz)?")
    files = [(file.parent, int(match[1] or 0), file) for file in place.rglob("*") if (match := name.fullmatch(file.name))]
    return [file for _, _, file in sorted(files, key=lambda item: (item[0], -item[1])) if file.is_file()]


def moment(text: str) -> datetime:
    """A time in ISO 8601 in UTC; one without a zone is UTC already. Raises ValueError for anything else.

    OverflowError where its zone moves it out of the calendar.
    """
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def quoted(text: str) -> str:
    """A foreign text in Markdown: as code, in which neither HTML nor a mention counts."""
    return "`" + text[:80].replace("`", "·") + "`"


def _read_file(file: Path, log: Log) -> None:
    try:
        with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as lines:
            for line in lines:
                if line.strip():
                    _take(line, log)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        log.malformed += 1  # a compressed file that is damaged, or whose end is missing
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror or error}); correct monitor.log_uri or --log") from None


def _take(line: bytes, log: Log) -> None:
    try:
        record = json.loads(line)
        if any(type(record[key]) is not kind for key, kind in KEYS.items()) or not record["version"].isprintable():
            raise TypeError
        time, version = moment(record["time"]), record["version"]
        record["prediction"]
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        log.malformed += 1
        return
    if is_probe(record["request"]):  # a server of an earlier version logs them
        log.probes += 1
        return
    log.newest = max(log.newest or time, time)
    if not log.since <= time <= log.until:
        log.outside += 1
        log.future += time > log.until
        return
    log.versions.setdefault(version, Traffic(version)).add(time, record)
