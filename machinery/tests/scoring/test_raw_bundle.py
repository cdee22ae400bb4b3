"""A server of raw rows answers with the features that training made, by code that runs only where the reader allows it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from checkouts import git

import use_cases
from mlops.bundle import build as bundles
from mlops.bundle import contents
from mlops.config import Project, load_project
from mlops.errors import UserError
from mlops.scoring import raw_bundle, registered
from mlops.serving import arrow, scoring, service
from mlops.serving.manifest import SEAL, Bundle, BundleDamaged, digest_of, seal, verify
from mlops.serving.settings import Settings
from mlops.training.candidate import PREDICTION, Candidate
from mlops.training.train import train
from mlops.trust import Untrusted
from mlops.use_case import load_use_case

CONFIG: dict[str, Any] = {
    "description": "Which loan is paid back late",
    "task": "classification",
    "target": {"column": "late"},
    "key": ["loan"],
    "split": {"method": "hash", "holdout": 0.3},
    "metrics": {"accuracy": {"direction": "higher", "primary": True}},
    "bootstrap": {"resamples": 100},
}
CODE = '''
import numpy as np
import pandas as pd
from pandera.pandas import Column, DataFrameSchema
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from use_cases.common.money import in_euros

KNOWN = {"loan": Column(str), "late": Column(bool)}


def load(raw):
    """One row a loan, whatever was written twice."""
    return raw.drop_duplicates().reset_index(drop=True)


def schema(stage):
    if stage != "processed":
        columns = {"amount": Column(float, nullable=True), "day": Column("datetime64[ns]"), "town": Column(str)}
        return DataFrameSchema({**KNOWN, **columns})
    return DataFrameSchema({**KNOWN, "euros": Column(float), "month": Column(float), "town": Column(str)})


def features(rows):
    months = rows["day"].dt.month.astype(float)
    made = pd.DataFrame({"loan": rows["loan"], "euros": in_euros(rows["amount"]), "month": months, "town": rows["town"]})
    if (rows["town"] == "nowhere").any():
        raise KeyError(rows["town"].iloc[0])
    return made.assign(late=rows["late"])


def build(seed):
    return make_pipeline(
        make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["town"]), remainder="passthrough"),
        LogisticRegression(random_state=seed),
    )


def baseline(train, holdout):
    return np.zeros(len(holdout), dtype=bool)
'''
MONEY = "def in_euros(cents):\n    return cents.fillna(0.0) / 100\n"


def loans(count: int = 200) -> pd.DataFrame:
    chance = np.random.default_rng(3)
    rows = pd.DataFrame({"loan": [f"L{number:03}" for number in range(count)], "amount": chance.gamma(2, 5e2, count).round()})
    rows["day"] = (pd.Timestamp("2024-01-01") + pd.to_timedelta(chance.integers(0, 700, count), unit="D")).strftime("%Y-%m-%d")
    rows["town"] = chance.choice(["Bonn", "Trier"], count)
    rows["late"] = rows["amount"] / 1e3 + (rows["town"] == "Bonn") + chance.normal(size=count) / 5 > 1.5
    return rows.assign(amount=rows["amount"].where(chance.random(count) > 0.1))


Trained = tuple[Project, Candidate, Bundle]


@pytest.fixture(scope="module")
def trained(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Trained]]:
    """Train the use case, by default with the code above, each code once: project, candidate, and the model's own bundle."""
    known: dict[str, Trained] = {}

    def run(code: str = CODE) -> Trained:
        if code not in known:
            root = tmp_path_factory.mktemp("loans") / "project"
            shutil.copytree(template, root)
            name = f"loans{len(known)}"
            known[code] = _trained(root, name, code, patched)
        return known[code]

    with pytest.MonkeyPatch.context() as patched, patch.dict(os.environ):
        yield run
    for module in [module for module in sys.modules if module.startswith("use_cases.")]:
        del sys.modules[module]


def _trained(root: Path, name: str, code: str, patched: pytest.MonkeyPatch) -> Trained:
    source, data = root / "src" / "use_cases", root / "data" / "raw" / name
    for folder in (source / name, source / "common", data):
        folder.mkdir(parents=True)
    (source / "__init__.py").touch()
    (source / name / "__init__.py").write_text(code)
    (source / "common" / "__init__.py").touch()
    (source / "common" / "money.py").write_text(MONEY)
    loans().to_csv(data / "loans.csv", index=False)
    (root / "config" / f"{name}.yaml").write_text(
        yaml.safe_dump({**CONFIG, "serving": {"input": "raw", "personal": ["amount"]}})
    )
    patched.setenv("MLOPS_PROJECT", str(root))
    patched.setattr(use_cases, "__path__", [str(source)])
    for module in [module for module in sys.modules if module.startswith("use_cases.common")]:
        del sys.modules[module]
    git(root, "add", "--all")
    git(root, "-c", "user.name=Ann", "-c", "user.email=a@b.c", "commit", "--message=loans")
    project = load_project()
    candidate = train(project, load_use_case(project, name))[0]
    version = {"number": "1.0.0", "run_id": "abc", "code": candidate.manifest["parts"]["code"]}
    return project, candidate, bundles.build(candidate.path, root / "plain", name, version)


@pytest.fixture(scope="module")
def bundle(trained: Callable[..., Trained]) -> Bundle:
    project, candidate, plain = trained()
    return raw_bundle.build(project, candidate, plain, project.root / "bundle")


@pytest.fixture
def ask(bundle: Bundle) -> Iterator[Callable[..., Any]]:
    """Ask the server of the bundle, without its HTTP."""
    with asking(bundle) as answer:
        yield answer


@contextmanager
def asking(bundle: Bundle) -> Iterator[Callable[..., Any]]:
    """A server of a bundle, without its HTTP."""
    state = service.create(bundle.folder, Settings(allow_code=True))
    with state.imports:
        service.start(state)
        assert state.scorer is not None

        def answer(endpoint: str, body: Any, kind: str = scoring.JSON) -> Any:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            assert state.scorer is not None
            return json.loads(scoring.score(state.scorer, endpoint, content, kind, "", "test").payload)

        yield answer
    state.pool.shutdown()


def recorded(trained: Trained) -> dict[str, bool]:
    """Loan → what training predicted for it, of the holdout."""
    holdout = trained[1].holdout()
    return dict(zip(holdout["loan"], holdout[PREDICTION].tolist(), strict=True))


def request_of(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return json.loads(rows.drop(columns="late").to_json(orient="records"))


def test_raw_rows_without_their_target_get_the_predictions_of_training_and_their_key(
    ask: Callable[..., Any], trained: Callable[..., Trained]
) -> None:
    known = recorded(trained())
    rows = loans()[loans()["loan"].isin(known)]
    assert rows["amount"].isna().any() and rows["late"].nunique() == 2
    answer = ask("/predict", {"rows": request_of(rows)})
    assert [key["loan"] for key in answer["keys"]] == rows["loan"].tolist()
    assert answer["predictions"] == [known[loan] for loan in rows["loan"]]
    lines = rows.drop(columns="late").to_csv(index=False).encode()
    assert ask("/invocations", lines, scoring.CSV)["predictions"] == answer["predictions"]


def test_a_prediction_log_leaves_out_what_was_made_of_a_personal_column(trained: Callable[..., Trained]) -> None:
    _, candidate, _ = trained()
    assert registered._personal(("amount", "town"), candidate.manifest) == ("amount", "euros", "town")
    assert registered._personal((), candidate.manifest) == ()


def test_training_notes_what_was_made_of_personal_columns_and_not_their_range(trained: Callable[..., Trained]) -> None:
    manifest = trained()[1].manifest
    assert manifest["personal"] == {"amount": ["euros"]}
    assert set(manifest["ranges"]) == {"month", "town", "late"}


def test_the_schema_beside_a_described_raw_file_is_no_raw_file(
    trained: Callable[..., Trained], monkeypatch: pytest.MonkeyPatch
) -> None:
    project, candidate, _ = trained()
    name = str(candidate.manifest["use_case"])
    monkeypatch.setenv(f"MLOPS__{name.upper()}__DATA__READ__SEPARATOR", "','")
    described = load_use_case(project, name)
    assert described.config.data.read is not None
    assert list((project.data / "raw" / name).glob("*.schema.json"))
    assert set(raw_bundle.sample(project, candidate, described)["loan"]) == set(candidate.holdout()["loan"])


def test_the_open_inference_protocol_takes_them_too(ask: Callable[..., Any], bundle: Bundle) -> None:
    kinds = {"double": "FP64"}
    tensors = [
        {"name": column.name, "shape": [1], "datatype": kinds.get(column.type, "BYTES"), "data": [bundle.example[column.name]]}
        for column in bundle.signature.columns
    ]
    answer = ask("/v2/models/{name}/infer", {"inputs": tensors})
    assert answer["outputs"][0]["data"] == [bundle.content["example_prediction"]]


def test_a_server_of_features_that_gets_raw_rows_names_the_key_that_takes_them(
    trained: Callable[..., Trained], ask: Callable[..., Any]
) -> None:
    project, candidate, plain = trained()
    raw, features = request_of(loans())[0], {"euros": 1.0, "town": "Bonn"}
    key = "serving: {input: raw}"

    def refusal(answer: Callable[..., Any], *request: Any) -> str:
        with pytest.raises(scoring.InvalidRequest) as refused:
            answer(*request)
        return refused.value.message

    def requests(row: dict[str, Any]) -> list[tuple[Any, ...]]:
        """One row in every form that a server takes."""
        frame = pd.DataFrame([row])
        stream = pa.BufferOutputStream()
        with pa.ipc.new_stream(stream, pa.Schema.from_pandas(frame, preserve_index=False)) as writer:
            writer.write_table(pa.Table.from_pandas(frame, preserve_index=False))
        split = {"columns": list(row), "data": [list(row.values())]}
        tensors = [{"name": name, "shape": [1], "datatype": "BYTES", "data": [str(row[name])]} for name in row]
        forms = {"dataframe_split": split, "dataframe_records": [row], "instances": [row], "inputs": row}
        return [
            ("/predict", {"rows": [row]}),
            *(("/invocations", {form: content}) for form, content in forms.items()),
            ("/invocations", frame.to_csv(index=False).encode(), scoring.CSV),
            ("/invocations", stream.getvalue().to_pybytes(), arrow.CONTENT_TYPE),
            ("/v2/models/{name}/infer", {"inputs": tensors}),
        ]

    with asking(plain) as answer:
        for request in requests(raw):
            message = refusal(answer, *request)
            assert message.endswith(key + ".") and "\n" not in message, request
        for request in requests(features):
            assert "month" in refusal(answer, *request) and key not in refusal(answer, *request), request
    lacking = {name: value for name, value in raw.items() if name != "day"}
    assert key not in refusal(ask, "/predict", {"rows": [{**lacking, "month": 1.0}]})


def test_a_row_that_stands_twice_in_a_request_gets_two_answers(ask: Callable[..., Any]) -> None:
    row = request_of(loans())[5]
    answer = ask("/predict", {"rows": [row, row]})
    assert [key["loan"] for key in answer["keys"]] == [row["loan"]] * 2


def test_a_row_that_the_code_does_not_take_is_named_and_its_values_are_not(ask: Callable[..., Any]) -> None:
    rows = request_of(loans())[:3]
    rows[1]["town"] = "nowhere"
    with pytest.raises(scoring.InvalidRequest, match=r"Row 1: load or features .* \(KeyError\)") as refused:
        ask("/predict", {"rows": rows})
    assert "nowhere" not in refused.value.message


def test_a_bundle_is_served_from_wherever_its_path_begins(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(bundle.folder)
    monkeypatch.chdir(tmp_path)
    for path in (Path("link"), Path(os.path.relpath(bundle.folder))):
        state = service.create(path, Settings(allow_code=True))
        with state.imports:
            service.start(state)
            assert state.ready
        state.pool.shutdown()


def marked(bundle: Bundle, folder: Path, reseal: bool) -> Path:
    """A copy of a bundle whose code writes a file when it is imported; `reseal` gives it digests that agree."""
    shutil.copytree(bundle.folder, folder / "bundle")
    file = next((folder / "bundle" / "code").rglob(f"{bundle.name}/__init__.py"))
    file.write_text(f"open({str(folder / 'ran')!r}, 'w')\n" + file.read_text())
    if reseal:
        for name in ("manifest.json", SEAL):
            (folder / "bundle" / name).unlink()
        seal(folder / "bundle", bundle.content)
    return folder / "bundle"


@pytest.mark.parametrize(("reseal", "allow", "error"), [(True, False, Untrusted), (False, True, BundleDamaged)])
def test_code_runs_only_where_it_is_allowed_and_has_the_digests_of_the_manifest(
    bundle: Bundle, tmp_path: Path, reseal: bool, allow: bool, error: type[Exception]
) -> None:
    state = service.create(marked(bundle, tmp_path, reseal), Settings(allow_code=allow))
    with state.imports, pytest.raises(error, match="MLOPS_SERVE_ALLOW_CODE=true" if error is Untrusted else "digest"):
        service.start(state)
    state.pool.shutdown()
    assert not (tmp_path / "ran").exists()


def test_a_kept_bundle_with_other_code_than_the_versions_is_not_taken(bundle: Bundle, tmp_path: Path) -> None:
    identity = bundle.content["version"]
    options = {"allow_pickle": False, "personal": (), "raw": True}
    assert registered._kept(bundle.folder, identity, **options) is not None
    assert registered._kept(bundle.folder, identity, **{**options, "raw": False}) is None
    altered = marked(bundle, tmp_path, reseal=True)
    assert verify(altered).digest == digest_of(altered / "manifest.json")
    assert registered._kept(altered, identity, **options) is None


def test_rows_keep_their_place_where_load_sorts_them(trained: Callable[..., Trained]) -> None:
    code = CODE.replace("raw.drop_duplicates()", 'raw.sort_values("amount")')
    project, candidate, plain = trained(code)
    built = raw_bundle.build(project, candidate, plain, project.root / "bundle")
    assert not built.content["raw"]["together"]
    assert built.content["evidence"]["raw rows"] == len(candidate.holdout())


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('in_euros(rows["amount"])', 'rows["amount"].fillna(0.0).rank()', "feature euros of a raw row alone"),
        ('in_euros(rows["amount"])', 'rows["late"].astype(float)', "feature euros of a raw row alone"),
        ('made.assign(late=rows["late"])', 'made.assign(late=rows["late"]).iloc[1:]', "make 0 rows of it, not one"),
    ],
    ids=["other rows", "the target", "a first row that is left out"],
)
def test_features_that_a_row_alone_does_not_have_are_refused_in_one_line(
    trained: Callable[..., Trained], old: str, new: str, reason: str
) -> None:
    project, candidate, plain = trained(CODE.replace(old, new))
    with pytest.raises(UserError, match=reason) as refused:
        raw_bundle.build(project, candidate, plain, project.root / "bundle")
    assert "leave serving.input out" in str(refused.value) and "\n" not in str(refused.value)
    assert not (project.root / "bundle").exists()


def test_without_raw_rows_of_the_holdout_nothing_is_bundled(trained: Callable[..., Trained]) -> None:
    project, candidate, plain = trained()
    elsewhere = project.model_copy(update={"data": project.root / "nowhere"})
    with pytest.raises(UserError, match="bring the data of that version"):
        raw_bundle.build(elsewhere, candidate, plain, project.root / "other")


def test_an_image_installs_what_the_code_imports(bundle: Bundle, trained: Callable[..., Trained]) -> None:
    needed = contents.modules(trained()[0].root, bundle)
    assert needed >= {"pandas", "pandera", "numpy", "sklearn"}
    assert not needed & {"mlops", "use_cases"}
