"""`mlops score --engine spark`: the parts of a batch as tasks of Spark.

Each task runs what the Arrow engine runs, on some parts of one file, and writes them under the same names: a task that is
tried again, or runs twice, leaves the same files. Inputs and output are on storage that driver and workers share.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.errors import DataError, UserError
from mlops.scoring import batch as batches
from mlops.scoring import inputs, runners, spark_task
from mlops.spark import session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from mlops.scoring.batch import Batch

TASKS = 4  # a processor, so that none waits long for the last one
POLL = 0.2  # seconds between two looks at how far Spark is


def engine(log: Path, master: str) -> batches.Engine:
    """The engine for `batch.score` on a cluster, or on all processors of this machine."""
    return partial(_parts, log, master)


def _parts(
    log: Path, master: str, batch: Batch, scratch: Path, refused: dict[str, str], advance: Callable[[float, int], None]
) -> Iterator[dict[str, Any]]:
    with session.session(f"mlops score {batch.origin['use_case']}", log, master) as spark:
        job = _job(batch, scratch)
        paths = list(map(str, batch.files))
        # A file that is gone or damaged is refused where it is scored.
        digests = _run(spark, spark_task.digest, {}, [{"file": path} for path in paths], lambda share: None)
        wanted = [(place, *span) for place, file in enumerate(batch.files) for span in _spans(batch, file, spark)]
        tasks = [
            {"place": place, "sha256": digests[place]["sha256"], "span": [first, end]}
            for place, first, end in wanted
            if digests[place]["sha256"]
        ]
        results = _run(spark, spark_task.score, job, tasks, lambda share: advance(share, 0)) if tasks else []
    wrong = {result["file"]: result["error"] for result in [*results, *digests] if result.get("error")}
    if rows := [result for result in results if result.get("row")]:
        raise batches.RowRefused(rows[0]["error"])
    for file, message in wrong.items():
        batches.put_aside(refused, Path(file), DataError(message), batch.quarantine)
    for record in (record for result in results for record in result["parts"]):
        _check_shared(batch, record)
        yield record


def _spans(batch: Batch, file: Path, spark: SparkSession) -> Iterator[tuple[int, int | None]]:
    """The parts of a file that a task takes: some, where a file can be read from any of them on, else all."""
    try:
        count = inputs.count_blocks(file, batch.part_rows)
    except DataError:
        count = None
    if count is None:
        yield 0, None
        return
    size = max(1, -(-count // (TASKS * spark.sparkContext.defaultParallelism)))
    yield from ((first, min(first + size, count)) for first in range(0, count, size))


def _job(batch: Batch, scratch: Path) -> dict[str, Any]:
    """What all tasks share, with the model and the code as one archive."""
    scorer = batch.scorer
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
        archive.add(scorer.candidate.path, "candidate", filter=_without_caches)
        archive.add(scorer.use_case.package.parent, "src/use_cases", filter=_without_caches)
        if scorer.runner == runners.ONNX:
            archive.add(scorer.model.folder, "bundle")
    return {
        "archive": buffer.getvalue(),
        "files": list(map(str, batch.files)),
        "output": str(batch.output.resolve()),
        "scratch": str(scratch.resolve()),
        "origin": batch.origin,
        "part_rows": batch.part_rows,
        "quarantine": batch.quarantine,
        "stage": scorer.stage,
        "packages": spark_task.packages(scorer.runner),
        "runner": scorer.runner,
    }


def _without_caches(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "__pycache__" in member.name else member


def _run(
    spark: SparkSession, function: Any, job: dict[str, Any], tasks: list[dict[str, Any]], advance: Callable[[float], None]
) -> list[dict[str, Any]]:
    """The results of a function on each of some tasks, in their order; one task of Spark each."""
    frame = spark.range(0, len(tasks), 1, len(tasks))
    frame = frame.mapInArrow(partial(spark_task.each, function, job, tasks), "task long, result string")
    with ThreadPoolExecutor(1) as pool:
        running: Future[Any] = pool.submit(frame.collect)
        while not running.done():
            wait([running], timeout=POLL)
            advance(_share(spark, len(tasks)))
        rows = sorted(running.result(), key=lambda row: row["task"])
    return [spark_task.parsed(row["result"]) for row in rows]


def _share(spark: SparkSession, tasks: int) -> float:
    tracker = spark.sparkContext.statusTracker()
    stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
    return float(sum(stage.numCompletedTasks for stage in stages if stage) / tasks)


def _check_shared(batch: Batch, record: dict[str, Any]) -> None:
    file = batch.output / batches.PREDICTIONS / f"{record['part']}.parquet"
    if not file.is_file():
        raise UserError(
            f"{file}: a worker of Spark wrote it and it is not here; choose an OUTPUT that driver and workers share"
        )
