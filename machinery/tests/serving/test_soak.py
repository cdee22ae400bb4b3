"""Ten minutes under mixed load: every answer right, and memory flat."""

import json
import os
import time
from pathlib import Path

import httpx
import pytest

from .conftest import serving

NAMES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))


def resident(process):
    """Resident memory in kB."""
    text = Path(f"/proc/{process.pid}/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("VmRSS")).split()[1])


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_memory_stays_within_five_percent(flowers_bundle):
    row = [5.1, 3.5, 1.4, 0.2]
    bodies = [json.dumps({"dataframe_split": {"columns": NAMES, "data": [row] * count}}) for count in (1, 10, 5_000)] + [
        "{",
        "[" * 5_000,
    ]
    with serving(flowers_bundle.folder, access_log="true") as (address, process), httpx.Client() as session:
        seen, end = [], time.monotonic() + SECONDS
        while time.monotonic() < end:
            for _ in range(50):
                for body in bodies:
                    answer = session.post(f"{address}/invocations", content=body, headers={"content-type": "application/json"})
                    assert answer.status_code in (200, 400)
            process.lines.clear()
            seen.append(resident(process))
        settled = seen[len(seen) // 5 :]
        assert max(settled) / min(settled) < 1.05, (min(settled), max(settled))
