"""Schemas of skops that somebody altered: the kinds of the skops file's description, and what writes them."""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
        # The encoder in Python: the limit of the one in C, on 3.12, cannot be raised.
        return "".join(json.JSONEncoder().iterencode(schema)).encode()
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
