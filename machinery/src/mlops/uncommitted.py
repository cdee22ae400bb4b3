"""What a run was trained with and no commit holds: kept beside it as a patch, so that it can be trained again.

Only what training reads is looked at, data apart, which are found again by their digests. Nothing is kept that git ignores,
that is large, or in which a secret shows.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from mlops import folders, git, secret_scan
from mlops.errors import UserError

FILE = "uncommitted.patch"
MOST = 200_000  # bytes
READ = (
    "src",
    "config",
    "requirements",
    "setup.py",
    "vendor/machinery.txt",
    "machinery/src",
    ":(glob)data/raw/**/*.schema.json",
    ":(glob)data/raw/**/*.dvc",
)
# A value behind a word for secrets; in a program the value stands in quotes, elsewhere, and in a comment, it need not.
WORD = r"(?:token|password|passwd|passphrase|pwd|secret|api_?key|access_?key|credentials?)"
QUOTED = re.compile(rf"{WORD}[\"']?\]?\s*[:=]\s*[\"'][^\"'\s]{{6,}}[\"']", re.IGNORECASE)
PLAIN = re.compile(
    rf"{WORD}[\"']?\s*[:=]\s*[\"']?(?!\$|<|null\b|none\b|true\b|false\b)[^\s\"'(]{{6,}}(?:[\"'\s]|$)", re.IGNORECASE
)
# Files that hold secrets by their name, whatever a scan makes of them.
SECRET = (".env*", ".netrc", "*.pem", "*.key", "*.p12", "id_rsa*", "id_ed25519*", "*credentials*", "*secret*")


def keep(root: Path, folder: Path) -> dict[str, Any]:
    """Write the patch into a folder; returns `files`, its names, or `reason`, why there is none.

    `files` is empty, and no patch is written, where training reads nothing that differs from the commit.
    """
    patch = folder / FILE
    try:
        names = _write(root, patch)
        if names:
            _refuse(names, patch)
        else:
            patch.unlink()
    except UserError as error:
        patch.unlink(missing_ok=True)
        return {"reason": str(error)}
    return {"files": names}


def apply(patch: Path, tree: Path) -> None:
    """Change the files of a checkout as a patch does; raises UserError where they are not those that it was made of."""
    top = Path(git.git("rev-parse", "--show-toplevel", root=tree))  # paths in a patch begin there
    done = git.run("apply", "--whitespace=nowarn", str(patch.resolve()), root=top)
    if done.returncode:
        raise UserError(f"{patch.name} does not fit the commit: {git.last_words(done.stderr)}")


def _write(root: Path, patch: Path) -> list[str]:
    """Write what differs from the commit; returns the files. The index and objects of the repository stay as they are."""
    with folders.work_folder() as scratch:
        index, objects = (Path(git.git("rev-parse", "--git-path", name, root=root)) for name in ("index", "objects"))
        if (root / index).is_file():
            shutil.copyfile(root / index, scratch / "index")
        own = {
            "GIT_INDEX_FILE": str(scratch / "index"),
            "GIT_OBJECT_DIRECTORY": str(scratch),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str((root / objects).resolve()),
        }
        changed = git.run("ls-files", "-z", "-m", "-d", "-o", "--exclude-standard", "--", *READ, root=root, env=own).stdout
        git.git("update-index", "-z", "--add", "--remove", "--stdin", root=root, env=own, stdin=changed)
        diff = ("diff", "--cached", "--binary", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames")
        names = git.run(*diff, "--name-only", "-z", "HEAD", "--", *READ, root=root, env=own).stdout
        git.git(*diff, f"--output={patch}", "HEAD", "--", *READ, root=root, env=own)
    return names.rstrip("\0").split("\0") if names else []


def _refuse(names: list[str], patch: Path) -> None:
    """Raise UserError for a patch that is large, or that may hold a secret."""
    if (size := patch.stat().st_size) > MOST:
        raise UserError(f"they are {size / 1000:.0f} kB, and at most {MOST / 1000:.0f} are kept")
    for name in names:
        if any(Path(name.lower()).match(pattern) for pattern in SECRET):
            raise UserError(f"{name} may hold a secret by its name")
    place = ""
    with secret_scan.detector(without=[name for name in secret_scan.GUESSES if name != secret_scan.WORDS]) as scan:
        for line in patch.read_text(encoding="utf-8", errors="replace").splitlines():
            place = line.rpartition(" b/")[2] if line.startswith("diff --git ") else place
            found = sorted({item.type for item in scan(line[1:])})
            if not found and _has_word(place, line[1:]):
                found = ["a value behind a word for secrets"]
            if found:
                raise UserError(f"{place} shows a secret ({found[0]})")


def _has_word(place: str, line: str) -> bool:
    """Whether a line of a file gives a value to what is called a secret."""
    program, _, comment = line.partition("#")
    if "pragma: allowlist secret" in line:
        return False
    if place.endswith(".py"):
        return bool(QUOTED.search(line) or PLAIN.search(comment))
    return bool(PLAIN.search(line))
