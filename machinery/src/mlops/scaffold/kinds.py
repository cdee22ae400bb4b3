"""What kind of column each is, found from its values: number, category, text, date, identifier, constant, or free."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mlops.config.reading import Read
from mlops.data.read import is_text, numbers
from mlops.scaffold.sniff import COMMA, POINT, Nested

if TYPE_CHECKING:
    import pandas as pd

DAYS = (
    "%Y-%m-%d",
    "%d.%m.%Y",
    "%d.%m.%y",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%Y/%m/%d",
    "%d-%m-%Y",
    "%d %b %Y",
    "%b %d, %Y",
    "%d %B %Y",
    "%B %d, %Y",
)
TIMES = ("%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S")
LIKE_DATE = re.compile(r"^\s*(\d{1,4}[-./ ]\w{1,9}[-./ ]\d{2,4}|[A-Za-z]{3,9} \d{1,2}, \d{4})")
# A name that says that a column names things; its numbers are not measured.
CODES = re.compile(r"(?i:(^|[ _.-])(id|ids|uuid|guid|key|nr|nummer|row|index)($|[ _.-]))|[a-z](Id|ID)$|^Unnamed")
PERSONAL = {
    "email": re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+"),
    "phone": re.compile(r"\+?\d[\d ()/-]{7,16}\d"),
    "IBAN": re.compile(r"[A-Z]{2}\d{2} ?(\w{4} ?){2,7}\w{1,4}"),
}
PERSONAL_NAMES = re.compile(
    r"(^|[ _.-])(e-?mail|phone|telefon|mobile|first.?name|last.?name|sur.?name|full.?name|vorname|nachname|street|strasse|"
    r"address|adresse|birth|dob|ssn|passport|iban|ip)($|[ _.-]|date|day)",
    re.IGNORECASE,
)
SAMPLE = 20_000
CURRENCIES = set("EUR USD GBP CHF JPY CNY INR CAD AUD NZD SEK NOK DKK PLN CZK HUF TRY BRL MXN ZAR Rs kr Kč zł".split())


@dataclass(frozen=True)
class Kind:
    """What a column is: its kind, a remark for a person, and what reading it needs."""

    kind: str
    distinct: int
    missing: int
    remark: str = ""
    formats: tuple[str, ...] = ()
    unit: str = ""
    words: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    whole: bool = False
    personal: str = ""
    examples: tuple[str, ...] = field(default=())


def kind_of(values: pd.Series, read: Read) -> Kind:
    """The kind of one column, whose missing values are None."""
    present = values.dropna()
    if present.map(type).isin([Nested]).any():
        remark = "holds lists, objects or bytes; to use them, write each part into a column of its own"
        return Kind("free", len(present), int(values.isna().sum()), remark)
    unique = present.unique()
    facts = Kind("", len(unique), int(values.isna().sum()), examples=tuple(str(value) for value in unique[:3]))
    if not len(unique):
        return replace(facts, kind="constant", remark="no value at all")
    if len(unique) == 1 and not facts.missing:
        return replace(facts, kind="constant", remark=f"always {str(unique[0])[:30]}")
    kind = _of_texts(present, facts, read) if is_text(values) else _of_types(present, facts)
    return replace(
        kind,
        personal=_personal(str(values.name), present) if kind.kind in ("category", "text", "free", "identifier") else "",
    )


def _of_types(present: pd.Series, facts: Kind) -> Kind:
    """The kind of a column that its file has a type for."""
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(present):
        return replace(facts, kind="date", formats=("ISO8601",))
    if pd.api.types.is_numeric_dtype(present) or pd.api.types.is_bool_dtype(present):
        return _number(present.astype(float), present, facts)
    return _of_texts(present.astype(str), facts, Read())


def _of_texts(present: pd.Series, facts: Kind, read: Read) -> Kind:
    import pandas as pd

    texts = present.astype(str)
    unique = pd.Series(texts.unique()).str.strip()
    if unique.str.fullmatch(r"0\d+|\d{16,}").any() and unique.str.fullmatch(r"\d+").mean() > 0.9:
        return _names(texts, replace(facts, remark="digits that are no number (leading zeros, or too many)"))
    if dates := _date(unique, facts):
        return dates
    if number := _written_number(texts, unique, facts, read):
        return number
    if _has_both_marks(unique):
        return replace(facts, kind="free", remark="numbers with decimal points and with commas; write all of them alike")
    return _names(texts, facts)


def _written_number(texts: pd.Series, unique: pd.Series, facts: Kind, read: Read) -> Kind | None:
    """A number that stands there as text: with a unit, or with a few words for no value among them."""
    form = COMMA if read.decimal == "," else POINT
    unit = _unit(unique)
    bare = unique.str.replace(unit, "", regex=False).str.strip() if unit else unique
    fits = bare.map(lambda value: bool(value) and form.fullmatch(value) is not None)
    words = tuple(unique[~fits])
    if len(words) > 5 or not fits.any():
        return None
    odd = texts.str.strip().isin(words) if words else texts.isna()
    if odd.mean() > 0.3:
        return None
    if any(re.search(r"\d", word) for word in words) or (words and fits.sum() < 10):
        return None
    values = numbers(texts[~odd], read, unit)
    if is_text(values) or bare[fits].str.fullmatch(r"0\d+").any():
        return None
    note = f"no value is also written {', '.join(map(repr, words))}" if words else ""
    parsed = replace(facts, unit=unit, words=words, remark=note or (f"without its unit {unit}" if unit else ""))
    parsed = replace(parsed, missing=facts.missing + int(odd.sum()))
    return _number(values.astype(float), texts, parsed)


def _has_both_marks(unique: pd.Series) -> bool:
    """Whether numbers are written in two ways, each with a mark that the other does not take."""
    point, comma = (unique.str.fullmatch(form.pattern) for form in (POINT, COMMA))
    return bool((point | comma).mean() > 0.9 and (point & ~comma).any() and (comma & ~point).any())


def _unit(unique: pd.Series) -> str:
    """What stands before or behind nearly every number: a currency, a percent sign, a unit."""
    rests = unique[unique.str.contains(r"\d")].str.replace(r"[\d.,'’+\-\s\u00a0\u202f]", "", regex=True)
    if rests.empty or not (unit := rests.mode()[0]) or len(unit) > 4 or unit.lower() == "e":
        return ""
    # Letters before a number make a name of it, as in S01, but for a currency.
    if unit.isalpha() and unit not in CURRENCIES and unique.str.startswith(unit).mean() > 0.5:
        return ""
    return str(unit) if (rests == unit).mean() > 0.9 else ""


def _number(values: pd.Series, written: pd.Series, facts: Kind) -> Kind:
    low, high = float(values.min()), float(values.max())
    whole = bool((values % 1 == 0).all())
    kind = replace(facts, kind="number", low=low, high=high, whole=whole, distinct=values.nunique())
    name = str(written.name)
    if whole and kind.distinct == len(values) and len(values) > 2 and not facts.unit:
        if high - low == len(values) - 1 and low in (0, 1):
            return replace(kind, kind="identifier", remark="counts the rows")
        if CODES.search(name):
            return replace(kind, kind="identifier", remark="another one in each row")
    if whole and CODES.search(name) and kind.distinct > 20:
        return replace(kind, kind="identifier", remark=f"names {kind.distinct} things")
    return kind


def _date(unique: pd.Series, facts: Kind) -> Kind | None:
    sample = unique if len(unique) <= SAMPLE else unique.sample(SAMPLE, random_state=0)
    compact = sample.str.fullmatch(r"(19|20)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")
    like = sample.map(lambda value: LIKE_DATE.match(value) is not None)
    words = tuple(sample[~like & ~compact & ~sample.str.contains(r"\d")])
    if len(words) > 3 or (like | compact).sum() + len(words) < len(sample) or not (like | compact).any():
        return None
    left: pd.Series = unique[~unique.isin(words)]
    formats: list[str] = []
    for form in ("%Y%m%d",) if compact.any() and not like.any() else ("ISO8601", *DAYS, *TIMES):
        parsed = _parsed(left, form)
        if parsed.mean() > (0.02 if formats else 0):
            formats.append(form)
            left = left[~parsed]
        if left.empty:
            break
    if not left.empty:
        return None
    formats = _day_or_month_first(unique[~unique.isin(words)], formats)
    monthly = next((form for form in formats if form.startswith("%m/%d")), "")
    unclear = monthly and not any(form.startswith("%d/%m") for form in formats)
    remark = f"{len(formats)} formats: {', '.join(formats)}" if len(formats) > 1 else ""
    if unclear and _parsed(unique, monthly.replace("%m/%d", "%d/%m"))[_parsed(unique, monthly)].all():
        remark = "taken with the month first, which no value proves"
    return replace(facts, kind="date", formats=tuple(formats), words=words, remark=remark)


def _day_or_month_first(unique: pd.Series, formats: list[str]) -> list[str]:
    """Of two formats that differ in this alone, the one that takes all where the other does not; one pair takes both."""
    for month in [form for form in formats if form.startswith("%m/%d")]:
        day = month.replace("%m/%d", "%d/%m")
        slashed = unique[_parsed(unique, month) | _parsed(unique, day)]
        if day in formats and _parsed(slashed, day).all():
            formats = [form for form in formats if form != month]
    return formats


def _parsed(texts: pd.Series, form: str) -> pd.Series:
    import pandas as pd

    return pd.to_datetime(texts, format=form, errors="coerce", utc=True).notna()


def _names(texts: pd.Series, facts: Kind) -> Kind:
    """Category, text, identifier or free, by how many different ones there are and how many words they have."""
    sample = texts if len(texts) <= SAMPLE else texts.sample(SAMPLE, random_state=0)
    words, count = float(sample.str.count(r"\S+").mean()), len(texts)
    share = facts.distinct / count
    if words >= 3.5 and (share > 0.2 or facts.distinct > 100):
        return replace(facts, kind="text", remark=f"{words:.0f} words on average")
    if share == 1 and count > 20:
        return replace(facts, kind="identifier", remark=facts.remark or "another one in each row")
    if share > 0.5 and facts.distinct > 20:
        kind = "identifier" if CODES.search(str(texts.name)) else "free"
        return replace(facts, kind=kind, remark=facts.remark or f"{facts.distinct} different values, few of them again")
    if CODES.search(str(texts.name)) and facts.distinct > 20:
        return replace(facts, kind="identifier", remark=facts.remark or f"names {facts.distinct} things")
    many = f"{facts.distinct} categories; the rare ones are taken together" if facts.distinct > 30 else ""
    return replace(facts, kind="category", remark=facts.remark or many)


def _personal(name: str, present: pd.Series) -> str:
    sample = present.astype(str).head(200)
    for what, form in PERSONAL.items():
        if sample.str.strip().str.fullmatch(form.pattern).mean() > 0.8 and not (
            what == "phone" and sample.str.fullmatch(r"[\d.]+").all()
        ):
            return what
    return "by its name" if PERSONAL_NAMES.search(name) else ""
