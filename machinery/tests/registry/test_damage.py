"""An alias moves to what can be served, and a version whose files are not those that were registered is named as that."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hostile
import pytest

from mlops import tracking
from mlops.config import Project
from mlops.errors import DataError, MlopsError
from mlops.registry import versions
from mlops.registry.register import champion_of, register
from mlops.registry.versions import Version
from mlops.scoring import registered as bundles
from mlops.serving.signature import NULL
from mlops.training.train import train
from mlops.use_case import UseCase, load_use_case

if TYPE_CHECKING:
    import pandas as pd

SEED = ("seed=5",)


def champion(project: Project) -> Version:
    return versions.resolve(project, "iris", "champion")


def with_column(use_case: UseCase, values: Callable[["pd.Series"], Any], dtype: Any) -> UseCase:
    """The use case with one more input, computed of the flower's number."""
    from pandera.pandas import Column
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline

    numbers = ["sepal_length", "sepal_width", "petal_length", "petal_width"]

    def features(rows: "pd.DataFrame") -> "pd.DataFrame":
        known = use_case.features(rows)
        return known.assign(extra=values(known["flower"]))

    def schema(stage: str):
        known = use_case.schema(stage)
        return known.add_columns({"extra": Column(dtype, nullable=True)}) if stage == "processed" else known

    def build(seed: int, **_: object) -> Any:
        boosting = HistGradientBoostingClassifier(max_iter=20, random_state=seed)
        return boosting if dtype == "Int64" else make_pipeline(make_column_transformer(("passthrough", numbers)), boosting)

    return replace(use_case, features=features, schema=schema, build=build)


def trained_with(project: Project, values: Callable[["pd.Series"], Any], dtype: Any):
    shutil.rmtree(project.data / "processed" / "iris")
    use_case = with_column(load_use_case(project, "iris", SEED), values, dtype)
    candidate, _ = train(project, use_case)
    return register(project, use_case, candidate, "champion", "a test")


def test_a_model_of_whole_numbers_with_gaps_becomes_the_champion_and_is_served(registered: Project) -> None:
    import pandas as pd

    outcome = trained_with(
        registered, lambda flowers: pd.array([None if n % 3 == 0 else n % 5 for n in flowers], dtype="Int64"), "Int64"
    )
    assert outcome.passed, outcome.reasons
    served = bundles.bundle(registered, "iris", "champion", None, None)
    extra = next(column for column in served.signature.columns if column.name == "extra")
    assert served.number == outcome.version.number and extra.gaps and not extra.required


def test_a_model_that_no_server_can_take_is_refused_before_the_alias_moves(registered: Project) -> None:
    before = champion(registered)
    outcome = trained_with(registered, lambda flowers: [NULL for _ in flowers], "object")
    assert any("no server can take the model" in reason and "\n" not in reason for reason in outcome.reasons)
    assert champion(registered).version == before.version


def places(project: Project, version: Version) -> tuple[Path, Path]:
    """The folders of a version's model and of its candidate in the embedded store."""
    with tracking.open_store(project) as client:
        run = client.get_run(version.run_id)
    model = next(path.parent for path in project.store.rglob("MLmodel") if version.model_id in str(path))
    return model, Path(run.info.artifact_uri.removeprefix("file://")) / "candidate"


def readers(project: Project):
    """Every way to what a version holds, by name; a champion is asked by a candidate beside it."""
    from mlops.registry import card

    use_case = load_use_case(project, "iris")
    version = champion(project)
    return {
        "champion": lambda: champion_of(project, [version]).fetch(),
        "fetch": lambda: versions.fetch(project, version, project.output / "fetched"),
        "card": lambda: card.make(project, use_case, version),
        "bundle": lambda: bundles.bundle(project, "iris", "champion", None, None),
    }


READERS = ("champion", "fetch", "card", "bundle")


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def adapt(manifest: Path, model: Path) -> None:
    """Write the altered model's digests into the manifest, as who alters a store by hand would."""
    from mlops import digests

    content = json.loads(manifest.read_text())
    for name in content["files"]:
        if name.startswith("model/"):
            content["files"][name] = digests.of_file(model / name.removeprefix("model/"))
    manifest.write_text(json.dumps(content))


def exchanged(model: Path, candidate: Path) -> None:
    hostile.KINDS["own_list"](model, model.parent / "canary")


def with_digests_adapted(model: Path, candidate: Path) -> None:
    exchanged(model, candidate)
    adapt(candidate / "manifest.json", model)


def another_versions_manifest(model: Path, candidate: Path) -> None:
    content = json.loads((candidate / "manifest.json").read_text())
    (candidate / "manifest.json").write_text(json.dumps({**content, "key": "0" * 64}))


DAMAGES = {
    "model missing": lambda model, candidate: (model / "model.skops").unlink(),
    "model folder missing": lambda model, candidate: shutil.rmtree(model),
    "model truncated": lambda model, candidate: (model / "model.skops").write_bytes(b"PK"),
    "model flipped": lambda model, candidate: flip(model / "model.skops"),
    "model exchanged": exchanged,
    "description changed": lambda model, candidate: flip(model / "MLmodel"),
    "file added": lambda model, candidate: (model / "sitecustomize.py").write_text("raise SystemExit"),
    "holdout flipped": lambda model, candidate: flip(candidate / "holdout.parquet"),
    "manifest missing": lambda model, candidate: (candidate / "manifest.json").unlink(),
    "manifest truncated": lambda model, candidate: (candidate / "manifest.json").write_text("{"),
    "manifest of another version": another_versions_manifest,
    "digests adapted": with_digests_adapted,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_champion_is_named_as_that_on_every_way(registered: Project, damage: str) -> None:
    reading = readers(registered)
    model, candidate = places(registered, champion(registered))
    DAMAGES[damage](model, candidate)
    for name in READERS:
        with pytest.raises(MlopsError) as refused:
            reading[name]()
        assert "iris 1.0.0 (champion)" in str(refused.value) and "\n" not in str(refused.value), name
    assert not (model.parent / "canary").exists()


def test_the_next_run_says_that_the_champion_is_damaged(registered: Project) -> None:
    model, _ = places(registered, champion(registered))
    flip(model / "model.skops")
    use_case = load_use_case(registered, "iris", SEED)
    candidate, _ = train(registered, use_case)
    with pytest.raises(
        DataError, match=r"iris 1\.0\.0 \(champion\): its files .*model/model\.skops is changed.*mlops store pull"
    ):
        register(registered, use_case, candidate, "challenger", "a test")
