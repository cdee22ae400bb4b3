"""An ONNX model that was altered, its bundle sealed anew, is refused in one line before a session reads it."""

import shutil

import onnx
import pytest
from onnx import TensorProto, helper

from mlops.serving import graph
from mlops.serving import model as models
from mlops.serving.manifest import SEAL, seal, verify
from mlops.trust import Untrusted


def elsewhere(location):
    """A tensor whose numbers lie in another file."""
    tensor = TensorProto(name="w", data_type=TensorProto.DOUBLE, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return tensor


def data_in_the_working_folder(model):
    model.graph.initializer.append(elsewhere("secret.bin"))


def data_at_an_absolute_path(model):
    model.graph.initializer.append(elsewhere("/etc/passwd"))


def data_in_an_attribute(model):
    model.graph.node.append(helper.make_node("Constant", [], ["w"], value=elsewhere("../secret.bin")))


def data_in_an_inner_graph(model):
    inner = helper.make_graph([], "inner", [], [], [elsewhere("secret.bin")])
    model.graph.node.append(helper.make_node("If", ["w"], ["v"], then_branch=inner, else_branch=inner))


def operators_of_another_domain(model):
    model.opset_import.append(helper.make_opsetid("com.evil", 1))
    model.graph.node.append(helper.make_node("Evil", ["input"], ["w"], domain="com.evil"))


def functions(model):
    model.functions.append(helper.make_function("ai.onnx.ml", "Scaler", ["x"], ["y"], [], []))


def more_numbers_than_there_are(model):
    model.graph.initializer.append(TensorProto(name="w", data_type=TensorProto.DOUBLE, dims=[10**12]))
    model.graph.node.append(helper.make_node("Identity", ["w"], ["v"]))


def another_opset(model):
    model.opset_import[0].version = 9999


KINDS = (
    data_in_the_working_folder, data_at_an_absolute_path, data_in_an_attribute, data_in_an_inner_graph,
    operators_of_another_domain, functions, more_numbers_than_there_are, another_opset,
)  # fmt: skip


def sealed(bundle, to, content):
    """A copy of a bundle with another model, whose digests were adapted."""
    shutil.copytree(bundle.folder, to)
    (to / models.ONNX_FILE).write_bytes(content)
    for name in (SEAL, "manifest.json"):
        (to / name).unlink()
    seal(to, {name: value for name, value in bundle.content.items() if name != "files"})
    return verify(to)


@pytest.mark.parametrize("kind", KINDS)
def test_an_altered_graph_is_refused_in_one_line(numbers_bundle, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.bin").write_bytes(bytes(32))
    model = onnx.load_from_string((numbers_bundle.folder / models.ONNX_FILE).read_bytes())
    kind(model)
    with pytest.raises(Untrusted) as refused:
        models.load(sealed(numbers_bundle, tmp_path / "bundle", model.SerializeToString()))
    assert models.ONNX_FILE in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"\x00", b"PK\x03\x04", b"\xff" * 40, b"\x3a\xff\xff\xff\xff\x0f"])
def test_a_file_that_is_no_graph_is_refused_in_one_line(numbers_bundle, tmp_path, content):
    with pytest.raises(Untrusted):
        models.load(sealed(numbers_bundle, tmp_path / "bundle", content))


def test_honest_graphs_pass_even_with_a_column_of_that_name(numbers_bundle, flowers_bundle):
    for bundle in (numbers_bundle, flowers_bundle):
        raw = (bundle.folder / models.ONNX_FILE).read_bytes()
        graph.check(raw)
        model = onnx.load_from_string(raw)
        model.graph.input[0].name = "location"
        assert graph.LOCATION in model.SerializeToString()
        graph.check(model.SerializeToString())
