"""Tables as they come."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from mlops.registry.register import Outcome
from mlops.scaffold.add import Added

SPREADSHEET = "application/vnd.openxmlformats-officedocument.spreadsheetml"
Trained = Callable[..., tuple[Added, Outcome]]


def people(rows: int = 400, seed: int = 0) -> pd.DataFrame:
    """Customers, of whom those with a high score and in Köln tend to leave."""
    random = np.random.default_rng(seed)
    score, city = random.normal(size=rows), random.choice(["Köln", "Bonn", "Trier"], rows)
    leaves = 2 * score + 2 * (city == "Köln") + random.normal(size=rows) > 1
    return pd.DataFrame(
        {
            "customer": [f"K{number:05}" for number in range(rows)],
            "score": score.round(4),
            "city": city,
            "age": random.integers(18, 90, rows),
            "left": np.where(leaves, "ja", "nein"),
        }
    )


def workbook(file: Path, sheets: dict[str, list[list[object]]]) -> Path:
    """An Excel file, written by hand as ECMA-376 has it, for there is no package here that writes one."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    names, links, types = "", "", ""
    with zipfile.ZipFile(file, "w") as archive:
        for number, (name, rows) in enumerate(sheets.items(), 1):
            names += f'<sheet name="{name}" sheetId="{number}" r:id="r{number}"/>'
            links += f'<Relationship Id="r{number}" Type="{relations}/worksheet" Target="worksheets/sheet{number}.xml"/>'
            types += f'<Override PartName="/xl/worksheets/sheet{number}.xml" ContentType="{SPREADSHEET}.worksheet+xml"/>'
            lines = "".join(f'<row r="{line}">{"".join(map(_cell, row))}</row>' for line, row in enumerate(rows, 1))
            sheet = f'<worksheet xmlns="{main}"><sheetData>{lines}</sheetData></worksheet>'
            archive.writestr(f"xl/worksheets/sheet{number}.xml", sheet)
        book = f'<workbook xmlns="{main}" xmlns:r="{relations}"><sheets>{names}</sheets></workbook>'
        archive.writestr("xl/workbook.xml", book)
        archive.writestr(
            "xl/_rels/workbook.xml.rels", f'<Relationships xmlns="{package}/relationships">{links}</Relationships>'
        )
        root = f'<Relationship Id="r" Type="{relations}/officeDocument" Target="xl/workbook.xml"/>'
        archive.writestr("_rels/.rels", f'<Relationships xmlns="{package}/relationships">{root}</Relationships>')
        types += f'<Override PartName="/xl/workbook.xml" ContentType="{SPREADSHEET}.sheet.main+xml"/>'
        types += '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        archive.writestr("[Content_Types].xml", f'<Types xmlns="{package}/content-types">{types}</Types>')
    return file


def _cell(value: object) -> str:
    if isinstance(value, str):
        return f'<c t="inlineStr"><is><t>{value}</t></is></c>'
    return f"<c><v>{value}</v></c>"
