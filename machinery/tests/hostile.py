"""Artifacts that somebody altered so that loading them would run code, exhaust the machine or answer otherwise.

Each kind takes a folder with an honest MLflow model (skops) and changes it; `canary` is a file that code in it would write.
"""

from __future__ import annotations

import io
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import yaml
from hostile_schemas import SCHEMAS, Schema, beside, call_system, node, rewrite


def _add(file: Path, name: str, content: bytes, mode: int = 0o644) -> None:
    with zipfile.ZipFile(file, "a") as archive:
        member = zipfile.ZipInfo(name)
        member.external_attr = mode << 16
        archive.writestr(member, content)


def absolute_name(file: Path, canary: Path) -> None:
    """A member with an absolute name."""
    _add(file, str(canary), b"x")


def climbing_name(file: Path, canary: Path) -> None:
    """A member that leaves its folder."""
    _add(file, f"../../../../../..{canary}", b"x")


def duplicate_name(file: Path, canary: Path) -> None:
    """A second schema behind the first."""
    _add(file, "schema.json", b"{}")


def symlink(file: Path, canary: Path) -> None:
    """A member that is a link."""
    _add(file, "9999.npy", b"/etc/passwd", stat.S_IFLNK | 0o777)


def nested_archive(file: Path, canary: Path) -> None:
    """An archive in the archive."""
    _add(file, "inner.zip", file.read_bytes())


def script_inside(file: Path, canary: Path) -> None:
    """Python source as a member."""
    _add(file, "sitecustomize.py", f"open({str(canary)!r}, 'w')".encode())


def bomb(file: Path, canary: Path) -> None:
    """A member that unpacks to a thousand times its size."""
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("9999.npy", "w") as member:
            for _ in range(80):
                member.write(bytes(1_000_000))


def pickle_in_its_place(file: Path, canary: Path) -> None:
    """A pickle under the name of the skops file."""
    import pickle

    class Bad:
        def __reduce__(self):
            return open, (str(canary), "w")

    file.write_bytes(pickle.dumps(Bad()))


def object_array(file: Path, canary: Path) -> None:
    """An .npy with a pickle in it, referred to by the schema."""
    import numpy as np

    class Bad:
        def __reduce__(self):
            return open, (str(canary), "w")

    target = io.BytesIO()
    np.save(target, np.array([Bad()], dtype=object), allow_pickle=True)
    _add(file, "9999.npy", target.getvalue())
    rewrite(file, lambda schema: beside(schema, node("NdArrayNode", "numpy", "ndarray", type="numpy", file="9999.npy")))


def truncated(file: Path, canary: Path) -> None:
    """Half of the file."""
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file: Path, canary: Path) -> None:
    """Nothing in it."""
    file.write_bytes(b"")


ARCHIVES = (
    absolute_name, climbing_name, duplicate_name, symlink, nested_archive, script_inside, bomb, pickle_in_its_place,
    object_array, truncated, empty,
)  # fmt: skip


def _describe(folder: Path, change: Callable[[Schema], None]) -> None:
    path = folder / "MLmodel"
    content = yaml.safe_load(path.read_text())
    change(content)
    path.write_text(yaml.safe_dump(content))


def _bad_pickle(folder: Path, canary: Path) -> None:
    pickle_in_its_place(folder / "model.pkl", canary)


def cloudpickle(folder: Path, canary: Path) -> None:
    """MLmodel names cloudpickle, with a pickle beside."""
    _bad_pickle(folder, canary)

    def change(content: Schema) -> None:
        content["flavors"]["sklearn"] |= {"serialization_format": "cloudpickle", "pickled_model": "model.pkl"}
        content["flavors"]["python_function"]["model_path"] = "model.pkl"

    _describe(folder, change)


def plain_pickle(folder: Path, canary: Path) -> None:
    """MLmodel names pickle, with a pickle beside."""
    cloudpickle(folder, canary)
    _describe(folder, lambda content: content["flavors"]["sklearn"].update(serialization_format="pickle"))


def format_missing(folder: Path, canary: Path) -> None:
    """MLmodel names no format, which MLflow takes for pickle."""
    cloudpickle(folder, canary)
    _describe(folder, lambda content: content["flavors"]["sklearn"].pop("serialization_format"))


def other_loader(folder: Path, canary: Path) -> None:
    """MLmodel names a module beside it as the loader."""
    (folder / "evil_loader.py").write_text(f"open({str(canary)!r}, 'w')\ndef _load_pyfunc(path): pass\n")

    def change(content: Schema) -> None:
        content["flavors"]["python_function"] |= {"loader_module": "evil_loader", "code": "."}

    _describe(folder, change)


def os_as_loader(folder: Path, canary: Path) -> None:
    """MLmodel names a module of the standard library as the loader."""
    _describe(folder, lambda content: content["flavors"]["python_function"].update(loader_module="antigravity"))


def code_paths(folder: Path, canary: Path) -> None:
    """MLmodel brings a folder of code that shadows a module."""
    (folder / "code").mkdir()
    (folder / "code" / "sklearn.py").write_text(f"open({str(canary)!r}, 'w')")
    _describe(folder, lambda content: content["flavors"]["sklearn"].update(code="code"))


def code_of_pyfunc(folder: Path, canary: Path) -> None:
    """The same by the other flavor."""
    (folder / "code").mkdir()
    (folder / "code" / "skops.py").write_text(f"open({str(canary)!r}, 'w')")
    _describe(folder, lambda content: content["flavors"]["python_function"].update(code="code"))


def model_from_code(folder: Path, canary: Path) -> None:
    """A model that is a script."""
    (folder / "script.py").write_text(f"open({str(canary)!r}, 'w')")

    def change(content: Schema) -> None:
        content["flavors"]["python_function"] |= {"loader_module": "mlflow.pyfunc.model", "model_code_path": "script.py"}

    _describe(folder, change)


def model_code_path(folder: Path, canary: Path) -> None:
    """A script named at the top of MLmodel."""
    (folder / "script.py").write_text(f"open({str(canary)!r}, 'w')")
    _describe(folder, lambda content: content.update(model_code_path="script.py"))


def python_model(folder: Path, canary: Path) -> None:
    """A pickled pyfunc."""
    _bad_pickle(folder, canary)

    def change(content: Schema) -> None:
        content["flavors"] = {
            "python_function": {
                "loader_module": "mlflow.pyfunc.model",
                "python_model": "model.pkl",
                "cloudpickle_version": "3",
            }
        }

    _describe(folder, change)


def another_flavor(folder: Path, canary: Path) -> None:
    """A flavor beside, which another reader would take."""
    _describe(folder, lambda content: content["flavors"].update(statsmodels={"data": "model.pkl"}))


def own_list(folder: Path, canary: Path) -> None:
    """A list of trusted types that travels with the artifact."""
    rewrite(folder / "model.skops", lambda schema: call_system(schema, canary))
    _describe(folder, lambda content: content["flavors"]["sklearn"].update(skops_trusted_types=["os.system"]))


def file_elsewhere(folder: Path, canary: Path) -> None:
    """A model file outside of the folder."""
    shutil.copy(folder / "model.skops", folder.parent / "else.skops")

    def change(content: Schema) -> None:
        content["flavors"]["sklearn"]["pickled_model"] = "../else.skops"
        content["flavors"]["python_function"]["model_path"] = "../else.skops"

    _describe(folder, change)


def two_files(folder: Path, canary: Path) -> None:
    """One file for who checks, another for who loads."""
    _bad_pickle(folder, canary)
    _describe(folder, lambda content: content["flavors"]["python_function"].update(model_path="model.pkl"))


def linked_file(folder: Path, canary: Path) -> None:
    """A model file that is a link."""
    shutil.move(folder / "model.skops", folder.parent / "else.skops")
    (folder / "model.skops").symlink_to(folder.parent / "else.skops")


def odd_method(folder: Path, canary: Path) -> None:
    """A prediction that is another method."""
    _describe(folder, lambda content: content["flavors"]["python_function"].update(predict_fn="__reduce__"))


def aliases(folder: Path, canary: Path) -> None:
    """YAML whose aliases multiply."""
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 30))]
    (folder / "MLmodel").write_text((folder / "MLmodel").read_text() + "\n".join(lines) + "\n")


def huge(folder: Path, canary: Path) -> None:
    """A description of megabytes."""
    (folder / "MLmodel").write_text((folder / "MLmodel").read_text() + "# " + "x" * 2_000_000)


def python_tag(folder: Path, canary: Path) -> None:
    """YAML that would build an object."""
    tag = f"evil: !!python/object/apply:os.system ['touch {canary}']\n"
    (folder / "MLmodel").write_text((folder / "MLmodel").read_text() + tag)


def no_description(folder: Path, canary: Path) -> None:
    """No description at all."""
    (folder / "MLmodel").unlink()


FOLDERS = (
    cloudpickle, plain_pickle, format_missing, other_loader, os_as_loader, code_paths, code_of_pyfunc, model_from_code,
    model_code_path, python_model, another_flavor, own_list, file_elsewhere, two_files, linked_file, odd_method, aliases,
    huge, python_tag, no_description,
)  # fmt: skip


def _of_schema(kind: Callable[[Schema, Path], Schema | None]) -> Callable[[Path, Path], None]:
    return lambda folder, canary: rewrite(folder / "model.skops", lambda schema: kind(schema, canary))


def _of_archive(kind: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
    return lambda folder, canary: kind(folder / "model.skops", canary)


# Name to what alters a model's folder so that a canary would be written, or a reader would be led astray.
KINDS: dict[str, Callable[[Path, Path], None]] = {
    **{kind.__name__: _of_schema(kind) for kind in SCHEMAS},
    **{kind.__name__: _of_archive(kind) for kind in ARCHIVES},
    **{kind.__name__: kind for kind in FOLDERS},
}
