"""What a project lets into git of the outputs of its notebooks: the policy, secrets, and how large they may be."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlops import files, secret_scan
from mlops.errors import UserError
from mlops.notebooks import content
from mlops.notebooks.content import Cell, Notebook
from mlops.notebooks.settings import Settings

FILTER = "mlops-notebooks"
KEEP_TAG = "keep_output"  # as nbstripout calls it: this cell's outputs stay
TEXTS = ("text/", "application/json", "application/javascript", "application/vnd.", "image/svg+xml")
SURROGATE = re.compile("[\ud800-\udfff]")
# Metadata of a cell that only tell how and when it was shown or run.
SHOWN = ("ExecuteTime", "collapsed", "execution", "heading_collapsed", "papermill", "scrolled")


def applied(notebook: Notebook, policy: str) -> Notebook:
    """Return a notebook, as read from its file, as git shall hold it; a cell tagged `keep_output` stays as it is.

    policy: keep; strip: neither outputs nor counts; figures: of the outputs only the pictures, and no counts.
    """
    if policy == "keep":
        return notebook
    return dict(notebook, cells=[_stripped(cell, policy) for cell in notebook.get("cells", [])])


def apply(path: Path, policy: str) -> bool:
    """Write a notebook as git shall hold it; return whether that changed it."""
    if policy == "keep":
        return False
    before = content.raw(path.read_bytes(), content.read(path))
    if (after := applied(before, policy)) == before:
        return False
    files.write_text(path, as_text(after))
    return True


def as_text(notebook: Notebook) -> str:
    """Return a notebook as Jupyter writes it; half of a surrogate pair, which UTF-8 has no bytes for, as its escape."""
    text = json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    return SURROGATE.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def differences(notebook: Notebook, policy: str) -> list[int]:
    """Return the numbers of the cells that hold what the policy leaves out."""
    pairs = enumerate(zip(notebook["cells"], applied(notebook, policy)["cells"], strict=True), 1)
    return [number for number, (before, after) in pairs if before.get("outputs") != after.get("outputs")]


def sizes(notebook: Notebook) -> Iterator[tuple[int, int]]:
    """Yield the number of each cell with outputs, and the bytes that these take in the file."""
    for number, cell in enumerate(notebook["cells"], 1):
        if cell.get("outputs"):
            yield number, len(json.dumps(cell["outputs"], ensure_ascii=False).encode("utf-8", "replace"))


def secrets(notebook: Notebook) -> Iterator[tuple[int, str, str]]:
    """Yield the number of a cell, `source` or `outputs`, and what kind of secret it shows.

    A line that says `pragma: allowlist secret` is passed over. Raises UserError where detect-secrets is not installed.
    """
    with _detector() as scan_line:
        for number, cell in enumerate(notebook["cells"], 1):
            for where, texts in (("source", [cell["source"]]), ("outputs", list(_texts(cell)))):
                lines = dict.fromkeys(line for text in texts for line in text.splitlines())
                kinds = {secret.type for line in lines for secret in scan_line(line)}
                yield from ((number, where, kind) for kind in sorted(kinds))


def filter_settings(python: str = sys.executable) -> dict[str, str]:
    """Return git's settings for the filter that applies the policy when a notebook is committed, `{key: value}`."""
    program = shlex.quote(python)
    command = f"f() {{ if test -x {program}; then {program} -P -m mlops.notebooks.outputs; else cat; fi; }}; f"
    return {f"filter.{FILTER}.clean": command}


def is_filtered(root: Path) -> bool:
    """Whether git applies the policy in this clone when a notebook is committed."""
    process = subprocess.run(
        ["git", "-C", str(root), "check-attr", "filter", "x.ipynb"], capture_output=True, text=True, check=False
    )
    return process.stdout.strip().endswith(f": {FILTER}")


@contextmanager
def _detector() -> Iterator[Callable[[str], Iterable[Any]]]:
    try:
        with secret_scan.detector() as scan_line:
            yield scan_line
    except UserError as error:
        raise UserError(f'{error}, or skip = ["secret"] in pyproject.toml') from error


def main() -> int:
    """Read a notebook, write it as git shall hold it; what is no notebook stays as it is."""
    from mlops.config import find_root
    from mlops.notebooks import settings

    raw = sys.stdin.buffer.read()
    text = raw
    try:
        notebook = content.raw(raw, content.parse(raw, "notebook"))
        stripped = applied(notebook, settings.read(find_root()).outputs)
        if stripped != notebook:
            text = as_text(stripped).encode()
    except (UserError, ValueError) as error:
        sys.stderr.write(f"a notebook is committed with its outputs: {error}\n")
    sys.stdout.buffer.write(text)
    return 0


def of(settings: Settings, notebook: Notebook) -> Iterator[tuple[str, int, str, str]]:
    """Yield rule, number of the cell, what is wrong and how to fix it."""
    for number in differences(notebook, settings.outputs):
        what = f"it holds outputs, and outputs = {settings.outputs!r} leaves them out"
        yield "outputs", number, what, "mlops notebooks setup strips them when you commit; mlops notebooks export does so now"
    for number, size in sizes(notebook):
        if size > settings.output_limit:
            what = f"its outputs take {size / 1e6:.1f} MB, {settings.output_limit / 1e6:.1f} MB are the limit"
            yield "large", number, what, "show less: a part of the table, a smaller figure; or raise output_limit"
    if "secret" not in settings.skip:
        for number, where, kind in secrets(notebook):
            hint = "revoke it, read it from the environment and run the cell again; # pragma: allowlist secret if it is none"
            yield "secret", number, f"its {where} may hold a secret ({kind})", hint


def _stripped(cell: Cell, policy: str) -> Cell:
    metadata = cell.get("metadata") or {}
    if cell.get("cell_type") != "code" or metadata.get(KEEP_TAG) or KEEP_TAG in metadata.get("tags", []):
        return cell
    kept = [part for output in cell.get("outputs") or [] if (part := _figure(output))] if policy == "figures" else []
    without = {key: value for key, value in metadata.items() if key not in SHOWN}
    return dict(cell, outputs=kept, execution_count=None, metadata=without)


def _figure(output: dict[str, Any]) -> dict[str, Any] | None:
    data = output.get("data")
    pictures = {kind: value for kind, value in data.items() if kind.startswith("image/")} if isinstance(data, dict) else {}
    if not pictures:
        return None
    metadata = {kind: value for kind, value in (output.get("metadata") or {}).items() if kind in pictures}
    return {"output_type": "display_data", "data": pictures, "metadata": metadata}


def _texts(cell: Cell) -> Iterator[str]:
    for output in cell.get("outputs", []):
        yield str(output.get("text", ""))
        yield "\n".join([str(output.get("evalue", "")), *map(str, output.get("traceback") or [])])
        for kind, value in (output.get("data") or {}).items():
            if kind.startswith(TEXTS) or kind.endswith("+json"):
                yield value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=0)


if __name__ == "__main__":
    sys.exit(main())
