"""How a file is written, found from its bytes: encoding, separator, quote, the line of the column names, decimal mark."""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from mlops.config import nearest
from mlops.config.reading import Read
from mlops.data.read import EXCEL, JSON, cells, is_text
from mlops.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = (",", ";", "\t", "|")
# Bytes and lines that the way of writing is found from; the encoding is checked in the whole file.
SAMPLE, LINES = 256_000, 200
# Encodings that tables come in, beside UTF-8; where they cannot be distinguished, the first is meant.
LEGACY = ["cp1252", "latin_1", "cp1250", "cp1251", "mac_roman", "shift_jis", "gb18030", "big5", "euc_kr"]
MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
POINT = re.compile(r"[+-]?(\d+|\d{1,3}([,'’ \u00a0\u202f]\d{3})+)?(\.\d+)?([eE][+-]?\d+)?")
COMMA = re.compile(r"[+-]?(\d+|\d{1,3}([.'’ \u00a0\u202f]\d{3})+)?(,\d+)?([eE][+-]?\d+)?")
GROUPED = re.compile(r"\d{1,3}([.,'’ \u00a0\u202f])\d{3}(\D|$)")
# What stands for no value wherever it is met; other words do so in columns of numbers and dates alone.
NOTHING = ("", " ", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "Null", "null", "?", "-", "--", r"\N", "<NA>", "None")


def sniff(file: Path, target: str) -> tuple[Read, pd.DataFrame]:
    """How the file is written, and its cells; dates, units and further words for no value are found column by column.

    Raises DataError for a file that is empty or cannot be read as a table, and for duplicate column names.
    """
    if not file.stat().st_size:
        raise DataError(f"{file}: the file is empty; at least a line of column names and rows are expected")
    ending = file.suffix.lower()
    if ending in EXCEL:
        read = _sheet(file, target)
    else:
        read = Read() if ending in (".parquet", *JSON) else _dialect(file, target)
    rows = _hashable(_cells(file, read))
    if ending != ".parquet":
        present = _present(rows)
        decimal, thousands = _marks(rows, read.separator == ";")
        read = read.model_copy(update={"missing": ("", *present), "decimal": decimal, "thousands": thousands})
        rows = rows.mask(rows.isin([*read.missing]))
    return read, rows


class Nested(str):
    """A list, an object or bytes that a cell holds, as text."""


def _hashable(rows: pd.DataFrame) -> pd.DataFrame:
    """The cells, each list, object or bytes as text that is known as such."""
    import numpy as np

    for name in rows:
        nested = rows[name].map(type).isin([list, tuple, set, dict, np.ndarray, bytes])
        if nested.any():
            rows[name] = rows[name].where(~nested, rows[name].map(lambda value: Nested(value)))
    return rows


def _sheet(file: Path, target: str) -> Read:
    """The sheet of an Excel file and its line of column names: those with the target's name, else the first of each."""
    import pandas as pd

    try:
        with pd.ExcelFile(file, engine="calamine") as book:
            for number, sheet in enumerate(book.sheet_names):
                head = pd.read_excel(book, sheet_name=sheet, header=None, nrows=30, dtype=str)
                for line, row in enumerate(head.itertuples(index=False), 1):
                    if target in (str(cell).strip() for cell in row):
                        return Read(sheet=str(sheet) if number else None, header=line)
    except Exception:  # the reader has errors of its own for what is no Excel file; reading the cells names it
        pass
    return Read()


def _cells(file: Path, read: Read) -> pd.DataFrame:
    from pyarrow import ArrowException

    try:
        rows = cells(file, read)
    except UnicodeDecodeError:
        raise DataError(f"{file}: its encoding changes on the way; save it as UTF-8") from None
    except (ValueError, OSError, EOFError, ArrowException) as error:
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise DataError(f"{file}: cannot be read as a table ({reason}); export it again") from None
    if file.suffix.lower() in (".parquet", *EXCEL):
        _refuse_twins(file, [str(name) for name in rows.columns])
    if rows.empty:
        raise DataError(f"{file}: there are no rows below the column names; at least 20 are needed")
    return rows


def _dialect(file: Path, target: str) -> Read:
    encoding = _encoding(file)
    with _opened(file) as stream:
        text = codecs.getincrementaldecoder(encoding)(errors="replace").decode(stream.read(SAMPLE))
    if text.lstrip().lower().startswith(("<!doctype", "<html", "<?xml")):
        raise DataError(f"{file}: is a page or XML, no table; correct the address, or sign in and save the table itself")
    lines = text.splitlines()[:LINES]
    quote = _quote(lines)
    separator = max(SEPARATORS, key=lambda sign: _consistency(text, sign, quote))
    rows = list(_parsed(text, separator, quote))
    header = _header(rows, target)
    if header:
        names = [cell.strip() for cell in rows[header - 1]]
        _refuse_twins(file, names)
    return Read(separator=separator, quote=quote, encoding=encoding, header=header)


def _opened(file: Path) -> IO[bytes]:
    import gzip

    return gzip.open(file) if file.suffix == ".gz" else file.open("rb")  # type: ignore[return-value]


def _encoding(file: Path) -> str:
    with _opened(file) as stream:
        head = stream.read(SAMPLE)
        if mark := next((name for bytes_, name in MARKS.items() if head.startswith(bytes_)), None):
            return mark
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            decoder.decode(head)
            while block := stream.read(1 << 20):
                decoder.decode(block)
            return "utf-8"
        except UnicodeDecodeError as error:
            start = max(0, stream.tell() - (1 << 20) + error.start - SAMPLE // 2)
    return _legacy(file, start)


def _legacy(file: Path, start: int) -> str:
    """The encoding of a file that is not UTF-8, from its lines with bytes beyond ASCII."""
    from charset_normalizer import from_bytes

    with _opened(file) as stream:
        stream.seek(start)
        lines = [line for line in stream.read(SAMPLE).splitlines() if any(byte > 127 for byte in line)]
    matches = from_bytes(b"\n".join(lines[:LINES]), cp_isolation=LEGACY)
    fitting = {match.encoding for match in matches} | {name for match in matches for name in match.could_be_from_charset}
    best = matches.best()
    return "cp1252" if {"cp1252", "latin_1"} & fitting or best is None else best.encoding


def _quote(lines: Sequence[str]) -> str:
    """An apostrophe where fields begin and end with it, as dates or names in a dump of a database do."""
    single = sum(len(re.findall(r"(?:^|[,;\t|])'[^']*'(?=[,;\t|]|$)", line)) for line in lines)
    return "'" if single > sum(line.count('"') for line in lines) else '"'


def _parsed(text: str, separator: str, quote: str) -> Iterator[list[str]]:
    """The first lines as lists of cells; the last one may be cut and is left out."""
    try:
        rows = list(csv.reader(text.splitlines(keepends=True), delimiter=separator, quotechar=quote))
    except csv.Error:
        rows = [line.split(separator) for line in text.splitlines()]
    yield from (rows[:-1] if len(text) >= SAMPLE - 4 else rows)[:LINES]


def _consistency(text: str, separator: str, quote: str) -> tuple[float, int]:
    """The share of the lines that have the usual number of cells, more than one, and that number."""
    widths = [len(row) for row in _parsed(text, separator, quote) if row]
    width, count = Counter(widths).most_common(1)[0] if widths else (1, 0)
    return (count / len(widths), width) if width > 1 else (0.0, 1)


def _header(rows: list[list[str]], target: str) -> int:
    """The line of the column names, from 1: the one with the target's name; 0 where the first full line holds values."""
    cells_ = [[cell.strip() for cell in row] for row in rows]
    for number, row in enumerate(cells_[:30], 1):
        if target in row:
            return number
    width = Counter(len(row) for row in rows if row).most_common(1)[0][0]
    first = next(number for number, row in enumerate(cells_, 1) if len(row) == width)
    below = [row for row in cells_[first:] if len(row) == width]
    numeric = [place for place in range(width) if below and all(_is_number(row[place]) for row in below)]
    return 0 if numeric and all(_is_number(cells_[first - 1][place]) for place in numeric) else first


def _refuse_twins(file: Path, names: Sequence[str]) -> None:
    twins = [name for name, count in Counter(names).items() if count > 1 and name]
    if twins:
        raise DataError(
            f"{file}: column name {twins[0]!r} is there {names.count(twins[0])} times; give each column a name of its own"
        )


def check_name(rows: pd.DataFrame, name: str, option: str) -> None:
    """Raise DataError with the nearest name for a column that the file does not have."""
    if name not in rows:
        names = [str(column) for column in rows]
        shown = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
        raise DataError(f"{option} {name}: no such column{nearest(name, names)}; there are: {shown}")


def _present(rows: pd.DataFrame) -> list[str]:
    """Which of the usual words for no value are there."""
    present: set[str] = set()
    for name in rows:
        if is_text(rows[name]):
            present |= set(NOTHING[1:]).intersection(rows[name].dropna().unique())
    return [word for word in NOTHING if word in present]


def _marks(rows: pd.DataFrame, semicolons: bool) -> tuple[str, str | None]:
    """Decimal mark and thousands separator: those that more columns can be read with.

    semicolons: whether they separate the cells, as where the comma is the decimal mark.
    """
    votes: Counter[str] = Counter()
    groups: dict[str, Counter[str]] = {".": Counter(), ",": Counter()}
    for name in rows:
        if not is_text(rows[name]):
            continue
        values = [_bare(str(value)) for value in rows[name].dropna().unique()[:2000] if str(value) not in NOTHING]
        values = [value for value in values if value]
        point, comma = (sum(form.fullmatch(value) is not None for value in values) for form in (POINT, COMMA))
        if values and point != comma and max(point, comma) >= 0.9 * len(values):
            votes["." if point > comma else ","] += 1
        for mark, hits in ((".", point), (",", comma)):
            if hits >= 0.9 * len(values):
                groups[mark].update(match[1] for value in values if (match := GROUPED.search(value)))
    decimal = "," if votes[","] + semicolons / 2 > votes["."] else "."
    usual = [sign for sign, _ in groups[decimal].most_common() if sign != decimal]
    return decimal, usual[0] if usual and usual[0] not in "\u00a0\u202f" else None


def _bare(value: str) -> str:
    """A number without the unit that stands beside it."""
    return re.sub(r"^[^\d+\-.,]{0,4}|[^\d.,]{0,4}$", "", value.strip())


def _is_number(value: str) -> bool:
    return value == "" or any(form.fullmatch(value) for form in (POINT, COMMA))
