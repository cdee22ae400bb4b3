"""What an ONNX model may hold where it is served: standard operators, and all of its numbers in its own file.

An image has no package that reads the format, and needs of it only the shape of a protobuf message.
Source: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

from collections.abc import Iterator

from mlops.trust import Untrusted

DOMAINS = frozenset({b"", b"ai.onnx", b"ai.onnx.ml"})
# Fields by their numbers, in messages by their names.
GRAPH, OPSETS, TRAINING, FUNCTIONS = 7, 8, 20, 25
EXTERNAL_DATA = 13
# Message → field → message: all the ways on which a tensor may lie.
PARTS = {
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
# A tensor elsewhere names its location, whichever way the word's length is written; only a model with it is looked through.
LOCATION = b"location"


def check(model: bytes) -> None:
    """Raise Untrusted for a model with operators, functions or data from elsewhere."""
    try:
        for number, value in _fields(model):
            if number == OPSETS and dict(_fields(value)).get(1, b"") not in DOMAINS:
                raise Untrusted("the ONNX model needs operators that are not ONNX's own; it was changed")
            if number in (TRAINING, FUNCTIONS):
                raise Untrusted("the ONNX model brings functions of its own; it was changed")
            if number == GRAPH and LOCATION in value and _is_elsewhere(value, "graph"):
                raise Untrusted("the ONNX model keeps numbers in another file; it was changed")
    except (IndexError, RecursionError, ValueError, TypeError):
        raise Untrusted("the file is no ONNX model; it was changed or is damaged") from None


def _is_elsewhere(message: bytes, kind: str) -> bool:
    """Whether a tensor in a message has its data in another file."""
    if kind == "tensor":
        return any(number == EXTERNAL_DATA for number, _ in _fields(message))
    parts = PARTS[kind]
    return any(_is_elsewhere(value, parts[number]) for number, value in _fields(message) if number in parts)


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and content of each field of a protobuf message; b"" stands for the content of a number."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        content, width = b"", {1: 8, 5: 4}.get(tag & 7, 0)
        if tag & 7 == 0:
            _, place = _varint(message, place)
        elif tag & 7 == 2:
            width, place = _varint(message, place)
            content = message[place : place + width]
        elif not width:
            raise ValueError("a kind of field that ONNX does not have")
        if place + width > len(message):
            raise ValueError("a field that is cut")
        place += width
        yield tag >> 3, content


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
        if shift > 63:
            raise ValueError("a number that is too long")
