"""One block of rows scored: where some of its rows cannot be, which ones, and why."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops import files
from mlops.errors import DataError, first_line
from mlops.scoring import frames, raw
from mlops.scoring.inputs import Block
from mlops.scoring.remote import Place

if TYPE_CHECKING:
    import pandas as pd
    from pandera.pandas import DataFrameSchema

    from mlops.training.candidate import Candidate
    from mlops.use_case import UseCase

# How a file of a few rows is referred to, where the row of the source is known.
ROW = re.compile(r"^row \d+: ")


@dataclass(frozen=True)
class Scorer:
    """A version ready to score: its code and model, a known value of the target, and the stage that the rows are of."""

    use_case: UseCase
    candidate: Candidate
    model: Any
    known: Any
    stage: str
    scratch: Path

    @property
    def runner(self) -> str:
        """What the model runs on."""
        return str(getattr(self.model, "runner", "scikit-learn"))

    @cached_property
    def _schema(self) -> DataFrameSchema:
        """The types of the rows; one for all parts, as to make it costs what a hundred rows cost."""
        return raw.lenient(self.use_case.schema(self.stage))

    @cached_property
    def _kinds(self) -> dict[str, str]:
        return frames.kinds(self._schema)

    def typed(self, block: Block, first: int, end: int) -> pd.DataFrame:
        """Some rows of a block in the types of the schema. Raises DataError that names the source."""
        if (rows := self._frame(block, first, end)) is not None:
            return raw.typed_frame(rows, self._schema, self.use_case, self.known, block.source)
        folder = self.scratch / f"rows-{threading.get_ident()}"
        files.make_folder(folder)
        with files.writing(folder):
            file = block.write(folder, first, end)
        try:
            return raw.typed(file, self.use_case, self.known, self.stage)
        except DataError as error:
            message = str(error).removeprefix(f"{file}: ")
            if isinstance(error, raw.WrongValues):
                wrong = raw.WrongValues(message)
                wrong.rows = error.rows
                raise wrong from None
            raise DataError(message) from None

    def _frame(self, block: Block, first: int, end: int) -> pd.DataFrame | None:
        """Some rows of a table as reading them from a file would give them; None where that has to look closer."""
        if isinstance(block.content, list) or (self.stage == "raw" and self.use_case.config.data.read is not None):
            return None
        table = block.content.slice(first, end - first)
        if not frames.is_plain(table, self._kinds):
            return None
        rows: pd.DataFrame = table.to_pandas()
        return rows if frames.has_plain_index(rows) else rows.reset_index()

    def answers(self, rows: pd.DataFrame, source: Place) -> pd.DataFrame:
        """Key, prediction and probabilities for typed rows. Raises DataError where code or model do not take them."""
        if self.stage == "raw":
            rows = raw.features_of(source, rows, self.use_case)
        try:
            return raw.answers_to(rows, self.use_case, self.candidate, self.model) if len(rows) else self.no_answers()
        except (ValueError, TypeError) as error:
            raise DataError(f"the model does not take these rows ({first_line(error)[:150]})") from None

    def no_answers(self) -> pd.DataFrame:
        """No answers, in the columns and types of others."""
        known = self.candidate.holdout().head(1)
        return raw.answers_to(known, self.use_case, self.candidate, self.model).head(0)


@dataclass
class Outcome:
    """What became of a block's rows: predictions, rejects (row in the file, reason), and how many have no answer."""

    answers: list[pd.DataFrame] = field(default_factory=list)
    rejects: list[tuple[int, str]] = field(default_factory=list)
    unanswered: int = 0


def score(scorer: Scorer, block: Block, quarantine: bool) -> Outcome:
    """Score a block; rows that cannot be scored are put aside where `quarantine` is set.

    Raises DataError that names file, row and reason of the first such row otherwise.
    """
    outcome = Outcome()
    for row, reason in _rejected(scorer, block, 0, len(block), outcome):
        if not quarantine:
            raise DataError(f"{block.source}: row {row}: {reason}; correct it, or put such rows aside: --on-error quarantine")
        outcome.rejects.append((row, reason))
    outcome.rejects.sort()
    return outcome


def _rejected(scorer: Scorer, block: Block, first: int, end: int, outcome: Outcome) -> Iterator[tuple[int, str]]:
    """The rejects among some rows, the first ones first; the answers for the others are added to the outcome."""
    try:
        rows = scorer.typed(block, first, end)
        answers = scorer.answers(rows, block.source)
    except raw.WrongValues as error:
        if error.rows:
            yield from _without(scorer, block, (first, end), error.rows, outcome)
            return
        reason = str(error)
    except DataError as error:
        reason = ROW.sub("", str(error).removeprefix(f"{block.source}: "))
    else:
        if len(answers):
            outcome.answers.append(answers)
        outcome.unanswered += end - first - len(answers)
        return
    if end - first == 1:
        yield block.row(first), reason.partition(";")[0]
        return
    middle = (first + end) // 2
    yield from _rejected(scorer, block, first, middle, outcome)
    yield from _rejected(scorer, block, middle, end, outcome)


def _without(
    scorer: Scorer, block: Block, span: tuple[int, int], wrong: dict[int, str], outcome: Outcome
) -> Iterator[tuple[int, str]]:
    """The rejects where the rows with wrong values are known: these, and those among the rest."""
    first, end = span
    places = sorted(place for place in wrong if 0 <= place < end - first)
    yield from ((block.row(first + place), wrong[place]) for place in places)
    kept = [place for place in range(first, end) if place - first not in wrong]
    if kept and places:
        yield from _rejected(scorer, block.only(kept), 0, len(kept), outcome)
