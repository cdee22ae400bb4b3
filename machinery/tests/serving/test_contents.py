"""What an image installs follows from what the model imports, by the lock, and is tried in an environment of exactly that."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from checkouts import ROOT

from mlops.bundle import contents
from mlops.bundle.build import build
from mlops.bundle.image import environment, prove, rows_of, stage, try_out
from mlops.errors import UserError
from mlops.use_case_code import digest

from .conftest import VERSION, labelled, make_candidate

OWN = """
import filelock
from sklearn.base import BaseEstimator, TransformerMixin


class Clip(TransformerMixin, BaseEstimator):
    def fit(self, rows, target=None):
        self.high_ = filelock.__name__ and float(rows.to_numpy().max())
        return self

    def transform(self, rows):
        return rows.clip(upper=self.high_)
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A project with the locks and a use case `clipped` whose transformer imports a package that no server needs."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "requirements", folder / "requirements")
    package = folder / "src" / "use_cases" / "clipped"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "clip.py").write_text(OWN)
    return folder


@pytest.fixture(scope="module")
def candidate(root, tmp_path_factory):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    import use_cases

    use_cases.__path__.append(str(root / "src" / "use_cases"))
    from use_cases.clipped.clip import Clip

    return make_candidate(
        tmp_path_factory.mktemp("clipped"), make_pipeline(Clip(), LogisticRegression(max_iter=2000)), *labelled()
    )


@pytest.fixture
def bundle(candidate, root, tmp_path):
    version = VERSION | {"code": digest(root / "src" / "use_cases" / "clipped")}
    return build(candidate, tmp_path / "bundle", "clipped", version, trusted=("use_cases.clipped",))


def rows(candidate, bundle):
    return rows_of(pd.read_parquet(candidate / "holdout.parquet"), bundle)


SETTINGS = {"trust": "use_cases.clipped"}


@pytest.fixture(scope="module")
def proved(root, candidate, tmp_path_factory):
    """The context of the bundle, and an interpreter with its packages alone."""
    folder = tmp_path_factory.mktemp("proved")
    version = VERSION | {"code": digest(root / "src" / "use_cases" / "clipped")}
    bundle = build(candidate, folder / "bundle", "clipped", version, trusted=("use_cases.clipped",))
    stage(root, bundle, folder / "context", SETTINGS)
    return folder / "context", environment(folder / "context", folder / "env"), rows(candidate, bundle)


@pytest.mark.servers
def test_a_transformer_of_the_use_case_travels_with_what_it_imports(proved):
    context, python, recorded = proved
    lock = (context / "requirements.txt").read_text()
    assert (context / "app" / "use_cases" / "clipped" / "clip.py").read_text() == OWN
    assert "filelock==" in lock and "--hash=sha256:" in lock.partition("filelock==")[2]
    assert 'ENV MLOPS_SERVE_TRUST="use_cases.clipped"' in (context / "Dockerfile").read_text()
    try_out(python, context, recorded, SETTINGS)


@pytest.mark.servers
def test_an_image_that_may_not_load_its_model_is_not_built(proved):
    context, python, recorded = proved
    with pytest.raises(UserError, match="would not serve .*not trusted here"):
        try_out(python, context, recorded)


@pytest.mark.servers
def test_an_image_that_predicts_otherwise_than_training_recorded_is_not_built(proved):
    context, python, recorded = proved
    with pytest.raises(UserError, match="1 of 38 predictions are not those that training recorded"):
        try_out(python, context, {**recorded, "recorded": ["other", *recorded["recorded"][1:]]}, SETTINGS)


@pytest.mark.servers
def test_an_image_without_the_code_or_the_package_of_its_model_is_not_built(proved, tmp_path):
    """As images were: built, called well, and dead at their start."""
    context, python, recorded = proved
    shutil.copytree(context, tmp_path / "context")
    clip = tmp_path / "context" / "app" / "use_cases" / "clipped" / "clip.py"
    clip.write_text(OWN.replace("import filelock", "import filelock_of_nobody as filelock"))
    with pytest.raises(UserError, match="would not serve .*filelock"):
        try_out(python, tmp_path / "context", recorded, SETTINGS)
    shutil.rmtree(tmp_path / "context" / "app" / "use_cases")
    with pytest.raises(UserError, match="would not serve .*use_cases"):
        try_out(python, tmp_path / "context", recorded, SETTINGS)


@pytest.mark.servers
def test_an_onnx_image_is_proved_with_its_lock_alone(flowers, flowers_bundle, tmp_path):
    stage(ROOT, flowers_bundle, tmp_path / "context")
    assert (tmp_path / "context" / "requirements.txt").read_text() == (ROOT / "requirements" / "serve.txt").read_text()
    prove(tmp_path / "context", rows(flowers, flowers_bundle))


def test_code_other_than_the_models_own_does_not_travel(root, bundle, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(root, other)
    (other / "src" / "use_cases" / "clipped" / "clip.py").write_text(OWN + "\n# changed\n")
    with pytest.raises(UserError, match="trained with other code .* check out c0ffee"):
        stage(other, bundle, tmp_path / "context")


def with_types(*names: str) -> SimpleNamespace:
    """A skops bundle whose model holds these types."""
    content = {"skops": {"needs": list(names)}, "version": {"commit": "c0ffee"}}
    return SimpleNamespace(format="skops", content=content, name="iris", number="1.0.0", folder=Path())


def test_a_package_of_the_model_is_installed_with_what_it_requires():
    lines = contents.requirements(ROOT, with_types("optuna.samplers.TPESampler", "sklearn.tree._tree.Tree"))
    added = contents.pins(lines).keys() - contents.pins((ROOT / "requirements" / "serve-skops.txt").read_text()).keys()
    assert {"optuna", "sqlalchemy", "alembic", "colorlog"} <= added
    assert all("--hash=sha256:" in pin for pin in contents.pins(lines).values())


def test_a_model_of_scikit_learn_alone_installs_the_lock_of_its_format():
    plain = with_types("sklearn.tree._tree.Tree", "numpy.dtype", "builtins.object", "scipy.sparse._csr.csr_matrix")
    assert contents.requirements(ROOT, plain) == (ROOT / "requirements" / "serve-skops.txt").read_text()


def test_a_package_that_no_lock_pins_is_named(tmp_path):
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    full = (tmp_path / "requirements" / "dev.txt").read_text()
    pin = contents.pins(full)["optuna"]
    (tmp_path / "requirements" / "dev.txt").write_text(full.replace(pin, ""))
    with pytest.raises(UserError, match="imports optuna, which requirements/dev.txt does not pin: .*make lock"):
        contents.requirements(tmp_path, with_types("optuna.samplers.TPESampler"))


def test_a_module_that_nothing_brings_is_named():
    with pytest.raises(UserError, match="imports lightgbm_of_nobody, which no installed package brings"):
        contents.requirements(ROOT, with_types("lightgbm_of_nobody.Booster"))


def test_the_lock_is_read_as_uv_writes_it():
    text = "alpha==1 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n    # via x\nBeta_Two[c]==2\\\n    --hash=sha256:cc\n"
    assert contents.pins(text) == {
        "alpha": "alpha==1 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb",
        "beta-two": "Beta_Two[c]==2\\\n    --hash=sha256:cc",
    }


def test_a_package_with_a_version_for_each_python_keeps_all_of_them() -> None:
    hashed = " \\\n    --hash=sha256:0\n"
    lock = f"a==1 ; python_version < '3.12'{hashed}b==2{hashed}a==3 ; python_version >= '3.12'{hashed}"
    assert [line for line in contents.pins(lock)["a"].splitlines() if line.startswith("a==")] == [
        "a==1 ; python_version < '3.12' \\",
        "a==3 ; python_version >= '3.12' \\",
    ]
