"""Whether advisories are known for the locked packages: pip-audit's answer, or that no source of advisories answers here.

https://pypi.org/project/pip-audit passes over what its source does not know, and ends well where it knows nothing at all: that
must not read as "no advisory".
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from mlops.errors import UserError


class Audit(NamedTuple):
    """How many packages were looked up, which were unknown to the source, and the advisories, one line each."""

    audited: int
    unknown: tuple[str, ...]
    advisories: tuple[str, ...]


def run(lock: Path) -> Audit | None:
    """Return the audit of a lock file with hashes, None where no source of advisories answers."""
    arguments = (
        "--disable-pip",
        "--require-hashes",
        "--requirement",
        str(lock),
        "--format",
        "json",
        "--progress-spinner",
        "off",
    )
    done = subprocess.run([sys.executable, "-m", "pip_audit", *arguments], capture_output=True, text=True)
    if "No module named pip_audit" in done.stderr:
        raise UserError("pip-audit is not installed: make setup")
    if not done.stdout.strip():
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        if "onnection" in last or "imeout" in last or "resolve" in last:
            return None
        raise UserError(f"{lock} cannot be audited: {last}")
    audit = parse(done.stdout)
    return audit if audit.audited else None


def parse(text: str) -> Audit:
    """Return what pip-audit's JSON holds."""
    rows = json.loads(text)["dependencies"]
    known = [row for row in rows if "skip_reason" not in row]
    advisories = [
        f"{row['name']} {row['version']}: {item['id']}, fixed in {', '.join(item['fix_versions']) or 'no version yet'}"
        for row in known
        for item in row["vulns"]
    ]
    return Audit(len(known), tuple(row["name"] for row in rows if "skip_reason" in row), tuple(advisories))
