"""Builds the wheel: what the package brings beside its code is copied from the repository around it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from setuptools.command.build_py import build_py

HERE = Path(__file__).parent


class BuildWithData(build_py):
    """Copies a project's first files, the examples and the source's other parts into mlops/project/data."""

    def run(self) -> None:
        """Build the modules, then the data; not in an editable installation, which reads them where they are."""
        super().run()
        if self.editable_mode:
            return
        shipped = _shipped()
        data = Path(self.build_lib) / "mlops" / "project" / "data"
        contents = {f"first/{path}": content for path, content in shipped.first().items()}
        for name in shipped.examples():
            contents |= {f"examples/{name}/{path}": content for path, content in shipped.example(name).items()}
        source = {path: content for path, content in shipped.source().items() if not path.startswith("machinery/src/")}
        contents |= {f"source/{path}": content for path, content in source.items()}
        for path, content in sorted(contents.items()):
            file = data / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            file.chmod(0o644)


def _shipped():
    """The module that lists them, without importing the package, whose dependencies a build does not have."""
    spec = importlib.util.spec_from_file_location("shipped", HERE / "src" / "mlops" / "project" / "shipped.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
