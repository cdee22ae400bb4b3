"""Compiles the extra `workbench` into a lock of its own: with hashes, without what requirements/dev.txt has already."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from packaging.utils import canonicalize_name

HEADER = "# What the workbench needs on top of requirements/dev.txt, the extra `workbench`: `make lock-workbench` writes it.\n"
# As the project's own locks are compiled.
OPTIONS = ["--quiet", "--universal", "--python-version", "3.11", "--generate-hashes", "--no-annotate", "--no-header"]


def main(dev: Path, to: Path) -> None:
    """Write the lock."""
    uv = Path(sys.executable).parent / "uv"
    command = [str(uv), "pip", "compile", *OPTIONS, "--constraint", str(dev), "--extra", "workbench", "machinery/setup.py"]
    compiled = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    pins = {name(block): block for block in re.split(r"\n(?=[A-Za-z0-9])", compiled) if "==" in block}
    locked = {name(block) for block in re.split(r"\n(?=[A-Za-z0-9])", dev.read_text(encoding="utf-8")) if "==" in block}
    # psutil comes with IPython, and the workbench imports it itself.
    own = [block.rstrip() for key, block in sorted(pins.items()) if key not in locked or key == "psutil"]
    to.write_text(HEADER + "\n".join(own) + "\n", encoding="utf-8")


def name(block: str) -> str:
    """The package of a pin."""
    return canonicalize_name(re.split(r"[\[=]", block)[0].strip())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
