"""Version numbers: target.performance.data.

The target's part rises when the question changes, the performance's when the model beats the champion beyond the tolerance,
the data's for any other change of data or pipeline.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from mlops.errors import UserError

Number = tuple[int, int, int]


def parse(text: str) -> Number:
    """The three parts of a number; raises UserError for anything but `1.2.3`."""
    match = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)", text)
    if not match:
        raise UserError(f"{text!r} is no version number; three parts are expected, as in 1.2.3")
    return int(match[1]), int(match[2]), int(match[3])


def show(number: Number) -> str:
    """A number as text."""
    return ".".join(str(part) for part in number)


def following(numbers: Iterable[Number], target: int, improved: bool) -> Number:
    """The number of a new version after those of the same target that there are; each is given once."""
    last = max((number for number in numbers if number[0] == target), default=None)
    if last is None:
        return target, 0, 0
    return (target, last[1] + 1, 0) if improved else (target, last[1], last[2] + 1)
