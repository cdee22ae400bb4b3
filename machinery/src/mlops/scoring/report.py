"""What a batch was, for a page: the counts of each file and of all, and a copy of what was put aside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlops import files
from mlops.scoring import parts
from mlops.scoring.parts import COUNTS
from mlops.scoring.remote import Place, RemotePath

SHOWN = 50


def markdown(manifest: dict[str, Any], output: Place) -> str:
    """A table of the manifest: a line for each file, and what was put aside as a whole."""
    counts: dict[str, dict[str, int]] = {}
    for part in manifest["parts"]:
        line = counts.setdefault(part["file"], dict.fromkeys(COUNTS, 0))
        for key in COUNTS:
            line[key] += part[key]
    lines = [
        f"### {manifest['use_case']} {manifest['version']}: {manifest['predictions']:,} predictions in {_cell(str(output))}",
        "",
        f"| file | {' | '.join(COUNTS)} |",
        f"|:--|{'--:|' * len(COUNTS)}",
        *(_line(file, line) for file, line in list(counts.items())[:SHOWN]),
    ]
    if len(counts) > SHOWN:
        lines.append(f"| {len(counts) - SHOWN} more files |{' |' * len(COUNTS)}")
    lines.append(_line(f"**{len(counts)} files, {len(manifest['parts'])} parts**", manifest))
    if manifest["refused"]:
        lines += ["", "| left out | reason |", "|:--|:--|"]
        lines += [f"| {_cell(file)} | {_cell(reason)} |" for file, reason in list(manifest["refused"].items())[:SHOWN]]
    return "\n".join(lines)


def save(manifest: dict[str, Any], output: Place, folder: Path) -> None:
    """Copy the manifest and the rejects of a batch into a folder, under the names that they have."""
    files.write_json(folder / parts.MANIFEST, manifest)
    files.make_folder(folder / parts.REJECTS)
    for file in parts.written(output, parts.REJECTS):
        with files.replacing(folder / parts.REJECTS / file.name) as temporary:
            if isinstance(file, RemotePath):
                file.fetch(temporary)
            else:
                temporary.write_bytes(file.read_bytes())


def _line(file: str, counts: dict[str, Any]) -> str:
    return f"| {_cell(file)} | {' | '.join(f'{counts[key]:,}' for key in COUNTS)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
