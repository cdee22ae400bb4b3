"""Builds the machinery's wheel of the commit that is checked out, the same to the byte wherever it is built.

Usage: python machinery/make_wheel.py [FOLDER]; the default is machinery/dist.
"""

import sys
from pathlib import Path

from mlops.project import wheel

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Write the wheel and print its path and hash."""
    built = wheel.of_commit(ROOT, "HEAD")
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "machinery" / "dist"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / built.name).write_bytes(built.content)
    print(f"{folder / built.name} sha256:{built.sha256}")


if __name__ == "__main__":
    main()
