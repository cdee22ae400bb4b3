"""A fitted model as bytes: skops, which is read without running code that it brings, and the same bytes each time."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Any

from mlops.errors import UserError, first_line

# skops names objects by their address in memory, which differs from run to run.
ADDRESS = re.compile(r'("__id__": |"file": ")(\d+)')


def write(file: Path, model: Any) -> list[str]:
    """Write a model in skops format with reproducible bytes.

    Returns the names of the types in it that a reader has to trust explicitly. Raises UserError for a model without that form.
    """
    import skops.io
    from skops.io.exceptions import UnsupportedTypeException

    try:
        data = reproducible(skops.io.dumps(model))
    except UnsupportedTypeException as error:
        raise UserError(
            f"{type(model).__name__}: skops cannot store it ({first_line(error)}); build another estimator"
        ) from None
    file.write_bytes(data)
    return list(skops.io.get_untrusted_types(data=data))


def read(file: Path, trusted: list[str]) -> Any:
    """The model in a skops file; raises skops' UntrustedTypesFoundException for types that are not in `trusted`."""
    import skops.io

    return skops.io.load(file, trusted=trusted)


def reproducible(data: bytes) -> bytes:
    """The same skops archive with objects numbered in order of appearance, files sorted and no time stamps."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    numbers: dict[str, str] = {}

    def renumbered(match: re.Match[str]) -> str:
        return match[1] + numbers.setdefault(match[2], str(len(numbers) + 1))

    schema = ADDRESS.sub(renumbered, contents.pop("schema.json").decode())
    renamed = {_rename(name, numbers): content for name, content in contents.items()}
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted({**renamed, "schema.json": schema.encode()}.items()):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    return target.getvalue()


def _rename(name: str, numbers: dict[str, str]) -> str:
    stem, dot, ending = name.partition(".")
    return f"{numbers.get(stem, stem)}{dot}{ending}"
