"""Runs in an environment that holds what an image holds, and nothing else: does the server start, and predict as training did?

`python image_proof.py BUNDLE ROWS`: ROWS is JSON with `dataframe_split` and `recorded`. It ends with 2 and one line where not.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

TOLERANCE = 1e-9


def main() -> None:
    """Load the bundle as a server does, and compare what it answers for the rows with what training recorded."""
    from mlops.serving import scoring, service
    from mlops.serving.settings import from_environment

    folder, rows = map(Path, sys.argv[1:])
    state = service.create(folder, from_environment())
    service.start(state)
    assert state.scorer is not None
    content = json.loads(rows.read_text(encoding="utf-8"))
    body = json.dumps({"dataframe_split": content["dataframe_split"]}).encode()
    answer = scoring.score(state.scorer, "/invocations", body, scoring.JSON, scoring.JSON, "proof")
    predictions, recorded = json.loads(answer.payload)["predictions"], content["recorded"]
    different = sum(not same(*pair) for pair in zip(predictions, recorded, strict=True))
    if different:
        sys.exit(f"{different} of {len(recorded)} predictions are not those that training recorded")
    state.pool.shutdown()


def same(value: Any, recorded: Any) -> bool:
    """Whether a prediction is the recorded one: equal, or within the tolerance where both are numbers."""
    if isinstance(value, dict) and len(value) == 1:
        value = next(iter(value.values()))
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, float) and isinstance(recorded, int | float):
        both = math.isnan(value) and math.isnan(recorded)
        return both or abs(value - recorded) <= TOLERANCE * max(1.0, abs(recorded))
    return bool(value == recorded)


if __name__ == "__main__":
    try:
        main()
    except Exception as error:  # whatever it is, the image would meet it at its start
        sys.exit(f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}")
