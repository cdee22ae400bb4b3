"""Raw rows in: a bundle that brings its use case's own `load` and `features` makes the model's rows of what a client sends.

The code is the version's own. Its files stand in the manifest by their digests, and are imported only after these were
verified, and only where the reader's settings allow it (`allow_code`): what a bundle says of itself is not asked.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mlops import trust
from mlops.serving.manifest import Bundle
from mlops.serving.model import frame_to_rows, to_frame
from mlops.serving.signature import InvalidRequest, Rows

FOLDER = "code"
PACKAGE = "use_cases"
MOST_ALONE = 1_000  # rows that one request may hold where each goes through the code by itself
Keys = list[dict[str, Any]]
Frames = Callable[[Any], Any]


@contextmanager
def imported(bundle: Bundle, allow_code: bool) -> Iterator[Any]:
    """Within it, use cases are imported from a verified bundle; yields the package of its own. Raises Untrusted."""
    if not allow_code:
        raise trust.Untrusted(
            f"the bundle {bundle.folder} brings code of {bundle.name}, which would run here: where you trust it, set "
            "MLOPS_SERVE_ALLOW_CODE=true, or serve from a project whose configuration has serving: {input: raw}"
        )
    names = [name for name in sys.modules if name.partition(".")[0] == PACKAGE]
    kept = {name: sys.modules.pop(name) for name in names}
    place, writes = (bundle.folder / FOLDER).resolve(), sys.dont_write_bytecode
    sys.path.insert(0, str(place))
    sys.dont_write_bytecode = True  # else __pycache__ would lie in the bundle, and no manifest knows it
    importlib.invalidate_caches()
    try:
        yield _import(bundle, place)
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
            del sys.modules[name]
        sys.path.remove(str(place))
        sys.dont_write_bytecode = writes
        sys.modules.update(kept)


def _import(bundle: Bundle, place: Path) -> Any:
    """The package of a bundle's use case, from the bundle and from nowhere else. Raises Untrusted."""
    try:
        module = importlib.import_module(f"{PACKAGE}.{bundle.name}")
    except Exception as error:  # the code is the team's: importing it raises whatever stands there
        raise trust.failed(place, error) from error
    if not Path(str(module.__file__)).resolve().is_relative_to(place):
        raise trust.Untrusted(f"{module.__file__} was imported in place of the code of the bundle {bundle.folder}")
    return module


class RawRows:
    """Makes a model's rows of raw ones, by the `load` and `features` of a use case."""

    def __init__(self, bundle: Bundle, module: Any) -> None:
        self.name, self.request, self.inputs = bundle.name, bundle.signature, bundle.inputs
        self.raw: Mapping[str, Any] = bundle.content["raw"]
        self.types = {name: column.dtype for name, column in module.schema("raw").columns.items() if column.dtype is not None}
        self.steps: tuple[Frames, Frames] = (module.load, module.features)

    def __call__(self, rows: Rows) -> tuple[Rows, Keys]:
        """The model's rows, one for each raw row and in their order, and the key of each. Raises InvalidRequest."""
        processed = self.processed(rows)
        keys = processed[[name for name in self.raw["key"] if name in processed]]
        return frame_to_rows(processed, self.inputs), [
            {name: plain(value) for name, value in zip(keys, values, strict=True)} for values in keys.itertuples(index=False)
        ]

    def processed(self, rows: Rows) -> Any:
        """What the code makes of raw rows, as a pandas DataFrame with one row for each."""
        frame = self.typed(rows)
        if self.raw["together"]:
            together = self.together(frame)
            if together is not None:
                return together
        return self._alone(frame)

    def typed(self, rows: Rows) -> Any:
        """The rows in the types of the raw schema, with a value of the target, which no client knows."""
        import pandas as pd

        columns = dict(to_frame(rows, self.request).items())
        if self.raw["target"]:
            name = self.raw["target"]["column"]
            columns[name] = pd.Series([self.raw["target"]["value"]] * rows.count, name=name)
        # One frame of all columns: setting them one by one takes longer than all else.
        return pd.DataFrame({name: self._coerced(columns[name], kind) for name, kind in self.types.items() if name in columns})

    def _coerced(self, values: Any, kind: Any) -> Any:
        if str(values.dtype) == str(kind) or (values.dtype == object and str(kind) == "str"):
            return values  # texts are texts or None as requests are read
        if getattr(kind, "tz", None) is not None:
            values = values.dt.tz_localize("UTC")  # as requests are read, moments are UTC
        try:
            return kind.coerce(values)
        except Exception:  # pandera and pandas have exceptions of their own for a value that a type cannot hold
            raise InvalidRequest(f"Invalid input. Column {values.name!r}: not a value of type {kind}.", values.name) from None

    def together(self, frame: Any) -> Any:
        """What the code makes of all rows at once; None where that is not one row for each, in their order."""
        load, features = self.steps
        try:
            processed = features(load(frame.copy()))
        except Exception:  # the code is the team's: it raises whatever these rows lead to; alone, the row is named
            return None
        known = [name for name in self.raw["key"] if name in frame and name in processed]
        if len(processed) != len(frame) or any(not same(processed[name], frame[name]) for name in known):
            return None
        return processed

    def _alone(self, frame: Any) -> Any:
        import pandas as pd

        if len(frame) > MOST_ALONE:
            raise InvalidRequest(f"These rows are taken one by one: send at most {MOST_ALONE} at once.", status=413)
        load, features = self.steps
        parts = []
        for number in range(len(frame)):
            try:
                part = features(load(frame.iloc[[number]].reset_index(drop=True)))
            except Exception as error:  # see `together`; what it says may hold the client's values
                raise InvalidRequest(
                    f"Invalid input. Row {number}: load or features of {self.name} does not take it ({type(error).__name__})."
                ) from None
            if len(part) != 1:
                raise InvalidRequest(
                    f"Invalid input. Row {number}: load and features of {self.name} make {len(part)} rows of it, not one."
                )
            parts.append(part)
        return pd.concat(parts, ignore_index=True)


def same(one: Any, other: Any) -> bool:
    """Whether two columns hold the same values in the same order, a missing one equal to another."""
    values, others = one.reset_index(drop=True).astype(object), other.reset_index(drop=True).astype(object)
    return bool(((values == others) | (values.isna() & others.isna())).all())


def plain(value: Any) -> Any:
    """A key's value in JSON."""
    if value is None or value != value:
        return None
    return value.isoformat() if hasattr(value, "isoformat") else value.item() if isinstance(value, np.generic) else value
