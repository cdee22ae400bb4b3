"""The terminal of the README as SVG: a project's commands, run for real, and what they print.

    python machinery/docs/recording.py PROJECT machinery/docs/recording.svg

PROJECT is a new project that is set up (`mlops new … && git init && make setup`); the commands that are shown change it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

WIDTH, ROWS = 78, 3_000
COMMANDS = (
    "mlops add churn --from churn.csv --target churned",
    "mlops run churn",
    "mlops score churn new.csv",
)
# Black, red, green, yellow, blue, magenta, cyan, white.
NORMAL = "484f58 ff7b72 3fb950 d29922 58a6ff bc8cff 39c5cf b1bac4"
BRIGHT = "6e7681 ffa198 56d364 e3b341 79c0ff d2a8ff 56d4dd ffffff"
# rich's own form loads a font from the network, which a page does not do for an image.
FORM = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: system-ui, sans-serif; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g></g></svg>
"""


def theme() -> TerminalTheme:
    """Light on dark, in a frame of its own, so that it is read on a light page as on a dark one."""
    normal, bright = ([tuple(bytes.fromhex(color)) for color in colors.split()] for colors in (NORMAL, BRIGHT))
    return TerminalTheme((22, 27, 34), (230, 237, 243), normal, bright)  # type: ignore[arg-type]


def customers(rows: int) -> pd.DataFrame:
    """Customers of whom about 8 % leave, with gaps and dates: those with complaints and a short contract."""
    random = np.random.default_rng(7)
    complaints, months = random.poisson(0.6, rows), random.integers(0, 80, rows)
    signed_up = pd.Timestamp("2019-01-01") + pd.to_timedelta(random.integers(0, 2000, rows), unit="D")
    frame = pd.DataFrame(
        {
            "customer_id": [f"C{100_000 + 7 * number}" for number in range(rows)],
            "signed_up": signed_up.strftime("%d.%m.%Y"),
            "plan": random.choice(["basic", "plus", "pro"], rows),
            "payment": random.choice(["card", "debit", "invoice"], rows),
            "tenure_months": months,
            "complaints": complaints,
            "monthly_fee": random.normal(40, 12, rows).clip(5).round(2),
        }
    )
    risk = complaints - months / 30 + (frame["payment"] == "invoice") + random.normal(0, 0.7, rows)
    gaps, leaves = random.random(rows) < 0.09, risk > np.quantile(risk, 0.92)
    return frame.assign(monthly_fee=frame["monthly_fee"].mask(gaps), churned=np.where(leaves, "yes", "no"))


def record(project: Path) -> Console:
    """The console on which the commands were run; what names this machine is left out."""
    console = Console(record=True, width=WIDTH, file=open(os.devnull, "w"), color_system="truecolor", force_terminal=True)
    environment = {**os.environ, "COLUMNS": str(WIDTH), "FORCE_COLOR": "1", "PYTHONUNBUFFERED": "1", "TERM": "xterm-256color"}
    environment["PATH"] = f"{project / '.venv' / 'bin'}{os.pathsep}{environment['PATH']}"
    for command in COMMANDS:
        console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
        done = subprocess.run(
            command.split(), cwd=project, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        if done.returncode:
            sys.exit(done.stdout)
        # Where the project and the store are is this machine's affair.
        shown = re.sub(rf"{re.escape(str(project))}/?", "", done.stdout)
        console.print(Text.from_ansi(shown.rstrip()))
        console.print()
    return console


def main(project: Path, target: Path) -> None:
    """Write the recording."""
    rows = customers(ROWS + 3)
    rows.head(ROWS).to_csv(project / "churn.csv", index=False)
    rows.tail(3).drop(columns="churned").to_csv(project / "new.csv", index=False)
    console = record(project)
    target.write_text(console.export_svg(title=project.name, theme=theme(), code_format=FORM, unique_id="r"), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
