"""The bundle of a version whose server takes raw rows: the model's own bundle, and the code that makes its rows of them.

It is written only where raw rows of the holdout, each alone and without its target, get the features and predictions that
training recorded for them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops import files, folders, use_case_code
from mlops.bundle import holdout as holdouts
from mlops.bundle.proof import NotConverted, compare
from mlops.config import Project
from mlops.data import stages
from mlops.errors import UserError
from mlops.scoring import as_trained, raw
from mlops.serving import raw as serving
from mlops.serving.manifest import MANIFEST, SEAL, Bundle, seal, verify
from mlops.serving.model import Predict, frame_to_rows, load
from mlops.serving.signature import Column, InvalidRequest, Rows, Signature
from mlops.training.candidate import PREDICTION, Candidate

if TYPE_CHECKING:
    import pandas as pd

    from mlops.use_case import UseCase

PROVIDED = {"mlops.columns", "mlops.data.columns"}  # what of the machinery a server has for a use case's code
MOST = 200  # rows of the holdout on which a bundle is proved
PLAIN = "leave serving.input out of the configuration: requests then hold the features"


def build(project: Project, candidate: Candidate, plain: Bundle, to: Path, **reader: Any) -> Bundle:
    """The bundle of raw rows beside a model's own, written to `to` (replaced in one step), proved and verified.

    `reader` is what the model may load, as for `mlops.serving.model.load`. Raises UserError where raw rows cannot be answered
    one by one.
    """
    files.make_folder(to.parent)
    with as_trained.use_case(project, candidate.manifest) as use_case, folders.work_folder(to.parent) as scratch:
        if use_case.config.data.engine == "spark":
            raise UserError(f"{use_case.name}: data.engine is spark, which a server does not have; {PLAIN}")
        rows = sample(project, candidate, use_case)
        folder = scratch / "bundle"
        shutil.copytree(plain.folder, folder, ignore=shutil.ignore_patterns(MANIFEST, SEAL))
        for file in code_of(use_case.package):
            place = folder / serving.FOLDER / use_case_code.PACKAGE / file.relative_to(use_case.package.parent)
            files.make_folder(place.parent)
            shutil.copyfile(file, place)
        request = Signature(tuple(_columns(use_case)))
        draft = plain.content | _content(plain, candidate, use_case, request)
        seal(folder, draft | {"example": {}, "example_prediction": None})
        content = _proved(verify(folder), candidate, rows, load(plain, **reader))
        for name in (MANIFEST, SEAL):
            (folder / name).unlink()
        seal(folder, draft | content)
        if to.exists():
            to.rename(scratch / "old")
        folder.rename(to)
    return verify(to)


def sample(project: Project, candidate: Candidate, use_case: UseCase) -> pd.DataFrame:
    """Raw rows of a version's holdout without their target, as a client would have them, in the order of the holdout.

    Where the key is made of other columns, they are the first and last of all raw rows. Raises UserError for none.
    """
    import pandas as pd

    folder, known = project.data / "raw" / use_case.name, raw.stand_in(candidate)
    stages.refuse_absent(folder)
    parts = [raw.typed(file, use_case, known) for file in stages.raw_files(folder, stages.patterns(use_case))]
    rows = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    key = list(use_case.config.key)
    if set(key) <= set(rows):
        wanted = pd.MultiIndex.from_frame(candidate.holdout()[key])
        given = pd.MultiIndex.from_frame(rows[key])
        places = wanted.get_indexer_for(given) if wanted.is_unique else wanted.drop_duplicates().get_indexer_for(given)
        rows = rows.assign(__place__=places)[places >= 0].sort_values("__place__", kind="stable").drop(columns="__place__")
        rows = rows.head(MOST)
    elif len(rows) > MOST:
        rows = pd.concat([rows.head(MOST // 2), rows.tail(MOST // 2)])
    if rows.empty:
        raise UserError(
            f"{folder}: holds no raw row of the holdout of {use_case.name}, by which the features of a server of raw rows are "
            "proved: bring the data of that version (git checkout, dvc pull)"
        )
    target = use_case.config.target.column
    rows = rows.assign(**{target: known}) if target in rows else rows
    return rows[list(use_case.schema("raw").columns)].reset_index(drop=True)


def code_of(package: Path) -> list[Path]:
    """The files that the digest of a use case's code covers, as training ran them; nothing else can be imported by it.

    Raises UserError for an import of the machinery, of which a server has little.
    """
    root = package.parent
    shared = (root / use_case_code.COMMON).rglob("*.py")
    found = sorted(file for file in (root / "__init__.py", *package.rglob("*.py"), *shared) if file.is_file())
    for file in found:
        for statement, module in use_case_code.imports(file, root):
            taken = [f"{module}.{name.name}" for name in statement.names] if module == "mlops" else [module]
            if module.partition(".")[0] == "mlops" and not {*taken} <= PROVIDED:
                raise UserError(f"{file}:{statement.lineno}: imports {taken[0]}, which a server does not have; {PLAIN}")
    return found


def _columns(use_case: UseCase) -> Iterator[Column]:
    """What requests hold: the columns of the raw schema, without the target."""
    from pandera import dtypes

    kinds = {
        "boolean": dtypes.is_bool,
        "long": dtypes.is_int,
        "double": dtypes.is_float,
        "datetime": dtypes.is_datetime,
        "string": _is_text,
    }
    for name, column in use_case.schema("raw").columns.items():
        if name == use_case.config.target.column:
            continue
        kind = next((kind for kind, fits in kinds.items() if column.dtype is not None and fits(column.dtype)), None)
        if kind is None:
            raise UserError(
                f'src/use_cases/{use_case.name}: schema("raw") has no type for column {name} that a request could hold '
                f"({column.dtype}); give it one, or {PLAIN}"
            )
        nullable = str(column.dtype) if str(column.dtype) in ("Int64", "Int32", "boolean") else ""
        needed = bool(column.required and not column.nullable)
        yield Column(str(name), kind, required=needed, wide=kind == "long", pandas=nullable)


def _is_text(kind: Any) -> bool:
    from pandera import dtypes

    return bool(dtypes.is_string(kind) or dtypes.is_category(kind))


def _content(plain: Bundle, candidate: Candidate, use_case: UseCase, request: Signature) -> dict[str, Any]:
    """The manifest's part on raw rows."""
    known, target = raw.stand_in(candidate), use_case.config.target.column
    value = known.isoformat() if hasattr(known, "isoformat") else getattr(known, "item", lambda: known)()
    given = plain.content["signature"]
    inputs = [asdict(column) for column in request.columns]
    return {
        "signature": {"inputs": inputs, "outputs": given["outputs"], "params": given["params"], "limit": None},
        "raw": {
            "model": {"inputs": given["inputs"], "params": given["params"], "limit": given["limit"]},
            "target": {"column": target, "value": value} if target in use_case.schema("raw").columns else None,
            "key": list(use_case.config.key),
            "together": False,
        },
    }


def _proved(draft: Bundle, candidate: Candidate, rows: pd.DataFrame, predict: Predict) -> dict[str, Any]:
    """Evidence and example of a bundle of raw rows. Raises UserError where they get other features or predictions."""
    with serving.imported(draft, allow_code=True) as module:
        answer = serving.RawRows(draft, module)
        given = _as_request(rows, draft)
        alone = _alone(answer, given, draft)
        compared = _compare(alone, candidate, draft, predict)
        together = _in_any_order(answer, given, alone)
        shown = holdouts.example(given, draft.signature)
        inputs, _ = answer(_one(draft.signature, shown))
        prediction = holdouts.expected_of(predict(inputs, None))
    return {
        "raw": draft.content["raw"] | {"together": together},
        "evidence": draft.content["evidence"] | {"raw rows": compared},
        "example": shown,
        "example_prediction": prediction,
    }


def _as_request(rows: pd.DataFrame, draft: Bundle) -> Rows:
    try:
        return frame_to_rows(rows, draft.signature)
    except InvalidRequest as error:
        raise UserError(f"{draft.name}: its own raw rows are no request ({error.message}); {PLAIN}") from None


def _one(request: Signature, values: dict[str, Any]) -> Rows:
    from mlops.serving.signature import from_columns

    return from_columns(request, [[values[name]] for name in request.names], strict=True)


def _alone(answer: serving.RawRows, given: Rows, draft: Bundle) -> pd.DataFrame:
    """What the code makes of each row by itself."""
    import pandas as pd

    parts = []
    for place in range(given.count):
        try:
            parts.append(answer.processed(_at(given, place)))
        except InvalidRequest as error:
            reason = error.message.partition(": ")[2] or error.message
            raise UserError(
                f"{draft.name} {draft.number}: raw rows cannot be answered one by one ({reason.rstrip('.')}): "
                f"its features need other rows beside a row, or its target; {PLAIN}"
            ) from None
    joined: pd.DataFrame = pd.concat(parts, ignore_index=True)
    return joined


def _at(rows: Rows, *places: int) -> Rows:
    chosen = list(places)
    if rows.matrix is not None:
        return Rows(len(chosen), rows.matrix[chosen], [])
    return replace(rows, count=len(chosen), arrays=[array[chosen] for array in rows.arrays])


def _compare(alone: pd.DataFrame, candidate: Candidate, draft: Bundle, predict: Predict) -> int:
    """How many rows of the holdout have the recorded features and predictions. Raises UserError where they differ."""
    import pandas as pd
    from pandas.testing import assert_frame_equal

    key, names = draft.content["raw"]["key"], draft.inputs.names
    recorded = candidate.holdout()[[*key, *names, PREDICTION]]
    both = alone[key].reset_index(names="__row__").merge(recorded, on=key, how="inner")
    ours = alone.loc[both["__row__"], names].reset_index(drop=True)
    if both.empty:
        raise UserError(f"{draft.name} {draft.number}: none of its raw rows has a key of the holdout; {PLAIN}")
    try:
        assert_frame_equal(ours, both[names], check_dtype=False, check_categorical=False, rtol=1e-9, atol=1e-12)
    except AssertionError as error:
        different = next((name for name in names if f'"{name}"' in str(error)), names[0])
        raise UserError(
            f"{draft.name} {draft.number}: feature {different} of a raw row alone is not the one that training recorded: "
            f"it needs other rows beside it, or the target; {PLAIN}"
        ) from None
    try:
        answers = predict(frame_to_rows(ours, draft.inputs), None)
        compare(holdouts.as_array(both[PREDICTION].to_numpy()), holdouts.as_recorded(answers))
    except NotConverted as error:
        raise UserError(f"{draft.name} {draft.number}: raw rows get other predictions than in training ({error})") from None
    return len(pd.unique(both["__row__"]))


def _in_any_order(answer: serving.RawRows, given: Rows, alone: pd.DataFrame) -> bool:
    """Whether rows may go through the code together: in another order each keeps its features and its place."""
    import numpy as np
    from pandas.testing import assert_frame_equal

    order = np.random.default_rng(0).permutation(given.count).tolist()
    joint = answer.together(answer.typed(_at(given, *order)))
    try:
        assert joint is not None
        expected = alone.iloc[order].reset_index(drop=True)
        assert_frame_equal(joint.reset_index(drop=True), expected, check_dtype=False, check_categorical=False, rtol=1e-12)
    except AssertionError:
        return False
    return True
