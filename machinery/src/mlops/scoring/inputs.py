"""The files of a batch: which they are, whether they are written alike, and their rows in blocks of a bounded size."""

from __future__ import annotations

import glob
import gzip
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.config.reading import Read
from mlops.errors import DataError, UserError, first_line
from mlops.scoring import remote
from mlops.scoring.remote import Place, RemotePath

if TYPE_CHECKING:
    import pyarrow

ARROW = (".arrow", ".feather", ".ipc")
CSV = (".csv", ".csv.gz", ".tsv")
ENDINGS = (".parquet", *ARROW, *CSV)
# Lines that one record of a CSV file may span: a quotation mark that nobody closes would take in the rest of the file.
RECORD_LINES = 10_000
HEAD = 2**20  # bytes of a CSV file in storage that its columns are read from
BUFFER = 2**20  # bytes of a column of Parquet that are read at once
# What a part may hold: values, of which one that is no number, or has no type yet, counts as several; and rows at most.
CELLS, TEXT, MOST_ROWS = 2_000_000, 3, 100_000
HINT = "restore the file, or export it again"


@dataclass(frozen=True)
class Block:
    """Rows of one file, which may lie in object storage, small enough to be scored at once.

    start: the rows of the file before it. done: the share of the file that has been read. last: the file ends with it.
    places: where its rows stand in the block that they are chosen from; none where it is whole.
    """

    source: Place
    start: int
    content: pyarrow.Table | list[str]
    head: str
    encoding: str
    done: float
    last: bool
    places: tuple[int, ...] = ()

    def __len__(self) -> int:
        """Its number of rows."""
        return len(self.content)

    def row(self, position: int) -> int:
        """Where a row of it stands in the file, from 1; lines above the first row of a CSV file count."""
        position = self.places[position] if self.places else position
        return self.start + position + 1 + self.head.count("\n")

    def only(self, kept: list[int]) -> Block:
        """Some of its rows as a block, which knows where they stand in the file."""
        rows = self.content
        chosen = [rows[place] for place in kept] if isinstance(rows, list) else rows.take(kept)
        return replace(self, content=chosen, places=tuple(self.places[place] if self.places else place for place in kept))

    def write(self, folder: Path, first: int, end: int) -> Path:
        """A file with some of its rows, as the source has them; it takes the place of the one before."""
        if isinstance(self.content, list):
            file = folder / f"rows{'.tsv' if self.source.suffix == '.tsv' else '.csv'}"
            file.write_text(self.head + "".join(self.content[first:end]), encoding=self.encoding, newline="")
            return file
        from pyarrow import parquet

        file = folder / "rows.parquet"
        parquet.write_table(self.content.slice(first, end - first), file, compression="none")
        return file


def is_many(source: str) -> bool:
    """Whether INPUT names a folder, a pattern of files, or what lies in object storage."""
    return remote.is_remote(source) or Path(source).is_dir() or (not Path(source).exists() and glob.has_magic(source))


def files_of(source: str) -> Sequence[Place]:
    """The files of a path, address, folder or pattern, sorted. Raises UserError where there is none."""
    if remote.is_remote(source):
        stored = [file for file in remote.files_of(source) if file.name.lower().endswith(ENDINGS)]
        if not stored:
            raise UserError(f"{source}: no such file; correct the address ({', '.join(ENDINGS)} are read)")
        return stored
    path = remote.place_of(source)
    assert isinstance(path, Path)
    if path.is_dir():
        below = (file for file in path.rglob("*") if not remote.is_hidden(file.relative_to(path).as_posix()))
        found = [file for file in below if file.is_file()]
    elif path.exists() or not glob.has_magic(source):
        found = [path]
    else:
        found = [file for file in map(Path, glob.glob(source, recursive=True)) if file.is_file()]
    chosen = sorted(file for file in found if file.name.lower().endswith(ENDINGS))
    if path.is_file() and not chosen:
        raise UserError(f"{path}: rows in batches are read from {', '.join(ENDINGS)}; export it as one of these")
    if not chosen or not chosen[0].is_file():
        raise UserError(f"{source}: no such file; correct the path ({', '.join(ENDINGS)} are read)")
    return chosen


def columns_of(file: Place, read: Read | None) -> dict[str, str]:
    """The columns of a file and their kind, "" where it has no types. Raises DataError for one that cannot be read."""
    if isinstance(file, RemotePath):
        return _columns_in_storage(file, read)
    with readable(file):
        if file.suffix in (".parquet", *ARROW):
            return {field.name: _kind(field.type) for field in _schema(file)}
        import pandas as pd

        if read is not None:
            from mlops.data.read import cells

            return {str(name): "" for name in cells(file, read, rows=1)}
        return {str(name): "" for name in pd.read_csv(file, nrows=0)}


def _schema(file: Any) -> Any:
    """The schema of Parquet or Arrow: of a path, or of an opened file, whose first bytes tell them apart."""
    from pyarrow import ipc, parquet

    if isinstance(file, Path):
        if file.suffix == ".parquet":
            return parquet.read_schema(file)
        with _opened(file) as reader:
            return reader.schema
    mark = file.read(6)
    file.seek(0)
    if mark.startswith(b"PAR1"):
        return parquet.read_schema(file)
    return (ipc.open_file(file) if mark == b"ARROW1" else ipc.open_stream(file)).schema


def _columns_in_storage(file: RemotePath, read: Read | None) -> dict[str, str]:
    """The columns of a file in storage: all of it is not brought for them."""
    with readable(file):
        if file.suffix in (".parquet", *ARROW):
            return {field.name: _kind(field.type) for field in file.read(_schema)}
        head = file.read(lambda opened: opened.read(HEAD))
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / f"head{'.tsv' if '.tsv' in file.name else '.csv'}"
            copy.write_bytes(zlib.decompressobj(wbits=31).decompress(head) if file.suffix == ".gz" else head)
            return columns_of(copy, read)


@contextmanager
def local(file: Place, scratch: Path) -> Iterator[tuple[Path, str]]:
    """Within it, a file as one of this machine, and its digest where it was copied."""
    if isinstance(file, Path):
        yield file, ""
        return
    copy = scratch / f"input{''.join(Path(file.name).suffixes[-2:])}"
    try:
        with readable(file):
            digest = file.fetch(copy)
        yield copy, digest
    finally:
        copy.unlink(missing_ok=True)


def as_parquet(file: Path, folder: Path) -> Path:
    """A file of Arrow as Parquet in a folder; another kind of file as it is. Raises DataError for one that cannot be read."""
    if file.suffix not in ARROW:
        return file
    from pyarrow import parquet

    with readable(file), _opened(file) as reader:
        parquet.write_table(reader.read_all(), folder / f"{file.stem}.parquet")
    return folder / f"{file.stem}.parquet"


def drift(first: dict[str, str], other: dict[str, str], needed: Iterable[str]) -> str:
    """What differs in the columns of another file, in words; "" where nothing does that is needed."""
    for name in needed:
        if name in first and name not in other:
            return f"column {name} is missing"
        if name in other and name not in first:
            return f"column {name} is new"
        if name in first and first[name] and other[name] and first[name] != other[name]:
            return f"column {name} holds {other[name]}, not {first[name]}"
    return ""


def rows_of_a_part(columns: dict[str, str]) -> int:
    """How many rows with such columns make a part, so that it takes about as much memory whatever the columns are."""
    width = sum(1 if kind in ("numbers", "truth values", "dates") else TEXT for kind in columns.values())
    rows = CELLS // max(width, 1)
    return min(MOST_ROWS, max(rows - rows % 1_000, 1_000))


def count_blocks(file: Path, rows: int) -> int | None:
    """How many blocks of so many rows a file has, where it can be read from any of them on; else None."""
    if file.suffix != ".parquet":
        return None
    from pyarrow import parquet

    with readable(file):
        return -(-int(parquet.read_metadata(file).num_rows) // rows)


def blocks(file: Path, rows: int, read: Read | None, first: int = 0, source: Place | None = None) -> Iterator[Block]:
    """The rows of a file in blocks of so many, in order, from a block on. Raises DataError where it cannot be read on.

    source: what the file is a copy of, which blocks and errors then name.
    """
    source = source or file
    read = read or Read()
    head = ""
    before: tuple[Any, float] | None = None
    start = first * rows
    contents = _tables(file, rows, first) if file.suffix in (".parquet", *ARROW) else _texts(file, rows, read, source)
    with readable(source):
        for content, done in contents:
            if isinstance(content, str):
                head = content
                continue
            if before is not None:
                yield Block(source, start, before[0], head, read.encoding, before[1], last=False)
                start += len(before[0])
            before = content, done
        if before is not None:
            yield Block(source, start, before[0], head, read.encoding, 1.0, last=True)


@contextmanager
def readable(file: Place) -> Iterator[None]:
    """Within it, what reading a file raises is a DataError that names it."""
    from pyarrow import ArrowException

    try:
        yield
    except (ArrowException, OSError, EOFError, zlib.error, ValueError) as error:
        raise DataError(f"{file}: cannot be read ({first_line(error)[:150]}); {HINT}") from None


def _opened(file: Path) -> Any:
    """A reader of an Arrow file or stream; the file begins with its name."""
    from pyarrow import ipc, memory_map

    with file.open("rb") as stream:
        is_file = stream.read(6) == b"ARROW1"
    return ipc.open_file(memory_map(str(file))) if is_file else ipc.open_stream(memory_map(str(file)))


def _tables(file: Path, rows: int, first: int) -> Iterator[tuple[Any, float]]:
    """Tables of so many rows from one of them on, and the share of the file that is read."""
    import pyarrow

    held: list[Any] = []
    count = 0
    for batch, done in _batches(file, rows, first * rows):
        while batch.num_rows:
            taken = batch.slice(0, rows - count)
            held, count = [*held, taken], count + taken.num_rows
            batch = batch.slice(taken.num_rows)
            if count == rows:
                yield pyarrow.Table.from_batches(held), done
                held, count = [], 0
    if held:
        yield pyarrow.Table.from_batches(held), 1.0


def _batches(file: Path, rows: int, start: int) -> Iterator[tuple[Any, float]]:
    """The rows of a file from one on, which is 0 for a file that is no Parquet."""
    if file.suffix == ".parquet":
        yield from _row_groups(file, rows, start)
        return
    with _opened(file) as reader:
        count = getattr(reader, "num_record_batches", 0)
        for place in range(count):
            yield reader.get_batch(place), (place + 1) / count
        if not count and not hasattr(reader, "num_record_batches"):
            yield from ((batch, 0.5) for batch in reader)


def _row_groups(file: Path, rows: int, start: int) -> Iterator[tuple[Any, float]]:
    """The rows of a file of Parquet from one on; row groups before it are not read."""
    from pyarrow import parquet

    # Without a buffer, the columns of a whole row group would be in memory: often the whole file.
    with parquet.ParquetFile(file, buffer_size=BUFFER) as reader:
        sizes = [reader.metadata.row_group(group).num_rows for group in range(reader.num_row_groups)]
        done, total, group = 0, reader.metadata.num_rows, 0
        while group < len(sizes) and done + sizes[group] <= start:
            done, group = done + sizes[group], group + 1
        for number in range(group, len(sizes)):
            # One after the other: of groups that are asked for together, the reader keeps what has been read.
            for batch in reader.iter_batches(rows, row_groups=[number]):
                left_out = min(max(start - done, 0), batch.num_rows)
                done += batch.num_rows
                yield batch.slice(left_out), done / total


def _texts(file: Path, rows: int, read: Read, source: Place) -> Iterator[tuple[Any, float]]:
    """The lines above the first row as one text, then lists of so many records as they are written there."""
    size = file.stat().st_size or 1
    opened = gzip.open if file.suffix == ".gz" else open
    with opened(file, "rt", encoding=read.encoding, newline="") as stream:
        records = _records(stream, read.quote, source)
        yield "".join(record for _, record in zip(range(read.header), records, strict=False)), 0.0
        held: list[str] = []
        seen = 0
        for record in records:
            if not record.strip("\r\n"):
                continue  # no row to any reader
            held.append(record)
            seen += len(record)
            if len(held) == rows:
                yield held, min(seen / size, 1.0)
                held = []
        if held:
            yield held, 1.0


def _records(stream: Iterable[str], quote: str, file: Place) -> Iterator[str]:
    """The records of a CSV file: lines, joined where a quoted value goes on in the next."""
    held: list[str] = []
    is_open = False
    for number, line in enumerate(stream, 1):
        held.append(line)
        is_open ^= bool(line.count(quote) % 2)
        if not is_open:
            yield line if len(held) == 1 else "".join(held)
            held = []
        elif len(held) > RECORD_LINES:
            raise DataError(
                f"{file}: row {number - len(held) + 1}: rule a quotation mark is closed, found none; correct the row"
            )
    if held:
        yield "".join(held)


def _kind(kind: Any) -> str:
    """What a type of Arrow holds, in words: a width does not count."""
    from pyarrow import types

    if types.is_dictionary(kind):
        return _kind(kind.value_type)
    tests = {
        "": types.is_null,
        "numbers": lambda kind: types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind),
        "truth values": types.is_boolean,
        "dates": lambda kind: types.is_timestamp(kind) or types.is_date(kind),
        "text": lambda kind: types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind),
    }
    return next((word for word, test in tests.items() if test(kind)), str(kind))
