"""An alias moves to what can be served, and a version whose files are not those that were registered is named as that."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import hostile
import pytest

from mlops import tracking
from mlops.config import Project
from mlops.errors import DataError, MlopsError
from mlops.registry import versions
from mlops.registry.register import champion_of, register
from mlops.registry.versions import Version
from mlops.scoring import registered as bundles
from mlops.training.train import train
from mlops.use_case import UseCase, load_use_case

SEED = ("seed=5",)


def champion(project: Project) -> Version:
    return versions.resolve(project, "iris", "champion")


def with_gaps(use_case: UseCase) -> UseCase:
    """The use case with a column of whole numbers that has gaps, which a server cannot take as such."""
    import pandas as pd
    from pandera.pandas import Column
    from sklearn.ensemble import HistGradientBoostingClassifier

    def features(rows: pd.DataFrame) -> pd.DataFrame:
        features = use_case.features(rows)
        doors = pd.array([None if flower % 3 == 0 else flower % 5 for flower in features["flower"]], dtype="Int64")
        return features.assign(doors=doors)

    def schema(stage: str):
        schema = use_case.schema(stage)
        return schema.add_columns({"doors": Column("Int64", nullable=True)}) if stage == "processed" else schema

    def build(seed: int, **_: object) -> HistGradientBoostingClassifier:
        return HistGradientBoostingClassifier(max_iter=20, random_state=seed)

    return replace(use_case, features=features, schema=schema, build=build)


def test_a_model_that_no_server_can_take_is_refused_before_the_alias_moves(registered: Project) -> None:
    before = champion(registered)
    shutil.rmtree(registered.data / "processed" / "iris")
    use_case = with_gaps(load_use_case(registered, "iris", SEED))
    candidate, _ = train(registered, use_case)
    outcome = register(registered, use_case, candidate, "champion", "a test")
    if outcome.passed:  # where the server takes gaps in whole numbers, the bundle is there
        assert bundles.bundle(registered, "iris", "champion", None, None).number == outcome.version.number
        return
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
