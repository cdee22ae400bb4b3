"""What may be loaded is the reader's decision, never the artifact's.

A skops file lists the types that it needs, and MLmodel names what loads it; both come with the artifact and are not asked. A
reader allows what scikit-learn, numpy and scipy hold a fitted model in (`KNOWN`, beside skops' own list of estimators), and
what the configuration at its own commit names under `serving.trust`. The server in an image has no configuration: the image
carries the names as MLOPS_SERVE_TRUST.

A type on the list says that loading runs no code that the file brings. It does not say that the numbers in it are the trained
ones: for that are digests and signatures.
"""

from __future__ import annotations

import re
import stat
import sys
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from mlops.errors import UserError, first_line

DESCRIPTION = "MLmodel"
LARGEST_DESCRIPTION = 1_000_000  # bytes of MLmodel; honest ones have a few thousand
LARGEST_MODEL, LARGEST_RATIO = 64_000_000, 200  # bytes unpacked from which on a file may not be this much smaller
NAME = re.compile(r"schema\.json|[A-Za-z0-9-]+\.(npy|npz|bin)")
LOADER = "mlflow.sklearn"
# The keys of a scikit-learn model's two flavors; whatever else would say how to load it is not read.
FLAVORS = {
    "python_function": {"env", "loader_module", "model_path", "predict_fn", "python_version"},
    "sklearn": {"code", "pickled_model", "serialization_format", "sklearn_version", "skops_trusted_types"},
}
PREDICT = {"predict", "predict_proba", "predict_log_proba", "decision_function", "score_samples", "transform"}

# What fitted models of scikit-learn hold beside public estimators, ufuncs and dtypes, which skops allows by itself: trees,
# kernels, distances, optimizers, splitters. Classes that only hold numbers, and functions that only compute. LightGBM
# keeps its parameters in an OrderedDict. And the machinery's own, which hold numbers that Spark has fitted.
KNOWN = frozenset("""
    builtins.object numpy.dtype numpy.mean scipy.interpolate._bsplines.BSpline
    scipy.interpolate._bsplines._BSpline scipy.sparse._csr.csr_matrix
    scipy.sparse._csc.csc_matrix scipy._lib.array_api_compat.numpy._aliases.asarray sklearn._loss.loss.HalfTweedieLoss
    sklearn._loss.loss.HalfTweedieLossIdentity sklearn.calibration._CalibratedClassifier
    sklearn.calibration._SigmoidCalibration sklearn.calibration._TemperatureScaling
    sklearn.cluster._bisect_k_means._BisectingTree sklearn.cluster._kmeans._kmeans_single_lloyd
    sklearn.cluster._kmeans._kmeans_single_elkan sklearn.compose._column_transformer._RemainderColsList
    sklearn.compose._column_transformer.make_column_selector
    sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor
    sklearn.feature_selection._mutual_info.mutual_info_classif sklearn.feature_selection._mutual_info.mutual_info_regression
    sklearn.feature_selection._univariate_selection.chi2 sklearn.feature_selection._univariate_selection.f_classif
    sklearn.feature_selection._univariate_selection.f_regression
    sklearn.feature_selection._univariate_selection.r_regression
    sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace sklearn.impute._iterative.IterativeImputer
    sklearn.impute._iterative._ImputerTriplet sklearn.metrics._scorer._CurveScorer
    sklearn.metrics._scorer._PassthroughScorer sklearn.metrics._scorer._Scorer
    sklearn.model_selection._search_successive_halving.HalvingGridSearchCV
    sklearn.model_selection._search_successive_halving.HalvingRandomSearchCV sklearn.multiclass._ConstantPredictor
    sklearn.neighbors._ball_tree.BallTree sklearn.neighbors._kd_tree.KDTree
    sklearn.neural_network._stochastic_optimizers.AdamOptimizer
    sklearn.neural_network._stochastic_optimizers.SGDOptimizer sklearn.tree._tree.Tree sklearn.utils._bunch.Bunch
    sklearn.utils._metadata_requests.MetadataRequest sklearn.utils._metadata_requests.MethodMetadataRequest
    collections.OrderedDict mlops.spark.ml.SparkClassifier mlops.spark.ml.SparkFeatures mlops.spark.products.Products
    mlops.spark.text.HashedWords
    """.split())
# Families whose members are alike; the name behind the prefix is one word.
FAMILIES = (
    re.compile(r"sklearn\.gaussian_process\.kernels\.[A-Z]\w+"),
    re.compile(r"sklearn\.metrics\._dist_metrics\.\w+Distance(32|64)?"),
    re.compile(r"sklearn\.metrics\._(classification|regression|ranking)\.\w+_(score|error|loss)"),
    re.compile(r"sklearn\.model_selection\._split\.[A-Z]\w*(Split|Fold|Out)"),
)

# What HistGradientBoosting with categories holds: a partial of this function. And a type, as a node of skops.
CHECK_INPUT = ("functools.partial", "sklearn.utils.validation.check_array")
FLOAT64 = ("TypeNode", "numpy.float64")


class Untrusted(UserError):
    """Raised for an artifact that a reader does not load: it needs what was not allowed, or is no model at all."""


def allows(name: str, trust: Collection[str] = ()) -> bool:
    """Whether a reader loads a type or function: one of `KNOWN`, or named by `trust` itself, by its module or its package."""
    if name in KNOWN or any(family.fullmatch(name) for family in FAMILIES):
        return True
    return any(name == entry or name.startswith(f"{entry}.") for entry in trust)


def needs(file: Path) -> list[str]:
    """The types and functions of a skops file that skops does not allow by itself; nothing of it is constructed.

    Raises Untrusted for what is not a skops file, or is one that only an attacker writes.
    """
    import skops.io

    check_archive(file)
    try:
        return list(skops.io.get_untrusted_types(file=file))
    except (Exception, RecursionError) as error:  # a crafted schema makes skops fail in any way
        raise Untrusted(f"{file}: not a readable skops file ({type(error).__name__}); it was changed or is damaged") from None


def check(file: Path, trust: Collection[str] = ()) -> list[str]:
    """The types of a skops file that `allows` had to allow; raises Untrusted naming the first that it does not."""
    types = needs(file)
    refused = [name for name in types if not allows(name, trust)]
    if refused and set(CHECK_INPUT) >= set(refused) and _checks_input_only(file):
        refused = []
    if refused:
        raise Untrusted(f"{file} needs {', '.join(refused[:3])}, which is not trusted here: {_advice(refused)}")
    return types


def _checks_input_only(file: Path) -> bool:
    """Whether each `functools.partial` of a file is what HistGradientBoosting with categories checks its rows with.

    That is `partial(check_array, dtype=[numpy.float64], ensure_all_finite=…)`. What is looked at are the nodes that skops
    will build from, so that no reference in the file leads elsewhere. False wherever another node has one of the two names.
    """
    try:
        from skops.io._audit import get_tree
        from skops.io._utils import read_schema

        with zipfile.ZipFile(file) as archive:
            nodes = list(_nodes(get_tree(*read_schema(archive), trusted=None), set()))
        partials = [node for node in nodes if type(node).__name__ == "PartialNode"]
        known = {id(node) for node in partials} | {id(node.func) for node in partials}
        return all(map(_checks_input, partials)) and all(
            _named(node) not in CHECK_INPUT or id(node) in known for node in nodes
        )
    except (Exception, RecursionError):  # another skops, or a crafted schema: then it is not known
        return False


def _checks_input(node: Any) -> bool:
    parts = (node, node.func, node.args, node.kwds, node.namespace)
    return (
        [type(part).__name__ for part in parts] == ["PartialNode", "FunctionNode", "TupleNode", "DictNode", "JsonNode"]
        and (_named(node), _named(node.func)) == CHECK_INPUT
        and not node.args.content
        and all(_is_option(name, option) for name, option in node.kwds.content.items())
        and node.namespace.content == "null"
    )


def _is_option(name: str, node: Any) -> bool:
    kind = type(node).__name__
    if name == "dtype":
        return kind == "ListNode" and all((type(item).__name__, _named(item)) == FLOAT64 for item in node.content)
    return name == "ensure_all_finite" and kind == "JsonNode"


def _nodes(node: Any, seen: set[int]) -> Iterator[Any]:
    """A node of a skops file and all below it, each once."""
    if id(node) in seen or not hasattr(node, "children"):
        return
    seen.add(id(node))
    yield node
    for child in node.children.values():
        below = child.values() if isinstance(child, dict) else child if isinstance(child, list) else [child]
        for item in below:
            yield from _nodes(item, seen)


def _named(node: Any) -> str:
    return f"{node.module_name}.{node.class_name}"


def _advice(names: list[str]) -> str:
    """What to do about types that are not trusted: what comes with Python or numpy is none that a model needs."""
    packages = {name.partition(".")[0] for name in names}
    if packages & {*sys.stdlib_module_names, "numpy", "scipy", "joblib", "skops", "mlflow"}:
        return "no model of scikit-learn needs it; unless your own code put it there, the file was changed"
    # Of scikit-learn only what is named: its module may hold more than computes.
    entries = dict.fromkeys(name if name.startswith("sklearn.") else name.rpartition(".")[0] for name in names)
    return f"where you know it, add `serving: {{trust: [{', '.join(entries)}]}}` to the use case's configuration"


def load(file: Path, trust: Collection[str] = ()) -> Any:
    """The model in a skops file whose types this reader allows; raises Untrusted before anything is constructed."""
    import skops.io

    allowed = check(file, trust)
    try:
        return skops.io.load(file, trusted=allowed)
    except Exception as error:
        raise failed(file, error) from None


def failed(file: Path, error: Exception) -> UserError:
    """What it means that a checked model could not be built: code that is not here, or numbers that do not fit together."""
    if isinstance(error, ImportError | AttributeError):
        return UserError(f"{file} needs what is not here: {first_line(error)}; restore the code, or install the package")
    return Untrusted(f"{file}: the model cannot be built ({type(error).__name__}); it was changed or is damaged")


def check_archive(file: Path) -> None:
    """Raise Untrusted for an archive with other members than skops writes, or one that unpacks to far more than it holds."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        raise Untrusted(f"{file}: not a skops file, it was changed or is damaged") from None
    names = [member.filename for member in members]
    for member in members:
        link = stat.S_ISLNK(member.external_attr >> 16)
        if not NAME.fullmatch(member.filename) or link or member.flag_bits & 1 or names.count(member.filename) > 1:
            raise Untrusted(f"{file}: member {member.filename[:80]!r} is none that skops writes; the file was changed")
    unpacked = sum(member.file_size for member in members)
    if unpacked > LARGEST_MODEL and unpacked > LARGEST_RATIO * file.stat().st_size:
        raise Untrusted(f"{file}: unpacks to {unpacked / 1e6:.0f} MB, which no model packs so well; the file was changed")


def check_model(folder: Path, trust: Collection[str] = ()) -> dict[str, Any]:
    """The description (MLmodel) of a folder that holds a scikit-learn model as skops, with types that the reader allows.

    Raises Untrusted for any other loader, format or code that comes with it.
    """
    content = description(folder)
    flavors = content["flavors"]
    place = folder / DESCRIPTION
    for name, flavor in flavors.items():
        odd = sorted(flavor.keys() - FLAVORS[name]) if name in FLAVORS else [f"flavor {name}"]
        if odd:
            raise Untrusted(f"{place}: {odd[0]} would have other code load the model; {ONLY}")
    python, sklearn = flavors.get("python_function") or {}, flavors.get("sklearn") or {}
    if python.get("loader_module") != LOADER:
        raise Untrusted(f"{place}: loader_module is {python.get('loader_module')!r:.80}; {ONLY}")
    if sklearn.get("serialization_format") != "skops":
        raise Untrusted(f"{place}: serialization_format is {sklearn.get('serialization_format')!r:.80}; {ONLY}")
    if sklearn.get("code") or content.get("model_code_path"):
        raise Untrusted(f"{place}: brings code of its own; {ONLY}")
    if python.get("predict_fn", "predict") not in PREDICT:
        raise Untrusted(f"{place}: predict_fn is {python['predict_fn']!r:.80}; {ONLY}")
    check(model_file(folder, content), trust)
    return content


ONLY = "only a scikit-learn model stored as skops is loaded, unless the configuration says serving: {allow_pickle: true}"


def model_file(folder: Path, content: dict[str, Any]) -> Path:
    """The skops file that a description names, inside of its folder; raises Untrusted for any other place."""
    flavors = content["flavors"]
    names = {flavors["sklearn"].get("pickled_model"), flavors["python_function"].get("model_path")}
    name = flavors["sklearn"].get("pickled_model")
    if len(names) != 1 or not isinstance(name, str) or Path(name).name != name or name in ("", ".", ".."):
        raise Untrusted(f"{folder / DESCRIPTION}: names another file than the model's own ({name!r:.80})")
    file = folder / name
    if file.is_symlink() or not file.is_file():
        raise Untrusted(f"{file}: {'a link to another place' if file.is_symlink() else 'missing'}; restore the model's folder")
    return file


def description(folder: Path) -> dict[str, Any]:
    """The content of a folder's MLmodel, plain YAML without aliases; raises Untrusted for another."""
    import yaml

    path = folder / DESCRIPTION
    if path.is_symlink() or not path.is_file():
        raise Untrusted(f"{folder} is not an MLflow model: {DESCRIPTION} is missing")
    if path.stat().st_size > LARGEST_DESCRIPTION:
        raise Untrusted(f"{path}: {path.stat().st_size / 1e6:.0f} MB, where a description has a few thousand bytes")
    try:
        text = path.read_text(encoding="utf-8")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise Untrusted(f"{path}: has aliases, which MLflow never writes; the file was changed")
        content = yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError):
        raise Untrusted(f"{path}: not YAML; the file was changed or is damaged") from None
    flavors = content.get("flavors") if isinstance(content, dict) else None
    if not isinstance(flavors, dict) or not all(isinstance(flavor, dict) for flavor in flavors.values()):
        raise Untrusted(f"{path}: names no flavors; the file was changed or is damaged")
    return dict(content)


def load_model(folder: Path, trust: Collection[str] = ()) -> Any:
    """The scikit-learn model in a folder of MLflow's format, after `check_model`."""
    return load(model_file(folder, check_model(folder, trust)), trust)
