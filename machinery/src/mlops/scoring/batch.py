"""Files of any size scored in parts: bounded memory, each part written in one step, a killed run goes on where it was.

OUTPUT/predictions/part-FILE-BLOCK.parquet   key, prediction, probabilities; what it was made from stands in its metadata
OUTPUT/rejects/part-FILE-BLOCK.csv           rows that could not be scored: file, row, reason
OUTPUT/manifest.json                         version, digests of model and inputs, rows and rejects a part; written last
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops import console, digests, files, folders
from mlops.config import Project, load_use_case_config
from mlops.errors import DataError, UserError
from mlops.registry import versions
from mlops.scoring import as_trained, identity, inputs, isolation, parts, raw, row_wise, runners
from mlops.scoring.isolation import Outcome, Scorer
from mlops.scoring.parts import COUNTS, MANIFEST
from mlops.scoring.parts import PREDICTIONS as PREDICTIONS
from mlops.scoring.parts import REJECTS
from mlops.scoring.remote import Place

if TYPE_CHECKING:
    from mlops.training.candidate import Candidate


@dataclass(frozen=True)
class Batch:
    """What is scored, by what, and to where.

    origin: use case, version and digest of the model, as each part records them. files, output: paths of this machine; the
    Arrow engine takes those in storage too. jobs: how many parts are scored and written at a time. identities: those
    of the files, as far as they are begun with.
    """

    scorer: Scorer
    files: list[Any]
    output: Any
    origin: dict[str, str]
    part_rows: int
    quarantine: bool
    jobs: int = 1
    identities: identity.Ahead | None = None


# Scores the files of a batch; gets a folder for temporary files, the files put aside so far (it adds to them) and the
# progress; gives the record of each part.
Engine = Callable[[Batch, Path, dict[str, str], Callable[[float, int], None]], Iterable[dict[str, Any]]]


def score(
    project: Project,
    name: str,
    ref: str | None,
    source: str,
    output: Place,
    *,
    part_rows: int,
    quarantine: bool,
    whole: bool,
    jobs: int = 1,
    engine: Engine | None = None,
) -> dict[str, Any]:
    """Score the files of INPUT into a folder of parts; returns the manifest.

    part_rows: rows of a part; 0 for as many as the columns of the first file allow. engine: what scores the files; by
    default this process.

    Raises UserError for an input that is not there and an output that holds other things, DataError for files that are not
    written alike or rows that cannot be scored.
    """
    name = name or project.default_use_case
    found: Any = _outside(output, inputs.files_of(source))
    load_use_case_config(project, name)
    identities = None if engine else identity.Ahead(found)
    version = versions.resolve(project, name, ref)
    _check_output(output)
    with folders.work_folder() as scratch:
        candidate = versions.fetch(project, version, scratch)
        model = digests.of_value({file: sha for file, sha in candidate.manifest["files"].items() if file.startswith("model/")})
        origin = {"use_case": name, "version": version.number, "model": model, "key": candidate.key}
        parts.check_version(output, origin)
        with as_trained.use_case(project, candidate.manifest) as use_case:
            refused, stage, columns = _check_files(found, use_case, candidate, quarantine)
            known = raw.stand_in(candidate)
            runner = runners.model_of(project, version, name, raw.model_of(candidate, use_case))
            scorer = Scorer(use_case, candidate, runner, known, stage, scratch)
            chosen = [file for file in found if str(file) not in refused]
            size = part_rows or inputs.rows_of_a_part(columns)
            batch = Batch(scorer, chosen, output, origin, size, quarantine, jobs, identities)
            return _run(batch, refused, whole, engine or _parts)


def _run(batch: Batch, refused: dict[str, str], whole: bool, engine: Engine) -> dict[str, Any]:
    _share_memory()
    started = time.perf_counter()
    if isinstance(batch.output, Path):
        files.make_folder(batch.output)
    manifest = batch.output / MANIFEST
    manifest.unlink(missing_ok=True)  # where it is there, all of its parts are
    together = whole or not _is_row_wise(batch)
    if together and not whole:
        console.note(
            f"{batch.origin['use_case']}: its features need more than one row, so all rows are scored at once, in memory"
        )
    beside = batch.output if isinstance(batch.output, Path) else None
    with folders.work_folder(beside) as scratch, console.progress("scoring", "rows") as advance:
        records = list(_whole(batch, scratch) if together else engine(batch, scratch, refused, advance))
    if not sum(part["rows"] for part in records):
        raise DataError(f"{batch.files[0].parent}: there are no rows; at least one is expected")
    current = {part["part"] for part in records}
    for file in [file for folder in (PREDICTIONS, REJECTS) for file in parts.written(batch.output, folder)]:
        if file.stem not in current:
            file.unlink()
    kept = sum(part.pop("kept") for part in records)
    seconds = time.perf_counter() - started
    scored = sum(part["rows"] for part in records)
    counts = {key: sum(part[key] for part in records) for key in COUNTS}
    content = {**batch.origin, "runner": batch.scorer.runner, "refused": refused, **counts, "parts": records}
    parts.write_manifest(manifest, content)
    again = f", {kept} of {len(records)} parts were there already" if kept else ""
    console.note(f"{scored:,} rows in {seconds:.1f} s, {scored / max(seconds, 1e-9):,.0f} rows/s{again}")
    return content


def _share_memory() -> None:
    """Let all threads take memory from one heap, so that a part gets what the one before it has freed.

    By itself each thread has a heap of its own and keeps what was freed there; blocks of some megabytes, which is what columns
    are, come from the system each time and go back, which costs a quarter of the time. Source: mallopt(3), M_ARENA_MAX,
    M_MMAP_THRESHOLD (at most 32 MB), M_TRIM_THRESHOLD.
    """
    with suppress(AttributeError):  # a C library without it
        for parameter, value in ((-8, 1), (-3, 32 << 20), (-1, 256 << 20)):
            ctypes.CDLL(None).mallopt(parameter, value)


def _release_memory() -> None:
    """Give back what Arrow keeps of freed blocks: its pool has some for each of the threads that come and go in reading."""
    import pyarrow

    pyarrow.default_memory_pool().release_unused()


def _outside(output: Place, sources: Sequence[Place]) -> list[Any]:
    """The files that are no parts of the output itself, which may lie in the folder of the input."""
    inside = f"{_whole_path(output)}/"
    outside = [file for file in sources if not f"{_whole_path(file)}/".startswith(inside)]
    if not outside:
        raise UserError(f"{output}: holds the input; choose another folder")
    return outside


def _whole_path(place: Place) -> Place:
    return place.resolve() if isinstance(place, Path) else place


def _check_output(output: Place) -> None:
    """Refuse a folder that holds anything but the parts of a batch."""
    if output.is_file():
        raise UserError(f"{output}: is a file; name a folder, for the parts")
    ours = (PREDICTIONS, REJECTS, MANIFEST)
    if output.is_dir() and (foreign := sorted(item.name for item in output.iterdir() if not _is_ours(item.name, ours))):
        raise UserError(f"{output}: holds {foreign[0]}, which is no part of a batch; choose another folder")


def _is_ours(name: str, ours: tuple[str, ...]) -> bool:
    return name in ours or bool(folders.OURS.fullmatch(name)) or name.startswith(f".{MANIFEST}.")


def _check_files(
    found: Sequence[Place], use_case: Any, candidate: Candidate, quarantine: bool
) -> tuple[dict[str, str], str, dict[str, str]]:
    """The files that cannot be scored, with the reason; the stage of the rows, raw or processed; columns of the first one.

    Raises DataError for the first one where they are not put aside.
    """
    refused: dict[str, str] = {}
    first: tuple[Place, dict[str, str]] | None = None
    stage, needed = "raw", list(use_case.schema("raw").columns)
    for file in found:
        try:
            columns = inputs.columns_of(file, use_case.config.data.read)
            if first is None:
                stage, needed = _stage(columns, use_case, candidate)
                first = file, columns
            elif reason := inputs.drift(first[1], columns, needed):
                raise DataError(f"{file}: {reason} as in {first[0].name}; write all parts alike, or score it by itself")
        except DataError as error:
            put_aside(refused, file, error, quarantine)
    if first is None:
        raise DataError(f"{found[0]}: none of {len(found)} files can be read; correct the input")
    return refused, stage, first[1]


def put_aside(refused: dict[str, str], file: Place, error: DataError, quarantine: bool) -> None:
    """Note a file that cannot be scored; raises the error where files are not put aside."""
    if not quarantine:
        raise error
    refused[str(file)] = str(error).removeprefix(f"{file}: ")
    console.note(f"left out: {error}")


def _stage(columns: dict[str, str], use_case: Any, candidate: Candidate) -> tuple[str, list[str]]:
    """Raw rows where the columns of the raw schema are there, processed ones where only the model's inputs are."""
    target = use_case.config.target.column
    wanted = [name for name in use_case.schema("raw").columns if name != target]
    processed = [*candidate.manifest["problem"]["schema"], *use_case.config.key]
    if not set(wanted) <= set(columns) and set(processed) <= set(columns):
        return "processed", processed
    return "raw", wanted


def _is_row_wise(batch: Batch) -> bool:
    for file in batch.files:
        with inputs.local(file, batch.scorer.scratch) as (copy, _):
            for block in inputs.blocks(copy, min(batch.part_rows, row_wise.ROWS), _read(batch), source=file):
                return row_wise.is_row_wise(batch.scorer, block)
    return True


def _read(batch: Batch) -> Any:
    return batch.scorer.use_case.config.data.read if batch.scorer.stage == "raw" else None


def _parts(
    batch: Batch, scratch: Path, refused: dict[str, str], advance: Callable[[float, int], None]
) -> Iterator[dict[str, Any]]:
    """Score what is not there yet; gives the record of each part."""
    ahead = batch.identities or identity.Ahead(batch.files)
    sizes = [file.stat().st_size if isinstance(file, Path) else file.size for file in batch.files]
    total, count = max(sum(sizes), 1), 0
    for place, file in enumerate(batch.files):
        try:
            for part, done in _parts_of(batch, place, ahead.take(batch.files, place), scratch):
                count += part["rows"]
                advance((sum(sizes[:place]) + done * sizes[place]) / total, count)
                yield part
        except DataError as error:
            if isinstance(error, RowRefused):
                raise
            put_aside(refused, file, error, batch.quarantine)


class RowRefused(DataError):
    """Raised for a row that cannot be scored, where such rows are not put aside."""


def parts_of(
    batch: Batch, place: int, sha256: str, scratch: Path, span: tuple[int, int] | None = None
) -> Iterator[tuple[dict[str, Any], float]]:
    """Score a file, or some of its parts (first, end); gives the record of each part and the share of the file that is done.

    Raises RowRefused for a row that cannot be scored and is not put aside, DataError for a file that cannot be read.
    """
    yield from _parts_of(batch, place, {"sha256": sha256}, scratch, span)


def _parts_of(
    batch: Batch, place: int, identified: dict[str, Any], scratch: Path, span: tuple[int, int] | None = None
) -> Iterator[tuple[dict[str, Any], float]]:
    file = batch.files[place]
    first, end = span or (0, None)
    task = {**batch.origin, "file": str(file), **identified, **_form(batch), "part_rows": batch.part_rows}
    there = parts.complete(batch, place, task)
    if there and span:
        there = there[first:end]
    if there:
        yield from ((record, 1.0) for record in there)
        return
    with inputs.local(file, scratch) as (copy, digest):
        made = {"sha256": digest, **task} if digest else task
        blocks = inputs.blocks(copy, batch.part_rows, _read(batch), first, file)
        numbered = zip(range(first, end or sys.maxsize), blocks, strict=False)

        def score(number: int, block: inputs.Block) -> tuple[dict[str, Any], float]:
            name = f"part-{place:05d}-{number:05d}"
            record = parts.kept(batch, name, task)
            if record is None:
                try:
                    outcome = isolation.score(batch.scorer, block, batch.quarantine)
                except DataError as error:
                    raise RowRefused(str(error)) from error
                record = {**made, "part": name, "start": block.start, "rows": len(block), "last": block.last}
                record = parts.write(batch, record, outcome, scratch)
                _release_memory()
            return record, block.done

        yield from (score(*block) for block in numbered) if batch.jobs == 1 else _ahead(score, numbered, batch.jobs)


def _form(batch: Batch) -> dict[str, Any]:
    """Of which stage the rows are, and what they are scored by."""
    return {"stage": batch.scorer.stage, "runner": batch.scorer.runner}


def _ahead(
    score: Callable[[int, inputs.Block], tuple[dict[str, Any], float]], blocks: Iterator[tuple[int, inputs.Block]], jobs: int
) -> Iterator[tuple[dict[str, Any], float]]:
    """The results for blocks, in their order; so many are scored and written at a time, and one is read ahead of them."""
    with ThreadPoolExecutor(jobs) as pool:
        running: deque[Future[tuple[dict[str, Any], float]]] = deque()
        try:
            for number, block in blocks:
                running.append(pool.submit(score, number, block))
                del block  # else it would be kept while the next one is read
                if len(running) > jobs:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for waiting in running:
                waiting.cancel()


def _whole(batch: Batch, scratch: Path) -> Iterator[dict[str, Any]]:
    """All rows of all files as one part: no row can be left out, as others may need it."""
    import pandas as pd

    scorer, limit = batch.scorer, 2**31
    identified = {"sha256": digests.of_value([identity.of(file) for file in batch.files])}
    task = {**batch.origin, "file": ", ".join(map(str, batch.files)), **identified, **_form(batch), "part_rows": 0}
    name = "part-00000-00000"
    if kept := parts.kept(batch, name, task):
        yield kept
        return
    content = []
    for file in batch.files:
        with inputs.local(file, scratch) as (copy, _), naming(file):
            blocks = inputs.blocks(copy, limit, _read(batch), source=file)
            content += [scorer.typed(block, 0, len(block)) for block in blocks]
    if not content:
        return
    rows = pd.concat(content, ignore_index=True)
    with naming(batch.files[0]):
        answers = scorer.answers(rows, batch.files[0])
    if not len(answers):
        raise DataError(f"{batch.files[0]}: no row is left after load and features; does it need earlier rows beside them?")
    outcome = Outcome([answers], [], len(rows) - len(answers))
    yield parts.write(batch, {**task, "part": name, "start": 0, "rows": len(rows), "last": True}, outcome, scratch)


@contextmanager
def naming(file: Place) -> Iterator[None]:
    """Within it, an error about rows names their file."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{file}: {str(error).removeprefix(f'{file}: ')}") from error
