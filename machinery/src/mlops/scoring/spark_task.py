"""What a worker of Spark does for `mlops score`: unpack the model once, score parts of a file as the Arrow engine does."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops import digests
from mlops.errors import DataError
from mlops.scoring import as_trained, batch, raw, runners
from mlops.scoring.isolation import Scorer
from mlops.serving.manifest import verify
from mlops.training import candidate as candidates

if TYPE_CHECKING:
    import pyarrow

# What decides on the predictions of a model: driver and workers must agree on it.
DECISIVE = ("scikit-learn", "numpy", "pandas")
# The model that this process has unpacked, by the digest of its archive, and how its code is let go of.
_loaded: dict[str, Any] = {}
_imported = contextlib.ExitStack()


def packages(runner: str) -> dict[str, str]:
    """The versions of the packages that decide on predictions."""
    return {name: _version(name) for name in (*DECISIVE, *(["onnxruntime"] if runner == runners.ONNX else []))}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"


def each(
    function: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]],
    job: dict[str, Any],
    tasks: list[dict[str, Any]],
    rows: Iterator[pyarrow.RecordBatch],
) -> Iterator[pyarrow.RecordBatch]:
    """Run a function on the tasks whose numbers stand in the rows; gives its results as JSON. For mapInArrow."""
    import pyarrow

    # Spark has a process for each processor: more threads of numerical libraries would only wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for row in rows:
        for number in row.column(0).to_pylist():
            result = json.dumps(function(job, tasks[number]))
            yield pyarrow.record_batch({"task": pyarrow.array([number], "int64"), "result": [result]})


def parsed(result: str) -> dict[str, Any]:
    """A result as the function gave it."""
    return dict(json.loads(result))


def digest(_: dict[str, Any], task: dict[str, Any]) -> dict[str, Any]:
    """The digest of a file; none and an error where it cannot be read."""
    try:
        return {"sha256": digests.of_file(Path(task["file"])), "file": task["file"]}
    except OSError as error:
        reason = error.strerror or type(error).__name__
        return {"sha256": "", "file": task["file"], "error": f"{task['file']}: cannot be read on a worker of Spark ({reason})"}


def score(job: dict[str, Any], task: dict[str, Any]) -> dict[str, Any]:
    """Score some parts of a file. Gives the records of the parts; `error` where it stopped, `row` where a row is the cause."""
    file = job["files"][task["place"]]
    result: dict[str, Any] = {"file": file, "parts": []}
    try:
        if job["packages"] != packages(job["runner"]):
            difference = _difference(job["packages"], job["runner"])
            raise DataError(f"{file}: {difference}; give the workers the driver's environment: make spark-package")
        with tempfile.TemporaryDirectory(dir=job["scratch"]) as scratch:
            origin, output, part_rows = job["origin"], Path(job["output"]), job["part_rows"]
            work = batch.Batch(
                _scorer(job, Path(scratch)), list(map(Path, job["files"])), output, origin, part_rows, job["quarantine"]
            )
            for record, _done in batch.parts_of(work, task["place"], task["sha256"], Path(scratch), tuple(task["span"])):
                result["parts"].append(record)
    except DataError as error:
        result |= {"error": str(error), "row": isinstance(error, batch.RowRefused)}
    return result


def _difference(wanted: dict[str, str], runner: str) -> str:
    name, version = next((name, version) for name, version in packages(runner).items() if version != wanted[name])
    return f"a worker of Spark has {name} {version}, the driver {wanted[name]}"


def _scorer(job: dict[str, Any], scratch: Path) -> Scorer:
    key = hashlib.sha256(job["archive"]).hexdigest()
    if key not in _loaded:
        _loaded.clear()
        _imported.close()
        _loaded[key] = _unpacked(job["archive"])
    use_case, candidate, model = _loaded[key]
    return Scorer(use_case, candidate, model, raw.stand_in(candidate), job["stage"], scratch)


def _unpacked(archive: bytes) -> tuple[Any, Any, Any]:
    """The use case, candidate and model of an archive, for as long as this process lives."""
    from pyspark import SparkFiles

    folder = Path(tempfile.mkdtemp(dir=SparkFiles.getRootDirectory()))  # Spark removes it
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        members.extractall(folder, filter="data")
    sys.path.append(str(folder / "src"))  # where the workers have no use cases of their own
    candidate = candidates.read(folder / "candidate")
    # Left open: modules of the use case may be imported while it scores.
    use_case = _imported.enter_context(as_trained.shipped(folder / "src" / "use_cases", candidate.manifest))
    model = raw.model_of(candidate, use_case)
    if (folder / "bundle").is_dir():
        model = runners.of_bundle(verify(folder / "bundle"), model)
    return use_case, candidate, model
