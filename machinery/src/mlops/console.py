"""What a person reads, and the same as JSON for a program: tables, notes and progress."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mlops import files

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table; cells are shown with str(), columns of numbers are right-aligned and None is a dash.

    A float has four digits; one that needs others comes as a text.
    """
    from rich.table import Table

    grid = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    content = [list(row) for row in rows]
    for index, column in enumerate(columns):
        numbers = bool(content) and all(_is_number(row[index]) for row in content)
        grid.add_column(column, justify="right" if numbers else "left", overflow="fold")
    for row in content:
        grid.add_row(*(_cell(value) for value in row))
    _console().print(grid)


def digits(value: float) -> str:
    """A number as a reader takes it: four digits after the point, none for a whole one from 1000 on; zero has no sign."""
    return f"{value:.0f}" if abs(value) >= 1000 and value.is_integer() else f"{value:z.4f}"


def note(message: str) -> None:
    """Say what a step did, on standard error, so that standard output stays the result."""
    if not sys.stderr.isatty():  # nothing to style: a program or a log reads it, and rich takes time to import
        print(message, file=sys.stderr)
        return
    from rich.text import Text

    _console(stderr=True).print(Text(message))


def error(message: str) -> None:
    """Say in one line, on standard error, what went wrong and how to fix it."""
    from rich.text import Text

    _console(stderr=True).print(Text.assemble(("error: ", "bold red"), message))


def as_json(value: Any) -> None:
    """Print the result as JSON on standard output, for programs."""
    sys.stdout.write(files.as_json(value, sort_keys=True) + "\n")


def text(content: str) -> None:
    """Print a result that is a text of its own, such as Markdown, as it stands."""
    sys.stdout.write(content)


@contextmanager
def step(message: str) -> Iterator[None]:
    """Show a spinner on a terminal while a long step works; silent elsewhere."""
    if not sys.stderr.isatty():
        yield
        return
    with _console(stderr=True).status(message):
        yield


@contextmanager
def phase(message: str) -> Iterator[None]:
    """Show what a long command is doing, with the seconds that have gone; then say on standard error how long it took."""
    import time

    started = time.perf_counter()
    if sys.stderr.isatty():
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=_console(stderr=True), transient=True) as progress:
            progress.add_task(message, total=None)
            yield
    else:
        yield
    note(f"{message}: {time.perf_counter() - started:.1f} s")


@contextmanager
def progress(message: str, unit: str) -> Iterator[Callable[[float, int], None]]:
    """Show how far a long command is, with units a second and the time left; the function takes the share and the count.

    Silent where nobody watches.
    """
    import time

    if not sys.stderr.isatty():
        yield lambda share, count: None
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    started = time.perf_counter()
    speed = TextColumn("{task.fields[speed]}")
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), speed, TimeRemainingColumn())
    with Progress(*columns, console=_console(stderr=True), transient=True) as shown:
        task = shown.add_task(message, total=1.0, speed="")

        def advance(share: float, count: int) -> None:
            seconds = max(time.perf_counter() - started, 1e-9)
            shown.update(task, completed=share, speed=f"{count:,} {unit}, {count / seconds:,.0f} {unit}/s")

        yield advance


def _console(stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=True)


def _is_number(value: Any) -> bool:
    if not isinstance(value, str):
        return isinstance(value, int | float | None)
    return value.replace(".", "", 1).isdecimal()


def _cell(value: Any) -> Text:
    from rich.text import Text

    if value is None:
        return Text("–")
    if isinstance(value, float):
        return Text(digits(value))
    return Text(str(value))
