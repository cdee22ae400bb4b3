"""Any body is read or refused, and nothing else: properties of the readers."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.scoring.client import to_arrow
from mlops.serving import plain_rows
from mlops.serving.invocations import read_csv, read_invocations, read_typed
from mlops.serving.open_inference import read_infer
from mlops.serving.signature import Column, InvalidRequest, Signature, from_columns

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "columns", "data", "x"]), inner),
    max_leaves=12,
)
FORMS = st.sampled_from(["dataframe_split", "dataframe_records", "instances", "inputs", "rows"])
MIXED = Signature(
    (Column("a", "double"), Column("b", "string", False), Column("x", "long", False), Column("y", "boolean", False))
)
NUMERIC = Signature((Column("a", "double"), Column("b", "float"), Column("x", "integer", False)), limit=1e30)


@given(body=st.dictionaries(FORMS, VALUES, min_size=1, max_size=1), signature=st.sampled_from([MIXED, NUMERIC]))
@settings(max_examples=400, deadline=None)
def test_json_is_read_or_refused_and_nothing_else(body, signature):
    raw = json.dumps(body).encode()
    for read in (read_invocations, read_typed, infer):
        read_or_refuse(read, raw, signature)


@given(body=st.binary(max_size=200), signature=st.sampled_from([MIXED, NUMERIC]))
@settings(max_examples=300, deadline=None)
def test_bytes_are_read_or_refused_and_nothing_else(body, signature):
    from mlops.serving.arrow import read_arrow

    for read in (read_invocations, read_typed, infer, read_csv):
        read_or_refuse(read, body, signature)
        read_or_refuse(read, b"a,b,x,y\n" + body, signature)
    read_or_refuse(lambda raw, known: read_arrow(raw, known, 100), body, signature)


@given(place=st.integers(0, 10_000), flip=st.integers(1, 255))
@settings(max_examples=300, deadline=None)
def test_a_flipped_byte_in_an_arrow_stream_is_read_or_refused(place, flip):
    from mlops.serving.arrow import read_arrow

    raw = bytearray(to_arrow(pd.DataFrame({"a": [1.0, 2.0], "b": ["x", None], "x": [1, 2], "y": [True, False]})))
    raw[place % len(raw)] ^= flip
    read_or_refuse(lambda body, known: read_arrow(body, known, 100), bytes(raw), MIXED)


def test_a_negative_number_anywhere_in_an_arrow_stream_ends_no_process():
    from mlops.serving.arrow import read_arrow

    raw = to_arrow(pd.DataFrame({"a": [1.0, 2.0], "b": ["x", None], "x": [1, 2], "y": [True, False]}))
    for place in range(7, len(raw), 8):
        negative = raw[:place] + bytes([raw[place] ^ 0x80]) + raw[place + 1 :]
        read_or_refuse(lambda body, known: read_arrow(body, known, 100), negative, MIXED)


def infer(body, signature):
    """An inference request to a model of this signature that has no outputs but its predictions."""
    content = {"onnx": {"dtype": "<f8"}, "signature": {"outputs": []}}
    return read_infer(body, SimpleNamespace(signature=signature, format="onnx", content=content))


def read_or_refuse(read, body, signature):
    try:
        read(body, signature)
    except InvalidRequest as refused:
        assert 400 <= refused.status < 500 and refused.message


@given(rows=st.lists(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3), min_size=150, max_size=400))
@settings(max_examples=20, deadline=None)
def test_the_way_of_large_bodies_reads_what_the_general_way_reads(rows):
    signature = Signature((Column("a", "double"), Column("b", "double"), Column("c", "double")))
    body = {"columns": ["a", "b", "c"], "data": rows}
    raw = json.dumps({"dataframe_split": body}).encode() + b" " * 20_000
    large, _ = read_invocations(raw, signature)
    general, _ = read_invocations(
        json.dumps({"dataframe_split": {**body, "index": list(range(len(rows)))}}).encode(), signature
    )
    np.testing.assert_array_equal(large.matrix, general.matrix)


FEW = Signature(
    (
        Column("a", "double", nan=False),
        Column("b", "string", values=["red", "blue"]),
        Column("c", "long"),
        Column("d", "float", infinity=False),
        Column("e", "string"),
        Column("f", "integer"),
    ),
    limit=1e35,
)
NUMBER = (
    st.integers(-3, 3) | st.floats() | st.sampled_from([2**53, 2**31, 2**70, 10**400, 3.5e38, 1e36, 0.5, -0.0, None, True])
)
CELLS = [NUMBER, st.sampled_from(["red", "blue", "green", "é", None]), NUMBER, NUMBER, st.text(max_size=3) | st.none(), NUMBER]


@given(rows=st.lists(st.tuples(*CELLS), min_size=1, max_size=3), strict=st.booleans())
@settings(max_examples=400, deadline=None)
def test_values_checked_all_at_once_are_those_that_each_column_takes(rows, strict):
    values = list(zip(*rows, strict=True))
    try:
        expected = from_columns(FEW, values, strict)
    except InvalidRequest as error:
        expected = error.message
    try:
        quick = plain_rows.from_columns(values, FEW)
    except InvalidRequest as error:
        quick = error.message
    if quick is None or isinstance(expected, str):
        assert quick in (None, expected)
        return
    for name, left, right in zip(FEW.names, quick.arrays, expected.arrays, strict=True):
        assert left.dtype == right.dtype and left.tobytes() == right.tobytes() if left.dtype != object else True, name
        assert left.tolist() == right.tolist(), name


def test_plain_values_are_read_the_quick_way():
    assert plain_rows.from_columns([[1.0, 2], ["red", "blue"], [1, 2.0], [0.1, 1], ["", "x"], [7, 8]], FEW) is not None
