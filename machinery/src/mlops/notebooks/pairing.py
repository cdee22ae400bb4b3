"""Which cell of the old notebook is which of the new one."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher

from mlops.notebooks.content import Cell

WORD = re.compile(r"\w+")
ALIKE = 0.4  # share of words that two cells at the same place have in common when one was made of the other
ALIKE_ELSEWHERE = 0.8  # and two cells at different places
LARGE = 250_000  # pairs that are still compared one by one
Pair = tuple[int, int]


def pairs(
    old: Sequence[Cell], new: Sequence[Cell], old_ids: Sequence[str | None], new_ids: Sequence[str | None]
) -> list[Pair]:
    """Return the positions of cells that belong together, in the order of the new notebook.

    Equal cells first; then those of one id, however much they changed; then those that share most of their words.
    """
    keys = [[json.dumps(cell, sort_keys=True) for cell in cells] for cells in (old, new)]
    chosen: dict[int, int] = {}
    blocks: list[tuple[range, range]] = []
    matcher = SequenceMatcher(None, keys[0], keys[1], autojunk=_repeats(keys))
    for tag, i, i_end, j, j_end in matcher.get_opcodes():
        if tag == "equal":
            chosen.update(zip(range(i, i_end), range(j, j_end), strict=True))
        else:
            blocks.append((range(i, i_end), range(j, j_end)))
    left = [i for block, _ in blocks for i in block]
    right = [j for _, block in blocks for j in block]
    _by_id(chosen, left, right, (old, new), (old_ids, new_ids))
    words = {"old": _words(old, left), "new": _words(new, right)}
    for block in blocks:
        _by_words(chosen, *block, (old, new), words, ALIKE)
    _by_words(chosen, left, right, (old, new), words, ALIKE_ELSEWHERE)
    return sorted(chosen.items(), key=lambda pair: pair[1])


def _repeats(keys: Sequence[Sequence[str]]) -> bool:
    """Whether so many cells are equal, such as empty ones, that trying all pairs of them would take minutes."""
    counts = [Counter(side) for side in keys]
    return sum(count * counts[1][key] for key, count in counts[0].items()) > LARGE


def moved(chosen: Sequence[Pair]) -> set[int]:
    """Return the new positions of cells that moved: those outside of the longest run of pairs that keeps its order."""
    tails: list[int] = []
    ends: list[int] = []  # the pair at which a run of each length ends
    before: list[int] = []
    for number, (i, _) in enumerate(chosen):
        place = bisect_left(tails, i)
        tails[place : place + 1] = [i]
        ends[place : place + 1] = [number]
        before.append(ends[place - 1] if place else -1)
    kept: set[int] = set()
    number = ends[-1] if ends else -1
    while number >= 0:
        kept.add(number)
        number = before[number]
    return {j for number, (_, j) in enumerate(chosen) if number not in kept}


def _by_id(
    chosen: dict[int, int],
    left: Iterable[int],
    right: Iterable[int],
    cells: tuple[Sequence[Cell], Sequence[Cell]],
    ids: tuple[Sequence[str | None], Sequence[str | None]],
) -> None:
    once = [{name for name, count in Counter(side).items() if name and count == 1} for side in ids]
    place = {ids[1][j]: j for j in right if ids[1][j] in once[0] & once[1]}
    for i in left:
        j = place.get(ids[0][i])
        if j is not None and cells[0][i]["cell_type"] == cells[1][j]["cell_type"]:
            chosen[i] = j


def _by_words(
    chosen: dict[int, int],
    left: Sequence[int],
    right: Sequence[int],
    cells: tuple[Sequence[Cell], Sequence[Cell]],
    words: dict[str, dict[int, set[str]]],
    enough: float,
) -> None:
    taken = set(chosen.values())
    free = [i for i in left if i not in chosen], [j for j in right if j not in taken]
    if len(free[0]) * len(free[1]) > LARGE:
        return
    likeness = []
    for i in free[0]:
        for j in free[1]:
            a, b = words["old"][i], words["new"][j]
            share = 2 * len(a & b) / (len(a) + len(b)) if a or b else 0.0
            if share >= enough and cells[0][i]["cell_type"] == cells[1][j]["cell_type"]:
                likeness.append((-share, abs(i - j), i, j))
    for _, _, i, j in sorted(likeness):
        if i not in chosen and j not in taken:
            chosen[i] = j
            taken.add(j)


def _words(cells: Sequence[Cell], positions: Iterable[int]) -> dict[int, set[str]]:
    return {position: set(WORD.findall(cells[position]["source"])) for position in positions}
