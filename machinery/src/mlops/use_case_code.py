"""The code of a use case: its folder, and what all of them share in `src/use_cases/common/`; nothing else of the project.

So a digest of these files stands for all that a use case's code can do, and another use case may change or go.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from mlops import digests
from mlops.errors import UserError

PACKAGE = "use_cases"
COMMON = "common"


def digest(package: Path) -> str:
    """The digest of a use case's folder, together with what all use cases share."""
    root = package.parent
    shared = [file for file in (root / "__init__.py", *(root / COMMON).rglob("*.py")) if file.is_file()]
    return digests.of_value([digests.of_files(package, package.rglob("*.py")), digests.of_files(root, shared)])


def refuse_foreign_imports(package: Path, src: Path) -> None:
    """Raise UserError for the first import of what `digest` does not cover: another use case, other code below `src`.

    The machinery may be imported. What is imported by a name that is made at run time is not seen.
    """
    root = package.parent
    for folder in (package, root / COMMON):
        for file in sorted(folder.rglob("*.py")):
            for statement, module in imports(file, root):
                if _is_foreign(module, folder.name, src):
                    raise UserError(
                        f"src/{PACKAGE}/{file.relative_to(root).as_posix()}:{statement.lineno}: imports {module}, "
                        f"which is no part of {folder.name}, so a change there would pass unseen; "
                        f"{_mend(statement, module, folder, file)}"
                    )


def imports(file: Path, root: Path) -> Iterator[tuple[ast.Import | ast.ImportFrom, str]]:
    """The import statements of a file below `root`, each with the full name of a module that it imports."""
    here = [PACKAGE, *file.relative_to(root).parent.parts]
    for node in ast.walk(ast.parse(file.read_bytes(), file)):
        if isinstance(node, ast.Import):
            yield from ((node, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = here[: max(0, len(here) + 1 - node.level)] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((node, f"{module}.{name.name}" if module == PACKAGE else module) for name in node.names)


def _is_foreign(module: str, own: str, src: Path) -> bool:
    top, *below = module.split(".")
    if top == PACKAGE:
        return not below or below[0] not in (own, COMMON)
    return top != "mlops" and ((src / top).is_dir() or (src / f"{top}.py").is_file())


def _mend(statement: ast.Import | ast.ImportFrom, module: str, folder: Path, file: Path) -> str:
    """What to do: where a module of that name lies in the use case's own folder, the statement that imports it."""
    own = module.split(".")[2:]
    place = folder.joinpath(*own)
    if isinstance(statement, ast.ImportFrom) and own and (place.is_dir() or place.with_suffix(".py").is_file()):
        level = len(file.relative_to(folder).parts)
        return f"write `{ast.unparse(ast.ImportFrom('.'.join(own), statement.names, level))}`"
    return f"move what is shared to src/{PACKAGE}/{COMMON}/"
