"""What the image of a bundle holds beside the server: the packages and the use case's code that its model imports.

A server of plain scikit-learn installs the lock of its format. A model with types of other packages, or of the use case
itself, installs what these import too: each with the version and the hashes of the developers' lock, which training ran with.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from mlops import trust, use_case_code
from mlops.errors import UserError
from mlops.serving.manifest import Bundle
from mlops.serving.raw import FOLDER

LOCKS = {"onnx": "serve.txt", "skops": "serve-skops.txt", "pyfunc": "serve-pyfunc.txt"}
FULL_LOCK = "dev.txt"
TRACING = ("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http")  # the extra `tracing` of setup.py
PIN = re.compile(r"([A-Za-z0-9][\w.-]*)(\[[^\]]*\])?==")
PYTHONS = ("3.11", "3.12", "3.13")  # an image may have another Python than who builds it


def requirements(root: Path, bundle: Bundle, traced: bool = False) -> str:
    """The requirements of a bundle's image, with hashes; `traced`: with what sends traces.

    Raises UserError for a package that no lock of the project has.
    """
    lock = _read(root / "requirements" / LOCKS[bundle.format])
    known = pins(lock)
    needed = set(closure(distributions(modules(root, bundle)))) | (set(closure(TRACING)) if traced else set())
    wanted = sorted(needed - known.keys())
    if not wanted:
        return lock
    full = pins(_read(root / "requirements" / FULL_LOCK))
    if traced and (unlocked := [name for name in closure(TRACING) if name not in full | known]):
        raise UserError(
            f"serving.tracing is set, and requirements/{FULL_LOCK} does not pin {unlocked[0]}: add tracing to the extras of "
            "mlops-machinery in setup.py, then run make lock and make setup"
        )
    if unlocked := [name for name in wanted if name not in full]:
        raise UserError(
            f"the model of {bundle.name} {bundle.number} imports {unlocked[0]}, which requirements/{FULL_LOCK} does not pin: "
            "name it under install_requires in setup.py, then run make lock and train again"
        )
    title = "# What the model imports, and what sends traces:" if traced else "# What the model imports:"
    return "\n".join([lock.rstrip(), title, *(full[name] for name in wanted)]) + "\n"


def code(root: Path, bundle: Bundle) -> list[Path]:
    """The files of the use case's code that the model needs, below src; none where it needs none.

    Raises UserError where they are not those that the model was trained with.
    """
    if bundle.content.get("raw"):
        return []  # the bundle brings it
    own = f"{use_case_code.PACKAGE}.{bundle.name}"
    if not any(name.startswith((f"{own}.", f"{use_case_code.PACKAGE}.{use_case_code.COMMON}.")) for name in _types(bundle)):
        return []
    package = root / "src" / use_case_code.PACKAGE / bundle.name
    if not package.is_dir():
        raise UserError(f"the model of {bundle.name} {bundle.number} imports {own}, and {package} is not here")
    trained = bundle.content["version"].get("code")
    if trained and use_case_code.digest(package) != trained:
        raise UserError(
            f"the model of {bundle.name} {bundle.number} was trained with other code than {package} "
            f"has now: check out {bundle.content['version'].get('commit') or 'its commit'}, or train again"
        )
    shared = (package.parent / use_case_code.COMMON).rglob("*.py")
    return sorted(file for file in (package.parent / "__init__.py", *package.rglob("*.py"), *shared) if file.is_file())


def modules(root: Path, bundle: Bundle) -> set[str]:
    """The packages beside the standard library that the model's types, and the code that comes with them, import."""
    names = {name.partition(".")[0] for name in (*_types(bundle), *_imported(root, bundle))}
    if bundle.content.get("raw"):
        names |= {"pandas", "pandera"}  # a server of raw rows makes frames of them, with the types of the schema
    return names - set(sys.stdlib_module_names) - {use_case_code.PACKAGE, "mlops"}


def needs_spark_forms(root: Path, bundle: Bundle) -> bool:
    """Whether a model, or the code that comes with it, imports the machinery's forms of what Spark computes."""
    return any(f"{name}.".startswith("mlops.spark.") for name in (*_types(bundle), *_imported(root, bundle)))


def _imported(root: Path, bundle: Bundle) -> Iterator[str]:
    """The full names of the modules that the code of a bundle's image imports."""
    package = root / "src" / use_case_code.PACKAGE
    brought: list[Path] = []
    if bundle.content.get("raw"):
        package = bundle.folder / FOLDER / use_case_code.PACKAGE
        brought = sorted(package.rglob("*.py"))
    for file in (*code(root, bundle), *brought):
        yield from (module for _, module in use_case_code.imports(file, package))


def _types(bundle: Bundle) -> list[str]:
    """The types of a model that are not scikit-learn's, which skops loads by itself."""
    if bundle.format == "onnx":
        return []
    if bundle.format == "skops":
        return list(bundle.content.get("skops", {}).get("needs", []))  # a bundle of before has no list: the proof decides
    folder = bundle.folder / "model"
    content = trust.description(folder)
    is_plain = (content["flavors"].get("sklearn") or {}).get("serialization_format") == "skops"
    return trust.needs(trust.model_file(folder, content)) if is_plain else []


def distributions(names: Iterable[str]) -> set[str]:
    """The packages that bring modules. Raises UserError for a module that none brings here."""
    brought = importlib.metadata.packages_distributions()
    for name in names:
        if name not in brought:
            raise UserError(
                f"the model imports {name}, which no installed package brings: install it, and name it in setup.py"
            )
    return {canonical(distribution) for name in names for distribution in brought[name]}


def closure(names: Iterable[str]) -> Iterator[str]:
    """Packages with all that they require, on any Python that an image may have."""
    seen: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            yield name
            waiting += _required(name)


def _required(name: str) -> list[str]:
    from packaging.requirements import Requirement

    try:
        lines = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return []  # what only another Python needs is not installed here
    wanted = [Requirement(line) for line in lines]
    environments = [{"extra": "", "python_version": version, "sys_platform": "linux"} for version in PYTHONS]
    needed = [item for item in wanted if item.marker is None or any(map(item.marker.evaluate, environments))]
    return [canonical(item.name) for item in needed]


def pins(lock: str) -> dict[str, str]:
    """Package to its lines in a lock file: the pin with its hashes."""
    pinned: dict[str, list[str]] = {}
    name = ""
    for line in lock.splitlines():
        if match := PIN.match(line):
            name = canonical(match[1])
            pinned.setdefault(name, []).append(line)  # one for each of its versions, where Pythons have different ones
        elif name and line.startswith(" ") and not line.lstrip().startswith("#"):
            pinned[name].append(line)
    return {name: "\n".join(lines) for name, lines in pinned.items()}


def canonical(name: str) -> str:
    """A package's name as an index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _read(file: Path) -> str:
    if not file.is_file():
        raise UserError(f"{file} is missing: run mlops image in a project created from the template, or make lock")
    return file.read_text(encoding="utf-8")
