"""Artifacts that somebody altered so that loading them would run code, exhaust the machine or answer otherwise.

Each kind takes a folder with an honest MLflow model (skops) and changes it; `canary` is a file that code in it would write.
"""

from __future__ import annotations

import io
import json
import shutil
import stat
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

Schema = dict[str, Any]


def _members(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite(file: Path, change: Callable[[Schema], Schema | None]) -> None:
    """Write a skops file again with its schema changed."""
    members = _members(file)
    schema = json.loads(members.pop("schema.json"))
    changed = change(schema) or schema
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in {**members, "schema.json": _json(changed)}.items():
            archive.writestr(name, content)


def _json(schema: Schema) -> bytes:
    """A schema as JSON, however deep."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        return json.dumps(schema).encode()
    finally:
        sys.setrecursionlimit(limit)


def node(loader: str, module: str, name: str, **more: Any) -> Schema:
    """A node of a skops schema."""
    return {"__class__": name, "__module__": module, "__loader__": loader, **more}


def text(value: Any) -> Schema:
    """A node that holds a JSON value."""
    return node("JsonNode", "builtins", "str", content=json.dumps(value), is_json=True)


def several(kind: str, *items: Schema) -> Schema:
    """A node that is a list or a tuple."""
    return node({"list": "ListNode", "tuple": "TupleNode"}[kind], "builtins", kind, content=list(items))


def beside(schema: Schema, extra: Schema) -> None:
    """Put a node among the attributes of the model, where loading builds it."""
    attributes = schema["content"]
    attributes["content"]["_extra"] = extra
    attributes["key_types"]["content"].append(node("TypeNode", "builtins", "str"))


def _touch(canary: Path) -> Schema:
    return several("tuple", text(f"touch {canary}"))


def call_system(schema: Schema, canary: Path) -> None:
    """A constructor call of os.system."""
    beside(schema, node("ConstructorFromReduceNode", "os", "system", content=_touch(canary)))


def call_eval(schema: Schema, canary: Path) -> None:
    """A constructor call of builtins.eval."""
    code = f"open({str(canary)!r}, 'w').close()"
    beside(schema, node("ConstructorFromReduceNode", "builtins", "eval", content=several("tuple", text(code))))


def call_popen(schema: Schema, canary: Path) -> None:
    """A constructor call of subprocess.Popen."""
    words = several("list", text("touch"), text(str(canary)))
    beside(schema, node("ConstructorFromReduceNode", "subprocess", "Popen", content=several("tuple", words)))


def operator_call(schema: Schema, canary: Path) -> None:
    """An operator node that calls."""
    attrs = several("tuple", node("FunctionNode", "os", "system"), text(f"touch {canary}"))
    beside(schema, node("OperatorFuncNode", "operator", "call", attrs=attrs))


def operator_methodcaller(schema: Schema, canary: Path) -> None:
    """An operator node of methodcaller."""
    attrs = several("tuple", text("touch"))
    beside(schema, node("OperatorFuncNode", "operator", "methodcaller", attrs=attrs))


def partial(schema: Schema, canary: Path) -> None:
    """A functools.partial of os.system."""
    content = {
        "func": node("FunctionNode", "os", "system"),
        "args": _touch(canary),
        "kwds": node("DictNode", "builtins", "dict", content={}, key_types=several("list")),
        "namespace": text(None),
    }
    beside(schema, node("PartialNode", "functools", "partial", content=content))


CHECK_ARRAY = node("FunctionNode", "sklearn.utils.validation", "check_array")


def _check(**changed: Any) -> Schema:
    """The partial of check_array that HistGradientBoosting holds, changed."""
    options = {"ensure_all_finite": node("JsonNode", "builtins", "str", content="false", is_json=True)}
    kwds = changed.pop("kwds", options)
    kinds = several("list", *(node("TypeNode", "builtins", "str") for _ in kwds))
    content = {
        "func": CHECK_ARRAY,
        "args": several("tuple"),
        "kwds": node("DictNode", "builtins", "dict", content=kwds, key_types=kinds),
        "namespace": text(None),
    }
    return node("PartialNode", "functools", "partial", content={**content, **changed})


def partial_with_another_function(schema: Schema, canary: Path) -> None:
    """The honest partial beside one of os.system."""
    beside(schema, several("list", _check(), _check(func=node("FunctionNode", "os", "system"), args=_touch(canary))))


def partial_with_arguments(schema: Schema, canary: Path) -> None:
    """The honest partial, which brings rows of its own."""
    beside(schema, _check(args=_touch(canary)))


def partial_with_options(schema: Schema, canary: Path) -> None:
    """The honest partial with an option that calls."""
    beside(schema, _check(kwds={"estimator": node("FunctionNode", "sklearn.utils.validation", "check_array")}))


def partial_with_attributes(schema: Schema, canary: Path) -> None:
    """The honest partial with attributes of its own."""
    beside(schema, _check(namespace=node("DictNode", "builtins", "dict", content={}, key_types=several("list"))))


def partial_by_reference(schema: Schema, canary: Path) -> None:
    """The honest partial, whose function's number is that of another one."""
    other = node("FunctionNode", "numpy", "mean", __id__=77)
    beside(schema, several("list", other, _check(func={**CHECK_ARRAY, "__id__": 77}), CHECK_ARRAY))


def check_array_called(schema: Schema, canary: Path) -> None:
    """The function of the honest partial, called while the file is loaded."""
    beside(schema, several("list", _check(), node("ConstructorFromReduceNode", *_of(CHECK_ARRAY), content=_touch(canary))))


def partial_by_constructor(schema: Schema, canary: Path) -> None:
    """A partial that is made by a call."""
    content = several("tuple", CHECK_ARRAY, text(f"touch {canary}"))
    beside(schema, node("ConstructorFromReduceNode", "functools", "partial", content=content))


def _of(schema: Schema) -> tuple[str, str]:
    return schema["__module__"], schema["__class__"]


def method(schema: Schema, canary: Path) -> None:
    """A bound method of a trusted object that reads a file."""
    owner = node("ObjectNode", "pathlib", "PosixPath")
    beside(schema, node("MethodNode", "pathlib", "PosixPath", content={"func": "touch", "obj": owner}))


def method_of_a_known_type(schema: Schema, canary: Path) -> None:
    """A bound method of an estimator."""
    name = "LabelEncoder"
    owner = node("ObjectNode", "sklearn.preprocessing._label", name)
    beside(schema, node("MethodNode", owner["__module__"], name, content={"func": "__reduce__", "obj": owner}))


def foreign_type(schema: Schema, canary: Path) -> None:
    """A class outside of the list."""
    beside(schema, node("TypeNode", "subprocess", "Popen"))


def foreign_function(schema: Schema, canary: Path) -> None:
    """A function outside of the list, as FunctionTransformer would call it."""
    beside(schema, node("FunctionNode", "numpy", "load"))


def foreign_object(schema: Schema, canary: Path) -> None:
    """An object whose state setter runs."""
    attrs = node("DictNode", "builtins", "dict", content={}, key_types=several("list"))
    beside(schema, node("ObjectNode", "logging.handlers", "SocketHandler", content=attrs))


def module_at_import(schema: Schema, canary: Path) -> None:
    """A module whose import already acts."""
    beside(schema, node("ObjectNode", "antigravity", "geohash"))


def array_with_reducer(schema: Schema, canary: Path) -> None:
    """An object array whose item is a call."""
    item = node("ConstructorFromReduceNode", "os", "system", content=_touch(canary))
    shape = several("tuple", text(1))
    beside(schema, node("NdArrayNode", "numpy", "ndarray", type="json", content=[item], shape=shape))


def array_of_another_class(schema: Schema, canary: Path) -> None:
    """A number whose class is a function that is called with it."""
    beside(schema, node("NdArrayNode", "os", "system", type="numpy", file="x.npy"))


def random_generator(schema: Schema, canary: Path) -> None:
    """A random generator whose bit generator is another callable."""
    state = node("DictNode", "builtins", "dict", content={"bit_generator": text("seed")}, key_types=several("list"))
    content = {"bit_generator": state, "seed_seq": state}
    beside(schema, node("RandomGeneratorNode", "numpy.random._generator", "Generator", content=content))


def default_factory(schema: Schema, canary: Path) -> None:
    """A defaultdict whose factory is a call."""
    empty = node("DictNode", "builtins", "dict", content={}, key_types=several("list"))
    content = {"main": empty, "default_factory": node("FunctionNode", "os", "abort")}
    beside(schema, node("DefaultDictNode", "collections", "defaultdict", content=content))


def key_type(schema: Schema, canary: Path) -> None:
    """A dict whose keys are built by a function."""
    kinds = several("list", node("TypeNode", "os", "system"))
    beside(schema, node("DictNode", "builtins", "dict", content={f"touch {canary}": text(1)}, key_types=kinds))


def unknown_node(schema: Schema, canary: Path) -> None:
    """A loader that skops does not know."""
    beside(schema, node("EvalNode", "builtins", "eval", content=f"open({str(canary)!r}, 'w')"))


def deep(schema: Schema, canary: Path) -> None:
    """Lists in lists until the stack ends."""
    inner = text(1)
    for _ in range(400):
        inner = several("list", inner)
    for _ in range(600):
        inner = {"__class__": "list", "__module__": "builtins", "__loader__": "ListNode", "content": [inner]}
    beside(schema, inner)


def old_protocol(schema: Schema, canary: Path) -> None:
    """A negative protocol, which would choose other readers."""
    schema["protocol"] = -1


def no_schema_keys(schema: Schema, canary: Path) -> Schema:
    """A schema without what a reader looks for."""
    return {"protocol": 2}


SCHEMAS = (
    call_system, call_eval, call_popen, operator_call, operator_methodcaller, partial, method, method_of_a_known_type,
    partial_with_another_function, partial_with_arguments, partial_with_options, partial_with_attributes,
    partial_by_reference, check_array_called, partial_by_constructor,
    foreign_type, foreign_function, foreign_object, module_at_import, array_with_reducer, array_of_another_class,
    random_generator, default_factory, key_type, unknown_node, deep, old_protocol, no_schema_keys,
)  # fmt: skip


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
